//! The data of published events. Members are only ever added, and new ones are optional.
//!
//! The comments of members are published: they are the descriptions in the JSON Schemas.

use authlog_domain::refused_logins::LoginRefused;
use authlog_domain::session::SessionEvent;
use authlog_domain::user::UserEvent;
use authlog_domain::{Authentication, AuthenticationMethods};
use schemars::JsonSchema;
use serde::Serialize;

use super::client_data::{ClientSecret, ClientSettings, UndeliveredLogout};

/// The data of a published event.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Data {
    /// Of `user.registered`.
    Registered(Registered),
    /// Of `user.password-reset-requested`.
    PasswordResetRequested(PasswordResetRequested),
    /// Of `user.password-reset`.
    PasswordReset(PasswordReset),
    /// Of `user.password-rehashed`.
    PasswordRehashed(PasswordRehashed),
    /// Of `user.password-changed`.
    PasswordChanged(PasswordChanged),
    /// Of `user.sessions-revoked`.
    SessionsRevoked(SessionsRevoked),
    /// Of `user.role-changed`.
    RoleChanged(RoleChanged),
    /// Of `user.locked`.
    Locked(Locked),
    /// Of `user.email-verification-requested`.
    EmailVerificationRequested(EmailVerificationRequested),
    /// Of `user.unlocked`, `user.email-verified`, `user.email-changed`, `user.password-found-breached`, `client.locked`,
    /// `client.unlocked` and `client.removed`.
    Nothing(Nothing),
    /// Of `user.totp-enrolled`.
    TotpEnrolled(TotpEnrolled),
    /// Of `user.passkey-enrolled`.
    PasskeyEnrolled(PasskeyEnrolled),
    /// Of `user.passkey-counter-went-back`.
    PasskeyCounterWentBack(PasskeyCounterWentBack),
    /// Of `user.factor-removed`.
    FactorRemoved(FactorRemoved),
    /// Of `user.factor-renamed`.
    FactorRenamed(FactorRenamed),
    /// Of `user.recovery-codes-issued` and `user.recovery-code-used`.
    RecoveryCodes(RecoveryCodes),
    /// Of `user.consent-given`.
    ConsentGiven(ConsentGiven),
    /// Of `user.consent-withdrawn`.
    ConsentWithdrawn(ConsentWithdrawn),
    /// Of `user.erased`.
    Erased(Erased),
    /// Of `session.logged-in`.
    LoggedIn(LoggedIn),
    /// Of `session.token-refreshed`.
    TokenRefreshed(TokenRefreshed),
    /// Of `session.refresh-token-reused`, `session.authorization-code-reused` and `session.logged-out`.
    SessionEnded(SessionEnded),
    /// Of `session.revoked`.
    SessionRevoked(SessionRevoked),
    /// Of `session.stepped-up`.
    SteppedUp(SteppedUp),
    /// Of `refused-logins.login-refused`.
    LoginRefused(RefusedLogin),
    /// Of `client.registered` and `client.changed`.
    ClientSettings(ClientSettings),
    /// Of `client.secret-issued` and `client.secret-retired`.
    ClientSecret(ClientSecret),
    /// Of `client.logout-not-delivered`.
    UndeliveredLogout(UndeliveredLogout),
}

/// An account was registered. The profile is not published; a consumer queries the API for it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Registered {
    /// The account's number, unique and never reused.
    pub number: i64,
    /// What the account may do: `user`, `service`, `auditor` or `admin`.
    pub role: String,
}

/// A password reset was requested. The link is sent by mail.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PasswordResetRequested {
    /// From this instant on the reset can no longer be carried out (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    pub expires_at: String,
}

/// The password was reset, and every session ended.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PasswordReset {
    /// The account's session epoch: sessions that were started under an earlier one have ended.
    pub session_epoch: u32,
}

/// An unchanged password was hashed again with the current parameters.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PasswordRehashed {}

/// The role changed, and every session ended.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct RoleChanged {
    /// What it may do from now on: `user`, `service`, `auditor` or `admin`.
    pub role: String,
    /// The account's session epoch: sessions that were started under an earlier one have ended. Of events that an older
    /// program recorded there is none: they ended no session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_epoch: Option<u32>,
}

/// The person changed the password, and every other session ended.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PasswordChanged {
    /// The account's session epoch: sessions that were started under an earlier one have ended.
    pub session_epoch: u32,
    /// The one that has not.
    #[schemars(extend("format" = "uuid"))]
    pub kept_session_id: String,
}

/// All sessions ended, except for at most one.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct SessionsRevoked {
    /// On whose wish: `owner`, `administrator` or `operator`.
    pub reason: String,
    /// The account's session epoch: sessions that were started under an earlier one have ended.
    pub session_epoch: u32,
    /// The one that has not, if there is one.
    #[schemars(extend("format" = "uuid"))]
    pub kept_session_id: Option<String>,
}

/// The account was locked, and every session ended.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Locked {
    /// The account's session epoch: sessions that were started under an earlier one have ended.
    pub session_epoch: u32,
}

/// A link that verifies an e-mail address was requested. It is sent by mail.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct EmailVerificationRequested {
    /// From this instant on the link is no good (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    pub expires_at: String,
}

/// An authenticator app was enrolled.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct TotpEnrolled {
    /// The second factor.
    #[schemars(extend("format" = "uuid"))]
    pub factor_id: String,
}

/// A passkey was enrolled.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PasskeyEnrolled {
    /// The factor.
    #[schemars(extend("format" = "uuid"))]
    pub factor_id: String,
    /// The host name of the service, to which the passkey is bound.
    pub rp_id: String,
    /// Whether the passkey can be copied to other devices of the person.
    pub backup_eligible: bool,
}

/// A passkey was used with a signature counter that is not higher than before.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PasskeyCounterWentBack {
    /// The factor.
    #[schemars(extend("format" = "uuid"))]
    pub factor_id: String,
}

/// A second factor was removed.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct FactorRemoved {
    /// The second factor.
    #[schemars(extend("format" = "uuid"))]
    pub factor_id: String,
    /// Who requested it: `owner`, `administrator` or `operator`.
    pub reason: String,
}

/// A second factor was named. The name is personal and not published.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct FactorRenamed {
    /// The second factor.
    #[schemars(extend("format" = "uuid"))]
    pub factor_id: String,
}

/// Recovery codes were made, or one was used.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct RecoveryCodes {
    /// How many recovery codes the account has now.
    pub left: u32,
}

/// The person consented to what an application may do.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ConsentGiven {
    /// The application: the `client_id` of an OAuth client.
    pub client_id: String,
    /// Everything that it may do from now on: OAuth scopes, separated by spaces.
    pub scope: String,
}

/// The person withdrew the consent to an application. Its sessions are ended.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ConsentWithdrawn {
    /// The application: the `client_id` of an OAuth client.
    pub client_id: String,
}

/// The data of an event that has no members of its own. A consumer queries the API for the profile.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Nothing {}

/// The account was erased, and every session ended. Consumers delete what they store about the person.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Erased {
    /// The account's last session epoch: sessions that were started under an earlier one have ended, which are all.
    pub session_epoch: u32,
}

/// A session started.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LoggedIn {
    /// The session that started.
    #[schemars(extend("format" = "uuid"))]
    pub session_id: String,
    /// The account's session epoch under which it started.
    pub session_epoch: u32,
    /// The contract through which it started, such as `api-auth`.
    pub contract: Option<String>,
    /// When it ends unless it is refreshed (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    pub expires_at: String,
    /// How the person was authenticated (RFC 8176): `pwd` for a password, `otp` for a code, `swk` or `hwk` for a
    /// passkey that can or cannot be copied, `user` if its authenticator tested their presence, `mfa` for two factors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amr: Option<Vec<String>>,
    /// How strong that is: `urn:authlog:aal1` for one factor, `urn:authlog:aal2` for two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// When the person was authenticated (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub auth_time: Option<String>,
    /// The application that uses the session: the `client_id` of an OAuth client. There is none for a session of the person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// What was granted to the application: OAuth scopes, separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The resources for which the application gets access tokens (RFC 8707).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<Vec<String>>,
    /// The session in which the person granted it. If that one ends, this one ends with it, without an event of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uuid"))]
    pub parent_session_id: Option<String>,
    /// The SHA-256 thumbprint of the key to which the application's refresh tokens are bound (RFC 9449 §5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dpop_jkt: Option<String>,
}

/// The session was refreshed.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct TokenRefreshed {
    /// The session.
    #[schemars(extend("format" = "uuid"))]
    pub session_id: String,
    /// How often its refresh token has been replaced so far.
    pub generation: u32,
    /// When it ends unless it is refreshed (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    pub expires_at: String,
}

/// The session has ended.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct SessionEnded {
    /// The session.
    #[schemars(extend("format" = "uuid"))]
    pub session_id: String,
}

/// The session was revoked by its owner from another session, or by an administrator.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct SessionRevoked {
    /// The session.
    #[schemars(extend("format" = "uuid"))]
    pub session_id: String,
    /// On whose wish: `owner` or `administrator`; `consent-withdrawn` if the owner withdrew the consent to the application; `device-code-repeated` if its device asked for its tokens a second time.
    pub reason: String,
}

/// The person in the session was authenticated again. Access tokens that are issued from now on say so.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct SteppedUp {
    /// The session.
    #[schemars(extend("format" = "uuid"))]
    pub session_id: String,
    /// How the person was authenticated (RFC 8176): `pwd` for a password, `otp` for a code, `mfa` for two factors.
    pub amr: Vec<String>,
    /// How strong that is: `urn:authlog:aal1` for one factor, `urn:authlog:aal2` for two.
    pub acr: String,
    /// When the person was authenticated (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    pub auth_time: String,
}

/// A login was refused that named the account. At most a thousand of them are recorded for an account and a day.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct RefusedLogin {
    /// Why, such as `wrong-password`, `account-locked` or `email-not-verified`.
    pub reason: String,
    /// The contract through which it was tried, such as `api-auth`.
    pub contract: Option<String>,
}

impl Data {
    pub(super) fn of_user(event: UserEvent) -> Self {
        match event {
            UserEvent::UserRegistered(event) => Self::Registered(Registered {
                number: event.number.get(),
                role: event.role.to_string(),
            }),
            UserEvent::PasswordResetRequested(event) => {
                Self::PasswordResetRequested(PasswordResetRequested {
                    expires_at: event.expires_at.to_string(),
                })
            }
            UserEvent::PasswordReset(event) => Self::PasswordReset(PasswordReset {
                session_epoch: event.session_epoch,
            }),
            UserEvent::PasswordRehashed(_) => Self::PasswordRehashed(PasswordRehashed {}),
            UserEvent::RoleChanged(event) => Self::RoleChanged(RoleChanged {
                role: event.role.to_string(),
                session_epoch: event.session_epoch,
            }),
            UserEvent::PasswordChanged(event) => Self::PasswordChanged(PasswordChanged {
                session_epoch: event.session_epoch,
                kept_session_id: event.kept_session.to_string(),
            }),
            UserEvent::SessionsRevoked(event) => Self::SessionsRevoked(SessionsRevoked {
                reason: event.reason.as_str().to_owned(),
                session_epoch: event.session_epoch,
                kept_session_id: event.kept_session.map(|session| session.to_string()),
            }),
            UserEvent::UserLocked(event) => Self::Locked(Locked {
                session_epoch: event.session_epoch,
            }),
            UserEvent::EmailVerificationRequested(event) => {
                Self::EmailVerificationRequested(EmailVerificationRequested {
                    expires_at: event.expires_at.to_string(),
                })
            }
            UserEvent::UserUnlocked(_)
            | UserEvent::EmailVerified(_)
            | UserEvent::EmailChanged(_)
            | UserEvent::PasswordFoundBreached(_) => Self::Nothing(Nothing {}),
            UserEvent::FactorRenamed(event) => Self::FactorRenamed(FactorRenamed {
                factor_id: event.factor.to_string(),
            }),
            UserEvent::TotpEnrolled(event) => Self::TotpEnrolled(TotpEnrolled {
                factor_id: event.factor.to_string(),
            }),
            UserEvent::PasskeyEnrolled(event) => Self::PasskeyEnrolled(PasskeyEnrolled {
                factor_id: event.factor.to_string(),
                rp_id: event.rp_id.clone(),
                backup_eligible: event.backup_eligible,
            }),
            UserEvent::PasskeyCounterWentBack(event) => {
                Self::PasskeyCounterWentBack(PasskeyCounterWentBack {
                    factor_id: event.factor.to_string(),
                })
            }
            UserEvent::FactorRemoved(event) => Self::FactorRemoved(FactorRemoved {
                factor_id: event.factor.to_string(),
                reason: event.reason.as_str().to_owned(),
            }),
            UserEvent::RecoveryCodesIssued(event) => {
                Self::RecoveryCodes(RecoveryCodes { left: event.count })
            }
            UserEvent::RecoveryCodeUsed(event) => {
                Self::RecoveryCodes(RecoveryCodes { left: event.left })
            }
            UserEvent::ConsentGiven(event) => Self::ConsentGiven(ConsentGiven {
                client_id: event.client.to_string(),
                scope: event.scopes.to_string(),
            }),
            UserEvent::ConsentWithdrawn(event) => Self::ConsentWithdrawn(ConsentWithdrawn {
                client_id: event.client.to_string(),
            }),
            UserEvent::UserErased(event) => Self::Erased(Erased {
                session_epoch: event.session_epoch,
            }),
        }
    }

    pub(super) fn of_session(event: SessionEvent, session: &str, contract: Option<&str>) -> Self {
        let session_id = session.to_owned();
        match event {
            SessionEvent::LoggedIn(event) => {
                let Authentication {
                    amr,
                    acr,
                    auth_time,
                    factor: _,
                } = event.authentication();
                let grant = event.grant();
                Self::LoggedIn(LoggedIn {
                    session_id,
                    session_epoch: event.epoch,
                    contract: contract.map(str::to_owned),
                    expires_at: event.expires_at.to_string(),
                    amr: Some(names(amr)),
                    acr: Some(acr.as_str().to_owned()),
                    auth_time: Some(auth_time.to_string()),
                    client_id: grant.as_ref().map(|it| it.client.to_string()),
                    scope: grant.as_ref().map(|it| it.scopes.to_string()),
                    parent_session_id: grant
                        .as_ref()
                        .and_then(|it| it.parent)
                        .map(|parent| parent.to_string()),
                    dpop_jkt: grant
                        .as_ref()
                        .and_then(|it| it.dpop_jkt.as_ref())
                        .map(ToString::to_string),
                    audience: grant
                        .filter(|it| !it.audience.is_empty())
                        .map(|it| it.audience.iter().map(ToString::to_string).collect()),
                })
            }
            SessionEvent::TokenRefreshed(event) => Self::TokenRefreshed(TokenRefreshed {
                session_id,
                generation: event.generation,
                expires_at: event.expires_at.to_string(),
            }),
            SessionEvent::RefreshTokenReused(_)
            | SessionEvent::AuthorizationCodeReused(_)
            | SessionEvent::LoggedOut(_) => Self::SessionEnded(SessionEnded { session_id }),
            SessionEvent::SessionRevoked(event) => Self::SessionRevoked(SessionRevoked {
                session_id,
                reason: event.reason.as_str().to_owned(),
            }),
            SessionEvent::SteppedUp(event) => Self::SteppedUp(SteppedUp {
                session_id,
                amr: names(event.amr),
                acr: event.acr.as_str().to_owned(),
                auth_time: event.auth_time.to_string(),
            }),
        }
    }

    pub(super) fn of_refused_login(event: &LoginRefused, contract: Option<&str>) -> Self {
        Self::LoginRefused(RefusedLogin {
            reason: event.reason.as_str().to_owned(),
            contract: contract.map(str::to_owned),
        })
    }
}

fn names(methods: AuthenticationMethods) -> Vec<String> {
    methods.iter().map(|it| it.as_str().to_owned()).collect()
}
