//! Passkeys (WebAuthn Level 3): what is stored of them, and the verification of what authenticators sign.

use authlog_domain::{FactorId, PasskeyTransport};
use authlog_projections::Account;
use uuid::Uuid;

use crate::PasskeyRefusal;

/// This service as authenticators know it (WebAuthn §4, "relying party"). It comes from the service's public URL and never
/// from a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingParty {
    /// The RP ID: the host name. Passkeys are bound to it.
    pub id: String,
    /// The origin of the pages that may use its passkeys, as browsers write it.
    pub origin: String,
}

/// What is stored of a passkey and never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasskeyCredential {
    /// The credential id, as the authenticator chose it.
    pub id: Vec<u8>,
    /// The public key as the authenticator sent it: a COSE key (RFC 9052 §7).
    pub public_key: Vec<u8>,
    /// How clients can reach the authenticator.
    pub transports: Vec<PasskeyTransport>,
    /// Whether the passkey can be copied to other devices.
    pub backup_eligible: bool,
}

/// A passkey of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPasskey {
    /// The factor.
    pub factor: FactorId,
    /// What it signs with.
    pub credential: PasskeyCredential,
    /// The signature counter of its last use.
    pub sign_count: u32,
}

/// A passkey and its account, read at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct PasskeyWithAccount {
    /// The account.
    pub account: Account,
    /// The passkey.
    pub passkey: StoredPasskey,
}

/// The keyed digest under which a credential id is stored, so that it is unique and a passkey is found by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialDigest(pub [u8; 32]);

/// What an answer of an authenticator has to fit.
#[derive(Clone, Copy, Debug)]
pub struct Ceremony<'a> {
    /// This service.
    pub relying_party: &'a RelyingParty,
    /// The challenge, as it was sent: in base64url.
    pub challenge: &'a str,
    /// Whether the authenticator must have verified the person, and not only their presence.
    pub requires_verification: bool,
}

/// The answer of an authenticator to the creation of a passkey (WebAuthn §5.2.1).
#[derive(Clone, Debug)]
pub struct AttestationResponse {
    /// `rawId`.
    pub credential_id: Vec<u8>,
    /// `clientDataJSON`.
    pub client_data: Vec<u8>,
    /// `attestationObject`.
    pub attestation_object: Vec<u8>,
    /// The known ones of `transports`.
    pub transports: Vec<PasskeyTransport>,
    /// `credProps.rk` of the client's extension results.
    pub discoverable: Option<bool>,
}

/// The answer of an authenticator to a challenge (WebAuthn §5.2.2).
#[derive(Clone, Debug)]
pub struct AssertionResponse {
    /// `rawId`.
    pub credential_id: Vec<u8>,
    /// `clientDataJSON`.
    pub client_data: Vec<u8>,
    /// `authenticatorData`.
    pub authenticator_data: Vec<u8>,
    /// `signature`.
    pub signature: Vec<u8>,
    /// `userHandle`.
    pub user_handle: Option<Vec<u8>>,
}

/// A new passkey whose attestation was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedAttestation {
    /// What is stored.
    pub credential: PasskeyCredential,
    /// The model of the authenticator as it claims; zero if it does not.
    pub aaguid: Uuid,
    /// Whether the authenticator verified the person.
    pub user_verified: bool,
    /// Whether the passkey was copied already.
    pub backed_up: bool,
    /// The signature counter.
    pub sign_count: u32,
}

/// A signature of a passkey that was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedAssertion {
    /// Whether the passkey is copied to other devices.
    pub backed_up: bool,
    /// The signature counter.
    pub sign_count: u32,
}

/// Verifies what authenticators sign. It is a pure function of its arguments.
pub trait PasskeyVerifier: Send + Sync {
    /// Verifies the creation of a passkey (WebAuthn §7.1). The attestation statement is ignored, because none is asked for.
    ///
    /// # Errors
    /// What is wrong.
    fn verify_attestation(
        &self,
        ceremony: &Ceremony<'_>,
        response: &AttestationResponse,
    ) -> Result<VerifiedAttestation, PasskeyRefusal>;

    /// Verifies the signature of a challenge by a stored passkey (WebAuthn §7.2). The caller has looked the passkey up, and
    /// compares the user handle and the counter.
    ///
    /// # Errors
    /// What is wrong.
    fn verify_assertion(
        &self,
        ceremony: &Ceremony<'_>,
        credential: &PasskeyCredential,
        response: &AssertionResponse,
    ) -> Result<VerifiedAssertion, PasskeyRefusal>;
}
