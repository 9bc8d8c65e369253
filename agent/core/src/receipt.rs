//! The check of a receipt: signed by the pinned witness, for this log, this size and this root.
//! Never takes the word of an HTTP status for it.

use crate::chain::Head;
use crate::note::{Note, NoteError, VerifierKey};
use crate::time::WallTime;

#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    #[error("receipt cannot be believed")]
    Note(#[source] NoteError),
    #[error("receipt is for log `{found}`")]
    Origin { found: String },
    #[error("receipt is for size {found}, not {expected}")]
    Size { found: u64, expected: u64 },
    #[error("receipt of size {size} has another root than this log: history differs")]
    Root { size: u64 },
}

/// Checks a receipt against what the terminal itself has, and gives the witness's time.
///
/// # Errors
/// [`ReceiptError`]; nothing may be marked as sent then.
pub fn verify_receipt(
    receipt: &Note,
    origin: &str,
    witness: &VerifierKey,
    head: Head,
) -> Result<WallTime, ReceiptError> {
    let found = receipt.checkpoint();
    let at = receipt.verify_witness(witness).map_err(ReceiptError::Note)?;
    if found.origin != origin {
        return Err(ReceiptError::Origin { found: found.origin.clone() });
    }
    if found.size != head.size {
        return Err(ReceiptError::Size { found: found.size, expected: head.size });
    }
    if found.root != head.root {
        return Err(ReceiptError::Root { size: head.size });
    }
    Ok(at)
}
