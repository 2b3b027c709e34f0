//! The member `credentials` of a line: the credentials of an account as Keycloak exports them.
//!
//! Each has the members `type`, `secretData` and `credentialData`. The last two are JSON in a string.

use authlog_application::TotpForm;
use data_encoding::BASE32_NOPAD;
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

/// The credentials of an account. Those of other types, such as passkeys, are left out. It has no `Debug`.
#[derive(Default)]
pub(super) struct Exported {
    pub(super) password_hash: Option<String>,
    pub(super) totp: Vec<TotpForm>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credential {
    secret_data: String,
    credential_data: String,
    user_label: Option<String>,
}

#[derive(Deserialize)]
struct PasswordSecret {
    value: String,
    salt: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PasswordData {
    hash_iterations: u32,
    algorithm: String,
    #[serde(default)]
    additional_parameters: Argon2Data,
}

/// The parameters of an Argon2 hash, each in an array of one.
#[derive(Default, Deserialize)]
struct Argon2Data {
    #[serde(default)]
    r#type: Vec<String>,
    #[serde(default)]
    version: Vec<String>,
    #[serde(default)]
    memory: Vec<String>,
    #[serde(default)]
    parallelism: Vec<String>,
}

#[derive(Deserialize)]
struct OtpSecret {
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OtpData {
    sub_type: String,
    digits: u64,
    period: u64,
    algorithm: String,
    secret_encoding: Option<String>,
}

/// The password and the apps of an account. The error does not repeat them.
pub(super) fn parse(credentials: &Value) -> Result<Exported, &'static str> {
    let Value::Array(credentials) = credentials else {
        return Err("credentials is not an array");
    };
    let mut exported = Exported::default();
    for credential in credentials {
        match credential["type"].as_str() {
            Some("password") if exported.password_hash.is_some() => {
                return Err("credentials has more than one password");
            }
            Some("password") => exported.password_hash = Some(password(&read(credential)?)?),
            Some("otp") => exported.totp.push(app(read(credential)?)?),
            _ => {}
        }
    }
    Ok(exported)
}

fn read(credential: &Value) -> Result<Credential, &'static str> {
    Credential::deserialize(credential)
        .map_err(|_| "credentials has a credential without secretData and credentialData")
}

/// The hash in the form in which it is stored.
fn password(credential: &Credential) -> Result<String, &'static str> {
    const OTHER: &str = "credentials has a password that cannot be read";
    let secret: PasswordSecret =
        serde_json::from_str(&credential.secret_data).map_err(|_| OTHER)?;
    let data: PasswordData =
        serde_json::from_str(&credential.credential_data).map_err(|_| OTHER)?;
    let PasswordSecret { value, salt } = secret;
    let iterations = data.hash_iterations;
    match data.algorithm.as_str() {
        name @ ("pbkdf2" | "pbkdf2-sha256" | "pbkdf2-sha512") => {
            Ok(format!("${name}$i={iterations}${salt}${value}"))
        }
        "argon2" => {
            let parameters = data.additional_parameters;
            let of = |parameter: &[String]| parameter.first().cloned().ok_or(OTHER);
            let version = match of(&parameters.version)?.as_str() {
                "1.3" => 0x13,
                "1.0" => 0x10,
                _ => return Err(OTHER),
            };
            // PHC strings have no padding.
            let [salt, value] = [salt, value].map(|text| text.trim_end_matches('=').to_owned());
            Ok(format!(
                "$argon2{}$v={version}$m={},t={iterations},p={}${salt}${value}",
                of(&parameters.r#type)?,
                of(&parameters.memory)?,
                of(&parameters.parallelism)?,
            ))
        }
        _ => Err("credentials has a password hash of an algorithm that is not supported"),
    }
}

/// The authenticator app. Keycloak stores the seed as text, whose bytes are the seed unless an encoding is named.
fn app(credential: Credential) -> Result<TotpForm, &'static str> {
    const OTHER: &str = "credentials has an authenticator app that cannot be read";
    let OtpSecret { value } = serde_json::from_str(&credential.secret_data).map_err(|_| OTHER)?;
    let value = Zeroizing::new(value);
    let data: OtpData = serde_json::from_str(&credential.credential_data).map_err(|_| OTHER)?;
    if data.sub_type != "totp" {
        return Err(
            "credentials has an app whose codes are counted (HOTP), which cannot be imported",
        );
    }
    let secret = match data.secret_encoding.as_deref() {
        None => Zeroizing::new(BASE32_NOPAD.encode(value.as_bytes())),
        Some(name) if name.eq_ignore_ascii_case("base32") => value,
        Some(_) => return Err(OTHER),
    };
    Ok(TotpForm {
        secret,
        algorithm: Some(data.algorithm),
        digits: Some(data.digits),
        period: Some(data.period),
        label: credential.user_label,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn credential(kind: &str, secret: &Value, data: &Value) -> Value {
        json!({
            "id": "34389672-9356-4154-9ed6-6c212b869010", "type": kind, "userLabel": "Smartphone",
            "createdDate": 1_767_604_673_211_u64, "secretData": secret.to_string(), "credentialData": data.to_string(),
        })
    }

    fn password_of(algorithm: &str, more: &Value) -> Result<Option<String>, &'static str> {
        let secret = json!({"value": "aGFzaA==", "salt": "c2FsdA==", "additionalParameters": {}});
        let data =
            json!({"hashIterations": 5, "algorithm": algorithm, "additionalParameters": more});
        parse(&json!([credential("password", &secret, &data)])).map(|it| it.password_hash)
    }

    #[test]
    fn a_password_becomes_a_hash_in_its_stored_form() {
        let argon2 = json!({
            "hashLength": ["32"], "memory": ["7168"], "type": ["id"], "version": ["1.3"], "parallelism": ["1"],
        });
        for (algorithm, more, expected) in [
            ("pbkdf2", json!({}), "$pbkdf2$i=5$c2FsdA==$aGFzaA=="),
            (
                "pbkdf2-sha256",
                json!({}),
                "$pbkdf2-sha256$i=5$c2FsdA==$aGFzaA==",
            ),
            (
                "pbkdf2-sha512",
                json!({}),
                "$pbkdf2-sha512$i=5$c2FsdA==$aGFzaA==",
            ),
            (
                "argon2",
                argon2,
                "$argon2id$v=19$m=7168,t=5,p=1$c2FsdA$aGFzaA",
            ),
        ] {
            assert_eq!(password_of(algorithm, &more), Ok(Some(expected.to_owned())));
        }
        assert!(password_of("argon2", &json!({})).is_err());
        let other = password_of("rot13", &json!({}));
        assert!(other.unwrap_err().contains("not supported"));
    }

    #[test]
    fn an_app_is_imported_with_the_bytes_of_its_seed() {
        let with = |encoding: Value| {
            let secret = json!({"value": "12345678901234567890"});
            let data = json!({
                "subType": "totp", "digits": 6, "counter": 0, "period": 30, "algorithm": "HmacSHA1", "secretEncoding": encoding,
            });
            parse(&json!([credential("otp", &secret, &data), {"type": "webauthn"}]))
        };
        let exported = with(Value::Null).ok().unwrap();
        let app = &exported.totp[0];
        assert_eq!(*app.secret, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(app.label.as_deref(), Some("Smartphone"));
        assert_eq!(exported.password_hash, None);
        let exported = with(json!("BASE32")).ok().unwrap();
        assert_eq!(*exported.totp[0].secret, "12345678901234567890");
        assert!(with(json!("HEX")).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_the_reason() {
        let hotp = json!({"subType": "hotp", "digits": 6, "counter": 7, "period": 0, "algorithm": "HmacSHA1"});
        for (credentials, why) in [
            (json!({}), "not an array"),
            (
                json!([{"type": "password", "value": "plain"}]),
                "without secretData",
            ),
            (
                json!([{"type": "otp", "secretData": 7, "credentialData": "{}"}]),
                "without secretData",
            ),
            (
                json!([{"type": "password", "secretData": "{", "credentialData": "{}"}]),
                "cannot be read",
            ),
            (
                json!([credential("otp", &json!({"value": "x"}), &hotp)]),
                "HOTP",
            ),
        ] {
            let refused = parse(&credentials).err().unwrap();
            assert!(refused.contains(why), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn any_data_is_read_or_refused(secret in any::<String>(), data in any::<String>(), kind in "password|otp|other") {
            let credential = json!({"type": kind, "secretData": secret, "credentialData": data});
            let _ = parse(&json!([credential]));
        }
    }
}
