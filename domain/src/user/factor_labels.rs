//! The labels of second factors: the event, the command and its decision. They are the same for every kind of factor.

use serde::{Deserialize, Serialize};

use super::{Registered, UserEvent, UserRefusal};
use crate::{FactorId, FactorLabel, Personal, Timestamp};

/// A second factor was given a label, or lost the one that it had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FactorRenamed {
    /// When the event occurred.
    pub at: Timestamp,
    /// The factor.
    pub factor: FactorId,
    /// The new label; `None` if it has none any more.
    pub label: Option<Personal<FactorLabel>>,
}

/// Give a second factor a label.
#[derive(Clone, Debug)]
pub struct RenameFactor {
    /// The current time.
    pub at: Timestamp,
    /// The factor.
    pub factor: FactorId,
    /// The new label; `None` to remove the one that it has.
    pub label: Option<FactorLabel>,
}

impl FactorRenamed {
    pub(super) fn event(at: Timestamp, factor: FactorId, label: Option<FactorLabel>) -> UserEvent {
        UserEvent::FactorRenamed(Self {
            at,
            factor,
            label: label.map(Personal::Known),
        })
    }
}

/// Changes nothing if the factor has this label.
pub(super) fn rename_factor(
    account: &Registered,
    command: RenameFactor,
) -> Result<Vec<UserEvent>, UserRefusal> {
    let RenameFactor { at, factor, label } = command;
    let factors = &account.second_factors;
    if !factors.has(factor) {
        return Err(UserRefusal::NoSuchFactor);
    }
    if factors.labels.get(&factor) == label.as_ref() {
        return Ok(vec![]);
    }
    Ok(vec![FactorRenamed::event(at, factor, label)])
}
