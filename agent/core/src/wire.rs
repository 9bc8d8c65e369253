//! Bodies of the upload protocol, the same for terminal and upstream.
//! Never believes anything: a well-formed answer is still only a claim until its receipt is verified.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Normal number of events in a request, and the most that an upstream must take.
pub const BATCH: usize = 100;
pub const BATCH_LIMIT: usize = 500;
/// Most bytes of a request body as it travels, and once decompressed.
pub const BODY_LIMIT: usize = 1 << 20;
pub const PLAIN_LIMIT: usize = 8 << 20;

/// Body of `POST /v1/chains/<chain>/events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadRequest {
    /// Sequence number of the first event.
    pub first: u64,
    /// Sealed events, one after the other. Empty when only the checkpoint wants a receipt.
    pub events: Vec<String>,
    /// Note of the log for the size after the last event.
    pub checkpoint: String,
    /// Size of the last receipt the terminal holds.
    pub old: u64,
}

/// Body of a `200`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadReceipt {
    pub size: u64,
    /// The note with the witness's line.
    pub receipt: String,
    /// Events that were kept but not understood, by sequence number.
    #[serde(rename = "setErrs", default)]
    pub quarantined: BTreeMap<String, Quarantine>,
    /// The upstream's clock, RFC 3339.
    #[serde(default)]
    pub time: String,
    /// Milliseconds to wait before the next request.
    #[serde(default)]
    pub next_ms: u64,
}

/// Why an event was set aside, in the words of RFC 8936.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    pub err: String,
}

/// Body of a `409`: the number of events the upstream has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeConflict {
    pub size: u64,
}

/// Body of `GET /v1/chains/<chain>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainStatus {
    pub size: u64,
    /// The newest receipt, if there is one.
    pub receipt: Option<String>,
}

/// What came of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamAnswer {
    Accepted(UploadReceipt),
    Conflict {
        size: u64,
    },
    TooLarge,
    /// Come back, at the earliest after this time.
    RetryAfter(Duration),
    /// No answer: no connection, time-out, cut body.
    Unreachable(String),
    /// The other side did not prove who it is: nothing was sent to it.
    Untrusted(String),
    /// An answer that the protocol does not have.
    Nonsense(String),
}

impl UpstreamAnswer {
    /// Reads status, `Retry-After` header and body of a complete answer.
    pub fn from_http(status: u16, retry_after: Option<&str>, body: &[u8]) -> Self {
        let wait = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        match status {
            200 => match serde_json::from_slice(body) {
                Ok(receipt) => Self::Accepted(receipt),
                Err(error) => Self::Nonsense(format!("body of status 200: {error}")),
            },
            409 => match serde_json::from_slice::<SizeConflict>(body) {
                Ok(conflict) => Self::Conflict { size: conflict.size },
                Err(error) => Self::Nonsense(format!("body of status 409: {error}")),
            },
            413 => Self::TooLarge,
            429 | 503 => Self::RetryAfter(wait.unwrap_or_default()),
            _ => wait.map_or_else(|| Self::Nonsense(format!("status {status}")), Self::RetryAfter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_become_answers() {
        let check = |status, header, body: &str, want: &str| {
            let got = format!("{:?}", UpstreamAnswer::from_http(status, header, body.as_bytes()));
            assert!(got.starts_with(want), "{status} {body}: {got}");
        };
        check(200, None, r#"{"size":3,"receipt":"r","setErrs":{"1":{"err":"x"}},"next_ms":5}"#, "Accepted");
        check(200, None, r#"{"size":3,"receipt":"r","new_member":1}"#, "Accepted");
        check(200, None, r#"{"size":-3,"receipt":"r"}"#, "Nonsense");
        check(200, None, "<html>", "Nonsense");
        check(409, None, r#"{"size":3}"#, "Conflict { size: 3 }");
        check(409, None, "", "Nonsense");
        check(413, None, "", "TooLarge");
        check(429, Some("7"), "", "RetryAfter(7s)");
        check(503, Some("soon"), "", "RetryAfter(0ns)");
        check(500, Some("9"), "", "RetryAfter(9s)");
        check(302, None, "", "Nonsense(\"status 302\")");
    }
}
