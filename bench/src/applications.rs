//! Loads of applications and resource servers that use OAuth: sign-ins by a code, refreshes, and introspection.

use anyhow::{Context as _, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::Method;
use hyper::header::{LOCATION, SET_COOKIE};
use serde_json::Value;

use crate::clients::Measuring;
use crate::http::{Carried, Connection, FORM};
use crate::load::Visitor;
use crate::operations::{Introspect, PASSWORD, person, text};
use crate::service::{Service, Setup};

const TOKEN: &str = "/oauth2/token";

/// The verifier of every sign-in (RFC 7636 §4.1). The service cannot tell that it is always the same.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// Where codes are sent. The clients read them from the redirect.
const CALLBACK: &str = "https://app.example/callback";

/// The resource server that introspects.
const RESOURCE: &str = "https://api.example";

/// The clients, by operation.
pub(crate) struct ApplicationClients {
    sign_in: Vec<SignIn>,
    sign_in_with_id_token: Vec<SignIn>,
    refresh: Vec<RefreshApplication>,
    introspect: Vec<Introspect>,
}

impl ApplicationClients {
    /// Registers an application of the operator's own and a resource server, and signs the first `count` people in.
    pub(crate) async fn of(setup: &Setup, service: &Service, count: usize) -> anyhow::Result<Self> {
        let application = Registered::with(
            setup,
            "application",
            &[
                ["--redirect-uri", CALLBACK],
                ["--scope", "openid notes.read"],
                ["--audience", RESOURCE],
                ["--first-party", "true"],
            ],
        );
        let application = application.await?;
        let server = Registered::with(setup, "server", &[["--audience", RESOURCE]]).await?;
        let to = || Connection::to(&service.address);
        let mut clients = Self {
            sign_in: Vec::new(),
            sign_in_with_id_token: Vec::new(),
            refresh: Vec::new(),
            introspect: Vec::new(),
        };
        for number in 0..count as u64 {
            let cookie = browser_session(&mut to(), &person(number)).await?;
            let sign_in = |scope| SignIn::of(to().with_cookie(&cookie), &application, scope);
            let mut begun = sign_in("notes.read");
            let tokens = begun.tokens().await?;
            clients.introspect.push(Introspect {
                connection: to(),
                authorization: server.basic(),
                form: format!("token={}", text(&tokens, "/access_token")?),
            });
            clients.refresh.push(RefreshApplication {
                connection: to(),
                authorization: application.basic(),
                token: text(&tokens, "/refresh_token")?,
            });
            clients.sign_in.push(begun);
            clients.sign_in_with_id_token.push(sign_in("openid"));
        }
        Ok(clients)
    }

    /// Measures every operation, one after the other.
    pub(crate) async fn measure_all(
        &mut self,
        measuring: &mut Measuring<'_>,
    ) -> anyhow::Result<()> {
        measuring
            .measure("introspect, application", &mut self.introspect)
            .await?;
        measuring
            .measure("refresh, application", &mut self.refresh)
            .await?;
        measuring
            .measure("authorize and token", &mut self.sign_in)
            .await?;
        let name = "authorize and token, with an ID token";
        measuring
            .measure(name, &mut self.sign_in_with_id_token)
            .await
    }
}

/// A registered client with its secret.
pub(crate) struct Registered {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Registered {
    pub(crate) async fn with(
        setup: &Setup,
        name: &str,
        options: &[[&str; 2]],
    ) -> anyhow::Result<Self> {
        let id = format!("{name}-{}", std::process::id());
        let create = ["client", "create", "--json", "--id", &id, "--name", name];
        let arguments = [&create[..], options.as_flattened()].concat();
        let printed: Value = serde_json::from_slice(&setup.output(&arguments).await?)?;
        Ok(Self {
            id,
            secret: text(&printed, "/secret")?,
        })
    }

    /// The header `Authorization` of this client (RFC 6749 §2.3.1).
    fn basic(&self) -> String {
        let pair = STANDARD.encode(format!("{}:{}", self.id, self.secret));
        format!("Basic {pair}")
    }
}

/// Signs a person in on the page, and returns the cookie of the browser.
async fn browser_session(connection: &mut Connection, name: &str) -> anyhow::Result<String> {
    let form = format!("username={name}&password={PASSWORD}");
    let carried = Carried {
        authorization: None,
        body: Some((&form, FORM)),
    };
    let answer = connection.send(Method::POST, "/sign-in", carried).await?;
    let mut cookies = answer.headers().get_all(SET_COOKIE).iter();
    let cookie = cookies.find_map(|it| it.to_str().ok()?.split(';').next());
    let cookie = cookie.with_context(|| format!("no cookie: {}", answer.status()))?;
    Ok(cookie.to_owned())
}

/// Signs a person in to an application: the authorization request of a browser that is signed in, and the exchange of the code. Both
/// requests use one connection.
struct SignIn {
    connection: Connection,
    /// The path and the query of the authorization request.
    path: String,
    /// The header of the application.
    authorization: String,
}

impl SignIn {
    fn of(connection: Connection, application: &Registered, scope: &str) -> Self {
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes()));
        let path = format!(
            "/oauth2/authorize?response_type=code&client_id={}&redirect_uri={CALLBACK}&scope={scope}\
             &resource={RESOURCE}&state=1&code_challenge={challenge}&code_challenge_method=S256",
            application.id
        );
        Self {
            connection,
            path,
            authorization: application.basic(),
        }
    }

    async fn tokens(&mut self) -> anyhow::Result<Value> {
        let nothing = Carried::default();
        let answer = self
            .connection
            .send(Method::GET, &self.path, nothing)
            .await?;
        let location = answer.headers().get(LOCATION);
        let location = location.and_then(|it| it.to_str().ok()).unwrap_or_default();
        let code = location.split_once("?code=");
        let code = code.and_then(|(_, rest)| rest.split('&').next());
        let code = code.with_context(|| format!("no code: {} {location}", answer.status()))?;
        let form = format!(
            "grant_type=authorization_code&code={code}&redirect_uri={CALLBACK}&code_verifier={VERIFIER}"
        );
        let carried = Carried {
            authorization: Some(&self.authorization),
            body: Some((&form, FORM)),
        };
        self.connection.succeed(Method::POST, TOKEN, carried).await
    }
}

impl Visitor for SignIn {
    fn connection(&mut self) -> Option<&mut Connection> {
        Some(&mut self.connection)
    }

    async fn visit(&mut self) -> anyhow::Result<()> {
        let tokens = self.tokens().await?;
        let has_id_token = tokens.get("id_token").is_some();
        ensure!(
            has_id_token == self.path.contains("scope=openid"),
            "{tokens}"
        );
        Ok(())
    }
}

/// Exchanges the refresh token of an application for the next one.
struct RefreshApplication {
    connection: Connection,
    authorization: String,
    token: String,
}

impl Visitor for RefreshApplication {
    fn connection(&mut self) -> Option<&mut Connection> {
        Some(&mut self.connection)
    }

    async fn visit(&mut self) -> anyhow::Result<()> {
        let form = format!("grant_type=refresh_token&refresh_token={}", self.token);
        let carried = Carried {
            authorization: Some(&self.authorization),
            body: Some((&form, FORM)),
        };
        let answer = self
            .connection
            .succeed(Method::POST, TOKEN, carried)
            .await?;
        self.token = text(&answer, "/refresh_token")?;
        Ok(())
    }
}
