//! The other side of the model: keeps events, cosigns what it has, and may answer badly.
//! Never accepts an event in the place of another, never cosigns a root that it has not computed.

use anyhow::{Context as _, bail, ensure};
use zhenyin_core::merkle::{CompactRange, Hash, leaf_hash};
use zhenyin_core::note::Note;
use zhenyin_core::wire::{UploadReceipt, UploadRequest, UpstreamAnswer};
use zhenyin_tests::generated::random::Dice;
use zhenyin_tests::sealing::SealingChain;

/// How an upload ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Honest,
    /// Everything is kept and receipted, and the answer never arrives.
    Lost,
    /// Only a part is kept and receipted.
    Partial,
    /// Everything is kept, and the request comes a second time before the answer does.
    Doubled,
    /// The request never arrives.
    Unreachable,
}

#[derive(Default)]
pub(super) struct Upstream {
    leaves: Vec<Hash>,
    /// The largest size that was cosigned.
    pub(super) cosigned: u64,
}

impl Upstream {
    pub(super) fn answer(
        &mut self,
        request: &UploadRequest,
        manner: Manner,
        chain: &SealingChain,
        dice: &mut Dice,
    ) -> anyhow::Result<UpstreamAnswer> {
        let unreachable = UpstreamAnswer::Unreachable("cut".to_owned());
        if manner == Manner::Unreachable {
            return Ok(unreachable);
        }
        let count = request.events.len() as u64;
        let kept = if manner == Manner::Partial && count > 1 { 1 + dice.below(count - 1) } else { count };
        let mut answer = self.keep(request, kept, chain)?;
        if manner == Manner::Doubled {
            answer = self.keep(request, kept, chain)?;
        }
        Ok(if manner == Manner::Lost { unreachable } else { answer })
    }

    /// What it would hang a new chain from: all that it has, which is all cosigned.
    pub(super) fn head(&self) -> CompactRange {
        CompactRange::of(self.leaves.iter().copied())
    }

    pub(super) fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// Goes back to a backup that is not older than `least` events.
    pub(super) fn restore_backup(&mut self, least: u64, dice: &mut Dice) {
        let size = self.leaves.len() as u64;
        if size > least {
            self.leaves.truncate(usize::try_from(least + dice.below(size - least)).unwrap_or(0));
        }
    }

    fn keep(
        &mut self,
        request: &UploadRequest,
        count: u64,
        chain: &SealingChain,
    ) -> anyhow::Result<UpstreamAnswer> {
        let size = self.leaves.len() as u64;
        if request.first > size {
            return Ok(UpstreamAnswer::Conflict { size });
        }
        let sent: Vec<Hash> = request.events.iter().map(|event| leaf_hash(event.as_bytes())).collect();
        let note = Note::parse(&request.checkpoint).context("checkpoint")?;
        note.verify_log(&chain.log_key(note.checkpoint().size)).context("checkpoint")?;
        for (place, leaf) in (usize::try_from(request.first)?..).zip(&sent).take(usize::try_from(count)?) {
            match self.leaves.get(place) {
                Some(known) => ensure!(known == leaf, "another event {place}: the terminal equivocates"),
                None => self.leaves.push(*leaf),
            }
        }
        let whole = self.leaves[..usize::try_from(request.first)?].iter().chain(&sent).copied();
        let root = CompactRange::of(whole).root();
        if root != note.checkpoint().root {
            bail!("the checkpoint has another root than its events");
        }
        let size = request.first + count;
        let frontier = CompactRange::of(self.leaves[..usize::try_from(size)?].iter().copied());
        self.cosigned = self.cosigned.max(size);
        let receipt = chain.receipt(&frontier)?;
        Ok(UpstreamAnswer::Accepted(UploadReceipt {
            size,
            receipt,
            quarantined: std::collections::BTreeMap::default(),
            time: String::new(),
            next_ms: 0,
        }))
    }
}
