//! The registered clients: registering and changing them, their secrets, and looking them up.

mod form;
mod history;

use std::sync::Arc;

use authlog_domain::client::{ClientChange, ClientCommand, RegisteredClient};
use authlog_domain::{ClientId, ClientSecretId, ContractName};
use zeroize::Zeroizing;

pub use form::ClientForm;
pub use history::{ClientHistoryPage, ClientState, ClientStateAt};

use crate::ports::{ClientsPage, WaitingLogouts};
use crate::{
    Authlog, ChangesAccounts, ClientRegistryRefusal, ManagesAccounts, Refusal, RequestContext,
};

/// A client that was just registered. It has no `Debug`: the secret is shown once.
pub struct NewClient {
    /// The client.
    pub client: RegisteredClient,
    /// Its secret, if it authenticates by one.
    pub secret: Option<IssuedSecret>,
}

/// A secret that was just issued. It has no `Debug`: the secret is shown once.
pub struct IssuedSecret {
    /// The id of the secret.
    pub id: ClientSecretId,
    /// The secret.
    pub secret: Zeroizing<String>,
}

impl Authlog {
    /// Registers a client, under `id` or under a generated one.
    ///
    /// # Errors
    /// [`Refusal::Client`], or [`Refusal::Unavailable`].
    pub async fn register_client(
        &self,
        by: &impl ChangesAccounts,
        id: Option<&str>,
        form: &ClientForm,
        context: &RequestContext,
    ) -> Result<NewClient, Refusal> {
        let id = match id {
            Some(text) => chosen_id(text)?,
            None => ClientId::from_stored(self.parts.entropy.random_uuid().to_string()),
        };
        let settings = form.new_settings()?;
        let has_secrets = settings.auth_method.has_secrets();
        let secret = self.new_secret_id();
        let change = ClientChange::Register { settings, secret };
        self.change(by, &id, change, context).await?;
        Ok(NewClient {
            client: self.registered_client(&id).await?,
            secret: has_secrets.then(|| self.issued_secret(&id, secret)),
        })
    }

    /// Replaces the settings that `form` names, and keeps the others.
    ///
    /// # Errors
    /// As for [`Self::register_client`].
    pub async fn change_client(
        &self,
        by: &impl ChangesAccounts,
        id: &ClientId,
        form: &ClientForm,
        context: &RequestContext,
    ) -> Result<RegisteredClient, Refusal> {
        let metadata = &by.metadata_of_client(context);
        let at = self.parts.clock.now();
        self.executor
            .execute(id.as_str(), |work| async move {
                let row = work.client(id).await?;
                let current = row.as_ref().and_then(|row| row.state.as_ref());
                let current = current.ok_or(ClientRegistryRefusal::Unknown)?;
                let settings = form.applied_to(current.settings.clone())?;
                let change = ClientChange::Change { settings };
                let command = ClientCommand { at, change };
                work.execute_on_client(id, row, command, metadata.clone())
                    .await?;
                work.commit().await
            })
            .await?;
        self.client_cache.forget(id);
        // Another URI may be what helps a client that could not be sent its logout tokens.
        if let Err(error) = self.parts.logout_queue.retry_logouts(id).await {
            tracing::warn!(client = %id, %error, "logout tokens that wait for a changed client are sent at their time");
        }
        self.registered_client(id).await
    }

    /// Issues one more secret to a client. The others stay valid until they are retired.
    ///
    /// # Errors
    /// As for [`Self::register_client`].
    pub async fn issue_client_secret(
        &self,
        by: &impl ChangesAccounts,
        id: &ClientId,
        context: &RequestContext,
    ) -> Result<IssuedSecret, Refusal> {
        let secret = self.new_secret_id();
        let change = ClientChange::IssueSecret { secret };
        self.change(by, id, change, context).await?;
        Ok(self.issued_secret(id, secret))
    }

    /// Makes a secret of a client invalid.
    ///
    /// # Errors
    /// As for [`Self::register_client`].
    pub async fn retire_client_secret(
        &self,
        by: &impl ChangesAccounts,
        id: &ClientId,
        secret: ClientSecretId,
        context: &RequestContext,
    ) -> Result<RegisteredClient, Refusal> {
        let change = ClientChange::RetireSecret { secret };
        self.change(by, id, change, context).await?;
        self.registered_client(id).await
    }

    /// Locks a client: it gets no tokens, and those that it has are refused.
    ///
    /// # Errors
    /// As for [`Self::register_client`].
    pub async fn lock_client(
        &self,
        by: &impl ChangesAccounts,
        id: &ClientId,
        context: &RequestContext,
    ) -> Result<RegisteredClient, Refusal> {
        self.change(by, id, ClientChange::Lock, context).await?;
        self.registered_client(id).await
    }

    /// Unlocks a client.
    ///
    /// # Errors
    /// As for [`Self::register_client`].
    pub async fn unlock_client(
        &self,
        by: &impl ChangesAccounts,
        id: &ClientId,
        context: &RequestContext,
    ) -> Result<RegisteredClient, Refusal> {
        self.change(by, id, ClientChange::Unlock, context).await?;
        self.registered_client(id).await
    }

    /// Removes a client for good. Its id is never used again.
    ///
    /// # Errors
    /// As for [`Self::register_client`].
    pub async fn remove_client(
        &self,
        by: &impl ChangesAccounts,
        id: &ClientId,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        self.change(by, id, ClientChange::Remove, context).await
    }

    /// The client with this id, as it is now.
    ///
    /// # Errors
    /// [`ClientRegistryRefusal::Unknown`], or [`Refusal::Unavailable`].
    pub async fn client_of(
        &self,
        _by: &impl ManagesAccounts,
        id: &ClientId,
    ) -> Result<RegisteredClient, Refusal> {
        self.registered_client(id).await
    }

    /// The logout tokens that wait for this client; `None` if none do.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn logouts_waiting_for(
        &self,
        _by: &impl ManagesAccounts,
        id: &ClientId,
    ) -> Result<Option<WaitingLogouts>, Refusal> {
        Ok(self.parts.logout_queue.waiting_logouts(id).await?)
    }

    /// A page of up to `limit` clients, beginning after `after`.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn page_of_clients(
        &self,
        _by: &impl ManagesAccounts,
        after: Option<&ClientId>,
        limit: u32,
    ) -> Result<ClientsPage, Refusal> {
        Ok(self.parts.clients.clients(after, limit).await?)
    }

    /// The client with this id, as it was at most a second ago; `None` if there is none. For requests of clients, so that they
    /// cost no query.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn client(&self, id: &ClientId) -> Result<Option<Arc<RegisteredClient>>, Refusal> {
        let look_up = || self.parts.clients.client(id);
        Ok(self.client_cache.get(id, look_up).await?)
    }

    async fn registered_client(&self, id: &ClientId) -> Result<RegisteredClient, Refusal> {
        let found = self.parts.clients.client(id).await?;
        Ok(found.ok_or(ClientRegistryRefusal::Unknown)?)
    }

    async fn change(
        &self,
        by: &impl ChangesAccounts,
        id: &ClientId,
        change: ClientChange,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let at = self.parts.clock.now();
        let (command, metadata) = (
            &ClientCommand { at, change },
            &by.metadata_of_client(context),
        );
        self.executor
            .execute(id.as_str(), |work| async move {
                let row = work.client(id).await?;
                work.execute_on_client(id, row, command.clone(), metadata.clone())
                    .await?;
                work.commit().await
            })
            .await?;
        self.client_cache.forget(id);
        Ok(())
    }

    fn new_secret_id(&self) -> ClientSecretId {
        ClientSecretId::new(self.parts.entropy.random_uuid())
    }

    fn issued_secret(&self, client: &ClientId, id: ClientSecretId) -> IssuedSecret {
        let secret = self.parts.client_secrets.secret(client, id);
        IssuedSecret { id, secret }
    }
}

/// The id that an operator chose. The tokens of a contract have its name as their `client_id`, so no client has it.
fn chosen_id(text: &str) -> Result<ClientId, ClientRegistryRefusal> {
    let id = ClientId::parse_chosen(text)
        .map_err(|flaw| ClientRegistryRefusal::Member { member: "id", flaw })?;
    let mut contracts = ContractName::ALL.iter();
    if contracts.any(|contract| contract.as_str() == id.as_str()) {
        return Err(ClientRegistryRefusal::IdTaken);
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_client_has_the_name_of_a_contract() {
        for name in [
            "users", "api", "api-auth", "v1-auth", "authlog", "cli", "oauth",
        ] {
            assert_eq!(chosen_id(name), Err(ClientRegistryRefusal::IdTaken));
        }
        assert_eq!(chosen_id("photos"), Ok(ClientId::from_stored("photos")));
    }
}
