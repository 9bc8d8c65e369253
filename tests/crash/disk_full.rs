//! R6: the disk runs full under the journal. It fails closed by name, loses nothing, and goes on by itself
//! when there is room again. Needs the right to mount a tmpfs; says so loudly where it has none.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use zhenyin::journal::{DurableChain, Epoch, Journal, JournalError, JournalReader, JournalReport, Limits};
use zhenyin::keystore::KeyStore;
use zhenyin_tests::sealing::SealingChain;

const LIMITS: Limits = Limits { quota: 1 << 30, reserve: 1 << 20 };
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn r6_full_disk_fails_closed_and_recovers_without_restart() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir.path()) else {
        println!("skipped: R6 on a tmpfs needs the right to mount one");
        return;
    };
    let keys = KeyStore::open_or_create(&disk.path.join("keys")).unwrap();
    let mut run = Run::open(&disk.path.join("journal"), &keys).unwrap();
    run.append_until_committed(20).unwrap();

    let filler = disk.fill().unwrap();
    let mut refused = 0;
    while refused < 3 {
        if let Some(error) = run.append().unwrap() {
            assert!(error.is_full(), "{error}");
            refused += 1;
        }
    }
    std::fs::remove_file(filler).unwrap();
    run.append_until_committed(20).unwrap();
    drop(run.journal);

    let reader = JournalReader::open(&disk.path.join("journal"), keys.journal_key()).unwrap();
    assert_eq!(reader.verify_all().unwrap().events, run.committed, "nothing lost, nothing added");
    println!("R6: {refused} events refused on a full disk, {} committed, 0 lost", run.committed);
}

struct Run {
    journal: Journal,
    reports: Receiver<JournalReport>,
    chain: SealingChain,
    epoch: Epoch,
    committed: u64,
}

impl Run {
    fn open(dir: &Path, keys: &KeyStore) -> anyhow::Result<Self> {
        let (sender, reports) = channel();
        let report = move |report| drop(sender.send(report));
        let (journal, _) = Journal::open(dir, keys.journal_key(), LIMITS, report)?;
        let chain = SealingChain::begin(keys.signer())?;
        journal.begin_chain(chain.grant().chain(), chain.grant().token())?;
        Ok(Self { journal, reports, chain, epoch: Epoch::default(), committed: 0 })
    }

    /// Appends one event and tells why it was refused, if it was. After a refusal the chain goes back to what
    /// is durable, as the core's does.
    fn append(&mut self) -> anyhow::Result<Option<JournalError>> {
        self.journal.append(self.epoch, self.chain.seal()?)?;
        let mut refusal = None;
        loop {
            match self.reports.recv_timeout(PATIENCE)? {
                JournalReport::Committed { through } => {
                    ensure!(refusal.is_none(), "committed after a failure");
                    self.committed = through.0 + 1;
                    return Ok(None);
                }
                JournalReport::Failed { error, .. } => refusal = Some(error),
                JournalReport::Reset { epoch, state } => {
                    self.reset(epoch, *state.context("the chain is gone")?)?;
                    return Ok(refusal);
                }
                JournalReport::Idle { .. }
                | JournalReport::Acknowledged { .. }
                | JournalReport::AcknowledgementRefused { .. }
                | JournalReport::HeadNotWritten { .. } => {}
            }
        }
    }

    fn reset(&mut self, epoch: Epoch, state: DurableChain) -> anyhow::Result<()> {
        let size = state.state.frontier.size();
        ensure!(size == self.committed, "{size} events are durable, {} were told", self.committed);
        self.epoch = epoch;
        self.chain.roll_back(state.state);
        Ok(())
    }

    /// The first attempts after a full disk may still meet the old failure.
    fn append_until_committed(&mut self, count: u64) -> anyhow::Result<()> {
        let goal = self.committed + count;
        for _ in 0..count + 3 {
            if self.committed < goal {
                self.append()?;
            }
        }
        ensure!(self.committed == goal, "{} of {goal} events are committed", self.committed);
        Ok(())
    }
}

/// A tmpfs of 8 MiB.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    fn mount(path: &Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs"])
            .arg(path)
            .output()
            .is_ok_and(|done| done.status.success());
        mounted.then(|| Self { path: path.to_owned() })
    }

    /// Takes the last free byte and gives the file that holds it.
    fn fill(&self) -> anyhow::Result<PathBuf> {
        let path = self.path.join("filler");
        let mut file = File::create(&path)?;
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Ok(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
