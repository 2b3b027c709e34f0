//! What an operator does with accounts.

use authlog_domain::user::{ChangeRole, UserCommand, UserEvent};
use authlog_domain::{AccountNumber, Role, User};

use crate::ports::{Account, Identifier, Revocation};
use crate::{Authlog, Refusal, RequestContext};

impl Authlog {
    /// The account that is called `identifier`.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], or that it cannot be told now.
    pub async fn find_account(&self, identifier: &str) -> Result<Account, Refusal> {
        let identifier = Identifier::parse(identifier).ok_or(Refusal::UnknownAccount)?;
        self.parts
            .directory
            .find_account(&identifier)
            .await?
            .ok_or(Refusal::UnknownAccount)
    }

    /// Up to `limit` accounts in order of their numbers, those after `after`.
    ///
    /// # Errors
    /// It cannot be told now.
    pub async fn list_accounts(
        &self,
        after: Option<AccountNumber>,
        limit: u32,
    ) -> Result<Vec<Account>, Refusal> {
        Ok(self.parts.directory.accounts(after, limit).await?)
    }

    /// Lets an account do other things than before, and ends its sessions: their tokens say what it could do.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], or that it cannot be done now.
    pub async fn change_role(
        &self,
        identifier: &str,
        role: Role,
        context: &RequestContext,
    ) -> Result<Account, Refusal> {
        let account = self.find_account(identifier).await?;
        let command = ChangeRole {
            at: self.parts.clock.now(),
            role,
        };
        let id = account.id.to_string();
        let id = id.as_str();
        let epoch = self
            .journal
            .record(id, |work| async move {
                let events = work
                    .execute::<User>(
                        id,
                        UserCommand::ChangeRole(command),
                        context.metadata(account.id),
                    )
                    .await?;
                work.commit().await?;
                Ok(match events.as_slice() {
                    [UserEvent::RoleChanged(event)] => event.session_epoch,
                    _ => None,
                })
            })
            .await?;
        if let Some(epoch) = epoch {
            let user = account.id;
            self.revocation_list
                .add(Revocation::Epoch { user, epoch }, command.at);
        }
        self.account_just_written(account.id).await
    }
}
