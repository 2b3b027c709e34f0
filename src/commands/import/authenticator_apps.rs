//! The member `totp` of a line: authenticator apps as objects or as `otpauth://` URIs.

use authlog_application::TotpForm;
use serde_json::{Map, Value};
use url::Url;
use zeroize::Zeroizing;

/// The apps of a line. The error does not repeat the seeds.
pub(super) fn parse(member: Option<&Value>) -> Result<Vec<TotpForm>, &'static str> {
    match member {
        None | Some(Value::Null) => Ok(vec![]),
        Some(Value::Array(apps)) => apps.iter().map(app).collect(),
        Some(_) => Err("totp is not an array"),
    }
}

fn app(value: &Value) -> Result<TotpForm, &'static str> {
    match value {
        Value::Object(members) => object(members),
        Value::String(uri) => key_uri(uri),
        _ => Err("totp has an entry that is neither an object nor a string"),
    }
}

fn object(members: &Map<String, Value>) -> Result<TotpForm, &'static str> {
    let text = |name, why| super::text(members, name).ok_or(why);
    let number = |name, why| match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(number) => number.as_u64().map(Some).ok_or(why),
    };
    let secret = text("secret", "secret of totp is not a string")?;
    Ok(TotpForm {
        secret: Zeroizing::new(secret.ok_or("totp has an entry without a secret")?),
        algorithm: text("algorithm", "algorithm of totp is not a string")?,
        digits: number("digits", "digits of totp is not a number")?,
        period: number("period", "period of totp is not a number")?,
        label: text("label", "label of totp is not a string")?,
    })
}

/// The app of a URI as authenticator apps read it
/// (<https://github.com/google/google-authenticator/wiki/Key-Uri-Format>). Its label names the account and not the app.
fn key_uri(uri: &str) -> Result<TotpForm, &'static str> {
    const NOT_A_URI: &str = "totp has a string that is not an otpauth:// URI";
    let uri = Url::parse(uri).map_err(|_| NOT_A_URI)?;
    match (uri.scheme(), uri.host_str()) {
        ("otpauth", Some("totp")) => {}
        ("otpauth", Some("hotp")) => {
            return Err("totp has an app whose codes are counted (HOTP), which cannot be imported");
        }
        _ => return Err(NOT_A_URI),
    }
    let mut form = TotpForm::default();
    for (name, value) in uri.query_pairs() {
        let number = |why| value.parse().map(Some).map_err(|_| why);
        match &*name {
            "secret" => form.secret = Zeroizing::new(value.into_owned()),
            "algorithm" => form.algorithm = Some(value.into_owned()),
            "digits" => form.digits = number("digits of totp is not a number")?,
            "period" => form.period = number("period of totp is not a number")?,
            _ => {}
        }
    }
    Ok(form)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_app_is_an_object_or_a_uri() {
        let apps = json!([
            {"secret": "GEZDGNBV", "algorithm": "SHA256", "digits": 8, "period": 60, "label": "phone", "more": 1},
            "otpauth://totp/Example:ann@example.com?secret=GEZDGNBV&issuer=Example&algorithm=SHA512&digits=7&period=45",
            "otpauth://totp/ann?secret=GEZDGNBV",
        ]);
        let apps = parse(Some(&apps)).ok().unwrap();
        let read: Vec<_> = apps
            .iter()
            .map(|app| {
                (
                    app.algorithm.as_deref(),
                    app.digits,
                    app.period,
                    app.label.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            read,
            [
                (Some("SHA256"), Some(8), Some(60), Some("phone")),
                (Some("SHA512"), Some(7), Some(45), None),
                (None, None, None, None),
            ]
        );
        assert!(apps.iter().all(|app| *app.secret == "GEZDGNBV"));
        assert!(parse(None).is_ok_and(|apps| apps.is_empty()));
    }

    #[test]
    fn what_is_no_app_is_refused_with_the_reason() {
        for (apps, why) in [
            (json!("GEZDGNBV"), "totp is not an array"),
            (json!([7]), "neither an object nor a string"),
            (json!([{"secret": 7}]), "secret of totp is not a string"),
            (json!([{"label": "phone"}]), "without a secret"),
            (
                json!([{"secret": "A", "digits": "6"}]),
                "digits of totp is not a number",
            ),
            (
                json!([{"secret": "A", "period": -30}]),
                "period of totp is not a number",
            ),
            (json!(["GEZDGNBV"]), "not an otpauth:// URI"),
            (json!(["https://example.com"]), "not an otpauth:// URI"),
            (
                json!(["otpauth://hotp/ann?secret=GEZDGNBV&counter=0"]),
                "HOTP",
            ),
            (
                json!(["otpauth://totp/ann?secret=A&digits=six"]),
                "digits of totp",
            ),
        ] {
            let refused = parse(Some(&apps)).err().unwrap();
            assert!(refused.contains(why), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_app_or_refused(text in any::<String>(), rest in "[a-z/:@?=&%0-9A-Z]{0,60}") {
            for uri in [text, format!("otpauth://totp/{rest}")] {
                let _ = parse(Some(&json!([uri])));
            }
        }
    }
}
