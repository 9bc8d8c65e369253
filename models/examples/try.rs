//! scratch
use zhenyin_models::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let out = std::path::Path::new("/tmp/refpack");
    if !out.exists() {
        import::import(std::path::Path::new("/work/shared/models"), out, Default::default())
            .map(|p| println!("{p}"))
            .unwrap();
    }
    let t = std::time::Instant::now();
    let pack = Pack::load(out).unwrap();
    println!("load {:?}", t.elapsed());
    let p = Pipeline::new(&pack).unwrap();
    for f in &a[1..] {
        match Frame::decode(&std::fs::read(f).unwrap()) {
            Err(e) => println!("{f}: {e}"),
            Ok(fr) => {
                let t = std::time::Instant::now();
                let o = p.observe(&fr);
                println!("{f} {fr:?} {o:?} {:?}", t.elapsed());
                for d in p.detect(&fr).unwrap().iter().take(1) {
                    println!(
                        "   {:?} {:?} pad {:?}",
                        d.score,
                        p.measure(&fr, d).unwrap(),
                        p.danger_pad_shares(&fr, d).unwrap()
                    );
                }
            }
        }
    }
}
