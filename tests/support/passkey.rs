//! Passkeys: an authenticator in software with a P-256 key, as a browser would speak to it (WebAuthn Level 3).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;

use super::http::Http;
use super::{Answer, Contract, Person, Program, Settings, Store, own};

/// The origin of the pages of a service with passkeys.
pub const ORIGIN: &str = "http://localhost:8080";

const PRESENT: u8 = 1;
const VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const ATTESTED: u8 = 1 << 6;

/// A service with passkeys: an address is no RP ID.
pub async fn service(store: Store) -> Program {
    settings(store).start().await
}

/// Its settings.
pub fn settings(store: Store) -> Settings {
    let settings = Settings::on(store).with_cheap_hashing();
    settings.with("AUTHLOG_PUBLIC_URL", ORIGIN)
}

/// An authenticator with one passkey. The fields can be changed, so that it answers wrongly.
pub struct Passkey {
    key: EcdsaKeyPair,
    /// The factor, once it is enrolled.
    pub id: String,
    /// An access token of the session in which it was enrolled: the first factor of an account steps the session up.
    pub access: String,
    pub credential_id: Vec<u8>,
    pub origin: String,
    pub rp_id: String,
    /// The account's id, as the service sent it.
    pub user_handle: Value,
    pub flags: u8,
    pub sign_count: u32,
}

impl Passkey {
    /// An authenticator that verifies the person and keeps the passkey, without a counter.
    #[expect(
        clippy::disallowed_methods,
        reason = "an authenticator has randomness of its own"
    )]
    pub fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        Self {
            key,
            id: String::new(),
            access: String::new(),
            credential_id: Uuid::new_v4().as_bytes().to_vec(),
            origin: ORIGIN.to_owned(),
            rp_id: "localhost".to_owned(),
            user_handle: Value::Null,
            flags: PRESENT | VERIFIED,
            sign_count: 0,
        }
    }

    /// One whose passkey is copied to the person's other devices.
    pub fn synced() -> Self {
        let mut passkey = Self::new();
        passkey.flags |= BACKUP_ELIGIBLE | BACKED_UP;
        passkey
    }

    /// The same authenticator, which only tests the presence of a person from now on.
    pub fn without_verification(mut self) -> Self {
        self.flags &= !VERIFIED;
        self
    }

    /// The same authenticator, which verifies the person again.
    pub fn with_verification(mut self) -> Self {
        self.flags |= VERIFIED;
        self
    }

    fn data(&self, flags: u8) -> Vec<u8> {
        let hash = digest(&SHA256, self.rp_id.as_bytes());
        [hash.as_ref(), &[flags], &self.sign_count.to_be_bytes()].concat()
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let data = json!({
            "type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": false,
        });
        data.to_string().into_bytes()
    }

    fn credential(&self, response: &Value) -> Value {
        let id = URL_SAFE_NO_PAD.encode(&self.credential_id);
        json!({
            "id": id, "rawId": id, "type": "public-key", "response": response,
            "authenticatorAttachment": "platform", "clientExtensionResults": {},
        })
    }

    /// The answer to creation options (`RegistrationResponseJSON`).
    pub fn create(&mut self, options: &Value) -> Value {
        self.user_handle = options["user"]["id"].clone();
        let point = self.key.public_key().as_ref();
        let length = u16::try_from(self.credential_id.len()).expect("a short id");
        let data = [
            &self.data(self.flags | ATTESTED)[..],
            &[0; 16],
            &length.to_be_bytes(),
            &self.credential_id,
            &[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32],
            &point[1..33],
            &[0x22, 0x58, 32],
            &point[33..65],
        ]
        .concat();
        let length = u16::try_from(data.len()).expect("short data").to_be_bytes();
        let object = [
            b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59",
            &length[..],
            &data,
        ];
        self.credential(&json!({
            "clientDataJSON": URL_SAFE_NO_PAD.encode(self.client_data("webauthn.create", options)),
            "attestationObject": URL_SAFE_NO_PAD.encode(object.concat()),
            "transports": ["internal", "hybrid"],
        }))
    }

    /// The answer to request options (`AuthenticationResponseJSON`).
    pub fn get(&self, options: &Value) -> Value {
        let data = self.data(self.flags);
        let client_data = self.client_data("webauthn.get", options);
        let hash = digest(&SHA256, &client_data);
        let signed = [&data, hash.as_ref()].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed);
        let signature = signature.expect("a signature");
        self.credential(&json!({
            "clientDataJSON": URL_SAFE_NO_PAD.encode(client_data),
            "authenticatorData": URL_SAFE_NO_PAD.encode(data),
            "signature": URL_SAFE_NO_PAD.encode(signature),
            "userHandle": self.user_handle,
        }))
    }
}

/// Begins to enrol a passkey for the person who is signed in with `access`.
pub async fn begin(http: &Http, access: &str, person: &Person) -> Value {
    let request = http.send(own::PASSKEY_CREATION).bearer(access);
    let answer = request.json(&json!({"password": person.password})).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

/// Sends what the authenticator answered.
pub async fn confirm(http: &Http, access: &str, begun: &Value, credential: &Value) -> Answer {
    let body = json!({"enrolment": begun["enrolment"], "credential": credential});
    let request = http.send(own::ENROL_PASSKEY).bearer(access);
    request.json(&body).await
}

/// Enrols the passkey for the person who is signed in with `access`.
pub async fn enrol(http: &Http, access: &str, person: &Person, passkey: &mut Passkey) {
    let begun = begin(http, access, person).await;
    let credential = passkey.create(&begun["publicKey"]);
    let answer = confirm(http, access, &begun, &credential).await;
    assert_eq!(answer.status, 201, "{answer}");
    let enrolled = answer.json();
    passkey.id = enrolled["id"].as_str().expect("an id").to_owned();
    let stepped_up = enrolled["session"]["access_token"].as_str();
    stepped_up.unwrap_or(access).clone_into(&mut passkey.access);
}

/// A registered person with a passkey, and an access token of the session in which it was enrolled.
pub async fn with_passkey(http: &Http, name: &str) -> (Person, Passkey, String) {
    let person = Person::called(name);
    Contract::ApiAuth.registers(http, &person).await;
    let access = Contract::Users.signs_in(http, &person).await.access;
    let mut passkey = Passkey::new();
    enrol(http, &access, &person, &mut passkey).await;
    let access = passkey.access.clone();
    (person, passkey, access)
}

/// Options for signing in without a name.
pub async fn sign_in_options(http: &Http) -> Value {
    let answer = http.send(own::PASSKEY_OPTIONS).await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()
}

/// Signs in with what the authenticator answered.
pub async fn send(http: &Http, begun: &Value, credential: &Value) -> Answer {
    let body = json!({"challenge": begun["challenge"], "credential": credential});
    http.send(own::PASSKEY_SIGN_IN).json(&body).await
}

/// Signs in without a name.
pub async fn sign_in(http: &Http, passkey: &Passkey) -> Answer {
    let begun = sign_in_options(http).await;
    send(http, &begun, &passkey.get(&begun["publicKey"])).await
}

/// Options for the second step of a login.
pub async fn second_step_options(http: &Http, challenge: &str) -> Answer {
    let request = http.send(own::SECOND_FACTOR_OPTIONS);
    request.json(&json!({"challenge": challenge})).await
}

/// Finishes a login with the passkey.
pub async fn finish(http: &Http, challenge: &str, passkey: &Passkey) -> Answer {
    let options = second_step_options(http, challenge).await;
    assert_eq!(options.status, 200, "{options}");
    let assertion = passkey.get(&options.json()["publicKey"]);
    let body = json!({"challenge": challenge, "assertion": assertion});
    http.send(own::SECOND_FACTOR).json(&body).await
}

/// Options for stepping up the session of `access`.
pub async fn step_up_options(http: &Http, access: &str) -> Value {
    let answer = http.send(own::STEP_UP_OPTIONS).bearer(access).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

/// The members by which the passkey steps up the session of `access`, in a body with these others.
pub async fn with_proof(http: &Http, access: &str, passkey: &Passkey, mut body: Value) -> Value {
    let begun = step_up_options(http, access).await;
    body["challenge"] = begun["challenge"].clone();
    body["assertion"] = passkey.get(&begun["publicKey"]);
    body
}

/// Steps up the session of `access`.
pub async fn step_up(http: &Http, access: &str, passkey: &Passkey) -> Answer {
    let body = with_proof(http, access, passkey, json!({})).await;
    http.send(own::STEP_UP).bearer(access).json(&body).await
}

/// The events of these kinds in the history of the account that is signed in with `access`.
pub async fn history(http: &Http, access: &str, kinds: &str) -> Vec<Value> {
    let request = http.send(own::HISTORY).query(&format!("type={kinds}"));
    let body = request.bearer(access).await.json();
    body["events"].as_array().expect("events").clone()
}

/// How many logins were refused for this reason.
pub async fn refused(http: &Http, access: &str, reason: &str) -> usize {
    let events = history(http, access, "LoginRefused").await;
    let of_reason = events.iter().filter(|it| it["data"]["reason"] == reason);
    of_reason.count()
}

/// Asserts that the answer is a problem (RFC 9457) with this status, and with these words in its detail.
#[track_caller]
pub fn is_refused(answer: &Answer, status: u16, words: &str) {
    assert_eq!(answer.status, status, "{answer}");
    let media_type = answer.header("content-type");
    assert_eq!(media_type, Some("application/problem+json"), "{answer}");
    let problem: Value = serde_json::from_str(&answer.body).expect("a problem");
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(detail.contains(words), "{detail}");
}
