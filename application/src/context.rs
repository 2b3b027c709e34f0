//! Through what and from where a request came: what an auditor will ask of every event.

use std::collections::HashMap;
use std::net::IpAddr;

use authlog_domain::{ContractName, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ClientPresence;
use crate::ports::HashingClient;

/// Where a request came from. It has no `Debug`: address and user agent are personal.
#[derive(Clone, Serialize, Deserialize)]
pub struct RequestContext {
    /// Names the request in logs.
    pub request: Uuid,
    /// Through which surface.
    pub contract: ContractName,
    /// From which address.
    pub address: Option<IpAddr>,
    /// With which program, as it calls itself, bounded in length by the caller.
    pub user_agent: Option<String>,
    /// Whether its client still waits for the answer.
    #[serde(skip)]
    pub presence: ClientPresence,
}

impl RequestContext {
    /// Members of an event's metadata that are personal; the store seals them.
    pub const PERSONAL_METADATA: [&'static str; 2] = ["ip", "user_agent"];

    /// Whom a password is hashed for that came with this request.
    pub(crate) fn hashing_client(&self) -> HashingClient {
        HashingClient {
            address: self.address,
            presence: self.presence.clone(),
        }
    }

    /// The metadata of an event that happens to the account of `user`.
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

    /// The metadata of an event that `actor`, somebody else, brings about for the account of `user`.
    pub(crate) fn metadata_by(&self, actor: UserId, user: UserId) -> HashMap<String, String> {
        let mut metadata = self.metadata(user);
        metadata.insert("actor".to_owned(), format!("user:{actor}"));
        metadata
    }

    /// Who did it: the person themselves, or whoever operates the program.
    fn actor(&self, user: UserId) -> String {
        match self.contract {
            ContractName::Cli => "operator".to_owned(),
            _ => format!("user:{user}"),
        }
    }
}
