//! Where settings come from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

/// Every setting that can be given as a flag; secrets cannot, because command lines are public.
const FLAGS: [&str; 41] = [
    "listen",
    "data_dir",
    "database_url",
    "migrate",
    "upgrade_window",
    "nats_url",
    "nats_replicas",
    "nats_max_bytes",
    "nats_nkey_file",
    "nats_credentials_file",
    "nats_client_certificate_file",
    "nats_client_key_file",
    "nats_ca_file",
    "nats_inbox_prefix",
    "nats_jetstream_domain",
    "nats_api_prefix",
    "smtp_url",
    "smtp_ca_file",
    "mail_from",
    "public_url",
    "hsts",
    "trusted_proxies",
    "cors_origins",
    "cookie_same_site",
    "max_connections",
    "shutdown_delay",
    "master_key_file",
    "checkpoint_file",
    "new_master_key_file",
    "rate_limit",
    "jwt_algorithm",
    "password_min_length",
    "password_min_score",
    "verify_email",
    "require_verified_email",
    "session_lifetime",
    "session_idle",
    "argon2_memory_kib",
    "argon2_iterations",
    "log",
    "log_format",
];

/// Settings that only the environment and the file can give.
const SECRETS: [&str; 3] = ["master_key", "new_master_key", "jwt_secret"];

/// Settings whose wrong values are not repeated in errors: they may hold a password.
const UNREPEATABLE: [&str; 6] = [
    "database_url",
    "nats_url",
    "smtp_url",
    "master_key",
    "new_master_key",
    "jwt_secret",
];

/// Settings as flags. Each can also be an environment variable (`--data-dir` is `AUTHLOG_DATA_DIR`) or a line of the
/// settings file (`data_dir`); a flag comes before the environment, and that before the file.
#[derive(Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Flags {
    /// TOML file with settings (or AUTHLOG_CONFIG)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to serve on [127.0.0.1:8080]
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Directory for the SQLite file, the master key and mail [data]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,
    /// postgres://…, of several servers with commas, or sqlite:<file> [SQLite in the data directory]
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// Whether to migrate PostgreSQL at the start: on or off [on]
    #[arg(long, global = true, value_name = "SWITCH")]
    migrate: Option<String>,
    /// How long after an upgrade nodes of the version before may run on PostgreSQL, such as 10m [1h]
    #[arg(long, global = true, value_name = "TIME")]
    upgrade_window: Option<String>,
    /// NATS servers with JetStream to publish events to, with commas [events wait in the log]
    #[arg(long, global = true, value_name = "URL")]
    nats_url: Option<String>,
    /// How many NATS servers keep each stream, if it is made: 1, 3 or 5 [1]
    #[arg(long, global = true, value_name = "NUMBER")]
    nats_replicas: Option<String>,
    /// How many bytes each stream may take, if it is made; a full one takes no more [no limit]
    #[arg(long, global = true, value_name = "NUMBER")]
    nats_max_bytes: Option<String>,
    /// File with the seed of a NATS user's nkey [none]
    #[arg(long, global = true, value_name = "FILE")]
    nats_nkey_file: Option<String>,
    /// File with a NATS user's JWT and seed, as nsc makes them (.creds) [none]
    #[arg(long, global = true, value_name = "FILE")]
    nats_credentials_file: Option<String>,
    /// PEM file with the certificate that the NATS server may ask for [none]
    #[arg(long, global = true, value_name = "FILE")]
    nats_client_certificate_file: Option<String>,
    /// PEM file with its private key [none]
    #[arg(long, global = true, value_name = "FILE")]
    nats_client_key_file: Option<String>,
    /// PEM file with authorities that the NATS server's certificate may be signed by [the system's]
    #[arg(long, global = true, value_name = "FILE")]
    nats_ca_file: Option<String>,
    /// Beginning of the subjects on which NATS answers [_INBOX]
    #[arg(long, global = true, value_name = "SUBJECT")]
    nats_inbox_prefix: Option<String>,
    /// Domain of JetStream, where it is not the server's own [none]
    #[arg(long, global = true, value_name = "NAME")]
    nats_jetstream_domain: Option<String>,
    /// Prefix of JetStream's API, as an import of another account has it [$JS.API]
    #[arg(long, global = true, value_name = "SUBJECT")]
    nats_api_prefix: Option<String>,
    /// Mail server, smtp://… or smtps://… [mail becomes files]
    #[arg(long, global = true, value_name = "URL")]
    smtp_url: Option<String>,
    /// PEM file with authorities that the mail server's certificate may be signed by, in addition to Mozilla's [none]
    #[arg(long, global = true, value_name = "FILE")]
    smtp_ca_file: Option<String>,
    /// Sender of mail [authlog@localhost.localdomain]
    #[arg(long, global = true, value_name = "ADDRESS")]
    mail_from: Option<String>,
    /// URL under which people reach the service; https makes cookies Secure [http:// and the listening address]
    #[arg(long, global = true, value_name = "URL")]
    public_url: Option<String>,
    /// Hosts that browsers visit over HTTPS alone, if the public URL is https: subdomains, host or off [subdomains]
    #[arg(long, global = true, value_name = "HOSTS")]
    hsts: Option<String>,
    /// Proxies that are believed to say for whom they ask: addresses and networks, with commas [none]
    #[arg(long, global = true, value_name = "NETWORKS")]
    trusted_proxies: Option<String>,
    /// Sites whose pages may call from a browser, such as https://app.example.com, with commas [none]
    #[arg(long, global = true, value_name = "ORIGINS")]
    cors_origins: Option<String>,
    /// Whether pages of AUTHLOG_CORS_ORIGINS that are other sites use the refresh cookie: strict (they do not) or none [strict]
    #[arg(long, global = true, value_name = "NAME")]
    cookie_same_site: Option<String>,
    /// Connections held at a time; one client may have a quarter of them [10000]
    #[arg(long, global = true, value_name = "NUMBER")]
    max_connections: Option<String>,
    /// How long requests are accepted after SIGTERM, while /readyz answers 503, such as 15s [0s]
    #[arg(long, global = true, value_name = "TIME")]
    shutdown_delay: Option<String>,
    /// File with the master key, made at the first start [master.key in the data directory]
    #[arg(long, global = true, value_name = "FILE")]
    master_key_file: Option<String>,
    /// File to which signed checkpoints of the log are appended [none]
    #[arg(long, global = true, value_name = "FILE")]
    checkpoint_file: Option<String>,
    /// File with the key that is replacing the master key, while `keys rotate-master` goes on [none]
    #[arg(long, global = true, value_name = "FILE")]
    new_master_key_file: Option<String>,
    /// Limits on guessing and flooding: on or off [on]
    #[arg(long, global = true, value_name = "SWITCH")]
    rate_limit: Option<String>,
    /// What signs tokens: ES256, RS256, EdDSA or HS256 [as the database has it; ES256 in a new one]
    #[arg(long, global = true, value_name = "NAME")]
    jwt_algorithm: Option<String>,
    /// Fewest characters of a new password [7]
    #[arg(long, global = true, value_name = "NUMBER")]
    password_min_length: Option<String>,
    /// Least zxcvbn score of a new password, 0 to 4 [0]
    #[arg(long, global = true, value_name = "NUMBER")]
    password_min_score: Option<String>,
    /// Whether to mail a link at the registration that confirms the e-mail address: on or off [off]
    #[arg(long, global = true, value_name = "SWITCH")]
    verify_email: Option<String>,
    /// Whether nobody can sign in before that link was followed: on or off [off]
    #[arg(long, global = true, value_name = "SWITCH")]
    require_verified_email: Option<String>,
    /// How long a session can go on, however often it is refreshed [30d]
    #[arg(long, global = true, value_name = "TIME")]
    session_lifetime: Option<String>,
    /// How long a session can go without a refresh [as long as its refresh token is good]
    #[arg(long, global = true, value_name = "TIME")]
    session_idle: Option<String>,
    /// Memory of one password hash, in KiB [19456]
    #[arg(long, global = true, value_name = "NUMBER")]
    argon2_memory_kib: Option<String>,
    /// Passes of one password hash [2]
    #[arg(long, global = true, value_name = "NUMBER")]
    argon2_iterations: Option<String>,
    /// What to log, as in RUST_LOG [info]
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    /// How to log: text or json [text]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl Flags {
    fn given(self) -> (Option<PathBuf>, BTreeMap<&'static str, String>) {
        let values = [
            self.listen,
            self.data_dir,
            self.database_url,
            self.migrate,
            self.upgrade_window,
            self.nats_url,
            self.nats_replicas,
            self.nats_max_bytes,
            self.nats_nkey_file,
            self.nats_credentials_file,
            self.nats_client_certificate_file,
            self.nats_client_key_file,
            self.nats_ca_file,
            self.nats_inbox_prefix,
            self.nats_jetstream_domain,
            self.nats_api_prefix,
            self.smtp_url,
            self.smtp_ca_file,
            self.mail_from,
            self.public_url,
            self.hsts,
            self.trusted_proxies,
            self.cors_origins,
            self.cookie_same_site,
            self.max_connections,
            self.shutdown_delay,
            self.master_key_file,
            self.checkpoint_file,
            self.new_master_key_file,
            self.rate_limit,
            self.jwt_algorithm,
            self.password_min_length,
            self.password_min_score,
            self.verify_email,
            self.require_verified_email,
            self.session_lifetime,
            self.session_idle,
            self.argon2_memory_kib,
            self.argon2_iterations,
            self.log,
            self.log_format,
        ];
        let given = FLAGS
            .into_iter()
            .zip(values)
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        (self.config, given)
    }
}

/// Where one setting was set, in words for its owner.
#[derive(Clone)]
pub(super) enum Origin {
    Flag(&'static str),
    Environment(String),
    File(&'static str),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{}", name.replace('_', "-")),
            Self::Environment(variable) => f.write_str(variable),
            Self::File(name) => write!(f, "{name} in the settings file"),
        }
    }
}

/// Every environment variable that sets something.
pub(super) fn known_variables() -> Vec<String> {
    let settings = FLAGS.into_iter().chain(SECRETS).chain(["config"]);
    settings.map(variable).collect()
}

/// The environment variable of a setting.
fn variable(name: &str) -> String {
    format!("AUTHLOG_{}", name.to_uppercase())
}

/// What was set, and where.
pub(super) struct Sources(BTreeMap<&'static str, (String, Origin)>);

impl Sources {
    pub(super) fn new(flags: Flags) -> anyhow::Result<Self> {
        let (config, flags) = flags.given();
        let environment = |name: &str| std::env::var(name).ok();
        let config = config.or_else(|| environment("AUTHLOG_CONFIG").map(PathBuf::from));
        let file = config
            .as_deref()
            .map(read_file)
            .transpose()?
            .unwrap_or_default();
        Ok(Self::merge(flags, environment, file))
    }

    fn merge(
        flags: BTreeMap<&'static str, String>,
        environment: impl Fn(&str) -> Option<String>,
        file: BTreeMap<&'static str, String>,
    ) -> Self {
        let mut merged = BTreeMap::new();
        for (name, value) in file {
            merged.insert(name, (value, Origin::File(name)));
        }
        for name in FLAGS.into_iter().chain(SECRETS) {
            // Platforms that provide a database usually say where under this name.
            let usual = (name == "database_url").then_some("DATABASE_URL");
            for variable in usual.into_iter().map(str::to_owned).chain([variable(name)]) {
                // An empty variable is how many tools unset one.
                if let Some(value) = environment(&variable).filter(|value| !value.is_empty()) {
                    merged.insert(name, (value, Origin::Environment(variable)));
                }
            }
        }
        for (name, value) in flags {
            merged.insert(name, (value, Origin::Flag(name)));
        }
        Self(merged)
    }

    #[cfg(test)]
    pub(super) fn of_environment(variables: &[(&str, &str)]) -> Self {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name)?;
            Some(found.1.to_owned())
        };
        Self::merge(BTreeMap::new(), lookup, BTreeMap::new())
    }

    pub(super) fn get(&self, name: &str) -> Option<(&str, Origin)> {
        let (value, origin) = self.0.get(name)?;
        Some((value, origin.clone()))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).map(|(value, _)| value)
    }

    /// The setting, if it was set; `expected` says in an error what would be right.
    pub(super) fn optional<T>(
        &self,
        name: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> anyhow::Result<Option<T>> {
        let Some((text, origin)) = self.get(name) else {
            return Ok(None);
        };
        let value = parse(text).with_context(|| {
            if UNREPEATABLE.contains(&name) {
                format!("{origin} is not right: it should be {expected}")
            } else {
                format!("{origin} is {text:?}, but it should be {expected}")
            }
        })?;
        Ok(Some(value))
    }

    pub(super) fn parse<T>(
        &self,
        name: &str,
        expected: &str,
        default: T,
        parse: impl Fn(&str) -> Option<T>,
    ) -> anyhow::Result<T> {
        Ok(self.optional(name, expected, parse)?.unwrap_or(default))
    }

    pub(super) fn switch(&self, name: &str, default: bool) -> anyhow::Result<bool> {
        self.parse(name, "on or off", default, |text| match text {
            "on" | "true" | "1" => Some(true),
            "off" | "false" | "0" => Some(false),
            _ => None,
        })
    }
}

/// Reads the settings file. A name that is no setting is an error: it is most likely misspelt.
fn read_file(path: &Path) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the settings file {} cannot be read", path.display()))?;
    parse_file(&text).with_context(|| format!("the settings file {}", path.display()))
}

fn parse_file(text: &str) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let table: toml::Table = text.parse()?;
    let mut settings = BTreeMap::new();
    for (name, value) in table {
        let known = FLAGS
            .into_iter()
            .chain(SECRETS)
            .find(|known| *known == name);
        let known = known.with_context(|| format!("there is no setting called {name:?}"))?;
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(switch) => switch.to_string(),
            _ => anyhow::bail!("{name} should be a text, a whole number, true or false"),
        };
        settings.insert(known, value);
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(value: &str) -> BTreeMap<&'static str, String> {
        BTreeMap::from([("listen", value.to_owned())])
    }

    #[test]
    fn a_flag_comes_before_the_environment_and_that_before_the_file() {
        let environment = |name: &str| (name == "AUTHLOG_LISTEN").then(|| "env".to_owned());
        let nothing = |_: &str| None;
        let value = |sources: Sources| sources.text("listen").map(str::to_owned);
        assert_eq!(
            value(Sources::merge(set("flag"), environment, set("file"))),
            Some("flag".to_owned())
        );
        assert_eq!(
            value(Sources::merge(BTreeMap::new(), environment, set("file"))),
            Some("env".to_owned())
        );
        assert_eq!(
            value(Sources::merge(BTreeMap::new(), nothing, set("file"))),
            Some("file".to_owned())
        );
    }

    #[test]
    fn our_own_variable_comes_before_the_usual_one_for_the_database() {
        let usual = Sources::of_environment(&[("DATABASE_URL", "postgres://usual")]);
        assert_eq!(usual.text("database_url"), Some("postgres://usual"));
        let both = Sources::of_environment(&[
            ("DATABASE_URL", "postgres://usual"),
            ("AUTHLOG_DATABASE_URL", "postgres://own"),
        ]);
        assert_eq!(both.text("database_url"), Some("postgres://own"));
    }

    #[test]
    fn every_setting_but_a_secret_is_a_flag() {
        use clap::CommandFactory as _;
        let command = crate::cli::Cli::command();
        let flags: Vec<_> = command
            .get_arguments()
            .filter_map(|it| it.get_long())
            .collect();
        for name in FLAGS {
            let flag = name.replace('_', "-");
            assert!(flags.contains(&flag.as_str()), "--{flag} is missing");
        }
        assert_eq!(command.get_positionals().count(), 0);
    }

    #[test]
    fn a_misspelt_line_of_the_file_is_an_error() {
        let error = parse_file("lisen = \"127.0.0.1:1\"").unwrap_err();
        assert!(error.to_string().contains("lisen"), "{error}");
        assert!(parse_file("listen = [1]").is_err());
        let read = parse_file("rate_limit = false\npassword_min_length = 12\n").unwrap();
        assert_eq!(read["rate_limit"], "false");
        assert_eq!(read["password_min_length"], "12");
    }

    #[test]
    fn the_example_file_names_every_setting_and_is_right() {
        let text = include_str!("../../docs/authlog.toml");
        let uncommented: String = text
            .lines()
            .filter_map(|line| line.strip_prefix("#").filter(|rest| !rest.starts_with(' ')))
            .map(|line| format!("{line}\n"))
            .collect();
        let settings = parse_file(&uncommented).unwrap();
        for name in FLAGS.into_iter().chain(SECRETS) {
            assert!(settings.contains_key(name), "{name} is missing");
        }
    }
}
