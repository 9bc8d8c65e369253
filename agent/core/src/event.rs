//! Events: one struct a type, and the CloudEvents 1.0 envelope around it.
//! Never carries anything biometric but a score bucket, and never a float: a test walks every type.

pub mod act;
pub mod inspection;
pub mod lifecycle;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canonical::{CanonicalError, Object};
use crate::ids::{BootId, ChainId, Sequence, SubjectToken, TerminalId};
use crate::merkle::Hash;
use crate::time::{Boottime, ClockTrust, WallTime};

/// Longest sealed event in bytes, so that none can ever be too big to upload.
pub const SEALED_LIMIT: usize = 16_384;

/// The payload of one event type. Field names become members of `data`; numbers are whole.
pub trait EventData: Serialize {
    /// `<area>.<verb>.v<N>`.
    const TYPE: &'static str;

    /// Whom the event is about, as a keyed pseudonym.
    fn subject(&self) -> Option<&SubjectToken> {
        None
    }
}

/// An event that is not yet part of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub kind: String,
    pub subject: Option<SubjectToken>,
    /// Always a JSON object.
    pub data: Value,
}

impl Draft {
    /// # Errors
    /// [`EventError::Data`] when the data have no form in JSON or are no object.
    pub fn of<E: EventData>(event: &E) -> Result<Self, EventError> {
        let data = serde_json::to_value(event).map_err(|e| EventError::Data(CanonicalError::Shape(e)))?;
        if !data.is_object() {
            return Err(EventError::NoObject { kind: E::TYPE.to_owned() });
        }
        Ok(Self { kind: E::TYPE.to_owned(), subject: event.subject().cloned(), data })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum EventError {
    #[error("event data cannot be written")]
    Data(#[source] CanonicalError),
    #[error("data of event type `{kind}` are no object")]
    NoObject { kind: String },
    #[error("payload is not an event envelope")]
    Envelope(#[source] serde_json::Error),
    #[error("`{member}` of the envelope is malformed")]
    Member { member: &'static str },
    #[error("payload is not in canonical form")]
    NotCanonical,
}

/// Every attribute of one chained event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub kind: String,
    pub subject: Option<SubjectToken>,
    pub data: Value,
    pub terminal: TerminalId,
    pub chain: ChainId,
    pub sequence: Sequence,
    /// Leaf hash of the event before; of the grant for the first event.
    pub prev: Hash,
    pub boot: BootId,
    pub boottime: Boottime,
    pub clock: ClockTrust,
    pub time: WallTime,
}

impl Envelope {
    /// The canonical JSON text that is signed.
    ///
    /// # Errors
    /// [`EventError::Data`] when the data hold a float or a number of 2^53 and above.
    pub fn to_payload(&self) -> Result<String, EventError> {
        let chain = self.chain.to_string();
        let object = Object::begin(PAYLOAD)
            .text("bootid", &self.boot.to_string())
            .text("boottimens", &self.boottime.0.as_nanos().to_string())
            .text("chainid", &chain)
            .text("clockstate", self.clock.as_str())
            .value("data", &self.data)
            .map_err(EventError::Data)?
            .text("datacontenttype", "application/json")
            .text("id", &format!("{chain}/{}", self.sequence))
            .text("prevhash", &encode_hash(&self.prev))
            .text("sequence", &format!("{:020}", self.sequence.0))
            .text("source", &format!("urn:uuid:{}", self.terminal))
            .text("specversion", "1.0");
        let object = match &self.subject {
            Some(subject) => object.text("subject", subject.as_str()),
            None => object,
        };
        Ok(object.text("time", &self.time.rfc3339()).text("type", &self.kind).end())
    }

    /// Reads a payload strictly: exactly these attributes, each in its one form.
    ///
    /// # Errors
    /// [`EventError`] names the first attribute that is wrong.
    pub fn parse(payload: &[u8]) -> Result<Self, EventError> {
        let wire: Wire = serde_json::from_slice(payload).map_err(EventError::Envelope)?;
        let envelope = wire.check()?;
        // One comparison covers what the members alone do not show: order, spacing, twin keys, floats.
        if envelope.to_payload().map_err(|_| EventError::NotCanonical)?.as_bytes() != payload {
            return Err(EventError::NotCanonical);
        }
        Ok(envelope)
    }
}

/// Type of a sealed event, read without any check: for choosing what to do with our own events.
pub fn kind_unverified(sealed: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Kind {
        r#type: String,
    }
    let payload = crate::jws::payload_unverified(sealed)?;
    serde_json::from_slice::<Kind>(&payload).ok().map(|kind| kind.r#type)
}

/// One event type with an example of it, for the tests that walk every type.
pub struct EventKind {
    pub name: &'static str,
    pub example: fn() -> Draft,
}

/// Every event type of this build.
pub fn kinds() -> impl Iterator<Item = &'static EventKind> {
    [lifecycle::KINDS, act::KINDS, inspection::KINDS].into_iter().flatten()
}

/// A hash as events write it: base64url without padding.
pub fn encode_hash(hash: &Hash) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash.0)
}

fn decode_hash(text: &str) -> Option<Hash> {
    use base64::Engine as _;
    Hash::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    specversion: String,
    id: String,
    source: String,
    r#type: String,
    time: String,
    datacontenttype: String,
    #[serde(default)]
    subject: Option<String>,
    data: Value,
    chainid: ChainId,
    sequence: String,
    prevhash: String,
    bootid: BootId,
    boottimens: String,
    clockstate: ClockTrust,
}

impl Wire {
    fn check(self) -> Result<Envelope, EventError> {
        let bad = |member| EventError::Member { member };
        let sequence: u64 = self.sequence.parse().map_err(|_| bad("sequence"))?;
        let terminal = self.source.strip_prefix("urn:uuid:").ok_or_else(|| bad("source"))?;
        let nanos: u64 = self.boottimens.parse().map_err(|_| bad("boottimens"))?;
        let subject = match &self.subject {
            None => None,
            Some(text) => Some(SubjectToken::parse(text).ok_or_else(|| bad("subject"))?),
        };
        let rules = [
            ("specversion", self.specversion == "1.0"),
            ("datacontenttype", self.datacontenttype == "application/json"),
            ("id", self.id == format!("{}/{sequence}", self.chainid)),
            ("type", is_kind(&self.r#type)),
            ("data", self.data.is_object()),
        ];
        if let Some((member, _)) = rules.into_iter().find(|(_, good)| !good) {
            return Err(bad(member));
        }
        Ok(Envelope {
            kind: self.r#type,
            subject,
            data: self.data,
            terminal: TerminalId(terminal.parse().map_err(|_| bad("source"))?),
            chain: self.chainid,
            sequence: Sequence(sequence),
            prev: decode_hash(&self.prevhash).ok_or_else(|| bad("prevhash"))?,
            boot: self.bootid,
            boottime: Boottime(Duration::from_nanos(nanos)),
            clock: self.clockstate,
            time: WallTime::parse_rfc3339(&self.time).ok_or_else(|| bad("time"))?,
        })
    }
}

/// `<area>.<verb>.v<N>`, each part of lower-case letters, digits, `-` and `_`.
fn is_kind(text: &str) -> bool {
    let word = |w: &str| {
        !w.is_empty()
            && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    let parts: Vec<&str> = text.split('.').collect();
    matches!(parts[..], [area, verb, version] if word(area) && word(verb)
        && version.strip_prefix('v').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())))
}

/// Bytes of a usual payload.
const PAYLOAD: usize = 1024;

#[cfg(test)]
mod tests;
