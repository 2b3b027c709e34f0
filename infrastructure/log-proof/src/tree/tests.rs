//! The tree against the test vectors of Certificate Transparency and against the recursive definitions of RFC 6962 §2.1.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// The leaves of the reference tests of Certificate Transparency (`merkle_tree_test.cc`, and those of Trillian).
const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];

/// The roots of the trees with 1 to 8 leaves.
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Inclusion: the leaf, counted from 1 as in the reference, the size, and the path.
const PATHS: [(u64, u64, &[&str]); 5] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        3,
        3,
        &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    ),
    (
        2,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

/// Consistency: the two sizes, and the proof.
const CONSISTENCY: [(u64, u64, &[&str]); 4] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn hash(hex: &str) -> Hash {
    Hash(bytes(hex).try_into().unwrap())
}

/// RFC 6962 §2.1: SHA-256(0x00 ‖ leaf).
fn leaf(data: &[u8]) -> Hash {
    Hash::finished(digest(&SHA256, &[&[0], data].concat()).as_ref())
}

/// MTH of RFC 6962 §2.1.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of_nothing(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            Hash::over(naive_root(left), naive_root(right))
        }
    }
}

/// PATH of RFC 6962 §2.1.1.
fn naive_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return vec![];
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, sibling) = if index < k {
        (naive_path(index, left), naive_root(right))
    } else {
        (naive_path(index - k, right), naive_root(left))
    };
    path.push(sibling);
    path
}

/// SUBPROOF of RFC 6962 §2.1.2.
fn naive_subproof(from: usize, leaves: &[Hash], known: bool) -> Vec<Hash> {
    if from == leaves.len() {
        return if known {
            vec![]
        } else {
            vec![naive_root(leaves)]
        };
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut proof, other) = if from <= k {
        (naive_subproof(from, left, known), naive_root(right))
    } else {
        (naive_subproof(from - k, right, false), naive_root(left))
    };
    proof.push(other);
    proof
}

/// The largest power of two smaller than `n`.
fn split(n: usize) -> usize {
    n.next_power_of_two() / 2
}

fn grown(leaves: &[Hash]) -> GrowingTree {
    let mut tree = GrowingTree::default();
    for leaf in leaves {
        tree.push(*leaf, |_, _| {});
    }
    tree
}

/// Any complete node, as a store would return it.
fn node(leaves: &[Hash], id: NodeId) -> Hash {
    let width = 1_usize << id.level;
    let from = usize::try_from(id.index).unwrap() * width;
    node_over(leaves[from..from + width].to_vec()).unwrap()
}

fn prove(claim: Claim, leaves: &[Hash]) -> Vec<Hash> {
    let needs = claim.needs().unwrap();
    claim
        .prove(needs.into_iter().map(|id| node(leaves, id)).collect())
        .unwrap()
}

fn reference() -> Vec<Hash> {
    LEAVES.map(|hex| leaf(&bytes(hex))).to_vec()
}

#[test]
fn the_reference_tree_has_its_roots() {
    let leaves = reference();
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(GrowingTree::default().root(), hash(empty));
    for (size, root) in (1..).zip(ROOTS) {
        assert_eq!(grown(&leaves[..size]).root(), hash(root), "{size} leaves");
    }
}

#[test]
fn the_reference_tree_has_its_inclusion_paths() {
    let leaves = reference();
    for (number, size, path) in PATHS {
        let claim = Claim::Inclusion {
            index: number - 1,
            size,
        };
        let expected: Vec<Hash> = path.iter().map(|hex| hash(hex)).collect();
        let tree = &leaves[..usize::try_from(size).unwrap()];
        assert_eq!(prove(claim, tree), expected, "leaf {number} of {size}");
    }
}

#[test]
fn the_reference_tree_has_its_consistency_proofs() {
    let leaves = reference();
    for (from, to, proof) in CONSISTENCY {
        let expected: Vec<Hash> = proof.iter().map(|hex| hash(hex)).collect();
        let tree = &leaves[..usize::try_from(to).unwrap()];
        assert_eq!(
            prove(Claim::Consistency { from, to }, tree),
            expected,
            "{from} to {to}"
        );
    }
}

#[test]
fn claims_about_missing_leaves_or_trees_are_not_proved() {
    for claim in [
        Claim::Inclusion { index: 5, size: 5 },
        Claim::Inclusion { index: 0, size: 0 },
        Claim::Consistency { from: 0, to: 5 },
        Claim::Consistency { from: 6, to: 5 },
    ] {
        assert_eq!(claim.needs(), None, "{claim:?}");
    }
}

#[test]
fn a_node_is_reported_when_it_is_complete() {
    let leaves: Vec<Hash> = (0..70_000_u32).map(|n| leaf(&n.to_be_bytes())).collect();
    let mut tree = GrowingTree::default();
    let mut reported = HashMap::new();
    for leaf in &leaves {
        let size = tree.size() + 1;
        tree.push(*leaf, |id, hash| {
            assert_eq!((id.index + 1) << id.level, size);
            assert!(reported.insert(id, hash).is_none());
        });
    }
    assert_eq!(reported.len(), 70_000 / 256 + 1);
    for (id, hash) in reported {
        assert_eq!(node(&leaves, id), hash, "{id:?}");
    }
}

proptest! {
    #[test]
    fn every_tree_and_proof_equals_the_definition_of_the_rfc(
        to in 1_usize..300, pick in any::<prop::sample::Index>(), other in any::<prop::sample::Index>(),
    ) {
        let leaves: Vec<Hash> = (0..to).map(|n| leaf(&n.to_be_bytes())).collect();
        let root = naive_root(&leaves);
        prop_assert_eq!(grown(&leaves).root(), root);

        let index = pick.index(to);
        let claim = Claim::Inclusion { index: index as u64, size: to as u64 };
        let path = prove(claim, &leaves);
        prop_assert_eq!(&path, &naive_path(index, &leaves));
        prop_assert!(includes(&path, to as u64, root, index as u64, leaves[index]));
        let elsewhere = other.index(to);
        if elsewhere != index {
            prop_assert!(!includes(&path, to as u64, root, elsewhere as u64, leaves[index]));
            prop_assert!(!includes(&path, to as u64, root, index as u64, leaves[elsewhere]));
        }

        let from = 1 + other.index(to);
        let claim = Claim::Consistency { from: from as u64, to: to as u64 };
        let proof = prove(claim, &leaves);
        prop_assert_eq!(&proof, &naive_subproof(from, &leaves, true));
        let old = naive_root(&leaves[..from]);
        prop_assert!(is_consistent(&proof, from as u64, old, to as u64, root));
        prop_assert!(from == to || !is_consistent(&proof, from as u64, root, to as u64, root));
    }

    #[test]
    fn a_tree_can_be_continued_from_its_peaks(size in 0_usize..600, more in 0_usize..600) {
        let leaves: Vec<Hash> = (0..size + more).map(|n| leaf(&n.to_be_bytes())).collect();
        let peaks: Vec<Hash> = GrowingTree::peaks_of(size as u64)
            .into_iter()
            .map(|id| node(&leaves, id))
            .collect();
        let mut tree = GrowingTree::from_peaks(size as u64, &peaks);
        prop_assert_eq!(tree.root(), grown(&leaves[..size]).root());
        for leaf in &leaves[size..] {
            tree.push(*leaf, |_, _| {});
        }
        prop_assert_eq!(tree.root(), grown(&leaves).root());
    }
}
