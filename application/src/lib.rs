//! The use cases and background workers of Authlog, behind one façade over ports.
//!
//! The HTTP contracts and the command line call [`Authlog`]. It contains no HTTP, no SQL and no cryptography; the [`ports`]
//! are the traits through which it uses them. A use case reads as steps: look up, decide, record, answer.

#![cfg_attr(
    not(test),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::large_stack_arrays,
        clippy::unchecked_time_subtraction
    )
)]

pub mod access;
mod account_cache;
mod authlog;
mod client_cache;
mod client_presence;
mod context;
mod deadline;
mod device_polls;
mod freshness;
pub mod history;
mod last_appended;
mod password;
pub mod ports;
pub mod published;
mod recent_outcomes;
mod refusal;
mod revocation_list;
mod session_terms;
pub mod supervisor;
mod unanswered_refreshes;
mod unit_of_work;
mod use_cases;
mod workers;

pub use access::{
    Actor, Admin, Auditor, AuthenticatedClient, Authorized, AuthorizedActor, BrowserSession,
    Caller, CallerProof, ChangesAccounts, ClientCredentials, ClientProof, DpopProof, Entitlement,
    FreshAdmin, Identity, LogReader, ManagesAccounts, Operator, OwnerProof, ReadsHistories,
    TokenInspector,
};
pub use authlog::{Authlog, Parts, RegistrationPolicy, Settings};
pub use client_presence::{ClientPresence, ClientWaits};
pub use context::RequestContext;
pub use deadline::Deadline;
pub use freshness::Freshness;
pub use last_appended::LastAppended;
pub use password::{NewPassword, Password, PasswordPolicy};
pub use recent_outcomes::{Outcomes, RecentOutcomes};
pub use refusal::{
    ClientRegistryRefusal, Field, PasskeyRefusal, Refusal, SecondFactorRefusal, SignInChallenge,
    SignInMethod, Violation,
};
pub use revocation_list::{RevocationList, TokenStatus};
pub use session_terms::{
    AccessFormat, ClaimsOf, IssuedAt, IssuedToken, LONGEST_ACCESS_TOKEN, LONGEST_TOKEN,
    RefreshTerms, SessionTerms, SignedIn,
};
pub use use_cases::{
    AccountState, ActiveToken, AuthorizationForm, AuthorizationOutcome, AuthorizationRefusal,
    AuthorizationRequest, AuthorizationTarget, BegunPasskey, BegunTotp, Behind, CHALLENGE_LIFETIME,
    ClaimName, ClientForm, ClientHistoryPage, ClientState, ClientStateAt, CodeExchange,
    ConfirmedPasskey, ConfirmedTotp, ConsentDemand, ConsentRefusal, DeviceAuthorization,
    DeviceRefusal, ENROLMENT_LIFETIME, ExpectedToken, GrantRefusal, ImportForm, Imported,
    Introspected, IssuedSecret, Lag, Link, LinkOffer, LinkProof, LiveSession, LogoutDemand,
    LogoutForm, LogoutRedirect, LogoutRefusal, LogoutRequest, NewClient, NotIdentified,
    NotImported, OAuthTokens, OpenedRequest, PasskeyChallenge, PendingSignIn, Prompt, PushRefusal,
    PushedRequest, RebuildProgress, RegistrationForm, SecondFactorProof, SecondStep, SessionPage,
    SignInForm, StateAt, SteppedUpSession, TargetRefusal, TermsOf, TotpForm, UserCode, UserInfo,
    UserInfoRefusal, WaitingDevice, identify, rebuild_read_models,
};
pub use workers::{Background, BackgroundWorker, Events, Follower, LogFeed, Stop, Worker};
