//! scratch
use zhenyin_models::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let pack = Pack::load(std::path::Path::new("/tmp/refpack")).unwrap();
    let p = Pipeline::new(&pack).unwrap();
    let mut o = eval::EvalOptions::default();
    o.stretch.insert("cn".into(), 1.21);
    o.clips.insert("yt".into());
    o.gate = a.get(2).is_some_and(|g| g == "gate");
    for s in a.iter().skip(3) {
        o.only.insert(s.clone());
    }
    if a[1] == "bench" {
        let f = a.get(2).map(|f| Frame::decode(&std::fs::read(f).unwrap()).unwrap());
        println!("{}", bench::run(std::path::Path::new("/tmp/refpack"), f.as_ref(), 60).unwrap());
        return;
    }
    let r = eval::evaluate(
        &p,
        pack.thresholds().comparison.cosine(),
        std::path::Path::new(&a[1]),
        &o,
        &mut |_| {},
    )
    .unwrap();
    println!("{r}");
}
