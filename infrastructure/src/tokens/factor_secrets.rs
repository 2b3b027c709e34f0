//! The secrets of second factors: codes, digests of recovery codes, and values that a client keeps between two requests.

use std::sync::Arc;

use authlog_application::ports::{
    CredentialDigest, Entropy, RecoveryDigest, SealedFor, SecondFactorSecrets, TotpSecret,
    UserCodeDigest,
};
use authlog_domain::{Timestamp, UserId};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::totp;
use crate::sealing::{Sealer, Unopenable};

/// What keys are derived for, so that none serves another's purpose.
const SEALING_LABEL: &[u8] = b"authlog.v1.second-factor-values\0";
const RECOVERY_LABEL: &[u8] = b"authlog.v1.recovery-code\0";
const CREDENTIAL_LABEL: &[u8] = b"authlog.v1.passkey-credential\0";
const USER_CODE_LABEL: &[u8] = b"authlog.v1.device-user-code\0";

/// The longest sealed value that is opened, in characters. Most of this program have about 400. An authorization code holds what
/// the client asked for, and a request is shorter than this.
const MAX_LENGTH: usize = 16 * 1024;

/// [`SecondFactorSecrets`] under keys that are derived from a secret of the store.
pub struct KeyedFactorSecrets {
    sealer: Sealer,
    recovery: hmac::Key,
    credential: hmac::Key,
    user_code: hmac::Key,
    entropy: Arc<dyn Entropy>,
}

impl KeyedFactorSecrets {
    /// Secrets under keys that are derived from `key`.
    ///
    /// # Errors
    /// The cipher cannot be used.
    pub fn new(key: &[u8; 32], entropy: Arc<dyn Entropy>) -> Result<Self, Unopenable> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let sealing = hmac::sign(&key, SEALING_LABEL);
        let sealing = <[u8; 32]>::try_from(sealing.as_ref()).map_err(|_| Unopenable)?;
        let recovery = hmac::sign(&key, RECOVERY_LABEL);
        let credential = hmac::sign(&key, CREDENTIAL_LABEL);
        let user_code = hmac::sign(&key, USER_CODE_LABEL);
        Ok(Self {
            sealer: Sealer::new(&Zeroizing::new(sealing))?,
            recovery: hmac::Key::new(hmac::HMAC_SHA256, recovery.as_ref()),
            credential: hmac::Key::new(hmac::HMAC_SHA256, credential.as_ref()),
            user_code: hmac::Key::new(hmac::HMAC_SHA256, user_code.as_ref()),
            entropy,
        })
    }
}

fn digest(key: &hmac::Key, message: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(key, message);
    let mut digest = [0; 32];
    digest.copy_from_slice(tag.as_ref());
    digest
}

const fn place(purpose: SealedFor) -> &'static str {
    match purpose {
        SealedFor::Enrolment => "second-factor/enrolment",
        SealedFor::Challenge => "second-factor/challenge",
        SealedFor::PasskeyEnrolment => "passkey/enrolment",
        SealedFor::PasskeySignIn => "passkey/sign-in",
        SealedFor::PasskeyStepUp => "passkey/step-up",
        SealedFor::AuthorizationCode => "oauth/code",
        SealedFor::AuthorizationAsked => "oauth/asked",
        SealedFor::PushedRequest => "oauth/pushed",
        SealedFor::DeviceCode => "oauth/device-code",
        SealedFor::DeviceRequest => "oauth/device-request",
        SealedFor::DeviceDecision => "oauth/device-decision",
    }
}

impl SecondFactorSecrets for KeyedFactorSecrets {
    fn matching_step(&self, secret: &TotpSecret, code: &str, now: Timestamp) -> Option<u64> {
        totp::matching_step(secret, code, now)
    }

    fn recovery_digest(&self, user: UserId, code: &str) -> RecoveryDigest {
        let user = user.as_uuid();
        RecoveryDigest(digest(
            &self.recovery,
            &[user.as_bytes(), code.as_bytes()].concat(),
        ))
    }

    fn credential_digest(&self, credential_id: &[u8]) -> CredentialDigest {
        CredentialDigest(digest(&self.credential, credential_id))
    }

    fn user_code_digest(&self, code: &str) -> UserCodeDigest {
        UserCodeDigest(digest(&self.user_code, code.as_bytes()))
    }

    fn seal(&self, purpose: SealedFor, value: &[u8]) -> Option<String> {
        let sealed = self.sealer.seal(place(purpose), value, &*self.entropy);
        Some(URL_SAFE_NO_PAD.encode(sealed.ok()?))
    }

    fn open(&self, purpose: SealedFor, sealed: &str) -> Option<Zeroizing<Vec<u8>>> {
        if sealed.len() > MAX_LENGTH {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        self.sealer.open(place(purpose), &sealed).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::system::SystemEntropy;

    fn secrets(key: u8) -> KeyedFactorSecrets {
        KeyedFactorSecrets::new(&[key; 32], Arc::new(SystemEntropy)).unwrap()
    }

    #[test]
    fn a_sealed_value_opens_for_its_purpose_under_its_key_alone() {
        let ours = secrets(7);
        let sealed = ours.seal(SealedFor::Challenge, b"value").unwrap();
        let open = |secrets: &KeyedFactorSecrets, purpose| {
            secrets.open(purpose, &sealed).map(|it| it.to_vec())
        };
        assert_eq!(open(&ours, SealedFor::Challenge).unwrap(), b"value");
        assert_eq!(open(&ours, SealedFor::Enrolment), None);
        assert_eq!(open(&secrets(8), SealedFor::Challenge), None);
        assert_ne!(ours.seal(SealedFor::Challenge, b"value").unwrap(), sealed);
    }

    #[test]
    fn the_digest_of_a_recovery_code_depends_on_key_account_and_code() {
        let [ann, eve] = [1, 2].map(|id| UserId::new(Uuid::from_u128(id)));
        let digest = secrets(7).recovery_digest(ann, "ABCD");
        assert!(digest == secrets(7).recovery_digest(ann, "ABCD"));
        assert!(digest != secrets(7).recovery_digest(eve, "ABCD"));
        assert!(digest != secrets(7).recovery_digest(ann, "ABCE"));
        assert!(digest != secrets(8).recovery_digest(ann, "ABCD"));
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_not_a_sealed_value(text in any::<String>(), shaped in "[A-Za-z0-9_-]{0,200}") {
            for text in [text, shaped] {
                prop_assert!(secrets(7).open(SealedFor::Challenge, &text).is_none());
            }
        }
    }
}
