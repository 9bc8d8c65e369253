//! A disk that fails on order, between SQLite and the real one: the n-th call ends in an error, writes that no flush
//! has confirmed are lost in a power cut, and flushes may be a lie.
//! Never touches files outside the folders given to [`Disk::attach`].

mod hooks;
pub mod relaxed;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::generated::random::Dice;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// `EIO`, nothing was done.
    Io,
    /// `ENOSPC`, nothing was done. Calls that need no room pass.
    NoSpace,
    /// Half of a write is done, then `EIO`. Other calls pass.
    ShortWrite,
    /// A flush fails and what it should have flushed never reaches the disk, though it reads back: what Linux
    /// does with the page cache. Other calls pass.
    LostFlush,
}

/// The files of one folder as SQLite uses them. Real reads and writes take place underneath.
pub struct Disk {
    dir: PathBuf,
    state: Mutex<State>,
}

/// Called before a call is carried out, with its number and the files as the disk has them.
pub type Watch = Box<dyn FnMut(u64, &Images) + Send>;

#[derive(Default)]
struct State {
    calls: u64,
    plan: Option<(u64, Failure)>,
    fired: Option<&'static str>,
    /// Flushes of the write-ahead log do nothing.
    lazy: bool,
    images: Images,
    watch: Option<Watch>,
}

/// By name: what was flushed, and what was written since.
#[derive(Default)]
pub struct Images(BTreeMap<String, Image>);

#[derive(Default)]
struct Image {
    flushed: Vec<u8>,
    pending: Vec<Change>,
}

enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Cut { length: usize },
}

impl Disk {
    /// From now on SQLite's files in `dir` go through this disk.
    pub fn attach(dir: &Path) -> Arc<Self> {
        let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
        let disk = Arc::new(Self { dir, state: Mutex::default() });
        hooks::attach(&disk);
        disk
    }

    /// The `nth` call from now, counted from 1, fails if it is one that can fail so.
    pub fn fail(&self, nth: u64, failure: Failure) {
        let mut state = self.state();
        state.plan = Some((state.calls + nth, failure));
        state.fired = None;
    }

    /// Nothing fails any more. Tells which call has failed, if one has.
    pub fn heal(&self) -> Option<&'static str> {
        let mut state = self.state();
        state.plan = None;
        state.fired.take()
    }

    /// Flushes of the write-ahead log are answered and not done.
    pub fn set_lazy(&self) {
        self.state().lazy = true;
    }

    /// `watch` sees the disk before each call from now on.
    pub fn watch(&self, watch: Watch) {
        self.state().watch = Some(watch);
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Shows the files as the disk has them now.
    pub fn look<T>(&self, look: impl FnOnce(&Images) -> T) -> T {
        look(&self.state().images)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges one call before it is carried out.
    fn judge(&self, file: &str, call: &Call<'_>) -> Verdict {
        let mut state = self.state();
        state.calls += 1;
        let calls = state.calls;
        if let Some(mut watch) = state.watch.take() {
            watch(calls, &state.images);
            state.watch = Some(watch);
        }
        let failure = state.plan.filter(|(nth, _)| *nth == calls).map(|(_, failure)| failure);
        let verdict = failure.map_or(Verdict::Pass, |failure| call.verdict(failure));
        if verdict != Verdict::Pass {
            state.fired = Some(call.name());
        }
        let lazy = state.lazy && file.ends_with("-wal");
        if let Some(image) = state.images.0.get_mut(file) {
            image.take(call, verdict, lazy);
        }
        verdict
    }

    /// A file is opened: what it holds already counts as flushed.
    fn opened(&self, file: &str) {
        let path = self.dir.join(file);
        let mut state = self.state();
        let known = state.images.0.contains_key(file);
        if !known {
            let flushed = std::fs::read(path).unwrap_or_default();
            state.images.0.insert(file.to_owned(), Image { flushed, pending: Vec::new() });
        }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Images {
    /// Of each file what was flushed, and of what was written since any part, torn at sectors.
    pub fn cut_power(&self, dice: &mut Dice) -> BTreeMap<String, Vec<u8>> {
        self.0.iter().map(|(name, image)| (name.clone(), image.cut_power(dice))).collect()
    }
}

impl Images {
    /// Of each file all that was written: what a killed process leaves.
    pub fn as_written(&self) -> BTreeMap<String, Vec<u8>> {
        let written = |image: &Image| {
            let mut bytes = image.flushed.clone();
            image.pending.iter().for_each(|change| change.apply(&mut bytes));
            bytes
        };
        self.0.iter().map(|(name, image)| (name.clone(), written(image))).collect()
    }
}

impl Image {
    fn take(&mut self, call: &Call<'_>, verdict: Verdict, lazy: bool) {
        match (call, verdict) {
            (Call::Write { at, bytes }, Verdict::Pass) => {
                self.pending.push(Change::Write { at: *at, bytes: bytes.to_vec() });
            }
            (Call::Write { at, bytes }, Verdict::Half) => {
                self.pending.push(Change::Write { at: *at, bytes: bytes[..bytes.len() / 2].to_vec() });
            }
            (Call::Truncate { length }, Verdict::Pass) => self.pending.push(Change::Cut { length: *length }),
            (Call::Sync, Verdict::Pass) if !lazy => {
                let pending = std::mem::take(&mut self.pending);
                pending.iter().for_each(|change| change.apply(&mut self.flushed));
            }
            (Call::Sync, Verdict::Lost) => self.pending.clear(),
            (Call::Delete, Verdict::Pass) => *self = Self::default(),
            _ => {}
        }
    }

    fn cut_power(&self, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.flushed.clone();
        for change in &self.pending {
            match dice.below(4) {
                0 => {}
                1 => change.torn(dice).apply(&mut bytes),
                _ => change.apply(&mut bytes),
            }
        }
        bytes
    }
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => {
                let end = at + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*at..end].copy_from_slice(bytes);
            }
            Self::Cut { length } => to.truncate(*length),
        }
    }

    /// Some whole sectors of it, from the beginning or up to the end.
    fn torn(&self, dice: &mut Dice) -> Self {
        match self {
            Self::Cut { length } => Self::Cut { length: *length },
            Self::Write { at, bytes } => {
                let sectors = (bytes.len() / SECTOR) as u64 + 1;
                // A sector begins at a multiple of its size in the file, wherever the write begins.
                let cut = (at / SECTOR + dice.below(sectors) as usize) * SECTOR;
                let cut = cut.saturating_sub(*at).min(bytes.len());
                if dice.chance(0.5) {
                    Self::Write { at: *at, bytes: bytes[..cut].to_vec() }
                } else {
                    Self::Write { at: at + cut, bytes: bytes[cut..].to_vec() }
                }
            }
        }
    }
}

/// A disk writes this many bytes or none of them.
const SECTOR: usize = 512;

/// A call of SQLite about one of its files.
enum Call<'a> {
    Open,
    Read,
    Write { at: usize, bytes: &'a [u8] },
    Truncate { length: usize },
    Sync,
    Size,
    Index,
    Delete,
}

/// What the hooks do with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    Fail,
    Full,
    Half,
    Lost,
}

impl Call<'_> {
    fn verdict(&self, failure: Failure) -> Verdict {
        match (failure, self) {
            (Failure::Io, _) => Verdict::Fail,
            (Failure::NoSpace, Call::Write { .. } | Call::Open | Call::Index) => Verdict::Full,
            (Failure::ShortWrite, Call::Write { .. }) => Verdict::Half,
            (Failure::LostFlush, Call::Sync) => Verdict::Lost,
            (Failure::NoSpace | Failure::ShortWrite | Failure::LostFlush, _) => Verdict::Pass,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Call::Open => "open",
            Call::Read => "read",
            Call::Write { .. } => "write",
            Call::Truncate { .. } => "truncate",
            Call::Sync => "sync",
            Call::Size => "size",
            Call::Index => "index",
            Call::Delete => "delete",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unflushed_writes_may_go_and_flushed_ones_stay() {
        let mut image = Image::default();
        let mut dice = Dice::new(1, 1);
        let write = |at, byte| Call::Write { at, bytes: Box::leak(vec![byte; 1024].into_boxed_slice()) };
        image.take(&write(0, 1), Verdict::Pass, false);
        assert!((0..100).any(|_| image.cut_power(&mut dice).is_empty()), "may be lost");
        assert!((0..100).any(|_| image.cut_power(&mut dice) == [1; 1024]), "may be there");
        assert!((0..100).any(|_| image.cut_power(&mut dice) == [1; 512]), "may be torn");
        image.take(&Call::Sync, Verdict::Pass, true);
        assert!((0..100).any(|_| image.cut_power(&mut dice).is_empty()), "a lazy flush is none");
        image.take(&Call::Sync, Verdict::Pass, false);
        assert!((0..100).all(|_| image.cut_power(&mut dice) == [1; 1024]));
        image.take(&write(1024, 2), Verdict::Pass, false);
        image.take(&Call::Sync, Verdict::Lost, false);
        image.take(&Call::Sync, Verdict::Pass, false);
        assert!((0..100).all(|_| image.cut_power(&mut dice) == [1; 1024]), "lost for good");
    }
}
