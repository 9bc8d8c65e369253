//! The top of the core: everything that happens comes in through [`Terminal::handle`], everything that must
//! be done comes out of [`Terminal::poll_output`].
//! Never lets an outcome out before its events are durable, and never counts an event as delivered before a
//! verified receipt.

mod acting;
mod devices;
mod holding;
mod inspecting;
mod recalled;
mod recording;
mod retention;
mod syncing;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use acting::Running;
use devices::DeviceHealth;
use inspecting::Inspections;
use recording::Recording;
use syncing::Syncing;

use crate::act::{CardEvent, FaceRules, SignedIn};
use crate::api::{Answer, Refusal, Reply, Request, Status, Step};
use crate::biometric::FaceObservation;
use crate::chain::{Chain, ChainState, SealedEvent};
use crate::challenge::{Turn, Turned};
use crate::documents::{Grant, Policy};
use crate::enrolled::Enrolled;
use crate::event::Envelope;
use crate::event::lifecycle::{LogIntegrityAlarm, PolicyApplied};
use crate::fault::Fault;
use crate::hold::HoldChange;
use crate::ids::{BootId, ChainId, Pepper, ReaderId, Sequence, SessionId, SubjectToken};
use crate::inspection::{InspectionClosing, InspectionRequest, OpenInspection};
use crate::limit::AttemptLimit;
use crate::merkle::{CompactRange, leaf_hash};
use crate::note::{Note, VerifierKey};
use crate::outbox::StoredEvent;
use crate::presented::ScannedCode;
use crate::room::Room;
use crate::rotation::{ChainKeys, Signers};
use crate::signer::PublicKey;
use crate::time::{Boottime, Now, WallTime};
use crate::wire::{UploadRequest, UpstreamAnswer};

/// Names one request of the local API until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// What the terminal starts from.
pub struct Setup {
    pub grant: Grant,
    /// The key that signs later documents, pinned at enrolment.
    pub authority: PublicKey,
    /// Whose cosignature is a receipt, pinned at enrolment.
    pub witness: VerifierKey,
    /// What the journal holds of this chain.
    pub journal: JournalState,
    /// What the chain before this one has lost, until this one has it on record.
    pub lost: Option<LogIntegrityAlarm>,
    /// The public keys of the chain so far, and the private ones that this terminal holds.
    pub keys: ChainKeys,
    pub signers: Signers,
    pub boot: BootId,
    pub pepper: Pepper,
    pub policy: Option<Policy>,
    /// `None` without a model pack.
    pub face: Option<FaceRules>,
    /// Seed of the retry jitter.
    pub jitter: u64,
    /// Version of the agent, for its lifecycle events.
    pub agent: String,
}

/// What the journal holds of the chain at start.
pub struct JournalState {
    pub chain: ChainState,
    pub acknowledged: CompactRange,
    /// The newest events, the oldest of them first: how the last run ended, and which attempts failed lately.
    pub recent: Vec<Envelope>,
}

/// Everything that can happen to a terminal.
#[derive(Debug)]
pub enum Input {
    Begin {
        ticket: Ticket,
        request: Request,
        entropy: [u8; 16],
    },
    Answer {
        ticket: Ticket,
        session: SessionId,
        answer: Answer,
    },
    /// Somebody asks for the record.
    Inspect {
        ticket: Ticket,
        request: InspectionRequest,
    },
    CloseInspection {
        ticket: Ticket,
        opened: Sequence,
        closing: InspectionClosing,
    },
    /// Somebody places or lifts a legal hold.
    ChangeHold {
        ticket: Ticket,
        change: HoldChange,
    },
    Card {
        reader: ReaderId,
        event: CardEvent,
    },
    Code {
        reader: ReaderId,
        code: ScannedCode,
    },
    /// What a frame showed, and when it was captured.
    Face {
        captured: Boottime,
        observation: FaceObservation,
    },
    /// What the frames of the challenge asked at this time showed.
    Turned {
        asked: Boottime,
        turned: Turned,
    },
    Camera(Result<(), Fault>),
    Reader {
        reader: ReaderId,
        state: Result<(), Fault>,
    },
    Found {
        session: SessionId,
        enrolled: Option<Enrolled>,
    },
    Staff {
        session: SessionId,
        staff: Vec<Enrolled>,
    },
    Stored {
        session: SessionId,
        result: Result<(), Fault>,
    },
    /// Every event up to and with this one is durable.
    Committed {
        through: Sequence,
    },
    /// The journal lost its footing; nothing of this epoch's later events is durable.
    NotCommitted {
        fault: Fault,
    },
    /// The journal writes again, from here.
    JournalReset {
        epoch: u64,
        chain: ChainState,
    },
    /// The room for events has changed its level.
    Room(Room),
    /// A scan of the whole journal has found something wrong.
    EvidenceDamaged(LogIntegrityAlarm),
    FrontierLoaded(CompactRange),
    BatchLoaded {
        first: u64,
        events: Vec<StoredEvent>,
    },
    Upstream(UpstreamAnswer),
    /// A policy arrived, as a signed token.
    Policy(String),
    /// The last input: closes the chain in order.
    Stop,
    /// Time passed.
    Tick,
}

/// Everything a terminal asks for.
#[derive(Debug)]
pub enum Output {
    Begun {
        ticket: Ticket,
        result: Result<SessionId, Refusal>,
    },
    Answered {
        ticket: Ticket,
        result: Result<(), Refusal>,
    },
    InspectionOpened {
        ticket: Ticket,
        result: Result<OpenInspection, Refusal>,
    },
    /// The event that closed it.
    InspectionClosed {
        ticket: Ticket,
        result: Result<Sequence, Refusal>,
    },
    /// It is on record: now it is to be done.
    ChangeHold {
        ticket: Ticket,
        result: Result<HoldChange, Refusal>,
    },
    Step {
        session: SessionId,
        step: Step,
    },
    Reply(Reply),
    /// Whether frames are wanted. The camera's light says the same.
    Camera(bool),
    /// From now on frames captured since `asked` are watched for this turn only, until they showed something.
    Challenge {
        asked: Boottime,
        turn: Turn,
    },
    /// Frames are looked at, none of a challenge is waited for; with more care for an enrolment.
    Look {
        enrolling: bool,
    },
    /// Whether a card that is present or comes should be read.
    Reader(bool),
    Find {
        session: SessionId,
        token: SubjectToken,
    },
    ListStaff {
        session: SessionId,
    },
    Store {
        session: SessionId,
        enrolled: Box<Enrolled>,
    },
    Append {
        epoch: u64,
        event: SealedEvent,
    },
    /// The tree over the first `size` events.
    LoadFrontier {
        size: u64,
    },
    LoadBatch {
        first: u64,
        max: usize,
    },
    Post(UploadRequest),
    Acknowledge {
        frontier: CompactRange,
        receipt: Note,
        /// The witness's time in the receipt.
        at: WallTime,
    },
    /// The event by which `key` took over is durable: from `at` on, its place, the old key signs no event any more.
    KeyRotated {
        key: PublicKey,
        at: Sequence,
    },
    KeepPolicy(Policy),
    /// How long bodies are kept after their receipt, by the witness's time; `None` keeps them for good. Before the first
    /// word they are kept for good.
    Keep(Option<Duration>),
    /// Something for the log and the status page; recorded already where it must be.
    Alarm(Fault),
}

/// See the module.
pub struct Terminal {
    authority: PublicKey,
    signers: Signers,
    boot: BootId,
    pepper: Pepper,
    policy: Option<Policy>,
    pack_rules: Option<FaceRules>,
    agent: String,
    chain: Chain,
    recording: Recording,
    syncing: Syncing,
    running: Option<Running>,
    next_session: u64,
    operator: Option<SignedIn>,
    inspections: Inspections,
    /// How long bodies are kept, as the journal was told.
    keep_days: Option<u16>,
    face_limit: AttemptLimit,
    pin_limit: AttemptLimit,
    camera: DeviceHealth,
    readers: BTreeMap<ReaderId, DeviceHealth>,
    /// The chain is being closed; no act begins any more.
    stopping: bool,
    outputs: VecDeque<Output>,
}

impl Terminal {
    /// Starts the chain or goes on with it; records the start, and a gap when the last run did not say goodbye.
    pub fn new(setup: Setup, now: Now) -> Self {
        let attempts = setup.policy.as_ref().map(|p| p.content().attempts);
        let allowed = |of: Option<u32>, default| of.and_then(|n| u8::try_from(n).ok()).unwrap_or(default);
        let durable = setup.journal.chain.frontier.size();
        let origin = (setup.grant.origin(), setup.grant.terminal());
        let mut terminal = Self {
            authority: setup.authority,
            syncing: Syncing::new(
                origin,
                setup.witness,
                durable,
                setup.journal.acknowledged,
                setup.jitter,
                now,
            ),
            chain: Chain::resume(setup.grant, setup.keys, setup.journal.chain),
            signers: setup.signers,
            boot: setup.boot,
            pepper: setup.pepper,
            policy: setup.policy,
            pack_rules: setup.face,
            agent: setup.agent,
            recording: Recording::new(durable, now),
            running: None,
            next_session: 1,
            operator: None,
            inspections: Inspections::default(),
            keep_days: None,
            face_limit: AttemptLimit::new(allowed(attempts.map(|a| a.face), 10)),
            pin_limit: AttemptLimit::new(allowed(attempts.map(|a| a.pin), 5)),
            camera: DeviceHealth::default(),
            readers: BTreeMap::new(),
            stopping: false,
            outputs: VecDeque::new(),
        };
        terminal.recall_attempts(&setup.journal.recent, setup.boot);
        terminal.started(setup.journal.recent.last(), setup.lost, now);
        terminal.tell_retention(now);
        terminal
    }

    pub fn handle(&mut self, input: Input, now: Now) {
        self.watch_clock(now);
        match input {
            Input::Begin { ticket, request, entropy } => self.begin(ticket, request, entropy, now),
            Input::Answer { ticket, session, answer } => self.answer(ticket, session, answer, now),
            Input::Inspect { ticket, request } => self.inspect(ticket, &request, now),
            Input::ChangeHold { ticket, change } => self.change_hold(ticket, change, now),
            Input::CloseInspection { ticket, opened, closing } => {
                self.close_inspection(ticket, opened, closing, now);
            }
            Input::Card { reader, event } => self.card(reader, event, now),
            Input::Code { reader, code } => self.code(reader, code, now),
            Input::Face { captured, observation } => self.face(captured, observation, now),
            Input::Turned { asked, turned } => self.turned(asked, turned, now),
            Input::Camera(state) => self.device(None, state, now),
            Input::Reader { reader, state } => self.device(Some(reader), state, now),
            Input::Found { session, enrolled } => self.found(session, enrolled, now),
            Input::Staff { session, staff } => self.staff(session, staff, now),
            Input::Stored { session, result } => self.stored(session, result, now),
            Input::Committed { through } => self.committed(through, now),
            Input::NotCommitted { fault } => self.not_committed(fault),
            Input::JournalReset { epoch, chain } => self.journal_reset(epoch, chain, now),
            Input::Room(room) => self.room_changed(room, now),
            Input::EvidenceDamaged(alarm) => self.evidence_damaged(&alarm, now),
            Input::FrontierLoaded(frontier) => self.frontier_loaded(frontier, now),
            Input::BatchLoaded { first, events } => self.batch_loaded(first, events, now),
            Input::Upstream(answer) => self.upstream_answered(answer, now),
            Input::Policy(token) => self.policy_arrived(&token, now),
            Input::Stop => self.stop(now),
            Input::Tick => {}
        }
        if !self.stopping {
            self.act_deadline(now);
            self.heartbeat(now);
        }
        self.sync(now);
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle`] with [`Input::Tick`] at the latest, and what for.
    pub fn poll_timeout(&self) -> (Boottime, &'static str) {
        let heartbeat = (self.recording.next_heartbeat, "heartbeat");
        let act = self.running.as_ref().and_then(|r| r.deadline).map(|at| (at, "act deadline"));
        let sync = self.syncing.timeout().map(|at| (at, "upload"));
        [act, sync].into_iter().flatten().fold(heartbeat, |a, b| if b.0 < a.0 { b } else { a })
    }

    /// The state of the terminal in numbers and codes, for the status page and `zhenyin status`.
    pub fn status(&self, now: Now) -> Status {
        Status {
            terminal: self.chain.grant().terminal(),
            chain: self.chain.grant().chain(),
            operator: self.operator.as_ref().map(|o| (o.name.clone(), o.role.clone())),
            camera: self.camera.fault(),
            reader: self.readers.values().find_map(DeviceHealth::fault),
            face_pack: self.pack_rules.map(|r| r.model.short()),
            recording: self.recording_fault(),
            room: self.recording.room,
            clock: now.trust,
            events: self.recording.durable,
            receipted: self.syncing.acknowledged(),
            upstream: self.syncing.fault(),
            policy_serial: self.policy.as_ref().map(Policy::serial),
            policy_in_force: self.policy_in_force(now),
            act_under_way: self.running.is_some(),
            challenge: self.running.as_ref().and_then(|r| r.challenge).map(|(_, turn)| turn),
        }
    }

    /// A signed checkpoint of everything durable: for the head file and for an export.
    pub fn checkpoint(&self) -> Option<Note> {
        let head = self.chain.head();
        let signer = self.signers.find(self.chain.keys().of_checkpoint(head.size)).ok()?;
        (self.recording.durable == head.size).then(|| self.chain.checkpoint(head, signer).ok())?
    }

    pub fn chain(&self) -> ChainId {
        self.chain.grant().chain()
    }

    /// The key that whoever has the acknowledged part of the chain takes for this terminal's.
    pub fn known_key(&self) -> PublicKey {
        self.chain.keys().of_event(self.syncing.acknowledged())
    }

    /// Whether the chain is closed and every event of it has a receipt.
    pub fn is_settled(&self) -> bool {
        let size = self.chain.head().size;
        self.stopping && self.recording.durable == size && self.syncing.acknowledged() == size
    }

    fn policy_in_force(&self, now: Now) -> bool {
        self.policy.as_ref().is_some_and(|p| p.check_in_force(now.wall).is_ok())
    }

    fn policy_arrived(&mut self, token: &str, now: Now) {
        match Policy::supersede(self.policy.as_ref(), token, self.authority, now.wall) {
            Ok(policy) => {
                let digest = crate::event::encode_hash(&leaf_hash(token.as_bytes()));
                if self.record(&PolicyApplied { serial: policy.serial(), digest }, now).is_some() {
                    self.outputs.push_back(Output::KeepPolicy(policy.clone()));
                    self.policy = Some(policy);
                    self.tell_retention(now);
                }
            }
            // The same document comes with every poll; only a new and bad one is worth a word.
            Err(_) if self.policy.as_ref().is_some_and(|held| held.token() == token) => {}
            Err(crate::documents::DocumentError::Superseded { .. }) => {}
            Err(_) => self.outputs.push_back(Output::Alarm(Fault::UpstreamNonsense)),
        }
    }

    /// The rules of the pack with whatever the policy in force overrides.
    fn face_rules(&self) -> Option<FaceRules> {
        let mut rules = self.pack_rules?;
        if let Some(policy) = &self.policy {
            rules.probe_frames = policy.content().probe_frames.unwrap_or(rules.probe_frames);
            rules.threshold = policy.comparison_threshold(rules.model).unwrap_or(rules.threshold);
        }
        Some(rules)
    }
}

/// Wall time that moved this much against boot time has been set, not disciplined.
const CLOCK_STEP: Duration = Duration::from_secs(2);
const HEARTBEAT: Duration = Duration::from_secs(15 * 60);
