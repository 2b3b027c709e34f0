//! The registered OAuth clients: who may change them, what is refused, and what the log tells of them.

use crate::support;

mod administration;
mod command_line;
mod past;

use serde_json::{Value, json};
use support::{Endpoint, Program, own};

/// An endpoint about a client.
fn about(method: &'static str, client: &str, rest: &str) -> Endpoint {
    let path = format!("/admin/clients/{client}{rest}");
    Endpoint::at(method, path.leak())
}

/// The settings of a web application.
fn web_application(id: &str) -> Value {
    json!({
        "id": id,
        "name": "Shop",
        "redirect_uris": ["https://shop.example/callback"],
    })
}

/// Registers a web application, and returns its document with its secret.
async fn registered(service: &Program, admin: &str, id: &str) -> Value {
    let request = service.send(own::REGISTER_CLIENT).bearer(admin);
    let answer = request.json(&web_application(id)).await;
    assert_eq!(answer.status, 201, "{answer}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}
