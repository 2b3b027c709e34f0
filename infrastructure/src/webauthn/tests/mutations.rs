//! Wrong answers: each says what is wrong, none is accepted, and none makes the verifier panic.

use authlog_application::PasskeyRefusal;
use authlog_application::ports::{AttestationResponse, PasskeyCredential, PasskeyVerifier as _};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::super::WebauthnVerifier;
use super::authenticator::{
    BACKED_UP, ELIGIBLE, EXTENSIONS, ID, Key, PRESENT, VERIFIED, assertion, attestation,
    client_data, data,
};
use super::{ceremony, relying_party};

const RP: &str = "auth.example.com";
const ORIGIN: &str = "https://auth.example.com";
const CHALLENGE: &str = "Y2hhbGxlbmdl";
const BOTH: u8 = PRESENT | VERIFIED;

/// How many mutations of each answer are tried, of each algorithm. `PROPTEST_CASES` tries more.
fn cases() -> u32 {
    Config::default().cases.max(5000)
}

fn credential(key: &Key, backup_eligible: bool) -> PasskeyCredential {
    PasskeyCredential {
        id: ID.to_vec(),
        public_key: key.cose(),
        transports: vec![],
        backup_eligible,
    }
}

fn new(flags: u8, kind: &str, challenge: &str, origin: &str, rp: &str) -> AttestationResponse {
    let [key, ..] = Key::all();
    attestation(&key, rp, flags, client_data(kind, challenge, origin))
}

#[test]
fn every_algorithm_enrols_and_signs() {
    let party = relying_party(RP);
    let asked = ceremony(&party, CHALLENGE, true);
    for key in Key::all() {
        let made = attestation(
            &key,
            RP,
            BOTH | ELIGIBLE,
            client_data("webauthn.create", CHALLENGE, ORIGIN),
        );
        let made = WebauthnVerifier.verify_attestation(&asked, &made).unwrap();
        assert_eq!(made.credential, credential(&key, true));
        assert_eq!((made.sign_count, made.backed_up), (1, false));
        let flags = BOTH | ELIGIBLE | BACKED_UP;
        let used = assertion(
            &key,
            data(RP, flags, 5),
            client_data("webauthn.get", CHALLENGE, ORIGIN),
        );
        let used = WebauthnVerifier.verify_assertion(&asked, &made.credential, &used);
        let used = used.unwrap();
        assert_eq!((used.sign_count, used.backed_up), (5, true));
    }
}

#[test]
fn what_is_wrong_with_a_new_passkey_is_said() {
    use PasskeyRefusal as Is;
    let party = relying_party(RP);
    let create = "webauthn.create";
    for (made, refusal) in [
        (
            new(BOTH, "webauthn.get", CHALLENGE, ORIGIN, RP),
            Is::WrongType,
        ),
        (new(BOTH, create, "b3RoZXI", ORIGIN, RP), Is::WrongChallenge),
        (
            new(BOTH, create, CHALLENGE, "https://evil.example.com", RP),
            Is::WrongOrigin,
        ),
        (
            new(BOTH, create, CHALLENGE, "http://auth.example.com", RP),
            Is::WrongOrigin,
        ),
        (
            new(BOTH, create, CHALLENGE, ORIGIN, "example.com"),
            Is::WrongRelyingParty,
        ),
        (new(VERIFIED, create, CHALLENGE, ORIGIN, RP), Is::NotPresent),
        (new(PRESENT, create, CHALLENGE, ORIGIN, RP), Is::NotVerified),
        (
            new(BOTH | BACKED_UP, create, CHALLENGE, ORIGIN, RP),
            Is::WrongFlags,
        ),
        (
            AttestationResponse {
                credential_id: vec![8; 16],
                ..new(BOTH, create, CHALLENGE, ORIGIN, RP)
            },
            Is::Malformed("rawId"),
        ),
        (
            AttestationResponse {
                client_data: vec![b'{'; 20_000],
                ..new(BOTH, create, CHALLENGE, ORIGIN, RP)
            },
            Is::Malformed("clientDataJSON"),
        ),
        (
            AttestationResponse {
                attestation_object: vec![0xa1; 20_000],
                ..new(BOTH, create, CHALLENGE, ORIGIN, RP)
            },
            Is::Malformed("attestationObject"),
        ),
    ] {
        let verified =
            WebauthnVerifier.verify_attestation(&ceremony(&party, CHALLENGE, true), &made);
        assert_eq!(verified, Err(refusal));
    }
}

#[test]
fn a_key_that_is_none_or_of_another_kind_is_refused() {
    let party = relying_party(RP);
    let asked = ceremony(&party, CHALLENGE, true);
    let [es256, eddsa, rs256] = Key::all().map(|key| key.cose());
    let mut off_the_curve = es256.clone();
    off_the_curve[20] ^= 1;
    let mut es384 = es256.clone();
    es384[4] = 0x38;
    let with_entry_twice = [&[0xa6, 1, 2][..], &es256[1..]].concat();
    let without_key_type = [&[0xa4][..], &es256[3..]].concat();
    let with_private_part = [&[0xa5][..], &eddsa[1..], &[0x23, 0x41, 1]].concat();
    let short_modulus = [
        &[0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x58, 128][..],
        &[0xff; 128],
        &[0x21, 0x43, 1, 0, 1],
    ]
    .concat();
    let leading_zero = {
        let mut key = rs256;
        key[11] = 0;
        key
    };
    for (name, key) in [
        ("off the curve", off_the_curve),
        ("another algorithm", es384),
        ("an entry twice", with_entry_twice),
        ("no key type", without_key_type),
        ("a private part", with_private_part),
        ("a short modulus", short_modulus),
        ("a leading zero", leading_zero),
        ("nothing", vec![]),
        ("an empty map", vec![0xa0]),
    ] {
        let [signer, ..] = Key::all();
        let used = assertion(
            &signer,
            data(RP, BOTH, 5),
            client_data("webauthn.get", CHALLENGE, ORIGIN),
        );
        let stored = PasskeyCredential {
            public_key: key,
            ..credential(&signer, false)
        };
        let verified = WebauthnVerifier.verify_assertion(&asked, &stored, &used);
        assert_eq!(verified, Err(PasskeyRefusal::UnsupportedKey), "{name}");
    }
}

/// The bytes with the first place of `from` replaced.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|part| part == from);
    let (before, rest) = bytes.split_at(at.unwrap());
    [before, to, &rest[from.len()..]].concat()
}

#[test]
fn a_statement_of_the_format_none_is_empty() {
    let party = relying_party(RP);
    let asked = ceremony(&party, CHALLENGE, true);
    let right = new(BOTH, "webauthn.create", CHALLENGE, ORIGIN, RP);
    let statement = b"attStmt\xa1\x63sig\x41\x00";
    let with_statement = replaced(&right.attestation_object, b"attStmt\xa0", statement);
    let packed = replaced(&with_statement, b"\x64none", b"\x66packed");
    for (object, is_accepted) in [(with_statement, false), (packed, true)] {
        let made = AttestationResponse {
            attestation_object: object,
            ..right.clone()
        };
        let verified = WebauthnVerifier.verify_attestation(&asked, &made);
        let refusal = PasskeyRefusal::Malformed("attestationObject");
        assert_eq!(verified.map(drop), is_accepted.then_some(()).ok_or(refusal));
    }
}

#[test]
fn authenticator_data_that_is_not_canonical_is_refused() {
    let party = relying_party(RP);
    let asked = ceremony(&party, CHALLENGE, true);
    let refusal = PasskeyRefusal::Malformed("authenticatorData");
    // A key whose type takes two bytes instead of one, and an element of "authData" that is as much longer.
    let right = new(BOTH, "webauthn.create", CHALLENGE, ORIGIN, RP);
    let object = replaced(
        &right.attestation_object,
        &[0xa5, 1, 2],
        &[0xa5, 1, 0x18, 2],
    );
    let [.., length] = (object.len() - right.attestation_object.len()).to_be_bytes();
    let mut made = AttestationResponse {
        attestation_object: object,
        ..right
    };
    let head = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59\x00";
    assert!(made.attestation_object.starts_with(head));
    made.attestation_object[head.len()] += length;
    let verified = WebauthnVerifier.verify_attestation(&asked, &made);
    assert_eq!(verified, Err(refusal));

    for key in Key::all() {
        let verify = |extensions: &[u8]| {
            let data = [data(RP, BOTH | EXTENSIONS, 5), extensions.to_vec()].concat();
            let client = client_data("webauthn.get", CHALLENGE, ORIGIN);
            let used = assertion(&key, data, client);
            WebauthnVerifier.verify_assertion(&asked, &credential(&key, false), &used)
        };
        assert!(verify(b"\xa1\x61a\x01").is_ok());
        for extensions in [
            &b"\xa1\x61a\x18\x01"[..],
            b"\xa2\x61a\x01\x61a\x02",
            b"\xa1\x61a\x01\x00",
            b"\xbf\x61a\x01\xff",
            b"\xa1\x80\x01",
            b"\x80",
            b"",
        ] {
            assert_eq!(verify(extensions), Err(refusal), "{extensions:x?}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_signature_is_said() {
    use PasskeyRefusal as Is;
    let party = relying_party(RP);
    for key in Key::all() {
        let right = client_data("webauthn.get", CHALLENGE, ORIGIN);
        let verify = |data: Vec<u8>, client: Vec<u8>, stored: &PasskeyCredential, strict| {
            let used = assertion(&key, data, client);
            WebauthnVerifier.verify_assertion(&ceremony(&party, CHALLENGE, strict), stored, &used)
        };
        let stored = credential(&key, false);
        let is_right = |flags, strict| verify(data(RP, flags, 5), right.clone(), &stored, strict);
        assert!(is_right(BOTH, true).is_ok());
        assert!(is_right(PRESENT, false).is_ok());
        assert_eq!(is_right(PRESENT, true), Err(Is::NotVerified));
        assert_eq!(is_right(VERIFIED, false), Err(Is::NotPresent));
        // It was not eligible when it was enrolled (§7.2-19).
        assert_eq!(is_right(BOTH | ELIGIBLE, true), Err(Is::WrongFlags));
        let other = verify(data("example.com", BOTH, 5), right.clone(), &stored, true);
        assert_eq!(other, Err(Is::WrongRelyingParty));
        for (client, refusal) in [
            (
                client_data("webauthn.create", CHALLENGE, ORIGIN),
                Is::WrongType,
            ),
            (
                client_data("webauthn.get", "b3RoZXI", ORIGIN),
                Is::WrongChallenge,
            ),
            (
                client_data("webauthn.get", CHALLENGE, "https://example.com"),
                Is::WrongOrigin,
            ),
            (b"[]".to_vec(), Is::Malformed("clientDataJSON")),
        ] {
            let verified = verify(data(RP, BOTH, 5), client, &stored, true);
            assert_eq!(verified, Err(refusal));
        }
        for other in Key::all() {
            let stored = credential(&other, false);
            let verified = verify(data(RP, BOTH, 5), right.clone(), &stored, true);
            assert_eq!(verified, Err(Is::WrongSignature));
        }
        let with_more = [data(RP, BOTH, 5), vec![0]].concat();
        let verified = verify(with_more, right.clone(), &stored, true);
        assert_eq!(verified, Err(Is::Malformed("authenticatorData")));
    }
}

/// One change of a text of bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Flip(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Insert(prop::sample::Index, u8),
    Truncate(prop::sample::Index),
    Repeat(prop::sample::Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        4 => (place(), 1..=u8::MAX).prop_map(|(at, bits)| Mutation::Flip(at, bits)),
        1 => place().prop_map(Mutation::Remove),
        1 => (place(), any::<u8>()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        1 => place().prop_map(Mutation::Truncate),
        1 => place().prop_map(Mutation::Repeat),
    ]
}

fn mutated(bytes: &[u8], mutations: &[Mutation]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for mutation in mutations {
        if bytes.is_empty() {
            bytes.push(0);
        }
        match mutation {
            Mutation::Flip(at, bits) => {
                let at = at.index(bytes.len());
                bytes[at] ^= bits;
            }
            Mutation::Remove(at) => {
                bytes.remove(at.index(bytes.len()));
            }
            Mutation::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
            Mutation::Truncate(at) => bytes.truncate(at.index(bytes.len())),
            Mutation::Repeat(at) => {
                let rest = bytes[at.index(bytes.len())..].to_vec();
                bytes.extend(rest);
            }
        }
    }
    bytes
}

fn mutations() -> impl Strategy<Value = (u8, Vec<Mutation>)> {
    (0..3_u8, prop::collection::vec(mutation(), 1..4))
}

#[test]
fn no_mutated_assertion_is_accepted() {
    let party = relying_party(RP);
    let asked = ceremony(&party, CHALLENGE, true);
    for key in Key::all() {
        let stored = credential(&key, false);
        let right = assertion(
            &key,
            data(RP, BOTH, 5),
            client_data("webauthn.get", CHALLENGE, ORIGIN),
        );
        let mut runner = TestRunner::new(Config::with_cases(cases()));
        runner
            .run(&mutations(), |(part, changes)| {
                let mut wrong = right.clone();
                let part = match part {
                    0 => &mut wrong.client_data,
                    1 => &mut wrong.authenticator_data,
                    _ => &mut wrong.signature,
                };
                let before = part.clone();
                *part = mutated(part, &changes);
                let is_changed = *part != before;
                let verified = WebauthnVerifier.verify_assertion(&asked, &stored, &wrong);
                prop_assert_eq!(verified.is_err(), is_changed);
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn no_mutated_attestation_makes_the_verifier_panic() {
    let party = relying_party(RP);
    let asked = ceremony(&party, CHALLENGE, true);
    for key in Key::all() {
        let right = attestation(
            &key,
            RP,
            BOTH,
            client_data("webauthn.create", CHALLENGE, ORIGIN),
        );
        let used = assertion(
            &key,
            data(RP, BOTH, 5),
            client_data("webauthn.get", CHALLENGE, ORIGIN),
        );
        let mut runner = TestRunner::new(Config::with_cases(cases()));
        runner
            .run(&mutations(), |(part, changes)| {
                let mut wrong = right.clone();
                let part = match part {
                    0 => &mut wrong.client_data,
                    _ => &mut wrong.attestation_object,
                };
                *part = mutated(part, &changes);
                // Nothing signs an attestation of the type "none", so that another key or counter is accepted. What is
                // accepted is for this service, challenge and person.
                if let Ok(made) = WebauthnVerifier.verify_attestation(&asked, &wrong) {
                    prop_assert!(made.user_verified);
                    prop_assert_eq!(&made.credential.id, &ID);
                }
                // A stored key is read at each use.
                let stored = PasskeyCredential {
                    public_key: mutated(&key.cose(), &changes),
                    ..credential(&key, false)
                };
                let _ = WebauthnVerifier.verify_assertion(&asked, &stored, &used);
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn arbitrary_bytes_are_refused() {
    let party = relying_party(RP);
    let asked = ceremony(&party, CHALLENGE, false);
    let [key, ..] = Key::all();
    let bytes = || prop::collection::vec(any::<u8>(), 0..300);
    let mut runner = TestRunner::new(Config::with_cases(cases()));
    runner
        .run(&(bytes(), bytes(), bytes()), |(client, object, rest)| {
            let made = AttestationResponse {
                credential_id: ID.to_vec(),
                client_data: client_data("webauthn.create", CHALLENGE, ORIGIN),
                attestation_object: object.clone(),
                transports: vec![],
                discoverable: None,
            };
            let verified = WebauthnVerifier.verify_attestation(&asked, &made);
            prop_assert!(verified.is_err());
            let right = client_data("webauthn.get", CHALLENGE, ORIGIN);
            for (client, data, signature) in [
                (client, object, rest.clone()),
                (right, data(RP, BOTH, 5), rest),
            ] {
                let mut used = assertion(&key, data, client);
                used.signature = signature;
                let stored = credential(&key, false);
                let verified = WebauthnVerifier.verify_assertion(&asked, &stored, &used);
                prop_assert!(verified.is_err());
            }
            Ok(())
        })
        .unwrap();
}
