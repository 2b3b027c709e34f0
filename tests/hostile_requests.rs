//! Requests that no well-behaved client sends: each contract refuses them in its own words.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use serde_json::{Value, json};
use support::endpoint::NAMED;
use support::wire::Wire;
use support::{Contract, Endpoint, Person, Program, Store, on_both_stores, over_http2, own, users};

on_both_stores!(
    a_byte_order_mark_is_ignored_and_an_encoded_body_is_refused,
    a_body_that_is_not_what_the_document_asks_for_is_refused,
    a_member_of_the_wrong_type_is_refused,
    a_body_without_the_media_type_of_json_is_refused,
    a_body_that_is_too_large_is_refused_without_being_read_to_its_end,
    characters_that_belong_in_no_name_are_refused,
    an_unknown_path_is_not_found_in_the_format_of_its_contract,
    a_wrong_method_is_refused_and_the_allowed_ones_are_named,
    an_unknown_path_outside_the_contracts_is_a_problem_document,
    strange_headers_are_refused_like_any_bad_token,
    names_are_data_to_the_store,
    json_that_is_expensive_to_parse_is_refused,
    a_request_names_one_host,
    no_request_is_smuggled_in_another,
    a_head_that_is_too_long_is_refused,
    a_path_is_routed_as_it_is_written,
);

over_http2!(
    a_byte_order_mark_is_ignored_and_an_encoded_body_is_refused,
    a_body_that_is_not_what_the_document_asks_for_is_refused,
    a_member_of_the_wrong_type_is_refused,
    a_body_without_the_media_type_of_json_is_refused,
    characters_that_belong_in_no_name_are_refused,
    an_unknown_path_is_not_found_in_the_format_of_its_contract,
    a_wrong_method_is_refused_and_the_allowed_ones_are_named,
    an_unknown_path_outside_the_contracts_is_a_problem_document,
    strange_headers_are_refused_like_any_bad_token,
    names_are_data_to_the_store,
    json_that_is_expensive_to_parse_is_refused,
);

async fn a_body_that_is_not_what_the_document_asks_for_is_refused(store: Store) {
    let service = Program::on(store).await;
    let deep_list = "[".repeat(100_000);
    let deep_member = format!(
        r#"{{"username":{}1{}}}"#,
        "[".repeat(1000),
        "]".repeat(1000)
    );
    let deep_object = r#"{"password":"#.repeat(10_000);
    for endpoint in documented() {
        for body in [
            &b"nonsense"[..],
            b"{",
            b"{\"username\"",
            b"null",
            b"true",
            b"5",
            b"\"text\"",
            b"[]",
            b"[{\"username\":\"ann\",\"password\":\"ann-secret\"}]",
            b"username=ann&password=ann-secret",
            b"{\"username\":\"ann\xff\xfe\",\"password\":\"ann-secret\"}",
            b"{\"username\":\"\\ud800\",\"email\":\"\\ud800\",\"password\":\"ann-secret\"}",
            b"{\"username\":1e999}",
            b"\xef\xbb\xbf{}",
            b"\0",
            deep_list.as_bytes(),
            deep_member.as_bytes(),
            deep_object.as_bytes(),
        ] {
            let request = service.send(endpoint).body_of("application/json", body);
            let answer = request.await;
            Contract::of(endpoint).refuses_the_client(&answer);
        }
        let answer = service
            .send(endpoint)
            .header("content-type", "application/json")
            .await;
        Contract::of(endpoint).refuses_the_client(&answer);
    }
    still_serves(&service).await;
}

async fn a_member_of_the_wrong_type_is_refused(store: Store) {
    let service = Program::on(store).await;
    let wrong = [
        json!(5),
        json!(true),
        json!(null),
        json!(["ann@example.com"]),
        json!({"$ne": ""}),
        json!(-1.5e300),
    ];
    for contract in Contract::ALL {
        let good = contract.registration_of(&Person::called("ann"));
        for field in good.as_object().unwrap().keys() {
            for value in &wrong {
                let mut body = good.clone();
                body[field] = value.clone();
                let answer = service.send(contract.registration()).json(&body).await;
                contract.refuses(&answer, answer.status);
                assert!((400..500).contains(&answer.status), "{field}: {answer}");
            }
        }
        let good = contract.login_of("ann@example.com", "ann-secret");
        for field in good.as_object().unwrap().keys() {
            for value in &wrong {
                let mut body = good.clone();
                body[field] = value.clone();
                let answer = service.send(contract.login()).json(&body).await;
                contract.refuses_the_client(&answer);
            }
        }
    }
    for value in &wrong {
        let request = service.send(users::REQUEST_RESET);
        let answer = request.json(&json!({"username": value})).await;
        Contract::Users.refuses_the_client(&answer);
    }
    still_serves(&service).await;
}

async fn a_body_without_the_media_type_of_json_is_refused(store: Store) {
    let service = Program::on(store).await;
    for contract in Contract::ALL {
        let person = Person::called("ann");
        let body = contract.registration_of(&person).to_string();
        let registration = || service.send(contract.registration());
        let answer = registration().untyped_body(body.as_bytes()).await;
        contract.refuses_the_client(&answer);
        for media_type in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/xml",
            "multipart/form-data; boundary=x",
            "json",
            "",
        ] {
            let answer = registration().body_of(media_type, body.as_bytes()).await;
            contract.refuses_the_client(&answer);
        }
        let login = contract
            .login_of(&person.email, &person.password)
            .to_string();
        let answer = service
            .send(contract.login())
            .untyped_body(login.as_bytes())
            .await;
        contract.refuses_the_client(&answer);
    }
    // A media type can have parameters and is case-insensitive (RFC 9110 §8.3.1). All four requests name the same
    // person.
    let body = Contract::ApiAuth
        .registration_of(&Person::called("ann"))
        .to_string();
    let answer = service
        .send(Contract::ApiAuth.registration())
        .body_of("Application/JSON; charset=utf-8", body.as_bytes())
        .await;
    assert_eq!(answer.status, 201, "{answer}");
}

async fn a_byte_order_mark_is_ignored_and_an_encoded_body_is_refused(store: Store) {
    let service = Program::on(store).await;
    for contract in Contract::ALL {
        let person = Person::called(&format!("ann-{}", contract.base().replace('/', "-")));
        let body = contract.registration_of(&person).to_string();
        for coding in ["gzip", "deflate", "br", "identity, gzip"] {
            let request = service.send(contract.registration()).json_text(&body);
            let answer = request.header("content-encoding", coding).await;
            contract.refuses(&answer, 415);
            assert_eq!(answer.header("accept-encoding"), Some("identity"));
        }
        let marked = format!("\u{feff}{body}");
        let request = service.send(contract.registration()).json_text(&marked);
        let answer = request.header("content-encoding", "identity").await;
        assert!((200..300).contains(&answer.status), "{answer}");
    }
    let request = service
        .send(own::ERASE_BY_POST)
        .json(&serde_json::json!({}));
    let answer = request.header("content-encoding", "gzip").await;
    assert_eq!(answer.status, 415, "{answer}");
    assert!(answer.body.contains("Content-Encoding"), "{answer}");
}

async fn a_body_that_is_too_large_is_refused_without_being_read_to_its_end(store: Store) {
    let service = Program::on(store).await;
    let with_bodies = Contract::ALL
        .into_iter()
        .flat_map(|contract| [contract.registration(), contract.login()])
        .chain([users::REQUEST_RESET]);
    // Sixteen megabytes, of which the service may leave any part unread.
    let megabyte = "x".repeat(1 << 20);
    for endpoint in with_bodies {
        let Endpoint { method, path } = endpoint;
        for (length, chunk) in [
            ("Content-Length: 1099511627776", megabyte.clone()),
            (
                "Transfer-Encoding: chunked",
                format!("100000\r\n{megabyte}\r\n"),
            ),
        ] {
            let mut wire = Wire::to(&service.address()).await;
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: authlog\r\nConnection: close\r\n\
                 Content-Type: application/json\r\n{length}\r\n\r\n"
            );
            wire.write(head.as_bytes()).await;
            for _ in 0..16 {
                wire.write(chunk.as_bytes()).await;
            }
            let answer = wire.read_answer().await;
            Contract::of(endpoint).refuses_the_client(&answer);
        }
    }
    still_serves(&service).await;
}

async fn characters_that_belong_in_no_name_are_refused(store: Store) {
    let service = Program::on(store).await;
    for contract in Contract::ALL {
        let good = contract.registration_of(&Person::called("ann"));
        for field in good.as_object().unwrap().keys() {
            for text in [
                "ann\u{0}@example.com",
                "ann\n@example.com",
                "\u{7f}",
                "\u{0}",
            ] {
                let mut body = good.clone();
                body[field] = json!(text);
                let answer = service.send(contract.registration()).json(&body).await;
                contract.refuses_the_client(&answer);
                if contract == Contract::ApiAuth {
                    let errors = answer.json()["errors"].clone();
                    assert!(errors.get(field).is_some(), "{field}: {answer}");
                }
            }
        }
        let body = contract.login_of("ann\u{0}@example.com", "ann-secret");
        let answer = service.send(contract.login()).json(&body).await;
        contract.refuses_the_client(&answer);
    }
    let body = json!({"username": "ann\u{0}@example.com"});
    let answer = service.send(users::REQUEST_RESET).json(&body).await;
    assert!(answer.status < 500, "{answer}");
    still_serves(&service).await;
}

async fn an_unknown_path_is_not_found_in_the_format_of_its_contract(store: Store) {
    let service = Program::on(store).await;
    for (contract, path) in [
        (Contract::ApiAuth, "/api/auth/nothing"),
        (Contract::ApiAuth, "/api/auth/login/nothing"),
        (Contract::ApiAuth, "/api/auth/%00"),
        (Contract::Users, "/users/nothing"),
        (Contract::Users, "/users/reset-password/nothing"),
        (Contract::Users, "/users/..%2f..%2fetc%2fpasswd"),
        (Contract::Api, "/api/nothing"),
        (Contract::Api, "/api/register/nothing"),
        (Contract::Api, "/api/%ff"),
        (Contract::V1Auth, "/v1/auth/nothing"),
        (Contract::V1Auth, "/v1/auth/login/nothing"),
    ] {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let answer = service.send(Endpoint::at(method, path)).await;
            contract.refuses(&answer, 404);
        }
    }
    let answer = service.send(Endpoint::at("GET", "/api/auth/nothing")).await;
    assert_eq!(answer.json()["message"], "Not Found");
}

async fn a_wrong_method_is_refused_and_the_allowed_ones_are_named(store: Store) {
    let service = Program::on(store).await;
    let documented = documented();
    for endpoint in &documented {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let wrong = Endpoint {
                method,
                ..*endpoint
            };
            if documented.contains(&wrong) {
                continue;
            }
            let answer = service.send(wrong).await;
            Contract::of(*endpoint).refuses(&answer, 405);
            // RFC 9110 §15.5.6.
            let named = answer.header("allow").unwrap_or_default();
            assert!(named.contains(endpoint.method), "{answer}");
            assert!(!named.contains(method), "{answer}");
        }
    }
}

async fn an_unknown_path_outside_the_contracts_is_a_problem_document(store: Store) {
    let service = Program::on(store).await;
    for path in ["/nothing", "/v1", "/v1/nothing", "/userss", "/apis"] {
        let answer = service.send(Endpoint::at("GET", path)).await;
        is_a_problem(&answer.headers, &answer.body, answer.status, 404);
    }
    let answer = service
        .send(Endpoint::at("DELETE", own::HEALTHZ.path))
        .await;
    is_a_problem(&answer.headers, &answer.body, answer.status, 405);
}

async fn strange_headers_are_refused_like_any_bad_token(store: Store) {
    let service = Program::on(store).await;
    let long = "x".repeat(10_000);
    for endpoint in documented() {
        for value in [
            &b"\xff\xfe"[..],
            b"Bearer \xc3\x28",
            b"Bearer",
            b"Bearer ",
            b"Bearer  x  y",
            b"bearer bearer bearer",
            b"..",
            b"e30.e30.",
            b"eyJhbGciOiJub25lIn0.e30.",
            long.as_bytes(),
        ] {
            let request = service.send(endpoint).header("authorization", value);
            let answer = request.header("cookie", value).await;
            Contract::of(endpoint).refuses_the_client(&answer);
        }
    }
    still_serves(&service).await;
}

async fn names_are_data_to_the_store(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    Contract::Api.registers(&http, &Person::called("ann")).await;
    let person = Person {
        name: "Robert'); DROP TABLE events;-- <b>\\ \u{1f600}".to_owned(),
        email: "o'brien+x@example.com".to_owned(),
        password: "'; DELETE FROM credentials; --".to_owned(),
        ..Person::called("bobby")
    };
    Contract::Api.registers(&http, &person).await;
    let answer = Contract::V1Auth.sign_in(&http, &person).await;
    let user: Value = answer.json()["data"]["user"].clone();
    assert_eq!(user["name"], person.name);
    assert_eq!(user["email"], person.email);
    // `%` and `_` are no wildcards.
    let body = Contract::Users.login_of("%", "ann-opens-sesame");
    let answer = http.send(users::LOGIN).json(&body).await;
    Contract::Users.says_wrong_credentials(&answer);
    Contract::V1Auth
        .signs_in(&http, &Person::called("ann"))
        .await;
}

async fn json_that_is_expensive_to_parse_is_refused(store: Store) {
    let service = Program::on(store).await;
    let list = |length: usize| format!("{}{}", "[".repeat(length), "]".repeat(length));
    let members: Vec<String> = (0..4000)
        .map(|number| format!(r#""m{number}":1"#))
        .collect();
    let credentials =
        r#""username":"ann","email":"ann@example.com","name":"Ann","password":"ann-secret""#;
    let bombs = [
        format!(r#"{{"username":{}}}"#, "9".repeat(60_000)),
        r#"{"username":1e400,"email":-1e400,"password":1e99999999999}"#.to_owned(),
        format!(r#"{{"password":"{}"}}"#, "\\u0000".repeat(9000)),
        format!(r#"{{"password":"{}"}}"#, "\\ud83d\\ude00".repeat(5000)),
        r#"{"password":"a","password":"b","username":"a","username":"b","email":"a","email":"b"}"#
            .to_owned(),
        format!(r#"{{{credentials},"password":"another"}}"#),
        format!(r#"{{"more":{},"password":1}}"#, list(30_000)),
        format!(r#"{{{},"password":false}}"#, members.join(",")),
        format!("{}{{", " ".repeat(60_000)),
    ];
    for contract in Contract::ALL {
        for endpoint in [contract.registration(), contract.login()] {
            for bomb in &bombs {
                let answer = service.send(endpoint).json_text(bomb).await;
                contract.refuses_the_client(&answer);
            }
        }
    }
    still_serves(&service).await;
}

async fn a_request_names_one_host(store: Store) {
    let service = Program::on(store).await;
    for (head, status) in [
        ("GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "),
        (
            "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "HTTP/1.1 400 ",
        ),
        ("GET /healthz HTTP/1.0\r\n\r\n", "HTTP/1.0 200 "),
    ] {
        let mut wire = Wire::to(&service.address()).await;
        wire.write(head.as_bytes()).await;
        let said = wire.read_to_end().await;
        assert!(said.starts_with(status), "{head:?}: {said}");
    }
}

async fn no_request_is_smuggled_in_another(store: Store) {
    let service = Program::on(store).await;
    let hidden = "GET /users/verify-token HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunked = format!("0\r\n\r\n{hidden}");
    let length = chunked.len();
    let json = "Content-Type: application/json\r\n";
    let last = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for (headers, body) in [
        (
            format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
            chunked.clone(),
        ),
        (
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
            chunked.clone(),
        ),
        (
            format!("Content-Length: {length}\r\nTransfer-Encoding : chunked\r\n"),
            chunked.clone(),
        ),
        (
            format!("Content-Length: {length}\r\nTransfer-Encoding: xchunked\r\n"),
            chunked.clone(),
        ),
        (
            format!("Content-Length: {length}\r\nTransfer-Encoding: chunked, identity\r\n"),
            chunked.clone(),
        ),
        (
            format!("Content-Length: {length}\r\nContent-Length: 0\r\n"),
            chunked.clone(),
        ),
        (format!("Content-Length: {length}, 0\r\n"), chunked.clone()),
        (format!("Content-Length: +{length}\r\n"), chunked.clone()),
        (format!("Content-Length: 0x{length:x}\r\n"), chunked.clone()),
        (format!("Content-Length : {length}\r\n"), chunked.clone()),
        (
            format!("X-Folded: a\r\n Content-Length: {length}\r\n"),
            chunked.clone(),
        ),
        ("Content-Length: -1\r\n".to_owned(), chunked.clone()),
        (
            "Content-Length: 99999999999999999999\r\n".to_owned(),
            chunked.clone(),
        ),
        (
            "Transfer-Encoding: chunked\r\n".to_owned(),
            format!("ffffffffffffffff1\r\n{hidden}"),
        ),
        (
            "Transfer-Encoding: chunked\r\n".to_owned(),
            format!("-1\r\n\r\n{hidden}"),
        ),
        (
            "Transfer-Encoding: chunked\r\n".to_owned(),
            format!("0x2\r\n{{}}\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "X-Nul: a\0b\r\nContent-Length: 0\r\n".to_owned(),
            hidden.to_owned(),
        ),
    ] {
        let request =
            format!("POST /users/login HTTP/1.1\r\nHost: a\r\n{json}{headers}\r\n{body}{last}");
        let mut wire = Wire::to(&service.address()).await;
        wire.write(request.as_bytes()).await;
        let said = wire.read_to_end().await;
        assert!(said.starts_with("HTTP/1.1 4"), "{headers:?}: {said}");
        assert!(
            !said.contains("access_token"),
            "the hidden one was answered: {headers:?}: {said}"
        );
    }
    still_serves(&service).await;
}

async fn a_head_that_is_too_long_is_refused(store: Store) {
    let service = Program::on(store).await;
    for head in [
        format!(
            "GET /healthz HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n",
            "x".repeat(200_000)
        ),
        format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(200_000)),
        format!(
            "GET /healthz HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X-Many: x\r\n".repeat(2000)
        ),
    ] {
        let mut wire = Wire::to(&service.address()).await;
        wire.write(head.as_bytes()).await;
        let said = wire.read_to_end().await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    still_serves(&service).await;
}

async fn a_path_is_routed_as_it_is_written(store: Store) {
    let service = Program::on(store).await;
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("ann"))
        .await;
    let body = Contract::Users
        .login_of("ann", "ann-opens-sesame")
        .to_string();
    for target in [
        "//users/login",
        "/users//login",
        "/users/login/",
        "/users/login/.",
        "/users/./login",
        "/users/../users/login",
        "/api/../users/login",
        "/api/%2e%2e/users/login",
        "/api/..%2fusers/login",
        "/%75sers/login",
        "/users%2flogin",
        "/users/login%00",
        "/users/login%20",
        "/users/login;a=b",
        "/users/login%3fa=b",
        "/USERS/LOGIN",
        "/users\\login",
        "http://authlog//users/login",
        "http://authlog/api/../users/login",
        "*",
        "users/login",
        "authlog:80",
    ] {
        for method in ["POST", "GET", "OPTIONS", "CONNECT"] {
            let length = body.len();
            let request = format!(
                "{method} {target} HTTP/1.1\r\nHost: authlog\r\nConnection: close\r\n\
                 Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            let mut wire = Wire::to(&service.address()).await;
            wire.write(request.as_bytes()).await;
            let said = wire.read_to_end().await;
            assert!(said.starts_with("HTTP/1.1 4"), "{method} {target}: {said}");
        }
    }
    // In absolute form the path counts and the host does not (RFC 9112 §3.2.2), even with an unknown host.
    for (target, host) in [
        ("http://evil.example/users/login", "authlog"),
        ("/users/login", "evil.example"),
    ] {
        let length = body.len();
        let mut wire = Wire::to(&service.address()).await;
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        wire.write(request.as_bytes()).await;
        let answer = wire.read_answer().await;
        assert_eq!(answer.status, 200, "{answer}");
        assert!(!answer.to_string().contains("evil"), "{answer}");
    }
}

/// The endpoints that the documents name.
fn documented() -> Vec<Endpoint> {
    let ours = |name: &str| name.starts_with("own::");
    NAMED
        .iter()
        .filter(|(name, _)| !ours(name))
        .map(|(_, endpoint)| *endpoint)
        .collect()
}

/// Asserts that the service still serves: a new person registers and signs in.
async fn still_serves(service: &Program) {
    let person = Person::called("a-new-person");
    Contract::ApiAuth.registers(&service.http(), &person).await;
    Contract::ApiAuth.signs_in(&service.http(), &person).await;
}

/// Asserts that this is a problem document (RFC 9457).
#[track_caller]
fn is_a_problem(headers: &reqwest::header::HeaderMap, body: &str, status: u16, expected: u16) {
    assert_eq!(status, expected, "{body}");
    assert_eq!(
        headers["content-type"], "application/problem+json",
        "{body}"
    );
    let problem: Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["status"], expected, "{body}");
}
