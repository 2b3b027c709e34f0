//! What browsers need to create or use a passkey: `PublicKeyCredentialCreationOptionsJSON` and
//! `PublicKeyCredentialRequestOptionsJSON` (WebAuthn Level 3 §5.1.8 and §5.1.10).

use authlog_application::ports::PasskeyCredential;
use authlog_application::{BegunPasskey, CHALLENGE_LIFETIME, PasskeyChallenge};
use authlog_domain::PasskeyTransport;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

/// The algorithms that are accepted, the preferred one first (RFC 9053): ES256, EdDSA, RS256.
const ALGORITHMS: [i32; 3] = [-7, -8, -257];

/// The only type of credentials.
const PUBLIC_KEY: &str = "public-key";

/// The answer to the begin of an enrolment.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreationOptionsOut<'a> {
    public_key: CreationOut<'a>,
    enrolment: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreationOut<'a> {
    rp: PartyOut<'a>,
    user: UserOut<'a>,
    challenge: &'a str,
    pub_key_cred_params: [ParametersOut; 3],
    timeout: u128,
    exclude_credentials: Vec<DescriptorOut<'a>>,
    authenticator_selection: SelectionOut,
    attestation: &'static str,
    extensions: ExtensionsOut,
}

#[derive(Serialize)]
struct PartyOut<'a> {
    id: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserOut<'a> {
    /// The user handle: the id of the account, which says nothing of the person (§14.6.1).
    id: String,
    name: &'a str,
    display_name: &'a str,
}

#[derive(Serialize)]
struct ParametersOut {
    r#type: &'static str,
    alg: i32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SelectionOut {
    resident_key: &'static str,
    require_resident_key: bool,
    user_verification: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExtensionsOut {
    cred_props: bool,
}

#[derive(Serialize)]
struct DescriptorOut<'a> {
    r#type: &'static str,
    id: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    transports: &'a [PasskeyTransport],
}

impl<'a> DescriptorOut<'a> {
    fn all(credentials: &'a [PasskeyCredential]) -> Vec<Self> {
        let all = credentials.iter().map(|credential| Self {
            r#type: PUBLIC_KEY,
            id: URL_SAFE_NO_PAD.encode(&credential.id),
            transports: &credential.transports,
        });
        all.collect()
    }
}

/// Milliseconds until a challenge expires.
const fn timeout() -> u128 {
    CHALLENGE_LIFETIME.as_millis()
}

impl<'a> CreationOptionsOut<'a> {
    /// Every passkey of this service verifies the person and is found without a name, so that it signs in by itself.
    pub(crate) fn new(begun: &'a BegunPasskey) -> Self {
        let account = &begun.account;
        let party = &begun.relying_party;
        Self {
            public_key: CreationOut {
                rp: PartyOut {
                    id: &party.id,
                    name: &party.id,
                },
                user: UserOut {
                    id: URL_SAFE_NO_PAD.encode(account.id.as_uuid()),
                    name: account.sign_in_name(),
                    display_name: account.display_name(),
                },
                challenge: &begun.enrolment,
                pub_key_cred_params: ALGORITHMS.map(|alg| ParametersOut {
                    r#type: PUBLIC_KEY,
                    alg,
                }),
                timeout: timeout(),
                exclude_credentials: DescriptorOut::all(&begun.existing),
                authenticator_selection: SelectionOut {
                    resident_key: "required",
                    require_resident_key: true,
                    user_verification: "required",
                },
                attestation: "none",
                extensions: ExtensionsOut { cred_props: true },
            },
            enrolment: &begun.enrolment,
        }
    }
}

/// The answer to the begin of a login with a passkey.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AssertionOptionsOut<'a> {
    public_key: RequestOut<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    challenge: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestOut<'a> {
    challenge: &'a str,
    timeout: u128,
    rp_id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow_credentials: Vec<DescriptorOut<'a>>,
    user_verification: &'static str,
}

impl<'a> AssertionOptionsOut<'a> {
    /// For a passkey that is the only factor which is shown: its authenticator must verify the person.
    pub(crate) fn verifying(begun: &'a PasskeyChallenge) -> Self {
        Self {
            public_key: RequestOut::new(begun, "required"),
            challenge: Some(&begun.challenge),
        }
    }

    /// For the passkeys of an account whose password was right. The client has the challenge already.
    pub(crate) fn second_step(begun: &'a PasskeyChallenge) -> Self {
        Self {
            public_key: RequestOut::new(begun, "discouraged"),
            challenge: None,
        }
    }
}

impl<'a> RequestOut<'a> {
    fn new(begun: &'a PasskeyChallenge, user_verification: &'static str) -> Self {
        Self {
            challenge: &begun.challenge,
            timeout: timeout(),
            rp_id: &begun.relying_party.id,
            allow_credentials: DescriptorOut::all(&begun.allowed),
            user_verification,
        }
    }
}
