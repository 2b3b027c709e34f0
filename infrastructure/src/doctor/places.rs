//! The check of the account list. An account that the list lacks is missing from every page, and no other check finds
//! that.

use authlog_application::ports::{Check, Finding, StoreError};

use super::{Examinable, Examination, PAGE};

/// A number that an account or an entry of the account list has, in one snapshot.
pub(crate) struct Placed {
    pub(crate) number: i64,
    /// Whether an account has it.
    pub(crate) has_account: bool,
    /// Whether the list has an entry with it that is marked as listed.
    pub(crate) is_listed: bool,
}

impl Placed {
    const fn fault(&self) -> Option<&'static str> {
        match (self.has_account, self.is_listed) {
            (true, false) => Some("the account is not in the list of accounts"),
            (false, true) => {
                Some("the list of accounts has an entry for it, but there is no account")
            }
            (true, true) | (false, false) => None,
        }
    }
}

impl<S: Examinable> Examination<'_, S> {
    /// Compares the list with the account rows, which an earlier pass has compared with the events.
    pub(super) async fn places(&mut self) -> Result<(), StoreError> {
        let repair = self.repair && !self.events_are_in_doubt();
        let mut after = i64::MIN;
        loop {
            let places = self.store.places_after(after, PAGE).await?;
            let Some(last) = places.last() else {
                return Ok(());
            };
            after = last.number;
            for (place, fault) in places
                .iter()
                .filter_map(|place| Some((place, place.fault()?)))
            {
                if repair {
                    self.store.repair_place(place.number).await?;
                }
                let name = format!("account number {}", place.number);
                let finding = Finding::new(Check::Places, name, fault);
                self.diagnosis.note(finding, repair);
            }
        }
    }
}
