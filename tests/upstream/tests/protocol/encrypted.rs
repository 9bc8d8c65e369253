//! A database on a network, which loopback stands for: reached by TLS under one authority, by its name, or not at all.
//! Never a certificate of the real world: each authority lives as long as its test.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use reference_upstream::cluster::PrivateCluster;
use reference_upstream::{Config, StoreChoice, Upstream};

use crate::device::{Device, config};

const NAME: &str = "localhost";
const EVENTS: u64 = 20;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Certificate and key of a server.
    fn certify(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

#[test]
fn a_database_on_a_network_is_used_by_tls_or_not_at_all() {
    let [site, foreign, forger] = ["site", "foreign", "site"].map(Authority::new);
    let (certificate, key) = site.certify(NAME);
    let Some(cluster) = PrivateCluster::start_encrypted(&certificate, &key).unwrap() else {
        println!("skipped: postgres is not here, TLS to it is not tested");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    cluster.database("site", folder.path()).unwrap();
    let write = |name: &str, text: &str| write_private(folder.path(), name, text);
    let site_ca = write("site.pem", &site.pem);
    let at = |host: &str| {
        let text =
            format!("host={host} hostaddr=127.0.0.1 port={} user=upstream dbname=site", cluster.port());
        write("database", &text)
    };
    let refusal = |connection_file: PathBuf, ca_file: Option<PathBuf>| -> String {
        let store = StoreChoice::Postgres { connection_file, ca_file };
        let started = Upstream::start(&Config { store, ..config(&folder.path().join("state")) });
        chain(&started.map(drop).expect_err("it connects"))
    };
    for (what, host, ca_file, want) in [
        ("another authority", NAME, Some(write("foreign.pem", &foreign.pem)), "UnknownIssuer"),
        ("a forger of the same name", NAME, Some(write("forger.pem", &forger.pem)), "BadSignature"),
        ("another name", "db.example", Some(site_ca.clone()), "not valid for name"),
        ("no encryption", NAME, None, "no encryption"),
        ("no certificate", NAME, Some(write("empty.pem", "")), "no certificate in it"),
    ] {
        let said = refusal(at(host), ca_file);
        assert!(said.contains(want), "{what}: {said}");
    }

    // The control: under the right authority and by the right name it serves, and every connection is encrypted.
    let store = StoreChoice::Postgres { connection_file: at(NAME), ca_file: Some(site_ca) };
    let upstream = Upstream::start(&Config { store, ..config(&folder.path().join("state")) }).unwrap();
    let mut device = Device::enrol(&upstream, 1);
    device.heartbeats(EVENTS);
    assert_eq!(device.drain(upstream.addr(), 0), EVENTS);
    assert_eq!(upstream.audit().unwrap().events, EVENTS);
    let count = |sql: &str| -> u32 { cluster.query("site", sql).unwrap()[0].parse().unwrap() };
    let ours =
        "FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'zhenyin-upstream'";
    let all = count(&format!("SELECT count(*) {ours}"));
    assert!(all > 0);
    assert_eq!(count(&format!("SELECT count(*) {ours} AND ssl")), all, "every one is encrypted");
    println!(
        "{EVENTS} events over {all} encrypted connections; 5 other ways to the same database are refused"
    );
}

fn write_private(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// An error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
