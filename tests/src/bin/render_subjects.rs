//! Writes pictures of generated people with exact boxes and landmarks, for the training of packs and for looking at.
//! Never a picture of anybody.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Parser;
use zhenyin_models::Frame;
use zhenyin_tests::attacks::{cut_mask, on_screen, on_sheet, phone_replay, printed_photo};
use zhenyin_tests::generated::{Labels, Person, View, jpeg};

/// Renders people and writes `labels.csv` beside the pictures.
#[derive(Debug, Parser)]
struct Arguments {
    /// Folder to write to.
    folder: PathBuf,
    #[arg(long, default_value_t = 20)]
    people: u64,
    #[arg(long, default_value_t = 8)]
    views: u64,
    /// Number of the first person: keep the people of training and of tests apart by it.
    #[arg(long, default_value_t = 1000)]
    first: u64,
    /// How much pose, light and distance vary: 0 not at all, 1 as a pack should bear, more beyond it.
    #[arg(long, default_value_t = 1.0)]
    spread: f32,
    /// Also a printed photo, a telephone and a cut mask of every view.
    #[arg(long)]
    attacks: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Arguments::parse();
    std::fs::create_dir_all(&args.folder).with_context(|| format!("`{}`", args.folder.display()))?;
    let mut table = std::fs::File::create(args.folder.join("labels.csv"))?;
    writeln!(
        table,
        "file,person,species,yaw,pitch,roll,blink,x,y,width,height,left_eye_x,left_eye_y,right_eye_x,right_eye_y,\
         nose_x,nose_y,left_mouth_x,left_mouth_y,right_mouth_x,right_mouth_y"
    )?;
    for number in args.first..args.first + args.people {
        let person = Person::new(number);
        let wearer = args.attacks.then(|| Person::new(number + args.people));
        for index in 0..args.views {
            let view = View::draw(number.wrapping_mul(1_000_003).wrapping_add(index), args.spread);
            let (frame, labels) = (person.frame(&view), person.labels(&view));
            let about =
                format!("{number},{{}},{:.2},{:.2},{:.2},{:.2}", view.yaw, view.pitch, view.roll, view.blink);
            let mut write = |species: &str, frame: &Frame, cells: &str| -> anyhow::Result<()> {
                let name = format!("{number:06}-{index:03}-{species}.jpg");
                save(&args.folder.join(&name), frame)?;
                Ok(writeln!(table, "{name},{}{cells}", about.replace("{}", species))?)
            };
            write("live", &frame, &cells(&labels))?;
            if let Some(wearer) = &wearer {
                let print = labels.carried(|point| Some(on_sheet(&frame, point)));
                write("print", &printed_photo(&frame), &known(print))?;
                let screen = labels.carried(|point| on_screen(&frame, point));
                write("screen", &phone_replay(&frame), &known(screen))?;
                let (under, points) = (wearer.frame(&view), wearer.labels(&view));
                write("mask", &cut_mask(&frame, &labels.points, &under, &points.points), &cells(&points))?;
            }
        }
    }
    Ok(())
}

/// Empty cells where a part of the face is not on the screen.
fn known(labels: Option<Labels>) -> String {
    labels.map_or_else(|| ",".repeat(14), |labels| cells(&labels))
}

fn cells(labels: &Labels) -> String {
    let numbers = labels.face.iter().chain(labels.points.iter().flatten());
    numbers.map(|n| format!(",{n:.2}")).collect()
}

fn save(path: &Path, frame: &Frame) -> anyhow::Result<()> {
    std::fs::write(path, jpeg(frame, 95)).with_context(|| format!("`{}`", path.display()))
}
