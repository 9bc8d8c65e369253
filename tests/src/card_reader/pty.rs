//! The simulated reader behind a pseudo-terminal, so that real serial code opens it by path.
//! Never outlives its handle: dropping it ends the thread and hangs the line up.

use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use super::cards::CardSpec;
use super::device::{Device, Echo};
use super::fault::{Fault, When};
use super::peer::Peer;

/// A running simulated device.
pub struct PtyReader<D: Peer = Device> {
    device: Arc<Mutex<D>>,
    path: PathBuf,
    wake: PipeWriter,
    thread: Option<JoinHandle<()>>,
}

impl PtyReader {
    /// Starts an empty reader on a new pseudo-terminal.
    pub fn start(echo: Echo) -> anyhow::Result<Self> {
        Self::start_with(Device::new(echo))
    }

    pub fn insert(&self, spec: CardSpec) {
        self.change(|device| device.insert(spec));
    }

    pub fn remove(&self) {
        self.change(Device::remove);
    }

    pub fn inject(&self, when: When, fault: Fault) {
        self.change(|device| device.inject(when, fault));
    }

    /// How many faults have struck.
    pub fn struck(&self) -> u32 {
        lock(&self.device).struck()
    }

    /// Instructions that the card in the slot has received.
    pub fn instructions(&self) -> Vec<u8> {
        lock(&self.device).card().map(|card| card.instructions().to_vec()).unwrap_or_default()
    }
}

impl<D: Peer + 'static> PtyReader<D> {
    /// Starts a device on a new pseudo-terminal.
    pub fn start_with(device: D) -> anyhow::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = PathBuf::from(ptsname(&master, Vec::new())?.into_string()?);
        // Held open so that the line does not hang up between two hosts.
        let slave = open(&path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
            .with_context(|| format!("open {}", path.display()))?;
        let mut settings = tcgetattr(&slave)?;
        settings.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &settings)?;
        // A host that does not read loses bytes, as on a real line, instead of stopping the reader.
        fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK)?;
        let (control, wake) = std::io::pipe()?;
        let device = Arc::new(Mutex::new(device));
        let line = Line { master, _slave: slave, control, device: Arc::clone(&device), coming: Vec::new() };
        let thread = std::thread::Builder::new().name("simulated reader".into()).spawn(move || line.run())?;
        Ok(Self { device, path, wake, thread: Some(thread) })
    }

    /// The path to open.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes `link` lead to this reader, as a by-id path does, in place of what is there.
    pub fn link(&self, link: &Path) -> anyhow::Result<()> {
        match std::fs::remove_file(link) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        Ok(std::os::unix::fs::symlink(&self.path, link)?)
    }

    /// Unplugs the reader: its path disappears.
    pub fn hang_up(&self) {
        self.change(Peer::hang_up);
    }

    /// Changes the device, as somebody at the counter does, and lets it say what it has to say.
    pub fn change(&self, change: impl FnOnce(&mut D)) {
        change(&mut lock(&self.device));
        // The thread may have ended with the line; then nobody is left to wake.
        let _ = (&self.wake).write_all(&[0]);
    }
}

impl<D: Peer> Drop for PtyReader<D> {
    fn drop(&mut self) {
        lock(&self.device).hang_up();
        let _ = (&self.wake).write_all(&[0]);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the reader's thread owns.
struct Line<D> {
    master: OwnedFd,
    _slave: OwnedFd,
    control: PipeReader,
    device: Arc<Mutex<D>>,
    coming: Vec<(Instant, Vec<u8>)>,
}

impl<D: Peer> Line<D> {
    fn run(mut self) {
        let mut buffer = [0; 1024];
        loop {
            if !self.speak() {
                return;
            }
            let wait = self.coming.first().map(|(due, _)| due.saturating_duration_since(Instant::now()));
            let (from_host, control) = self.wait(wait);
            if control {
                let _ = self.control.read(&mut buffer);
            }
            if !from_host {
                continue;
            }
            match rustix::io::read(&self.master, &mut buffer) {
                Ok(0) => return,
                Ok(count) => lock(&self.device).receive(&buffer[..count]),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// Puts on the line what is due; false when the line is to hang up.
    fn speak(&mut self) -> bool {
        let now = Instant::now();
        let (said, hung_up) = {
            let mut device = lock(&self.device);
            (device.take_output(), device.has_hung_up())
        };
        self.coming.extend(said.into_iter().map(|emission| (now + emission.after, emission.bytes)));
        self.coming.sort_by_key(|(due, _)| *due);
        while self.coming.first().is_some_and(|(due, _)| *due <= now) {
            let (_, bytes) = self.coming.remove(0);
            let _ = rustix::io::write(&self.master, &bytes);
        }
        !hung_up
    }

    /// Waits for bytes of the host or a change by the test.
    fn wait(&self, limit: Option<Duration>) -> (bool, bool) {
        let mut watched =
            [PollFd::new(&self.master, PollFlags::IN), PollFd::new(&self.control, PollFlags::IN)];
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        if poll(&mut watched, limit.as_ref()).is_err() {
            return (false, false);
        }
        (!watched[0].revents().is_empty(), !watched[1].revents().is_empty())
    }
}

fn lock<D>(device: &Mutex<D>) -> MutexGuard<'_, D> {
    device.lock().expect("no test panics while it holds the device")
}
