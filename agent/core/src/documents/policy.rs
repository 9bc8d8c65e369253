//! The policy: what a terminal demands of each act, as the authority signed it.
//! Never loosens a limit that it does not name: what is absent has the defaults written here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DocumentError, open, seal};
use crate::biometric::{ModelDigest, Threshold};
use crate::jws::Form;
use crate::signer::{PublicKey, Signer};
use crate::time::WallTime;

const KIND: &str = "policy";
/// Six months and ten years.
const KEEP_LEAST: u16 = 184;
const KEEP_MOST: u16 = 3653;

/// How far a rule of an act bites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActMode {
    /// Recorded only.
    Observe,
    /// Recorded and said on the screen.
    Remind,
    /// Without the proof the act goes to a human.
    Enforce,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActPolicy {
    pub mode: ActMode,
}

/// Failed attempts within a span after which the act goes to a human.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptLimit {
    pub face: u32,
    pub pin: u32,
    pub within_seconds: u32,
}

/// Whether a doubt may be settled by looking left or right. A doubt that is not settled is never accepted:
/// without a challenge it leads straight to card, PIN or staff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengePolicy {
    pub allowed: bool,
    /// How long a person has for it.
    pub seconds: u16,
}

impl Default for ChallengePolicy {
    fn default() -> Self {
        Self { allowed: true, seconds: 15 }
    }
}

/// What a policy says, as it stands in the token. Members unknown to this build are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyContent {
    pub serial: u64,
    /// Seconds since 1970, UTC.
    pub issued_at: i64,
    pub expires_at: i64,
    pub login: ActPolicy,
    pub visit: ActPolicy,
    /// Comparison threshold of a model in thousandths of a cosine, by full digest `sha256:<64 hex digits>`.
    /// A model that is not named keeps its pack's own threshold.
    #[serde(default)]
    pub comparison: BTreeMap<String, u16>,
    /// Usable frames fused into one probe; absent leaves it to the model pack, which was measured with its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_frames: Option<u8>,
    /// What follows when presentation attack detection is in doubt.
    #[serde(default)]
    pub challenge: ChallengePolicy,
    #[serde(default = "default_attempts")]
    pub attempts: AttemptLimit,
    /// Longest search for a face within one act.
    #[serde(default = "default_capture_seconds")]
    pub capture_seconds: u16,
    /// Days after which the content of receipted events is erased at the terminal, by the witness's time; at least the
    /// six months for which an insured person may be looked back on. Absent keeps it for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u16>,
}

impl PolicyContent {
    /// Defaults for everything but serial and span.
    pub fn new(serial: u64, issued_at: WallTime, expires_at: WallTime) -> Self {
        let enforce = ActPolicy { mode: ActMode::Enforce };
        Self {
            serial,
            issued_at: issued_at.seconds(),
            expires_at: expires_at.seconds(),
            login: enforce,
            visit: enforce,
            comparison: BTreeMap::new(),
            probe_frames: None,
            challenge: ChallengePolicy::default(),
            attempts: default_attempts(),
            capture_seconds: default_capture_seconds(),
            keep_days: None,
        }
    }
}

/// A policy whose signature and ranges were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    token: String,
    content: PolicyContent,
}

impl Policy {
    /// Signs a policy as the authority and reads it back.
    ///
    /// # Errors
    /// As [`Self::open`], and when the signer fails.
    pub fn seal(content: &PolicyContent, authority: &dyn Signer) -> Result<Self, DocumentError> {
        Self::open(&seal(KIND, content, Form::POLICY, authority)?, authority.public_key())
    }

    /// # Errors
    /// [`DocumentError`] names what is wrong with signature, content or ranges. Expiry is not looked at.
    pub fn open(token: &str, authority: PublicKey) -> Result<Self, DocumentError> {
        let content: PolicyContent = open(KIND, token, Form::POLICY, authority)?;
        let ranges = [
            ("expires_at", content.expires_at > content.issued_at),
            ("probe_frames", content.probe_frames.is_none_or(|frames| (1..=15).contains(&frames))),
            ("challenge", (5..=60).contains(&content.challenge.seconds)),
            (
                "attempts",
                (1..=100).contains(&content.attempts.face) && (1..=100).contains(&content.attempts.pin),
            ),
            ("capture_seconds", (1..=120).contains(&content.capture_seconds)),
            ("keep_days", content.keep_days.is_none_or(|days| (KEEP_LEAST..=KEEP_MOST).contains(&days))),
            (
                "comparison",
                content.comparison.iter().all(|(model, t)| is_digest(model) && threshold(*t).is_some()),
            ),
        ];
        match ranges.iter().find(|(_, good)| !good) {
            Some((member, _)) => Err(DocumentError::Range { kind: KIND, member }),
            None => Ok(Self { token: token.to_owned(), content }),
        }
    }

    /// Opens a newly arrived policy that is to replace `held`. On any error `held` stays in force.
    ///
    /// # Errors
    /// As [`Self::open`]; [`DocumentError::Superseded`] unless the serial rises;
    /// [`DocumentError::Expired`] when its time is over already.
    pub fn supersede(
        held: Option<&Self>,
        token: &str,
        authority: PublicKey,
        now: WallTime,
    ) -> Result<Self, DocumentError> {
        let fresh = Self::open(token, authority)?;
        match held {
            Some(held) if fresh.serial() <= held.serial() => {
                Err(DocumentError::Superseded { kind: KIND, found: fresh.serial(), held: held.serial() })
            }
            _ => fresh.check_in_force(now).map(|()| fresh),
        }
    }

    /// # Errors
    /// [`DocumentError::Expired`] from `expires_at` on: acts then go to a human, never through.
    pub fn check_in_force(&self, now: WallTime) -> Result<(), DocumentError> {
        let at = WallTime::from_seconds(self.content.expires_at);
        if now >= at { Err(DocumentError::Expired { kind: KIND, at }) } else { Ok(()) }
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn content(&self) -> &PolicyContent {
        &self.content
    }

    pub fn serial(&self) -> u64 {
        self.content.serial
    }

    /// The threshold the authority set for this model, if it set one.
    pub fn comparison_threshold(&self, model: ModelDigest) -> Option<Threshold> {
        use std::fmt::Write as _;
        let digest = model.0.iter().fold(String::from("sha256:"), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        threshold(*self.content.comparison.get(&digest)?)
    }
}

fn threshold(thousandths: u16) -> Option<Threshold> {
    Threshold::new(f32::from(thousandths) / 1000.0)
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

fn default_attempts() -> AttemptLimit {
    AttemptLimit { face: 3, pin: 3, within_seconds: 600 }
}

fn default_capture_seconds() -> u16 {
    15
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::{Seed, SoftwareSigner};

    fn authority() -> SoftwareSigner {
        SoftwareSigner::from_seed(&Seed::take(&mut [3; 32]))
    }

    fn content(serial: u64) -> PolicyContent {
        PolicyContent::new(serial, WallTime(1_000_000), WallTime(2_000_000))
    }

    #[test]
    fn only_a_higher_serial_supersedes() {
        let held = Policy::seal(&content(5), &authority()).unwrap();
        let check = |serial: u64, good: bool| {
            let fresh = Policy::seal(&content(serial), &authority()).unwrap();
            let key = authority().public_key();
            let taken = Policy::supersede(Some(&held), fresh.token(), key, WallTime(1_500_000));
            assert_eq!(taken.is_ok(), good, "{serial}");
        };
        check(4, false);
        check(5, false);
        check(6, true);
    }

    #[test]
    fn expiry_has_a_name_and_an_exact_edge() {
        let policy = Policy::seal(&content(1), &authority()).unwrap();
        assert!(policy.check_in_force(WallTime(1_999_999)).is_ok());
        let error = policy.check_in_force(WallTime(2_000_000)).unwrap_err();
        assert_eq!(error.to_string(), "document `policy` expired at 1970-01-01T00:33:20.000Z");
    }

    #[test]
    fn thresholds_apply_to_the_named_model_only() {
        let mut content = content(1);
        content.comparison.insert(format!("sha256:{}", "01".repeat(32)), 420);
        let policy = Policy::seal(&content, &authority()).unwrap();
        let cosine = policy.comparison_threshold(ModelDigest([1; 32])).unwrap().cosine();
        assert!((cosine - 0.42).abs() < 1e-6);
        assert_eq!(policy.comparison_threshold(ModelDigest([2; 32])), None);
    }

    #[test]
    fn values_out_of_range_are_named() {
        let check = |spoil: fn(&mut PolicyContent), want: &str| {
            let mut content = content(1);
            spoil(&mut content);
            let error = Policy::seal(&content, &authority()).unwrap_err();
            assert!(matches!(error, DocumentError::Range { member, .. } if member == want), "{error}");
        };
        check(|c| c.expires_at = c.issued_at, "expires_at");
        check(|c| c.probe_frames = Some(0), "probe_frames");
        check(|c| c.challenge.seconds = 4, "challenge");
        check(|c| c.attempts.face = 0, "attempts");
        check(|c| c.capture_seconds = 0, "capture_seconds");
        check(|c| c.comparison = [(format!("sha256:{}", "01".repeat(32)), 1)].into(), "comparison");
        check(|c| c.comparison = [("sha256:1f3a9c0e".into(), 400)].into(), "comparison");
    }

    #[test]
    fn foreign_signature_and_missing_members_are_refused() {
        let policy = Policy::seal(&content(1), &authority()).unwrap();
        let foreign = SoftwareSigner::from_seed(&Seed::take(&mut [4; 32])).public_key();
        assert!(matches!(Policy::open(policy.token(), foreign), Err(DocumentError::Signature { .. })));
        let token = crate::jws::seal(Form::POLICY, r#"{"serial":1}"#, &authority()).unwrap();
        let opened = Policy::open(&token, authority().public_key());
        assert!(matches!(opened, Err(DocumentError::Content { .. })));
    }
}
