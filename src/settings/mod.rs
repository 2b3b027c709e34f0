//! Settings: flags, environment variables and an optional TOML file, in that order.

mod misspelt;
mod nats;
mod sources;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use authlog_api::{AllowedOrigins, StrictTransport, TrustedProxies};
use authlog_infrastructure::hashing::Argon2Parameters;
use authlog_infrastructure::postgres::PostgresServers;
use authlog_infrastructure::tokens::JwtAlgorithm;
use url::Url;

use nats::Nats;
pub(crate) use sources::Flags;
use sources::{Origin, Sources};

/// Everything that can be set, checked.
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    is_listen_set: bool,
    pub(crate) data_dir: PathBuf,
    pub(crate) database: Database,
    pub(crate) migrate: bool,
    /// How long after an upgrade nodes of the version before may run.
    pub(crate) upgrade_window: Duration,
    pub(crate) nats: Option<Nats>,
    pub(crate) smtp_url: Option<Url>,
    /// Certificates of authorities in addition to Mozilla's.
    pub(crate) smtp_ca_file: Option<PathBuf>,
    pub(crate) mail_from: String,
    pub(crate) public_url: Option<Url>,
    pub(crate) trusted_proxies: TrustedProxies,
    /// Which hosts browsers visit over HTTPS alone, if the public URL is https.
    pub(crate) hsts: StrictTransport,
    pub(crate) cors_origins: AllowedOrigins,
    /// Whether pages of these origins that are other sites than ours may use our cookies.
    pub(crate) cross_site_cookies: bool,
    pub(crate) max_connections: usize,
    /// How long requests are accepted after the first SIGTERM.
    pub(crate) shutdown_delay: Duration,
    pub(crate) master_key: MasterKeySource,
    pub(crate) checkpoint_file: Option<PathBuf>,
    /// The key that replaces it, while that goes on.
    pub(crate) new_master_key: Option<MasterKeySource>,
    pub(crate) rate_limit: bool,
    /// What signs tokens; without it the database keeps the algorithm that it has.
    pub(crate) jwt_algorithm: Option<JwtAlgorithm>,
    pub(crate) jwt_secret: Option<String>,
    pub(crate) password_min_length: usize,
    pub(crate) password_min_score: u8,
    pub(crate) verify_email: bool,
    pub(crate) require_verified_email: bool,
    pub(crate) session_lifetime: Duration,
    pub(crate) session_idle: Option<Duration>,
    pub(crate) argon2: Argon2Parameters,
    pub(crate) log: String,
    pub(crate) log_json: bool,
}

/// Where accounts and events are kept.
pub(crate) enum Database {
    /// A file in the data directory.
    Sqlite(PathBuf),
    /// A PostgreSQL server, or several of which one can be written to.
    Postgres(PostgresServers),
}

/// Where the master key comes from.
pub(crate) enum MasterKeySource {
    /// It was given.
    Given(String),
    /// It is in this file, which is made at the first start.
    File(PathBuf),
}

/// How long a password reset can be carried out: the contracts' README.
pub(crate) const RESET_LIFETIME: Duration = Duration::from_secs(30 * 60);

/// How long a link about an e-mail address is good: a mail that comes in the evening is read in the morning.
pub(crate) const VERIFICATION_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a session can go on unless something else is set: NIST SP 800-63B-4 §2.1.3, which asks for no more at AAL1.
const SESSION_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The longest time that requests are accepted after the first SIGTERM: balancers ask every few seconds whether a node
/// is ready.
const LONGEST_SHUTDOWN_DELAY: Duration = Duration::from_secs(5 * 60);

/// How long after an upgrade nodes of the version before may run unless something else is set: to replace nodes one by one
/// takes minutes.
const UPGRADE_WINDOW: Duration = Duration::from_secs(60 * 60);

/// How long a replaced refresh token is still taken: a client's retry after a lost answer takes a few seconds, a thief
/// who has the token needs to be faster than its owner. The ten seconds count from when the answer was due at the latest,
/// which is ten seconds after the request came (`authlog_api::Settings::request_timeout`).
pub(crate) const REFRESH_GRACE: Duration = Duration::from_secs(10 + 10);

impl Settings {
    /// Collects the settings from everywhere and checks each.
    ///
    /// # Errors
    /// The first that is wrong: which it is, where it was set, and what would be right.
    pub(crate) fn load(flags: Flags) -> anyhow::Result<Self> {
        Self::from_sources(&Sources::new(flags)?)
    }

    fn from_sources(sources: &Sources) -> anyhow::Result<Self> {
        let data_dir = PathBuf::from(sources.text("data_dir").unwrap_or("data"));
        let database = match sources.get("database_url") {
            None => Database::Sqlite(data_dir.join("authlog.db")),
            Some((url, origin)) => database(url, &origin)?,
        };
        let master_key = match (sources.text("master_key"), sources.text("master_key_file")) {
            (Some(key), _) => MasterKeySource::Given(key.to_owned()),
            (None, Some(path)) => MasterKeySource::File(path.into()),
            (None, None) => MasterKeySource::File(data_dir.join("master.key")),
        };
        let new_key = sources.text("new_master_key");
        let new_key_file = sources.text("new_master_key_file");
        let new_master_key = match (new_key, new_key_file) {
            (Some(key), _) => Some(MasterKeySource::Given(key.to_owned())),
            (None, Some(path)) => Some(MasterKeySource::File(path.into())),
            (None, None) => None,
        };
        let argon2_default = Argon2Parameters::default();
        let jwt_algorithm =
            sources.optional("jwt_algorithm", "ES256, RS256, EdDSA or HS256", |text| {
                text.parse().ok()
            })?;
        let settings = Self {
            listen: sources.parse(
                "listen",
                "an IP address and a port, such as 127.0.0.1:8080 or [::]:8080",
                SocketAddr::from(([127, 0, 0, 1], 8080)),
                |text| text.parse().ok(),
            )?,
            is_listen_set: sources.text("listen").is_some(),
            database,
            migrate: sources.switch("migrate", true)?,
            upgrade_window: sources.parse(
                "upgrade_window",
                "a time up to 365d, such as 10m or 2h",
                UPGRADE_WINDOW,
                session_time,
            )?,
            nats: Nats::from_sources(sources)?,
            smtp_url: sources.optional(
                "smtp_url",
                "a URL such as smtp://user:password@mail.example.com:587?tls=required or smtps://…",
                |text| {
                    let url = Url::parse(text).ok()?;
                    let known = matches!(url.scheme(), "smtp" | "smtps") && url.has_host();
                    known.then_some(url)
                },
            )?,
            smtp_ca_file: sources.text("smtp_ca_file").map(PathBuf::from),
            mail_from: sources.parse(
                "mail_from",
                "an e-mail address, such as accounts@example.com or Example <accounts@example.com>",
                "authlog@localhost.localdomain".to_owned(),
                sender,
            )?,
            public_url: sources.optional(
                "public_url",
                "the http or https URL under which people reach the service, such as https://auth.example.com or https://example.com/auth, without a query, a fragment, a user or a semicolon",
                public_url,
            )?,
            hsts: sources.parse(
                "hsts",
                "subdomains, host or off",
                StrictTransport::Subdomains,
                StrictTransport::parse,
            )?,
            trusted_proxies: sources.parse(
                "trusted_proxies",
                "addresses and networks with commas between them, such as 10.0.0.0/8, 192.0.2.7",
                TrustedProxies::default(),
                TrustedProxies::parse,
            )?,
            cors_origins: sources.parse(
                "cors_origins",
                "origins with commas between them, such as https://app.example.com; no path, no pattern",
                AllowedOrigins::default(),
                AllowedOrigins::parse,
            )?,
            cross_site_cookies: sources.parse(
                "cookie_same_site",
                "strict or none",
                false,
                |text| match text {
                    "strict" => Some(false),
                    "none" => Some(true),
                    _ => None,
                },
            )?,
            shutdown_delay: sources.parse(
                "shutdown_delay",
                "a time up to 5m, such as 0s or 15s",
                Duration::ZERO,
                |text| match text {
                    "0" | "0s" => Some(Duration::ZERO),
                    text => session_time(text).filter(|delay| *delay <= LONGEST_SHUTDOWN_DELAY),
                },
            )?,
            max_connections: sources.parse(
                "max_connections",
                "a number of connections from 8 to 1000000",
                10_000,
                |text| text.parse().ok().filter(|most| (8..=1_000_000).contains(most)),
            )?,
            master_key,
            checkpoint_file: sources.text("checkpoint_file").map(PathBuf::from),
            new_master_key,
            rate_limit: sources.switch("rate_limit", true)?,
            jwt_algorithm,
            jwt_secret: sources.optional(
                "jwt_secret",
                "at least 32 bytes, as `openssl rand -base64 48` prints them",
                |text| (text.len() >= 32).then(|| text.to_owned()),
            )?,
            password_min_length: sources.parse(
                "password_min_length",
                "a number of characters from 1 to 64",
                7,
                |text| text.parse().ok().filter(|length| (1..=64).contains(length)),
            )?,
            password_min_score: sources.parse(
                "password_min_score",
                "a zxcvbn score from 0 (anything) to 4 (very hard to guess)",
                0,
                |text| text.parse().ok().filter(|score| *score <= 4),
            )?,
            verify_email: sources.switch("verify_email", false)?,
            require_verified_email: sources.switch("require_verified_email", false)?,
            session_lifetime: sources.parse(
                "session_lifetime",
                "a time up to 365d, such as 12h or 30d",
                SESSION_LIFETIME,
                session_time,
            )?,
            session_idle: sources.optional(
                "session_idle",
                "a time such as 45m, 12h or 7d",
                session_time,
            )?,
            argon2: Argon2Parameters {
                memory_kib: sources.parse(
                    "argon2_memory_kib",
                    "a number of KiB from 8 to 1048576",
                    argon2_default.memory_kib,
                    |text| {
                        let memory = text.parse().ok()?;
                        (8..=1_048_576).contains(&memory).then_some(memory)
                    },
                )?,
                iterations: sources.parse(
                    "argon2_iterations",
                    "a number from 1 to 100",
                    argon2_default.iterations,
                    |text| text.parse().ok().filter(|times| (1..=100).contains(times)),
                )?,
                ..argon2_default
            },
            log: sources.text("log").unwrap_or("info").to_owned(),
            log_json: sources.parse("log_format", "text or json", false, |text| match text {
                "text" => Some(false),
                "json" => Some(true),
                _ => None,
            })?,
            data_dir,
        };
        settings.check_together()?;
        Ok(settings)
    }

    /// Checks what no setting shows by itself.
    fn check_together(&self) -> anyhow::Result<()> {
        let is_encrypted =
            |url: &Url| url.scheme() == "smtps" || url.query_pairs().any(|(name, _)| name == "tls");
        anyhow::ensure!(
            self.smtp_ca_file.is_none() || self.smtp_url.as_ref().is_some_and(is_encrypted),
            "AUTHLOG_SMTP_CA_FILE is set, but AUTHLOG_SMTP_URL names no server that is spoken to with TLS: write smtps://… or smtp://…?tls=required"
        );
        let is_https = |url: &Url| url.scheme() == "https";
        anyhow::ensure!(
            !self.cross_site_cookies
                || self.public_url.as_ref().is_some_and(is_https) && !self.cors_origins.are_none(),
            "AUTHLOG_COOKIE_SAME_SITE is none, which needs AUTHLOG_PUBLIC_URL=https://… (browsers keep such a cookie over HTTPS alone) and AUTHLOG_CORS_ORIGINS (the sites whose pages may use it)"
        );
        let shared = self.jwt_algorithm == Some(JwtAlgorithm::Hs256);
        anyhow::ensure!(
            !shared || self.jwt_secret.is_some(),
            "AUTHLOG_JWT_ALGORITHM is HS256, which needs AUTHLOG_JWT_SECRET: the secret that clients share, at least 32 bytes"
        );
        anyhow::ensure!(
            shared || self.jwt_secret.is_none(),
            "AUTHLOG_JWT_SECRET is set, but AUTHLOG_JWT_ALGORITHM is not HS256: a shared secret serves that algorithm alone"
        );
        Ok(())
    }

    /// What the settings do that was most likely not meant.
    pub(crate) fn doubts(&self) -> Vec<String> {
        let mut doubts = misspelt::doubts(std::env::vars_os());
        doubts.extend(self.unheard_port(std::env::var("PORT").ok()));
        if self.listen.ip().is_unspecified() && self.public_url.is_none() {
            doubts.push(format!(
                "AUTHLOG_LISTEN is {}, but AUTHLOG_PUBLIC_URL is not set: links in mails will lead nowhere, and cookies \
                 are not Secure",
                self.listen
            ));
        }
        let secret = self.jwt_secret.as_deref();
        if secret.is_some_and(|secret| secret.trim() != secret) {
            doubts.push(
                "AUTHLOG_JWT_SECRET begins or ends with a space or a line break, which is a part of the secret; clients \
                 that verify tokens need it as well"
                    .to_owned(),
            );
        }
        doubts
    }

    /// Platforms say by `PORT` where they expect a service. Others set it for programs of theirs, so it is not followed.
    fn unheard_port(&self, port: Option<String>) -> Option<String> {
        let port: u16 = port?.trim().parse().ok()?;
        (!self.is_listen_set && port != self.listen.port()).then(|| {
            format!(
                "PORT is {port}, but AUTHLOG_LISTEN is not set and the service listens on {}: set AUTHLOG_LISTEN=0.0.0.0:{port} if \
                 your platform expects it there",
                self.listen
            )
        })
    }

    /// Makes the data directory, for its owner alone, if it is not there.
    pub(crate) fn make_data_dir(&self) -> anyhow::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.data_dir)
            .with_context(|| {
                format!(
                    "AUTHLOG_DATA_DIR: the directory {} cannot be made",
                    self.data_dir.display()
                )
            })
    }
}

/// A time in seconds, minutes, hours or days, up to a year.
fn session_time(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return None,
    };
    let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let total = count.checked_mul(seconds)?;
    (1..=365 * 24 * 60 * 60)
        .contains(&total)
        .then(|| Duration::from_secs(total))
}

/// A URL to which paths can be appended, and whose path a cookie can have (RFC 6265 §4.1.1).
fn public_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_base = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && !url.path().contains(';');
    is_base.then_some(url)
}

/// An address, or a name and an address in angle brackets.
fn sender(text: &str) -> Option<String> {
    let address = match text.strip_suffix('>') {
        Some(named) => named.rsplit_once('<')?.1,
        None => text,
    };
    authlog_domain::Email::parse(address).ok()?;
    Some(text.to_owned())
}

fn database(url: &str, origin: &Origin) -> anyhow::Result<Database> {
    let wrong = || {
        // The URL may hold a password: it is not repeated.
        format!(
            "{origin} is not right: it should be postgres://user@host/database, postgres://user@host1:port,host2:port/database, or sqlite:<file>"
        )
    };
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        anyhow::ensure!(!path.is_empty(), wrong());
        return Ok(Database::Sqlite(path.into()));
    }
    let servers = PostgresServers::parse(url).with_context(wrong)?;
    Ok(Database::Postgres(servers))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(settings: &[(&str, &str)]) -> anyhow::Result<Settings> {
        Settings::from_sources(&Sources::of_environment(settings))
    }

    #[test]
    fn without_any_setting_everything_is_in_the_data_directory() {
        let settings = load(&[]).unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
        assert!(
            matches!(&settings.database, Database::Sqlite(path) if path.ends_with("data/authlog.db"))
        );
        assert!(settings.rate_limit && settings.migrate);
        assert_eq!(settings.password_min_length, 7);
    }

    #[test]
    fn a_wrong_setting_is_named_with_what_would_be_right() {
        for (name, wrong, right) in [
            ("AUTHLOG_LISTEN", "localhost", "127.0.0.1:8080"),
            ("AUTHLOG_RATE_LIMIT", "maybe", "on or off"),
            ("AUTHLOG_JWT_ALGORITHM", "none", "EdDSA"),
            ("AUTHLOG_HSTS", "on", "subdomains, host or off"),
            ("AUTHLOG_PASSWORD_MIN_SCORE", "5", "0 (anything) to 4"),
            ("AUTHLOG_PUBLIC_URL", "auth.example.com", "https://"),
            (
                "AUTHLOG_PUBLIC_URL",
                "https://a.example?x=1",
                "without a query",
            ),
            (
                "AUTHLOG_PUBLIC_URL",
                "https://a.example/a?",
                "without a query",
            ),
            ("AUTHLOG_PUBLIC_URL", "https://a.example/#x", "a fragment"),
            ("AUTHLOG_PUBLIC_URL", "https://ann@a.example", "a user"),
            ("AUTHLOG_PUBLIC_URL", "https://a.example/a;b", "a semicolon"),
            ("AUTHLOG_COOKIE_SAME_SITE", "lax", "strict or none"),
            ("AUTHLOG_SHUTDOWN_DELAY", "6m", "up to 5m"),
            ("AUTHLOG_SMTP_URL", "http://mail", "smtp://"),
            ("AUTHLOG_DATABASE_URL", "mysql://db", "postgres://"),
            ("AUTHLOG_ARGON2_MEMORY_KIB", "-1", "KiB"),
            ("AUTHLOG_SESSION_LIFETIME", "30", "30d"),
            ("AUTHLOG_SESSION_LIFETIME", "366d", "365d"),
            ("AUTHLOG_SESSION_IDLE", "0m", "45m"),
            ("AUTHLOG_REQUIRE_VERIFIED_EMAIL", "perhaps", "on or off"),
        ] {
            let error = format!("{:#}", load(&[(name, wrong)]).err().unwrap());
            assert!(error.contains(name), "{error}");
            assert!(error.contains(right), "{error}");
        }
    }

    #[test]
    fn a_secret_is_never_repeated_in_an_error() {
        for name in [
            "AUTHLOG_DATABASE_URL",
            "AUTHLOG_JWT_SECRET",
            "AUTHLOG_SMTP_URL",
        ] {
            let error = format!("{:#}", load(&[(name, "x://canary")]).err().unwrap());
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn cookies_for_other_sites_need_https_and_the_names_of_these_sites() {
        let with = |settings: &[(&str, &str)]| {
            let same_site = [("AUTHLOG_COOKIE_SAME_SITE", "none")];
            load(&[&same_site, settings].concat())
        };
        let url = ("AUTHLOG_PUBLIC_URL", "https://auth.example.com");
        let sites = ("AUTHLOG_CORS_ORIGINS", "https://app.example.org");
        for settings in [
            &[][..],
            &[url],
            &[sites],
            &[("AUTHLOG_PUBLIC_URL", "http://auth.example.com"), sites],
        ] {
            let error = format!("{:#}", with(settings).err().unwrap());
            assert!(error.contains("AUTHLOG_COOKIE_SAME_SITE"), "{error}");
        }
        assert!(with(&[url, sites]).unwrap().cross_site_cookies);
        assert!(!load(&[url, sites]).unwrap().cross_site_cookies);
    }

    #[test]
    fn the_authority_of_a_mail_server_goes_with_tls_alone() {
        let with = |url: &str| {
            load(&[
                ("AUTHLOG_SMTP_CA_FILE", "ca.pem"),
                ("AUTHLOG_SMTP_URL", url),
            ])
        };
        assert!(load(&[("AUTHLOG_SMTP_CA_FILE", "ca.pem")]).is_err());
        assert!(with("smtp://mail.example").is_err());
        assert!(with("smtp://mail.example?tls=required").is_ok());
        assert!(with("smtps://mail.example").is_ok());
    }

    #[test]
    fn a_secret_that_ends_with_a_line_break_is_taken_as_it_is_and_warned_about() {
        let doubts = |secret: &str| {
            let settings = load(&[
                ("AUTHLOG_JWT_ALGORITHM", "HS256"),
                ("AUTHLOG_JWT_SECRET", secret),
            ]);
            let settings = settings.unwrap();
            assert_eq!(settings.jwt_secret.as_deref(), Some(secret));
            let doubts = settings.doubts().into_iter();
            doubts
                .filter(|it| it.contains("AUTHLOG_JWT_SECRET"))
                .count()
        };
        assert_eq!(doubts("0123456789abcdef0123456789abcdef"), 0);
        assert_eq!(doubts("0123456789abcdef0123456789abcdef\n"), 1);
    }

    #[test]
    fn a_port_of_the_platform_is_warned_about_where_another_is_listened_on() {
        let doubt = |settings: &[(&str, &str)], port: &str| {
            let settings = load(settings).unwrap();
            settings.unheard_port(Some(port.to_owned()))
        };
        let warned = doubt(&[], "3000").unwrap();
        assert!(warned.contains("AUTHLOG_LISTEN=0.0.0.0:3000"), "{warned}");
        assert!(doubt(&[], "8080").is_none());
        assert!(doubt(&[], "tcp://10.0.0.1:80").is_none());
        assert!(doubt(&[("AUTHLOG_LISTEN", "127.0.0.1:1")], "3000").is_none());
    }

    #[test]
    fn a_shared_secret_goes_with_its_algorithm_alone() {
        let secret = "0123456789abcdef0123456789abcdef";
        assert!(load(&[("AUTHLOG_JWT_ALGORITHM", "HS256")]).is_err());
        assert!(load(&[("AUTHLOG_JWT_SECRET", secret)]).is_err());
        let both = [
            ("AUTHLOG_JWT_ALGORITHM", "HS256"),
            ("AUTHLOG_JWT_SECRET", secret),
        ];
        assert!(load(&both).is_ok());
    }
}
