//! Which part of a list of accounts or sessions a client asks for.

use authlog_domain::{AccountNumber, SessionId};

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

/// One account by a name, or a page of all.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum UsersQuery {
    /// The account that is called so.
    Called(String),
    /// A page in order of the accounts' numbers.
    Page {
        /// Those after this number.
        after: Option<AccountNumber>,
        /// No more than this many.
        limit: u32,
    },
}

impl UsersQuery {
    /// Reads the query; the error is a sentence for the client.
    pub fn parse(query: Option<&str>) -> Result<Self, &'static str> {
        let (mut after, mut limited, mut called) = (None, DEFAULT_LIMIT, None);
        for (name, value) in members(query) {
            match &*name {
                "after" => {
                    let number = value.parse().ok().map(AccountNumber::new);
                    after = Some(number.ok_or("after has to be the number of an account.")?);
                }
                "limit" => limited = limit(&value)?,
                "email" | "username" | "id" => {
                    let first = called.replace(value.into_owned());
                    if first.is_some() {
                        return Err("Ask for one of email, username and id.");
                    }
                }
                _ => {}
            }
        }
        Ok(match called {
            Some(name) => Self::Called(name),
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
        assert_eq!(
            parsed("email=jo%40example.com"),
            Ok(UsersQuery::Called("jo@example.com".to_owned()))
        );
        assert!(SessionsQuery::parse(Some("after=7")).is_err());
        assert_eq!(SessionsQuery::parse(None).unwrap().limit, 50);
    }
}
