//! The way into SQLite: its default file system with some calls judged by a [`Disk`] first.
//! Never changes what a call does for a file outside the attached folders.

#![expect(unsafe_code, reason = "SQLite's file system is a table of C functions")]

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError, Weak};

use rusqlite::ffi;

use super::{Call, Disk, Verdict};

/// Sends files below the disk's folder through it.
pub(super) fn attach(disk: &Arc<Disk>) {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(register);
    let mut disks = lock(&DISKS);
    disks.retain(|known| known.strong_count() > 0);
    disks.push(Arc::downgrade(disk));
}

static DISKS: Mutex<Vec<Weak<Disk>>> = Mutex::new(Vec::new());
/// Files that SQLite has open, by the address of its handle.
static OPEN: Mutex<Option<HashMap<usize, Handle>>> = Mutex::new(None);
static REAL: OnceLock<Real> = OnceLock::new();
/// By the address of the real table: a database and its logs have different ones.
static METHODS: Mutex<Option<HashMap<usize, &'static Methods>>> = Mutex::new(None);

#[derive(Clone)]
struct Handle {
    disk: Arc<Disk>,
    file: String,
    methods: &'static Methods,
}

/// The file system that was the default one before.
struct Real(*mut ffi::sqlite3_vfs);
// SAFETY: SQLite's own file systems are static and made for use by many threads.
unsafe impl Send for Real {}
// SAFETY: as above.
unsafe impl Sync for Real {}

/// The real methods of a file, and the same with ours in place of some.
struct Methods {
    real: ffi::sqlite3_io_methods,
    judged: ffi::sqlite3_io_methods,
}

fn register() {
    // SAFETY: a null name asks for the default file system, which lives as long as the process. The copy is
    // leaked, so SQLite may keep it; its functions have the signatures of the table.
    unsafe {
        let real = ffi::sqlite3_vfs_find(ptr::null());
        let mut ours = *real;
        ours.zName = c"judged".as_ptr();
        ours.pNext = ptr::null_mut();
        ours.xOpen = Some(open);
        ours.xDelete = Some(delete);
        let _ = REAL.set(Real(real));
        let done = ffi::sqlite3_vfs_register(Box::into_raw(Box::new(ours)), 1);
        assert_eq!(done, ffi::SQLITE_OK, "SQLite takes a file system");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn disk_of(path: *const c_char) -> Option<(Arc<Disk>, String)> {
    if path.is_null() {
        return None;
    }
    // SAFETY: SQLite gives a path as a string that ends with a zero.
    let path = Path::new(unsafe { CStr::from_ptr(path) }.to_str().ok()?);
    let (dir, file) = (path.parent()?, path.file_name()?.to_str()?);
    let disk = lock(&DISKS).iter().filter_map(Weak::upgrade).find(|disk| disk.dir == dir)?;
    Some((disk, file.to_owned()))
}

fn handle_of(file: *mut ffi::sqlite3_file) -> Handle {
    let open = lock(&OPEN);
    open.as_ref()
        .and_then(|open| open.get(&(file as usize)))
        .cloned()
        .expect("only our files have our methods")
}

impl Handle {
    fn refusal(&self, call: &Call<'_>, code: c_int) -> Option<c_int> {
        refusal(&self.disk, &self.file, call, code)
    }
}

/// `None` when the call may pass.
fn refusal(disk: &Disk, file: &str, call: &Call<'_>, code: c_int) -> Option<c_int> {
    match disk.judge(file, call) {
        Verdict::Pass => None,
        Verdict::Full => Some(ffi::SQLITE_FULL),
        Verdict::Fail | Verdict::Half | Verdict::Lost => Some(code),
    }
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let ours = disk_of(name);
    // SAFETY: all pointers come from SQLite, which asks for `szOsFile` bytes of the real file system.
    unsafe {
        if let Some((disk, name)) = &ours
            && refusal(disk, name, &Call::Open, ffi::SQLITE_CANTOPEN).is_some()
        {
            (*file).pMethods = ptr::null();
            return ffi::SQLITE_CANTOPEN;
        }
        let real = REAL.get().expect("set before SQLite knew of us").0;
        let done = ((*real).xOpen.expect("a file system opens"))(real, name, file, flags, out);
        if let (ffi::SQLITE_OK, Some((disk, name))) = (done, ours) {
            let methods = judged((*file).pMethods);
            (*file).pMethods = &raw const methods.judged;
            disk.opened(&name);
            lock(&OPEN).get_or_insert_default().insert(file as usize, Handle { disk, file: name, methods });
        }
        done
    }
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    if let Some((disk, name)) = disk_of(name)
        && let Some(code) = refusal(&disk, &name, &Call::Delete, ffi::SQLITE_IOERR_DELETE)
    {
        return code;
    }
    // SAFETY: as in `open`.
    unsafe {
        let real = REAL.get().expect("set before SQLite knew of us").0;
        ((*real).xDelete.expect("a file system deletes"))(real, name, sync)
    }
}

fn judged(table: *const ffi::sqlite3_io_methods) -> &'static Methods {
    let mut tables = lock(&METHODS);
    tables.get_or_insert_default().entry(table as usize).or_insert_with(|| {
        // SAFETY: the tables of the real file system are static.
        let real = unsafe { *table };
        let judged = ffi::sqlite3_io_methods {
            // Without the third version no file is mapped into memory, so every read comes through here.
            iVersion: real.iVersion.min(2),
            xClose: Some(close),
            xRead: Some(read),
            xWrite: Some(write),
            xTruncate: Some(truncate),
            xSync: Some(sync),
            xFileSize: Some(size),
            xShmMap: real.xShmMap.map(|_| index as _),
            ..real
        };
        Box::leak(Box::new(Methods { real, judged }))
    })
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let handle = handle_of(file);
    lock(&OPEN).get_or_insert_default().remove(&(file as usize));
    // SAFETY: as in `open`.
    unsafe { (handle.methods.real.xClose.expect("in the table"))(file) }
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, to: *mut c_void, count: c_int, at: i64) -> c_int {
    let handle = handle_of(file);
    if let Some(code) = handle.refusal(&Call::Read, ffi::SQLITE_IOERR_READ) {
        return code;
    }
    // SAFETY: as in `open`.
    unsafe { (handle.methods.real.xRead.expect("in the table"))(file, to, count, at) }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    count: c_int,
    at: i64,
) -> c_int {
    let length = usize::try_from(count).unwrap_or(0);
    // SAFETY: SQLite gives `count` readable bytes; `real` writes as in `open`.
    unsafe {
        let bytes = std::slice::from_raw_parts(from.cast::<u8>(), length);
        let call = Call::Write { at: usize::try_from(at).unwrap_or(0), bytes };
        let handle = handle_of(file);
        let verdict = handle.disk.judge(&handle.file, &call);
        let write = handle.methods.real.xWrite.expect("in the table");
        match verdict {
            Verdict::Pass => write(file, from, count, at),
            Verdict::Full => ffi::SQLITE_FULL,
            Verdict::Half => {
                write(file, from, count / 2, at);
                ffi::SQLITE_IOERR_WRITE
            }
            Verdict::Fail | Verdict::Lost => ffi::SQLITE_IOERR_WRITE,
        }
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: i64) -> c_int {
    let call = Call::Truncate { length: usize::try_from(length).unwrap_or(0) };
    let handle = handle_of(file);
    if let Some(code) = handle.refusal(&call, ffi::SQLITE_IOERR_TRUNCATE) {
        return code;
    }
    // SAFETY: as in `open`.
    unsafe { (handle.methods.real.xTruncate.expect("in the table"))(file, length) }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    let handle = handle_of(file);
    if let Some(code) = handle.refusal(&Call::Sync, ffi::SQLITE_IOERR_FSYNC) {
        return code;
    }
    if handle.disk.state().lazy && handle.file.ends_with("-wal") {
        return ffi::SQLITE_OK;
    }
    // SAFETY: as in `open`.
    unsafe { (handle.methods.real.xSync.expect("in the table"))(file, flags) }
}

unsafe extern "C" fn size(file: *mut ffi::sqlite3_file, to: *mut i64) -> c_int {
    let handle = handle_of(file);
    if let Some(code) = handle.refusal(&Call::Size, ffi::SQLITE_IOERR_FSTAT) {
        return code;
    }
    // SAFETY: as in `open`.
    unsafe { (handle.methods.real.xFileSize.expect("in the table"))(file, to) }
}

unsafe extern "C" fn index(
    file: *mut ffi::sqlite3_file,
    page: c_int,
    bytes: c_int,
    extend: c_int,
    to: *mut *mut c_void,
) -> c_int {
    let handle = handle_of(file);
    if let Some(code) = handle.refusal(&Call::Index, ffi::SQLITE_IOERR_SHMMAP) {
        return if code == ffi::SQLITE_FULL { ffi::SQLITE_IOERR_SHMSIZE } else { code };
    }
    // SAFETY: as in `open`.
    unsafe { (handle.methods.real.xShmMap.expect("in the table"))(file, page, bytes, extend, to) }
}
