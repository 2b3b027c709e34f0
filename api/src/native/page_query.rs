//! The queries of the lists of accounts, sessions and clients.

use authlog_application::ports::Identifier;
use authlog_domain::{AccountNumber, ClientId, Email, SessionId, UserId, Username};

use super::query::{page_limit, parsed, read_parameters};

/// The number of entries in a page, unless `limit` is given.
const DEFAULT_LIMIT: u32 = 50;

/// The largest number of entries in a page.
const MAX_LIMIT: u32 = 200;

/// A page of sessions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SessionsQuery {
    /// Only sessions after this one.
    pub after: Option<SessionId>,
    /// The largest number of sessions, up to [`MAX_LIMIT`].
    pub limit: u32,
}

impl SessionsQuery {
    /// # Errors
    /// A sentence for the client about the first invalid parameter.
    pub fn parse(query: Option<&str>) -> Result<Self, String> {
        let (mut after, mut limit) = (None, DEFAULT_LIMIT);
        read_parameters(query, |name, value| {
            match name {
                "after" => {
                    let session = SessionId::parse(value);
                    after = Some(parsed(name, session, "the id of a session")?);
                }
                "limit" => limit = page_limit(value, MAX_LIMIT)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self { after, limit })
    }
}

/// A page of clients.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientsQuery {
    /// Only clients whose ids come after this one.
    pub after: Option<ClientId>,
    /// The largest number of clients, up to [`MAX_LIMIT`].
    pub limit: u32,
}

impl ClientsQuery {
    /// # Errors
    /// A sentence for the client about the first invalid parameter.
    pub fn parse(query: Option<&str>) -> Result<Self, String> {
        let (mut after, mut limit) = (None, DEFAULT_LIMIT);
        read_parameters(query, |name, value| {
            match name {
                "after" => {
                    let client = ClientId::parse(value).ok();
                    after = Some(parsed(name, client, "the id of a client")?);
                }
                "limit" => limit = page_limit(value, MAX_LIMIT)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self { after, limit })
    }
}

/// The account that is asked for. An id is not looked up as a username or the reverse: earlier versions accepted
/// usernames that have the form of an id.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The account with this id.
    Id(UserId),
    /// The account with this e-mail address or username.
    Called(Identifier),
}

impl Wanted {
    /// `None` for a value that no account can have.
    fn parse(name: &str, value: &str) -> Option<Self> {
        match name {
            "id" => UserId::parse(value).map(Self::Id),
            "email" => {
                let email = Email::parse_existing(value).ok()?;
                Some(Self::Called(Identifier::Email(email)))
            }
            _ => {
                let username = Username::parse_existing(value).ok()?;
                Some(Self::Called(Identifier::Username(username)))
            }
        }
    }
}

/// One account, or a page of all accounts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum UsersQuery {
    /// One account; `None` if no account can have the given value.
    One(Option<Wanted>),
    /// A page in the order of registration.
    Page {
        /// Only accounts after the one with this number.
        after: Option<AccountNumber>,
        /// The largest number of accounts, up to [`MAX_LIMIT`].
        limit: u32,
    },
}

impl UsersQuery {
    /// # Errors
    /// A sentence for the client about the first invalid parameter.
    pub fn parse(query: Option<&str>) -> Result<Self, String> {
        let (mut after, mut limit, mut one) = (None, DEFAULT_LIMIT, None);
        read_parameters(query, |name, value| {
            match name {
                "after" => {
                    let number = value.parse().ok().map(AccountNumber::new);
                    after = Some(parsed(name, number, "the number of an account")?);
                }
                "limit" => limit = page_limit(value, MAX_LIMIT)?,
                "email" | "username" | "id" => {
                    let previous = one.replace(Wanted::parse(name, value));
                    if previous.is_some() {
                        return Err("Only one of email, username and id is allowed.".to_owned());
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(match one {
            Some(wanted) => Self::One(wanted),
            None => Self::Page { after, limit },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_in_pages_of_bounded_size() {
        let parsed = |query| UsersQuery::parse(Some(query));
        let page = |after: Option<i64>, limit| {
            Ok(UsersQuery::Page {
                after: after.map(AccountNumber::new),
                limit,
            })
        };
        assert_eq!(UsersQuery::parse(None), page(None, 50));
        assert_eq!(parsed("after=7&limit=3&more=1"), page(Some(7), 3));
        assert_eq!(parsed("limit=100000"), page(None, 200));
        for query in ["after=x", "limit=0", "limit=-1", "email=a&id=b"] {
            assert!(parsed(query).is_err(), "{query}");
        }
        let id = "0192d3f0-0000-7000-8000-000000000001";
        let email = Identifier::Email(Email::parse("jo@example.com").unwrap());
        let username = Identifier::Username(Username::parse_existing(id).unwrap());
        for (query, wanted) in [
            ("email=jo%40example.com", Some(Wanted::Called(email))),
            ("username=jo%40example.com", None),
            (
                "username=0192d3f0-0000-7000-8000-000000000001",
                Some(Wanted::Called(username)),
            ),
            ("email=0192d3f0-0000-7000-8000-000000000001", None),
            (
                "id=0192d3f0-0000-7000-8000-000000000001",
                UserId::parse(id).map(Wanted::Id),
            ),
            ("id=jo", None),
        ] {
            assert_eq!(parsed(query), Ok(UsersQuery::One(wanted)), "{query}");
        }
        assert!(SessionsQuery::parse(Some("after=7")).is_err());
        assert_eq!(SessionsQuery::parse(None).unwrap().limit, 50);
    }
}
