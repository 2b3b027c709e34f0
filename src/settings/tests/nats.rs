//! Tests of the settings of NATS.

use authlog_infrastructure::nats::NatsIdentity;

use crate::settings::nats::Nats;
use crate::settings::sources::Sources;

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
