//! The endpoint at which a reverse proxy checks each request before it passes the request on.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use crate::support;

use percent_encoding::percent_decode_str;
use serde_json::json;
use support::contract::Tokens;
use support::http::Request;
use support::wire::Wire;
use support::{
    Answer, Contract, Endpoint, Person, Program, Settings, Store, api_auth, eventually,
    on_both_stores, own, staff, token,
};

on_both_stores!(
    a_proxy_learns_the_identity_for_any_method_and_any_contract,
    names_of_any_script_are_safe_in_headers,
    an_invalid_access_token_is_refused_with_a_challenge,
    the_required_role_is_compared_with_the_current_role,
    the_path_that_a_proxy_appends_cannot_change_the_required_role,
    the_headers_that_proxies_add_change_nothing,
    a_body_that_never_comes_is_not_awaited,
    a_preflight_is_checked_like_any_other_request,
    no_identity_is_logged,
);

/// The headers of a 200.
const IDENTITY: [&str; 6] = [
    "x-auth-subject",
    "x-auth-username",
    "x-auth-email",
    "x-auth-email-verified",
    "x-auth-role",
    "x-auth-session",
];

async fn a_proxy_learns_the_identity_for_any_method_and_any_contract(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let mut subject = None;
    for contract in Contract::ALL {
        let tokens = contract.signs_in(&http, &ann).await;
        let answer = http.send(own::FORWARD_AUTH).bearer(&tokens.access).await;
        let identity = identity(&answer);
        let subject = subject.get_or_insert_with(|| identity[0].clone());
        let expected = [subject, "ann", "ann@example.com", "false", "user"];
        assert_eq!(identity[..5], expected, "{answer}");
        if contract != Contract::Api {
            let claims = token::claims(&tokens.access);
            assert_eq!(claims["sub"], identity[0]);
            assert_eq!(claims["sid"], identity[5]);
        }
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
            let endpoint = Endpoint::at(method, "/forward-auth");
            let answer = http.send(endpoint).bearer(&tokens.access).await;
            assert_eq!(self::identity(&answer), identity, "{method}");
            let answer = http.send(endpoint).await;
            is_challenged(&answer, "Bearer");
        }
        let head = Endpoint::at("HEAD", "/forward-auth");
        assert_eq!(http.send(head).bearer(&tokens.access).await.status, 200);
        assert_eq!(http.send(head).await.status, 401);
    }
}

async fn names_of_any_script_are_safe_in_headers(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    for (username, email, written) in [
        ("jörg", "jörg+x@bücher.example", "j%C3%B6rg"),
        ("漢字", "漢字@example.com", "%E6%BC%A2%E5%AD%97"),
        ("محمد", "a%2Cb@example.com", "%D9%85%D8%AD%D9%85%D8%AF"),
    ] {
        let person = Person {
            username: username.to_owned(),
            email: email.to_owned(),
            ..Person::called("ann")
        };
        Contract::ApiAuth.registers(&http, &person).await;
        let tokens = Contract::ApiAuth.signs_in(&http, &person).await;
        let answer = http.send(own::FORWARD_AUTH).bearer(&tokens.access).await;
        let identity = identity(&answer);
        assert_eq!(identity[1], written);
        let decoded = percent_decode_str(&identity[2]).decode_utf8().unwrap();
        assert_eq!(decoded, email);
    }
    // A missing value is an empty header, which replaces a header of the client.
    let create = ["user", "create", "--username", "billing"];
    let output = service.settings.run(&create, "billing-opens-sesame");
    assert!(output.status.success(), "{output:?}");
    let login = json!({"username": "billing", "password": "billing-opens-sesame"});
    let answer = http.send(api_auth::LOGIN).json(&login).await;
    let tokens = Contract::ApiAuth.tokens_in(&answer.json());
    let answer = http.send(own::FORWARD_AUTH).bearer(&tokens.access).await;
    let identity = identity(&answer);
    assert_eq!(identity[1..5], ["billing", "", "false", "user"]);
}

async fn an_invalid_access_token_is_refused_with_a_challenge(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    is_challenged(&http.send(own::FORWARD_AUTH).await, "Bearer");
    for contract in Contract::ALL {
        let ended = contract.signs_in(&http, &ann).await;
        let check = || http.send(own::FORWARD_AUTH).bearer(&ended.access);
        assert_eq!(check().await.status, 200);
        let twice = check().bearer(&ended.access).await;
        is_challenged(&twice, "Bearer");
        let answer = http.send(api_auth::LOGOUT).bearer(&ended.access).await;
        assert_eq!(answer.status, 200, "{answer}");
        is_challenged(&check().await, "Bearer error=\"invalid_token\"");
    }
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    for wrong in [
        "nonsense",
        "00000000-0000-0000-0000-000000000000",
        tokens.refresh(),
        &token::forged(&tokens.access),
        &token::unsigned(&tokens.access),
    ] {
        let answer = http.send(own::FORWARD_AUTH).bearer(wrong).await;
        is_challenged(&answer, "Bearer error=\"invalid_token\"");
    }
    // The cookie of `/api/auth` holds a refresh token.
    let request = http.send(own::FORWARD_AUTH);
    let answer = request.cookie("refreshToken", tokens.refresh()).await;
    is_challenged(&answer, "Bearer");
}

async fn the_required_role_is_compared_with_the_current_role(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let check = |tokens: &Tokens, query: &str| {
        let request = http.send(own::FORWARD_AUTH).query(query);
        request.bearer(&tokens.access)
    };
    let user = Contract::ApiAuth.signs_in(&http, &ann).await;
    for query in ["", "role=user", "role=admin,user"] {
        assert_eq!(check(&user, query).await.status, 200, "{query}");
    }
    for query in ["role=admin", "role=auditor,service", "role=auditor%2Cadmin"] {
        is_forbidden(&check(&user, query).await);
    }
    staff::set_role(&service, &ann, "admin");
    // The command line is another process. The service learns of its changes from the log.
    let answer = eventually("the earlier session has ended", async || {
        let answer = check(&user, "role=admin").await;
        // Until then the answer depends on whether the new role was read already.
        (answer.status == 401).then_some(answer)
    })
    .await;
    is_challenged(&answer, "Bearer error=\"invalid_token\"");
    let admin = Contract::ApiAuth.signs_in(&http, &ann).await;
    assert_eq!(identity(&check(&admin, "role=admin").await)[4], "admin");
    is_forbidden(&check(&admin, "role=user").await);
    // An unreadable role is still a requirement.
    for query in [
        "role=",
        "role=Admin",
        "roles=admin",
        "role=admin&role=admin",
    ] {
        let answer = check(&admin, query).await;
        assert_eq!(answer.status, 400, "{answer}");
        has_no_identity(&answer);
    }
}

async fn the_path_that_a_proxy_appends_cannot_change_the_required_role(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let user = Contract::ApiAuth.signs_in(&http, &ann).await;
    // Envoy's `path_prefix`, followed by the path of the client.
    for client in [
        "/",
        "//",
        "/dashboard?role=admin",
        "/a/b/../../c?x=%ff",
        "/%ff%00/%2e%2e/any/",
        "/admin/",
    ] {
        for (prefix, status) in [
            ("/forward-auth/any", 200),
            ("/forward-auth/admin,user", 200),
            ("/forward-auth/admin", 403),
            ("/forward-auth/everybody", 400),
        ] {
            for method in ["GET", "POST", "OPTIONS"] {
                let (status_with, head) = by_wire(&service, method, prefix, client, &user).await;
                assert_eq!(status_with, status, "{method} {prefix}{client}: {head}");
                let (without, _) = by_wire(&service, method, prefix, client, &anonymous()).await;
                let expected = if status == 400 { 400 } else { 401 };
                assert_eq!(without, expected, "{method} {prefix}{client}");
            }
        }
    }
}

async fn the_headers_that_proxies_add_change_nothing(store: Store) {
    let settings = Settings::on(store).with("AUTHLOG_TRUSTED_PROXIES", "127.0.0.1");
    let service = settings.with_cheap_hashing().start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    // The headers of Traefik, those of common nginx configurations, and forged ones of a client.
    let through_a_proxy = || -> Request {
        http.send(own::FORWARD_AUTH)
            .header("x-forwarded-method", "DELETE")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "app.example.com")
            .header("x-forwarded-uri", "/forward-auth?role=admin")
            .header("x-forwarded-for", "203.0.113.9")
            .header("x-original-url", "/admin")
            .header("x-auth-subject", "01a1fdbf-0b5f-7f69-9c90-34ecbb43e155")
            .header("x-auth-role", "admin")
    };
    let answer = through_a_proxy().bearer(&tokens.access).await;
    let plain = http.send(own::FORWARD_AUTH).bearer(&tokens.access).await;
    assert_eq!(identity(&answer), identity(&plain));
    is_challenged(&through_a_proxy().await, "Bearer");
}

async fn a_body_that_never_comes_is_not_awaited(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    // A proxy forwards the head of the client's request without the body. If the service waited for the body, it would
    // answer 408.
    for length in ["Content-Length: 100000000000", "Transfer-Encoding: chunked"] {
        for target in ["/forward-auth", "/forward-auth/any/upload"] {
            let mut wire = Wire::to(&service.address()).await;
            let head = format!(
                "PUT {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n{length}\r\n\r\n",
                tokens.access
            );
            wire.write(head.as_bytes()).await;
            let answer = wire.read_answer().await;
            assert_eq!(answer.status, 200, "{answer}");
        }
    }
}

async fn a_preflight_is_checked_like_any_other_request(store: Store) {
    let site = "https://app.example.com";
    let settings = Settings::on(store).with("AUTHLOG_CORS_ORIGINS", site);
    let service = settings.start().await;
    // A 200 would let it reach the application with the identity headers that the client wrote.
    for path in ["/forward-auth", "/forward-auth/any/", "/forward-auth/any/x"] {
        let request = service
            .send(Endpoint::at("OPTIONS", path))
            .header("origin", site)
            .header("access-control-request-method", "GET");
        is_challenged(&request.await, "Bearer");
    }
}

async fn no_identity_is_logged(store: Store) {
    let settings = Settings::on(store).with("AUTHLOG_LOG", "trace");
    let mut service = settings.with_cheap_hashing().start().await;
    let http = service.http();
    let ann = Person::called("annabella");
    Contract::ApiAuth.registers(&http, &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    let client = "/of-a-client?secret=of-a-client";
    let (status, _) = by_wire(&service, "GET", "/forward-auth/any", client, &tokens).await;
    assert_eq!(status, 200);
    let answer = http.send(own::FORWARD_AUTH).bearer(&tokens.access).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert!(service.terminate().await.success());
    let logged = service.output();
    assert!(
        logged.contains("/forward-auth/{roles}/{*original}"),
        "{logged}"
    );
    for personal in [&*ann.username, &*tokens.access, "of-a-client"] {
        assert!(!logged.contains(personal), "{personal} is in {logged}");
    }
}

/// Sends a request byte for byte, and returns the answer and its status.
async fn by_wire(
    service: &Program,
    method: &str,
    prefix: &str,
    client: &str,
    tokens: &Tokens,
) -> (u16, String) {
    let mut wire = Wire::to(&service.address()).await;
    let authorization = match &*tokens.access {
        "" => String::new(),
        token => format!("Authorization: Bearer {token}\r\n"),
    };
    let request = format!(
        "{method} {prefix}{client} HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 0\r\n\
         Connection: close\r\n{authorization}\r\n"
    );
    wire.write(request.as_bytes()).await;
    let answer = wire.read_answer().await;
    if answer.status == 200 {
        identity(&answer);
    } else {
        has_no_identity(&answer);
    }
    (answer.status, answer.to_string())
}

/// Stands for the tokens of a request without a token.
fn anonymous() -> Tokens {
    Tokens {
        access: String::new(),
        refresh: None,
    }
}

/// The identity in a 200, in the order of [`IDENTITY`].
#[track_caller]
fn identity(answer: &Answer) -> [String; 6] {
    assert_eq!((answer.status, &*answer.body), (200, ""), "{answer}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer}");
    IDENTITY.map(|name| {
        let value = answer.header(name);
        value
            .unwrap_or_else(|| panic!("no {name}: {answer}"))
            .to_owned()
    })
}

#[track_caller]
fn has_no_identity(answer: &Answer) {
    for name in IDENTITY {
        assert_eq!(answer.header(name), None, "{answer}");
    }
}

#[track_caller]
fn is_challenged(answer: &Answer, challenge: &str) {
    assert_eq!(answer.status, 401, "{answer}");
    assert_eq!(answer.header("www-authenticate"), Some(challenge));
    has_no_identity(answer);
}

#[track_caller]
fn is_forbidden(answer: &Answer) {
    assert_eq!(answer.status, 403, "{answer}");
    has_no_identity(answer);
}
