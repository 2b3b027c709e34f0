//! Tokens in the links of mails, and digests of opaque tokens.

use authlog_application::ports::{BrowserSecret, OpaqueToken, SecretTokens, TokenDigest};
use authlog_domain::{ResetId, Timestamp, UserId, VerificationId};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

/// The purpose of an HMAC, which is part of its input. So an HMAC for one purpose is never valid for another.
const RESET_LABEL: &[u8] = b"authlog.v1.reset-token\0";

/// The purpose of HMACs that name resets.
const RESET_NAME_LABEL: &[u8] = b"authlog.v1.reset-name\0";

/// The purpose of tokens in links that verify an e-mail address.
const VERIFICATION_LABEL: &[u8] = b"authlog.v1.email-verification-token\0";

/// The purpose of digests of browser sessions.
const BROWSER_LABEL: &[u8] = b"authlog.v1.browser-session\0";

/// The purpose of the texts that the forms of a browser session contain.
const FORM_LABEL: &[u8] = b"authlog.v1.form-token\0";

/// Both ids and an HMAC-SHA256 over them: 16 + 16 + 32 bytes.
const RESET_BYTES: usize = 64;

/// [`RESET_BYTES`] in base64 without padding.
const RESET_CHARACTERS: usize = 86;

/// Tokens with an HMAC-SHA256.
///
/// A reset token is `base64url(account ‖ reset ‖ tag)`, always 86 characters of the URL-safe alphabet. It needs no encoding
/// in a link, and cannot be confused with a JWT, which has dots, or with a UUID.
pub struct HmacSecretTokens {
    key: hmac::Key,
}

impl HmacSecretTokens {
    /// Tokens under `key`. The holder of this key can reset every password. It signs nothing else.
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
        }
    }
}

impl SecretTokens for HmacSecretTokens {
    fn reset_of(&self, queued: ResetId, identifier: &str, at: Timestamp) -> ResetId {
        let at = at.unix_millis().to_be_bytes();
        let queued = queued.as_uuid();
        let parts = [
            RESET_NAME_LABEL,
            queued.as_bytes(),
            &at,
            identifier.as_bytes(),
        ];
        let tag = hmac::sign(&self.key, &parts.concat());
        let mut name = [0; 16];
        name.copy_from_slice(&tag.as_ref()[..16]);
        ResetId::new(uuid::Builder::from_random_bytes(name).into_uuid())
    }

    fn reset_token(&self, user: UserId, reset: ResetId) -> String {
        self.token(RESET_LABEL, user, reset.as_uuid())
    }

    fn parse_reset_token(&self, token: &str) -> Option<(UserId, ResetId)> {
        let (user, reset) = self.parse(RESET_LABEL, token)?;
        Some((user, ResetId::new(reset)))
    }

    fn verification_token(&self, user: UserId, verification: VerificationId) -> String {
        self.token(VERIFICATION_LABEL, user, verification.as_uuid())
    }

    fn parse_verification_token(&self, token: &str) -> Option<(UserId, VerificationId)> {
        let (user, verification) = self.parse(VERIFICATION_LABEL, token)?;
        Some((user, VerificationId::new(verification)))
    }

    /// SHA-256 of the token in its canonical text. It needs no key and no salt, because 122 random bits cannot be guessed.
    fn digest(&self, token: &OpaqueToken) -> TokenDigest {
        let digest = digest::digest(&digest::SHA256, token.reveal().as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        TokenDigest(bytes)
    }

    fn browser_digest(&self, secret: &BrowserSecret) -> TokenDigest {
        let mut digest = digest::Context::new(&digest::SHA256);
        digest.update(BROWSER_LABEL);
        digest.update(secret.bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.finish().as_ref());
        TokenDigest(bytes)
    }

    fn form_token(&self, secret: &BrowserSecret) -> String {
        let tag = hmac::sign(&self.key, &[FORM_LABEL, secret.bytes()].concat());
        URL_SAFE_NO_PAD.encode(tag)
    }

    fn is_form_token(&self, secret: &BrowserSecret, token: &str) -> bool {
        let tag = URL_SAFE_NO_PAD.decode(token);
        let parts = [FORM_LABEL, secret.bytes()].concat();
        tag.is_ok_and(|tag| hmac::verify(&self.key, &parts, &tag).is_ok())
    }

    fn code_challenge(&self, verifier: &str) -> String {
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
    }
}

impl HmacSecretTokens {
    fn token(&self, label: &[u8], user: UserId, request: Uuid) -> String {
        let ids = [*user.as_uuid().as_bytes(), *request.as_bytes()].concat();
        let tag = hmac::sign(&self.key, &[label, &ids].concat());
        URL_SAFE_NO_PAD.encode([&ids, tag.as_ref()].concat())
    }

    fn parse(&self, label: &[u8], token: &str) -> Option<(UserId, Uuid)> {
        if token.len() != RESET_CHARACTERS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        if bytes.len() != RESET_BYTES {
            return None;
        }
        let (ids, tag) = bytes.split_at(32);
        hmac::verify(&self.key, &[label, ids].concat(), tag).ok()?;
        let (user, request) = ids.split_at(16);
        Some((
            UserId::new(Uuid::from_slice(user).ok()?),
            Uuid::from_slice(request).ok()?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens() -> HmacSecretTokens {
        HmacSecretTokens::new(&[7; 32])
    }

    fn ids(user: u128, reset: u128) -> (UserId, ResetId) {
        (
            UserId::new(Uuid::from_u128(user)),
            ResetId::new(Uuid::from_u128(reset)),
        )
    }

    #[test]
    fn a_reset_token_is_valid_only_under_its_key() {
        let (user, reset) = ids(1, 2);
        let token = tokens().reset_token(user, reset);
        assert_eq!(tokens().parse_reset_token(&token), Some((user, reset)));
        let others = HmacSecretTokens::new(&[8; 32]);
        assert_eq!(others.parse_reset_token(&token), None);
    }

    #[test]
    fn the_name_of_a_reset_depends_on_all_parts_of_its_request() {
        let (_, queued) = ids(1, 2);
        let at = Timestamp::from_unix_millis(1_700_000_000_000);
        let later = at.plus(std::time::Duration::from_secs(1));
        let name = tokens().reset_of(queued, "ann", at);
        assert_eq!(name, tokens().reset_of(queued, "ann", at));
        let others = [
            queued,
            tokens().reset_of(queued, "ann", later),
            tokens().reset_of(queued, "bob", at),
            tokens().reset_of(name, "ann", at),
            HmacSecretTokens::new(&[8; 32]).reset_of(queued, "ann", at),
        ];
        assert!(others.iter().all(|other| *other != name));
    }

    #[test]
    fn a_token_of_one_kind_of_link_is_not_valid_for_the_other() {
        let (user, reset) = ids(1, 2);
        let verification = VerificationId::new(reset.as_uuid());
        let tokens = tokens();
        let token = tokens.verification_token(user, verification);
        let read = tokens.parse_verification_token(&token);
        assert_eq!(read, Some((user, verification)));
        assert_eq!(tokens.parse_reset_token(&token), None);
        let token = tokens.reset_token(user, reset);
        assert_eq!(tokens.parse_verification_token(&token), None);
    }

    #[test]
    fn a_reset_token_is_neither_a_uuid_nor_a_jwt() {
        let token = tokens().reset_token(UserId::new(Uuid::max()), ResetId::new(Uuid::max()));
        assert_eq!(token.len(), RESET_CHARACTERS);
        assert!(Uuid::try_parse(&token).is_err());
        assert!(OpaqueToken::parse(&token).is_none());
        assert!(jsonwebtoken::decode_header(&token).is_err());
        let is_url_safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(token.chars().all(is_url_safe));
    }

    #[test]
    fn the_digest_of_an_opaque_token_is_that_of_its_canonical_text() {
        let lower = OpaqueToken::parse("6f1c1d2e-9d55-4a3e-8f0e-0a4b7c1d2e3f").unwrap();
        let upper = OpaqueToken::parse("6F1C1D2E-9D55-4A3E-8F0E-0A4B7C1D2E3F").unwrap();
        let other = OpaqueToken::parse("6f1c1d2e-9d55-4a3e-8f0e-0a4b7c1d2e30").unwrap();
        let digest = tokens().digest(&lower).0;
        let expected = digest::digest(&digest::SHA256, lower.reveal().as_bytes());
        assert_eq!(digest, expected.as_ref());
        assert!(digest == tokens().digest(&upper).0);
        assert!(digest != tokens().digest(&other).0);
    }

    #[test]
    fn a_form_token_belongs_to_one_browser_session_and_tells_nothing_of_its_cookie() {
        let secret = |bits: u8| BrowserSecret::parse(&URL_SAFE_NO_PAD.encode([bits; 32])).unwrap();
        let token = tokens().form_token(&secret(1));
        assert!(tokens().is_form_token(&secret(1), &token));
        assert!(!tokens().is_form_token(&secret(2), &token));
        assert!(!HmacSecretTokens::new(&[8; 32]).is_form_token(&secret(1), &token));
        for wrong in ["", "AAAA", &token[1..], &secret(1).reveal()] {
            assert!(!tokens().is_form_token(&secret(1), wrong), "{wrong}");
        }
        let digest = tokens().browser_digest(&secret(1)).0;
        assert!(digest != tokens().browser_digest(&secret(2)).0);
        assert_ne!(URL_SAFE_NO_PAD.encode(digest), token);
    }

    #[test]
    fn a_code_challenge_is_that_of_the_example_in_the_rfc() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert_eq!(tokens().code_challenge(verifier), challenge);
    }

    #[test]
    fn the_cookie_of_a_browser_session_is_no_access_token() {
        let secret = BrowserSecret::parse(&URL_SAFE_NO_PAD.encode([7; 32])).unwrap();
        assert!(OpaqueToken::parse(&secret.reveal()).is_none());
        let uuid = Uuid::from_u128(7).to_string();
        for text in [
            "",
            &uuid,
            &secret.reveal()[1..],
            &"!".repeat(43),
            &"é".repeat(43),
        ] {
            assert!(BrowserSecret::parse(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_request_has_a_token_of_its_own(user: u128, reset: u128) {
            let (user, reset) = ids(user, reset);
            let token = tokens().reset_token(user, reset);
            prop_assert_eq!(tokens().parse_reset_token(&token), Some((user, reset)));
        }

        #[test]
        fn arbitrary_text_is_not_a_reset_token(text in any::<String>(), shaped in "[A-Za-z0-9_-]{86}") {
            prop_assert!(tokens().parse_reset_token(&text).is_none());
            prop_assert!(tokens().parse_reset_token(&shaped).is_none());
        }

        #[test]
        fn a_reset_token_with_one_changed_character_is_refused(
            at in 0_usize..RESET_CHARACTERS,
            with in "[A-Za-z0-9_=+/. -]",
        ) {
            let (user, reset) = ids(1, 2);
            let token = tokens().reset_token(user, reset);
            let mut mutated = token.clone();
            mutated.replace_range(at..=at, &with);
            prop_assume!(mutated != token);
            prop_assert!(tokens().parse_reset_token(&mutated).is_none());
        }
    }
}
