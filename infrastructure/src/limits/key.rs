//! Keyed hashes of names, accounts and addresses, from which none of them can be read.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;

use aws_lc_rs::hmac;

/// What is hashed, so that no two kinds share a bucket.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Account,
    Client,
    Code,
    Guess,
    Identifier,
    Name,
    Network,
    Session,
    Unknown,
}

impl Kind {
    const fn tag(self) -> &'static [u8] {
        match self {
            Self::Account => b"account",
            Self::Client => b"client",
            Self::Code => b"code",
            Self::Guess => b"guess",
            Self::Identifier => b"identifier",
            Self::Name => b"name",
            Self::Network => b"network",
            Self::Session => b"session",
            Self::Unknown => b"unknown",
        }
    }
}

/// The key of the hashes.
pub(super) enum Key {
    /// A random key that only this process has.
    OfProcess(RandomState),
    /// Nodes of one database share it.
    Shared(Box<hmac::Key>),
}

impl Key {
    pub fn shared(key: &[u8]) -> Self {
        Self::Shared(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// The hash of `parts`, each with its length: it is the same on every node that shares the key.
    pub fn hash(&self, kind: Kind, parts: [&[u8]; 2]) -> u64 {
        let [first, second] = parts;
        match self {
            Self::OfProcess(state) => state.hash_one((kind.tag(), first, second)),
            Self::Shared(key) => {
                let mut context = hmac::Context::with_key(key);
                for part in [kind.tag(), first, second] {
                    context.update(&(part.len() as u64).to_be_bytes());
                    context.update(part);
                }
                let tag = context.sign();
                let first = tag.as_ref().iter().take(8);
                first.fold(0, |hash, byte| hash << 8 | u64::from(*byte))
            }
        }
    }
}

/// The network of an address: an IPv4 address, or the /64 of an IPv6 address, which is the smallest block that a
/// subscriber gets (RFC 6177). It is empty if the address is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Network {
    octets: [u8; 8],
    length: usize,
}

impl Network {
    pub fn of(address: Option<IpAddr>) -> Self {
        let mut octets = [0; 8];
        let length = match address.map(|address| address.to_canonical()) {
            None => 0,
            Some(IpAddr::V4(address)) => {
                octets[..4].copy_from_slice(&address.octets());
                4
            }
            Some(IpAddr::V6(address)) => {
                octets.copy_from_slice(&address.octets()[..8]);
                8
            }
        };
        Self { octets, length }
    }

    pub fn is_known(&self) -> bool {
        self.length > 0
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}
