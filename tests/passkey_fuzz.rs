//! Random and mutated answers of authenticators: every endpoint that reads them refuses them, and stores nothing.
//!
//! `PROPTEST_CASES` is how many there are, and `AUTHLOG_CHAOS_SEED` repeats those of a run, which prints its seed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use support::authenticator::challenge_and_methods;
use support::http::Http;
use support::passkey::{
    Passkey, begin, enrol, service, sign_in, sign_in_options, step_up, step_up_options,
    with_passkey,
};
use support::random::{Random, from_environment};
use support::{Contract, Endpoint, Person, Program, Store, on_both_stores, own};
use tokio::task::JoinSet;

on_both_stores!(any_answer_of_an_authenticator_is_refused);

/// How many bodies are sent unless the environment says otherwise.
const BODIES: u64 = 400;

/// How many bodies are made of the same right ones, which have a challenge that expires.
const BATCH: u64 = 400;

/// How many requests wait for their answers at a time.
const CONCURRENT: u64 = 16;

/// Members of answers that are in base64url.
const ENCODED: [&str; 6] = [
    "/rawId",
    "/response/clientDataJSON",
    "/response/attestationObject",
    "/response/authenticatorData",
    "/response/signature",
    "/response/userHandle",
];

/// First bytes of CBOR items that are long, of indefinite length, nested, tagged or floating-point numbers.
const CBOR: [u8; 16] = [
    0x00, 0xff, 0x1b, 0x3b, 0x5b, 0x5f, 0x7b, 0x7f, 0x81, 0x9b, 0x9f, 0xa1, 0xbb, 0xbf, 0xc6, 0xfb,
];

/// A request whose body is right in everything, except that the passkey is enrolled or the challenge was signed already.
#[derive(Clone)]
struct Sample {
    endpoint: Endpoint,
    access: String,
    /// The member with what the authenticator answered.
    member: &'static str,
    body: Value,
}

async fn any_answer_of_an_authenticator_is_refused(store: Store) {
    let count = from_environment("PROPTEST_CASES").unwrap_or(BODIES);
    let mut random = Random::seeded();
    eprintln!("AUTHLOG_CHAOS_SEED={}", random.seed());
    let service = service(store).await;
    let http = service.http();
    let (ann, mut passkey, access) = with_passkey(&http, "ann").await;
    let mut answers: BTreeMap<(&str, u16), u64> = BTreeMap::new();
    let mut sent = 0;
    while sent < count {
        let samples = samples(&http, &ann, &mut passkey, &access).await;
        let before = stored(&service);
        let end = count.min(sent + BATCH);
        while sent < end {
            let mut running = JoinSet::new();
            for _ in 0..CONCURRENT.min(end - sent) {
                let place = random.below(samples.len() as u64);
                let sample = samples[usize::try_from(place).unwrap()].clone();
                let body = spoilt(&sample, &mut random);
                let http = http.clone();
                running.spawn(async move { refusal(&http, &sample, &body).await });
                sent += 1;
            }
            for answered in running.join_all().await {
                *answers.entry(answered).or_default() += 1;
            }
        }
        assert_eq!(stored(&service), before);
    }
    for ((path, status), times) in &answers {
        eprintln!("{times:7} × {status} {path}");
    }
    assert_eq!(answers.values().sum::<u64>(), count);
    assert!(!service.output().contains("panicked"));
    // The service works as before.
    assert_eq!(sign_in(&http, &passkey).await.status, 200);
    let answer = step_up(&http, &access, &passkey).await;
    assert_eq!(answer.status, 200, "{answer}");
    let access = answer.json()["access_token"].as_str().unwrap().to_owned();
    let mut other = Passkey::new();
    enrol(&http, &access, &ann, &mut other).await;
    assert_eq!(sign_in(&http, &other).await.status, 200);
}

/// What is stored, apart from the record of refused logins.
fn stored(service: &Program) -> [i64; 4] {
    [
        "passkeys",
        "sessions",
        "second_factors",
        "events WHERE event_type <> 'LoginRefused'",
    ]
    .map(|rows| service.settings.count(rows))
}

/// One request for each endpoint, of which each is refused as it is.
async fn samples(http: &Http, ann: &Person, passkey: &mut Passkey, access: &str) -> [Sample; 4] {
    // What was begun has to be recent, and the second factor as well.
    let answer = step_up(http, access, passkey).await;
    assert_eq!(answer.status, 200, "{answer}");
    let access = answer.json()["access_token"].as_str().unwrap().to_owned();
    let begun = begin(http, &access, ann).await;
    let credential = passkey.create(&begun["publicKey"]);
    let (login, _) = challenge_and_methods(&Contract::Users.sign_in(http, ann).await);
    let login = json!(login);
    let alone = sign_in_options(http).await["challenge"].clone();
    let again = step_up_options(http, &access).await["challenge"].clone();
    let signed = |challenge: &Value| passkey.get(&json!({"challenge": challenge}));
    let bodies = [
        (
            own::ENROL_PASSKEY,
            "credential",
            json!({"enrolment": begun["enrolment"], "credential": credential}),
        ),
        (
            own::PASSKEY_SIGN_IN,
            "credential",
            json!({"challenge": alone, "credential": signed(&alone)}),
        ),
        (
            own::SECOND_FACTOR,
            "assertion",
            json!({"challenge": login, "assertion": signed(&login)}),
        ),
        (
            own::STEP_UP,
            "assertion",
            json!({"challenge": again, "assertion": signed(&again)}),
        ),
    ];
    // Challenges are signed in the order of the milliseconds of their issue.
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    assert_eq!(sign_in(http, passkey).await.status, 200);
    let samples = bodies.map(|(endpoint, member, body)| Sample {
        endpoint,
        access: access.clone(),
        member,
        body,
    });
    for (sample, expected) in samples.iter().zip([409, 403, 403, 403]) {
        let body = sample.body.to_string();
        let (_, status) = refusal(http, sample, body.as_bytes()).await;
        assert_eq!(status, expected, "{}", sample.endpoint);
    }
    samples
}

/// Sends the body, and asserts that the answer is a problem document of a client error. Returns the path and the status.
async fn refusal(http: &Http, sample: &Sample, body: &[u8]) -> (&'static str, u16) {
    let request = http.send(sample.endpoint).bearer(&sample.access);
    let answer = request.body_of("application/json", body).await;
    let sent = String::from_utf8_lossy(body);
    let status = answer.status;
    assert!(
        [400, 403, 409, 413].contains(&status),
        "{sent} was sent, {answer}"
    );
    let media_type = answer.header("content-type");
    assert_eq!(media_type, Some("application/problem+json"), "{sent}");
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["status"], json!(status), "{sent}");
    assert!(problem["detail"].is_string(), "{sent}");
    (sample.endpoint.path, status)
}

/// A body that differs from the sample's in up to three places, or is nothing like it.
fn spoilt(sample: &Sample, random: &mut Random) -> Vec<u8> {
    if random.below(20) == 0 {
        return bytes(random, 300);
    }
    let mut body = sample.body.clone();
    for _ in 0..=random.below(3) {
        if random.below(3) == 0 {
            change_a_value(&mut body, random);
        } else if let Some(answer) = body.get_mut(sample.member) {
            change_what_is_encoded(answer, random);
        }
    }
    let mut text = body.to_string().into_bytes();
    match random.below(12) {
        0 => change_bytes(&mut text, random),
        1 => {
            let twice = format!(",\"{}\":{}}}", sample.member, body[sample.member]);
            text.pop();
            text.extend(twice.into_bytes());
        }
        _ => {}
    }
    text
}

/// Changes the bytes of a member that is in base64url.
fn change_what_is_encoded(answer: &mut Value, random: &mut Random) {
    let pointer = ENCODED[below(random, ENCODED.len())];
    let Some(member) = answer.pointer_mut(pointer) else {
        return;
    };
    let decoded = member.as_str().map(|text| URL_SAFE_NO_PAD.decode(text));
    if let Some(Ok(mut decoded)) = decoded {
        change_bytes(&mut decoded, random);
        *member = json!(URL_SAFE_NO_PAD.encode(decoded));
        if pointer == "/rawId" {
            answer["id"] = answer["rawId"].clone();
        }
    }
}

fn change_bytes(bytes: &mut Vec<u8>, random: &mut Random) {
    let place = below(random, bytes.len() + 1);
    let end = (place + below(random, 40)).min(bytes.len());
    match random.below(9) {
        0 => bytes.truncate(place),
        1 => drop(bytes.drain(place..end)),
        2 => {
            let copied = bytes[place..end].to_vec();
            bytes.splice(place..place, copied);
        }
        3 => drop(bytes.splice(place..end, self::bytes(random, 40))),
        4 => bytes.extend(self::bytes(random, 40)),
        5 => {
            let nested = vec![CBOR[below(random, CBOR.len())]; below(random, 300)];
            bytes.splice(place..place, nested);
        }
        6 => *bytes = self::bytes(random, 200),
        7 => {
            let long = vec![CBOR[below(random, CBOR.len())]; below(random, 20_000)];
            bytes.splice(place..end, long);
        }
        _ => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = match random.below(3) {
                    0 => *byte ^ (1 << random.below(8)),
                    1 => CBOR[below(random, CBOR.len())],
                    _ => byte.wrapping_add(1),
                };
            }
        }
    }
}

/// Replaces or removes a value at a random depth.
fn change_a_value(value: &mut Value, random: &mut Random) {
    match value {
        Value::Object(members) if !members.is_empty() && random.below(6) > 0 => {
            let names: Vec<String> = members.keys().cloned().collect();
            let name = &names[below(random, names.len())];
            if random.below(8) == 0 {
                members.remove(name);
            } else {
                change_a_value(&mut members[name.as_str()], random);
            }
        }
        other => *other = any_value(random, 4),
    }
}

fn any_value(random: &mut Random, depth: u32) -> Value {
    match random.below(if depth == 0 { 8 } else { 10 }) {
        0 => Value::Null,
        1 => json!(random.below(2) == 0),
        2 => json!(random.below(u64::MAX)),
        3 => json!(f64::from_bits(random.below(u64::MAX))),
        4 => json!(""),
        5 => json!(URL_SAFE_NO_PAD.encode(bytes(random, 100))),
        6 => json!(String::from_utf8_lossy(&bytes(random, 100))),
        7 => json!("A".repeat(below(random, 70_000))),
        8 => {
            let values = (0..random.below(4)).map(|_| any_value(random, depth - 1));
            Value::Array(values.collect())
        }
        _ => {
            let names = ["id", "rawId", "type", "response", "clientDataJSON", "x"];
            let members = (0..random.below(4)).map(|_| {
                let name = names[below(random, names.len())].to_owned();
                (name, any_value(random, depth - 1))
            });
            Value::Object(members.collect::<Map<_, _>>())
        }
    }
}

fn bytes(random: &mut Random, most: usize) -> Vec<u8> {
    let length = below(random, most);
    (0..length)
        .map(|_| u8::try_from(random.below(256)).unwrap())
        .collect()
}

fn below(random: &mut Random, end: usize) -> usize {
    usize::try_from(random.below(end as u64)).unwrap()
}
