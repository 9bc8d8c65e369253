//! Connections to the database, kept for the next call; statements are prepared once a connection.
//! On a network only by TLS under a given authority. Never uses a connection again that has failed, and never prints how
//! it connects.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postgres::config::{Host, SslMode};
use postgres::types::ToSql;
use postgres::{Client, Config, NoTls, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::encryption;
use crate::store::StoreError;

/// One value of a statement.
pub(super) type Value<'a> = &'a (dyn ToSql + Sync);

/// How long a database may take to answer a new connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How many idle connections are kept.
const IDLE: usize = 64;

pub(super) struct Links {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    idle: Mutex<Vec<Link>>,
}

impl Links {
    pub(super) fn new(connection_file: &Path, ca_file: Option<&Path>) -> Result<Self, StoreError> {
        let path = || connection_file.to_owned();
        let failed = |source| StoreError::ConnectionFile { path: path(), source };
        let mode = std::fs::metadata(connection_file).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(StoreError::ConnectionFileOpen { path: path() });
        }
        let text = std::fs::read_to_string(connection_file).map_err(failed)?;
        let mut config: Config = text.trim().parse().map_err(StoreError::Connect)?;
        let tls = ca_file.map(encryption::believing).transpose()?;
        if tls.is_some() {
            config.ssl_mode(SslMode::Require);
        } else if !is_local(&config) {
            return Err(StoreError::NotLocal { path: path() });
        }
        config.connect_timeout(CONNECT).application_name("zhenyin-upstream");
        Ok(Self { config, tls, idle: Mutex::new(Vec::new()) })
    }

    /// Runs `work` on a connection that nobody else uses meanwhile. A kept connection may have died since, with
    /// the server: then once more on a new one. That is safe, for no statement here does more when it comes twice.
    pub(super) fn with<T>(&self, work: impl Fn(&mut Link) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let kept = self.idle().pop();
        if let Some(mut link) = kept.filter(|link| !link.client.is_closed()) {
            let done = work(&mut link);
            if done.is_ok() || !link.client.is_closed() {
                return self.keep(link, done);
            }
            // The others were connected to the same server.
            self.idle().clear();
        }
        let mut link = Link::open(&self.config, self.tls.as_ref())?;
        let done = work(&mut link);
        self.keep(link, done)
    }

    fn keep<T>(&self, link: Link, done: Result<T, StoreError>) -> Result<T, StoreError> {
        let mut idle = self.idle();
        if done.is_ok() && idle.len() < IDLE {
            idle.push(link);
        }
        done
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Link>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").finish_non_exhaustive()
    }
}

pub(super) struct Link {
    client: Client,
    statements: HashMap<&'static str, Statement>,
}

impl Link {
    fn open(config: &Config, tls: Option<&MakeRustlsConnect>) -> Result<Self, StoreError> {
        let connected = match tls {
            None => config.connect(NoTls),
            Some(tls) => config.connect(tls.clone()),
        };
        let mut client = connected.map_err(StoreError::Connect)?;
        // A role or a database may say otherwise by default.
        client.batch_execute("SET synchronous_commit = on; SET statement_timeout = '20s'")?;
        Ok(Self { client, statements: HashMap::new() })
    }

    pub(super) fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        Ok(self.client.batch_execute(sql)?)
    }

    /// Number of rows that were changed.
    pub(super) fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let statement = self.prepared(sql)?;
        Ok(self.client.execute(&statement, values)?)
    }

    pub(super) fn one(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Row, StoreError> {
        let statement = self.prepared(sql)?;
        Ok(self.client.query_one(&statement, values)?)
    }

    pub(super) fn maybe(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, StoreError> {
        let statement = self.prepared(sql)?;
        Ok(self.client.query_opt(&statement, values)?)
    }

    pub(super) fn all(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepared(sql)?;
        Ok(self.client.query(&statement, values)?)
    }

    fn prepared(&mut self, sql: &'static str) -> Result<Statement, StoreError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql)?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }
}

/// Whether everything that the text names is on this machine; an address goes before the host that it stands for.
fn is_local(config: &Config) -> bool {
    let is_near = |host: &Host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|at: IpAddr| at.is_loopback()),
        Host::Unix(_) => true,
    };
    config.get_hosts().iter().all(is_near) && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_on_a_network_is_refused_without_an_authority() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("database");
        let check = |text: &str, taken: bool| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
            match Links::new(&file, None) {
                Ok(_) => assert!(taken, "{text}"),
                Err(error) => {
                    assert!(!taken && matches!(error, StoreError::NotLocal { .. }), "{text}: {error:?}")
                }
            }
        };
        check("host=/run/postgresql dbname=d", true);
        check("postgresql://%2Frun%2Fpostgresql/d", true);
        check("postgresql://localhost/d", true);
        check("postgresql://127.0.0.1:5433/d", true);
        check("host=::1 dbname=d", true);
        check("postgresql://db.example/d", false);
        check("host=192.0.2.7 dbname=d", false);
        check("host=2001:db8::7 dbname=d", false);
        check("host=localhost.example dbname=d", false);
        check("host=/run/postgresql,db.example dbname=d", false);
        check("host=localhost hostaddr=192.0.2.7 dbname=d", false);
        check("host=/run/postgresql hostaddr=192.0.2.7 dbname=d", false);
    }
}
