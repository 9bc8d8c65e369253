//! What stands in the file of references, and what must not.

use std::num::NonZeroU32;

use zhenyin_core::biometric::{Probe, Reference};
use zhenyin_core::card::PersonName;
use zhenyin_core::enrolled::{Consent, Role};
use zhenyin_core::ids::{Pepper, Sequence, SubjectKind};
use zhenyin_core::pin::{Pin, PinVerifier};
use zhenyin_core::time::WallTime;

use super::*;

const MODEL: ModelDigest = ModelDigest([3; 32]);
const CONSENT: Consent = Consent { event: Sequence(7), at: WallTime(1_777_593_660_250) };

fn key(byte: u8) -> DataKey {
    DataKey::take(&mut [byte; 32])
}

fn token(kind: SubjectKind, number: &str) -> SubjectToken {
    Pepper::new([1; 32]).token(kind, number)
}

fn person(token: SubjectToken) -> Enrolled {
    let features = (0..128).map(|i| (i as f32 * 0.37).sin()).collect();
    let pin = Pin::parse("493827").unwrap();
    Enrolled {
        token,
        name: PersonName::new("测试药师"),
        role: Some(Role::parse("pharmacist").unwrap()),
        reference: Reference::enrol(&[Probe::new(MODEL, features).unwrap()]),
        pin: Some(PinVerifier::new(&pin, [5; 16], NonZeroU32::new(10).unwrap())),
        without_challenge: false,
        consent: Some(CONSENT),
    }
}

/// All bytes of all files in `dir`.
fn raw(dir: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.flat_map(|path| std::fs::read(path).unwrap()).collect()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn the_wish_never_to_be_asked_to_turn_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = References::open(dir.path(), &key(1)).unwrap();
    for without_challenge in [true, false, true] {
        let who = person(token(SubjectKind::Operator, "110105184903070074"));
        store.put(&Enrolled { without_challenge, ..who.clone() }).unwrap();
        assert_eq!(store.get(&who.token).unwrap().unwrap().without_challenge, without_challenge);
    }
}

#[test]
fn a_person_comes_back_whole_from_another_run() {
    let dir = tempfile::tempdir().unwrap();
    let operator = token(SubjectKind::Operator, "110105184903070074");
    let patient = token(SubjectKind::Patient, "110105184903070074");
    {
        let store = References::open(dir.path(), &key(1)).unwrap();
        store.put(&person(operator.clone())).unwrap();
        let face_declined =
            Enrolled { reference: None, role: None, pin: None, consent: None, ..person(patient.clone()) };
        store.put(&face_declined).unwrap();
    }
    let store = References::open(dir.path(), &key(1)).unwrap();
    let found = store.get(&operator).unwrap().unwrap();
    let wanted = person(operator.clone());
    assert_eq!((found.name, found.role, found.pin), (wanted.name, wanted.role, wanted.pin));
    assert_eq!(found.consent, Some(CONSENT));
    let (found, wanted) = (found.reference.unwrap(), wanted.reference.unwrap());
    assert_eq!((found.model(), found.to_bytes()), (MODEL, wanted.to_bytes()));
    let found = store.get(&patient).unwrap().unwrap();
    assert!(found.reference.is_none() && found.role.is_none() && found.pin.is_none());
    assert_eq!((store.count().unwrap(), store.staff().unwrap().len()), (2, 1));
    assert!(store.get(&token(SubjectKind::Card, "x")).unwrap().is_none());
}

/// S4: privacy at rest.
#[test]
fn s4_raw_files_hold_neither_features_nor_name_nor_pin_hash() {
    let dir = tempfile::tempdir().unwrap();
    let person = person(token(SubjectKind::Operator, "1"));
    let features = person.reference.as_ref().unwrap().to_bytes();
    let store = References::open(dir.path(), &key(1)).unwrap();
    store.put(&person).unwrap();
    let pin = person.pin.as_ref().unwrap().to_bytes();
    // Sixteen bytes are four floats: too many to be there by chance, few enough to sit in one page.
    let secrets = [&features[..16], &features[256..272], person.name.expose().as_bytes(), &pin[4..20]];
    let found = raw(dir.path());
    for secret in secrets {
        assert!(!contains(&found, secret));
    }
    assert!(contains(&found, person.token.as_str().as_bytes()), "control: the search reads the right files");

    let unsealed = record::to_bytes(&person);
    store.connection.execute("UPDATE enrolled SET sealed = ?1", [unsealed.as_slice()]).unwrap();
    let found = raw(dir.path());
    for secret in secrets {
        assert!(contains(&found, secret), "control: an unsealed record is found by the same search");
    }
}

#[test]
fn what_is_deleted_or_replaced_is_overwritten_in_every_file() {
    let dir = tempfile::tempdir().unwrap();
    let person = person(token(SubjectKind::Operator, "1"));
    let store = References::open(dir.path(), &key(1)).unwrap();
    let sealed = |store: &References| -> Vec<u8> {
        store.connection.query_row("SELECT sealed FROM enrolled", [], |row| row.get(0)).unwrap()
    };
    store.put(&person).unwrap();
    let first = sealed(&store);
    assert!(contains(&raw(dir.path()), &first), "control: the record is found while it is there");
    store.put(&person).unwrap();
    let second = sealed(&store);
    assert_ne!(first, second, "every write has a fresh nonce");
    assert!(!contains(&raw(dir.path()), &first[..32]), "replaced");
    assert!(store.delete(&person.token).unwrap());
    assert!(!contains(&raw(dir.path()), &second[..32]), "deleted");
    assert!(!contains(&raw(dir.path()), person.token.as_str().as_bytes()));
    assert!(!store.delete(&person.token).unwrap());
}

#[test]
fn a_changed_moved_or_foreign_record_is_named() {
    let check = |change: &str, with: u8| {
        let dir = tempfile::tempdir().unwrap();
        let person = person(token(SubjectKind::Operator, "1"));
        let other = token(SubjectKind::Operator, "2");
        References::open(dir.path(), &key(1)).unwrap().put(&person).unwrap();
        let store = References::open(dir.path(), &key(with)).unwrap();
        store.connection.execute_batch(&change.replace("OTHER", other.as_str())).unwrap();
        let results = [store.get(&person.token), store.get(&other)];
        let damaged = |r: &Result<Option<Enrolled>, _>| matches!(r, Err(ReferencesError::Damaged { .. }));
        assert_eq!(results.iter().any(damaged), !change.is_empty() || with != 1, "{change}");
        assert_eq!(store.staff().is_err(), !change.is_empty() || with != 1, "{change}");
    };
    check("", 1);
    check("", 2);
    check("UPDATE enrolled SET token = 'OTHER'", 1);
    check("UPDATE enrolled SET model = zeroblob(32)", 1);
    check("UPDATE enrolled SET sealed = CAST(substr(sealed, 1, length(sealed) - 1) || x'00' AS BLOB)", 1);
    check("UPDATE enrolled SET sealed = x'00'", 1);
}

#[test]
fn a_file_of_another_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    References::open(dir.path(), &key(1))
        .unwrap()
        .connection
        .execute_batch("PRAGMA user_version = 9")
        .unwrap();
    let error = References::open(dir.path(), &key(1)).unwrap_err();
    assert!(matches!(error, ReferencesError::Version { found: 9, .. }), "{error}");
}
