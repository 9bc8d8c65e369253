//! A chain that seals made-up events with fixed keys, for tests of what keeps and checks events.
//! Never a real identity: the events carry a number and nothing else.

use anyhow::Context as _;
use uuid::Uuid;
use zhenyin_core::chain::{Chain, ChainState, SealedEvent};
use zhenyin_core::documents::{Grant, GrantContent, PreviousChain};
use zhenyin_core::event::Draft;
use zhenyin_core::ids::{BootId, ChainId, TerminalId};
use zhenyin_core::merkle::CompactRange;
use zhenyin_core::note::{Checkpoint, KeyRole, Note, VerifierKey};
use zhenyin_core::signer::{Seed, Signer as _, SignerError, SoftwareSigner};
use zhenyin_core::time::{Boottime, ClockTrust, Now, WallTime};

/// The core's chain with its signer, an authority and a witness.
#[derive(Debug)]
pub struct SealingChain {
    chain: Chain,
    /// Events sealed, rolled back ones too: two events for one place are not the same.
    sealed: u64,
    /// How far the wall clock of the events has been set.
    pub clock_shift_ms: i64,
    /// Every key that it has had, the newest last.
    devices: Vec<SoftwareSigner>,
    witness: SoftwareSigner,
    witness_key: VerifierKey,
}

impl SealingChain {
    /// The first chain of this device.
    pub fn begin(device: SoftwareSigner) -> anyhow::Result<Self> {
        Self::begin_as(device, ChainId(Uuid::from_u128(0x0196_a1b2_c3d4_7e5f_8a9b_0c1d_2e3f_4a5b)), None)
    }

    /// A chain of this device that follows another one.
    pub fn begin_as(
        device: SoftwareSigner,
        chain: ChainId,
        prev: Option<PreviousChain>,
    ) -> anyhow::Result<Self> {
        let witness = fixed(3);
        let witness_key =
            VerifierKey::new("witness.example/upstream", KeyRole::Witness, witness.public_key())?;
        let content = GrantContent {
            chain,
            iat: 1_777_593_600,
            jwk: device.public_key().to_jwk(),
            prev,
            terminal: TerminalId(Uuid::from_u128(0x3f25_04e0_4f89_41d3_9a0c_0305_e82c_3301)),
            institution: None,
            department: None,
            region: None,
            suite: None,
            log: None,
            witness: Some(witness_key.to_string()),
            authority: None,
        };
        let chain = Chain::begin(Grant::seal(&content, &fixed(2))?);
        Ok(Self { chain, sealed: 0, clock_shift_ms: 0, devices: vec![device], witness, witness_key })
    }

    /// The chain of [`Self::begin`], going on where `state` ends.
    pub fn resume(device: SoftwareSigner, state: ChainState) -> anyhow::Result<Self> {
        let mut chain = Self::begin(device)?;
        chain.chain.roll_back(state);
        Ok(chain)
    }

    pub fn grant(&self) -> &Grant {
        self.chain.grant()
    }

    pub fn seal(&mut self) -> anyhow::Result<SealedEvent> {
        let number = self.chain.head().size;
        self.sealed += 1;
        let data = serde_json::json!({
            "decision": "accept", "method": "face+card", "number": number, "sealed": self.sealed,
        });
        let draft = Draft { kind: "test.happened.v1".to_owned(), subject: None, data };
        let (now, boot) = self.moment();
        let signer = self.devices.iter().find(|held| held.public_key() == self.chain.keys().newest());
        let signer = signer.context("the newest key is not held")?;
        self.chain.seal_draft(draft, now, &boot, signer).context("seal an event")
    }

    /// Hands over to another key.
    pub fn rotate(&mut self, next: SoftwareSigner) -> anyhow::Result<SealedEvent> {
        let (now, boot) = self.moment();
        let signer = self.devices.iter().find(|held| held.public_key() == self.chain.keys().newest());
        let signer = signer.context("the newest key is not held")?;
        let event = self.chain.rotate(&next, now, &boot, signer).context("rotate")?;
        self.devices.push(next);
        Ok(event)
    }

    fn moment(&self) -> (Now, BootId) {
        let number = self.chain.head().size;
        let wall = WallTime(1_777_593_600_000 + number.cast_signed() + self.clock_shift_ms);
        let now = Now { wall, boottime: Boottime::default(), trust: ClockTrust::Synced };
        let boot = BootId(Uuid::from_u128(0x7d9f_0c1a_2b3c_4d5e_8f60_7182_93a4_b5c6));
        (now, boot)
    }

    /// The key under which a checkpoint of this size is believed.
    pub fn log_key(&self, size: u64) -> VerifierKey {
        self.chain.grant().log_key_of(self.chain.keys().of_checkpoint(size))
    }

    /// A checkpoint, signed by the key of its size.
    ///
    /// # Errors
    /// [`SignerError`] never; the type is the outbox's.
    ///
    /// # Panics
    /// When the key is not held.
    pub fn sign(&self, checkpoint: Checkpoint) -> Result<Note, SignerError> {
        let key = self.chain.keys().of_checkpoint(checkpoint.size);
        let signer = self.devices.iter().find(|held| held.public_key() == key);
        Note::sign(checkpoint, signer.expect("every key of the chain is held"))
    }

    /// What the upstream would answer once it has the first `frontier.size()` events.
    pub fn receipt(&self, frontier: &CompactRange) -> anyhow::Result<String> {
        let (size, root) = (frontier.size(), frontier.root());
        let mut note = self.sign(Checkpoint { origin: self.chain.origin(), size, root })?;
        note.cosign(&self.witness_key, WallTime(1_777_593_700_000), &self.witness)?;
        Ok(note.to_string())
    }

    /// Forgets the events after `state`, as the core does when a commit failed.
    pub fn roll_back(&mut self, state: ChainState) {
        self.chain.roll_back(state);
    }
}

/// A key that is the same in every process.
pub fn fixed(byte: u8) -> SoftwareSigner {
    SoftwareSigner::from_seed(&Seed::take(&mut [byte; 32]))
}
