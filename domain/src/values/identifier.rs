//! The names under which an account can be found.

use super::{Email, Username};

/// What kind of name an identifier is.
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

/// A name under which one account at most can be found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identifier {
    /// A username.
    Username(Username),
    /// An e-mail address.
    Email(Email),
}

impl Identifier {
    /// Reads what a person types to say who they are: with an `@` it is an e-mail address, otherwise a username.
    /// `None` for what no account can be called.
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains('@') {
            Email::parse_existing(text).ok().map(Self::Email)
        } else {
            Username::parse_existing(text).ok().map(Self::Username)
        }
    }

    /// What kind of name it is.
    pub const fn kind(&self) -> IdentifierKind {
        match self {
            Self::Username(_) => IdentifierKind::Username,
            Self::Email(_) => IdentifierKind::Email,
        }
    }

    /// The form in which two spellings of one name are equal. It is personal data.
    pub fn comparable(&self) -> String {
        match self {
            Self::Username(username) => username.comparable(),
            Self::Email(email) => email.comparable(),
        }
    }

    /// The forms under which an account claims the name, each with whether it is of this spelling (`docs/adr/0016`).
    ///
    /// An address is claimed by its spelling, as versions before did that knew no other form, and by its mailbox. Most often
    /// they are one.
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
