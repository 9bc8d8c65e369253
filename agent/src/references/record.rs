//! One enrolled person as bytes: five fields or six, each a length (u32, most significant byte first) and its bytes.
//! Never kept in clear longer than one call: the buffer is zeroed when dropped.

use zeroize::Zeroizing;
use zhenyin_core::biometric::{ModelDigest, Reference};
use zhenyin_core::card::PersonName;
use zhenyin_core::enrolled::{Consent, Enrolled, Role};
use zhenyin_core::ids::{Sequence, SubjectToken};
use zhenyin_core::pin::PinVerifier;
use zhenyin_core::time::WallTime;

/// The model of the reference; all zero for somebody who declined face.
pub(super) fn model(person: &Enrolled) -> ModelDigest {
    person.reference.as_ref().map_or(NO_MODEL, |reference| reference.model())
}

/// Role, name, features, PIN verifier, consent, and `1` in a sixth field for whoever is never asked to turn the head.
/// A field that is absent is empty, the sixth is not there at all: so it is with records from before it.
pub(super) fn to_bytes(person: &Enrolled) -> Zeroizing<Vec<u8>> {
    let features = Zeroizing::new(person.reference.as_ref().map(Reference::to_bytes).unwrap_or_default());
    let pin = Zeroizing::new(person.pin.as_ref().map(|pin| pin.to_bytes().to_vec()).unwrap_or_default());
    let consent = person.consent.map(|c| [c.event.0.to_be_bytes(), c.at.0.to_be_bytes()].concat());
    let consent = consent.unwrap_or_default();
    let mut fields: Vec<&[u8]> = vec![
        person.role.as_ref().map_or("", Role::as_str).as_bytes(),
        person.name.expose().as_bytes(),
        &features,
        &pin,
        &consent,
    ];
    if person.without_challenge {
        fields.push(WITHOUT_CHALLENGE);
    }
    // Exact room: growing would leave a copy of the features behind in freed memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(fields.iter().map(|f| 4 + f.len()).sum()));
    for field in fields {
        let length = u32::try_from(field.len()).expect("a field is far below 4 GiB");
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(field);
    }
    bytes
}

/// The reverse; `None` for bytes that this build did not write.
pub(super) fn from_bytes(token: &SubjectToken, model: ModelDigest, bytes: &[u8]) -> Option<Enrolled> {
    let mut rest = bytes;
    let mut fields = [[].as_slice(); FIELDS];
    for field in &mut fields {
        (*field, rest) = split(rest)?;
    }
    let [role, name, features, pin, consent] = fields;
    let without_challenge = !rest.is_empty();
    if without_challenge {
        let (field, after) = split(rest)?;
        rest = after;
        (field == WITHOUT_CHALLENGE).then_some(())?;
    }
    let person = Enrolled {
        token: token.clone(),
        name: PersonName::new(text(name)?),
        role: optional(role, |role| Role::parse(text(role)?).ok())?,
        reference: optional(features, |features| Reference::from_bytes(model, features))?,
        pin: optional(pin, PinVerifier::from_bytes)?,
        without_challenge,
        consent: optional(consent, |bytes| {
            let (event, at) = bytes.split_first_chunk::<8>()?;
            let (event, at) = (u64::from_be_bytes(*event), i64::from_be_bytes(at.try_into().ok()?));
            Some(Consent { event: Sequence(event), at: WallTime(at) })
        })?,
    };
    rest.is_empty().then_some(person)
}

const FIELDS: usize = 5;
const WITHOUT_CHALLENGE: &[u8] = b"1";
const NO_MODEL: ModelDigest = ModelDigest([0; 32]);

/// The first field and what follows it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, after) = bytes.split_first_chunk::<4>()?;
    after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

fn text(field: &[u8]) -> Option<&str> {
    std::str::from_utf8(field).ok()
}

/// An absent field is fine, a malformed one is not.
fn optional<T>(field: &[u8], parse: impl FnOnce(&[u8]) -> Option<T>) -> Option<Option<T>> {
    if field.is_empty() { Some(None) } else { parse(field).map(Some) }
}
