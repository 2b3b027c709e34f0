//! The settings of a client in the body of a request.

use authlog_application::ClientForm;
use serde_json::{Map, Value};

/// A body with members of a client. Its members are read one by one, so that an error names the member.
pub(super) type ClientIn = Map<String, Value>;

/// The id and the settings that a registration names.
///
/// # Errors
/// A sentence for the client about the first invalid member.
pub(super) fn registration(body: &ClientIn) -> Result<(Option<String>, ClientForm), String> {
    let mut settings = body.clone();
    let id = settings.remove("id").unwrap_or_default();
    let id = optional(&id).ok_or_else(|| expected("id", "a string"))?;
    Ok((id, form(&settings)?))
}

/// The settings that a change names. An unknown member is an error, because a setting that is not made could be one on which
/// security depends.
///
/// # Errors
/// As for [`registration`].
pub(super) fn form(body: &ClientIn) -> Result<ClientForm, String> {
    let mut form = ClientForm::default();
    for (name, value) in body {
        read(&mut form, name, value)?;
    }
    Ok(form)
}

fn read(form: &mut ClientForm, name: &str, value: &Value) -> Result<(), String> {
    match name {
        "name" => form.name = Some(text(name, value)?),
        "redirect_uris" => form.redirect_uris = Some(texts(name, value)?),
        "post_logout_redirect_uris" => form.post_logout_redirect_uris = Some(texts(name, value)?),
        "backchannel_logout_uri" => {
            let uri = optional(value).ok_or_else(|| expected(name, "a string or null"))?;
            form.backchannel_logout_uri = Some(uri.unwrap_or_default());
        }
        "grants" => form.grants = Some(texts(name, value)?),
        "scopes" => form.scopes = Some(text(name, value)?),
        "audiences" => form.audiences = Some(texts(name, value)?),
        "auth_method" => form.auth_method = Some(text(name, value)?),
        "jwks" => {
            form.jwks = Some(match value {
                Value::Null => String::new(),
                Value::Object(_) => value.to_string(),
                _ => return Err(expected(name, "a JSON Web Key Set or null")),
            });
        }
        "require_pkce" => form.require_pkce = Some(flag(name, value)?),
        "dpop_bound" => form.dpop_bound = Some(flag(name, value)?),
        "require_pushed_requests" => form.require_pushed_requests = Some(flag(name, value)?),
        "id_token_alg" => form.id_token_alg = Some(text(name, value)?),
        "first_party" => form.first_party = Some(flag(name, value)?),
        _ => return Err("The body has a member that is no setting of a client.".to_owned()),
    }
    Ok(())
}

/// The text; the inner value is `None` for null, and the outer one for a value of another type.
#[expect(
    clippy::option_option,
    reason = "null and a value of another type are different"
)]
fn optional(value: &Value) -> Option<Option<String>> {
    match value {
        Value::Null => Some(None),
        Value::String(text) => Some(Some(text.clone())),
        _ => None,
    }
}

fn text(name: &str, value: &Value) -> Result<String, String> {
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| expected(name, "a string"))
}

fn texts(name: &str, value: &Value) -> Result<Vec<String>, String> {
    let list = value.as_array().map(Vec::as_slice);
    let texts = list.and_then(|list| {
        list.iter()
            .map(|it| Some(it.as_str()?.to_owned()))
            .collect()
    });
    texts.ok_or_else(|| expected(name, "an array of strings"))
}

fn flag(name: &str, value: &Value) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| expected(name, "true or false"))
}

fn expected(name: &str, form: &str) -> String {
    format!("{name} must be {form}.")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(value: &Value) -> ClientIn {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_member_of_the_wrong_type_is_named_and_an_unknown_one_is_refused() {
        for (member, value) in [
            ("name", json!(null)),
            ("redirect_uris", json!("https://shop.example/")),
            ("redirect_uris", json!([1])),
            ("backchannel_logout_uri", json!(1)),
            ("grants", json!({})),
            ("scopes", json!(["openid"])),
            ("jwks", json!("{}")),
            ("require_pkce", json!("false")),
            ("first_party", json!(null)),
        ] {
            let error = form(&body(&json!({ member: value }))).unwrap_err();
            assert!(error.starts_with(member), "{error}");
        }
        assert!(form(&body(&json!({ "redirect_uri": [] }))).is_err());
        assert!(form(&body(&json!({ "id": "other" }))).is_err());
        assert!(registration(&body(&json!({ "id": 1 }))).is_err());
    }

    #[test]
    fn null_removes_what_may_be_absent() {
        let form = form(&body(
            &json!({ "jwks": null, "backchannel_logout_uri": null }),
        ))
        .unwrap();
        assert_eq!(form.jwks.as_deref(), Some(""));
        assert_eq!(form.backchannel_logout_uri.as_deref(), Some(""));
        let (id, _) = registration(&body(&json!({ "name": "Shop" }))).unwrap();
        assert_eq!(id, None);
    }
}
