//! Settings of the connection to NATS and of the streams.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use authlog_infrastructure::nats::{
    ClientCertificate, NatsAccess, NatsIdentity, NatsServers, StreamOptions,
};

use super::declare::settings;
use super::format::{FILE, Format, number};
use super::sources::Sources;

/// Minimum of `AUTHLOG_NATS_MAX_BYTES`: room for some thousand events.
const LEAST_MAX_BYTES: i64 = 1_000_000;

/// Where to publish, and how the streams are made.
pub(crate) struct Nats {
    pub(crate) access: NatsAccess,
    pub(crate) stream: StreamOptions,
}

settings! {
    /// The settings from which [`Nats`] is made.
    pub(super) struct NatsSettings in "NATS settings" {
        /// NATS servers with JetStream to publish events to, separated by commas
        nats_url: Option<NatsServers> = SERVERS
            .holding_a_password()
            .optional("events stay in the log"),
        /// Number of NATS servers that keep each stream that is created: 1, 3 or 5
        nats_replicas: usize = REPLICAS.default("1"),
        /// Maximum size of each stream that is created, in bytes; a full stream takes no more events
        nats_max_bytes: Option<i64> = MAX_BYTES.optional("no limit"),
        /// File with the seed of a NATS user's nkey
        nats_nkey_file: Option<PathBuf> = FILE.optional("none"),
        /// File with a NATS user's JWT and seed, as nsc creates them (.creds)
        nats_credentials_file: Option<PathBuf> = FILE.optional("none"),
        /// PEM file with the client certificate for the NATS server
        nats_client_certificate_file: Option<PathBuf> = FILE.optional("none"),
        /// PEM file with the private key of the client certificate
        nats_client_key_file: Option<PathBuf> = FILE.optional("none"),
        /// PEM file with authorities that the NATS server's certificate may be signed by
        nats_ca_file: Option<PathBuf> = FILE.optional("the system's"),
        /// Prefix of the subjects on which NATS answers
        nats_inbox_prefix: Option<String> = INBOX_PREFIX.optional("_INBOX"),
        /// JetStream domain, if it is not the server's own
        nats_jetstream_domain: Option<String> = DOMAIN.optional("the server's own"),
        /// Prefix of the JetStream API, if it is imported from another account
        nats_api_prefix: Option<String> = API_PREFIX.optional("$JS.API"),
    }
}

const SERVERS: Format<NatsServers> = Format::new(
    "URL",
    "a URL such as nats://127.0.0.1:4222, or the servers of one cluster, such as tls://user:password@a.example.com:4222,b.example.com:4222",
    NatsServers::parse,
);

const REPLICAS: Format<usize> = Format::new("NUMBER", "1, 3 or 5", |text| {
    text.parse().ok().filter(|count| [1, 3, 5].contains(count))
});

const MAX_BYTES: Format<i64> =
    Format::new("NUMBER", "a number of bytes, at least 1000000", |text| {
        number(text, LEAST_MAX_BYTES..=i64::MAX)
    });

const INBOX_PREFIX: Format<String> = Format::new(
    "SUBJECT",
    "the beginning of a subject without wildcards, such as _INBOX_authlog",
    subject,
);

const DOMAIN: Format<String> = Format::new("NAME", "the name of a domain, such as hub", |text| {
    subject(text).filter(|domain| !domain.contains('.'))
});

const API_PREFIX: Format<String> = Format::new(
    "SUBJECT",
    "the beginning of a subject without wildcards, such as $JS.hub.API",
    subject,
);

/// Settings that may be set while publishing is off. Any other setting without `AUTHLOG_NATS_URL` is an error.
const WITHOUT_A_SERVER: [&str; 2] = ["nats_url", "nats_replicas"];

impl Nats {
    /// Reads the settings, and checks each by itself and all together; `None` if no server is set.
    ///
    /// # Errors
    /// A setting is not valid, or two contradict each other.
    pub(super) fn from_sources(sources: &Sources) -> anyhow::Result<Option<Self>> {
        let settings = NatsSettings::read(sources)?;
        let identity = settings.identity()?;
        let client_certificate = settings.client_certificate()?;
        let api_prefix = settings.api_prefix()?;
        let Some(servers) = settings.nats_url else {
            let mut others = NatsSettings::declarations().into_iter();
            let set = others
                .find(|it| !WITHOUT_A_SERVER.contains(&it.name) && sources.get(it.name).is_some());
            if let Some(set) = set {
                bail!("{} is set, but AUTHLOG_NATS_URL is not", set.variable());
            }
            return Ok(None);
        };
        ensure!(
            identity.is_none() || !servers.have_credentials(),
            "AUTHLOG_NATS_URL names a user or a token, and AUTHLOG_NATS_NKEY_FILE or AUTHLOG_NATS_CREDENTIALS_FILE is set: use one of them"
        );
        let access = NatsAccess {
            identity,
            client_certificate,
            ca_file: settings.nats_ca_file,
            inbox_prefix: settings.nats_inbox_prefix,
            api_prefix,
            ..servers.into()
        };
        let stream = StreamOptions {
            replicas: settings.nats_replicas,
            max_bytes: settings.nats_max_bytes,
        };
        Ok(Some(Self { access, stream }))
    }
}

impl NatsSettings {
    fn identity(&self) -> anyhow::Result<Option<NatsIdentity>> {
        let files = (
            self.nats_nkey_file.clone(),
            self.nats_credentials_file.clone(),
        );
        Ok(match files {
            (None, None) => None,
            (Some(nkey), None) => Some(NatsIdentity::NkeyFile(nkey)),
            (None, Some(credentials)) => Some(NatsIdentity::CredentialsFile(credentials)),
            (Some(_), Some(_)) => bail!(
                "AUTHLOG_NATS_NKEY_FILE and AUTHLOG_NATS_CREDENTIALS_FILE are both set: set one of them"
            ),
        })
    }

    fn client_certificate(&self) -> anyhow::Result<Option<ClientCertificate>> {
        let certificate = self.nats_client_certificate_file.clone();
        Ok(match (certificate, self.nats_client_key_file.clone()) {
            (None, None) => None,
            (Some(certificate_file), Some(key_file)) => Some(ClientCertificate {
                certificate_file,
                key_file,
            }),
            _ => bail!(
                "AUTHLOG_NATS_CLIENT_CERTIFICATE_FILE and AUTHLOG_NATS_CLIENT_KEY_FILE belong together: set both or none"
            ),
        })
    }

    fn api_prefix(&self) -> anyhow::Result<Option<String>> {
        let domain = self.nats_jetstream_domain.as_ref();
        Ok(match (domain, self.nats_api_prefix.clone()) {
            (Some(_), Some(_)) => bail!(
                "AUTHLOG_NATS_JETSTREAM_DOMAIN and AUTHLOG_NATS_API_PREFIX are both set: set one of them"
            ),
            (Some(domain), None) => Some(format!("$JS.{domain}.API")),
            (None, prefix) => prefix,
        })
    }
}

/// A NATS subject without wildcards: tokens that are separated by dots and contain no white space.
fn subject(text: &str) -> Option<String> {
    let is_plain = |it: char| !it.is_whitespace() && !it.is_control() && !"*>".contains(it);
    let is_token = |token: &str| !token.is_empty() && token.chars().all(is_plain);
    text.split('.').all(is_token).then(|| text.to_owned())
}
