//! One random life: a journal on a disk that can be cut, an outbox, an upstream, and the memory of every promise.
//! Never goes on after a broken promise.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use uuid::Uuid;
use zhenyin::journal::{JournalReader, Limits};
use zhenyin_core::chain::SealedEvent;
use zhenyin_core::documents::PreviousChain;
use zhenyin_core::event::lifecycle::KeyRotated;
use zhenyin_core::event::{EventData as _, kind_unverified};
use zhenyin_core::ids::{ChainId, Sequence};
use zhenyin_core::merkle::CompactRange;
use zhenyin_core::outbox::{Outbox, OutboxAction, OutboxAlarm, OutboxError, OutboxNotice, StoredEvent};
use zhenyin_core::time::{Boottime, WallTime};
use zhenyin_core::verify::Verifier;
use zhenyin_tests::faulty_disk::{Disk, Images};
use zhenyin_tests::generated::random::Dice;
use zhenyin_tests::sealing::{SealingChain, fixed};

use super::upstream::{Manner, Upstream};
use crate::run::{Files, HEAD, LIMITS, MARK, Run, Told, key, scratch};

/// Everything that can happen.
pub(super) const ACTIONS: [&str; 15] = [
    "append",
    "upload",
    "upload, answer lost",
    "upload, half kept",
    "upload twice",
    "upload unreachable",
    "upstream restores a backup",
    "stop and start",
    "kill",
    "power cut",
    "erase",
    "hold",
    "clock jump",
    "enrol again",
    "rotate the key",
];
const WEIGHTS: [u64; 15] = [8, 5, 2, 3, 2, 1, 1, 2, 3, 3, 2, 1, 1, 1, 2];
const STEPS: u64 = 14;

/// Between two receipts, by the witness.
const TICK_MS: i64 = 1_000;

pub(super) struct Life {
    pub(super) log: Vec<&'static str>,
    dice: Dice,
    lazy: bool,
    home: tempfile::TempDir,
    disk: Arc<Disk>,
    told: Arc<Told>,
    run: Option<Run>,
    outbox: Outbox,
    upstream: Upstream,
    now: Boottime,
    /// Leaves of every event that was ever sealed for a place, by place; the last one is the newest.
    sealed: Vec<Vec<String>>,
    /// Witness's time of each stored receipt.
    receipts: BTreeMap<u64, i64>,
    hold: Option<(i64, u64)>,
    enrolments: u128,
    /// Seed of the newest key that was made.
    keys: u8,
    /// Events of chains that have ended.
    before: Vec<(ChainId, u64)>,
}

impl Life {
    pub(super) fn begin(seed: u64, lazy: bool) -> anyhow::Result<Self> {
        let (home, told) = (scratch(), Arc::<Told>::default());
        let disk = attach(&home, lazy);
        let chain = SealingChain::begin(fixed(1))?;
        let outbox = outbox(&chain, 0, CompactRange::new());
        let run = Run::open_chain(home.path(), limits(), chain, Arc::clone(&told))?;
        Ok(Self {
            log: Vec::new(),
            dice: Dice::new(seed, 7),
            lazy,
            home,
            disk,
            told,
            run: Some(run),
            outbox,
            upstream: Upstream::default(),
            now: Boottime(Duration::from_secs(1)),
            sealed: Vec::new(),
            receipts: BTreeMap::new(),
            hold: None,
            enrolments: 1,
            keys: 100,
            before: Vec::new(),
        })
    }

    pub(super) fn events(&self) -> u64 {
        self.told.committed() + self.before.iter().map(|(_, events)| events).sum::<u64>()
    }

    pub(super) fn receipted(&self) -> u64 {
        self.told.acked()
    }

    pub(super) fn live(&mut self) -> anyhow::Result<()> {
        for _ in 0..STEPS {
            let mut place = self.dice.below(WEIGHTS.iter().sum());
            let action = WEIGHTS.iter().position(|weight| match place.checked_sub(*weight) {
                Some(left) => {
                    place = left;
                    false
                }
                None => true,
            });
            let action = ACTIONS[action.context("weights")?];
            self.log.push(action);
            self.act(action).with_context(|| format!("`{action}`"))?;
        }
        self.restart(None)?;
        self.check_all()
    }

    fn act(&mut self, action: &str) -> anyhow::Result<()> {
        match action {
            "append" => self.append(),
            "upload" => self.upload(Manner::Honest),
            "upload, answer lost" => self.upload(Manner::Lost),
            "upload, half kept" => self.upload(Manner::Partial),
            "upload twice" => self.upload(Manner::Doubled),
            "upload unreachable" => self.upload(Manner::Unreachable),
            "upstream restores a backup" => {
                self.upstream.restore_backup(self.erased()?, &mut self.dice);
                self.upload(Manner::Honest)
            }
            "stop and start" => self.restart(None),
            "kill" => self.crash(false),
            "power cut" => self.crash(true),
            "erase" => self.erase(),
            "hold" => self.change_hold(),
            "clock jump" => {
                let days = i64::try_from(self.dice.below(800))? - 400;
                self.run()?.chain.clock_shift_ms += days * 86_400_000;
                self.append()
            }
            "rotate the key" => self.rotate(),
            _ => self.enrol_again(),
        }
    }

    fn run(&mut self) -> anyhow::Result<&mut Run> {
        self.run.as_mut().context("no journal is open")
    }

    fn seal_and_queue(&mut self) -> anyhow::Result<()> {
        let event = self.run()?.chain.seal()?;
        self.queue(event)
    }

    /// Hands over to a new key, among events of the old and of the new one.
    fn rotate(&mut self) -> anyhow::Result<()> {
        self.seal_and_queue()?;
        self.keys += 1;
        let next = fixed(self.keys);
        let event = self.run()?.chain.rotate(next)?;
        self.queue(event)?;
        self.append()
    }

    fn queue(&mut self, event: SealedEvent) -> anyhow::Result<()> {
        let run = self.run.as_mut().context("no journal is open")?;
        let place = usize::try_from(event.sequence.0)?;
        if self.sealed.len() <= place {
            self.sealed.push(Vec::new());
        }
        self.sealed[place].push(event.leaf.to_string());
        run.journal.append(run.epoch, event)?;
        Ok(())
    }

    /// Waits until everything queued is durable.
    fn commit(&mut self, size: u64) -> anyhow::Result<()> {
        let told = Arc::clone(&self.told);
        self.run()?.wait_for("the commit", |_| told.committed() >= size)?;
        self.run()?.committed = size;
        self.outbox.handle_durable(size, self.now);
        Ok(())
    }

    fn append(&mut self) -> anyhow::Result<()> {
        for _ in 0..=self.dice.below(4) {
            self.seal_and_queue()?;
        }
        self.commit(self.sealed.len() as u64)
    }

    fn upload(&mut self, manner: Manner) -> anyhow::Result<()> {
        // Every wait of the outbox is over by now.
        self.now = self.now.after(Duration::from_secs(2 * 3600));
        let reader = JournalReader::open(self.home.path(), key())?;
        while let Some(action) = self.outbox.poll(self.now) {
            match action {
                OutboxAction::LoadFrontier { size } => {
                    self.outbox.handle_frontier(reader.frontier(size)?, self.now)?;
                }
                OutboxAction::LoadBatch { first, max } => {
                    let batch = reader.batch(Sequence(first), max, usize::MAX)?;
                    let events = batch
                        .into_iter()
                        .filter_map(|event| Some(StoredEvent { jws: event.jws?, leaf: event.leaf }));
                    let chain = &self.run.as_ref().context("no journal")?.chain;
                    let (batch, sign) = (events.collect(), |head| chain.sign(head));
                    match self.outbox.handle_batch(first, batch, self.now, sign) {
                        // It took them all and its answer was lost, then they were erased: it is asked again later.
                        Err(OutboxError::Erased { .. }) if self.upstream.size() >= self.told.acked() => {
                            return Ok(());
                        }
                        done => done?,
                    }
                }
                OutboxAction::Post(request) => {
                    let chain = &self.run.as_ref().context("no journal")?.chain;
                    let answer = self.upstream.answer(&request, manner, chain, &mut self.dice)?;
                    let random = self.dice.draw();
                    let notice = self.outbox.handle_answer(answer, self.now, random);
                    return self.take(notice);
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, notice: Option<OutboxNotice>) -> anyhow::Result<()> {
        match notice {
            Some(OutboxNotice::Acknowledged(acknowledged)) => {
                let size = acknowledged.size();
                ensure!(size <= self.upstream.cosigned, "{size} is acknowledged, nobody has cosigned it");
                let at = self.receipts.values().max().copied().unwrap_or_default() + TICK_MS;
                let run = self.run.as_mut().context("no journal is open")?;
                let note = acknowledged.receipt.to_string();
                run.journal.acknowledge(acknowledged.frontier, note, WallTime(at))?;
                run.wait_for("the receipt", |run| run.acked >= size)?;
                self.receipts.insert(size, at);
                Ok(())
            }
            Some(OutboxNotice::Alarm(alarm)) => {
                // The only alarm of an honest upstream is the one of its own loss.
                let loss = matches!(alarm, OutboxAlarm::UpstreamLost { .. });
                ensure!(loss, "alarm: {alarm}");
                Ok(())
            }
            Some(OutboxNotice::Delayed { .. }) | None => Ok(()),
        }
    }

    fn restart(&mut self, files: Option<Files>) -> anyhow::Result<()> {
        let run = self.run.take().context("no journal is open")?;
        let Run { journal, chain, .. } = run;
        journal.close();
        if let Some(files) = files {
            self.home = scratch();
            self.disk = attach(&self.home, self.lazy);
            files.write(self.home.path())?;
        }
        let told = Arc::<Told>::default();
        let run = Run::open_chain(self.home.path(), limits(), chain, Arc::clone(&told))?;
        told.set(run.committed, run.acked);
        self.told = told;
        self.sealed.truncate(usize::try_from(run.committed)?);
        let reader = JournalReader::open(self.home.path(), key())?;
        self.receipts.retain(|size, _| *size <= run.acked);
        self.outbox = outbox(&run.chain, run.committed, reader.frontier(run.acked)?);
        self.outbox.handle_durable(run.committed, self.now);
        self.run = Some(run);
        Ok(())
    }

    /// The machine or the process dies at some call of the writer while events are on their way.
    fn crash(&mut self, power: bool) -> anyhow::Result<()> {
        let taken = Arc::new(Mutex::new(None));
        let (told, slot) = (Arc::clone(&self.told), Arc::clone(&taken));
        let (home, mut dice) = (self.home.path().to_owned(), Dice::new(self.dice.draw(), 1));
        let at = self.disk.calls() + dice.below(30);
        let mut shoot = move |images: &Images| {
            let promised = (told.committed(), told.acked());
            let mut files = if power { images.cut_power(&mut dice) } else { images.as_written() };
            files.retain(|name, _| name.starts_with("journal.db"));
            for name in [HEAD, MARK] {
                // A mark is never flushed: a power cut may leave none.
                if let Ok(bytes) = std::fs::read(home.join(name))
                    && (name == HEAD || !power || dice.chance(0.7))
                {
                    files.insert(name.to_owned(), bytes);
                }
            }
            (promised, Files::of(files.into_iter()))
        };
        let shoot_once = move |images: &Images| {
            let mut slot = slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if slot.is_none() {
                *slot = Some(shoot(images));
            }
        };
        let shared = Arc::new(Mutex::new(shoot_once));
        let watcher = Arc::clone(&shared);
        self.disk.watch(Box::new(move |call, images| {
            if call >= at
                && let Ok(mut shoot) = watcher.lock()
            {
                shoot(images);
            }
        }));
        self.append()?;
        self.disk
            .look(|images| shared.lock().map(|mut shoot| shoot(images)))
            .map_err(|_| anyhow::anyhow!("panicked"))?;
        self.disk.watch(Box::new(|_, _| {}));
        let ((committed, acked), files) =
            taken.lock().ok().and_then(|mut slot| slot.take()).context("no picture was taken")?;
        self.restart(Some(files))?;
        let run = self.run()?;
        ensure!(run.committed >= committed, "{committed} events were promised, {} are there", run.committed);
        ensure!(run.acked >= acked, "receipt for {acked} events is lost, {} are left", run.acked);
        self.check_all()
    }

    /// Retention ends for everything that was receipted some time before the newest receipt.
    fn erase(&mut self) -> anyhow::Result<()> {
        if self.upstream.size() < self.told.acked() {
            // What an upstream that lost data still needs is not erased under it here.
            return self.upload(Manner::Honest);
        }
        let keep = TICK_MS * i64::try_from(self.dice.below(4))?;
        let due = self.due(keep);
        let run = self.run()?;
        run.journal.keep(Duration::from_millis(keep.cast_unsigned()))?;
        if let Some(due) = due {
            run.wait_for("the erasing", |run| run.erased >= due)?;
        }
        run.journal.keep(Duration::MAX)?;
        Ok(())
    }

    /// Up to where bodies may go now; `None` when they are gone already.
    fn due(&mut self, keep: i64) -> Option<u64> {
        let newest = self.receipts.values().max().copied()?;
        let old =
            self.receipts.iter().filter(|(_, at)| **at <= newest - keep).map(|(size, _)| *size).max()?;
        let held = self.hold.map_or(old, |(_, first)| old.min(first));
        (held > self.erased().ok()?).then_some(held)
    }

    fn erased(&self) -> anyhow::Result<u64> {
        let reader = JournalReader::open(self.home.path(), key())?;
        // A rotation among them has stayed, the last one too.
        let events = reader.events(0..u64::MAX)?;
        let gone = events.iter().rposition(|event| event.jws.is_none()).map_or(0, |last| last + 1);
        let rotations = events.iter().skip(gone).take_while(|event| {
            let kind = event.jws.as_deref().and_then(kind_unverified);
            kind.is_some_and(|kind| kind == KeyRotated::TYPE)
        });
        Ok((gone + rotations.count()) as u64)
    }

    fn change_hold(&mut self) -> anyhow::Result<()> {
        if let Some((id, _)) = self.hold.take() {
            return Ok(self.run()?.journal.lift_hold(id, WallTime(0))?);
        }
        let first = self.erased()? + self.dice.below(5);
        let id = self.run()?.journal.hold(Sequence(first), Sequence(first + 3), "test", WallTime(0))?;
        self.hold = Some((id, first));
        Ok(())
    }

    /// A new chain that hangs from the last cosigned head of this one, as the upstream has it: nothing that was
    /// receipted may stand after the handover.
    fn enrol_again(&mut self) -> anyhow::Result<()> {
        // An upstream that has restored a backup first gets back what it lost: told so by the next event, as a heartbeat
        // is one, and sent so, one after another.
        if self.upstream.size() < self.told.acked() {
            self.append()?;
        }
        for _ in 0..STEPS {
            if self.upstream.size() < self.told.acked() {
                self.upload(Manner::Honest)?;
            }
        }
        let head = self.upstream.head();
        let (size, root) = (head.size(), head.root());
        let acked = self.told.acked();
        ensure!(size >= acked, "{acked} events are receipted, the new chain follows {size}");
        let old = self.run()?.chain.grant().chain();
        self.before.push((old, self.sealed.len() as u64));
        self.enrolments += 1;
        let prev = PreviousChain { chain: old, size, root: root.to_string() };
        let id = ChainId(Uuid::from_u128(self.enrolments));
        let run = self.run.take().context("no journal is open")?;
        run.journal.close();
        let chain = SealingChain::begin_as(fixed(1), id, Some(prev))?;
        self.told = Arc::default();
        self.outbox = outbox(&chain, 0, CompactRange::new());
        let run = Run::open_chain(self.home.path(), limits(), chain, Arc::clone(&self.told))?;
        self.run = Some(run);
        (self.upstream, self.hold) = (Upstream::default(), None);
        (self.sealed, self.receipts) = (Vec::new(), BTreeMap::new());
        Ok(())
    }

    /// Every event stands where it was sealed, none is doubled or missing, and nothing is acknowledged that was
    /// not cosigned.
    fn check_all(&mut self) -> anyhow::Result<()> {
        let reader = JournalReader::open(self.home.path(), key())?;
        reader.verify_all()?;
        let events = reader.events(0..u64::MAX)?;
        ensure!(events.len() == self.sealed.len(), "{} events, {} sealed", events.len(), self.sealed.len());
        let mut verifier = Verifier::new(self.run()?.chain.grant().clone(), None, Vec::new());
        for (event, sealed) in events.iter().zip(&self.sealed) {
            ensure!(sealed.contains(&event.leaf.to_string()), "event {} was never sealed", event.sequence);
            match &event.jws {
                Some(jws) => drop(verifier.event(jws)?),
                None => verifier.withheld(event.leaf)?,
            }
        }
        ensure!(self.told.acked() <= self.upstream.cosigned, "acknowledged what nobody has cosigned");
        for (chain, count) in &self.before {
            let events = reader.events_of_chain(*chain, 0..u64::MAX)?.len() as u64;
            ensure!(events == *count, "chain {chain} has {events} events instead of {count}");
        }
        Ok(())
    }
}

fn limits() -> Limits {
    Limits { quiet: Duration::from_millis(1), ..LIMITS }
}

fn attach(home: &tempfile::TempDir, lazy: bool) -> Arc<Disk> {
    let disk = Disk::attach(home.path());
    if lazy {
        disk.set_lazy();
    }
    disk
}

fn outbox(chain: &SealingChain, durable: u64, acked: CompactRange) -> Outbox {
    let witness = chain.grant().witness().expect("the grant names a witness").clone();
    Outbox::resume(chain.grant().origin(), witness, durable, acked)
}
