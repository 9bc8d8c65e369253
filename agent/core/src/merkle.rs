//! The transparency log's tree (RFC 6962 §2.1): leaf and node hashes, compact range, proofs.
//! Never keeps the events themselves; 64 hashes are enough to append for ever.

use std::fmt;

use ring::digest::{Context, SHA256};

/// SHA-256 value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// `None` unless the slice has 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…")
    }
}

/// Hash of one event or document: `SHA-256(0x00 ‖ bytes)`.
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    digest(&[&[0], bytes])
}

/// Hash of an inner node: `SHA-256(0x01 ‖ left ‖ right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    digest(&[&[1], &left.0, &right.0])
}

/// Root of the first leaves, with the hashes of its perfect subtrees, largest first.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CompactRange {
    size: u64,
    nodes: Vec<Hash>,
}

impl CompactRange {
    pub fn new() -> Self {
        Self::default()
    }

    /// The range over all these leaves.
    pub fn of(leaves: impl IntoIterator<Item = Hash>) -> Self {
        leaves.into_iter().fold(Self::new(), |mut range, leaf| {
            range.append(leaf);
            range
        })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn append(&mut self, leaf: Hash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            let left = self.nodes.pop().expect("one node a set bit of the size");
            node = node_hash(&left, &node);
        }
        self.nodes.push(node);
        self.size += 1;
    }

    pub fn root(&self) -> Hash {
        let mut nodes = self.nodes.iter().rev();
        match nodes.next() {
            None => digest(&[]),
            Some(last) => nodes.fold(*last, |right, left| node_hash(left, &right)),
        }
    }

    /// Size as 8 bytes, most significant first, then the hashes. At most 2,056 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.size.to_be_bytes().to_vec();
        self.nodes.iter().for_each(|node| bytes.extend_from_slice(&node.0));
        bytes
    }

    /// The reverse of [`Self::to_bytes`]; `None` when the count of hashes does not fit the size.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (size, rest) = bytes.split_first_chunk::<8>()?;
        let size = u64::from_be_bytes(*size);
        let (nodes, tail) = rest.as_chunks::<32>();
        let fits = tail.is_empty() && nodes.len() == size.count_ones() as usize;
        fits.then(|| Self { size, nodes: nodes.iter().copied().map(Hash).collect() })
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("leaf {index} is not within a tree of {size}")]
    Range { index: u64, size: u64 },
    #[error("proof has {found} hashes where {expected} are needed")]
    Length { found: usize, expected: usize },
    #[error("proof leads to another root")]
    Root,
}

/// Path from one leaf up to the root of all `leaves`.
///
/// # Errors
/// [`ProofError::Range`] when there is no such leaf.
pub fn inclusion_proof(leaves: &[Hash], index: u64) -> Result<Vec<Hash>, ProofError> {
    let size = leaves.len() as u64;
    let place = usize::try_from(index).ok().filter(|i| *i < leaves.len());
    let place = place.ok_or(ProofError::Range { index, size })?;
    let mut path = Vec::new();
    include(leaves, place, &mut path);
    Ok(path)
}

/// Hashes that show the tree of all `leaves` to be a continuation of the tree of the first `old`.
///
/// # Errors
/// [`ProofError::Range`] when `old` is zero or above the number of leaves.
pub fn consistency_proof(leaves: &[Hash], old: u64) -> Result<Vec<Hash>, ProofError> {
    let size = leaves.len() as u64;
    let first = usize::try_from(old).ok().filter(|o| (1..=leaves.len()).contains(o));
    let first = first.ok_or(ProofError::Range { index: old, size })?;
    let mut path = Vec::new();
    consist(leaves, first, true, &mut path);
    Ok(path)
}

/// Checks that `leaf` stands at `index` in the tree of `size` leaves with this root (RFC 9162 §2.1.3.2).
///
/// # Errors
/// [`ProofError`] when it does not.
pub fn verify_inclusion(
    leaf: Hash,
    index: u64,
    size: u64,
    path: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Range { index, size });
    }
    let (mut at, mut last, mut node) = (index, size - 1, leaf);
    let mut rest = path.iter();
    while last > 0 {
        if at & 1 == 1 || at < last {
            let sibling = rest.next().ok_or_else(|| wrong_length(path, path.len() + 1))?;
            node = if at & 1 == 1 { node_hash(sibling, &node) } else { node_hash(&node, sibling) };
        }
        at >>= 1;
        last >>= 1;
    }
    match rest.len() {
        0 if node == *root => Ok(()),
        0 => Err(ProofError::Root),
        more => Err(wrong_length(path, path.len() - more)),
    }
}

/// Checks that the tree of `new` leaves begins with the tree of `old` leaves (RFC 9162 §2.1.4.2).
///
/// # Errors
/// [`ProofError`] when it does not.
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    path: &[Hash],
) -> Result<(), ProofError> {
    if old == 0 || old > new {
        return Err(ProofError::Range { index: old, size: new });
    }
    if old == new {
        let same = path.is_empty() && old_root == new_root;
        return if same { Ok(()) } else { Err(ProofError::Root) };
    }
    let mut hashes = path.iter();
    let first = if old.is_power_of_two() { Some(old_root) } else { hashes.next() };
    let first = first.ok_or_else(|| wrong_length(path, 1))?;
    let (mut at, mut last) = (old - 1, new - 1);
    let shift = at.trailing_ones();
    at >>= shift;
    last >>= shift;
    let (mut old_node, mut new_node) = (*first, *first);
    while last > 0 {
        if at & 1 == 1 || at < last {
            let hash = hashes.next().ok_or_else(|| wrong_length(path, path.len() + 1))?;
            if at & 1 == 1 {
                old_node = node_hash(hash, &old_node);
                new_node = node_hash(hash, &new_node);
            } else {
                new_node = node_hash(&new_node, hash);
            }
        }
        at >>= 1;
        last >>= 1;
    }
    match hashes.len() {
        0 if old_node == *old_root && new_node == *new_root => Ok(()),
        0 => Err(ProofError::Root),
        more => Err(wrong_length(path, path.len() - more)),
    }
}

fn wrong_length(path: &[Hash], expected: usize) -> ProofError {
    ProofError::Length { found: path.len(), expected }
}

fn digest(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    Hash(context.finish().as_ref().try_into().expect("SHA-256 gives 32 bytes"))
}

fn tree_hash(leaves: &[Hash]) -> Hash {
    CompactRange::of(leaves.iter().copied()).root()
}

/// Largest power of two below `size`, the place where RFC 6962 splits a tree.
fn split(size: usize) -> usize {
    size.next_power_of_two() / 2
}

fn include(leaves: &[Hash], place: usize, path: &mut Vec<Hash>) {
    if leaves.len() <= 1 {
        return;
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    if place < left.len() {
        include(left, place, path);
        path.push(tree_hash(right));
    } else {
        include(right, place - left.len(), path);
        path.push(tree_hash(left));
    }
}

fn consist(leaves: &[Hash], old: usize, whole: bool, path: &mut Vec<Hash>) {
    if old == leaves.len() {
        if !whole {
            path.push(tree_hash(leaves));
        }
        return;
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    if old <= left.len() {
        consist(left, old, whole, path);
        path.push(tree_hash(right));
    } else {
        consist(right, old - left.len(), false, path);
        path.push(tree_hash(left));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    /// RFC 6962 §2.1, written as it stands there.
    fn naive(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => digest(&[]),
            [one] => *one,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len()));
                node_hash(&naive(left), &naive(right))
            }
        }
    }

    #[test]
    fn empty_tree_is_the_hash_of_nothing() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(CompactRange::new().root().to_string(), empty);
    }

    #[test]
    fn every_small_tree_agrees_with_the_definition() {
        for count in 0..70 {
            let leaves = leaves(count);
            let range = CompactRange::of(leaves.iter().copied());
            assert_eq!((range.size(), range.root()), (count as u64, naive(&leaves)), "{count}");
            assert_eq!(CompactRange::from_bytes(&range.to_bytes()), Some(range));
        }
    }

    #[test]
    fn ranges_with_a_wrong_count_of_hashes_are_refused() {
        let good = CompactRange::of(leaves(5)).to_bytes();
        for bad in [&good[..], &[0; 4], &[0; 9]].iter().map(|b| b.to_vec()).zip([true, false, false]) {
            assert_eq!(CompactRange::from_bytes(&bad.0).is_some(), bad.1);
        }
        assert_eq!(CompactRange::from_bytes(&good[..good.len() - 32]), None);
        assert_eq!(CompactRange::from_bytes(&good[..good.len() - 1]), None);
    }

    proptest! {
        #[test]
        fn proofs_hold_and_any_change_breaks_them(count in 1_usize..200, at in any::<prop::sample::Index>(), flip in any::<prop::sample::Index>()) {
            let leaves = leaves(count);
            let (size, root) = (count as u64, naive(&leaves));
            let index = at.index(count);
            let path = inclusion_proof(&leaves, index as u64).unwrap();
            prop_assert_eq!(verify_inclusion(leaves[index], index as u64, size, &path, &root), Ok(()));
            prop_assert!(verify_inclusion(leaf_hash(b"x"), index as u64, size, &path, &root).is_err());

            let old = index as u64 + 1;
            let old_root = naive(&leaves[..index + 1]);
            let chain = consistency_proof(&leaves, old).unwrap();
            prop_assert_eq!(verify_consistency(old, &old_root, size, &root, &chain), Ok(()));
            prop_assert!(verify_consistency(old, &leaf_hash(b"x"), size, &root, &chain).is_err());

            for proof in [path, chain] {
                if proof.is_empty() { continue; }
                let mut bad = proof.clone();
                bad[flip.index(proof.len())].0[0] ^= 1;
                prop_assert!(verify_inclusion(leaves[index], index as u64, size, &bad, &root).is_err());
                prop_assert!(verify_consistency(old, &old_root, size, &root, &bad).is_err());
                bad = proof;
                bad.push(root);
                prop_assert!(verify_inclusion(leaves[index], index as u64, size, &bad, &root).is_err());
                prop_assert!(verify_consistency(old, &old_root, size, &root, &bad).is_err());
            }
        }
    }
}
