//! OAuth 2.1 and OpenID Connect: applications act for people, and as themselves.
//!
//! The steps of the authorization code flow are one file each: the request (`request.rs`), the decision about it
//! (`authorize.rs`), the person's consent (`consent.rs`), the code (`code.rs`), and its exchange for tokens (`redeem.rs`).

mod refusals;
mod request;
mod tokens;
mod user_info;

pub use refusals::{AuthorizationRefusal, GrantRefusal, TargetRefusal};
pub use request::{
    AuthorizationForm, AuthorizationOutcome, AuthorizationRequest, AuthorizationTarget, ClaimName,
    ConsentDemand, Prompt, RequestedClaims,
};
pub use tokens::{CodeExchange, OAuthTokens};
pub use user_info::UserInfo;
