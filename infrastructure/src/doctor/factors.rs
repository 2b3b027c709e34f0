//! Compares the stored seeds and recovery codes of an account with those that its events name.

use authlog_application::ports::Account;
use authlog_domain::{FactorId, UserId};

use super::{Reading, StoredSeed};
use crate::sealing::SubjectKey;

/// What differs. `account` is the row that the events give; `None` for an account that was erased.
pub(super) fn factor_differences(
    reading: &Reading,
    user: &str,
    account: Option<&Account>,
    key: Option<&SubjectKey>,
) -> Vec<String> {
    let stored: &[StoredSeed] = reading.seeds.get(user).map_or(&[], Vec::as_slice);
    let factors = account.map(|account| account.second_factors.clone());
    let factors = factors.unwrap_or_default();
    let named: Vec<FactorId> = factors.totp.iter().map(|totp| totp.factor).collect();
    let mut found = Vec::new();
    for seed in stored {
        let factor = FactorId::parse(&seed.factor).filter(|factor| named.contains(factor));
        let Some(factor) = factor else {
            found.push(format!(
                "the seed of second factor {} is stored for it, and its events name no such factor",
                seed.factor
            ));
            continue;
        };
        let opens = key
            .zip(UserId::parse(user))
            .is_some_and(|(key, user)| key.open_totp(user, factor, &seed.sealed).is_ok());
        if !opens {
            found.push(format!(
                "the seed of second factor {factor} was not stored by this service for it: have the factor removed"
            ));
        }
    }
    for factor in named {
        if !stored.iter().any(|seed| seed.factor == factor.to_string()) {
            found.push(format!(
                "the seed of second factor {factor} is not stored: have the factor removed"
            ));
        }
    }
    let left = factors.recovery_codes.map_or(0, |codes| codes.left);
    let codes = reading.recovery_codes.get(user).copied().unwrap_or(0);
    if codes != i64::from(left) {
        found.push(format!(
            "{codes} recovery codes are stored, and its events leave {left}"
        ));
    }
    found
}
