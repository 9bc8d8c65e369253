//! The only owner of the core's `Terminal`: everything that happens comes in here, everything the terminal
//! asks for is carried out here.
//! Never decides, never waits for an answer: answers come back as inputs.

mod sessions;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use sessions::Sessions;
use tokio::sync::{mpsc as tokio_mpsc, oneshot};
use zhenyin_core::api::{Refusal, Reply};
use zhenyin_core::enrolled::Enrolled;
use zhenyin_core::fault::{Fault, Severity};
use zhenyin_core::hold::{HoldChange, HoldRequest};
use zhenyin_core::ids::{Sequence, SessionId};
use zhenyin_core::inspection::OpenInspection;
use zhenyin_core::merkle::CompactRange;
use zhenyin_core::note::Note;
use zhenyin_core::outbox::StoredEvent;
use zhenyin_core::signer::PublicKey;
use zhenyin_core::terminal::{Input, Output, Terminal, Ticket};
use zhenyin_core::time::WallTime;
use zhenyin_core::wire::{PLAIN_LIMIT, UploadRequest, UpstreamAnswer};

use crate::camera::CameraThread;
use crate::card_reader::CardReaderThread;
use crate::clock::Clock;
use crate::face::FaceTask;
use crate::journal::{Epoch, Journal, JournalReader, JournalReport};
use crate::keystore::KeyStore;
use crate::known_key::KnownKey;
use crate::local_api::{Ask, Progress};
use crate::references::References;

/// Everything that wakes the loop.
#[derive(Debug)]
pub enum Wake {
    Input(Input),
    Ask(Ask),
    Journal(JournalReport),
    /// Close the chain in order, let the last events go up, and end.
    Stop,
}

/// The devices and stores that the loop drives.
pub struct Adapters {
    pub clock: Clock,
    pub camera: Option<CameraThread>,
    /// To the inference thread; nobody listens where there is no camera.
    pub face_tasks: Sender<FaceTask>,
    pub readers: Vec<CardReaderThread>,
    pub journal: Journal,
    pub journal_reader: JournalReader,
    pub references: References,
    /// Where batches go; absent without an upstream.
    pub posts: Option<tokio_mpsc::UnboundedSender<UploadRequest>>,
    /// Where the policy in force is kept.
    pub policy_file: PathBuf,
    pub keys: KeyStore,
    /// What signs the questions of locked cards.
    pub known_key: Arc<KnownKey>,
}

/// See the module.
pub struct EventLoop {
    terminal: Terminal,
    adapters: Adapters,
    wakes: Receiver<Wake>,
    begins: HashMap<Ticket, oneshot::Sender<Result<SessionId, Refusal>>>,
    answers: HashMap<Ticket, oneshot::Sender<Result<(), Refusal>>>,
    openings: HashMap<Ticket, oneshot::Sender<Result<OpenInspection, Refusal>>>,
    holds: HashMap<Ticket, oneshot::Sender<Result<i64, Refusal>>>,
    closings: HashMap<Ticket, oneshot::Sender<Result<Sequence, Refusal>>>,
    next_ticket: u64,
    sessions: Sessions,
    random: SystemRandom,
    /// It was remembered that this chain has begun.
    begun: bool,
}

/// How long the last events may take to go up when the agent stops.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

impl EventLoop {
    pub fn new(terminal: Terminal, adapters: Adapters, wakes: Receiver<Wake>) -> Self {
        Self {
            terminal,
            adapters,
            wakes,
            begins: HashMap::new(),
            answers: HashMap::new(),
            openings: HashMap::new(),
            closings: HashMap::new(),
            holds: HashMap::new(),
            next_ticket: 0,
            sessions: Sessions::default(),
            random: SystemRandom::new(),
            begun: false,
        }
    }

    /// Runs until [`Wake::Stop`], then closes the journal.
    pub fn run(mut self) {
        let mut stop_by = None;
        self.execute_outputs();
        loop {
            let now = self.adapters.clock.now();
            if stop_by.is_some_and(|at| now.boottime >= at || self.terminal.is_settled()) {
                break;
            }
            let (due, _why) = self.terminal.poll_timeout();
            let due = stop_by.map_or(due, |at| due.min(at));
            match self.wakes.recv_timeout(due.saturating_since(now.boottime)) {
                Ok(Wake::Stop) => {
                    let now = self.adapters.clock.now();
                    stop_by = stop_by.or(Some(now.boottime.after(STOP_PATIENCE)));
                    self.handle(Input::Stop);
                }
                Ok(Wake::Input(input)) => self.handle(input),
                Ok(Wake::Journal(report)) => self.journal(report),
                Ok(Wake::Ask(ask)) => self.ask(ask),
                Err(RecvTimeoutError::Timeout) => self.handle(Input::Tick),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.execute_outputs();
        }
        self.adapters.journal.close();
    }

    fn handle(&mut self, input: Input) {
        let now = self.adapters.clock.now();
        self.terminal.handle(input, now);
    }

    fn journal(&mut self, report: JournalReport) {
        match report {
            JournalReport::Committed { through } => {
                self.begun(through);
                self.handle(Input::Committed { through });
            }
            JournalReport::Failed { error, .. } => {
                tracing::error!(error = %chain_of(&error), "journal cannot record");
                self.handle(Input::NotCommitted { fault: error.fault() });
            }
            JournalReport::Reset { epoch, state } => match state {
                Some(state) => self.handle(Input::JournalReset { epoch: epoch.0, chain: state.state }),
                None => self.handle(Input::NotCommitted { fault: Fault::JournalDamaged }),
            },
            JournalReport::Idle { .. } => {
                // Signed while quiet, so that a journal cut short is noticed at the next start.
                if let Some(note) = self.terminal.checkpoint() {
                    let _stopped = self.adapters.journal.write_head(note.to_string());
                }
            }
            JournalReport::Room(room) => {
                tracing::info!(used = room.used_bytes, limit = room.limit_bytes, level = ?room.level, "room for events");
                self.handle(Input::Room(room));
            }
            JournalReport::Erased { through } => tracing::info!(through, "retention has erased bodies"),
            JournalReport::Acknowledged { size } => tracing::debug!(size, "receipt stored"),
            JournalReport::AcknowledgementRefused { error } => {
                tracing::error!(error = %chain_of(&error), "receipt could not be stored");
            }
            JournalReport::HeadNotWritten { error } => {
                tracing::warn!(error = %chain_of(&error), "head file could not be written");
            }
        }
    }

    /// Asked at every commit, done once for a chain. Where it fails, the next start makes up for it.
    fn begun(&mut self, through: Sequence) {
        let size = through.0 + 1;
        if size < KeyStore::BEGUN || std::mem::replace(&mut self.begun, true) {
            return;
        }
        if let Err(error) = self.adapters.keys.remember_begun(self.terminal.chain(), size) {
            tracing::error!(error = %chain_of(&error), "it cannot be kept that the journal has begun");
        }
    }

    fn ask(&mut self, ask: Ask) {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        match ask {
            Ask::Begin { request, back } => {
                let mut entropy = [0; 16];
                if self.random.fill(&mut entropy).is_err() {
                    let _gone = back.send(Err(Refusal::NotRecording));
                    return;
                }
                self.begins.insert(ticket, back);
                self.handle(Input::Begin { ticket, request, entropy });
            }
            Ask::Answer { session, answer, back } => {
                self.answers.insert(ticket, back);
                self.handle(Input::Answer { ticket, session, answer });
            }
            Ask::Inspect { request, back } => {
                self.openings.insert(ticket, back);
                self.handle(Input::Inspect { ticket, request });
            }
            Ask::ChangeHold { change, back } => self.ask_hold(ticket, change, back),
            Ask::CloseInspection { opened, closing, back } => {
                self.closings.insert(ticket, back);
                self.handle(Input::CloseInspection { ticket, opened, closing });
            }
            Ask::Follow { session, back } => {
                let _gone = back.send(self.sessions.follow(session));
            }
            Ask::Status { back } => {
                let _gone = back.send(self.terminal.status(self.adapters.clock.now()));
            }
        }
    }

    fn execute_outputs(&mut self) {
        while let Some(output) = self.terminal.poll_output() {
            self.execute(output);
        }
    }

    fn execute(&mut self, output: Output) {
        match output {
            Output::Begun { ticket, result } => {
                if let Ok(session) = result {
                    self.sessions.begin(session);
                }
                reply_to(&mut self.begins, ticket, result);
            }
            Output::Answered { ticket, result } => reply_to(&mut self.answers, ticket, result),
            Output::InspectionOpened { ticket, result } => reply_to(&mut self.openings, ticket, result),
            Output::InspectionClosed { ticket, result } => reply_to(&mut self.closings, ticket, result),
            Output::Step { session, step } => self.sessions.tell(session, Progress::Step(step)),
            Output::Reply(reply) => self.reply(reply),
            Output::Camera(wanted) => {
                if let Some(camera) = &self.adapters.camera {
                    camera.set_wanted(wanted);
                }
            }
            Output::Challenge { asked, turn } => self.face_task(FaceTask::Challenge { asked, turn }),
            Output::Look { enrolling } => self.face_task(FaceTask::Look { enrolling }),
            Output::Reader(wanted) => {
                for reader in &self.adapters.readers {
                    reader.set_wanted(wanted);
                }
            }
            Output::Find { session, token } => {
                let enrolled = self.adapters.references.get(&token).unwrap_or_else(|error| {
                    tracing::error!(error = %chain_of(&error), "enrolled person cannot be read");
                    None
                });
                self.handle(Input::Found { session, enrolled });
            }
            Output::ListStaff { session } => self.list_staff(session),
            Output::Store { session, enrolled } => self.store(session, &enrolled),
            Output::Append { epoch, event } => {
                if self.adapters.journal.append(Epoch(epoch), event).is_err() {
                    self.handle(Input::NotCommitted { fault: Fault::JournalCommitFailed });
                }
            }
            Output::LoadFrontier { size } => self.load_frontier(size),
            Output::LoadBatch { first, max } => self.load_batch(first, max),
            Output::Post(request) => self.post(request),
            Output::Acknowledge { frontier, receipt, at } => self.acknowledge(frontier, &receipt, at),
            Output::ChangeHold { ticket, result } => {
                let result = result.and_then(|change| self.change_hold(change));
                reply_to(&mut self.holds, ticket, result);
            }
            Output::Keep(keep) => self.keep(keep),
            Output::KeyRotated { key, at } => self.key_rotated(key, at),
            Output::KeepPolicy(policy) => {
                if let Err(error) =
                    crate::durable_file::replace(&self.adapters.policy_file, policy.token().as_bytes())
                {
                    tracing::error!(%error, "policy cannot be kept; it is fetched again at the next start");
                }
            }
            Output::Alarm(fault) => log_fault(fault),
        }
    }

    fn acknowledge(&mut self, frontier: CompactRange, receipt: &Note, at: WallTime) {
        let _stopped = self.adapters.journal.acknowledge(frontier, receipt.to_string(), at);
        self.adapters.known_key.set(self.terminal.known_key());
    }

    /// What cannot be lifted goes on no record.
    fn ask_hold(&mut self, ticket: Ticket, change: HoldChange, back: oneshot::Sender<Result<i64, Refusal>>) {
        if let HoldChange::Lift { hold } = change {
            let holds = self.adapters.journal_reader.holds().unwrap_or_default();
            if !holds.iter().any(|known| known.id == hold && known.lifted.is_none()) {
                let _gone = back.send(Err(Refusal::NoSuchHold));
                return;
            }
        }
        self.holds.insert(ticket, back);
        self.handle(Input::ChangeHold { ticket, change });
    }

    fn change_hold(&mut self, change: HoldChange) -> Result<i64, Refusal> {
        let (journal, at) = (&self.adapters.journal, self.adapters.clock.now().wall);
        let changed = match change {
            HoldChange::Place(HoldRequest { first, last, reason }) => journal.hold(first, last, &reason, at),
            HoldChange::Lift { hold } => journal.lift_hold(hold, at).map(|()| hold),
        };
        changed.map_err(|error| {
            tracing::error!(error = %chain_of(&error), "hold could not be changed");
            Refusal::HoldUnsure
        })
    }

    fn keep(&mut self, keep: Option<Duration>) {
        tracing::info!(
            days = keep.map(|keep| keep.as_secs() / 86_400),
            "bodies are kept after their receipt"
        );
        let _stopped = self.adapters.journal.keep(keep.unwrap_or(Duration::MAX));
    }

    fn key_rotated(&mut self, key: PublicKey, at: Sequence) {
        let chain = self.terminal.chain();
        match self.adapters.keys.take_over(chain, at.0) {
            Ok(()) => tracing::info!(key = %key.key_id(), at = at.0, "new key has taken over"),
            // The journal has the handover: the next start makes up for it.
            Err(error) => {
                tracing::error!(error = %chain_of(&error), "new key has taken over, but is not in its place yet");
            }
        }
    }

    fn face_task(&self, task: FaceTask) {
        let _no_camera = self.adapters.face_tasks.send(task);
    }

    fn list_staff(&mut self, session: SessionId) {
        let staff = self.adapters.references.staff().unwrap_or_else(|error| {
            tracing::error!(error = %chain_of(&error), "enrolled staff cannot be read");
            Vec::new()
        });
        self.handle(Input::Staff { session, staff });
    }

    fn store(&mut self, session: SessionId, enrolled: &Enrolled) {
        let result = self.adapters.references.put(enrolled).map_err(|error| {
            tracing::error!(error = %chain_of(&error), "enrolment cannot be stored");
            Fault::ReferencesDamaged
        });
        self.handle(Input::Stored { session, result });
    }

    fn reply(&mut self, reply: Reply) {
        tracing::info!(
            session = reply.session.0,
            outcome = reply.outcome.code(),
            events = reply.events.len(),
            "act ended"
        );
        self.sessions.tell(reply.session, Progress::Done(reply));
    }

    fn load_frontier(&mut self, size: u64) {
        match self.adapters.journal_reader.frontier(size) {
            Ok(frontier) => self.handle(Input::FrontierLoaded(frontier)),
            Err(error) => {
                tracing::error!(error = %chain_of(&error), "journal cannot be read for upload");
                self.handle(Input::FrontierLoaded(CompactRange::new()));
            }
        }
    }

    fn load_batch(&mut self, first: u64, max: usize) {
        let reader = &self.adapters.journal_reader;
        let stored = reader.batch(Sequence(first), max, PLAIN_LIMIT).unwrap_or_else(|error| {
            tracing::error!(error = %chain_of(&error), "journal cannot be read for upload");
            Vec::new()
        });
        // An erased body ends the batch; below the last receipt nothing needs to go up again.
        let events =
            stored.into_iter().map_while(|e| Some(StoredEvent { jws: e.jws?, leaf: e.leaf })).collect();
        self.handle(Input::BatchLoaded { first, events });
    }

    fn post(&mut self, request: UploadRequest) {
        let refused = match &self.adapters.posts {
            Some(posts) => posts.send(request).is_err(),
            None => true,
        };
        if refused {
            self.handle(Input::Upstream(UpstreamAnswer::Unreachable("no upstream configured".to_owned())));
        }
    }
}

/// Whoever asked may have gone away meanwhile.
fn reply_to<T>(waiting: &mut HashMap<Ticket, oneshot::Sender<T>>, ticket: Ticket, answer: T) {
    if let Some(back) = waiting.remove(&ticket) {
        let _gone = back.send(answer);
    }
}

fn log_fault(fault: Fault) {
    let text = crate::text::english(fault);
    match fault.severity() {
        Severity::Error => tracing::error!(code = fault.code(), "{text}"),
        Severity::Warn => tracing::warn!(code = fault.code(), "{text}"),
        Severity::Info => tracing::info!(code = fault.code(), "{text}"),
    }
}

/// An error with all its causes, once each.
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
