//! The secret of a store, from which the keys of claims and seals are derived.

use authlog_application::ports::Entropy;
use zeroize::Zeroizing;

use crate::sealing::Unopenable;

/// The name under which the store's secret is kept. Claims were its only use at first, hence the value.
pub(crate) const STORE_SECRET: &str = "identifier-pepper";

/// The secret from which the keys of claims and seals are derived. Without it no account is found, so that removing
/// it does not disable the seals.
pub(crate) struct StoreSecret {
    pub(super) key: Zeroizing<[u8; Self::KEY_BYTES]>,
    pub(super) requires_seals: bool,
}

impl StoreSecret {
    const KEY_BYTES: usize = 32;

    /// The byte after the key in a store in which rows without a seal grant nothing.
    const REQUIRES_SEALS: u8 = 1;

    /// The secret of a new store. It requires seals.
    pub(crate) fn generate(entropy: &dyn Entropy) -> Self {
        let mut key = Zeroizing::new([0; Self::KEY_BYTES]);
        entropy.fill(key.as_mut_slice());
        Self {
            key,
            requires_seals: true,
        }
    }

    /// Parses a stored secret, after it was opened.
    pub(crate) fn from_stored(bytes: &[u8]) -> Result<Self, Unopenable> {
        let (key, rest) = bytes.split_first_chunk().ok_or(Unopenable)?;
        let requires_seals = match rest {
            [] => false,
            [Self::REQUIRES_SEALS] => true,
            _ => return Err(Unopenable),
        };
        Ok(Self {
            key: Zeroizing::new(*key),
            requires_seals,
        })
    }

    /// The bytes to seal and store.
    pub(crate) fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(Self::KEY_BYTES + 1));
        bytes.extend_from_slice(self.key.as_slice());
        bytes.extend(self.requires_seals.then_some(Self::REQUIRES_SEALS));
        bytes
    }
}
