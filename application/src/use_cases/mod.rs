//! The use cases, one file each. Background work is in `workers/`.

mod accounts;
mod change_password;
mod clients;
mod erase;
mod factors;
mod history;
mod identify;
mod import;
mod import_totp;
mod introspect;
mod issue_tokens;
mod lag;
mod log_out;
mod log_place;
mod oauth;
mod passkey_sign_in;
mod passkey_step_up;
mod passkeys;
mod rebuild;
mod refresh;
mod register;
mod reset_password;
mod revoke;
mod sealed_values;
mod second_factor;
mod sessions;
mod shown_factor;
mod sign_in;
mod step_up;
mod time_travel;
mod verify_email;

pub use clients::{
    ClientForm, ClientHistoryPage, ClientState, ClientStateAt, IssuedSecret, NewClient,
};
pub use factors::{BegunTotp, ConfirmedTotp, ENROLMENT_LIFETIME};
pub use identify::{NotIdentified, identify};
pub use import::{ImportForm, Imported, NotImported};
pub use import_totp::TotpForm;
pub use introspect::{ActiveToken, ExpectedToken};
pub use lag::{Behind, Lag};
pub use oauth::{
    AuthorizationForm, AuthorizationOutcome, AuthorizationRefusal, AuthorizationRequest,
    AuthorizationTarget, ClaimName, CodeExchange, ConsentDemand, ConsentRefusal,
    DeviceAuthorization, DeviceRefusal, GrantRefusal, Introspected, LogoutDemand, LogoutForm,
    LogoutRedirect, LogoutRefusal, LogoutRequest, OAuthTokens, OpenedRequest, Prompt, PushRefusal,
    PushedRequest, TargetRefusal, UserCode, UserInfo, UserInfoRefusal, WaitingDevice,
};
pub(crate) use passkey_sign_in::ChallengeSerials;
pub use passkey_sign_in::PasskeyChallenge;
pub use passkeys::{BegunPasskey, ConfirmedPasskey};
pub use rebuild::{RebuildProgress, rebuild_read_models};
pub use register::RegistrationForm;
pub use second_factor::{CHALLENGE_LIFETIME, PendingSignIn, SecondStep};
pub use sessions::{LiveSession, SessionPage};
pub use sign_in::SignInForm;
pub(crate) use sign_in::checked;
pub use step_up::{SecondFactorProof, SteppedUpSession, TermsOf};
pub use time_travel::{AccountState, StateAt};
pub use verify_email::{Link, LinkOffer, LinkProof};
