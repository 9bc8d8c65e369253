//! A file system of its own on a loop device, whose disk is a file in memory: it can lose power, meet an error that
//! turns it read-only, and be repaired. Never a disk of this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::run::scratch;

/// Enough for a journal with a large log, small enough to be copied in a moment.
const BYTES: u64 = 24 << 20;

pub(crate) struct LoopImage {
    room: tempfile::TempDir,
    /// Mounts at the same place, one upon the other.
    mounts: usize,
}

impl LoopImage {
    /// An empty ext4; `None`, said loudly, where none can be made and mounted.
    pub(crate) fn make(row: &str) -> anyhow::Result<Option<Self>> {
        let mut image = Self { room: scratch(), mounts: 0 };
        std::fs::create_dir(image.path())?;
        std::fs::File::create(image.disk())?.set_len(BYTES)?;
        let made = Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(image.disk()).output();
        if made.is_ok_and(|made| made.status.success()) && image.mount(&image.disk())? {
            return Ok(Some(image));
        }
        println!("skipped: {row} on a loop image needs mkfs.ext4 and the right to mount");
        Ok(None)
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.room.path().join("mounted")
    }

    /// What the disk holds at this moment, on a disk of its own: what a power cut leaves. `None` where that does not
    /// mount: it was copied while the kernel wrote, which no power cut does.
    pub(crate) fn cut_power(&self) -> anyhow::Result<Option<Self>> {
        let mut cut = Self { room: scratch(), mounts: 0 };
        std::fs::create_dir(cut.path())?;
        std::fs::copy(self.disk(), cut.disk())?;
        Ok(cut.mount(&cut.disk())?.then_some(cut))
    }

    /// The file system meets an error that it cannot bear: it is read-only from now on, for open files too.
    pub(crate) fn turn_read_only(&self) -> anyhow::Result<()> {
        let done = Command::new("mount").args(["-o", "remount,abort"]).arg(self.path()).output()?;
        ensure!(
            done.status.success(),
            "it does not turn read-only: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(())
    }

    /// What the disk holds is checked and mounted again at the same place, under the feet of whoever has files open.
    pub(crate) fn repair(&mut self) -> anyhow::Result<()> {
        let repaired = self.room.path().join("repaired");
        std::fs::copy(self.disk(), &repaired)?;
        // Its exit status tells what was mended; that it mounts and verifies is what counts.
        Command::new("e2fsck").arg("-fy").arg(&repaired).output().context("no e2fsck")?;
        ensure!(self.mount(&repaired)?, "the repaired disk does not mount");
        Ok(())
    }

    fn disk(&self) -> PathBuf {
        self.room.path().join("disk")
    }

    fn mount(&mut self, disk: &Path) -> anyhow::Result<bool> {
        let done = Command::new("mount").args(["-o", "loop"]).arg(disk).arg(self.path()).output()?;
        self.mounts += usize::from(done.status.success());
        Ok(done.status.success())
    }
}

impl Drop for LoopImage {
    fn drop(&mut self) {
        for _ in 0..self.mounts {
            // Lazily: a file may still be open on a disk that went away.
            let _ = Command::new("umount").arg("-l").arg(self.path()).output();
        }
    }
}
