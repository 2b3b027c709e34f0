//! Roles: who may do what only some may. They are enforced here and nowhere else.

use authlog_domain::Role;

use crate::ports::Account;
use crate::{Authlog, Refusal};

impl Authlog {
    /// The account of whoever bears this access token, if its role is one of `roles` at this moment: a role that was
    /// taken away counts at once, whatever the token says.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`Refusal::Forbidden`], or that it cannot be told now.
    pub async fn authorize(&self, token: &str, roles: &[Role]) -> Result<Account, Refusal> {
        let caller = self.authenticate(token).await?;
        let account = self.parts.directory.account(caller.user).await?;
        let account = account.ok_or(Refusal::InvalidAccessToken)?;
        if roles.contains(&account.role) {
            Ok(account)
        } else {
            Err(Refusal::Forbidden)
        }
    }
}
