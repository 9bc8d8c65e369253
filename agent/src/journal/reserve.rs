//! The reserve: a file of real blocks that is given up when the disk is full, so that the journal can still
//! record that and prune what is receipted: a full disk cannot be pruned without a little room.
//! Never a sparse file, never counted as journal.

use std::fs::File;
use std::io;
use std::path::Path;

use super::error::JournalError;
use crate::durable_file::{FileError, private_options};

const FILE: &str = "journal.reserve";

/// Makes the reserve file unless it is there in full.
///
/// # Errors
/// [`JournalError::DiskFull`] when there is no room for it: then there is no room for events either.
pub(super) fn ensure(dir: &Path, bytes: u64) -> Result<(), JournalError> {
    let path = dir.join(FILE);
    let made = private_options().create(true).truncate(false).open(&path).and_then(|file| {
        if allocated(&file)? >= bytes {
            return Ok(());
        }
        // Taking the last blocks would only fill the disk that the reserve is there for.
        if !has_room(dir, bytes + bytes / 2)? {
            return Err(io::ErrorKind::StorageFull.into());
        }
        allocate(&file, bytes)?;
        file.sync_all()
    });
    made.map_err(|source| {
        let error = FileError::Io { doing: "allocate", path: path.clone(), source };
        if error.is_no_space() {
            // A part of a reserve only takes the room that events or the next attempt need.
            let _ = std::fs::remove_file(&path);
            return JournalError::DiskFull;
        }
        error.into()
    })
}

/// Gives the reserve up, so that what must be recorded of a full disk can be.
pub(super) fn release(dir: &Path) {
    if let Err(error) = std::fs::remove_file(dir.join(FILE))
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "the reserve of the full journal cannot be released");
    }
}

/// Whether the file system has so many bytes left for us. Where that cannot be asked, trying tells.
fn has_room(dir: &Path, bytes: u64) -> io::Result<bool> {
    #[cfg(unix)]
    {
        let system = rustix::fs::statvfs(dir)?;
        Ok(system.f_bavail.saturating_mul(system.f_frsize) >= bytes)
    }
    #[cfg(not(unix))]
    {
        let _ = (dir, bytes);
        Ok(true)
    }
}

/// Bytes of real blocks behind a file.
fn allocated(file: &File) -> io::Result<u64> {
    let metadata = file.metadata()?;
    #[cfg(unix)]
    {
        Ok(std::os::unix::fs::MetadataExt::blocks(&metadata) * 512)
    }
    #[cfg(not(unix))]
    {
        Ok(metadata.len())
    }
}

fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
        done => return done.map_err(io::Error::from),
    }
    write_zeros(file, bytes)
}

fn write_zeros(mut file: &File, bytes: u64) -> io::Result<()> {
    io::Seek::seek(&mut file, io::SeekFrom::Start(0))?;
    io::copy(&mut io::Read::take(io::repeat(0), bytes), &mut file).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_real_blocks_and_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            ensure(dir.path(), 1 << 20).unwrap();
            let file = File::open(dir.path().join(FILE)).unwrap();
            assert!(allocated(&file).unwrap() >= 1 << 20);
        }
        let sparse = File::create(dir.path().join("sparse")).unwrap();
        sparse.set_len(1 << 20).unwrap();
        assert!(allocated(&sparse).unwrap() < 1 << 20, "control: a sparse file would be noticed");
        release(dir.path());
        release(dir.path());
        assert!(!dir.path().join(FILE).exists());
        assert!(matches!(ensure(dir.path(), 1 << 60), Err(JournalError::DiskFull)));
        assert!(!dir.path().join(FILE).exists(), "no part of a reserve stays");
    }
}
