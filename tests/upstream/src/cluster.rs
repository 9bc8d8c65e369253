//! A private PostgreSQL in a temporary folder, for trials, tests and benches. Needs an installed `postgres`.
//! Never touches another cluster, never listens on the network (on loopback only where TLS is asked for, and with nothing
//! else), and never outlives the program that started it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use postgres::{Client, NoTls};

use crate::keys::{KeyFileError, random, to_hex};

/// On a slow and busy machine, making a cluster or recovering one can take this long.
const PATIENCE: Duration = Duration::from_secs(120);
/// Runs the server again whenever it ends, until `$1/stop` is there; then removes the folder.
const SUPERVISE: &str = r#"
trap 'touch "$1/stop"; kill -INT "$server" 2>/dev/null' TERM INT HUP
while [ ! -e "$1/stop" ]; do
  "$2/postgres" -D "$1/data" -k "$1" -c max_connections=200 >>"$1/log" 2>&1 &
  server=$!
  wait "$server"; wait "$server"
done
rm -rf "$1"
"#;

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("`{command}` cannot be run")]
    Run { command: &'static str, source: io::Error },
    #[error("`{command}` failed: {said}")]
    Failed { command: &'static str, said: String },
    #[error("folder `{}` of the cluster cannot be used", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("cluster does not answer after {PATIENCE:?}")]
    Silent(#[source] postgres::Error),
    #[error("database `{name}` cannot be made")]
    Database { name: String, source: postgres::Error },
    #[error(transparent)]
    Random(#[from] KeyFileError),
}

/// A running cluster; dropping it ends and removes it.
#[derive(Debug)]
pub struct PrivateCluster {
    folder: PathBuf,
    port: u16,
    /// Held so that its end ends the keeper.
    stop: Option<mpsc::Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl PrivateCluster {
    /// Makes and starts a cluster; `None` when PostgreSQL is not installed.
    ///
    /// # Errors
    /// [`ClusterError`] when it is installed but does not start.
    pub fn start() -> Result<Option<Self>, ClusterError> {
        Self::start_as(None)
    }

    /// The same, that listens on loopback too and takes nothing there but TLS under this certificate and its key, both
    /// in PEM.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_encrypted(certificate: &str, key: &str) -> Result<Option<Self>, ClusterError> {
        Self::start_as(Some((certificate, key)))
    }

    /// Where it listens on loopback, if it does; also a part of its socket's name.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn start_as(tls: Option<(&str, &str)>) -> Result<Option<Self>, ClusterError> {
        let Some(programs) = programs() else { return Ok(None) };
        let folder = std::env::temp_dir().join(format!("zhenyin-postgres-{}", to_hex(&random::<8>()?)));
        let failed = |source| ClusterError::Folder { path: folder.clone(), source };
        fs::create_dir(&folder).map_err(failed)?;
        let user = user(&folder).map_err(failed)?;
        if let Some(user) = user {
            run("chown", Command::new("chown").arg(user).arg(&folder))?;
        }
        let data = folder.join("data");
        let mut initdb = as_user(user);
        initdb.arg(programs.join("initdb")).args([
            "-A",
            "trust",
            "-U",
            "upstream",
            "-E",
            "UTF8",
            "--locale=C",
        ]);
        run("initdb", initdb.arg("-D").arg(&data))?;
        let port = configure(&data, tls).map_err(failed)?;
        if let Some(user) = user {
            run("chown", Command::new("chown").arg("-R").arg(user).arg(&data))?;
        }
        let mut supervisor = as_user(user);
        supervisor.args(["sh", "-c", SUPERVISE, "sh"]).arg(&folder).arg(&programs);
        let (stop, keeper) = keep(supervisor)?;
        let cluster = Self { folder, port, stop: Some(stop), keeper: Some(keeper) };
        cluster.connect("postgres").map_err(ClusterError::Silent)?;
        Ok(Some(cluster))
    }

    /// Makes an empty database and a private file in `folder` that says how to reach it.
    ///
    /// # Errors
    /// [`ClusterError`] when the name is taken or the file cannot be written.
    pub fn database(&self, name: &str, folder: &Path) -> Result<PathBuf, ClusterError> {
        let failed = |source| ClusterError::Database { name: name.to_owned(), source };
        let mut client = self.connect("postgres").map_err(ClusterError::Silent)?;
        client.batch_execute(&format!("CREATE DATABASE {name}")).map_err(failed)?;
        let path = folder.join(format!("{name}.database"));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(self.address(name).as_bytes()))
            .map_err(|source| ClusterError::Folder { path: path.clone(), source })?;
        Ok(path)
    }

    /// Statements for a test to spoil or to look at a database with.
    ///
    /// # Errors
    /// Whatever the database says.
    pub fn query(&self, database: &str, sql: &str) -> Result<Vec<String>, postgres::Error> {
        let rows = self.connect(database)?.simple_query(sql)?;
        let first = |message| {
            let postgres::SimpleQueryMessage::Row(row) = message else { return None };
            row.get(0).map(str::to_owned)
        };
        Ok(rows.into_iter().filter_map(first).collect())
    }

    /// Ends the server as a power cut would: without a last write. It recovers and comes back by itself.
    ///
    /// # Errors
    /// [`ClusterError`] when it does not come back.
    pub fn crash(&self) -> Result<(), ClusterError> {
        let path = self.folder.join("data").join("postmaster.pid");
        let pid = fs::read_to_string(&path).map_err(|source| ClusterError::Folder { path, source })?;
        run("kill", Command::new("kill").args(["-QUIT", pid.lines().next().unwrap_or_default()]))?;
        self.connect("postgres").map(drop).map_err(ClusterError::Silent)
    }

    /// User and system time of all processes of the server until now.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn processor_time(&self) -> io::Result<Duration> {
        let pid = fs::read_to_string(self.folder.join("data").join("postmaster.pid"))?;
        let pid = pid.lines().next().unwrap_or_default().to_owned();
        let mut ticks = 0;
        for entry in fs::read_dir("/proc")?.flatten() {
            // Processes come and go while one looks.
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
            let own = entry.file_name().to_string_lossy() == pid.as_str();
            if own || fields.get(1) == Some(&pid.as_str()) {
                // Of the server itself also what its ended children used.
                let columns = if own { 11..15 } else { 11..13 };
                let used = fields.get(columns).unwrap_or_default();
                ticks += used.iter().filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
            }
        }
        Ok(Duration::from_millis(ticks * 10))
    }

    fn address(&self, database: &str) -> String {
        format!("host={} port={} user=upstream dbname={database}", self.folder.display(), self.port)
    }

    /// Tries until the server takes connections.
    fn connect(&self, database: &str) -> Result<Client, postgres::Error> {
        let begun = Instant::now();
        loop {
            match Client::connect(&self.address(database), NoTls) {
                Err(error) if begun.elapsed() > PATIENCE || error.code().is_some_and(is_final) => {
                    return Err(error);
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
                Ok(client) => return Ok(client),
            }
        }
    }
}

impl Drop for PrivateCluster {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// Says where the server listens and whom it lets in, and gives the port.
fn configure(data: &Path, tls: Option<(&str, &str)>) -> io::Result<u16> {
    let Some((certificate, key)) = tls else {
        append(&data.join("postgresql.conf"), "listen_addresses = ''\n")?;
        return Ok(5432);
    };
    // Free at this moment; the server says so if somebody else was faster.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    append(
        &data.join("postgresql.conf"),
        &format!("listen_addresses = '127.0.0.1'\nport = {port}\nssl = on\n"),
    )?;
    append(&data.join("server.crt"), certificate)?;
    append(&data.join("server.key"), key)?;
    fs::write(data.join("pg_hba.conf"), "local all all trust\nhostssl all all 127.0.0.1/32 trust\n")?;
    Ok(port)
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

/// Waiting changes nothing about a database that does not exist.
fn is_final(code: &postgres::error::SqlState) -> bool {
    *code == postgres::error::SqlState::INVALID_CATALOG_NAME
}

/// Starts the supervisor from a thread of its own: the kernel ends it when that thread ends, by whatever cause.
fn keep(mut supervisor: Command) -> Result<(mpsc::Sender<()>, JoinHandle<()>), ClusterError> {
    let (stop, stopped) = mpsc::channel::<()>();
    let (begun, begins) = mpsc::channel();
    let keeper = std::thread::spawn(move || {
        let spawned = supervisor.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child: Option<Child> = match spawned {
            Ok(child) => begun.send(Ok(())).ok().map(|()| child),
            Err(error) => begun.send(Err(error)).ok().and(None),
        };
        let Some(mut child) = child else { return };
        // Ends when the sender is dropped.
        let _ = stopped.recv();
        let _ = Command::new("kill").arg(child.id().to_string()).status();
        let _ = child.wait();
    });
    let failed = |source| ClusterError::Run { command: "setpriv", source };
    match begins.recv() {
        Ok(done) => done.map_err(failed)?,
        Err(_) => return Err(failed(io::ErrorKind::BrokenPipe.into())),
    }
    Ok((stop, keeper))
}

/// Folder of the newest installed server's programs.
fn programs() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&on_path).collect();
    let mut packaged: Vec<_> = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().collect();
    packaged.sort_by_key(|entry| entry.file_name().to_string_lossy().parse().unwrap_or(0));
    folders.extend(packaged.into_iter().rev().map(|entry| entry.path().join("bin")));
    folders.into_iter().find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
}

/// The server refuses to run as root: then it runs as somebody else.
fn user(folder: &Path) -> io::Result<Option<&'static str>> {
    if fs::metadata(folder)?.uid() != 0 {
        return Ok(None);
    }
    let known = fs::read_to_string("/etc/passwd")?;
    Ok(Some(if known.lines().any(|line| line.starts_with("postgres:")) { "postgres" } else { "nobody" }))
}

fn as_user(user: Option<&str>) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(user) = user {
        command.arg(format!("--reuid={user}")).arg("--clear-groups");
    }
    command.args(["--pdeathsig", "TERM"]).current_dir("/");
    command
}

fn run(name: &'static str, command: &mut Command) -> Result<(), ClusterError> {
    let output = command.output().map_err(|source| ClusterError::Run { command: name, source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ClusterError::Failed { command: name, said })
}
