//! A terminal with everything it is connected to, on loopback: for scenarios and for the demo.
//! Never waits for luck: it follows sessions to their end and asks for the status until it says so.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use reference_upstream::{Config as UpstreamConfig, TerminalInfo, Upstream};
use zhenyin::agent::Agent;
use zhenyin::client::{Client, Event};
use zhenyin::clock::Clock;
use zhenyin::config::Config;
use zhenyin::export::{self, Inspection, Recipients, Selection};
use zhenyin::journal::{Counters, JournalReader};
use zhenyin::keystore::KeyStore;
use zhenyin::terminal_enrolment::TerminalEnrolment;
use zhenyin_core::api::{Answer, DocumentKind, Reply, Request, Status, Step};
use zhenyin_core::decision::DocumentCheck;
use zhenyin_core::pin::Pin;
use zhenyin_core::verify::Summary;

use crate::card_reader::PtyReader;
use crate::card_reader::device::Echo;
use crate::recorded_camera::Stage;

/// A terminal with all its neighbours.
pub struct World {
    pub stage: Stage,
    pub reader: PtyReader,
    pub config: Config,
    upstream_config: UpstreamConfig,
    upstream: Option<Upstream>,
    agent: Option<Agent>,
    client: Client,
    runtime: tokio::runtime::Runtime,
}

/// Whatever should happen on loopback within moments has this long, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// The toy key of [`crate::card_reader::CardSpec::with_key`].
const CARD_KEY: u8 = 0x5A;

impl World {
    /// Starts the upstream, enrols a terminal there, and starts the agent.
    ///
    /// # Errors
    /// Whatever does not start.
    pub fn build(folder: &Path, pack: Option<&Path>) -> anyhow::Result<Self> {
        Self::build_with(folder, pack, |routes| routes)
    }

    /// Without models, with more in the configuration: `more` goes on in the table of the first reader.
    ///
    /// # Errors
    /// Whatever does not start.
    pub fn build_configured(
        folder: &Path,
        more: &str,
        wrap: impl FnOnce(axum::Router) -> axum::Router,
    ) -> anyhow::Result<Self> {
        Self::build_whole(folder, None, wrap, more)
    }

    /// The same with an upstream whose routes are wrapped, to watch or to disturb it.
    ///
    /// # Errors
    /// Whatever does not start.
    pub fn build_with(
        folder: &Path,
        pack: Option<&Path>,
        wrap: impl FnOnce(axum::Router) -> axum::Router,
    ) -> anyhow::Result<Self> {
        Self::build_whole(folder, pack, wrap, "")
    }

    fn build_whole(
        folder: &Path,
        pack: Option<&Path>,
        wrap: impl FnOnce(axum::Router) -> axum::Router,
        more: &str,
    ) -> anyhow::Result<Self> {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut upstream_config = UpstreamConfig::new(folder.join("upstream"), any_port);
        upstream_config.card_key = Some(CARD_KEY);
        let upstream = Upstream::start_with(&upstream_config, wrap)?;
        // After an outage it comes back where it was.
        upstream_config.bind = upstream.addr();
        let reader = PtyReader::start(Echo::On)?;
        let config = config(folder, pack, reader.path(), &upstream.url(), more)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        enrol_terminal(&config, &upstream, &runtime)?;
        let stage = Stage::default();
        let camera = stage.clone();
        let agent = Agent::start_with_camera(&config, Some(Box::new(move || camera.open())))?;
        let client = Client::new(agent.address(), &config.state)?;
        let (upstream, agent) = (Some(upstream), Some(agent));
        Ok(Self { stage, reader, config, upstream_config, upstream, agent, client, runtime })
    }

    /// One act from beginning to end. `answer` is asked at every step.
    ///
    /// # Errors
    /// When the act is refused, or the agent goes away.
    pub fn perform(
        &self,
        request: &Request,
        mut answer: impl FnMut(&Step) -> Option<Answer>,
    ) -> anyhow::Result<Reply> {
        self.runtime.block_on(async {
            let mut session = self.client.begin(request).await?;
            while let Some(event) = session.next().await? {
                match event {
                    Event::Done(reply) => return Ok(reply),
                    Event::Step(step) => {
                        if let Some(answer) = answer(&step) {
                            self.client.answer(session.id, &answer).await?;
                        }
                    }
                }
            }
            bail!("the agent stopped before the act ended")
        })
    }

    /// # Errors
    /// When the agent does not answer.
    pub fn status(&self) -> anyhow::Result<Status> {
        Ok(self.runtime.block_on(self.client.status())?)
    }

    /// Asks until `good` holds.
    ///
    /// # Errors
    /// Names what did not come true in time.
    pub fn until(&self, what: &str, good: impl Fn(&Status) -> bool) -> anyhow::Result<Status> {
        let begun = Instant::now();
        loop {
            let status = self.status()?;
            if good(&status) {
                return Ok(status);
            }
            if begun.elapsed() > PATIENCE {
                bail!("{what} did not happen within {PATIENCE:?}: {status:?}");
            }
            self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(20)).await });
        }
    }

    /// For calls that are not a whole act.
    pub fn client(&self) -> (&Client, &tokio::runtime::Runtime) {
        (&self.client, &self.runtime)
    }

    /// The network goes away.
    pub fn cut_network(&mut self) {
        if let Some(upstream) = self.upstream.take() {
            upstream.shutdown();
        }
    }

    /// The network comes back.
    ///
    /// # Errors
    /// When the upstream does not start again.
    pub fn restore_network(&mut self) -> anyhow::Result<()> {
        self.upstream = Some(Upstream::start(&self.upstream_config)?);
        Ok(())
    }

    /// The other side, while the network is there.
    pub fn upstream(&self) -> Option<&Upstream> {
        self.upstream.as_ref()
    }

    /// The agent is started again on what it left.
    ///
    /// # Errors
    /// Whatever does not start.
    pub fn start_agent(&mut self) -> anyhow::Result<()> {
        let camera = self.stage.clone();
        let agent = Agent::start_with_camera(&self.config, Some(Box::new(move || camera.open())))?;
        self.client = Client::new(agent.address(), &self.config.state)?;
        self.agent = Some(agent);
        Ok(())
    }

    /// Goes on with an agent that runs in a process of its own, on the same state.
    ///
    /// # Errors
    /// When it has left no token for the local API.
    pub fn attach(&mut self, agent: SocketAddr) -> anyhow::Result<()> {
        self.client = Client::new(agent, &self.config.state)?;
        Ok(())
    }

    /// Staff type a code for this same terminal: a new chain begins at the next start.
    ///
    /// # Errors
    /// When the upstream is away or refuses.
    pub fn enrol_again(&self) -> anyhow::Result<()> {
        let upstream = self.upstream.as_ref().context("there is no upstream")?;
        let terminal = TerminalEnrolment::load(&self.config.state)?.grant.terminal();
        let code =
            upstream.mint_code(&TerminalInfo { terminal: Some(terminal), ..TerminalInfo::default() })?;
        let mut keys = KeyStore::open(&self.config.state.join("keys"))?;
        let link = zhenyin::upstream::Upstream::new(&upstream.url(), None)?;
        let now = Clock::new().now();
        self.runtime.block_on(TerminalEnrolment::obtain_again(
            &self.config.state,
            &link,
            &code,
            &mut keys,
            now,
        ))?;
        Ok(())
    }

    /// Writes an export of the stopped agent's chain and verifies it; gives both counts of events.
    ///
    /// # Errors
    /// What does not hold.
    pub fn export(&self, folder: &Path) -> anyhow::Result<(Counters, Summary)> {
        let state = &self.config.state;
        let keys = KeyStore::open(&state.join("keys"))?;
        let reader = JournalReader::open(&state.join("journal"), keys.journal_key())?;
        let enrolment = TerminalEnrolment::load(state)?;
        let chain = enrolment.grant.chain();
        let header = enrolment.export_header();
        let inspection = Inspection {
            selection: Selection::default(),
            inspectors: Vec::new(),
            at: Clock::new().now().wall,
            opened: None,
            checkpoint: export::checkpoint(&reader, &header.origin, &keys.signer())?,
            recipients: Recipients::default(),
        };
        export::write(&reader, chain, &header, &inspection, folder)?;
        let (_, summary) = export::verify(folder)?;
        Ok((reader.counters()?, summary))
    }

    /// Where the local API listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.agent.as_ref().map(Agent::address)
    }

    /// Address of the status page.
    pub fn page(&self) -> Option<String> {
        self.agent.as_ref().map(|agent| format!("http://{}/", agent.address()))
    }

    /// Closes the chain in order; the last events go up before the agent ends.
    pub fn stop_agent(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.stop();
        }
    }
}

/// What people answer in a scripted act. Steps that only show something need no entry.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub consent: Option<bool>,
    /// One for each time that a PIN is asked for or chosen; the last one is given again and again.
    pub pins: Vec<&'static str>,
    pub document: Option<(DocumentKind, DocumentCheck)>,
    /// Cancels as soon as card or staff are asked for instead of the face.
    pub cancel: bool,
}

impl Script {
    /// The script as an answering function for [`World::perform`].
    pub fn answers(mut self) -> impl FnMut(&Step) -> Option<Answer> {
        move |step| match step {
            Step::AskConsent => self.consent.map(|agree| Answer::Consent { agree }),
            Step::ChoosePin | Step::EnterPin { .. } => self.pin(),
            Step::AskStaff { .. } if self.cancel => Some(Answer::Cancel),
            Step::AskStaff { .. } => {
                self.document.map(|(document, check)| Answer::Document { document, check })
            }
            Step::UseCard { .. } => self.cancel.then_some(Answer::Cancel),
            Step::LookOrPresentCard
            | Step::PresentCard
            | Step::PresentCardAgain { .. }
            | Step::Look { .. }
            | Step::Turn { .. }
            | Step::CodeTaken { .. } => None,
        }
    }

    fn pin(&mut self) -> Option<Answer> {
        let digits = if self.pins.len() > 1 { self.pins.remove(0) } else { *self.pins.first()? };
        Some(Answer::Pin { pin: Pin::parse(digits).ok()? })
    }
}

fn config(
    folder: &Path,
    pack: Option<&Path>,
    port: &Path,
    upstream: &str,
    more: &str,
) -> anyhow::Result<Config> {
    let models = match pack {
        Some(pack) => format!("models.pack = '{}'", pack.display()),
        None => "models.enabled = false".to_owned(),
    };
    let text = format!(
        "version = 1\nstate = '{}'\n{models}\nupstream.url = '{upstream}'\n\
         api.listen = '127.0.0.1:0'\n[[reader]]\nport = '{}'\n{more}",
        folder.join("state").display(),
        port.display(),
    );
    // Written and read as an administrator would, so that the parser takes part.
    let path: PathBuf = folder.join("config.toml");
    std::fs::write(&path, text).context("the config cannot be written")?;
    Ok(Config::load(&path)?)
}

fn enrol_terminal(
    config: &Config,
    upstream: &Upstream,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<()> {
    let code = upstream.mint_code(&TerminalInfo {
        terminal: None,
        institution: "H11010500026".to_owned(),
        department: "outpatient pharmacy".to_owned(),
        region: "110105".to_owned(),
    })?;
    zhenyin::durable_file::private_dir(&config.state)?;
    let mut keys = KeyStore::open_or_create(&config.state.join("keys"))?;
    let link = zhenyin::upstream::Upstream::new(&upstream.url(), None)?;
    let now = Clock::new().now();
    runtime.block_on(TerminalEnrolment::obtain(&config.state, &link, &code, &mut keys, now))?;
    Ok(())
}
