//! The folder of a package: each file is flushed, digested and listed, in the form that `sha256sum -c` reads.
//! Never lists the receipt, which carries the digest of the list itself.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256, digest};
use zhenyin_verify::LIST;

use super::ExportError;

/// A folder that is being written.
pub(super) struct Package {
    dir: PathBuf,
    list: String,
}

impl Package {
    /// # Errors
    /// [`ExportError::Exists`], or what the disk says.
    pub(super) fn create(dir: &Path) -> Result<Self, ExportError> {
        if dir.exists() {
            return Err(ExportError::Exists { path: dir.to_owned() });
        }
        let notes = dir.join("notes");
        std::fs::create_dir_all(&notes).map_err(writing(&notes))?;
        Ok(Self { dir: dir.to_owned(), list: String::new() })
    }

    pub(super) fn begin(&self, name: &str) -> Result<Output, ExportError> {
        let path = self.dir.join(name);
        let file = BufWriter::new(File::create_new(&path).map_err(writing(&path))?);
        Ok(Output { name: name.to_owned(), path, file, digest: Context::new(&SHA256) })
    }

    /// Puts a finished file on the list.
    pub(super) fn finish(&mut self, output: Output) -> Result<(), ExportError> {
        let Output { name, path, file, digest } = output;
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all()).map_err(writing(&path))?;
        self.list += &format!("{}  {name}\n", hex(digest.finish().as_ref()));
        Ok(())
    }

    pub(super) fn put(&mut self, name: &str, text: &str) -> Result<(), ExportError> {
        let mut output = self.begin(name)?;
        output.write(text.as_bytes())?;
        self.finish(output)
    }

    /// Writes the list; its digest stands for the whole package.
    pub(super) fn seal(&self) -> Result<String, ExportError> {
        self.put_unlisted(LIST, &self.list)?;
        Ok(hex(digest(&SHA256, self.list.as_bytes()).as_ref()))
    }

    pub(super) fn put_unlisted(&self, name: &str, text: &str) -> Result<(), ExportError> {
        let mut output = self.begin(name)?;
        output.write(text.as_bytes())?;
        let synced = output.file.flush().and_then(|()| output.file.get_ref().sync_all());
        synced.map_err(writing(&output.path))
    }
}

/// A file of the package, not yet on the list.
pub(super) struct Output {
    name: String,
    path: PathBuf,
    file: BufWriter<File>,
    digest: Context,
}

impl Output {
    pub(super) fn line(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.write(bytes)?;
        self.write(b"\n")
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.digest.update(bytes);
        self.file.write_all(bytes).map_err(writing(&self.path))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn writing(path: &Path) -> impl FnOnce(std::io::Error) -> ExportError {
    let path = path.to_owned();
    |source| ExportError::Write { path, source }
}
