//! The updates that a node sends to the others about attempts: keyed hashes, from which no name or address can be read.

use super::remote_guesses::GuessId;

/// One thing that a node counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    pub(super) kind: UpdateKind,
    /// The key of the bucket.
    pub(super) key: u64,
    /// The id of a guess that is in progress or is taken back.
    pub(super) guess: Option<GuessId>,
    /// For a guess that is taken back, the milliseconds since it was counted; otherwise zero.
    pub(super) age: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpdateKind {
    /// A guess at an account from one address failed, or is in progress.
    Guess,
    /// A guess that was announced as in progress does not count.
    TakenBack,
    /// A guess at an account failed.
    FailedAtAccount,
    /// A code of a second factor of an account was wrong.
    WrongCode,
    /// A guess from an address failed.
    FailedFromNetwork,
    /// An account was changed by its owner.
    OwnChange,
    /// A person signed in with a name from an address.
    SignedIn,
}

impl UpdateKind {
    const ALL: [Self; 7] = [
        Self::Guess,
        Self::TakenBack,
        Self::FailedAtAccount,
        Self::WrongCode,
        Self::FailedFromNetwork,
        Self::OwnChange,
        Self::SignedIn,
    ];

    const fn letter(self) -> char {
        match self {
            Self::Guess => 'G',
            Self::TakenBack => 'B',
            Self::FailedAtAccount => 'A',
            Self::WrongCode => 'F',
            Self::FailedFromNetwork => 'N',
            Self::OwnChange => 'C',
            Self::SignedIn => 'S',
        }
    }
}

impl Update {
    /// The length of one update as text, in bytes.
    pub(crate) const LENGTH: usize = 37;

    pub(super) const fn new(kind: UpdateKind, key: u64) -> Self {
        Self {
            kind,
            key,
            guess: None,
            age: 0,
        }
    }

    /// Updates as text.
    pub(crate) fn write_all(updates: &[Self]) -> String {
        updates.iter().map(Self::write).collect()
    }

    fn write(&self) -> String {
        let guess = self.guess.map_or(0, GuessId::get);
        let Self { kind, key, age, .. } = self;
        format!("{}{key:016x}{guess:016x}{age:04x}", kind.letter())
    }

    /// Parses updates; `None` if the text is not made of updates.
    pub(crate) fn read_all(text: &str) -> Option<Vec<Self>> {
        let updates = text.as_bytes().chunks(Self::LENGTH).map(Self::read);
        updates.collect()
    }

    fn read(text: &[u8]) -> Option<Self> {
        let text = str::from_utf8(text).ok()?;
        let mut kinds = UpdateKind::ALL.into_iter();
        let kind = kinds.find(|kind| text.starts_with(kind.letter()))?;
        let (key, rest) = text.get(1..)?.split_at_checked(16)?;
        let (guess, age) = rest.split_at_checked(16)?;
        Some(Self {
            kind,
            key: u64::from_str_radix(key, 16).ok()?,
            guess: GuessId::new(u64::from_str_radix(guess, 16).ok()?),
            age: u16::from_str_radix(age, 16).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn updates_are_read_as_they_were_written(
            updates in prop::collection::vec((0_usize..7, any::<[u64; 2]>(), any::<u16>()), 0..20),
        ) {
            let update = |(kind, [key, guess], age): (usize, [u64; 2], u16)| Update {
                kind: UpdateKind::ALL[kind],
                key,
                guess: GuessId::new(guess),
                age,
            };
            let updates: Vec<Update> = updates.into_iter().map(update).collect();
            prop_assert_eq!(Update::read_all(&Update::write_all(&updates)), Some(updates));
        }

        #[test]
        fn arbitrary_text_causes_no_panic(text in any::<String>(), hex in "[GBAFNCS][0-9a-f+-]{36,148}") {
            let _ = Update::read_all(&text);
            let _ = Update::read_all(&hex);
        }
    }
}
