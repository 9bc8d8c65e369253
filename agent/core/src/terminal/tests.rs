//! Scenarios and random walks through the terminal's public seam: inputs in, outputs out.

mod challenge;
mod devices;
mod inspecting;
mod limits;
mod presented;
mod room;
mod retention;
mod rotation;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::api::{DocumentKind, Outcome};
use crate::biometric::{FaceSample, ModelDigest, PadResult, Probe, Quality, QualityHint, Threshold};
use crate::card::{
    CardAlgorithm, CardCode, CardIdentity, Holder, HolderData, IdNumber, IssuedCard, PersonName,
};
use crate::decision::{DocumentCheck, Method, Reason};
use crate::documents::{GrantContent, PolicyContent};
use crate::enrolled::Role;
use crate::event::kind_unverified;
use crate::ids::TerminalId;
use crate::note::KeyRole;
use crate::pin::Pin;
use crate::signer::{Seed, Signer as _, SoftwareSigner};
use crate::time::{ClockTrust, WallTime};

const MODEL: ModelDigest = ModelDigest([9; 32]);
const BOOT: BootId = BootId(Uuid::from_u128(9));

/// A terminal with a journal that commits when told, a store in memory and a virtual clock.
struct Desk {
    terminal: Terminal,
    now: Now,
    next_ticket: u64,
    enrolled: BTreeMap<SubjectToken, Enrolled>,
    /// Sealed, not yet committed.
    pending: Vec<SealedEvent>,
    journal: Vec<SealedEvent>,
    replies: Vec<Reply>,
    steps: Vec<Step>,
    refused: Vec<Refusal>,
    inspections: Vec<OpenInspection>,
    closings: Vec<Sequence>,
    session: Option<SessionId>,
    camera: bool,
    challenge: Option<(Boottime, Turn)>,
    auto_commit: bool,
    /// Takeovers of a new key that were told.
    rotated: Vec<(PublicKey, Sequence)>,
    holds: Vec<Result<HoldChange, Refusal>>,
    /// How long bodies are kept, each time that it was told.
    kept: Vec<Option<Duration>>,
}

impl Desk {
    fn new() -> Self {
        Self::with_policy(PolicyContent::new(1, WallTime(0), WallTime(i64::MAX / 4)))
    }

    fn with_policy(policy: PolicyContent) -> Self {
        let now = Now { wall: WallTime(1_790_000_000_000), boottime: at(10), trust: ClockTrust::Synced };
        Self::started(policy, BOOT, vec![], now)
    }

    fn started(policy: PolicyContent, boot: BootId, recent: Vec<Envelope>, now: Now) -> Self {
        let signer = |byte: u8| SoftwareSigner::from_seed(&Seed::take(&mut [byte; 32]));
        let (device, authority, witness) = (signer(1), signer(2), signer(3));
        let grant = Grant::seal(&room::grant_content(&device), &authority).unwrap();
        let chain = Chain::begin(grant.clone()).state().clone();
        let policy = Policy::seal(&policy, &authority).unwrap();
        let setup = Setup {
            authority: authority.public_key(),
            witness: VerifierKey::new("witness.example", KeyRole::Witness, witness.public_key()).unwrap(),
            grant,
            journal: JournalState { chain, acknowledged: CompactRange::new(), recent },
            lost: None,
            keys: ChainKeys::granted(device.public_key()),
            signers: Signers::new(Box::new(device)),
            boot,
            pepper: Pepper::new([5; 32]),
            policy: Some(policy),
            face: Some(rules()),
            jitter: 1,
            agent: "test".into(),
        };
        let mut desk = Self {
            terminal: Terminal::new(setup, now),
            now,
            next_ticket: 0,
            enrolled: BTreeMap::new(),
            pending: vec![],
            journal: vec![],
            replies: vec![],
            steps: vec![],
            refused: vec![],
            inspections: vec![],
            closings: vec![],
            session: None,
            camera: false,
            challenge: None,
            auto_commit: true,
            rotated: vec![],
            kept: vec![],
            holds: vec![],
        };
        desk.drain();
        desk
    }

    fn put(&mut self, input: Input) {
        self.terminal.handle(input, self.now);
        self.drain();
    }

    /// Carries out outputs as the event loop does, and checks what must always hold.
    fn drain(&mut self) {
        while let Some(output) = self.terminal.poll_output() {
            match output {
                Output::Append { event, .. } => {
                    let expected = self.journal.len() + self.pending.len();
                    assert_eq!(event.sequence.0 as usize, expected, "sequence without gap");
                    self.pending.push(event);
                    if self.auto_commit {
                        self.commit();
                    }
                }
                Output::Reply(reply) => {
                    for sequence in &reply.events {
                        assert!((sequence.0 as usize) < self.journal.len(), "reply before commit: {reply:?}");
                    }
                    self.replies.push(reply);
                }
                Output::Begun { result, .. } => match result {
                    Ok(session) => self.session = Some(session),
                    Err(refusal) => self.refused.push(refusal),
                },
                Output::Answered { result, .. } => self.refused.extend(result.err()),
                Output::InspectionOpened { result, .. } => {
                    self.inspections.extend(result.map_err(|refusal| self.refused.push(refusal)));
                }
                Output::InspectionClosed { result, .. } => {
                    self.closings.extend(result.map_err(|refusal| self.refused.push(refusal)));
                }
                Output::Step { step, .. } => self.steps.push(step),
                Output::Find { session, token } => {
                    let enrolled = self.enrolled.get(&token).cloned();
                    self.terminal.handle(Input::Found { session, enrolled }, self.now);
                }
                Output::ListStaff { session } => {
                    let staff = self.enrolled.values().filter(|e| e.role.is_some()).cloned().collect();
                    self.terminal.handle(Input::Staff { session, staff }, self.now);
                }
                Output::Store { session, enrolled } => {
                    let (face, consent) = (enrolled.reference.is_some(), enrolled.consent.is_some());
                    assert_eq!(face, consent, "no face without consent");
                    self.enrolled.insert(enrolled.token.clone(), *enrolled);
                    self.terminal.handle(Input::Stored { session, result: Ok(()) }, self.now);
                }
                Output::Camera(wanted) => self.camera = wanted,
                Output::Challenge { asked, turn } => self.challenge = Some((asked, turn)),
                Output::Look { .. } => self.challenge = None,
                Output::ChangeHold { result, .. } => self.holds.push(result),
                Output::Keep(keep) => self.kept.push(keep),
                Output::KeyRotated { key, at } => self.rotated.push((key, at)),
                Output::Reader(_)
                | Output::LoadFrontier { .. }
                | Output::LoadBatch { .. }
                | Output::Post(_)
                | Output::Acknowledge { .. }
                | Output::KeepPolicy(_)
                | Output::Alarm(_) => {}
            }
        }
    }

    fn commit(&mut self) {
        let Some(last) = self.pending.last() else { return };
        let through = last.sequence;
        self.journal.append(&mut self.pending);
        self.terminal.handle(Input::Committed { through }, self.now);
        self.drain();
    }

    fn begin(&mut self, request: Request) {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.put(Input::Begin { ticket, request, entropy: [3; 16] });
    }

    fn answer(&mut self, answer: Answer) {
        self.next_ticket += 1;
        let session = self.session.unwrap_or(SessionId(0));
        self.put(Input::Answer { ticket: Ticket(self.next_ticket), session, answer });
    }

    fn card(&mut self, person: usize) {
        self.card_event(CardEvent::Read(Box::new(identity(person))));
    }

    fn card_event(&mut self, event: CardEvent) {
        self.put(Input::Card { reader: ReaderId::FIRST, event });
    }

    fn look(&mut self, person: usize, pad: PadResult, frames: usize) {
        for _ in 0..frames {
            self.frame(FaceObservation::Usable(sample(person, pad)));
        }
    }

    fn frame(&mut self, observation: FaceObservation) {
        self.put(Input::Face { captured: self.now.boottime, observation });
    }

    fn pass(&mut self, seconds: u64) {
        self.now.boottime = self.now.boottime.after(Duration::from_secs(seconds));
        self.now.wall.0 += 1000 * seconds as i64;
        self.put(Input::Tick);
    }

    fn pin(&mut self, digits: &str) {
        self.answer(Answer::Pin { pin: Pin::parse(digits).unwrap() });
    }

    /// Enrols a member of staff with face and PIN.
    fn enrol_staff(&mut self, person: usize) {
        self.begin(Request::StaffEnrolment { role: Role::parse("pharmacist").unwrap() });
        self.card(person);
        self.answer(Answer::Consent { agree: true });
        self.pin("135790");
        self.look(person, PadResult::BonaFide, 3);
    }

    fn kinds(&self) -> Vec<String> {
        self.journal.iter().filter_map(|e| kind_unverified(&e.jws)).collect()
    }

    fn last(&self) -> &Outcome {
        &self.replies.last().expect("an act has ended").outcome
    }
}

fn at(seconds: u64) -> Boottime {
    Boottime(Duration::from_secs(seconds))
}

fn rules() -> FaceRules {
    FaceRules {
        model: MODEL,
        threshold: Threshold::new(0.5).unwrap(),
        margin: FaceRules::MARGIN,
        probe_frames: 3,
        enrol_frames: 3,
    }
}

/// Unit vectors of different people are far apart.
fn probe(person: usize) -> Probe {
    let mut features = vec![0.05; 8];
    features[person % 8] = 1.0;
    Probe::new(MODEL, features).unwrap()
}

fn sample(person: usize, pad: PadResult) -> FaceSample {
    FaceSample { probe: probe(person), pad, quality: Quality::new(80), alone: true }
}

fn identity(person: usize) -> CardIdentity {
    const NUMBERS: [&str; 4] =
        ["110105184903070010", "110105184903070029", "110105184903070037", "110105184903070045"];
    CardIdentity {
        issued: IssuedCard {
            code: CardCode::new([person as u8; 16]),
            version: "2.00".into(),
            algorithm: CardAlgorithm::TripleDes,
            number: None,
            issued: None,
            expires: None,
        },
        holder: HolderData::Read(Holder {
            id_number: IdNumber::parse(NUMBERS[person % 4]).unwrap(),
            name: PersonName::new("张小三"),
            sex: None,
            birth_date: None,
            ethnicity: None,
            birthplace: None,
        }),
        warnings: vec![],
    }
}

#[test]
fn a_pharmacist_is_enrolled_and_logs_in_by_look() {
    let mut desk = Desk::new();
    desk.enrol_staff(0);
    assert!(matches!(desk.last(), Outcome::Enrolled { face: true, .. }));
    desk.begin(Request::StaffLogin);
    assert!(desk.camera);
    desk.look(0, PadResult::BonaFide, 3);
    assert!(matches!(desk.last(), Outcome::SignedIn { method: Method::Face, .. }));
    assert!(!desk.camera, "the camera is off once the act is over");
    let kinds = desk.kinds();
    assert_eq!(kinds[..2], ["log.genesis.v1", "agent.started.v1"]);
    assert_eq!(
        kinds[2..],
        ["card.read.v1", "consent.granted.v1", "staff.bound.v1", "template.created.v1", "session.opened.v1"]
    );
}

#[test]
fn a_stranger_is_not_recognised_and_card_with_pin_still_works() {
    let mut desk = Desk::new();
    desk.enrol_staff(0);
    desk.begin(Request::StaffLogin);
    desk.look(1, PadResult::BonaFide, 3);
    assert_eq!(desk.steps.last(), Some(&Step::UseCard { reason: Reason::NonMatch }));
    desk.card(0);
    desk.pin("246802");
    assert_eq!(desk.steps.last(), Some(&Step::EnterPin { tries_left: 2 }));
    desk.pin("135790");
    assert!(matches!(desk.last(), Outcome::SignedIn { method: Method::CardPin, .. }));
}

#[test]
fn a_printed_photo_is_refused_and_the_person_may_use_the_card() {
    let mut desk = Desk::new();
    desk.enrol_staff(0);
    desk.begin(Request::StaffLogin);
    desk.look(0, PadResult::Attack, 3);
    desk.look(0, PadResult::BonaFide, 10);
    assert!(desk.replies.len() == 1, "no login by face after an attack in the same act");
    desk.answer(Answer::Cancel);
    assert_eq!(desk.last(), &Outcome::NotSignedIn { reason: Reason::PresentationAttack });
    assert!(desk.kinds().contains(&"pad.failed.v1".to_owned()));
}

#[test]
fn a_patient_checks_in_and_a_stranger_with_the_card_goes_to_staff() {
    let mut desk = Desk::new();
    desk.enrol_staff(0);
    desk.begin(Request::StaffLogin);
    desk.look(0, PadResult::BonaFide, 3);
    desk.begin(Request::PatientEnrolment);
    desk.card(1);
    desk.answer(Answer::Consent { agree: true });
    desk.look(1, PadResult::BonaFide, 3);
    assert!(matches!(desk.last(), Outcome::Enrolled { face: true, .. }));

    desk.begin(Request::PatientVisit);
    desk.card(1);
    desk.look(1, PadResult::BonaFide, 3);
    assert!(matches!(desk.last(), Outcome::Verified { method: Method::CardFace, .. }));

    desk.begin(Request::PatientVisit);
    desk.card(1);
    desk.look(2, PadResult::BonaFide, 6);
    assert_eq!(desk.steps.last(), Some(&Step::AskStaff { reason: Reason::NonMatch }));
    desk.answer(Answer::Document { document: DocumentKind::ResidentId, check: DocumentCheck::NoMatch });
    assert_eq!(desk.last(), &Outcome::NotVerified { reason: Reason::DocumentMismatch });
}

#[test]
fn without_face_is_an_equal_way() {
    let mut desk = Desk::new();
    desk.begin(Request::StaffEnrolment { role: Role::parse("nurse").unwrap() });
    desk.card(0);
    desk.answer(Answer::Consent { agree: false });
    desk.pin("135790");
    assert!(matches!(desk.last(), Outcome::Enrolled { face: false, .. }));
    desk.begin(Request::StaffLogin);
    desk.card(0);
    desk.pin("135790");
    assert!(matches!(desk.last(), Outcome::SignedIn { method: Method::CardPin, .. }));
    desk.begin(Request::PatientVisit);
    desk.answer(Answer::WithoutFace);
    desk.card(1);
    assert_eq!(desk.steps.last(), Some(&Step::AskStaff { reason: Reason::FaceDeclined }));
    desk.answer(Answer::Document { document: DocumentKind::ResidentId, check: DocumentCheck::Match });
    assert!(matches!(desk.last(), Outcome::Verified { method: Method::StaffDocument, .. }));
}

#[test]
fn staff_cannot_vouch_when_nobody_is_signed_in() {
    let mut desk = Desk::new();
    desk.begin(Request::PatientVisit);
    desk.card(1);
    desk.answer(Answer::Document { document: DocumentKind::ResidentId, check: DocumentCheck::Match });
    assert_eq!(desk.refused, [Refusal::NobodySignedIn]);
    assert!(desk.replies.is_empty());
}

#[test]
fn an_ended_policy_refers_to_a_human_and_never_accepts() {
    let mut desk = Desk::with_policy(PolicyContent::new(1, WallTime(0), WallTime(1_790_000_001_000)));
    desk.enrol_staff(0);
    desk.pass(60);
    desk.begin(Request::StaffLogin);
    desk.look(0, PadResult::BonaFide, 3);
    assert_eq!(desk.steps.last(), Some(&Step::UseCard { reason: Reason::PolicyNotInForce }));
    desk.card(0);
    desk.pin("135790");
    assert_eq!(desk.last(), &Outcome::NotSignedIn { reason: Reason::PolicyNotInForce });
}

#[test]
fn nothing_is_answered_before_its_events_are_durable() {
    let mut desk = Desk::new();
    desk.enrol_staff(0);
    desk.auto_commit = false;
    desk.begin(Request::StaffLogin);
    desk.look(0, PadResult::BonaFide, 3);
    assert_eq!(desk.replies.len(), 1, "no reply while the journal is busy");
    assert!(desk.terminal.status(desk.now).operator.is_none(), "and no session");
    desk.commit();
    assert!(matches!(desk.last(), Outcome::SignedIn { .. }));
    assert!(desk.terminal.status(desk.now).operator.is_some());
}

#[test]
fn a_failed_commit_accepts_nothing_and_the_chain_goes_on_where_it_is_durable() {
    let mut desk = Desk::new();
    desk.enrol_staff(0);
    let durable = desk.journal.len();
    desk.auto_commit = false;
    desk.begin(Request::StaffLogin);
    desk.look(0, PadResult::BonaFide, 3);
    desk.pending.clear();
    desk.put(Input::NotCommitted { fault: Fault::JournalFull });
    assert_eq!(desk.last(), &Outcome::Failed { fault: Fault::JournalFull });
    assert!(desk.terminal.status(desk.now).operator.is_none());
    desk.begin(Request::StaffLogin);
    assert_eq!(desk.refused, [Refusal::NotRecording]);

    let last = desk.journal.last().unwrap();
    let chain = ChainState { frontier: last.frontier.clone(), last_leaf: last.leaf };
    desk.put(Input::JournalReset { epoch: 1, chain });
    desk.auto_commit = true;
    desk.begin(Request::StaffLogin);
    desk.look(0, PadResult::BonaFide, 3);
    assert!(matches!(desk.last(), Outcome::SignedIn { .. }));
    assert_eq!(desk.journal.len(), durable + 1);
}

#[test]
fn a_newcomer_needs_somebody_who_vouches_and_must_not_look_like_a_colleague() {
    let mut desk = Desk::new();
    desk.enrol_staff(0);
    desk.enrol_staff(1);
    assert_eq!(desk.last(), &Outcome::NotEnrolled { reason: Reason::NobodySignedIn });
    desk.begin(Request::StaffLogin);
    desk.look(0, PadResult::BonaFide, 3);
    desk.begin(Request::StaffEnrolment { role: Role::parse("cashier").unwrap() });
    desk.card(1);
    desk.answer(Answer::Consent { agree: true });
    desk.pin("135790");
    desk.look(0, PadResult::BonaFide, 3);
    assert_eq!(desk.last(), &Outcome::NotEnrolled { reason: Reason::SimilarToEnrolled });
}

#[test]
fn a_late_answer_of_the_store_never_reaches_the_next_act() {
    let mut desk = Desk::new();
    desk.enrol_staff(0);
    let enrolled = desk.enrolled.values().next().cloned();
    let old = desk.session.unwrap();
    desk.begin(Request::PatientVisit);
    desk.put(Input::Found { session: old, enrolled });
    assert_eq!(desk.steps.last(), Some(&Step::PresentCard));
}

#[test]
fn a_frame_of_the_act_before_never_counts_for_the_next() {
    let mut desk = Desk::new();
    desk.enrol_staff(0);
    let before = desk.now.boottime;
    desk.pass(1);
    desk.begin(Request::StaffLogin);
    for captured in [before, before, before] {
        let observation = FaceObservation::Usable(sample(0, PadResult::BonaFide));
        desk.put(Input::Face { captured, observation });
    }
    assert_eq!(desk.replies.len(), 1, "nobody is signed in by an old frame");
    desk.look(0, PadResult::BonaFide, 3);
    assert!(matches!(desk.last(), Outcome::SignedIn { .. }), "the control: new frames do count");
}

#[test]
fn a_clock_that_is_set_back_is_recorded_once() {
    let mut desk = Desk::new();
    desk.now.wall.0 -= 3_600_000;
    desk.put(Input::Tick);
    desk.pass(5);
    assert_eq!(desk.kinds().iter().filter(|k| *k == "clock.stepped.v1").count(), 1);
}

/// One random thing that happens.
fn happenings() -> impl Strategy<Value = u8> {
    0_u8..29
}

fn happen(desk: &mut Desk, code: u8) {
    let person = usize::from(code) % 3;
    match code {
        0..3 => desk.look(person, PadResult::BonaFide, 3),
        3 => desk.look(0, PadResult::Attack, 1),
        4 => desk.begin(Request::StaffLogin),
        5 => desk.begin(Request::PatientVisit),
        6 => desk.begin(Request::StaffEnrolment { role: Role::parse("nurse").unwrap() }),
        7 => desk.begin(Request::PatientEnrolment),
        8 => desk.begin(Request::StaffLogout),
        9 => desk.begin(Request::CardRead),
        10..13 => desk.card(person),
        13 => desk.card_event(CardEvent::Removed),
        14 => desk.card_event(CardEvent::Failed(Fault::CardTransmission)),
        15 => desk.answer(Answer::Consent { agree: true }),
        16 => desk.answer(Answer::WithoutFace),
        17 => desk.answer(Answer::Cancel),
        18 => desk.answer(Answer::Document { document: DocumentKind::Passport, check: DocumentCheck::Match }),
        19 => desk.put(Input::Camera(Err(Fault::CameraLost))),
        20 => desk.put(Input::Camera(Ok(()))),
        21 => desk.pass(25),
        22 => desk.commit(),
        23 => desk.card_event(presented::resident(person)),
        24 => desk.put(presented::scan("1")),
        25 => desk.look(0, PadResult::Doubtful, 3),
        26 => desk.turned(Turned::AsAsked(vec![probe(person)])),
        27 => desk.answer(Answer::WithoutChallenge),
        _ => desk.frame(FaceObservation::Unusable { hint: QualityHint::TooDark, quality: Quality::new(3) }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens in whatever order: no gap, no reply before its commit (both checked in `drain`),
    /// one reply a session, no accept without an event that says so, and a chain that verifies.
    #[test]
    fn no_order_of_happenings_breaks_the_promises(
        codes in proptest::collection::vec(happenings(), 1..60),
        lazy in any::<bool>(),
    ) {
        let mut desk = Desk::new();
        desk.auto_commit = !lazy;
        for code in codes {
            happen(&mut desk, code);
        }
        desk.commit();
        let mut sessions = BTreeSet::new();
        for reply in &desk.replies {
            prop_assert!(sessions.insert(reply.session), "one reply a session");
            let kinds: Vec<_> = reply
                .events
                .iter()
                .filter_map(|s| kind_unverified(&desk.journal[s.0 as usize].jws))
                .collect();
            let says = match &reply.outcome {
                Outcome::SignedIn { .. } => Some("session.opened.v1"),
                Outcome::Verified { .. } => Some("visit.verified.v1"),
                Outcome::Enrolled { face: true, .. } => Some("template.created.v1"),
                Outcome::Enrolled { face: false, .. } => Some("staff.bound.v1"),
                Outcome::SignedOut { .. }
                | Outcome::NotSignedIn { .. }
                | Outcome::NotVerified { .. }
                | Outcome::NotEnrolled { .. }
                | Outcome::CardRead { .. }
                | Outcome::ResidentCardRead { .. }
                | Outcome::Failed { .. } => None,
            };
            if let Some(kind) = says {
                prop_assert!(kinds.iter().any(|k| k == kind), "{kind} missing in {kinds:?}");
            }
        }
        let mut verifier =
            crate::verify::Verifier::new(desk.terminal.chain.grant().clone(), None, vec![]);
        for event in &desk.journal {
            prop_assert!(verifier.event(&event.jws).is_ok());
        }
    }
}
