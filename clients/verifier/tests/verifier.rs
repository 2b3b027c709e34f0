//! The verifier against a local issuer: what it accepts, what it refuses, and what it does with an issuer that answers wrongly.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, SystemTime};

use authlog_verifier::{
    Clock, Feed, OnStale, ProvidedToken, Refused, SystemClock, TimedOut, Verifier,
};
use jsonwebtoken::{Algorithm, Header};
use serde_json::{Value, json};
use support::{
    FEED_HEAD, Issuer, Key, LIMIT, Wrong, account, answer, eventually, ready, seconds, session,
};

fn refused(verifier: &Verifier, token: &str) -> Refused {
    verifier.verify_now(token).unwrap_err()
}

#[tokio::test]
async fn a_token_of_an_ended_session_is_refused_and_others_are_accepted() {
    let (issuer, key, verifier) = ready().await;
    let [ended, live] = [1, 2].map(|number| key.sign(&issuer.claims(number, 0)));
    for token in [&ended, &live] {
        let claims = verifier.verify(token).await.unwrap();
        assert_eq!(claims.issuer(), issuer.url);
        assert_eq!(claims.acr(), Some("urn:authlog:aal1"));
    }
    let index = issuer.log_out(1);
    verifier.wait_for(index, LIMIT).await.unwrap();
    assert_eq!(refused(&verifier, &ended), Refused::SessionEnded);
    assert!(verifier.verify_now(&live).is_ok());
    assert_eq!(verifier.log_index(), Some(index));
    let soon = Duration::from_millis(1);
    assert_eq!(verifier.wait_for(index + 1, soon).await, Err(TimedOut));
    let stats = verifier.stats();
    assert_eq!(stats.entries.sessions, 1);
    assert!(stats.cached >= 2);
    assert!(stats.refused.contains(&("session-ended", 1)));
}

#[tokio::test]
async fn every_kind_of_end_is_known_by_the_event_that_says_it() {
    let (issuer, key, verifier) = ready().await;
    let with = |number: u128, more: &Value| {
        let mut claims = issuer.claims(number, 3);
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        key.sign(&claims)
    };
    let own = |number: u128| {
        let secret = uuid::Uuid::from_u128(number);
        let mut claims = issuer.claims(number, 0);
        for gone in ["sid", "epoch", "role", "acr", "amr", "auth_time"] {
            claims.as_object_mut().unwrap().remove(gone);
        }
        claims["sub"] = json!(format!("client-{number}"));
        claims["client_id"] = claims["sub"].clone();
        claims["secret_id"] = json!(secret);
        key.sign(&claims)
    };
    let subject = |number: u128| account(number).to_string();
    let raised = json!({ "session_epoch": 4 });
    let kept = json!({ "session_epoch": 4, "kept_session_id": session(5) });
    let no_grants = json!({ "grants": ["authorization_code"] });
    let retired = json!({ "secret_id": uuid::Uuid::from_u128(9) });
    issuer.publish("user.locked", &subject(1), &raised);
    issuer.publish("user.erased", &subject(2), &raised);
    issuer.publish(
        "session.revoked",
        &subject(3),
        &json!({ "session_id": session(77) }),
    );
    issuer.publish("user.something-new", &subject(4), &raised);
    issuer.publish("user.password-changed", &subject(5), &kept);
    issuer.publish("client.locked", "client-6", &json!({}));
    issuer.publish("client.removed", "client-7", &json!({}));
    issuer.publish("client.changed", "client-8", &no_grants);
    let last = issuer.publish("client.secret-retired", "client-9", &retired);
    verifier.wait_for(last, LIMIT).await.unwrap();
    let parent = json!({ "psid": session(77) });
    let other_session = json!({ "sid": session(55), "psid": session(5) });
    for (token, expected) in [
        (with(1, &json!({})), Refused::EpochRaised),
        (with(2, &json!({ "epoch": 9 })), Refused::AccountErased),
        (with(3, &parent), Refused::SessionEnded),
        (with(4, &json!({})), Refused::EpochRaised),
        (with(5, &other_session), Refused::EpochRaised),
        (own(6), Refused::ClientLocked),
        (own(7), Refused::ClientRemoved),
        (own(8), Refused::ClientGrantRemoved),
        (own(9), Refused::SecretRetired),
    ] {
        assert_eq!(refused(&verifier, &token), expected);
    }
    for token in [
        with(1, &json!({ "epoch": 4 })),
        with(5, &json!({})),
        own(10),
        with(10, &json!({ "client_id": "client-8" })),
    ] {
        verifier.verify_now(&token).unwrap();
    }
    let last = issuer.publish("client.unlocked", "client-6", &json!({}));
    verifier.wait_for(last, LIMIT).await.unwrap();
    verifier.verify_now(&own(6)).unwrap();
}

#[tokio::test]
async fn no_token_is_accepted_before_all_news_were_read() {
    for on_stale in [OnStale::FailClosed, OnStale::LocalOnly] {
        let (issuer, key) = Issuer::start().await;
        issuer.is_silent.store(true, SeqCst);
        issuer.log_out(1);
        let builder = issuer.builder().max_staleness(LIMIT).on_stale(on_stale);
        let verifier = builder.start().unwrap();
        let token = key.sign(&issuer.claims(2, 0));
        eventually("the event is read", || verifier.stats().events == 1).await;
        assert_eq!(
            verifier.verify(&token).await.unwrap_err(),
            Refused::NotReady
        );
        assert!(!verifier.is_ready() && verifier.staleness().is_none());
        assert_eq!(verifier.log_index(), None);
        issuer.is_silent.store(false, SeqCst);
        tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
        assert!(verifier.verify(&token).await.is_ok());
        let ended = key.sign(&issuer.claims(1, 0));
        assert_eq!(refused(&verifier, &ended), Refused::SessionEnded);
    }
}

/// Clocks that the test sets ahead.
#[derive(Clone, Default)]
struct SetClock {
    system: SystemClock,
    ahead: Arc<std::sync::Mutex<(Duration, Duration)>>,
}

impl SetClock {
    /// Time passes at this machine, which no other one notices.
    fn pass(&self, duration: Duration) {
        let mut ahead = self.ahead.lock().unwrap();
        ahead.0 += duration;
        ahead.1 += duration;
    }

    fn set_wall_ahead(&self, duration: Duration) {
        self.ahead.lock().unwrap().0 = duration;
    }
}

impl Clock for SetClock {
    fn now(&self) -> SystemTime {
        self.system.now() + self.ahead.lock().unwrap().0
    }

    fn monotonic(&self) -> Duration {
        self.system.monotonic() + self.ahead.lock().unwrap().1
    }
}

#[tokio::test]
async fn news_that_are_too_old_refuse_tokens_or_not_as_the_setting_says() {
    for (on_stale, expected) in [
        (OnStale::FailClosed, Err(Refused::Stale)),
        (OnStale::LocalOnly, Ok(())),
    ] {
        let (issuer, key) = Issuer::start().await;
        let clock = SetClock::default();
        let builder = issuer.builder().max_staleness(Duration::from_secs(10));
        let verifier = builder.on_stale(on_stale).clock(clock.clone()).start();
        let verifier = verifier.unwrap();
        tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
        let index = issuer.log_out(1);
        verifier.wait_for(index, LIMIT).await.unwrap();
        let [ended, live] = [1, 2].map(|number| key.sign(&issuer.claims(number, 0)));
        assert!(verifier.verify_now(&live).is_ok());
        issuer.is_silent.store(true, SeqCst);
        clock.pass(Duration::from_secs(15));
        let verified = verifier.verify_now(&live).map(|_| ());
        assert_eq!(verified, expected);
        // What is known is more precise than what is not.
        assert_eq!(refused(&verifier, &ended), Refused::SessionEnded);
        assert!(verifier.staleness().unwrap() >= Duration::from_secs(15));
        // Another answer has another base, so a clock that jumped does not make the news old for ever.
        issuer.is_silent.store(false, SeqCst);
        issuer.hang_up();
        eventually("the deny list is current", || {
            verifier.staleness().unwrap() < Duration::from_secs(10)
        })
        .await;
        assert!(verifier.verify_now(&live).is_ok());
    }
}

#[tokio::test]
async fn a_token_expires_by_either_clock_and_no_later_than_it_says() {
    let (issuer, key) = Issuer::start().await;
    let clock = SetClock::default();
    let builder = issuer.builder().max_staleness(10 * LIMIT * 60);
    let verifier = builder.clock(clock.clone()).start().unwrap();
    tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
    let token = key.sign(&issuer.claims(1, 0));
    assert!(verifier.verify_now(&token).is_ok());
    clock.set_wall_ahead(Duration::from_secs(299 + 2));
    assert_eq!(
        refused(&verifier, &token),
        Refused::Expired,
        "also from the cache"
    );
    clock.set_wall_ahead(Duration::ZERO);
    assert!(verifier.verify_now(&token).is_ok());
    let with = |name: &str, value: i64| {
        let mut claims = issuer.claims(1, 0);
        claims[name] = json!(value);
        key.sign(&claims)
    };
    for (token, expected) in [
        (with("exp", seconds()), Refused::Expired),
        (with("exp", i64::MIN), Refused::Expired),
        (with("exp", i64::MAX), Refused::TooLongLived),
        (with("exp", seconds() + 86_500), Refused::TooLongLived),
        (with("iat", i64::MIN), Refused::TooLongLived),
        (with("iat", i64::MAX), Refused::NotYetValid),
        (with("iat", seconds() + 3700), Refused::NotYetValid),
        (with("nbf", seconds() + 100), Refused::NotYetValid),
        (with("nbf", i64::MAX), Refused::NotYetValid),
    ] {
        assert_eq!(refused(&verifier, &token), expected);
    }
    assert!(verifier.verify_now(&with("nbf", seconds() + 30)).is_ok());
    assert!(
        verifier
            .verify_now(&with("exp", seconds() + 86_400))
            .is_ok()
    );
}

#[tokio::test]
async fn a_clock_that_is_behind_does_not_let_tokens_live_longer() {
    /// Clocks of which the wall clock is ten minutes behind.
    struct Behind(SystemClock);

    impl Clock for Behind {
        fn now(&self) -> SystemTime {
            self.0.now() - Duration::from_secs(600)
        }

        fn monotonic(&self) -> Duration {
            self.0.monotonic()
        }
    }

    let (issuer, key) = Issuer::start().await;
    let http = httpdate::fmt_http_date(SystemClock::default().now());
    let keys = json!({ "keys": [key.jwk()] }).to_string();
    let dated = format!(
        "HTTP/1.1 200 OK\r\ndate: {http}\r\ncontent-length: {}\r\n\r\n{keys}",
        keys.len()
    );
    let hangs = false;
    let bytes = dated.into_bytes();
    *issuer.wrong_keys.lock().unwrap() = Some(Wrong { bytes, hangs });
    let builder = issuer.builder().max_staleness(LIMIT);
    let verifier = builder
        .clock(Behind(SystemClock::default()))
        .start()
        .unwrap();
    tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
    let mut claims = issuer.claims(1, 0);
    claims["exp"] = json!(seconds() - 5);
    claims["iat"] = json!(seconds() - 100);
    assert_eq!(refused(&verifier, &key.sign(&claims)), Refused::Expired);
    assert!(verifier.verify_now(&key.sign(&issuer.claims(1, 0))).is_ok());
}

fn assert_refused(verifier: &Verifier, tokens: impl IntoIterator<Item = (String, Refused)>) {
    for (token, expected) in tokens {
        let shown: String = token.chars().take(200).collect();
        assert_eq!(refused(verifier, &token), expected, "{shown}");
    }
}

#[tokio::test]
async fn a_clock_that_is_ahead_for_a_moment_revives_nothing() {
    let (issuer, key) = Issuer::start().await;
    let clock = SetClock::default();
    let builder = issuer.builder().on_stale(OnStale::LocalOnly);
    let verifier = builder.clock(clock.clone()).start().unwrap();
    tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
    let [first, second] = [1, 2].map(|number| key.sign(&issuer.claims(number, 0)));
    let index = issuer.log_out(1);
    verifier.wait_for(index, LIMIT).await.unwrap();
    clock.set_wall_ahead(Duration::from_secs(30 * 60 * 60));
    let index = issuer.log_out(2);
    verifier.wait_for(index, LIMIT).await.unwrap();
    // Longer than the time between two occasions to forget.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    clock.set_wall_ahead(Duration::ZERO);
    assert_eq!(refused(&verifier, &first), Refused::SessionEnded);
    assert_eq!(refused(&verifier, &second), Refused::SessionEnded);
    assert_eq!(verifier.stats().readings, 1);
}

#[tokio::test]
async fn what_was_read_under_a_clock_that_was_ahead_is_read_again() {
    let (issuer, key) = Issuer::start().await;
    let clock = SetClock::default();
    clock.set_wall_ahead(Duration::from_secs(30 * 60 * 60));
    let builder = issuer.builder().on_stale(OnStale::LocalOnly);
    let verifier = builder.clock(clock.clone()).start().unwrap();
    tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
    clock.set_wall_ahead(Duration::ZERO);
    let token = key.sign(&issuer.claims(1, 0));
    assert_eq!(refused(&verifier, &token), Refused::NotReady);
    eventually("all is read again", || verifier.verify_now(&token).is_ok()).await;
    assert_eq!(verifier.stats().readings, 2);
}

#[tokio::test]
async fn a_clock_that_jumps_makes_the_news_stale_until_it_is_connected_again() {
    let (issuer, key) = Issuer::start().await;
    let clock = SetClock::default();
    let builder = issuer.builder().max_staleness(LIMIT);
    let verifier = builder.clock(clock.clone()).start().unwrap();
    tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
    let mut claims = issuer.claims(1, 0);
    claims["exp"] = json!(seconds() + 20_000);
    let token = key.sign(&claims);
    let index = issuer.log_out(2);
    verifier.wait_for(index, LIMIT).await.unwrap();
    assert!(verifier.verify_now(&token).is_ok());
    // The machine was suspended, which the monotonic clock does not show. Its connection is still there.
    clock.set_wall_ahead(Duration::from_secs(3600));
    assert_eq!(refused(&verifier, &token), Refused::Stale);
    assert_eq!(verifier.stats().connections, 1);
    eventually("the deny list is current", || {
        verifier.verify_now(&token).is_ok()
    })
    .await;
    let stats = verifier.stats();
    assert_eq!((stats.connections, stats.readings), (2, 1));
    assert!(stats.trouble.unwrap().contains("suspended"));
    clock.set_wall_ahead(Duration::ZERO);
    assert!(verifier.verify_now(&token).is_ok());
    eventually("it is connected again", || {
        verifier.stats().connections == 3
    })
    .await;
    assert!(verifier.verify_now(&token).is_ok());
}

#[tokio::test]
async fn a_text_that_is_not_three_signed_parts_is_refused() {
    let (issuer, key, verifier) = ready().await;
    let claims = issuer.claims(1, 0);
    let good = key.sign(&claims);
    assert!(verifier.verify_now(&good).is_ok());
    let parts: Vec<_> = good.split('.').collect();
    let [header, body, signature] = parts[..] else {
        panic!("{good}");
    };
    let malformed = [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        format!("{good}.x"),
        format!("{good}="),
        format!("{good} "),
        format!("{header}.{body}"),
        "x".repeat(10_000_000),
        ".".repeat(8000),
        "\u{0}\u{ffff}".repeat(50),
    ];
    assert_refused(&verifier, malformed.map(|it| (it, Refused::Malformed)));
    let mut long = claims.clone();
    long["name"] = json!("x".repeat(8 * 1024));
    assert_refused(&verifier, [(key.sign(&long), Refused::Malformed)]);
    let unsigned = [
        format!("{header}.{body}."),
        format!("{header}..{signature}"),
        format!("{header}.{body}.AAAA"),
        Key::new("first").sign(&claims),
    ];
    assert_refused(&verifier, unsigned.map(|it| (it, Refused::Signature)));
}

#[tokio::test]
async fn a_header_that_is_not_of_an_access_token_is_refused() {
    let (issuer, key, verifier) = ready().await;
    let claims = issuer.claims(1, 0);
    let payload = claims.to_string();
    let raw = |header: &str| key.sign_raw(header.as_bytes(), payload.as_bytes());
    let with = |members: &str| {
        raw(&format!(
            r#"{{"typ":"at+jwt","alg":"ES256","kid":"first"{members}}}"#
        ))
    };
    assert!(
        verifier.verify_now(&with(r#","x":1"#)).is_ok(),
        "RFC 7515 §4"
    );
    let hmac = {
        // The public key as a shared secret (RFC 8725 §2.1).
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(key.kid.clone());
        let secret = jsonwebtoken::EncodingKey::from_secret(key.jwk().to_string().as_bytes());
        jsonwebtoken::encode(&header, &claims, &secret).unwrap()
    };
    let typ = |typ: &str| raw(&format!(r#"{{"typ":{typ},"alg":"ES256","kid":"first"}}"#));
    let tokens = [
        (typ(r#""rt+jwt""#), Refused::WrongType),
        (typ(r#""JWT""#), Refused::WrongType),
        (typ(r#""AT+JWT""#), Refused::WrongType),
        (typ("null"), Refused::WrongType),
        (typ("7"), Refused::Malformed),
        (hmac, Refused::Algorithm),
        (
            raw(r#"{"typ":"at+jwt","alg":"none","kid":"first"}"#),
            Refused::Algorithm,
        ),
        (
            raw(r#"{"typ":"at+jwt","alg":"RS256","kid":"first"}"#),
            Refused::Algorithm,
        ),
        (
            raw(r#"{"typ":"at+jwt","alg":"es256","kid":"first"}"#),
            Refused::Algorithm,
        ),
        (raw(r#"{"typ":"at+jwt","kid":"first"}"#), Refused::Algorithm),
        (
            raw(r#"{"typ":"at+jwt","alg":"ES256"}"#),
            Refused::UnknownKey,
        ),
        (
            raw(r#"{"typ":"at+jwt","alg":"ES256","kid":"x"}"#),
            Refused::UnknownKey,
        ),
        (with(r#","crit":["exp"]"#), Refused::Malformed),
        (with(r#","crit":[]"#), Refused::Malformed),
        (with(r#","jwk":{}"#), Refused::Malformed),
        (with(r#","jku":"http://x""#), Refused::Malformed),
        (with(r#","x5u":"http://x""#), Refused::Malformed),
        (with(r#","b64":false"#), Refused::Malformed),
        (with(r#","zip":"DEF""#), Refused::Malformed),
        (with(r#","typ":"at+jwt""#), Refused::Malformed),
        (raw(r#"["at+jwt","ES256","first"]"#), Refused::Malformed),
        (raw("{"), Refused::Malformed),
        (
            raw(&format!("{{\"x\":{}", "[".repeat(700))),
            Refused::Malformed,
        ),
    ];
    assert_refused(&verifier, tokens);
}

#[tokio::test]
async fn claims_that_are_not_of_an_access_token_are_refused() {
    let (issuer, key, verifier) = ready().await;
    let claims = issuer.claims(1, 0);
    let raw = |payload: &[u8]| {
        let header = br#"{"typ":"at+jwt","alg":"ES256","kid":"first"}"#;
        key.sign_raw(header, payload)
    };
    let deep = format!("{{\"iss\":{}", "[".repeat(4000));
    let double = claims
        .to_string()
        .replacen('{', r#"{"exp":99999999999,"#, 1);
    let payloads = [
        b"[]".as_slice(),
        b"null",
        b"",
        b"{\xff}",
        deep.as_bytes(),
        double.as_bytes(),
    ];
    assert_refused(&verifier, payloads.map(|it| (raw(it), Refused::Malformed)));
    let required = [
        "exp",
        "iat",
        "sub",
        "jti",
        "client_id",
        "aud",
        "iss",
        "sid",
        "epoch",
    ];
    let without = |name: &str| {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().remove(name);
        key.sign(&claims)
    };
    assert_refused(
        &verifier,
        required.map(|it| (without(it), Refused::Malformed)),
    );
    let with = |name: &str, value: &Value| {
        let mut claims = claims.clone();
        claims[name] = value.clone();
        key.sign(&claims)
    };
    let tokens = [
        ("sub", json!("ann"), Refused::Malformed),
        ("sid", json!(7), Refused::Malformed),
        ("epoch", json!(-1), Refused::Malformed),
        ("epoch", json!(4_294_967_296_u64), Refused::Malformed),
        ("exp", json!("9999999999"), Refused::Malformed),
        ("exp", json!(9.9e30), Refused::Malformed),
        ("aud", json!({ "a": 1 }), Refused::Malformed),
        ("aud", json!("other"), Refused::Audience),
        ("aud", json!([]), Refused::Audience),
        ("iss", json!(format!("{}/", issuer.url)), Refused::Issuer),
        ("cnf", json!({ "jkt": "x" }), Refused::BoundToKey),
        ("cnf", json!({ "x5t#S256": "x" }), Refused::BoundToKey),
        ("cnf", json!(7), Refused::BoundToKey),
    ];
    let tokens = tokens.map(|(name, value, expected)| (with(name, &value), expected));
    assert_refused(&verifier, tokens);
    let several = with("aud", &json!(["x", "authlog"]));
    assert!(verifier.verify_now(&several).is_ok());
}

#[tokio::test]
async fn no_change_of_a_character_leaves_a_token_valid() {
    let (issuer, key, verifier) = ready().await;
    let good = key.sign(&issuer.claims(1, 0));
    for position in 0..good.len() {
        for other in ["A", "B", "_", ".", "=", "%", ""] {
            let mut changed = good.clone();
            changed.replace_range(position..=position, other);
            if changed != good {
                assert!(verifier.verify_now(&changed).is_err(), "{position} {other}");
            }
        }
    }
    assert!(verifier.verify_now(&good).is_ok());
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_key_needs_its_proof() {
    let (issuer, key, verifier) = ready().await;
    let mut claims = issuer.claims(1, 0);
    let unbound = key.sign(&claims);
    claims["cnf"] = json!({ "jkt": "thumbprint" });
    let bound = key.sign(&claims);
    assert!(verifier.verify_bound(&bound, "thumbprint").await.is_ok());
    let verify = |token: String, proved: &'static str| {
        let verifier = verifier.clone();
        async move { verifier.verify_bound(&token, proved).await.unwrap_err() }
    };
    assert_eq!(verify(bound, "another").await, Refused::BoundToKey);
    assert_eq!(verify(unbound, "thumbprint").await, Refused::NotBoundToKey);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_fetched_once_for_all() {
    let (issuer, key) = Issuer::start().await;
    let clock = SetClock::default();
    let builder = issuer.builder().on_stale(OnStale::LocalOnly);
    let verifier = builder.clock(clock.clone()).start().unwrap();
    tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
    assert_eq!(issuer.key_requests.load(SeqCst), 1);
    let second = Key::new("second");
    issuer.keys.lock().unwrap().push(second.jwk());
    let token = second.sign(&issuer.claims(1, 0));
    // The last request is less than ten seconds ago.
    let verified = verifier.verify(&token).await;
    assert_eq!(verified.unwrap_err(), Refused::UnknownKey);
    clock.pass(Duration::from_secs(11));
    assert_eq!(
        refused(&verifier, &token),
        Refused::UnknownKey,
        "it waits for nothing"
    );
    let all = (0..50).map(|_| {
        let (verifier, token) = (verifier.clone(), token.clone());
        tokio::spawn(async move { verifier.verify(&token).await })
    });
    for verified in all.collect::<Vec<_>>() {
        verified.await.unwrap().unwrap();
    }
    assert_eq!(issuer.key_requests.load(SeqCst), 2);
    for number in 0..50 {
        let other = Key::new(&number.to_string());
        let token = other.sign(&issuer.claims(1, 0));
        let verified = verifier.verify(&token).await;
        assert_eq!(verified.unwrap_err(), Refused::UnknownKey);
    }
    assert_eq!(issuer.key_requests.load(SeqCst), 2);
    assert!(
        verifier
            .verify(&key.sign(&issuer.claims(1, 0)))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_wrong_key_set_replaces_no_key_and_a_right_one_retires_keys() {
    let (issuer, key) = Issuer::start().await;
    let builder = issuer.builder().max_staleness(LIMIT);
    let short = Duration::from_secs(1);
    let verifier = builder.keys_max_age(short).start().unwrap();
    tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
    let token = key.sign(&issuer.claims(1, 0));
    let endless_head = format!("HTTP/1.1 200 OK\r\n{}", "x: y\r\n".repeat(50_000));
    let large = vec![b' '; 1024 * 1024];
    let redirect = b"HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n";
    for (bytes, hangs) in [
        (answer("200 OK", b"<html>"), false),
        (answer("200 OK", br#"{"keys":null}"#), false),
        (answer("200 OK", &large), false),
        (
            answer("500 Internal Server Error", br#"{"keys":[]}"#),
            false,
        ),
        (redirect.to_vec(), false),
        (endless_head.into_bytes(), false),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{".to_vec(),
            false,
        ),
        (b"\x16\x03\x01\x02".to_vec(), false),
        (vec![], false),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{".to_vec(),
            true,
        ),
    ] {
        *issuer.wrong_keys.lock().unwrap() = Some(Wrong { bytes, hangs });
        let failures = verifier.stats().key_failures;
        eventually("the answer is refused", || {
            verifier.stats().key_failures > failures
        })
        .await;
        assert!(verifier.verify(&token).await.is_ok());
    }
    *issuer.wrong_keys.lock().unwrap() = None;
    let second = Key::new("second");
    *issuer.keys.lock().unwrap() = vec![second.jwk()];
    eventually("the key is retired", || {
        verifier.verify_now(&token).is_err()
    })
    .await;
    assert_eq!(refused(&verifier, &token), Refused::UnknownKey);
    assert!(
        verifier
            .verify_now(&second.sign(&issuer.claims(1, 0)))
            .is_ok()
    );
    // Another key with the same name: a signature that was verified before does not count any more.
    let other = Key::new("second");
    let token = second.sign(&issuer.claims(1, 0));
    assert!(verifier.verify_now(&token).is_ok());
    *issuer.keys.lock().unwrap() = vec![other.jwk()];
    eventually("the key is replaced", || {
        verifier.verify_now(&token).is_err()
    })
    .await;
    assert_eq!(refused(&verifier, &token), Refused::Signature);
}

#[tokio::test]
async fn a_key_set_without_a_usable_key_retires_every_key() {
    let other = json!({ "kty": "oct", "k": "AAAA", "kid": "first", "alg": "HS256" });
    for keys in [vec![], vec![other]] {
        let (issuer, key) = Issuer::start().await;
        let builder = issuer.builder().on_stale(OnStale::LocalOnly);
        let short = Duration::from_secs(1);
        let verifier = builder.keys_max_age(short).start().unwrap();
        tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
        let token = key.sign(&issuer.claims(1, 0));
        assert!(verifier.verify_now(&token).is_ok());
        *issuer.keys.lock().unwrap() = keys;
        eventually("the key is retired", || {
            verifier.verify_now(&token).is_err()
        })
        .await;
        assert_eq!(refused(&verifier, &token), Refused::NotReady);
        assert!(!verifier.is_ready());
        eventually("it is reported", || {
            let trouble = verifier.stats().trouble.unwrap_or_default();
            trouble.contains("no key of an accepted algorithm")
        })
        .await;
        *issuer.keys.lock().unwrap() = vec![key.jwk()];
        eventually("the key is back", || verifier.verify_now(&token).is_ok()).await;
    }
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_expire() {
    for (on_stale, expected) in [
        (OnStale::FailClosed, Err(Refused::KeysExpired)),
        (OnStale::LocalOnly, Ok(())),
    ] {
        let (issuer, key) = Issuer::start().await;
        let clock = SetClock::default();
        let builder = issuer.builder().max_staleness(60 * LIMIT);
        let builder = builder.on_stale(on_stale).clock(clock.clone());
        let verifier = builder.start().unwrap();
        tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
        let mut claims = issuer.claims(1, 0);
        claims["exp"] = json!(seconds() + 3000);
        let token = key.sign(&claims);
        *issuer.wrong_keys.lock().unwrap() = Some(Wrong {
            bytes: answer("500 Internal Server Error", b""),
            hangs: false,
        });
        clock.pass(Duration::from_secs(500));
        assert!(verifier.verify_now(&token).is_ok());
        clock.pass(Duration::from_secs(200));
        assert_eq!(verifier.verify_now(&token).map(|_| ()), expected);
        // A request for the keys is due, also if the next one was planned for later.
        eventually("the keys are asked for", || {
            verifier.stats().key_failures > 0
        })
        .await;
        *issuer.wrong_keys.lock().unwrap() = None;
        eventually("the keys are fetched", || {
            verifier.stats().keys_age.unwrap() < Duration::from_secs(100)
        })
        .await;
        assert!(verifier.verify_now(&token).is_ok());
    }
}

#[tokio::test]
async fn the_time_that_keys_spent_in_a_cache_counts() {
    let (issuer, key) = Issuer::start().await;
    let keys = json!({ "keys": [key.jwk()] }).to_string();
    let cached = |age: u64| {
        let bytes = format!(
            "HTTP/1.1 200 OK\r\ncache-control: max-age=300\r\nage: {age}\r\ncontent-length: {}\r\n\r\n{keys}",
            keys.len()
        );
        Some(Wrong {
            bytes: bytes.into_bytes(),
            hangs: false,
        })
    };
    *issuer.wrong_keys.lock().unwrap() = cached(7000);
    let verifier = issuer.builder().max_staleness(LIMIT).start().unwrap();
    tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
    let token = key.sign(&issuer.claims(1, 0));
    assert_eq!(refused(&verifier, &token), Refused::KeysExpired);
    assert!(verifier.stats().keys_age.unwrap() >= Duration::from_secs(7000));
    *issuer.wrong_keys.lock().unwrap() = cached(299);
    // It is fetched again within ten seconds, although its `max-age` is longer.
    eventually("a newer set is fetched", || {
        verifier.verify_now(&token).is_ok()
    })
    .await;
}

fn chunk(text: &str) -> Vec<u8> {
    let chunk = format!("{:x}\r\n{text}\r\n", text.len());
    [FEED_HEAD, chunk.as_bytes()].concat()
}

#[tokio::test]
async fn a_wrong_feed_lets_nothing_through_and_is_read_again() {
    let (issuer, key) = Issuer::start().await;
    issuer.log_out(1);
    let event = |index: u64, source: &str, kind: &str, data: &Value| {
        json!({
            "data": data, "id": format!("event/{index}"), "logindex": index.to_string(),
            "source": source, "specversion": "1.0", "subject": account(1),
            "time": "2026-11-21T09:25:00.123Z", "type": format!("dev.authlog.{kind}.v1"),
        })
        .to_string()
    };
    let noise = |index| event(index, &issuer.url, "x.y", &json!({}));
    let beat = |index: u64| format!(r#"{{"logindex":"{index}","elapsed_ms":1}}"#);
    let lines = |lines: &[String]| chunk(&format!("{}\n", lines.join("\n")));
    let unreadable = json!({ "session_id": "x" });
    let mut other = noise(1);
    other = other.replace("event/1", "event/other");
    let scripts = [
        answer("500 Internal Server Error", b""),
        answer("403 Forbidden", b""),
        answer("409 Conflict", b""),
        answer("200 OK", b""),
        answer("200 OK", b"<html>\n"),
        chunk(&"x".repeat(1_000_000)),
        chunk(&format!("{}\n", "[".repeat(200_000))),
        lines(&[noise(1), noise(3), beat(3)]),
        lines(&[noise(1), beat(7)]),
        lines(&[noise(1), other, beat(1)]),
        lines(&[event(1, "https://evil.example", "x.y", &json!({})), beat(1)]),
        lines(&[
            event(1, &issuer.url, "session.logged-out", &unreadable),
            beat(1),
        ]),
        lines(&[r#"{"status":409}"#.to_owned(), beat(1)]),
        lines(&[r#"{"status":501}"#.to_owned(), beat(1)]),
        lines(&[r#"{"logindex":"x","elapsed_ms":1}"#.to_owned()]),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
    ];
    let number = scripts.len();
    let wrong = |bytes| Wrong {
        bytes,
        hangs: false,
    };
    *issuer.wrong_feed.lock().unwrap() = scripts.into_iter().map(wrong).collect();
    let builder = issuer.builder().max_staleness(LIMIT);
    let verifier = builder.on_stale(OnStale::LocalOnly).start().unwrap();
    let token = key.sign(&issuer.claims(2, 0));
    let mut accepted_early = false;
    for _ in 0..30_000 {
        let left = issuer.wrong_feed.lock().unwrap().len();
        let is_accepted = verifier.verify(&token).await.is_ok();
        if is_accepted {
            accepted_early = left > 0;
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!accepted_early);
    assert!(verifier.is_ready());
    assert!(issuer.feed_requests.lock().unwrap().len() > number);
    let ended = key.sign(&issuer.claims(1, 0));
    assert_eq!(refused(&verifier, &ended), Refused::SessionEnded);
}

#[tokio::test]
async fn an_event_in_a_version_that_is_not_known_stops_the_list_and_is_reported() {
    let (issuer, key) = Issuer::start().await;
    let builder = issuer.builder().max_staleness(Duration::from_secs(1));
    let verifier = builder.start().unwrap();
    tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
    let [ended, live] = [1, 2].map(|number| key.sign(&issuer.claims(number, 0)));
    {
        // Both arrive at once.
        let mut log = issuer.log.lock().unwrap();
        for (kind, number) in [("session.logged-out.v1", 1), ("session.logged-out.v2", 9)] {
            let index = log.len() + 1;
            log.push(json!({
                "data": { "session_id": session(number) }, "id": format!("event/{index}"),
                "source": issuer.url, "specversion": "1.0", "subject": account(number),
                "time": "2026-11-21T09:25:00.123Z", "type": format!("dev.authlog.{kind}"),
            }));
        }
    }
    verifier.wait_for(1, LIMIT).await.unwrap();
    assert_eq!(refused(&verifier, &ended), Refused::SessionEnded);
    eventually("the list is stale", || {
        verifier.verify_now(&live).map(|_| ()) == Err(Refused::Stale)
    })
    .await;
    let trouble = verifier.stats().trouble.unwrap();
    assert!(trouble.contains("session.logged-out.v2") && trouble.contains("update"));
    assert_eq!(verifier.log_index(), Some(1));
    // The issuer was set back to the version before, which publishes the event in its own.
    issuer.log.lock().unwrap()[1]["type"] = json!("dev.authlog.session.logged-out.v1");
    verifier.wait_for(2, LIMIT).await.unwrap();
    assert!(verifier.verify_now(&live).is_ok());
}

#[tokio::test]
async fn a_line_that_cannot_be_read_does_not_keep_out_the_ones_before_it() {
    let (issuer, key) = Issuer::start().await;
    let builder = issuer.builder().on_stale(OnStale::LocalOnly);
    let verifier = builder.start().unwrap();
    tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
    issuer.log_out(1);
    {
        let mut log = issuer.log.lock().unwrap();
        let mut unreadable = log[0].clone();
        unreadable["id"] = json!(7);
        log.push(unreadable);
    }
    verifier.wait_for(1, LIMIT).await.unwrap();
    let ended = key.sign(&issuer.claims(1, 0));
    assert_eq!(refused(&verifier, &ended), Refused::SessionEnded);
}

#[tokio::test]
async fn a_connection_that_ended_is_continued_where_it_was() {
    let (issuer, key, verifier) = ready().await;
    for number in 1..=3 {
        issuer.log_out(number);
    }
    verifier.wait_for(3, LIMIT).await.unwrap();
    issuer.hang_up();
    issuer.log_out(4);
    verifier.wait_for(4, LIMIT).await.unwrap();
    let requests = issuer.feed_requests.lock().unwrap().clone();
    assert!(requests[0].contains("since=20"), "{requests:?}");
    // One event is read again, to compare it.
    assert!(requests[1].contains("after=2"), "{requests:?}");
    assert_eq!(verifier.stats().readings, 1);
    for number in 1..=4 {
        let token = key.sign(&issuer.claims(number, 0));
        assert_eq!(refused(&verifier, &token), Refused::SessionEnded);
    }
}

#[tokio::test]
async fn a_log_with_another_history_is_read_from_the_beginning() {
    for is_shorter in [false, true] {
        let (issuer, key, verifier) = ready().await;
        for number in [1, 2, 3] {
            issuer.log_out(number);
        }
        verifier.wait_for(3, LIMIT).await.unwrap();
        {
            // The database failed over and lost the last event. Another one took its index.
            let mut log = issuer.log.lock().unwrap();
            log.truncate(if is_shorter { 1 } else { 2 });
        }
        if !is_shorter {
            let data = json!({ "session_id": session(4) });
            issuer.publish("session.revoked", &account(4).to_string(), &data);
            issuer.log.lock().unwrap()[2]["id"] = json!("event/another");
        }
        issuer.hang_up();
        eventually("all is read again", || verifier.stats().readings == 2).await;
        eventually("it is complete", || {
            verifier.verify_now(&key.sign(&issuer.claims(3, 0))).is_ok()
        })
        .await;
        let ended = if is_shorter { vec![1] } else { vec![1, 2, 4] };
        for number in ended {
            let token = key.sign(&issuer.claims(number, 0));
            assert_eq!(refused(&verifier, &token), Refused::SessionEnded);
        }
    }
}

#[tokio::test]
async fn what_is_known_stays_known_while_all_is_read_again() {
    let (issuer, key, verifier) = ready().await;
    issuer.log_out(1);
    verifier.wait_for(1, LIMIT).await.unwrap();
    issuer.log.lock().unwrap()[0]["id"] = json!("event/another");
    issuer.is_silent.store(true, SeqCst);
    issuer.hang_up();
    eventually("all is read again", || verifier.stats().readings == 2).await;
    eventually("the event is read", || verifier.stats().events >= 2).await;
    let token = key.sign(&issuer.claims(1, 0));
    assert_eq!(refused(&verifier, &token), Refused::SessionEnded);
    issuer.is_silent.store(false, SeqCst);
    let before = verifier.stats().events;
    issuer.log_out(2);
    verifier.wait_for(2, LIMIT).await.unwrap();
    assert!(verifier.stats().events > before);
    assert_eq!(refused(&verifier, &token), Refused::SessionEnded);
}

#[tokio::test]
async fn what_ends_while_all_is_read_again_is_refused_at_once() {
    let (issuer, key) = Issuer::start().await;
    let builder = issuer.builder().on_stale(OnStale::LocalOnly);
    let verifier = builder.start().unwrap();
    tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
    let index = issuer.log_out(1);
    verifier.wait_for(index, LIMIT).await.unwrap();
    issuer.log.lock().unwrap()[0]["id"] = json!("event/another");
    // The other list is never complete.
    issuer.is_silent.store(true, SeqCst);
    issuer.hang_up();
    eventually("all is read again", || verifier.stats().readings == 2).await;
    let live = key.sign(&issuer.claims(2, 0));
    assert!(verifier.verify_now(&live).is_ok());
    issuer.log_out(2);
    eventually("the end takes effect", || {
        verifier.verify_now(&live).is_err()
    })
    .await;
    assert_eq!(refused(&verifier, &live), Refused::SessionEnded);
    assert_eq!(verifier.log_index(), Some(1), "nothing else is claimed");
}

#[tokio::test]
async fn a_refused_access_token_for_the_feed_is_replaced() {
    let (issuer, _, verifier) = ready().await;
    assert_eq!(issuer.token_requests.load(SeqCst), 1);
    issuer.valid_tokens_from.store(2, SeqCst);
    issuer.hang_up();
    let index = issuer.log_out(1);
    verifier.wait_for(index, LIMIT).await.unwrap();
    assert_eq!(issuer.token_requests.load(SeqCst), 2);
}

#[tokio::test]
async fn an_access_token_for_the_feed_is_renewed_before_it_expires() {
    let (issuer, key) = Issuer::start().await;
    issuer.log_out(7);
    let given = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&given);
    let feed = Feed::with_tokens(move || {
        let number = count.fetch_add(1, SeqCst) + 1;
        async move {
            if number == 2 {
                return Err("it is away for a moment".into());
            }
            Ok(ProvidedToken {
                token: format!("token-{number}"),
                expires_in: Some(Duration::from_secs(5)),
            })
        }
    });
    let verifier = issuer.builder().revocations(feed).start().unwrap();
    tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
    eventually("it is renewed", || given.load(SeqCst) >= 3).await;
    let index = issuer.log_out(1);
    verifier.wait_for(index, LIMIT).await.unwrap();
    assert!(verifier.verify_now(&key.sign(&issuer.claims(2, 0))).is_ok());
    assert_eq!(verifier.stats().readings, 1);
}

#[tokio::test]
async fn a_background_task_that_has_panicked_is_noticed() {
    for (on_stale, expected) in [
        (OnStale::FailClosed, Err(Refused::Stopped)),
        (OnStale::LocalOnly, Ok(())),
    ] {
        let (issuer, key) = Issuer::start().await;
        let calls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        let feed = Feed::with_tokens(move || {
            assert!(count.fetch_add(1, SeqCst) == 0, "a bug of the service");
            async {
                let token = "token-1".to_owned();
                let expires_in = None;
                Ok(ProvidedToken { token, expires_in })
            }
        });
        let builder = issuer.builder().max_staleness(10 * LIMIT);
        let builder = builder.on_stale(on_stale).revocations(feed);
        let verifier = builder.start().unwrap();
        tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
        let token = key.sign(&issuer.claims(1, 0));
        assert!(verifier.verify_now(&token).is_ok());
        assert!(!verifier.stats().has_stopped);
        issuer.valid_tokens_from.store(2, SeqCst);
        issuer.hang_up();
        eventually("the task has panicked", || verifier.stats().has_stopped).await;
        assert_eq!(verifier.verify(&token).await.map(|_| ()), expected);
        assert_eq!(verifier.is_ready(), expected.is_ok());
        assert!(verifier.stats().trouble.unwrap().contains("has ended"));
    }
}

#[test]
fn a_verifier_whose_runtime_was_shut_down_refuses() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (token, verifier) = runtime.block_on(async {
        let (issuer, key, verifier) = ready().await;
        (key.sign(&issuer.claims(1, 0)), verifier)
    });
    assert!(verifier.verify_now(&token).is_ok());
    drop(runtime);
    assert_eq!(refused(&verifier, &token), Refused::Stopped);
}

#[tokio::test]
async fn the_longest_lifetime_of_a_token_is_no_limit() {
    let (issuer, key) = Issuer::start().await;
    let builder = issuer.builder().longest_access_token(Duration::MAX);
    let verifier = builder.max_staleness(Duration::MAX).start().unwrap();
    tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
    let index = issuer.log_out(1);
    verifier.wait_for(index, LIMIT).await.unwrap();
    let ended = key.sign(&issuer.claims(1, 0));
    assert_eq!(refused(&verifier, &ended), Refused::SessionEnded);
    assert!(verifier.verify_now(&key.sign(&issuer.claims(2, 0))).is_ok());
}

#[tokio::test]
async fn a_full_deny_list_makes_the_news_stale_and_forgets_nothing() {
    let (issuer, key) = Issuer::start().await;
    let builder = issuer
        .builder()
        .max_entries(3)
        .max_staleness(Duration::from_secs(1));
    let verifier = builder.start().unwrap();
    tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
    for number in 1..=4 {
        issuer.log_out(number);
    }
    let live = key.sign(&issuer.claims(9, 0));
    eventually("the news is stale", || {
        verifier.verify_now(&live).map(|_| ()) == Err(Refused::Stale)
    })
    .await;
    for number in 1..=3 {
        let token = key.sign(&issuer.claims(number, 0));
        assert_eq!(refused(&verifier, &token), Refused::SessionEnded);
    }
    assert_eq!(verifier.stats().entries.total(), 3);
    assert!(verifier.stats().trouble.unwrap().contains("full"));
}

#[tokio::test]
async fn a_verifier_that_is_not_ready_refuses_and_does_not_start_without_its_settings() {
    let verifier = Verifier::builder()
        .issuer("http://127.0.0.1:1")
        .audience("authlog")
        .revocations(Feed::with_client("orders", "secret"))
        .start()
        .unwrap();
    let (issuer, key) = Issuer::start().await;
    let token = key.sign(&issuer.claims(1, 0));
    assert_eq!(
        verifier.verify(&token).await.unwrap_err(),
        Refused::NotReady
    );
    let feed = || Feed::with_client("orders", "secret");
    let issuer = || Verifier::builder().issuer("http://127.0.0.1:1");
    assert!(Verifier::builder().start().is_err());
    assert!(issuer().start().is_err());
    assert!(issuer().audience("a").start().is_err());
    assert!(issuer().revocations(feed()).start().is_err());
    let complete = || issuer().audience("a").revocations(feed());
    assert!(complete().algorithms([]).start().is_err());
    assert!(complete().issuer("authlog").start().is_err());
    assert!(complete().keys_url("ftp://x/y").start().is_err());
    assert!(complete().keys_url("http://user@x/y").start().is_err());
    assert!(complete().start().is_ok());
}
