//! The names under which an account can be found.

use super::{Email, Username};

/// The kind of an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IdentifierKind {
    /// A username.
    Username,
    /// An e-mail address.
    Email,
}

impl IdentifierKind {
    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Username => "username",
            Self::Email => "email",
        }
    }
}

/// A name by which an account is found. At most one account has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identifier {
    /// A username.
    Username(Username),
    /// An e-mail address.
    Email(Email),
}

impl Identifier {
    /// Parses what a person types to sign in: text with an `@` is an e-mail address, and other text a username. `None` for text
    /// that no account can have as an identifier.
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains('@') {
            Email::parse_existing(text).ok().map(Self::Email)
        } else {
            Username::parse_existing(text).ok().map(Self::Username)
        }
    }

    /// The kind of the identifier.
    pub const fn kind(&self) -> IdentifierKind {
        match self {
            Self::Username(_) => IdentifierKind::Username,
            Self::Email(_) => IdentifierKind::Email,
        }
    }

    /// The form that all spellings of one identifier share. It is personal data.
    pub fn comparable(&self) -> String {
        match self {
            Self::Username(username) => username.comparable(),
            Self::Email(email) => email.comparable(),
        }
    }

    /// The forms under which an account claims the identifier, each with whether it is the form of the spelling
    /// (`docs/adr/0016`).
    ///
    /// An address is claimed by the form of its spelling, which is the only one that earlier versions knew, and by that of its
    /// mailbox. Most often these are the same.
    pub fn claimed_forms(&self) -> Vec<(String, bool)> {
        let comparable = self.comparable();
        match self {
            Self::Username(_) => vec![(comparable, true)],
            Self::Email(email) => {
                let spelling = email.folded_spelling();
                let is_one = spelling == comparable;
                let mailbox = (!is_one).then_some((comparable, false));
                [(spelling, true)].into_iter().chain(mailbox).collect()
            }
        }
    }
}
