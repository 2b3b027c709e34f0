//! Origin of a request (contract, address, user agent), recorded with every event.

use std::collections::HashMap;
use std::net::IpAddr;

use authlog_domain::{AuthenticationLevel, ContractName, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ports::HashingClient;
use crate::{Caller, ClientPresence};

/// The origin of a request. It has no `Debug`: address and user agent are personal data.
#[derive(Clone, Serialize, Deserialize)]
pub struct RequestContext {
    /// The id of the request in logs.
    pub request: Uuid,
    /// The contract of the request.
    pub contract: ContractName,
    /// The client address.
    pub address: Option<IpAddr>,
    /// The user agent as the client sent it; the caller bounds its length.
    pub user_agent: Option<String>,
    /// Whether the client still waits for the answer.
    #[serde(skip)]
    pub presence: ClientPresence,
}

impl RequestContext {
    /// The keys of event metadata whose values are personal data, which the store seals.
    pub const PERSONAL_METADATA: [&'static str; 2] = ["ip", "user_agent"];

    /// The client for which a password of this request is hashed.
    pub(crate) fn hashing_client(&self) -> HashingClient {
        HashingClient {
            address: self.address,
            presence: self.presence.clone(),
        }
    }

    /// The metadata of an event of the account `user`. The actor is the account itself, or the operator on the command line.
    pub(crate) fn metadata(&self, user: UserId) -> HashMap<String, String> {
        let mut metadata = HashMap::from([
            ("user_id".to_owned(), user.to_string()),
            ("actor".to_owned(), self.actor(user)),
            ("request_id".to_owned(), self.request.to_string()),
            ("contract".to_owned(), self.contract.as_str().to_owned()),
        ]);
        if let Some(address) = self.address {
            metadata.insert("ip".to_owned(), address.to_string());
        }
        if let Some(user_agent) = &self.user_agent {
            metadata.insert("user_agent".to_owned(), user_agent.clone());
        }
        metadata
    }

    /// The metadata of an event that the operator caused and that belongs to no account. Nothing could erase personal data in it,
    /// so it has neither an address nor a user agent.
    pub(crate) fn metadata_of_operator(&self) -> HashMap<String, String> {
        HashMap::from([
            ("actor".to_owned(), "operator".to_owned()),
            ("request_id".to_owned(), self.request.to_string()),
            ("contract".to_owned(), self.contract.as_str().to_owned()),
        ])
    }

    /// As [`Self::metadata_of_operator`], for an event that an administrator caused.
    pub(crate) fn metadata_of_administrator(&self, actor: &Caller) -> HashMap<String, String> {
        let mut metadata = self.metadata_of_operator();
        let level = actor.authentication().acr.as_str().to_owned();
        metadata.insert("actor".to_owned(), format!("user:{}", actor.user()));
        metadata.insert("acr".to_owned(), level);
        metadata.insert("session".to_owned(), actor.session().to_string());
        metadata
    }

    /// The metadata of an event of the account `user` whose owner is authenticated at this level.
    pub(crate) fn metadata_at(
        &self,
        user: UserId,
        level: AuthenticationLevel,
    ) -> HashMap<String, String> {
        let mut metadata = self.metadata(user);
        metadata.insert("acr".to_owned(), level.as_str().to_owned());
        metadata
    }

    /// The metadata of an event of the caller's own account: it names the session of the caller and its level.
    pub(crate) fn metadata_of(&self, caller: &Caller) -> HashMap<String, String> {
        self.metadata_by(caller, caller.user())
    }

    /// As [`Self::metadata_of`], for an event of the account `user` that the caller caused.
    pub(crate) fn metadata_by(&self, actor: &Caller, user: UserId) -> HashMap<String, String> {
        let mut metadata = self.metadata_at(user, actor.authentication().acr);
        metadata.insert("actor".to_owned(), format!("user:{}", actor.user()));
        metadata.insert("session".to_owned(), actor.session().to_string());
        metadata
    }

    /// The actor: the operator on the command line, otherwise the account itself.
    fn actor(&self, user: UserId) -> String {
        match self.contract {
            ContractName::Cli => "operator".to_owned(),
            _ => format!("user:{user}"),
        }
    }
}
