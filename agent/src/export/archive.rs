//! The files of a package one after the other in the form of `tar` (POSIX ustar).
//! Never needs to come back to what was written, so an encrypted archive never lies anywhere in clear.

use std::io::{self, Write};

use zhenyin_core::time::WallTime;

pub(super) struct Archive<W> {
    to: W,
    at: WallTime,
}

const BLOCK: usize = 512;
/// The folder that the archive unpacks to.
const TOP: &str = "inspection/";
/// Eleven octal digits.
const OCTAL_LIMIT: u64 = 1 << 33;

impl<W: Write> Archive<W> {
    pub(super) fn new(to: W, at: WallTime) -> Self {
        Self { to, at }
    }

    /// Announces a file; exactly `size` bytes of it and then [`Self::end_file`] must follow.
    pub(super) fn begin_file(&mut self, name: &str, size: u64) -> io::Result<()> {
        self.to.write_all(&header(name, size, self.at))
    }

    pub(super) fn end_file(&mut self, size: u64) -> io::Result<()> {
        let over = (size % BLOCK as u64) as usize;
        self.to.write_all(&[0; BLOCK][..(BLOCK - over) % BLOCK])
    }

    /// Two empty blocks end an archive.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.to.write_all(&[0; 2 * BLOCK])?;
        Ok(self.to)
    }
}

impl<W: Write> Write for Archive<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn header(name: &str, size: u64, at: WallTime) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |offset: usize, bytes: &[u8]| block[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0, format!("{TOP}{name}").as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    if size < OCTAL_LIMIT {
        put(124, format!("{size:011o}\0").as_bytes());
    } else {
        // As GNU tar writes it, and every tar of today reads: a set bit, then the number in binary.
        put(124, &[0x80, 0, 0, 0]);
        put(128, &size.to_be_bytes());
    }
    put(136, format!("{:011o}\0", at.seconds().max(0)).as_bytes());
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Read by the tar of the system: nothing of ours judges it.
    #[test]
    fn the_systems_tar_reads_it() {
        let mut archive = Archive::new(Vec::new(), WallTime(1_777_593_600_000));
        for (name, size) in
            [("chain.json", 0), ("notes/00000000000000000128.checkpoint.note", 511), ("b", 512), ("c", 513)]
        {
            archive.begin_file(name, size).unwrap();
            archive.write_all(&vec![b'x'; size as usize]).unwrap();
            archive.end_file(size).unwrap();
        }
        let bytes = archive.finish().unwrap();
        let run = || Command::new("tar").arg("tv").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut tar = run().unwrap();
        tar.stdin.take().unwrap().write_all(&bytes).unwrap();
        let listed = String::from_utf8(tar.wait_with_output().unwrap().stdout).unwrap();
        let sizes: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
        assert_eq!(sizes, ["0", "511", "512", "513"], "{listed}");
        assert!(listed.contains("inspection/notes/00000000000000000128.checkpoint.note"), "{listed}");
    }

    #[test]
    fn a_file_beyond_eleven_octal_digits_keeps_its_size() {
        let size = |size| header("a", size, WallTime(0))[124..136].to_vec();
        assert_eq!(size(OCTAL_LIMIT - 1), b"77777777777\0");
        assert_eq!(size(OCTAL_LIMIT), [0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
    }
}
