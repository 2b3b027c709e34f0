//! Logins with the code of an authenticator app and logins with a passkey. They are compared with logins by password alone.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail, ensure};
use authlog_application::ports::Clock as _;
use authlog_infrastructure::system::SystemClock;
use aws_lc_rs::hmac::{self, HMAC_SHA1_FOR_LEGACY_USE_ONLY};
use hyper::Method;
use serde_json::json;

use crate::Effort;
use crate::clients::Measuring;
use crate::fill;
use crate::http::{Carried, Connection, JSON};
use crate::load::{Visitor, load};
use crate::operations::{LOGIN, PASSWORD};
use crate::passkey::Passkey;
use crate::service::{Service, Setup};

/// The seed of every app, in base 32 and in bytes: that of RFC 6238, appendix B.
const SEED: (&str, &[u8]) = ("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", b"12345678901234567890");

/// For how many seconds an app shows a code.
const PERIOD: i64 = 30;

/// The name of the operation that signs in with a password and a code.
const WITH_CODE: &str = "login with a code";

/// The name of the operation that signs in with a passkey alone.
const WITH_PASSKEY: &str = "login with a passkey";

/// The name of the limit that the clients set to logins with passkeys, because they sign on the same machine.
const SIGNATURES: &str = "signatures of passkeys by the clients";

/// Clients that sign in with a second factor.
pub(crate) struct FactorClients {
    codes: Vec<CodeLogin>,
    passkeys: Vec<PasskeyLogin>,
}

impl FactorClients {
    /// Imports accounts with authenticator apps, and registers an account with a passkey for each connection. Does nothing if no
    /// such login is measured, because programs without second factors are measured as well.
    pub(crate) async fn of(
        setup: &Setup,
        service: &Service,
        effort: &Effort,
    ) -> anyhow::Result<Self> {
        let mut clients = Self {
            codes: Vec::new(),
            passkeys: Vec::new(),
        };
        let operations = [WITH_CODE, WITH_PASSKEY, SIGNATURES];
        if !operations.into_iter().any(|it| effort.wants(it)) {
            return Ok(clients);
        }
        let apps = Arc::new(Apps::import(setup, effort).await?);
        let mut connection = Connection::to(&service.address);
        for number in 0..effort.connections {
            let name = format!("passkey-{}-{number}", std::process::id());
            clients.passkeys.push(PasskeyLogin {
                passkey: Passkey::enrol(&mut connection, &name).await?,
                connection: Connection::to(&service.address),
            });
            clients.codes.push(CodeLogin {
                connection: Connection::to(&service.address),
                apps: Arc::clone(&apps),
            });
        }
        Ok(clients)
    }

    /// Measures both ways to sign in, one after the other, and what the clients sign if they do nothing else.
    pub(crate) async fn measure_all(
        &mut self,
        measuring: &mut Measuring<'_>,
    ) -> anyhow::Result<()> {
        measuring.measure(WITH_CODE, &mut self.codes).await?;
        measuring.measure(WITH_PASSKEY, &mut self.passkeys).await?;
        if measuring.effort.wants(SIGNATURES) {
            let mut signing = self.passkeys.drain(..).map(Signing).collect();
            let sample = load(&mut signing, measuring.effort.a_while()).await?;
            self.passkeys = signing.into_iter().map(|it| it.0).collect();
            measuring.report.sample(SIGNATURES, measuring.store, sample);
        }
        Ok(())
    }
}

/// Accounts with authenticator apps. They share a password, its hash and a seed, because thousands of hashes would take a minute.
struct Apps {
    /// The numbers of accounts with the time step of the last code of each, the one that was used the longest ago first.
    accounts: Mutex<VecDeque<(u64, i64)>>,
}

impl Apps {
    /// The number of accounts, and how many more there are for each second of a measurement. A code signs in once, so an account
    /// signs in twice at most in a short measurement: with the present code and the next one, which the service accepts as well.
    /// These are enough accounts for 600 logins a second.
    const ACCOUNTS: f64 = 2000.0;
    const ACCOUNTS_A_SECOND: f64 = 300.0;

    async fn import(setup: &Setup, effort: &Effort) -> anyhow::Result<Self> {
        let count = Self::ACCOUNTS + Self::ACCOUNTS_A_SECOND * effort.seconds;
        let hash = fill::hash(PASSWORD).await?;
        let mut lines = String::new();
        let numbers = 0..count as u64;
        for number in numbers.clone() {
            let account = json!({
                "username": name(number), "password_hash": hash.as_stored(),
                "totp": [{"secret": SEED.0, "period": PERIOD}],
            });
            writeln!(lines, "{account}")?;
        }
        setup.run_with(&["user", "import", "-"], &lines).await?;
        Ok(Self {
            accounts: Mutex::new(numbers.map(|number| (number, 0)).collect()),
        })
    }

    /// The number of an account, and a time step of which it has not used the code.
    fn next(&self, now: i64) -> anyhow::Result<(u64, i64)> {
        let accounts = self.accounts.lock();
        let mut accounts = accounts.unwrap_or_else(PoisonError::into_inner);
        let (number, last) = accounts.pop_front().context("an account with an app")?;
        let step = now.max(last + 1);
        if step > now + 1 {
            bail!("every account has used its codes: measure for a shorter time");
        }
        accounts.push_back((number, step));
        Ok((number, step))
    }
}

/// The name of an account with an app.
fn name(number: u64) -> String {
    format!("app-{}-{number}", std::process::id())
}

/// The code of a time step (RFC 4226 §5.3).
fn code(step: i64) -> anyhow::Result<String> {
    let key = hmac::Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, SEED.1);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let offset = tag.as_ref().last().context("a tag")? & 0xf;
    let part = tag.as_ref().get(usize::from(offset)..);
    let part = part.and_then(<[u8]>::first_chunk).context("four bytes")?;
    let number = u32::from_be_bytes(*part) & 0x7fff_ffff;
    Ok(format!("{:06}", number % 1_000_000))
}

/// Signs one account after the other in with the password and the code, in one request.
struct CodeLogin {
    connection: Connection,
    apps: Arc<Apps>,
}

impl Visitor for CodeLogin {
    fn connection(&mut self) -> Option<&mut Connection> {
        Some(&mut self.connection)
    }

    async fn visit(&mut self) -> anyhow::Result<()> {
        let now = SystemClock.now().unix_millis() / 1000 / PERIOD;
        let (number, step) = self.apps.next(now)?;
        let password = format!("{PASSWORD}{}", code(step)?);
        let body = json!({"username": name(number), "password": password}).to_string();
        let carried = Carried {
            authorization: None,
            body: Some((&body, JSON)),
        };
        let answer = self.connection.succeed(Method::POST, LOGIN, carried);
        answer.await.map(drop)
    }
}

/// Signs one person in again and again, with a passkey alone. A passkey signs challenges in the order of their issue, so it has
/// one login at a time.
struct PasskeyLogin {
    passkey: Passkey,
    connection: Connection,
}

impl Visitor for PasskeyLogin {
    fn connection(&mut self) -> Option<&mut Connection> {
        Some(&mut self.connection)
    }

    async fn visit(&mut self) -> anyhow::Result<()> {
        let path = "/sign-in/passkey/options";
        let begun = self
            .connection
            .succeed(Method::POST, path, Carried::default())
            .await?;
        let credential = self.passkey.sign(&begun["publicKey"])?;
        let body = json!({
            "challenge": begun["challenge"], "credential": credential, "contract": "/users",
        });
        let body = body.to_string();
        let carried = Carried {
            authorization: None,
            body: Some((&body, JSON)),
        };
        let answer = self
            .connection
            .send(Method::POST, "/sign-in/passkey", carried);
        let answer = answer.await?;
        ensure!(answer.status().is_success(), "{answer:?}");
        Ok(())
    }
}

/// Signs like a passkey, without a service.
struct Signing(PasskeyLogin);

impl Visitor for Signing {
    async fn visit(&mut self) -> anyhow::Result<()> {
        // A challenge of the service has as many letters.
        let options = json!({"challenge": "c".repeat(127)});
        self.0.passkey.sign(&options)?;
        tokio::task::yield_now().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B: the last six of the eight digits.
    #[test]
    fn codes_are_those_of_rfc_6238() {
        for (seconds, expected) in [(59, "287082"), (1_111_111_109, "081804")] {
            assert_eq!(code(seconds / PERIOD).ok().as_deref(), Some(expected));
        }
    }

    #[test]
    fn no_account_uses_a_code_twice() {
        let apps = Apps {
            accounts: Mutex::new([(0, 0), (1, 0)].into()),
        };
        let used: Vec<_> = [7, 7, 7, 7, 8, 8].map(|now| apps.next(now).ok()).into();
        let expected = [(0, 7), (1, 7), (0, 8), (1, 8), (0, 9), (1, 9)].map(Some);
        assert_eq!(used, expected);
        assert!(apps.next(8).is_err());
    }
}
