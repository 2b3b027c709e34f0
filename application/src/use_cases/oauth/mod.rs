//! OAuth 2.1 and OpenID Connect: applications act for people, and as themselves.
//!
//! The steps of the authorization code flow are one file each: the request (`request.rs`), the decision about it
//! (`authorize.rs`, `demand.rs`), the person's consent (`consent.rs`), the code (`code.rs`), and its exchange for tokens (`redeem.rs`).
//! Those of the flow for devices without a browser are in `device/`. A logout that an application asks for is in `end_session.rs`;
//! workers inform the other applications of it.

mod asked;
mod authorize;
mod claims_parameter;
mod client_credentials;
mod code;
mod consent;
mod demand;
mod device;
mod end_session;
mod id_token;
mod introspect;
mod issue;
mod pkce;
mod pushed;
mod redeem;
mod refresh;
mod refusals;
mod request;
mod resources;
mod tokens;
mod user_info;

pub use authorize::{AuthorizationOutcome, ConsentDemand};
pub use consent::ConsentRefusal;
pub use device::{DeviceAuthorization, DeviceRefusal, UserCode, WaitingDevice};
pub use end_session::{LogoutDemand, LogoutForm, LogoutRedirect, LogoutRefusal, LogoutRequest};
pub use introspect::Introspected;
pub use pushed::{OpenedRequest, PushRefusal, PushedRequest};
pub use refusals::{AuthorizationRefusal, GrantRefusal, TargetRefusal};
pub use request::{
    AuthorizationForm, AuthorizationRequest, AuthorizationTarget, ClaimName, Prompt,
};
pub use tokens::{CodeExchange, OAuthTokens};
pub use user_info::{UserInfo, UserInfoRefusal};
