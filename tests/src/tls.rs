//! A TLS server with any certificate, honest or not, that answers one sentence of the upload protocol.
//! Never a certificate of the real world: each authority lives as long as its test.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, Stream, SupportedProtocolVersion};

/// What the server answers to whatever it could read.
const ANSWER: &[u8] = b"HTTP/1.1 409 Conflict\r\nContent-Length: 10\r\nConnection: close\r\n\r\n{\"size\":7}";

/// A certificate authority of a test.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// # Errors
    /// When no key can be made.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// Writes what a terminal is given to believe.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let path = folder.join("site-ca.pem");
        std::fs::write(&path, &self.pem)?;
        Ok(path)
    }

    /// A certificate for a name, in force in these years.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn certify(
        &self,
        name: &str,
        years: std::ops::Range<i32>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> anyhow::Result<Arc<ServerConfig>> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        Ok(Arc::new(config))
    }
}

/// How a server talks before it hears anything.
pub enum Front {
    Tls(Arc<ServerConfig>),
    /// Bytes that are sent instead of a handshake.
    Raw(Vec<u8>),
}

/// A listening server. Its thread lives as long as the program.
pub struct Server {
    pub addr: SocketAddr,
    heard: Arc<AtomicUsize>,
}

impl Server {
    /// # Errors
    /// When no port can be had.
    pub fn start(front: Front) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let heard = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&heard);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that does not believe us hangs up: nothing was heard then.
                let _ = converse(&front, stream, &counted);
            }
        });
        Ok(Self { addr, heard })
    }

    /// Bytes that a client has entrusted to this server.
    pub fn heard(&self) -> usize {
        self.heard.load(Ordering::SeqCst)
    }
}

fn converse(front: &Front, mut stream: TcpStream, heard: &AtomicUsize) -> std::io::Result<()> {
    let mut request = [0; 16 * 1024];
    match front {
        Front::Tls(config) => {
            let mut tls = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
            let mut stream = Stream::new(&mut tls, &mut stream);
            heard.fetch_add(stream.read(&mut request)?, Ordering::SeqCst);
            stream.write_all(ANSWER)?;
            stream.conn.send_close_notify();
            stream.flush()
        }
        Front::Raw(bytes) => {
            stream.read(&mut request).map(drop)?;
            stream.write_all(bytes)?;
            stream.read_to_end(&mut Vec::new()).map(drop)
        }
    }
}
