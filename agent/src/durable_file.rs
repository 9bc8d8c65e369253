//! Small files that survive a power cut and stay private: temp file, fsync, rename, fsync of the directory.
//! Never leaves a half-written file under the final name, never opens a file to other users.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("could not {doing} `{}`", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("`{}` is open to other users: mode {mode:03o}; take their access away with `chmod go= {}`", path.display(), path.display())]
    Mode { path: PathBuf, mode: u32 },
    #[error("`{}` already exists", path.display())]
    Exists { path: PathBuf },
}

impl FileError {
    /// Whether the disk was full.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull
            || source.kind() == io::ErrorKind::QuotaExceeded)
    }
}

/// Makes `dir` (mode 0700) unless it exists.
///
/// # Errors
/// [`FileError::Mode`] when it exists and other users may put files there or take them away. That they may see
/// names is borne: a directory made by hand is so, and the files themselves are private.
pub fn private_dir(dir: &Path) -> Result<(), FileError> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir).map_err(during("make directory", dir))?;
    refuse_mode(dir, 0o022)
}

/// # Errors
/// [`FileError::Mode`] when group or others may do anything with `path`.
pub fn check_private(path: &Path) -> Result<(), FileError> {
    refuse_mode(path, 0o077)
}

/// Makes an empty private file that is in its directory for good, unless it exists.
/// Tells whether it was made.
///
/// # Errors
/// [`FileError`]; [`FileError::Mode`] when an existing one is open to others.
pub fn touch(path: &Path) -> Result<bool, FileError> {
    match private_options().create_new(true).open(path) {
        Ok(_) => sync_parent(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_private(path).map(|()| false),
        Err(source) => Err(FileError::Io { doing: "create", path: path.to_owned(), source }),
    }
}

/// Replaces `path` by `bytes`: after a crash the old or the new content is there, whole.
///
/// # Errors
/// [`FileError::Io`]; the old file is untouched then.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let temp = write_temp(path, bytes)?;
    std::fs::rename(&temp, path).map_err(during("rename into place", path))?;
    sync_parent(path)
}

/// Like [`replace`], but only where nothing stands yet.
///
/// # Errors
/// [`FileError::Exists`] when somebody was faster; their file is untouched.
pub fn create(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let temp = write_temp(path, bytes)?;
    // A hard link, unlike a rename, fails when the name is taken.
    let linked = std::fs::hard_link(&temp, path);
    std::fs::remove_file(&temp).map_err(during("remove", &temp))?;
    match linked {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(FileError::Exists { path: path.to_owned() })
        }
        Err(source) => Err(FileError::Io { doing: "link into place", path: path.to_owned(), source }),
    }
}

/// Options that make new files with mode 0600.
pub fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes the directory entry of `path` durable.
///
/// # Errors
/// [`FileError::Io`].
pub fn sync_parent(path: &Path) -> Result<(), FileError> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Windows has no fsync of directories; NTFS journals the rename itself.
    if cfg!(unix) {
        File::open(dir).and_then(|d| d.sync_all()).map_err(during("sync directory", dir))?;
    }
    Ok(())
}

fn refuse_mode(path: &Path, refused: u32) -> Result<(), FileError> {
    let metadata = std::fs::metadata(path).map_err(during("look at", path))?;
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::MetadataExt::mode(&metadata) & 0o777;
        if mode & refused != 0 {
            return Err(FileError::Mode { path: path.to_owned(), mode });
        }
    }
    #[cfg(not(unix))]
    let _ = (metadata, refused);
    Ok(())
}

fn write_temp(path: &Path, bytes: &[u8]) -> Result<PathBuf, FileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temp = path.with_file_name(name);
    let written = private_options().create(true).truncate(true).open(&temp).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(during("write", &temp))?;
    Ok(temp)
}

fn during(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { doing, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replace_and_create_leave_whole_private_files_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        create(&path, b"one").unwrap();
        assert!(matches!(create(&path, b"two"), Err(FileError::Exists { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        replace(&path, b"three").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
        check_private(&path).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temp file stays");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_open_to_others_is_refused_with_the_cure() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert!(touch(&path).unwrap());
        assert!(!touch(&path).unwrap());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = touch(&path).unwrap_err().to_string();
        assert!(error.contains("mode 640") && error.contains("chmod go="), "{error}");
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o775)).unwrap();
        assert!(matches!(private_dir(dir.path()), Err(FileError::Mode { mode: 0o775, .. })));
        private_dir(&dir.path().join("new")).unwrap();
    }
}
