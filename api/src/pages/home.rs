//! The start page: what this service is, and where to go from here.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::frame::Frame;
use super::session::session_of;
use crate::Api;

/// Shows the page. It is the same without a store, apart from the person who is signed in.
pub(super) async fn show(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    let session = session_of(&api, &headers).await.unwrap_or_default();
    let account = session.as_ref().map(|session| session.account());
    let frame = account.map_or_else(
        || Frame::of(&api),
        |account| Frame::of_person(&api, account),
    );
    let base = frame.base();
    let links = if account.is_some() {
        format!(
            r#"<li><a href="{base}/security">Your password, sessions and second factors</a></li>"#
        )
    } else {
        let sign_up = if api.authlog.accepts_registrations() {
            format!("\n<li><a href=\"{base}/sign-up\">Create an account</a></li>")
        } else {
            String::new()
        };
        format!(
            r#"<li><a href="{base}/sign-in">Sign in</a></li>{sign_up}
<li><a href="{base}/forgotten-password">Forgotten password</a></li>"#
        )
    };
    let content = format!(
        r"<p>This service keeps the accounts of the applications that use it. Here you manage your own: its password, its second
factors, and where you are signed in.</p>
<ul>
{links}
</ul>"
    );
    frame.page(StatusCode::OK, "Your account", &content)
}
