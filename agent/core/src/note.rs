//! C2SP signed notes over checkpoints: the device's signature (0x01) and a witness's cosignature (0x04).
//! Never reads a note leniently: one wrong byte and the whole note is refused, by name.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

use crate::merkle::Hash;
use crate::signer::{KeyError, PublicKey, Signature, Signer, SignerError};
use crate::time::WallTime;

/// More signature lines than this are refused, so that a note stays a small thing.
pub const SIGNATURE_LIMIT: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    #[error("note is not well formed: {0}")]
    Form(&'static str),
    #[error("verifier key is not well formed: {0}")]
    VerifierKey(&'static str),
    #[error("verifier key holds a bad public key")]
    PublicKey(#[source] KeyError),
    #[error("note carries no signature by `{name}`")]
    Missing { name: String },
    #[error("signature by `{name}` is false")]
    Signature { name: String, source: KeyError },
}

/// What a log says of itself: its name, how many events it has and their root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: String,
    pub size: u64,
    pub root: Hash,
}

impl Checkpoint {
    fn log_key(&self, key: PublicKey) -> VerifierKey {
        VerifierKey::new(&self.origin, KeyRole::Log, key).expect("an origin can be a key name")
    }

    fn parse(text: &str) -> Option<Self> {
        let [origin, size, root] = text.strip_suffix('\n')?.split('\n').collect::<Vec<_>>()[..] else {
            return None;
        };
        let size: u64 = size.parse().ok().filter(|n: &u64| n.to_string() == size)?;
        let root = Hash::from_slice(&STANDARD.decode(root).ok()?)?;
        is_name(origin).then(|| Self { origin: origin.to_owned(), size, root })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0))
    }
}

/// What a signature line means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRole {
    /// The log itself: Ed25519 over the checkpoint text.
    Log,
    /// A witness: Ed25519 over the time and the checkpoint text.
    Witness,
}

impl KeyRole {
    fn byte(self) -> u8 {
        match self {
            Self::Log => 0x01,
            Self::Witness => 0x04,
        }
    }
}

/// Name and public key under which a signature line is checked (a "vkey").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    role: KeyRole,
    key: PublicKey,
}

impl VerifierKey {
    /// # Errors
    /// [`NoteError::VerifierKey`] when the name is empty or has a space or `+`.
    pub fn new(name: &str, role: KeyRole, key: PublicKey) -> Result<Self, NoteError> {
        if !is_name(name) {
            return Err(NoteError::VerifierKey("name is empty or has a space or `+`"));
        }
        Ok(Self { name: name.to_owned(), role, key })
    }

    /// Reads `<name>+<key id, 8 hex digits>+<base64 of role byte and key>`.
    ///
    /// # Errors
    /// [`NoteError::VerifierKey`] or [`NoteError::PublicKey`], naming what is wrong.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::VerifierKey("it does not have three parts"));
        };
        let bytes = STANDARD.decode(key).map_err(|_| NoteError::VerifierKey("key is not base64"))?;
        let Some((role, key)) = bytes.split_first() else {
            return Err(NoteError::VerifierKey("key is empty"));
        };
        let role = match role {
            0x01 => KeyRole::Log,
            0x04 => KeyRole::Witness,
            _ => return Err(NoteError::VerifierKey("signature type is unknown")),
        };
        let key = key.try_into().map_err(|_| NoteError::VerifierKey("key has not 32 bytes"))?;
        let parsed = Self::new(name, role, PublicKey::from_bytes(key).map_err(NoteError::PublicKey)?)?;
        if hex(parsed.key_id()) != id {
            return Err(NoteError::VerifierKey("key id does not fit name and key"));
        }
        Ok(parsed)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn role(&self) -> KeyRole {
        self.role
    }

    pub fn public_key(&self) -> PublicKey {
        self.key
    }

    fn key_id(&self) -> [u8; 4] {
        let mut text = self.name.as_bytes().to_vec();
        text.extend_from_slice(&[b'\n', self.role.byte()]);
        text.extend_from_slice(self.key.as_bytes());
        *digest(&SHA256, &text).as_ref().first_chunk().expect("SHA-256 gives 32 bytes")
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![self.role.byte()];
        bytes.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, hex(self.key_id()), STANDARD.encode(bytes))
    }
}

/// A checkpoint with its signature lines. Signatures by unknown keys are kept and ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    checkpoint: Checkpoint,
    lines: Vec<SignatureLine>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SignatureLine {
    name: String,
    key_id: [u8; 4],
    signature: Vec<u8>,
}

impl Note {
    /// Signs a checkpoint as the log; the key's name is the origin.
    ///
    /// # Errors
    /// Whatever the signer says.
    ///
    /// # Panics
    /// When the origin cannot be a key name; origins are made of a log domain and two UUIDs.
    pub fn sign(checkpoint: Checkpoint, signer: &dyn Signer) -> Result<Self, SignerError> {
        let key = checkpoint.log_key(signer.public_key());
        let signature = signer.sign(checkpoint.to_string().as_bytes())?.0.to_vec();
        let line = SignatureLine { name: key.name.clone(), key_id: key.key_id(), signature };
        Ok(Self { checkpoint, lines: vec![line] })
    }

    /// Adds a witness's line. `witness` must be the witness key of `signer`.
    ///
    /// # Errors
    /// Whatever the signer says.
    pub fn cosign(
        &mut self,
        witness: &VerifierKey,
        at: WallTime,
        signer: &dyn Signer,
    ) -> Result<(), SignerError> {
        let seconds = at.seconds().max(0).cast_unsigned();
        let mut bytes = seconds.to_be_bytes().to_vec();
        bytes.extend_from_slice(&signer.sign(witness_message(seconds, &self.checkpoint).as_bytes())?.0);
        let line = SignatureLine { name: witness.name.clone(), key_id: witness.key_id(), signature: bytes };
        self.lines.retain(|old| (&old.name, old.key_id) != (&line.name, line.key_id));
        self.lines.push(line);
        Ok(())
    }

    /// # Errors
    /// [`NoteError::Form`] names the first rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        if text.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(NoteError::Form("it has a control character"));
        }
        let cut = text.rfind("\n\n").ok_or(NoteError::Form("it has no blank line"))? + 1;
        let (body, lines) = (&text[..cut], &text[cut + 1..]);
        let checkpoint = Checkpoint::parse(body).ok_or(NoteError::Form("its text is no checkpoint"))?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Form("its last line is not ended"))?;
        let lines: Vec<_> = lines
            .split('\n')
            .map(SignatureLine::parse)
            .collect::<Option<_>>()
            .ok_or(NoteError::Form("a signature line is malformed"))?;
        if lines.len() > SIGNATURE_LIMIT {
            return Err(NoteError::Form("it has more than 16 signatures"));
        }
        let same = |a: &SignatureLine, b: &SignatureLine| a.name == b.name && a.key_id == b.key_id;
        if lines.iter().enumerate().any(|(i, line)| lines[..i].iter().any(|b| same(line, b))) {
            return Err(NoteError::Form("it has two signatures by one key"));
        }
        Ok(Self { checkpoint, lines })
    }

    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Checks the log's own signature.
    ///
    /// # Errors
    /// [`NoteError::Missing`] or [`NoteError::Signature`].
    pub fn verify_log(&self, key: &VerifierKey) -> Result<(), NoteError> {
        let bytes = self.line(key)?;
        check(key, self.checkpoint.to_string().as_bytes(), bytes)
    }

    /// Checks a witness's cosignature and gives the time it vouches for.
    ///
    /// # Errors
    /// [`NoteError::Missing`] or [`NoteError::Signature`].
    pub fn verify_witness(&self, key: &VerifierKey) -> Result<WallTime, NoteError> {
        let (time, bytes) =
            self.line(key)?.split_first_chunk::<8>().ok_or(NoteError::Form("a cosignature is short"))?;
        let seconds = u64::from_be_bytes(*time);
        check(key, witness_message(seconds, &self.checkpoint).as_bytes(), bytes)?;
        i64::try_from(seconds).map(WallTime::from_seconds).map_err(|_| NoteError::Form("time is absurd"))
    }

    /// Whether there is a line in this key's name, true or false.
    pub fn has_line(&self, key: &VerifierKey) -> bool {
        self.line(key).is_ok()
    }

    fn line(&self, key: &VerifierKey) -> Result<&[u8], NoteError> {
        self.lines
            .iter()
            .find(|line| line.name == key.name && line.key_id == key.key_id())
            .map(|line| line.signature.as_slice())
            .ok_or_else(|| NoteError::Missing { name: key.name.clone() })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.checkpoint)?;
        self.lines.iter().try_for_each(|line| {
            let mut bytes = line.key_id.to_vec();
            bytes.extend_from_slice(&line.signature);
            writeln!(f, "— {} {}", line.name, STANDARD.encode(bytes))
        })
    }
}

impl SignatureLine {
    fn parse(line: &str) -> Option<Self> {
        let (name, bytes) = line.strip_prefix("— ")?.split_once(' ')?;
        let bytes = STANDARD.decode(bytes).ok()?;
        let (key_id, signature) = bytes.split_first_chunk::<4>()?;
        let fits = is_name(name) && !signature.is_empty();
        fits.then(|| Self { name: name.to_owned(), key_id: *key_id, signature: signature.to_vec() })
    }
}

fn check(key: &VerifierKey, message: &[u8], signature: &[u8]) -> Result<(), NoteError> {
    let signature =
        Signature(signature.try_into().map_err(|_| NoteError::Form("a signature has not 64 bytes"))?);
    key.key
        .verify(message, &signature)
        .map_err(|source| NoteError::Signature { name: key.name.clone(), source })
}

fn witness_message(seconds: u64, checkpoint: &Checkpoint) -> String {
    format!("cosignature/v1\ntime {seconds}\n{checkpoint}")
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

fn hex(id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::merkle::leaf_hash;
    use crate::signer::{Seed, SoftwareSigner};

    fn signer(byte: u8) -> SoftwareSigner {
        SoftwareSigner::from_seed(&Seed::take(&mut [byte; 32]))
    }

    fn witness() -> VerifierKey {
        VerifierKey::new("witness.example/a", KeyRole::Witness, signer(2).public_key()).unwrap()
    }

    fn log() -> VerifierKey {
        VerifierKey::new("log.example/1", KeyRole::Log, signer(1).public_key()).unwrap()
    }

    fn note() -> Note {
        let checkpoint = Checkpoint { origin: "log.example/1".into(), size: 7, root: leaf_hash(b"x") };
        let mut note = Note::sign(checkpoint, &signer(1)).unwrap();
        note.cosign(&witness(), WallTime(1_777_593_800_000), &signer(2)).unwrap();
        note
    }

    #[test]
    fn reads_back_and_verifies_under_both_keys() {
        let back = Note::parse(&note().to_string()).unwrap();
        assert_eq!(back, note());
        back.verify_log(&log()).unwrap();
        assert_eq!(back.verify_witness(&witness()).unwrap(), WallTime(1_777_593_800_000));
        for key in [log(), witness()] {
            assert_eq!(VerifierKey::parse(&key.to_string()).unwrap(), key);
        }
    }

    #[test]
    fn foreign_keys_and_swapped_roles_are_missing_not_accepted() {
        let foreign =
            VerifierKey::new("witness.example/a", KeyRole::Witness, signer(3).public_key()).unwrap();
        assert!(matches!(note().verify_witness(&foreign), Err(NoteError::Missing { .. })));
        let role = VerifierKey::new("log.example/1", KeyRole::Witness, signer(1).public_key()).unwrap();
        assert!(matches!(note().verify_witness(&role), Err(NoteError::Missing { .. })));
    }

    #[test]
    fn a_moved_time_breaks_the_cosignature() {
        let mut note = note();
        note.lines[1].signature[7] ^= 1;
        assert!(matches!(note.verify_witness(&witness()), Err(NoteError::Signature { .. })));
    }

    #[test]
    fn malformed_notes_are_refused() {
        let good = note().to_string();
        let line = good.lines().last().unwrap();
        let many: String =
            (0..17).map(|i| line.replace("example/a", &format!("example/{i}")) + "\n").collect();
        let root = good.lines().nth(2).unwrap();
        for bad in [
            String::new(),
            good.replace('\n', "\r\n"),
            good.trim_end().to_owned(),
            format!("{good}\n"),
            format!("{good}{line}\n"),
            format!("{good}{many}"),
            good.replace("\n7\n", "\n07\n"),
            good.replace("\n7\n", "\n+7\n"),
            good.replace("\n7\n", "\n7\nextension\n"),
            good.replace(root, &root[..root.len() - 1]),
            good.replace("— ", "- "),
            good.replace("log.example/1\n7", "log example\n7"),
        ] {
            assert!(Note::parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn malformed_verifier_keys_are_refused() {
        let good = witness().to_string();
        for bad in [
            String::new(),
            good.replace("witness", "w"),
            good.replace('+', " "),
            good.trim_end_matches('=').replace("+B", "+A"),
        ] {
            assert!(VerifierKey::parse(&bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_without_panic(text in "(?s).{0,200}") {
            let _ = Note::parse(&text);
            let _ = VerifierKey::parse(&text);
        }

        #[test]
        fn any_changed_byte_is_noticed(at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let mut bytes = note().to_string().into_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != to);
            bytes[at] = to;
            let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
            let Ok(changed) = Note::parse(&text) else { return Ok(()) };
            prop_assert!(changed.verify_log(&log()).is_err() || changed.verify_witness(&witness()).is_err());
        }
    }
}
