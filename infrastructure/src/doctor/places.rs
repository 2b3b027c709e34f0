//! The list of accounts: an account that is not in its place is left out of every page, and nothing else shows it.

use authlog_application::ports::{Check, Finding, StoreError};

use super::{Examination, PAGE, Patient};

/// A number that an account or a place in the list of accounts has, as one snapshot shows it.
pub(crate) struct Placed {
    pub(crate) number: i64,
    /// Whether an account has it.
    pub(crate) has_account: bool,
    /// Whether the list has a place with it that shows an account.
    pub(crate) is_listed: bool,
}

impl Placed {
    const fn fault(&self) -> Option<&'static str> {
        match (self.has_account, self.is_listed) {
            (true, false) => Some("the account is not in the list of accounts"),
            (false, true) => {
                Some("the list of accounts has a place for it, and there is no account")
            }
            (true, true) | (false, false) => None,
        }
    }
}

impl<S: Patient> Examination<'_, S> {
    /// Compares the list with the rows of accounts, which were compared with the events before.
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
