//! The operations of clients, each over its own connection.

use anyhow::{Context as _, ensure};
use hyper::body::Bytes;
use hyper::{Method, Response};
use serde_json::{Value, json};

use crate::http::{Carried, Connection, FORM, JSON};
use crate::load::Visitor;

/// The login endpoint of `/users`.
pub(crate) const LOGIN: &str = "/users/login";

/// The password of every person. It satisfies the strictest policy.
pub(crate) const PASSWORD: &str = "plum-Orchard-77-kettle";

/// Verifies an access token.
pub(crate) struct Verify {
    pub(crate) connection: Connection,
    /// The path of a verify endpoint, or of the bare server.
    pub(crate) path: &'static str,
    pub(crate) token: String,
}

impl Visitor for Verify {
    fn connection(&mut self) -> Option<&mut Connection> {
        Some(&mut self.connection)
    }

    async fn visit(&mut self) -> anyhow::Result<()> {
        let carried = Carried {
            authorization: Some(&self.token),
            body: None,
        };
        let answer = self.connection.send(Method::GET, self.path, carried);
        is_success(&answer.await?)
    }
}

/// Introspects a token, as a resource server does (RFC 7662).
pub(crate) struct Introspect {
    pub(crate) connection: Connection,
    /// `Bearer` and the token of the resource server, or `Basic` and its credentials.
    pub(crate) authorization: String,
    /// The form with the token to introspect.
    pub(crate) form: String,
}

impl Visitor for Introspect {
    fn connection(&mut self) -> Option<&mut Connection> {
        Some(&mut self.connection)
    }

    async fn visit(&mut self) -> anyhow::Result<()> {
        let carried = Carried {
            authorization: Some(&self.authorization),
            body: Some((&self.form, FORM)),
        };
        let path = "/oauth2/introspect";
        let answer = self.connection.send(Method::POST, path, carried).await?;
        is_success(&answer)?;
        // Parsing all of it would cost the client's time, not the service's.
        let active = b"\"active\":true";
        ensure!(
            answer.body().windows(active.len()).any(|it| it == active),
            "the service answers that the token is not active"
        );
        Ok(())
    }
}

/// Reads a resource with an access token.
pub(crate) struct Read {
    pub(crate) connection: Connection,
    pub(crate) path: String,
    /// `Bearer` and the token.
    pub(crate) authorization: String,
}

impl Visitor for Read {
    fn connection(&mut self) -> Option<&mut Connection> {
        Some(&mut self.connection)
    }

    async fn visit(&mut self) -> anyhow::Result<()> {
        let carried = Carried {
            authorization: Some(&self.authorization),
            body: None,
        };
        let answer = self.connection.send(Method::GET, &self.path, carried);
        is_success(&answer.await?)
    }
}

/// Exchanges a single-use refresh token for the next one.
pub(crate) struct Refresh {
    pub(crate) connection: Connection,
    /// `Bearer` and the token.
    pub(crate) authorization: String,
}

impl Visitor for Refresh {
    fn connection(&mut self) -> Option<&mut Connection> {
        Some(&mut self.connection)
    }

    async fn visit(&mut self) -> anyhow::Result<()> {
        let carried = Carried {
            authorization: Some(&self.authorization),
            body: None,
        };
        let answer = self
            .connection
            .succeed(Method::POST, "/api/auth/refresh", carried)
            .await?;
        self.authorization = format!("Bearer {}", text(&answer, "/data/refresh_token/token")?);
        Ok(())
    }
}

/// Signs one person after the other in with a password.
pub(crate) struct Login {
    pub(crate) connection: Connection,
    pub(crate) people: People,
}

impl Visitor for Login {
    fn connection(&mut self) -> Option<&mut Connection> {
        Some(&mut self.connection)
    }

    async fn visit(&mut self) -> anyhow::Result<()> {
        let body = login(&self.people.next());
        let carried = Carried {
            authorization: None,
            body: Some((&body, JSON)),
        };
        self.connection
            .succeed(Method::POST, LOGIN, carried)
            .await
            .map(drop)
    }
}

/// The people of a filled store, `person0` and so on, in an order that is scattered over all of them.
#[derive(Clone)]
pub(crate) struct People {
    first: u64,
    count: u64,
    last: u64,
}

impl People {
    /// This many people. Iterators with different starts yield different people.
    pub(crate) fn new(count: u64, start: u64) -> Self {
        Self {
            first: 0,
            count,
            last: start,
        }
    }

    /// Always the person with this number.
    pub(crate) fn one(number: u64) -> Self {
        Self {
            first: number,
            ..Self::new(1, 0)
        }
    }

    /// The name of the next person.
    pub(crate) fn next(&mut self) -> String {
        /// A prime far from the size of a page.
        const STEP: u64 = 7_368_787;
        self.last = (self.last + STEP) % self.count.max(1);
        person(self.first + self.last)
    }
}

/// The name of one of the [`People`].
pub(crate) fn person(number: u64) -> String {
    format!("person{number}")
}

/// Registers one account after the other.
pub(crate) struct Register {
    pub(crate) connection: Connection,
    /// The prefix of this client's names.
    pub(crate) name: String,
    pub(crate) number: u64,
}

impl Visitor for Register {
    fn connection(&mut self) -> Option<&mut Connection> {
        Some(&mut self.connection)
    }

    async fn visit(&mut self) -> anyhow::Result<()> {
        self.number += 1;
        let name = format!("{}-{}", self.name, self.number);
        let body =
            json!({"name": name, "email": format!("{name}@example.com"), "password": PASSWORD});
        let body = body.to_string();
        let carried = Carried {
            authorization: None,
            body: Some((&body, JSON)),
        };
        self.connection
            .succeed(Method::POST, "/v1/auth/register", carried)
            .await
            .map(drop)
    }
}

/// Registers an account through `/api/auth` and returns its access and refresh tokens.
pub(crate) async fn sign_up(
    connection: &mut Connection,
    name: &str,
) -> anyhow::Result<(String, String)> {
    let body = json!({
        "username": name, "email": format!("{name}@example.com"), "password": PASSWORD,
    });
    let body = body.to_string();
    let carried = Carried {
        authorization: None,
        body: Some((&body, JSON)),
    };
    let answer = connection
        .succeed(Method::POST, "/api/auth/register", carried)
        .await?;
    Ok((
        text(&answer, "/data/access_token/token")?,
        text(&answer, "/data/refresh_token/token")?,
    ))
}

/// Signs a person in through `/users` and returns the access token.
pub(crate) async fn sign_in(connection: &mut Connection, name: &str) -> anyhow::Result<String> {
    let body = login(name);
    let carried = Carried {
        authorization: None,
        body: Some((&body, JSON)),
    };
    let answer = connection.succeed(Method::POST, LOGIN, carried).await?;
    text(&answer, "/data/access_token")
}

/// Signs a person in through `/api` and returns the opaque token.
pub(crate) async fn sign_in_opaque(
    connection: &mut Connection,
    name: &str,
) -> anyhow::Result<String> {
    let body = json!({"email": format!("{name}@example.com"), "password": PASSWORD}).to_string();
    let carried = Carried {
        authorization: None,
        body: Some((&body, JSON)),
    };
    let answer = connection
        .succeed(Method::POST, "/api/login", carried)
        .await?;
    text(&answer, "/token")
}

/// The body of a login through `/users`.
pub(crate) fn login(name: &str) -> String {
    json!({"username": name, "password": PASSWORD}).to_string()
}

fn is_success(answer: &Response<Bytes>) -> anyhow::Result<()> {
    ensure!(answer.status().is_success(), "{answer:?}");
    Ok(())
}

/// The text at this place of an answer.
pub(crate) fn text(answer: &Value, pointer: &str) -> anyhow::Result<String> {
    let value = answer.pointer(pointer).and_then(Value::as_str);
    Ok(value
        .with_context(|| format!("no {pointer} in {answer}"))?
        .to_owned())
}
