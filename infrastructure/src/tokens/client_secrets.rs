//! Secrets of clients, which are derived from their ids (`docs/adr/0032`).

use authlog_application::ports::ClientSecrets;
use authlog_domain::{ClientId, ClientSecretId};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;
use zeroize::Zeroizing;

/// The purpose of the key, so that it is not that of other HMACs under the same secret.
const KEY_LABEL: &[u8] = b"authlog.v1.client-secret-key\0";

/// The purpose of an HMAC, which is part of its input.
const SECRET_LABEL: &[u8] = b"authlog.v1.client-secret\0";

/// What every secret begins with, so that scanners of repositories recognise one.
const PREFIX: &str = "als_";

/// An id of 16 bytes in base64 without padding.
const ID_CHARACTERS: usize = 22;

/// An HMAC-SHA256 of 32 bytes in base64 without padding.
const TAG_CHARACTERS: usize = 43;

/// Secrets with an HMAC-SHA256: `als_`, the id of the secret and the tag, always 69 characters of the URL-safe alphabet. So they
/// need no encoding in HTTP Basic authentication and in a form.
pub struct HmacClientSecrets {
    key: hmac::Key,
}

impl HmacClientSecrets {
    /// Secrets under a key that is derived from `secret`, which all nodes share.
    pub fn new(secret: &[u8; 32]) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), KEY_LABEL);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()),
        }
    }

    /// The input of the tag. The id of the secret has a fixed length, so no two pairs of ids give the same bytes.
    fn input(client: &ClientId, id: ClientSecretId) -> Vec<u8> {
        let id = id.as_uuid();
        [SECRET_LABEL, id.as_bytes(), client.as_str().as_bytes()].concat()
    }
}

impl ClientSecrets for HmacClientSecrets {
    fn secret(&self, client: &ClientId, id: ClientSecretId) -> Zeroizing<String> {
        let tag = hmac::sign(&self.key, &Self::input(client, id));
        let mut secret = Zeroizing::new(String::with_capacity(
            PREFIX.len() + ID_CHARACTERS + TAG_CHARACTERS,
        ));
        secret.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(id.as_uuid().as_bytes(), &mut secret);
        URL_SAFE_NO_PAD.encode_string(tag.as_ref(), &mut secret);
        secret
    }

    fn parse(&self, client: &ClientId, text: &str) -> Option<ClientSecretId> {
        let (id, tag) = text.strip_prefix(PREFIX)?.split_at_checked(ID_CHARACTERS)?;
        if tag.len() != TAG_CHARACTERS {
            return None;
        }
        let id = URL_SAFE_NO_PAD.decode(id).ok()?;
        let id = ClientSecretId::new(Uuid::from_slice(&id).ok()?);
        let tag = Zeroizing::new(URL_SAFE_NO_PAD.decode(tag).ok()?);
        // It compares in constant time.
        let verified = hmac::verify(&self.key, &Self::input(client, id), &tag);
        verified.ok().map(|()| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(id: &str) -> ClientId {
        ClientId::parse(id).unwrap()
    }

    fn id(number: u128) -> ClientSecretId {
        ClientSecretId::new(Uuid::from_u128(number))
    }

    #[test]
    fn a_secret_is_that_of_one_client_one_id_and_one_service() {
        let secrets = HmacClientSecrets::new(&[7; 32]);
        let secret = secrets.secret(&client("shop"), id(1));
        assert_eq!(secret.len(), 69);
        assert_eq!(secrets.parse(&client("shop"), &secret), Some(id(1)));
        assert_eq!(secrets.parse(&client("shop2"), &secret), None);
        let others = HmacClientSecrets::new(&[8; 32]);
        assert_eq!(others.parse(&client("shop"), &secret), None);
        assert_ne!(*secret, *secrets.secret(&client("shop"), id(2)));
    }

    #[test]
    fn a_text_that_differs_anywhere_is_no_secret() {
        let secrets = HmacClientSecrets::new(&[7; 32]);
        let secret = secrets.secret(&client("shop"), id(1));
        for place in 0..secret.len() {
            let other = if &secret[place..=place] == "A" {
                "B"
            } else {
                "A"
            };
            let mut changed = secret.to_string();
            changed.replace_range(place..=place, other);
            assert_eq!(secrets.parse(&client("shop"), &changed), None, "{place}");
        }
        for text in [
            "",
            "als_",
            "als_é",
            &secret[..68],
            &format!("{}A", *secret),
            "alsé",
        ] {
            assert_eq!(secrets.parse(&client("shop"), text), None, "{text}");
        }
        let split = format!("als_{}é{}", "A".repeat(21), "A".repeat(42));
        assert_eq!(secrets.parse(&client("shop"), &split), None);
    }
}
