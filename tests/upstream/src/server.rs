//! Starts and stops an upstream. Runs on threads of its own, so that any program can hold one.
//! Never leaves a thread behind: dropping the handle stops it.

use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use tokio::sync::oneshot;
use zhenyin_core::documents::{Policy, PolicyContent};
use zhenyin_core::ids::ChainId;
use zhenyin_core::note::VerifierKey;
use zhenyin_core::signer::{PublicKey, Signer as _};
use zhenyin_core::time::WallTime;

use crate::audit::{AuditError, Audited, PAGE, audit};
use crate::card_authentication::CardKeys;
use crate::documents::{PublishError, ensure_policy, publish, publish_policy};
use crate::http::{Shared, router};
use crate::keys::{KeyFileError, Keys};
use crate::limits::{Gate, Limits};
use crate::registry::{self, RegistryError, TerminalInfo};
use crate::store::{Alarm, Counts, EmbeddedStore, Gap, PostgresStore, Store, StoreError, TerminalRow};

/// How long requests in flight may still take once the upstream is told to stop.
const STOP_WAIT: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("keys cannot be loaded")]
    Keys(#[from] KeyFileError),
    #[error("store cannot be used")]
    Store(#[from] StoreError),
    #[error("first policy cannot be published")]
    Policy(#[from] PublishError),
    #[error("cannot listen on {bind}")]
    Bind { bind: SocketAddr, source: io::Error },
    #[error("threads cannot be started")]
    Thread(#[source] io::Error),
}

#[derive(Clone, Debug)]
pub struct Config {
    /// Keys, and the store when it is the embedded one; made with mode 0700 when missing.
    pub state_dir: PathBuf,
    pub store: StoreChoice,
    /// Port 0 takes any free one.
    pub bind: SocketAddr,
    /// Name of the witness key.
    pub witness: String,
    pub limits: Limits,
    /// Toy key of synthetic 3.0 cards; without it every card stays locked.
    pub card_key: Option<u8>,
}

/// Where events are kept. Either can be shared by several processes that have the same key files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreChoice {
    /// One SQLite file in the state directory.
    Embedded,
    /// PostgreSQL, as the text of a private file says how to connect: by TLS under the authority of `ca_file`, or
    /// without one by Unix socket or loopback.
    Postgres { connection_file: PathBuf, ca_file: Option<PathBuf> },
}

impl Config {
    /// With the embedded store and the usual limits.
    pub fn new(state_dir: impl Into<PathBuf>, bind: SocketAddr) -> Self {
        Self {
            state_dir: state_dir.into(),
            store: StoreChoice::Embedded,
            bind,
            witness: "witness.example/upstream".into(),
            limits: Limits::default(),
            card_key: None,
        }
    }
}

/// Keys and store of an upstream: everything that needs no network.
pub struct Admin {
    shared: Arc<Shared>,
}

impl Admin {
    /// Opens the state directory; makes keys, store and a first policy when they are missing.
    ///
    /// # Errors
    /// [`StartError`] names what stands in the way.
    pub fn open(config: &Config) -> Result<Self, StartError> {
        Ok(Self { shared: Arc::new(open(config)?) })
    }

    pub fn witness_key(&self) -> &VerifierKey {
        &self.shared.keys.witness_key
    }

    pub fn authority_key(&self) -> PublicKey {
        self.shared.keys.authority.public_key()
    }

    /// Bearer token of `GET /v1/terminals`.
    pub fn admin_token(&self) -> &str {
        &self.shared.keys.admin_token
    }

    /// Makes a one-time enrolment code, good for a day.
    ///
    /// # Errors
    /// [`RegistryError`] when the store fails.
    pub fn mint_code(&self, info: &TerminalInfo) -> Result<String, RegistryError> {
        registry::mint_code(self.store(), info, (self.shared.now)())
    }

    /// Signs and publishes a policy; terminals fetch it when they next ask.
    ///
    /// # Errors
    /// [`PublishError`] unless the serial rises and the values are in range.
    pub fn publish_policy(&self, content: &PolicyContent) -> Result<Policy, PublishError> {
        publish_policy(self.store(), &self.shared.keys, content)
    }

    /// Signs and publishes a policy, a roster or orders; gives the serial.
    ///
    /// # Errors
    /// [`PublishError`] unless the kind is known and the serial rises.
    pub fn publish(&self, kind: &str, content: &serde_json::Value) -> Result<u64, PublishError> {
        publish(self.store(), &self.shared.keys, kind, content)
    }

    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn counts(&self) -> Result<Counts, StoreError> {
        self.store().counts()
    }

    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn terminals(&self) -> Result<Vec<TerminalRow>, StoreError> {
        let mut rows: Vec<TerminalRow> = Vec::new();
        loop {
            let page = self.store().terminals(rows.last().map(|row| row.chain), PAGE)?;
            if page.is_empty() {
                return Ok(rows);
            }
            rows.extend(page);
        }
    }

    /// Times from which nothing came though the agent should have run.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn gaps(&self, chain: ChainId) -> Result<Vec<Gap>, StoreError> {
        self.store().gaps(chain)
    }

    /// Goes over everything that is stored: each event once and at its place, each root as it was cosigned.
    ///
    /// # Errors
    /// [`AuditError`] names the first thing that does not hold.
    pub fn audit(&self) -> Result<Audited, AuditError> {
        audit(self.store(), &self.shared.keys.witness_key)
    }

    /// Questions of locked cards that had an answer since the start.
    pub fn cards_answered(&self) -> u64 {
        self.shared.cards.answered()
    }

    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn alarms(&self) -> Result<Vec<Alarm>, StoreError> {
        self.store().alarms()
    }

    fn store(&self) -> &dyn Store {
        self.shared.store.as_ref()
    }
}

/// A running upstream. Everything of [`Admin`] can be asked of it too.
pub struct Upstream {
    admin: Admin,
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    /// # Errors
    /// [`StartError`] names what stands in the way.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        Self::start_with(config, |routes| routes)
    }

    /// As [`Self::start`], with layers of the caller around all routes.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(config: &Config, wrap: impl FnOnce(Router) -> Router) -> Result<Self, StartError> {
        let admin = Admin::open(config)?;
        let failed = |source| StartError::Bind { bind: config.bind, source };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("upstream")
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        // Not `block_on`: the caller may itself be inside a runtime.
        let listener = std::net::TcpListener::bind(config.bind).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let routes = wrap(router(Arc::clone(&admin.shared)));
        let thread = std::thread::Builder::new()
            .name("upstream".into())
            .spawn(move || {
                runtime.block_on(serve(listener, routes, stopped));
                runtime.shutdown_timeout(STOP_WAIT);
            })
            .map_err(StartError::Thread)?;
        Ok(Self { admin, addr, stop: Some(stop), thread: Some(thread) })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://<address>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Stops listening, drops all connections and closes the store. Blocks for at most a few seconds.
    pub fn shutdown(mut self) {
        self.stop_and_join();
    }

    fn stop_and_join(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Deref for Upstream {
    type Target = Admin;

    fn deref(&self) -> &Admin {
        &self.admin
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop_and_join();
    }
}

/// Opens keys and store of a state directory and sees that a policy is published.
fn open(config: &Config) -> Result<Shared, StartError> {
    let keys = Keys::load(&config.state_dir, &config.witness)?;
    let store: Box<dyn Store> = match &config.store {
        StoreChoice::Embedded => Box::new(EmbeddedStore::open(&config.state_dir.join("upstream.db"))?),
        StoreChoice::Postgres { connection_file, ca_file } => {
            Box::new(PostgresStore::open(connection_file, ca_file.as_deref())?)
        }
    };
    let authority = keys.authority.public_key().to_jwk().x;
    store.claim(&format!("authority {authority} witness {}", keys.witness_key))?;
    ensure_policy(store.as_ref(), &keys, now())?;
    Ok(Shared { store, keys, cards: CardKeys::new(config.card_key), gate: Gate::new(config.limits), now })
}

async fn serve(listener: std::net::TcpListener, routes: Router, stopped: oneshot::Receiver<()>) {
    let serving = async { axum::serve(tokio::net::TcpListener::from_std(listener)?, routes).await };
    tokio::select! {
        done = serving => if let Err(error) = done {
            tracing::error!(error = &error as &dyn std::error::Error, "upstream stopped by itself");
        },
        _ = stopped => {}
    }
}

fn now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
