//! `synchronous=NORMAL` behind the journal's back: commits are no longer flushed, and the journal does not know.
//! Never part of anything but a control that must lose events.

#![expect(unsafe_code, reason = "SQLite tells of its connections by pointers")]

use std::ffi::{c_char, c_int};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use rusqlite::ffi;

/// Remembers the connection that this process opens last, from now on.
pub fn remember_connection() {
    // SAFETY: the function has the signature that SQLite calls, and is there for as long as the process.
    let done = unsafe { ffi::sqlite3_auto_extension(Some(opened)) };
    assert_eq!(done, ffi::SQLITE_OK, "SQLite takes an extension");
}

/// # Safety
/// The connection that was opened last must be open still, and used by this thread alone.
pub unsafe fn relax_connection() {
    let connection = CONNECTION.load(Ordering::SeqCst);
    assert!(!connection.is_null(), "a connection is open");
    // SAFETY: as promised by the caller.
    let done = unsafe {
        ffi::sqlite3_exec(
            connection,
            c"PRAGMA synchronous=NORMAL".as_ptr(),
            None,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    assert_eq!(done, ffi::SQLITE_OK, "SQLite takes the setting");
}

static CONNECTION: AtomicPtr<ffi::sqlite3> = AtomicPtr::new(ptr::null_mut());

unsafe extern "C" fn opened(
    connection: *mut ffi::sqlite3,
    _: *mut *mut c_char,
    _: *const ffi::sqlite3_api_routines,
) -> c_int {
    CONNECTION.store(connection, Ordering::SeqCst);
    ffi::SQLITE_OK
}
