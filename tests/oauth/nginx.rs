//! Debian's nginx with its JavaScript module, if both are installed: it asks about the tokens of an API. Its settings are those of
//! `docs/oauth.md`.

use super::provider::Provider;
use crate::support::http::Request;
use crate::support::nginx::{Nginx, documented};
use crate::support::oauth::{Registration, basic};
use crate::support::{Endpoint, Settings, Store, own};

/// The resource that the API is.
const API: &str = "https://api.example";

const MODULE: &str = "ngx_http_js_module.so";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_asks_about_each_token_of_an_api() {
    if !Nginx::is_installed(&[MODULE]) {
        return;
    }
    let registration = Registration::public("app")
        .with("--scope", "openid email api.read")
        .with("--audience", API);
    let mut op = Provider::with(Settings::on(Store::Sqlite), &registration).await;
    let server = Registration::resource_server("notes-api", API).at(&op.service);
    let credentials = basic("notes-api", server.secret.as_deref().unwrap());
    let configuration = documented("docs/oauth.md", "nginx");
    let placeholder = "Basic bm90ZXMtYXBpOmFsc18…";
    assert!(configuration.contains(placeholder));
    let configuration = configuration.replace(placeholder, &credentials);
    let script = documented("docs/oauth.md", "js");
    let files = [("introspection.js", script.as_str())];
    let nginx = Nginx::before(&op.service, &configuration, &[MODULE], &files).await;
    let call = |token: &str| forging(nginx.get("/api/notes")).bearer(token);

    let begun = op.app.begins("openid api.read").with("resource", API);
    let granted = op.completes(&begun).await;
    let answer = call(&granted.access).await;
    assert_eq!(answer.status, 200, "{answer}");
    let subject = granted.id_claims()["sub"].as_str().unwrap().to_owned();
    assert!(answer.body.contains(&subject), "{answer}");
    assert!(!answer.body.contains("forged"), "{answer}");
    // A body goes to the application, and not to Authlog.
    let upload = nginx.http.send(Endpoint::at("PUT", "/api/notes"));
    let upload = upload
        .untyped_body(&[b'x'; 100_000])
        .bearer(&granted.access);
    let answer = upload.await;
    assert!(answer.body.contains("Content-Length: 100000"), "{answer}");
    // A token without the scope, one for another resource, none, and a refresh token.
    let begun = op.app.begins("openid email").with("resource", API);
    let without_scope = op.completes(&begun).await;
    assert_eq!(call(&without_scope.access).await.status, 403);
    let (_, for_another) = op.signs_in("openid api.read").await;
    for token in [&*for_another.access, granted.refresh(), "nonsense", "a&b=c"] {
        let answer = call(token).await;
        assert_eq!(answer.status, 401, "{answer}");
    }
    for (sent, challenge) in [
        ("Bearer nonsense", "Bearer error=\"invalid_token\""),
        ("Basic bm9uc2Vuc2U=", "Bearer"),
    ] {
        let answer = nginx.get("/api/notes").authorization(sent).await;
        assert_eq!(answer.status, 401, "{answer}");
        assert_eq!(answer.header("www-authenticate"), Some(challenge));
    }
    // The locations that nginx asks itself are not for clients.
    for path in ["/_token", "/_introspect"] {
        assert_eq!(nginx.get(path).bearer(&granted.access).await.status, 404);
    }
    // The token of a session that ended is refused at once.
    let form = [("token", granted.access.as_str())];
    let answer = op.app.authenticated(own::REVOKE, &form).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(call(&granted.access).await.status, 401);
}

/// Adds a forged header of the identity.
fn forging(request: Request) -> Request {
    request
        .header("x-token-subject", "forged")
        .header("x_token_subject", "forged")
}
