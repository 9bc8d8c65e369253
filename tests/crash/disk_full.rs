//! R6: the disk runs full under the journal, or turns read-only. It fails closed by name, loses nothing, and goes on by
//! itself when the disk takes events again. Needs the right to mount; says so loudly where it has none.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use zhenyin::journal::{JournalReader, Limits};
use zhenyin_core::time::WallTime;

use crate::loop_image::LoopImage;
use crate::run::{Run, key};

const LIMITS: Limits =
    Limits { quota: 1 << 30, reserve: 1 << 20, quiet: Duration::from_millis(20), keep: None };

#[test]
fn r6_full_disk_fails_closed_and_recovers_without_restart() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir.path()) else {
        println!("skipped: R6 on a tmpfs needs the right to mount one");
        return;
    };
    let mut run = Run::open(&disk.path.join("journal"), LIMITS).unwrap();
    run.append_all(20).unwrap();

    let filler = disk.fill().unwrap();
    let mut refused = 0;
    while refused < 3 {
        if let Some(error) = run.append().unwrap() {
            assert!(error.is_full(), "{error}");
            refused += 1;
        }
    }
    std::fs::remove_file(filler).unwrap();
    run.append_until_committed(20).unwrap();
    drop(run.journal);

    let reader = JournalReader::open(&disk.path.join("journal"), key()).unwrap();
    let events = reader.verify_all().unwrap().events;
    assert_eq!(events, run.committed, "nothing lost, nothing added");
    // The control: a writer that promised before its commit would have promised these as well, and be found out.
    assert_ne!(events, run.committed + refused);
    println!("R6: {refused} events refused on a full disk, {} committed, 0 lost", run.committed);
}

/// The reserve is given up for what must be recorded, receipted events are erased on the full disk, and both make
/// room enough to go on.
#[test]
fn r6_a_full_disk_can_be_erased_from_and_the_reserve_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir.path()) else {
        println!("skipped: R6 on a tmpfs needs the right to mount one");
        return;
    };
    let journal = disk.path.join("journal");
    let mut run = Run::open(&journal, LIMITS).unwrap();
    run.append_all(600).unwrap();
    run.acknowledge(500, WallTime(0)).unwrap();
    run.acknowledge(600, WallTime(1_000)).unwrap();
    let reserve = journal.join("journal.reserve");
    assert!(reserve.exists());
    let filler = disk.fill().unwrap();
    while run.append().unwrap().is_none() {}
    assert!(!reserve.exists(), "the reserve was given up");
    run.append_all(1).expect("what must be recorded of a full disk is taken");
    run.journal.keep(Duration::from_millis(500)).unwrap();
    run.wait_for("the erasing", |run| run.erased >= 500).unwrap();
    let urgent = run.committed;
    std::fs::remove_file(filler).unwrap();
    run.wait_for_room().unwrap();
    assert!(reserve.exists(), "the reserve is back without a restart");
    run.append_all(20).unwrap();
    let durable = run.committed;
    drop(run.journal);
    let reader = JournalReader::open(&journal, key()).unwrap();
    let report = reader.verify_all().unwrap();
    assert_eq!((report.events, report.erased), (durable, 500));
    println!("R6: {urgent} events up to the full disk, 500 erased on it, {durable} after it, 0 lost");
}

/// The kernel turns a file system read-only when it meets an error that it cannot bear, whoever has files open.
#[test]
fn r6_a_disk_that_turns_read_only_fails_closed_and_recovers_without_restart() {
    let Some(mut disk) = LoopImage::make("R6 read-only").unwrap() else { return };
    let journal = disk.path().join("journal");
    let mut run = Run::open(&journal, LIMITS).unwrap();
    run.append_all(20).unwrap();
    assert!(run.append().unwrap().is_none(), "control: a sound disk takes an event");
    disk.turn_read_only().unwrap();
    let durable = run.committed;
    run.append_in_vain().unwrap();
    disk.repair().unwrap();
    run.wait_for_reset().unwrap();
    assert_eq!(run.committed, durable, "what was durable is there, and nothing else");
    run.append_until_committed(20).unwrap();
    let durable = run.committed;
    drop(run.journal);
    let reader = JournalReader::open(&journal, key()).unwrap();
    assert_eq!(reader.verify_all().unwrap().events, durable);
    println!("R6: read-only was met, {durable} events committed before and after, 0 lost");
}

/// A tmpfs of 8 MiB.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    fn mount(path: &Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs"])
            .arg(path)
            .output()
            .is_ok_and(|done| done.status.success());
        mounted.then(|| Self { path: path.to_owned() })
    }

    /// Takes the last free byte and gives the file that holds it.
    fn fill(&self) -> anyhow::Result<PathBuf> {
        let path = self.path.join("filler");
        let mut file = File::create(&path)?;
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Ok(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
