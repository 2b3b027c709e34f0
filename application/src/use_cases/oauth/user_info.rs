//! The claims about a person that an application may read (OpenID Connect Core §5.3).

use serde_json::{Map, Value};

/// The claims of the userinfo endpoint. It has no `Debug`, because it is personal data.
pub struct UserInfo {
    /// The claims, `sub` among them.
    pub claims: Map<String, Value>,
}
