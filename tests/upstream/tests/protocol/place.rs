//! Where an upstream of these tests keeps what it keeps: every test runs on every store.
//! Never silent about a store that cannot be tested here.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use reference_upstream::cluster::PrivateCluster;
use reference_upstream::{Config, Limits, StoreChoice, Upstream};
use tempfile::TempDir;

use crate::device::config;

/// A folder of keys and a store, both of one test only.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
    pub(crate) config: Config,
    /// Name of the database, where there is one.
    pub(crate) database: Option<String>,
}

impl Place {
    pub(crate) fn embedded() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        Self { dir, config, database: None }
    }

    /// `None` when PostgreSQL is not installed.
    pub(crate) fn postgres() -> Option<Self> {
        cluster().map(Self::on)
    }

    /// On a new database of a cluster.
    pub(crate) fn on(cluster: &PrivateCluster) -> Self {
        static DATABASES: AtomicU32 = AtomicU32::new(0);
        let Self { dir, config, .. } = Self::embedded();
        let database = format!("test_{}", DATABASES.fetch_add(1, Ordering::SeqCst));
        let connection_file = cluster.database(&database, dir.path()).unwrap();
        let config = Config { store: StoreChoice::Postgres { connection_file, ca_file: None }, ..config };
        Self { dir, config, database: Some(database) }
    }

    pub(crate) fn start(&self) -> Upstream {
        Upstream::start(&self.config).expect("starts")
    }

    pub(crate) fn with_limits(&self, limits: Limits) -> Upstream {
        Upstream::start(&Config { limits, ..self.config.clone() }).expect("starts")
    }
}

/// Runs a test on every store that is here.
pub(crate) fn everywhere(test: impl Fn(&Place)) {
    test(&Place::embedded());
    match Place::postgres() {
        Some(place) => test(&place),
        None => println!("skipped: postgres is not here, only the embedded store is tested"),
    }
}

/// One cluster for all tests of this program; it ends with the program.
pub(crate) fn cluster() -> Option<&'static PrivateCluster> {
    static CLUSTER: OnceLock<Option<PrivateCluster>> = OnceLock::new();
    CLUSTER.get_or_init(|| PrivateCluster::start().expect("an installed PostgreSQL starts")).as_ref()
}
