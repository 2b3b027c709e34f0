//! Tests of single settings, of their combinations, and of errors and warnings.

mod documentation;
mod nats;

use super::{Database, Settings, Sources};

fn load(settings: &[(&str, &str)]) -> anyhow::Result<Settings> {
    Settings::from_sources(&Sources::of_environment(settings))
}

#[test]
fn without_any_setting_everything_is_in_the_data_directory() {
    let settings = load(&[]).unwrap();
    assert_eq!(settings.http.listen.to_string(), "127.0.0.1:8080");
    assert!(
        matches!(&settings.database, Database::Sqlite(path) if path.ends_with("data/authlog.db"))
    );
    assert!(settings.http.rate_limit && settings.storage.migrate);
    assert_eq!(settings.accounts.password_min_length, 7);
}

#[test]
fn an_error_names_the_setting_and_the_valid_values() {
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
fn cross_site_cookies_need_https_and_allowed_origins() {
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
    assert!(
        with(&[url, sites])
            .unwrap()
            .http
            .allows_cross_site_cookies()
    );
    assert!(
        !load(&[url, sites])
            .unwrap()
            .http
            .allows_cross_site_cookies()
    );
}

#[test]
fn a_certificate_authority_for_mail_needs_a_server_with_tls() {
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
fn a_secret_with_a_line_break_at_its_end_is_kept_and_causes_a_warning() {
    let warnings = |secret: &str| {
        let settings = load(&[
            ("AUTHLOG_JWT_ALGORITHM", "HS256"),
            ("AUTHLOG_JWT_SECRET", secret),
        ]);
        let settings = settings.unwrap();
        assert_eq!(settings.tokens.jwt_secret.as_deref(), Some(secret));
        let warnings = settings.warnings().into_iter();
        warnings
            .filter(|it| it.contains("AUTHLOG_JWT_SECRET"))
            .count()
    };
    assert_eq!(warnings("0123456789abcdef0123456789abcdef"), 0);
    assert_eq!(warnings("0123456789abcdef0123456789abcdef\n"), 1);
}

#[test]
fn a_port_of_the_platform_that_is_not_served_causes_a_warning() {
    let warning = |settings: &[(&str, &str)], port: &str| {
        let settings = load(settings).unwrap();
        settings.unused_port(Some(port.to_owned()))
    };
    let warned = warning(&[], "3000").unwrap();
    assert!(warned.contains("AUTHLOG_LISTEN=0.0.0.0:3000"), "{warned}");
    assert!(warning(&[], "8080").is_none());
    assert!(warning(&[], "tcp://10.0.0.1:80").is_none());
    assert!(warning(&[("AUTHLOG_LISTEN", "127.0.0.1:1")], "3000").is_none());
}

#[test]
fn a_shared_secret_needs_hs256_and_hs256_needs_a_shared_secret() {
    let secret = "0123456789abcdef0123456789abcdef";
    assert!(load(&[("AUTHLOG_JWT_ALGORITHM", "HS256")]).is_err());
    assert!(load(&[("AUTHLOG_JWT_SECRET", secret)]).is_err());
    let both = [
        ("AUTHLOG_JWT_ALGORITHM", "HS256"),
        ("AUTHLOG_JWT_SECRET", secret),
    ];
    assert!(load(&both).is_ok());
}
