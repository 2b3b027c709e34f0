//! The changes that end a session, each by a request whose answer is waited for.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::ValueEnum;
use hyper::Method;
use serde_json::{Value, json};

use crate::http::{Carried, Connection, JSON};
use crate::operations::{PASSWORD, sign_up, text};
use crate::service::{Service, Setup};

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Change {
    /// The person signs out.
    Logout,
    /// An administrator locks the account.
    Lock,
    /// An administrator gives the account another role.
    NewRole,
    /// The person resets the password with a mailed link.
    PasswordReset,
    /// An administrator erases the account.
    Erasure,
}

impl Change {
    /// The type of its event.
    pub(super) fn event(self) -> &'static str {
        match self {
            Self::Logout => "dev.authlog.session.logged-out.v1",
            Self::Lock => "dev.authlog.user.locked.v1",
            Self::NewRole => "dev.authlog.user.role-changed.v1",
            Self::PasswordReset => "dev.authlog.user.password-reset.v1",
            Self::Erasure => "dev.authlog.user.erased.v1",
        }
    }
}

/// An account with one session.
pub(super) struct Account {
    pub(super) id: String,
    pub(super) email: String,
    pub(super) token: String,
}

impl Account {
    pub(super) async fn sign_up(service: &Service, name: &str) -> anyhow::Result<Self> {
        let name = name.to_lowercase();
        let mut connection = Connection::open(&service.address).await?;
        let (token, _) = sign_up(&mut connection, &name).await?;
        let claims = token.split('.').nth(1).context("a JWT")?;
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
        Ok(Self {
            id: text(&claims, "/sub")?,
            email: format!("{name}@example.com"),
            token,
        })
    }
}

/// The request of a change.
pub(super) struct Prepared {
    method: Method,
    path: String,
    authorization: String,
    body: Option<Value>,
}

impl Prepared {
    /// Sends the request, and returns when the answer has arrived.
    pub(super) async fn make(&self, connection: &mut Connection) -> anyhow::Result<()> {
        let body = self.body.as_ref().map(Value::to_string);
        let carried = Carried {
            authorization: Some(&self.authorization),
            body: body.as_deref().map(|body| (body, JSON)),
        };
        let answer = connection.send(self.method.clone(), &self.path, carried);
        let answer = answer.await?;
        ensure!(answer.status().is_success(), "{}: {answer:?}", self.path);
        Ok(())
    }
}

/// An administrator, who also reads the mail of everyone.
pub(super) struct Operator {
    connection: Connection,
    token: String,
    mail: PathBuf,
}

impl Operator {
    pub(super) async fn of(setup: &Setup, service: &Service) -> anyhow::Result<Self> {
        let create = ["user", "create", "--username", "root", "--role", "admin"];
        setup.run_with(&create, &format!("{PASSWORD}\n")).await?;
        let mut connection = Connection::open(&service.address).await?;
        let body = json!({"username": "root", "password": PASSWORD}).to_string();
        let carried = Carried {
            authorization: None,
            body: Some((&body, JSON)),
        };
        // Its access token is valid for three hours, longer than a run.
        let login = connection.succeed(Method::POST, "/api/auth/login", carried);
        let token = text(&login.await?, "/data/access_token/token")?;
        Ok(Self {
            connection,
            token: format!("Bearer {token}"),
            mail: setup.data.join("mail"),
        })
    }

    /// The header `Authorization` of the administrator.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// The request of a change, after everything that comes before it.
    pub(super) async fn prepare(
        &mut self,
        change: Change,
        account: &Account,
    ) -> anyhow::Result<Prepared> {
        let by_administrator = |method, rest: &str, body| Prepared {
            method,
            path: format!("/admin/users/{}{rest}", account.id),
            authorization: self.token.clone(),
            body,
        };
        Ok(match change {
            Change::Logout => Prepared {
                method: Method::POST,
                path: "/api/auth/logout".to_owned(),
                authorization: format!("Bearer {}", account.token),
                body: None,
            },
            Change::Lock => by_administrator(Method::POST, "/lock", None),
            Change::NewRole => {
                by_administrator(Method::PUT, "/role", Some(json!({"role": "auditor"})))
            }
            Change::PasswordReset => Prepared {
                method: Method::PUT,
                path: "/users/reset-password/update-password".to_owned(),
                authorization: format!("Bearer {}", self.reset_token(account).await?),
                body: Some(json!({"password": format!("{PASSWORD}-2")})),
            },
            Change::Erasure => by_administrator(Method::DELETE, "", None),
        })
    }

    /// The token in the mailed link.
    async fn reset_token(&mut self, account: &Account) -> anyhow::Result<String> {
        let body = json!({"username": account.email}).to_string();
        let carried = Carried {
            authorization: None,
            body: Some((&body, JSON)),
        };
        let request = self
            .connection
            .succeed(Method::POST, "/users/reset-password", carried);
        request.await?;
        let began = Instant::now();
        while began.elapsed() < super::PATIENCE {
            if let Some(token) = mailed_token(&self.mail, &account.id) {
                return Ok(token);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        anyhow::bail!("no mail to {}", account.email)
    }
}

/// The token in the link of a finished mail to this account.
fn mailed_token(folder: &Path, account: &str) -> Option<String> {
    let files = std::fs::read_dir(folder).ok()?;
    let names = files.filter_map(|file| Some(file.ok()?.path()));
    let mut to_account = names.filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.contains(account) && name.ends_with(".eml"))
    });
    to_account.find_map(|path| {
        // The lines of quoted-printable text are joined, and `=` is written `=3D`.
        let text = std::fs::read_to_string(path).ok()?;
        let text = text.replace("=\r\n", "").replace("=\n", "");
        let text = text.replace("=3D", "=");
        let (_, rest) = text.split_once("token=")?;
        rest.split_whitespace().next().map(str::to_owned)
    })
}
