//! Which part of a list of accounts or sessions a client asks for.

use authlog_application::ports::Identifier;
use authlog_domain::{AccountNumber, Email, SessionId, UserId, Username};

/// Entries in an answer, unless another number is asked for.
const DEFAULT_LIMIT: u32 = 50;

/// The most that are answered at once.
const MAX_LIMIT: u32 = 200;

/// A page of sessions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SessionsQuery {
    /// Those after this one.
    pub after: Option<SessionId>,
    /// No more than this many.
    pub limit: u32,
}

impl SessionsQuery {
    /// Reads the query; the error is a sentence for the client.
    pub fn parse(query: Option<&str>) -> Result<Self, &'static str> {
        let mut parsed = Self {
            after: None,
            limit: DEFAULT_LIMIT,
        };
        for (name, value) in members(query) {
            match &*name {
                "after" => {
                    let session = SessionId::parse(&value);
                    parsed.after = Some(session.ok_or("after has to be the id of a session.")?);
                }
                "limit" => parsed.limit = limit(&value)?,
                _ => {}
            }
        }
        Ok(parsed)
    }
}

/// Which account is asked for. What is one thing is not taken for another: earlier versions took usernames that are written
/// like an id.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The one of this id.
    Id(UserId),
    /// The one that has this e-mail address, or this username.
    Called(Identifier),
}

impl Wanted {
    /// `None` for what no account can have.
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

/// One account, or a page of all.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum UsersQuery {
    /// One account; `None` if no account can have what was asked for.
    One(Option<Wanted>),
    /// A page in the order in which accounts were registered.
    Page {
        /// Those after the account of this number.
        after: Option<AccountNumber>,
        /// No more than this many.
        limit: u32,
    },
}

impl UsersQuery {
    /// Reads the query; the error is a sentence for the client.
    pub fn parse(query: Option<&str>) -> Result<Self, &'static str> {
        let (mut after, mut limited, mut one) = (None, DEFAULT_LIMIT, None);
        for (name, value) in members(query) {
            match &*name {
                "after" => {
                    let number = value.parse().ok().map(AccountNumber::new);
                    after = Some(number.ok_or("after has to be the number of an account.")?);
                }
                "limit" => limited = limit(&value)?,
                "email" | "username" | "id" => {
                    let first = one.replace(Wanted::parse(&name, &value));
                    if first.is_some() {
                        return Err("Ask for one of email, username and id.");
                    }
                }
                _ => {}
            }
        }
        Ok(match one {
            Some(wanted) => Self::One(wanted),
            None => Self::Page {
                after,
                limit: limited,
            },
        })
    }
}

fn members(query: Option<&str>) -> url::form_urlencoded::Parse<'_> {
    url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
}

fn limit(value: &str) -> Result<u32, &'static str> {
    let limit: Option<u32> = value.parse().ok().filter(|limit| *limit > 0);
    let limit = limit.ok_or("limit has to be a whole number from 1 on.")?;
    Ok(limit.min(MAX_LIMIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_asked_for_in_pages_of_bounded_size() {
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
