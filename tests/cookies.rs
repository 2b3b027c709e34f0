//! The refresh-token cookie as browsers send it: among other cookies, repeated, behind a proxy, and from other sites.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use serde_json::Value;
use support::contract::{Tokens, is_refused, refreshes_nothing, refusal_of_api_auth, verifies};
use support::http::Request;
use support::{Contract, Person, Program, Settings, Store, api_auth, on_both_stores, token};

/// A site whose pages may use the service.
const SITE: &str = "https://app.example.org";

on_both_stores!(
    other_cookies_do_not_hide_the_refresh_token,
    the_valid_one_of_repeated_cookies_is_found,
    a_replaced_token_sent_with_the_current_one_does_not_end_the_session,
    the_cookie_path_is_below_the_path_of_the_public_url,
    the_cookie_alone_ends_the_session,
    a_logout_clears_an_invalid_cookie,
    an_access_token_decides_which_session_ends,
    pages_of_other_sites_use_the_cookie_where_it_is_configured,
    the_cookie_is_for_one_site_by_default,
);

async fn signed_in(service: &Program, name: &str) -> Tokens {
    let person = Person::called(name);
    Contract::ApiAuth.registers(&service.http(), &person).await;
    Contract::ApiAuth.signs_in(&service.http(), &person).await
}

/// The expected answer to a refresh by an invalid cookie.
fn bad_refresh_token() -> Value {
    refusal_of_api_auth(401, "Invalid or expired refresh token")
}

fn refresh(service: &Program, cookies: impl AsRef<[u8]>) -> Request {
    service
        .send(api_auth::REFRESH_TOKEN)
        .header("cookie", cookies)
}

fn logout(service: &Program, cookies: impl AsRef<[u8]>) -> Request {
    service.send(api_auth::LOGOUT).header("cookie", cookies)
}

async fn other_cookies_do_not_hide_the_refresh_token(store: Store) {
    let service = Program::on(store).await;
    let mut ours = signed_in(&service, "ann").await.refresh().to_owned();
    for foreign in [
        "utm=Undersøgelse".as_bytes(),
        b"utm=Unders\xf8gelse",
        b"utm",
        b"=; ;;",
        b"a=\"1",
        b"refreshToken=\xff\xfe",
        b"refreshToken=",
    ] {
        for is_first in [true, false] {
            let named = format!("refreshToken={ours}");
            let (one, other) = if is_first {
                (foreign, named.as_bytes())
            } else {
                (named.as_bytes(), foreign)
            };
            let answer = refresh(&service, [one, b"; ", other].concat()).await;
            assert_eq!(answer.status, 200, "{answer}");
            ours = answer.cookie("refreshToken").unwrap().value;
        }
    }
}

async fn the_valid_one_of_repeated_cookies_is_found(store: Store) {
    let service = Program::on(store).await;
    let tokens = signed_in(&service, "ann").await;
    let mut ours = tokens.refresh().to_owned();
    let dead = signed_in(&service, "bob").await;
    let answer = service.send(api_auth::LOGOUT).bearer(&dead.access).await;
    assert_eq!(answer.status, 200, "{answer}");
    for other in ["nonsense", dead.refresh(), &tokens.access] {
        for cookies in [
            format!("refreshToken={other}; refreshToken={ours}"),
            format!("refreshToken={other}; a=1; refreshToken={other}; refreshToken={ours}"),
        ] {
            let answer = refresh(&service, &cookies).await;
            assert_eq!(answer.status, 200, "{answer}");
            ours = answer.cookie("refreshToken").unwrap().value;
        }
        let answer = refresh(
            &service,
            format!("refreshToken={ours}; refreshToken={other}"),
        )
        .await;
        assert_eq!(answer.status, 200, "{answer}");
        ours = answer.cookie("refreshToken").unwrap().value;
    }
    let answer = refresh(&service, "refreshToken=one; refreshToken=two").await;
    answer.is(401, &bad_refresh_token());
    // The service looks at a few cookies only.
    let many: String = (0..100).map(|it| format!("refreshToken=x{it}; ")).collect();
    let answer = refresh(&service, format!("{many}refreshToken={ours}")).await;
    answer.is(401, &bad_refresh_token());
}

async fn a_replaced_token_sent_with_the_current_one_does_not_end_the_session(store: Store) {
    let service = Program::on(store).await;
    let first = signed_in(&service, "ann").await.refresh().to_owned();
    let mut tokens = vec![first];
    for _ in 0..3 {
        let last = tokens.last().unwrap();
        let answer = refresh(&service, format!("refreshToken={last}")).await;
        assert_eq!(answer.status, 200, "{answer}");
        tokens.push(answer.cookie("refreshToken").unwrap().value);
    }
    // The first token is two generations old: alone it would be taken for a stolen one.
    let cookies: Vec<String> = tokens
        .iter()
        .map(|it| format!("refreshToken={it}"))
        .collect();
    let answer = refresh(&service, cookies.join("; ")).await;
    assert_eq!(answer.status, 200, "{answer}");
    let newest = answer.cookie("refreshToken").unwrap().value;
    let answer = refresh(&service, format!("refreshToken={newest}")).await;
    assert_eq!(answer.status, 200, "{answer}");
    let answer = refresh(&service, format!("refreshToken={}", tokens[0])).await;
    answer.is(401, &bad_refresh_token());
    refreshes_nothing(&service.http(), &newest).await;
}

async fn the_cookie_path_is_below_the_path_of_the_public_url(store: Store) {
    for (url, path) in [
        ("http://127.0.0.1/login", "/login/api/auth"),
        ("http://127.0.0.1/a/b/", "/a/b/api/auth"),
        ("http://127.0.0.1/", "/api/auth"),
    ] {
        let settings = Settings::on(store).with("AUTHLOG_PUBLIC_URL", url);
        let service = settings.start().await;
        let ann = Person::called("ann");
        Contract::ApiAuth.registers(&service.http(), &ann).await;
        let set = Contract::ApiAuth.sign_in(&service.http(), &ann).await;
        let cookie = set.cookie("refreshToken").unwrap();
        assert_eq!(cookie.attribute("path"), Some(path), "{set}");
        let cleared = logout(&service, format!("refreshToken={}", cookie.value)).await;
        let cookie = cleared.cookie("refreshToken").unwrap();
        assert_eq!(cookie.attribute("path"), Some(path), "{cleared}");
        assert_eq!(cookie.value, "");
    }
}

async fn the_cookie_alone_ends_the_session(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    for access in [None, Some("nonsense"), Some("forged")] {
        let name = access.unwrap_or("none");
        let tokens = signed_in(&service, name).await;
        let request = logout(&service, format!("refreshToken={}", tokens.refresh()));
        let answer = match access {
            None => request.await,
            Some("forged") => request.bearer(&token::forged(&tokens.access)).await,
            Some(token) => request.bearer(token).await,
        };
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!(answer.json()["message"], "User successfully logged out");
        let cookie = answer.cookie("refreshToken").unwrap();
        assert_eq!(
            (cookie.value.as_str(), cookie.attribute("max-age")),
            ("", Some("0"))
        );
        refreshes_nothing(&http, tokens.refresh()).await;
        is_refused(&http, &tokens.access).await;
    }
}

async fn a_logout_clears_an_invalid_cookie(store: Store) {
    let service = Program::on(store).await;
    let tokens = signed_in(&service, "ann").await;
    let answer = service.send(api_auth::LOGOUT).bearer(&tokens.access).await;
    assert_eq!(answer.status, 200, "{answer}");
    for token in ["nonsense", tokens.refresh(), &tokens.access] {
        let answer = logout(&service, format!("refreshToken={token}")).await;
        answer.is(401, &refusal_of_api_auth(401, "Unauthorized"));
        let cookie = answer.cookie("refreshToken").unwrap();
        assert_eq!(
            (cookie.value.as_str(), cookie.attribute("max-age")),
            ("", Some("0"))
        );
    }
}

async fn an_access_token_decides_which_session_ends(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let (ann, bob) = (
        signed_in(&service, "ann").await,
        signed_in(&service, "bob").await,
    );
    let request = logout(&service, format!("refreshToken={}", bob.refresh()));
    let answer = request.bearer(&ann.access).await;
    assert_eq!(answer.status, 200, "{answer}");
    is_refused(&http, &ann.access).await;
    verifies(&http, &bob.access).await;
}

async fn pages_of_other_sites_use_the_cookie_where_it_is_configured(store: Store) {
    let settings = Settings::on(store)
        .with("AUTHLOG_PUBLIC_URL", "https://auth.example.com/login")
        .with("AUTHLOG_CORS_ORIGINS", SITE)
        .with("AUTHLOG_COOKIE_SAME_SITE", "none");
    let service = settings.start().await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let answer = Contract::ApiAuth.sign_in(&service.http(), &ann).await;
    let mut cookie = answer.cookie("refreshToken").unwrap();
    for (attribute, value) in [
        ("samesite", "None"),
        ("secure", ""),
        ("partitioned", ""),
        ("httponly", ""),
        ("path", "/login/api/auth"),
    ] {
        assert_eq!(cookie.attribute(attribute), Some(value), "{answer}");
    }
    // A page of the allowed site, a page of the service, and a client that is no browser.
    for origin in [Some(SITE), Some("https://auth.example.com"), None] {
        let mut request = refresh(&service, format!("refreshToken={}", cookie.value));
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let answer = request.await;
        assert_eq!(answer.status, 200, "{answer}");
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, origin.filter(|origin| *origin == SITE), "{answer}");
        cookie = answer.cookie("refreshToken").unwrap();
    }
    // Any other page can make the browser send the cookie, but its request is refused.
    let ours = format!("refreshToken={}", cookie.value);
    for stranger in ["https://evil.example", "null", "http://app.example.org"] {
        for request in [refresh(&service, &ours), logout(&service, &ours)] {
            let answer = request.header("origin", stranger).await;
            answer.is(403, &refusal_of_api_auth(403, "Forbidden"));
            assert_eq!(answer.cookie("refreshToken"), None, "{answer}");
        }
    }
    // A page may use a token that it knows.
    let request = service.send(api_auth::REFRESH).bearer(&cookie.value);
    let answer = request.header("origin", "https://evil.example").await;
    assert_eq!(answer.status, 200, "{answer}");
    let answer = logout(&service, &ours).header("origin", SITE).await;
    assert_eq!(answer.status, 200, "{answer}");
    let cleared = answer.cookie("refreshToken").unwrap();
    assert_eq!(cleared.attribute("samesite"), Some("None"), "{answer}");
}

async fn the_cookie_is_for_one_site_by_default(store: Store) {
    let settings = Settings::on(store)
        .with("AUTHLOG_PUBLIC_URL", "https://auth.example.com")
        .with("AUTHLOG_CORS_ORIGINS", SITE);
    let service = settings.start().await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let answer = Contract::ApiAuth.sign_in(&service.http(), &ann).await;
    let cookie = answer.cookie("refreshToken").unwrap();
    assert_eq!(cookie.attribute("samesite"), Some("Strict"), "{answer}");
    assert_eq!(cookie.attribute("partitioned"), None, "{answer}");

    for (name, value) in [
        ("AUTHLOG_PUBLIC_URL", "http://auth.example.com"),
        ("AUTHLOG_CORS_ORIGINS", ""),
    ] {
        let settings = Settings::on(store)
            .with("AUTHLOG_PUBLIC_URL", "https://auth.example.com")
            .with("AUTHLOG_CORS_ORIGINS", SITE)
            .with("AUTHLOG_COOKIE_SAME_SITE", "none");
        let settings = if value.is_empty() {
            settings.without(name)
        } else {
            settings.with(name, value)
        };
        let output = settings.run(&["doctor"], "");
        assert!(!output.status.success());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("AUTHLOG_COOKIE_SAME_SITE"), "{error}");
    }
}
