//! A new signing key is asked for, takes over at the next start, and the chain goes on: for the upstream, for an
//! export, and wherever the machine stops between two steps.
//! Never two keys for one place, and never a start with a key file that is older than the journal.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse as _;
use clap::Parser as _;
use zhenyin::cli::{Cli, run};
use zhenyin::durable_file;
use zhenyin::export::{self, Inspection, Recipients, Selection};
use zhenyin::journal::{Epoch, Journal, JournalReader, Limits};
use zhenyin::keystore::{KeyStore, KeyStoreError};
use zhenyin::terminal_enrolment::TerminalEnrolment;
use zhenyin_core::api::{Outcome, Request as Act};
use zhenyin_core::chain::SealedEvent;
use zhenyin_core::event::kind_unverified;
use zhenyin_core::jws::{self, Form};
use zhenyin_core::merkle::CompactRange;
use zhenyin_core::signer::{KeyId, PublicKey, Signer as _};
use zhenyin_core::time::WallTime;
use zhenyin_core::verify::Fault;
use zhenyin_tests::card_reader::CardSpec;
use zhenyin_tests::world::World;
use zhenyin_verify::PackageError;

fn keys(world: &World) -> KeyStore {
    KeyStore::open(&world.config.state.join("keys")).unwrap()
}

fn signs(world: &World) -> KeyId {
    keys(world).signer().public_key().key_id()
}

/// The key file as it was before some step, put back as a cut would have left it.
struct Before(PathBuf, Vec<u8>);

impl Before {
    fn of(state: &Path) -> Self {
        let file = state.join("keys").join("keys");
        let bytes = std::fs::read(&file).unwrap();
        Self(file, bytes)
    }

    fn back(&self) {
        std::fs::write(&self.0, &self.1).unwrap();
    }
}

fn reader(world: &World) -> JournalReader {
    JournalReader::open(&world.config.state.join("journal"), keys(world).journal_key()).unwrap()
}

fn rotations(world: &World) -> usize {
    let reader = reader(world);
    let size = reader.counters().unwrap().size;
    let kinds = reader.events(0..size).unwrap().into_iter();
    kinds.filter(|event| kind_unverified(event.jws.as_ref().unwrap()).unwrap() == "key.rotated.v1").count()
}

fn run_until_receipted(world: &mut World) {
    world.start_agent().unwrap();
    world.until("all receipts", |status| status.events > 2 && status.receipted == status.events).unwrap();
    world.stop_agent();
}

#[test]
fn a_new_key_takes_over_and_the_chain_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::build(folder.path(), None).unwrap();
    world.until("all receipts", |status| status.events > 1 && status.receipted == status.events).unwrap();
    let (first, original) = (signs(&world), Before::of(&world.config.state));
    let second = keys(&world).prepare_rotation().unwrap().public_key().key_id();
    assert!(matches!(keys(&world).prepare_rotation(), Err(KeyStoreError::RotationWaits)));
    world.stop_agent();
    assert_eq!(
        (signs(&world), rotations(&world)),
        (first.clone(), 0),
        "the agent that runs goes on as it is"
    );

    // Cut after the new key was made: the start hands over to it.
    let waiting = Before::of(&world.config.state);
    run_until_receipted(&mut world);
    assert_eq!((signs(&world), rotations(&world)), (second.clone(), 1));

    // Cut after the event was durable and before the key file knew: the next start finds it in the journal.
    waiting.back();
    assert_eq!(signs(&world), first);
    run_until_receipted(&mut world);
    assert_eq!((signs(&world), rotations(&world)), (second.clone(), 1), "one handover, one usable key");

    // An older key file would sign where the new key does.
    let current = Before::of(&world.config.state);
    original.back();
    let error = format!("{:#}", world.start_agent().unwrap_err());
    assert!(error.contains("older than the journal") && error.contains("enrol --again"), "{error}");
    current.back();
    run_until_receipted(&mut world);

    // Once more; the export shows both handovers and verifies.
    keys(&world).prepare_rotation().unwrap();
    run_until_receipted(&mut world);
    assert_eq!(rotations(&world), 2);
    let counts = world.upstream().unwrap().counts().unwrap();
    assert_eq!((counts.quarantined, counts.alarms, counts.receipted), (0, 0, counts.events));
    let (counters, summary) = world.export(&folder.path().join("export")).unwrap();
    assert_eq!(summary.events, counters.size);
    a_selection_shows_every_rotation(&world, folder.path());
}

/// Leaves the stopped terminal with its first events only, as a power cut would have.
fn cut(world: &World, size: u64) {
    let (state, key) = (&world.config.state, keys(world).journal_key());
    let (journal, whole) = (state.join("journal"), state.join("whole"));
    std::fs::rename(&journal, &whole).unwrap();
    let reader = JournalReader::open(&whole, key.clone()).unwrap();
    let grant = TerminalEnrolment::load(state).unwrap().grant;
    durable_file::private_dir(&journal).unwrap();
    let (journal, _) = Journal::open(&journal, key, Limits::default(), |_| ()).unwrap();
    journal.begin_chain(grant.chain(), grant.token()).unwrap();
    let mut frontier = CompactRange::new();
    for event in reader.events(0..size).unwrap() {
        frontier.append(event.leaf);
        let (sequence, leaf, at, jws) = (event.sequence, event.leaf, event.at, event.jws.unwrap());
        let sealed = SealedEvent { sequence, jws, leaf, at, frontier: frontier.clone() };
        journal.append(Epoch(0), sealed).unwrap();
    }
    journal.close();
}

/// A stopped terminal that has so many events after a rotation, with the key files from before it was asked for, from
/// while it waited and from after it took over, and the public key that has signed the rotation.
fn cut_after_the_rotation(folder: &Path, after: u64) -> (World, [Before; 3], PublicKey) {
    let mut world = World::build(folder, None).unwrap();
    world.until("all receipts", |status| status.events > 1 && status.receipted == status.events).unwrap();
    let (first, original) = (keys(&world).signer().public_key(), Before::of(&world.config.state));
    keys(&world).prepare_rotation().unwrap();
    let waiting = Before::of(&world.config.state);
    world.stop_agent();
    run_until_receipted(&mut world);
    let chain = TerminalEnrolment::load(&world.config.state).unwrap().grant.chain();
    let (at, _) = keys(&world).retired(chain)[0];
    let current = Before::of(&world.config.state);
    world.cut_network();
    cut(&world, at + 1 + after);
    (world, [original, waiting, current], first)
}

#[test]
fn a_key_file_from_before_the_rotation_is_refused_right_after_it_too() {
    let folder = tempfile::tempdir().unwrap();
    let (mut world, [original, _, current], first) = cut_after_the_rotation(folder.path(), 0);
    original.back();
    let error = format!("{:#}", world.start_agent().unwrap_err());
    assert!(error.contains("older than the journal"), "{error}");
    // Control: the signature of the newest event finds nothing wrong with that key file.
    let reader =
        JournalReader::open(&world.config.state.join("journal"), keys(&world).journal_key()).unwrap();
    let newest = reader.events(0..u64::MAX).unwrap().pop().and_then(|event| event.jws).unwrap();
    jws::open(&newest, Form::EVENT, &[first]).unwrap();
    current.back();
    world.start_agent().expect("control: the newest key file goes on");
}

/// Takes away the bodies at some places, as if their retention had ended; `true` when a scan of the journal alone
/// finds nothing wrong with that.
fn erase(world: &World, through: u64, places: std::ops::Range<u64>) -> bool {
    let journal = world.config.state.join("journal");
    let database = rusqlite::Connection::open(journal.join("journal.db")).unwrap();
    let erased = "INSERT INTO erasure SELECT 1, ?1, 1 WHERE NOT EXISTS (SELECT 1 FROM erasure)";
    database.execute(erased, [through.cast_signed()]).unwrap();
    let (first, end) = (places.start.cast_signed(), places.end.cast_signed());
    let change = "UPDATE event SET body = NULL WHERE seq >= ?1 AND seq < ?2";
    database.execute(change, [first, end]).unwrap();
    let reader = JournalReader::open(&journal, keys(world).journal_key()).unwrap();
    reader.verify_all().is_ok()
}

#[test]
fn a_rotation_that_is_gone_from_the_erased_part_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::build(folder.path(), None).unwrap();
    world.until("all receipts", |status| status.events > 1 && status.receipted == status.events).unwrap();
    keys(&world).prepare_rotation().unwrap();
    world.stop_agent();
    run_until_receipted(&mut world);
    let chain = TerminalEnrolment::load(&world.config.state).unwrap().grant.chain();
    let (at, _) = keys(&world).retired(chain)[0];
    assert!(erase(&world, at + 1, 0..at), "all but the rotation is what retention does");
    world.start_agent().expect("control: the chain goes on with its rotation");
    world.stop_agent();
    assert!(erase(&world, at + 1, at..at + 1), "control: the journal alone does not know what stood there");
    let verified = run(command(folder.path(), &["journal", "verify"]));
    let error = format!("{:#}", verified.unwrap_err());
    assert!(error.contains("the rotation of the key"), "{error}");
    let error = format!("{:#}", world.start_agent().unwrap_err());
    assert!(error.contains("is damaged") && error.contains("the rotation of the key"), "{error}");
}

/// The rotation is durable, and the key file could not be written: the disk was full, or the machine stopped.
#[test]
fn an_export_beside_an_unsettled_key_file_is_signed_by_the_key_that_has_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    for after in [0, 1] {
        let folder = folder.path().join(after.to_string());
        std::fs::create_dir(&folder).unwrap();
        let (world, [original, waiting, current], first) = cut_after_the_rotation(&folder, after);
        let export = |name: &str| {
            let package = folder.join(name);
            run(command(&folder, &["export", package.to_str().unwrap()])).map(|()| package)
        };
        for (name, file) in [("waiting", &waiting), ("current", &current)] {
            file.back();
            let summary = zhenyin_verify::verify(&export(name).unwrap(), 2).unwrap().summary;
            assert_eq!(summary.events, reader(&world).counters().unwrap().size, "{name} {after}");
        }
        waiting.back();
        assert_eq!(signs(&world), first.key_id(), "an export settles nothing");
        // Control: what the key file calls the terminal's key has not signed the newest event.
        let package = folder.join("control");
        write_signed_by_the_key_file(&world, Selection::default(), &package);
        assert_eq!(zhenyin_verify::verify(&package, 2).is_err(), after > 0);
        original.back();
        let error = format!("{:#}", export("original").unwrap_err());
        assert!(error.contains("older than the journal"), "{error}");
    }
}

fn command(folder: &Path, words: &[&str]) -> Cli {
    let config = folder.join("config.toml");
    let all = ["zhenyin", "--config", config.to_str().unwrap()].into_iter().chain(words.iter().copied());
    Cli::try_parse_from(all).unwrap()
}

/// Of what nobody asked for, the rotations are shown; without one the package does not hold.
fn a_selection_shows_every_rotation(world: &World, folder: &Path) {
    let nothing = Selection { kinds: vec!["nothing.of".to_owned()], ..Selection::default() };
    let package = folder.join("selection");
    write_signed_by_the_key_file(world, nothing, &package);
    assert_eq!(zhenyin_verify::verify(&package, 2).unwrap().shown, 2);
    for file in ["events.jws", "events.jsonl"] {
        let lines = std::fs::read_to_string(package.join(file)).unwrap();
        std::fs::write(package.join(file), lines.split_inclusive('\n').next_back().unwrap()).unwrap();
    }
    let error = zhenyin_verify::verify(&package, 2).unwrap_err();
    assert!(matches!(error, PackageError::Chain(Fault::Checkpoint { .. })), "{error:?}");
}

/// A package whose checkpoint is signed by what the key file calls the terminal's key.
fn write_signed_by_the_key_file(world: &World, selection: Selection, package: &Path) {
    let enrolment = TerminalEnrolment::load(&world.config.state).unwrap();
    let (reader, header) = (reader(world), enrolment.export_header());
    let inspection = Inspection {
        selection,
        inspectors: Vec::new(),
        at: WallTime(1),
        opened: None,
        checkpoint: export::checkpoint(&reader, &header.origin, &keys(world).signer()).unwrap(),
        recipients: Recipients::default(),
    };
    export::write(&reader, enrolment.grant.chain(), &header, &inspection, package).unwrap();
}

/// Questions of locked cards are asked beside the chain: by the old key until the upstream has the rotation.
#[test]
fn a_locked_card_opens_before_and_after_the_upstream_knows_the_new_key() {
    let folder = tempfile::tempdir().unwrap();
    let deaf = Arc::new(AtomicBool::new(false));
    let ear = Arc::clone(&deaf);
    let wrap = move |routes: Router| {
        routes.layer(from_fn(move |request: Request, next: Next| {
            let refused = ear.load(Ordering::SeqCst) && request.uri().path().ends_with("/events");
            async move {
                if refused {
                    StatusCode::SERVICE_UNAVAILABLE.into_response()
                } else {
                    next.run(request).await
                }
            }
        }))
    };
    let remote = "authenticator = { kind = 'remote', wait_s = 5 }\n";
    let mut world = World::build_configured(folder.path(), remote, wrap).unwrap();
    world.until("all receipts", |status| status.events > 1 && status.receipted == status.events).unwrap();
    world.stop_agent();
    keys(&world).prepare_rotation().unwrap();
    deaf.store(true, Ordering::SeqCst);
    world.start_agent().unwrap();
    world.until("the reader answering", |status| status.reader.is_none()).unwrap();
    world.reader.insert(CardSpec::with_key());
    let opened = |world: &World| {
        let reply = world.perform(&Act::CardRead, |_| None).unwrap();
        assert!(matches!(reply.outcome, Outcome::CardRead { locked: false, .. }), "{reply:?}");
        world.upstream().unwrap().cards_answered()
    };
    assert_eq!((opened(&world), rotations(&world)), (1, 1));
    deaf.store(false, Ordering::SeqCst);
    world.until("all receipts", |status| status.receipted == status.events).unwrap();
    assert_eq!(opened(&world), 2);
}
