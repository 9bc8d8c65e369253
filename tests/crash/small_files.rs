//! Calls of the C library about the files beside the database (head, mark, reserve, lock) and about their folder, which
//! do not come through SQLite: the n-th one fails, or the process is dead from the n-th one on.
//! Never touches calls about files outside the folders given to [`Calls::attach`], nor SQLite's own.

#![expect(unsafe_code, reason = "std reaches the kernel through C functions, which these stand in front of")]

use std::cell::Cell;
use std::ffi::{CStr, OsStr, c_char, c_int, c_uint, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `EIO`, nothing was done.
    Io,
    /// `ENOSPC`, nothing was done. Calls that need no room pass.
    NoSpace,
    /// This call and all after it do nothing: what a kill leaves.
    Dead,
}

/// The calls about one folder.
pub(crate) struct Calls {
    dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    calls: u64,
    plan: Option<(u64, Fault)>,
    fired: Option<String>,
    /// How SQLite flushed its write-ahead log.
    log_flushes: Vec<&'static str>,
}

impl Calls {
    pub(crate) fn attach(dir: &Path) -> Arc<Self> {
        let dir = dir.canonicalize().expect("a folder that is there");
        let calls = Arc::new(Self { dir, state: Mutex::default() });
        lock(&ATTACHED).push(Arc::downgrade(&calls));
        ANY.fetch_add(1, Ordering::SeqCst);
        calls
    }

    /// The `nth` call from now, counted from 1.
    pub(crate) fn fail(&self, nth: u64, fault: Fault) {
        let mut state = lock(&self.state);
        state.plan = Some((state.calls + nth, fault));
        state.fired = None;
    }

    /// Nothing fails any more. Tells the first call that has failed, if one has.
    pub(crate) fn heal(&self) -> Option<String> {
        let mut state = lock(&self.state);
        state.plan = None;
        state.fired.take()
    }

    /// Calls so far.
    pub(crate) fn count(&self) -> u64 {
        lock(&self.state).calls
    }

    /// The error of a call that must fail.
    fn judge(&self, call: &'static str, file: &str) -> Option<c_int> {
        let mut state = lock(&self.state);
        state.calls += 1;
        let (nth, fault) = state.plan?;
        let error = match fault {
            Fault::Io if state.calls == nth => EIO,
            Fault::NoSpace if state.calls == nth && !matches!(call, "read" | "unlink") => ENOSPC,
            Fault::Dead if state.calls >= nth => EIO,
            Fault::Io | Fault::NoSpace | Fault::Dead => return None,
        };
        state.fired.get_or_insert_with(|| format!("{call} {file}"));
        Some(error)
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        ANY.fetch_sub(1, Ordering::SeqCst);
        lock(&ATTACHED).retain(|calls| calls.strong_count() > 0);
    }
}

static ATTACHED: Mutex<Vec<Weak<Calls>>> = Mutex::new(Vec::new());
/// So that other tests of this process pay next to nothing.
static ANY: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// A call that judging itself makes.
    static JUDGING: Cell<bool> = const { Cell::new(false) };
}

const EIO: c_int = 5;
const ENOSPC: c_int = 28;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets `errno` and says so when the call must fail.
fn refused(call: &'static str, path: impl FnOnce() -> Option<PathBuf>) -> bool {
    if ANY.load(Ordering::Relaxed) == 0 || JUDGING.replace(true) {
        return false;
    }
    let error = path().and_then(|path| {
        let calls =
            lock(&ATTACHED).iter().filter_map(Weak::upgrade).find(|one| path.starts_with(&one.dir))?;
        let file = path.file_name().and_then(OsStr::to_str).filter(|_| path != calls.dir).unwrap_or(".");
        // SQLite never renames; its other calls are judged by `faulty_disk`.
        if file == "journal.db-wal" && matches!(call, "fsync" | "fdatasync") {
            lock(&calls.state).log_flushes.push(call);
        }
        if file.starts_with("journal.db") && call != "rename" {
            return None;
        }
        calls.judge(call, file)
    });
    JUDGING.set(false);
    if let Some(error) = error {
        // SAFETY: the C library gives the address of this thread's `errno`.
        unsafe { *__errno_location() = error };
    }
    error.is_some()
}

fn named(path: *const c_char) -> Option<PathBuf> {
    // SAFETY: whoever calls a C function with a path gives a string that ends with a zero.
    let bytes = unsafe { CStr::from_ptr(path) }.to_bytes();
    let path = Path::new(OsStr::from_bytes(bytes));
    Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?))
}

fn opened(file: c_int) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{file}")).ok()
}

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// The C library's own function of this name: the next one after ours.
fn real(name: &CStr) -> *mut c_void {
    const NEXT: *mut c_void = std::ptr::without_provenance_mut(usize::MAX);
    // SAFETY: a handle that the C library knows, and a string that ends with a zero.
    let function = unsafe { dlsym(NEXT, name.as_ptr()) };
    assert!(!function.is_null(), "the C library has it");
    function
}

/// A function of the C library that is asked about first; `$path` names the file that it is about.
macro_rules! judged {
    ($name:ident, $literal:literal, ($($argument:ident: $type:ty),*) -> $result:ty, $path:expr) => {
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $type),*) -> $result {
            if refused(stringify!($name), || $path) {
                return -1;
            }
            type Function = unsafe extern "C" fn($($type),*) -> $result;
            // SAFETY: this is the function of that name, and these are its arguments.
            unsafe { std::mem::transmute::<*mut c_void, Function>(real($literal))($($argument),*) }
        }
    };
}

// The mode of `open64` is passed like any other third argument.
judged!(open64, c"open64", (path: *const c_char, flags: c_int, mode: c_uint) -> c_int, named(path));
judged!(mkdir, c"mkdir", (path: *const c_char, mode: c_uint) -> c_int, named(path));
judged!(rename, c"rename", (from: *const c_char, to: *const c_char) -> c_int, named(from));
judged!(unlink, c"unlink", (path: *const c_char) -> c_int, named(path));
judged!(fsync, c"fsync", (file: c_int) -> c_int, opened(file));
judged!(fdatasync, c"fdatasync", (file: c_int) -> c_int, opened(file));
judged!(read, c"read", (file: c_int, to: *mut c_void, count: usize) -> isize, opened(file));
judged!(write, c"write", (file: c_int, from: *const c_void, count: usize) -> isize, opened(file));

#[test]
fn calls_fail_as_planned_and_no_others() {
    let (dir, other) = (crate::run::scratch(), crate::run::scratch());
    let calls = Calls::attach(dir.path());
    let write = |dir: &Path| std::fs::write(dir.join("file"), b"text");
    write(dir.path()).unwrap();
    assert_eq!(calls.count(), 2, "open and write");
    calls.fail(2, Fault::NoSpace);
    write(other.path()).unwrap();
    assert_eq!(write(dir.path()).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(calls.heal().as_deref(), Some("write file"));
    calls.fail(1, Fault::Dead);
    let (from, to) = (dir.path().join("file"), dir.path().join("other"));
    assert!(std::fs::rename(&from, &to).is_err() && std::fs::remove_file(&from).is_err());
    assert_eq!(calls.heal().as_deref(), Some("rename file"));
    std::fs::rename(&from, &to).unwrap();
}

/// SQLite takes `fsync` unless it is built otherwise (`.cargo/config.toml`): correct, and slower.
#[test]
fn a_commit_is_flushed_by_fdatasync() {
    let dir = crate::run::scratch();
    let calls = Calls::attach(dir.path());
    crate::run::Run::open(dir.path(), crate::run::LIMITS).unwrap().append_all(5).unwrap();
    let flushes = std::mem::take(&mut lock(&calls.state).log_flushes);
    assert!(flushes.len() >= 5, "a flush a commit: {flushes:?}");
    assert!(flushes.iter().all(|call| *call == "fdatasync"), "{flushes:?}");
}
