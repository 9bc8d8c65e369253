//! Sealing of event bodies at rest: AES-256-GCM, nonce = sequence, bound to chain, place and leaf.
//! Never seals two different bodies under one key and nonce, not even after a crash or a rollback.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use zhenyin_core::ids::{ChainId, Sequence};
use zhenyin_core::merkle::Hash;

use crate::data_key::DataKey;

/// The body key of one chain.
///
/// The sequence alone would be a dangerous nonce: an event whose commit failed leaves its ciphertext in the
/// write-ahead log, and the event that takes its place has the same number. So each body has its own key,
/// derived from the chain's key and the leaf; another body has another leaf.
pub(super) struct BodyKey {
    chain: ChainId,
    secret: hkdf::Prk,
}

impl BodyKey {
    pub(super) fn new(key: &DataKey, chain: ChainId) -> Self {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, chain.0.as_bytes());
        Self { chain, secret: salt.extract(key.expose()) }
    }

    /// 16 bytes that tell this key from another without any event at hand.
    pub(super) fn check_value(&self) -> [u8; 16] {
        let mut value = [0; 16];
        self.secret
            .expand(&[b"zhenyin journal key check v1"], CheckLength)
            .and_then(|okm| okm.fill(&mut value))
            .expect("16 bytes are within HKDF's limit");
        value
    }

    pub(super) fn seal(&self, sequence: Sequence, leaf: &Hash, jws: &str) -> Vec<u8> {
        let mut bytes = jws.as_bytes().to_vec();
        self.cipher(leaf)
            .seal_in_place_append_tag(nonce(sequence), self.aad(sequence, leaf), &mut bytes)
            .expect("an event is shorter than AES-GCM's limit");
        bytes
    }

    /// `None` when the bytes were not sealed by this key for this place.
    pub(super) fn open(&self, sequence: Sequence, leaf: &Hash, mut sealed: Vec<u8>) -> Option<String> {
        let length = self
            .cipher(leaf)
            .open_in_place(nonce(sequence), self.aad(sequence, leaf), &mut sealed)
            .ok()?
            .len();
        sealed.truncate(length);
        String::from_utf8(sealed).ok()
    }

    fn cipher(&self, leaf: &Hash) -> LessSafeKey {
        let okm = [b"zhenyin journal body v1", leaf.as_bytes().as_slice()];
        let okm = self.secret.expand(&okm, &AES_256_GCM).expect("32 bytes are within HKDF's limit");
        LessSafeKey::new(UnboundKey::from(okm))
    }

    /// Chain UUID (16 bytes), sequence (8 bytes, most significant first), leaf (32 bytes).
    fn aad(&self, sequence: Sequence, leaf: &Hash) -> Aad<[u8; 56]> {
        let mut bytes = [0; 56];
        bytes[..16].copy_from_slice(self.chain.0.as_bytes());
        bytes[16..24].copy_from_slice(&sequence.0.to_be_bytes());
        bytes[24..].copy_from_slice(leaf.as_bytes());
        Aad::from(bytes)
    }
}

struct CheckLength;

impl hkdf::KeyType for CheckLength {
    fn len(&self) -> usize {
        16
    }
}

fn nonce(sequence: Sequence) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[NONCE_LEN - 8..].copy_from_slice(&sequence.0.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use zhenyin_core::merkle::leaf_hash;

    use super::*;

    fn key(byte: u8, chain: u128) -> BodyKey {
        BodyKey::new(&DataKey::take(&mut [byte; 32]), ChainId(uuid::Uuid::from_u128(chain)))
    }

    #[test]
    fn a_body_opens_under_its_key_at_its_place_only() {
        let leaf = leaf_hash(b"event");
        let sealed = key(1, 1).seal(Sequence(7), &leaf, "event");
        assert_eq!(key(1, 1).open(Sequence(7), &leaf, sealed.clone()).as_deref(), Some("event"));
        assert_eq!(key(2, 1).open(Sequence(7), &leaf, sealed.clone()), None, "another key");
        assert_eq!(key(1, 2).open(Sequence(7), &leaf, sealed.clone()), None, "another chain");
        assert_eq!(key(1, 1).open(Sequence(8), &leaf, sealed.clone()), None, "another place");
        assert_eq!(key(1, 1).open(Sequence(7), &leaf_hash(b"x"), sealed.clone()), None, "another leaf");
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert_eq!(key(1, 1).open(Sequence(7), &leaf, flipped), None, "byte {at}");
        }
        assert_ne!(key(1, 1).check_value(), key(2, 1).check_value());
    }

    /// Two events that took the same number, one rolled back: their keystreams must differ.
    #[test]
    fn a_number_used_twice_does_not_repeat_the_keystream() {
        let stream = |body: &str| {
            let sealed = key(1, 1).seal(Sequence(7), &leaf_hash(body.as_bytes()), body);
            sealed.iter().zip(body.as_bytes()).map(|(c, p)| c ^ p).collect::<Vec<u8>>()
        };
        assert_eq!(stream("first"), stream("first"), "control: the stream is a function of the body");
        assert_ne!(stream("first"), stream("other"));
    }
}
