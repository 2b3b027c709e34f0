//! Compares the stored second factors of an account with those that its events name.

use std::collections::HashMap;

use authlog_application::ports::Account;
use authlog_domain::{FactorId, UserId};

use super::{Reading, StoredFactor};
use crate::sealing::SubjectKey;

/// What differs. `account` is the row that the events give; `None` for an account that was erased.
pub(super) fn factor_differences(
    reading: &Reading,
    user: &str,
    account: Option<&Account>,
    key: Option<&SubjectKey>,
) -> Vec<String> {
    let factors = account.map(|account| account.second_factors.clone());
    let factors = factors.unwrap_or_default();
    let key = key.zip(UserId::parse(user));
    let apps: Vec<_> = factors.totp.iter().map(|app| app.factor).collect();
    let passkeys: Vec<_> = factors.passkeys.iter().map(|it| it.factor).collect();
    let mut found = differences("seed", stored(&reading.seeds, user), &apps, |it, factor| {
        key.is_some_and(|(key, user)| key.open_totp(user, factor, &it.sealed).is_ok())
    });
    found.extend(differences(
        "passkey",
        stored(&reading.passkeys, user),
        &passkeys,
        |it, factor| {
            key.is_some_and(|(key, user)| key.open_passkey(user, factor, &it.sealed).is_ok())
        },
    ));
    let left = factors.recovery_codes.map_or(0, |codes| codes.left);
    let codes = reading.recovery_codes.get(user).copied().unwrap_or(0);
    if codes != i64::from(left) {
        found.push(format!(
            "{codes} recovery codes are stored, and its events leave {left}"
        ));
    }
    found
}

fn stored<'a>(table: &'a HashMap<String, Vec<StoredFactor>>, user: &str) -> &'a [StoredFactor] {
    table.get(user).map_or(&[], Vec::as_slice)
}

/// How the stored secrets of one kind differ from the factors that the events name. `opens` tells whether this service stored the
/// secret for the factor.
fn differences(
    secret: &str,
    stored: &[StoredFactor],
    named: &[FactorId],
    opens: impl Fn(&StoredFactor, FactorId) -> bool,
) -> Vec<String> {
    let mut found = Vec::new();
    for it in stored {
        match FactorId::parse(&it.factor).filter(|factor| named.contains(factor)) {
            None => found.push(format!(
                "the {secret} of second factor {} is stored for it, and its events name no such factor",
                it.factor
            )),
            Some(factor) if !opens(it, factor) => found.push(format!(
                "the {secret} of second factor {factor} was not stored by this service for it: have the factor removed"
            )),
            Some(_) => {}
        }
    }
    for factor in named {
        if !stored.iter().any(|it| it.factor == factor.to_string()) {
            found.push(format!(
                "the {secret} of second factor {factor} is not stored: have the factor removed"
            ));
        }
    }
    found
}
