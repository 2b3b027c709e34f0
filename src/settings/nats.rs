//! The settings about NATS, which belong together.

use anyhow::ensure;
use authlog_infrastructure::nats::{
    ClientCertificate, NatsAccess, NatsIdentity, NatsServers, StreamOptions,
};

use super::sources::Sources;

/// The fewest bytes to which a stream can be limited: some thousand events.
const LEAST_MAX_BYTES: i64 = 1_000_000;

/// Where to publish, and how the streams are made.
pub(crate) struct Nats {
    pub(crate) access: NatsAccess,
    pub(crate) stream: StreamOptions,
}

/// Settings that mean nothing without a server.
const NEED_A_SERVER: [&str; 9] = [
    "nats_max_bytes",
    "nats_nkey_file",
    "nats_credentials_file",
    "nats_client_certificate_file",
    "nats_client_key_file",
    "nats_ca_file",
    "nats_inbox_prefix",
    "nats_jetstream_domain",
    "nats_api_prefix",
];

impl Nats {
    /// Reads and checks them; `None` without a server.
    pub(super) fn from_sources(sources: &Sources) -> anyhow::Result<Option<Self>> {
        let servers = sources.optional(
            "nats_url",
            "a URL such as nats://127.0.0.1:4222, or the servers of one cluster, such as tls://user:password@a.example.com:4222,b.example.com:4222",
            NatsServers::parse,
        )?;
        let stream = StreamOptions {
            replicas: sources.parse("nats_replicas", "1, 3 or 5", 1, |text| {
                text.parse().ok().filter(|count| [1, 3, 5].contains(count))
            })?,
            max_bytes: sources.optional(
                "nats_max_bytes",
                "a number of bytes, at least 1000000",
                |text| text.parse().ok().filter(|bytes| *bytes >= LEAST_MAX_BYTES),
            )?,
        };
        let path = |name: &str| sources.text(name).map(Into::into);
        let identity = match (path("nats_nkey_file"), path("nats_credentials_file")) {
            (None, None) => None,
            (Some(nkey), None) => Some(NatsIdentity::NkeyFile(nkey)),
            (None, Some(credentials)) => Some(NatsIdentity::CredentialsFile(credentials)),
            (Some(_), Some(_)) => anyhow::bail!(
                "AUTHLOG_NATS_NKEY_FILE and AUTHLOG_NATS_CREDENTIALS_FILE are both set: set one of them"
            ),
        };
        let certificate = path("nats_client_certificate_file");
        let client_certificate = match (certificate, path("nats_client_key_file")) {
            (None, None) => None,
            (Some(certificate_file), Some(key_file)) => Some(ClientCertificate {
                certificate_file,
                key_file,
            }),
            _ => anyhow::bail!(
                "AUTHLOG_NATS_CLIENT_CERTIFICATE_FILE and AUTHLOG_NATS_CLIENT_KEY_FILE belong together: set both or none"
            ),
        };
        let inbox_prefix = sources.optional(
            "nats_inbox_prefix",
            "the beginning of a subject without wildcards, such as _INBOX_authlog",
            subject,
        )?;
        let domain = sources.optional(
            "nats_jetstream_domain",
            "the name of a domain, such as hub",
            |text| subject(text).filter(|domain| !domain.contains('.')),
        )?;
        let prefix = sources.optional(
            "nats_api_prefix",
            "the beginning of a subject without wildcards, such as $JS.hub.API",
            subject,
        )?;
        let api_prefix = match (domain, prefix) {
            (Some(_), Some(_)) => anyhow::bail!(
                "AUTHLOG_NATS_JETSTREAM_DOMAIN and AUTHLOG_NATS_API_PREFIX are both set: set one of them"
            ),
            (Some(domain), None) => Some(format!("$JS.{domain}.API")),
            (None, prefix) => prefix,
        };
        let Some(servers) = servers else {
            for name in NEED_A_SERVER {
                ensure!(
                    sources.text(name).is_none(),
                    "AUTHLOG_{} is set, but AUTHLOG_NATS_URL is not",
                    name.to_uppercase()
                );
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
            ca_file: path("nats_ca_file"),
            inbox_prefix,
            api_prefix,
            ..servers.into()
        };
        Ok(Some(Self { access, stream }))
    }
}

/// Tokens with dots between them, without wildcards or spaces.
fn subject(text: &str) -> Option<String> {
    let is_plain = |it: char| !it.is_whitespace() && !it.is_control() && !"*>".contains(it);
    let is_token = |token: &str| !token.is_empty() && token.chars().all(is_plain);
    text.split('.').all(is_token).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(settings: &[(&str, &str)]) -> anyhow::Result<Option<Nats>> {
        Nats::from_sources(&Sources::of_environment(settings))
    }

    const URL: (&str, &str) = ("AUTHLOG_NATS_URL", "nats://127.0.0.1");

    #[test]
    fn every_setting_reaches_the_connection() {
        let nats = load(&[
            URL,
            ("AUTHLOG_NATS_CREDENTIALS_FILE", "a.creds"),
            ("AUTHLOG_NATS_CLIENT_CERTIFICATE_FILE", "a.pem"),
            ("AUTHLOG_NATS_CLIENT_KEY_FILE", "a.key"),
            ("AUTHLOG_NATS_CA_FILE", "ca.pem"),
            ("AUTHLOG_NATS_INBOX_PREFIX", "_INBOX_authlog"),
            ("AUTHLOG_NATS_JETSTREAM_DOMAIN", "hub"),
            ("AUTHLOG_NATS_MAX_BYTES", "1000000"),
            ("AUTHLOG_NATS_REPLICAS", "3"),
        ]);
        let Nats { access, stream } = nats.unwrap().unwrap();
        assert!(matches!(
            access.identity,
            Some(NatsIdentity::CredentialsFile(file)) if file.ends_with("a.creds")
        ));
        let client = access.client_certificate.unwrap();
        assert!(client.certificate_file.ends_with("a.pem"));
        assert!(client.key_file.ends_with("a.key"));
        assert!(access.ca_file.unwrap().ends_with("ca.pem"));
        assert_eq!(access.inbox_prefix.unwrap(), "_INBOX_authlog");
        assert_eq!(access.api_prefix.unwrap(), "$JS.hub.API");
        assert_eq!((stream.replicas, stream.max_bytes), (3, Some(1_000_000)));
    }

    #[test]
    fn settings_that_contradict_each_other_are_named() {
        for (settings, named) in [
            (
                &[
                    URL,
                    ("AUTHLOG_NATS_NKEY_FILE", "a"),
                    ("AUTHLOG_NATS_CREDENTIALS_FILE", "b"),
                ][..],
                "AUTHLOG_NATS_CREDENTIALS_FILE",
            ),
            (
                &[URL, ("AUTHLOG_NATS_CLIENT_KEY_FILE", "a")],
                "AUTHLOG_NATS_CLIENT_CERTIFICATE_FILE",
            ),
            (
                &[
                    URL,
                    ("AUTHLOG_NATS_JETSTREAM_DOMAIN", "hub"),
                    ("AUTHLOG_NATS_API_PREFIX", "$JS.hub.API"),
                ],
                "AUTHLOG_NATS_API_PREFIX",
            ),
            (
                &[
                    ("AUTHLOG_NATS_URL", "nats://canary:canary@127.0.0.1"),
                    ("AUTHLOG_NATS_NKEY_FILE", "a"),
                ],
                "AUTHLOG_NATS_URL",
            ),
            (&[("AUTHLOG_NATS_NKEY_FILE", "a")], "AUTHLOG_NATS_NKEY_FILE"),
            (
                &[URL, ("AUTHLOG_NATS_INBOX_PREFIX", "_INBOX.>")],
                "AUTHLOG_NATS_INBOX_PREFIX",
            ),
            (
                &[URL, ("AUTHLOG_NATS_JETSTREAM_DOMAIN", "a.b")],
                "AUTHLOG_NATS_JETSTREAM_DOMAIN",
            ),
            (
                &[URL, ("AUTHLOG_NATS_MAX_BYTES", "1000")],
                "AUTHLOG_NATS_MAX_BYTES",
            ),
        ] {
            let error = format!("{:#}", load(settings).err().unwrap());
            assert!(error.contains(named), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
        assert!(load(&[]).unwrap().is_none());
    }
}
