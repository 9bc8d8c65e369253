//! Starts the whole agent from a config: keys, journal, models, devices, network, local API, event loop.
//! Never opens a device before everything that can refuse to start has agreed.

pub(crate) mod chain_keys;
mod open_journal;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::runtime::Handle;
use tokio::sync::mpsc as tokio_mpsc;
use zhenyin_core::act::FaceRules;
use zhenyin_core::documents::Policy;
use zhenyin_core::event::lifecycle::LogIntegrityAlarm;
use zhenyin_core::fault::Fault;
use zhenyin_core::ids::{ChainId, ReaderId};
use zhenyin_core::rotation::ChainKeys;
use zhenyin_core::terminal::{Input, JournalState, Setup, Terminal};
use zhenyin_core::time::Boottime;
use zhenyin_core::wire::UploadRequest;
use zhenyin_models::{Frame, Pack, Pipeline};

use crate::camera::{
    CameraError, CameraReport, CameraSelector, CameraThread, FrameSource, NokhwaCamera, Patience,
    VirtualCameras,
};
use crate::card_reader::{CardReaderThread, KeyServer, ReaderReport};
use crate::clock::Clock;
use crate::config::{Config, ReaderChoice};
use crate::data_key::DataKey;
use crate::event_loop::{Adapters, EventLoop, Wake};
use crate::face::{self, FaceReport, FaceTask};
use crate::keystore::KeyStore;
use crate::known_key::KnownKey;
use crate::latest::{LatestSender, latest};
use crate::local_api::{ApiToken, Asks, LocalApi};
use crate::references::References;
use crate::terminal_enrolment::{TerminalEnrolment, TerminalEnrolmentError};
use crate::upstream::Upstream;
use open_journal::{OpenJournal, Scan, journal_state};

/// Opens a camera; runs on the capture thread, once for each attempt.
pub type OpenCamera = Box<dyn Fn() -> Result<Box<dyn FrameSource>, CameraError> + Send + Sync>;

/// A running agent. Dropping it stops it in order.
pub struct Agent {
    wakes: mpsc::Sender<Wake>,
    event_loop: Option<JoinHandle<()>>,
    runtime: Option<tokio::runtime::Runtime>,
    scan: Option<Scan>,
    address: SocketAddr,
}

/// Policy is asked for this often; a new one reaches every online terminal within minutes.
const POLICY_POLL: Duration = Duration::from_secs(60);

impl Agent {
    /// Starts with the camera that the config names.
    ///
    /// # Errors
    /// Whatever refuses to start, with what to do.
    pub fn start(config: &Config) -> anyhow::Result<Self> {
        let camera = config.camera.as_deref().map(open_hardware);
        Self::start_with_camera(config, camera)
    }

    /// Starts with another source of frames: recorded subjects in tests and in the demo.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with_camera(config: &Config, camera: Option<OpenCamera>) -> anyhow::Result<Self> {
        let mut keys = KeyStore::open_or_create(&config.state.join("keys"))?;
        let enrolment = match TerminalEnrolment::load(&config.state) {
            Err(TerminalEnrolmentError::NotEnrolled) => {
                bail!("this terminal is not enrolled: run `zhenyin terminal enrol --code CODE` first")
            }
            other => other?,
        };
        // Without a camera face is off by decision, and the models need not be loaded.
        let pack = if camera.is_some() { load_pack(config)? } else { None };
        let (wakes, inbox) = mpsc::channel();
        let report = {
            let wakes = wakes.clone();
            move |report| drop(wakes.send(Wake::Journal(report)))
        };
        let journal_dir = config.state.join("journal");
        let clock = Clock::new();
        let opened = open_journal::open(&journal_dir, &mut keys, &enrolment, clock.now().wall, report)?;
        let OpenJournal { journal, durable, reader: journal_reader, chain_keys, lost } = opened;
        let references = References::open(&config.state.join("references"), &keys.references_key())?;
        let face = pack.as_ref().map(|(pack, _)| face_rules(pack));
        let state = (journal_state(&durable, &journal_reader)?, chain_keys, lost);
        let terminal = terminal(config, enrolment, &keys, &clock, state, face)?;
        let runtime = runtime()?;
        let token = ApiToken::create(&config.state)?;
        let api = runtime.block_on(LocalApi::bind(config.listen, token))?;
        let address = api.address();
        runtime.spawn(serve(api, wakes.clone()));
        let known_key = Arc::new(chain_keys::known(&keys, durable.chain));
        known_key.set(terminal.known_key());
        let (posts, server) = start_upstream(config, &runtime, durable.chain, &known_key, &wakes)?.unzip();
        let journal_key = keys.journal_key();
        let (tasks, face_tasks) = mpsc::channel();
        let adapters = Adapters {
            clock,
            camera: start_camera(camera, pack, face_tasks, &wakes)?,
            face_tasks: tasks,
            readers: start_readers(config, server.as_ref(), &wakes)?,
            journal,
            journal_reader,
            references,
            posts,
            policy_file: policy_file(&config.state),
            keys,
            known_key,
        };
        let event_loop = std::thread::Builder::new()
            .name("event-loop".to_owned())
            .spawn(move || EventLoop::new(terminal, adapters, inbox).run())
            .context("event loop cannot be started")?;
        let scan = start_scan(config.state.clone(), journal_key, durable.chain, &wakes)?;
        tracing::info!(api = %address, "agent is running");
        Ok(Self { wakes, event_loop: Some(event_loop), runtime: Some(runtime), scan: Some(scan), address })
    }

    /// Where the local API listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the chain in order and ends.
    pub fn stop(mut self) {
        self.close();
    }

    fn close(&mut self) {
        self.scan = None;
        let _gone = self.wakes.send(Wake::Stop);
        if let Some(event_loop) = self.event_loop.take() {
            // A panic there was reported by the panic hook.
            let _panicked = event_loop.join();
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.close();
    }
}

fn policy_file(state: &Path) -> PathBuf {
    state.join("policy.jws")
}

fn load_pack(config: &Config) -> anyhow::Result<Option<(Pack, Pipeline)>> {
    let Some(dir) = &config.pack else { return Ok(None) };
    let pack = Pack::load(dir)?;
    let pipeline = Pipeline::new(&pack)?;
    Ok(Some((pack, pipeline)))
}

fn face_rules(pack: &Pack) -> FaceRules {
    FaceRules {
        model: pack.digest(),
        threshold: pack.thresholds().comparison,
        margin: FaceRules::MARGIN,
        probe_frames: pack.probe_frames(),
        enrol_frames: pack.enrol_frames(),
    }
}

fn terminal(
    config: &Config,
    enrolment: TerminalEnrolment,
    keys: &KeyStore,
    clock: &Clock,
    (journal, chain_keys, lost): (JournalState, ChainKeys, Option<LogIntegrityAlarm>),
    face: Option<FaceRules>,
) -> anyhow::Result<Terminal> {
    let mut jitter = [0; 8];
    SystemRandom::new().fill(&mut jitter).map_err(|_| anyhow::anyhow!("the system gives no random bytes"))?;
    let kept = std::fs::read_to_string(policy_file(&config.state)).unwrap_or(enrolment.policy);
    let setup = Setup {
        policy: Policy::open(&kept, enrolment.authority).ok(),
        authority: enrolment.authority,
        witness: enrolment.witness,
        signers: chain_keys::signers(keys, &enrolment.grant),
        keys: chain_keys,
        grant: enrolment.grant,
        journal,
        lost,
        boot: clock.boot_id(),
        pepper: keys.pepper().cloned().context("the key file has no pepper: enrol this terminal anew")?,
        face,
        jitter: u64::from_le_bytes(jitter),
        agent: env!("CARGO_PKG_VERSION").to_owned(),
    };
    Ok(Terminal::new(setup, clock.now()))
}

fn start_scan(
    state: PathBuf,
    key: DataKey,
    chain: ChainId,
    wakes: &mpsc::Sender<Wake>,
) -> anyhow::Result<Scan> {
    let wakes = wakes.clone();
    let found = move |alarm| drop(wakes.send(Wake::Input(Input::EvidenceDamaged(alarm))));
    Scan::start(state, key, chain, found).context("scan of the journal cannot be started")
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("async runtime cannot be started")
}

async fn serve(api: LocalApi, wakes: mpsc::Sender<Wake>) {
    let asks: Asks = Arc::new(move |ask| wakes.send(Wake::Ask(ask)).is_ok());
    if let Err(error) = api.serve(asks).await {
        tracing::error!(%error, "local api ended");
    }
}

type Posts = tokio_mpsc::UnboundedSender<UploadRequest>;

/// The way up for batches, and for questions of locked cards.
fn start_upstream(
    config: &Config,
    runtime: &tokio::runtime::Runtime,
    chain: ChainId,
    known_key: &Arc<KnownKey>,
    wakes: &mpsc::Sender<Wake>,
) -> anyhow::Result<Option<(Posts, KeyServer)>> {
    let Some(upstream) = &config.upstream else { return Ok(None) };
    let upstream = Upstream::new(&upstream.url, upstream.ca_file.as_ref())?;
    let server = key_server(runtime.handle(), upstream.clone(), chain, known_key);
    Ok(Some((spawn_upstream(runtime, upstream, chain, wakes), server)))
}

fn spawn_upstream(
    runtime: &tokio::runtime::Runtime,
    upstream: Upstream,
    chain: ChainId,
    wakes: &mpsc::Sender<Wake>,
) -> Posts {
    // The outbox keeps one request in flight, so this never holds more than one.
    let (posts, mut requests) = tokio_mpsc::unbounded_channel::<UploadRequest>();
    let (poster, posted) = (upstream.clone(), wakes.clone());
    runtime.spawn(async move {
        while let Some(request) = requests.recv().await {
            let answer = poster.post(chain, &request).await;
            if posted.send(Wake::Input(Input::Upstream(answer))).is_err() {
                return;
            }
        }
    });
    let wakes = wakes.clone();
    runtime.spawn(async move {
        loop {
            if let Some(token) = upstream.document("policy").await
                && wakes.send(Wake::Input(Input::Policy(token))).is_err()
            {
                return;
            }
            tokio::time::sleep(POLICY_POLL).await;
        }
    });
    posts
}

fn start_camera(
    open: Option<OpenCamera>,
    pack: Option<(Pack, Pipeline)>,
    tasks: mpsc::Receiver<FaceTask>,
    wakes: &mpsc::Sender<Wake>,
) -> anyhow::Result<Option<CameraThread>> {
    // Without a pack face is off by decision, which is no fault of the camera.
    let (Some(open), Some((_, pipeline))) = (open, pack) else { return Ok(None) };
    let (frames, newest) = latest::<(Boottime, Frame)>();
    let observed = wakes.clone();
    face::start(pipeline, newest, tasks, move |report| {
        let input = match report {
            FaceReport::Observed { captured, observation } => Input::Face { captured, observation },
            FaceReport::Turned { asked, turned } => Input::Turned { asked, turned },
            FaceReport::Fault(fault) => {
                tracing::warn!(code = fault.code(), "frame skipped");
                return;
            }
        };
        let _gone = observed.send(Wake::Input(input));
    })
    .context("face thread cannot be started")?;
    let (wakes, clock) = (wakes.clone(), Clock::new());
    let camera = CameraThread::start(Patience::default(), open, move |report| {
        camera_report(report, &frames, &clock, &wakes);
    });
    Ok(Some(camera.context("camera thread cannot be started")?))
}

fn camera_report(
    report: CameraReport,
    frames: &LatestSender<(Boottime, Frame)>,
    clock: &Clock,
    wakes: &mpsc::Sender<Wake>,
) {
    let state = match report {
        CameraReport::Frame(frame) => {
            frames.replace((clock.now().boottime, frame));
            return;
        }
        CameraReport::Closed => {
            frames.clear();
            return;
        }
        CameraReport::Opened { description } => {
            tracing::info!(camera = description, "camera is on");
            Ok(())
        }
        CameraReport::Fault(error) if error.is_one_frame_only() => {
            tracing::info!(%error, "frame skipped");
            return;
        }
        CameraReport::Fault(error) => {
            frames.clear();
            tracing::warn!(%error, "camera does not work");
            Err(error.fault())
        }
    };
    let _gone = wakes.send(Wake::Input(Input::Camera(state)));
}

fn start_readers(
    config: &Config,
    key_server: Option<&KeyServer>,
    wakes: &mpsc::Sender<Wake>,
) -> anyhow::Result<Vec<CardReaderThread>> {
    if config.readers.is_empty() {
        let (reader, state) = (ReaderId::FIRST, Err(Fault::ReaderAbsent));
        let _gone = wakes.send(Wake::Input(Input::Reader { reader, state }));
    }
    let start = |(choice, number): (&ReaderChoice, u8)| {
        let (wakes, reader) = (wakes.clone(), ReaderId(number));
        CardReaderThread::start(choice.clone(), key_server.cloned(), move |report| {
            let input = match report {
                ReaderReport::Ready { firmware } => {
                    tracing::info!(reader = number, firmware, "reader answers");
                    Input::Reader { reader, state: Ok(()) }
                }
                ReaderReport::Fault(fault) => Input::Reader { reader, state: Err(fault) },
                ReaderReport::Card(event) => Input::Card { reader, event },
                ReaderReport::Code(code) => Input::Code { reader, code },
            };
            let _gone = wakes.send(Wake::Input(input));
        })
    };
    let started = config.readers.iter().zip(1..).map(start).collect::<std::io::Result<_>>();
    started.context("reader thread cannot be started")
}

/// Carries questions of locked cards to the upstream, signed by this terminal.
fn key_server(runtime: &Handle, upstream: Upstream, chain: ChainId, known: &Arc<KnownKey>) -> KeyServer {
    let (runtime, known) = (runtime.clone(), Arc::clone(known));
    Arc::new(move |question, patience| {
        runtime.block_on(upstream.authenticate_card(chain, known.signer(), question, patience))
    })
}

fn open_hardware(word: &str) -> OpenCamera {
    let selector = CameraSelector::parse(word);
    Box::new(move || Ok(Box::new(NokhwaCamera::open(&selector, VirtualCameras::Refuse)?)))
}
