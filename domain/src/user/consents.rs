//! Consents: what a person lets applications do in their name. Events, commands and decisions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::decide::check_epoch;
use super::{ProvedEpoch, Registered, UserEvent, UserRefusal};
use crate::{ClientId, Scopes, Timestamp};

/// To how many applications a person can consent. It bounds the size of an account's row.
pub const MAX_CONSENTS: usize = 100;

/// What a person lets one application do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// What it may do.
    pub scopes: Scopes,
    /// When the person last consented.
    pub given_at: Timestamp,
}

/// The consents of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Consents(BTreeMap<ClientId, Consent>);

impl Consents {
    /// The consent to this application, if there is one.
    pub fn of(&self, client: &ClientId) -> Option<&Consent> {
        self.0.get(client)
    }

    /// Whether the person consented to all these scopes for this application.
    pub fn cover(&self, client: &ClientId, scopes: &Scopes) -> bool {
        self.of(client)
            .is_some_and(|consent| scopes.is_subset_of(&consent.scopes))
    }

    /// The applications with their consents, in the order of the applications' ids.
    pub fn iter(&self) -> impl Iterator<Item = (&ClientId, &Consent)> {
        self.0.iter()
    }

    /// Whether a consent to this application can be recorded.
    pub fn has_room_for(&self, client: &ClientId) -> bool {
        self.0.len() < MAX_CONSENTS || self.0.contains_key(client)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Applies an event of the account; most change nothing here.
    pub fn apply(&mut self, event: &UserEvent) {
        match event {
            UserEvent::ConsentGiven(event) => {
                let consent = Consent {
                    scopes: event.scopes.clone(),
                    given_at: event.at,
                };
                self.0.insert(event.client.clone(), consent);
            }
            UserEvent::ConsentWithdrawn(event) => {
                self.0.remove(&event.client);
            }
            _ => {}
        }
    }
}

/// The person consented to what an application may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConsentGiven {
    /// When the event occurred.
    pub at: Timestamp,
    /// The application.
    pub client: ClientId,
    /// Everything that it may do from now on.
    pub scopes: Scopes,
}

/// The person withdrew the consent to an application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConsentWithdrawn {
    /// When the event occurred.
    pub at: Timestamp,
    /// The application.
    pub client: ClientId,
}

/// Consent to what an application may do, in addition to what it may do already.
#[derive(Clone, Debug)]
pub struct GiveConsent {
    /// The current time.
    pub at: Timestamp,
    /// The application.
    pub client: ClientId,
    /// What the person was asked for.
    pub scopes: Scopes,
    /// The epoch under which the person's session was live.
    pub proved: ProvedEpoch,
}

/// Withdraw the consent to an application.
#[derive(Clone, Debug)]
pub struct WithdrawConsent {
    /// The current time.
    pub at: Timestamp,
    /// The application.
    pub client: ClientId,
    /// The epoch under which the person's session was live.
    pub proved: ProvedEpoch,
}

/// Changes nothing if the person consented to all of it before.
pub(super) fn give_consent(
    account: &Registered,
    command: GiveConsent,
) -> Result<Vec<UserEvent>, UserRefusal> {
    let GiveConsent {
        at,
        client,
        scopes,
        proved,
    } = command;
    check_epoch(account, proved)?;
    let consents = &account.consents;
    if consents.cover(&client, &scopes) {
        return Ok(vec![]);
    }
    let scopes = match consents.of(&client) {
        Some(before) => before.scopes.union(&scopes),
        None if !consents.has_room_for(&client) => return Err(UserRefusal::TooManyConsents),
        None => scopes,
    };
    Ok(vec![UserEvent::ConsentGiven(ConsentGiven {
        at,
        client,
        scopes,
    })])
}

/// Changes nothing if there is no consent.
pub(super) fn withdraw_consent(
    account: &Registered,
    command: WithdrawConsent,
) -> Result<Vec<UserEvent>, UserRefusal> {
    let WithdrawConsent { at, client, proved } = command;
    check_epoch(account, proved)?;
    if account.consents.of(&client).is_none() {
        return Ok(vec![]);
    }
    Ok(vec![UserEvent::ConsentWithdrawn(ConsentWithdrawn {
        at,
        client,
    })])
}
