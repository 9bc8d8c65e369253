//! Whether pcscd is set up to use a serial port, as its configuration files say.
//! Never asks pcscd itself: it is started by the first program that wants it, which may be a moment from now.

use std::fs;
use std::path::{Path, PathBuf};

/// Where pcscd looks, on the systems that have it.
pub(super) const PLACES: [&str; 3] =
    ["/etc/reader.conf", "/etc/reader.conf.d", "/usr/local/etc/reader.conf.d"];

/// The configuration file that names `port`, by any of its names.
pub(super) fn claims(port: &Path, places: &[impl AsRef<Path>]) -> Option<PathBuf> {
    let wanted = real(port);
    let files = places.iter().flat_map(|place| files(place.as_ref()));
    files.into_iter().find(|file| {
        let text = fs::read_to_string(file).unwrap_or_default();
        devices(&text).any(|device| real(Path::new(device)) == wanted || Path::new(device) == port)
    })
}

/// The file, or the files in the folder.
fn files(place: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(place) else { return vec![place.to_owned()] };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// `DEVICENAME path:driver`, quoted or not; what follows the colon is not of the path.
fn devices(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let value = line.trim_start().strip_prefix("DEVICENAME")?.trim().trim_matches('"');
        value.split(':').next().filter(|path| !path.is_empty())
    })
}

fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_pcscd_has_is_found_under_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("ttyUSB0");
        let link = folder.path().join("by-id");
        fs::write(&device, "").unwrap();
        std::os::unix::fs::symlink(&device, &link).unwrap();
        let conf = folder.path().join("reader.conf.d");
        fs::create_dir(&conf).unwrap();
        let file = conf.join("twin");
        let check = |text: &str, port: &Path, claimed: bool| {
            fs::write(&file, text).unwrap();
            assert_eq!(claims(port, &[&conf]), claimed.then(|| file.clone()), "{text}");
        };
        let says =
            |path: &Path| format!("FRIENDLYNAME \"Twin\"\nDEVICENAME   {}:GemPCTwin\n", path.display());
        check(&says(&device), &device, true);
        check(&says(&device), &link, true);
        check(&says(&link), &device, true);
        check(&says(&device), Path::new("/dev/ttyUSB1"), false);
        check(&format!("#{}", says(&device)), &link, true);
        check(&format!("#DEVICENAME {}", device.display()), &device, false);
        check("DEVICENAME\n", &device, false);
        assert_eq!(claims(&device, &[folder.path().join("nowhere")]), None);
    }
}
