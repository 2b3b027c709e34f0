//! Decisions about second factors.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "proofs are made up here")]

use authlog_domain::user::{
    Authority, EnrolTotp, FactorRenamed, ImportedTotp, IssueRecoveryCodes, MAX_FACTORS,
    ProvedEpoch, RECOVERY_CODES, RegisterUser, RemoveFactor, RenameFactor, ReportBreachedPassword,
    RevokeSessions, SecondFactors, UseRecoveryCode, UserCommand, UserEvent, UserRefusal,
};
use authlog_domain::{
    AccountNumber, CredentialId, FactorId, FactorLabel, Personal, RecoverySetId, Role, Timestamp,
    TotpParameters, User,
};
use cqrs_es::Aggregate;
use uuid::Uuid;

fn at() -> Timestamp {
    Timestamp::from_unix_millis(1_700_000_000_000)
}

fn execute(user: &mut User, command: UserCommand) -> Result<Vec<UserEvent>, UserRefusal> {
    let events = user.decide(command)?;
    for event in &events {
        user.apply(event.clone());
    }
    Ok(events)
}

fn registration(totp: Vec<ImportedTotp>) -> UserCommand {
    UserCommand::Register(RegisterUser {
        at: at(),
        number: AccountNumber::new(1),
        username: None,
        email: None,
        name: None,
        phone: None,
        role: Role::User,
        credential: CredentialId::new(Uuid::from_u128(1)),
        verification: None,
        totp,
    })
}

fn registered() -> User {
    let mut user = User::default();
    execute(&mut user, registration(vec![])).unwrap();
    user
}

fn factor(number: u128) -> FactorId {
    FactorId::new(Uuid::from_u128(number))
}

fn enrol(number: u128) -> UserCommand {
    UserCommand::EnrolTotp(EnrolTotp {
        at: at(),
        factor: factor(number),
        parameters: TotpParameters::DEFAULT,
        label: None,
        proved: ProvedEpoch::new(0),
    })
}

fn remove(factor: Option<FactorId>, authority: Authority) -> UserCommand {
    UserCommand::RemoveFactor(RemoveFactor {
        at: at(),
        factor,
        authority,
    })
}

fn issue() -> UserCommand {
    UserCommand::IssueRecoveryCodes(IssueRecoveryCodes {
        at: at(),
        set: RecoverySetId::new(Uuid::from_u128(7)),
        proved: ProvedEpoch::new(0),
    })
}

fn recover() -> UserCommand {
    UserCommand::UseRecoveryCode(UseRecoveryCode {
        at: at(),
        proved: ProvedEpoch::new(0),
    })
}

#[test]
fn a_factor_is_enrolled_once_and_an_account_has_at_most_ten() {
    let mut user = registered();
    for number in 1..=MAX_FACTORS as u128 {
        assert_eq!(execute(&mut user, enrol(number)).unwrap().len(), 1);
    }
    assert_eq!(execute(&mut user, enrol(1)).unwrap(), []);
    assert_eq!(
        execute(&mut user, enrol(99)),
        Err(UserRefusal::TooManyFactors)
    );
}

#[test]
fn a_removed_factor_is_gone_and_the_last_one_takes_the_recovery_codes_away() {
    let owner = Authority::Owner(ProvedEpoch::new(0));
    let mut user = registered();
    assert_eq!(
        execute(&mut user, issue()),
        Err(UserRefusal::NoSecondFactor)
    );
    execute(&mut user, enrol(1)).unwrap();
    execute(&mut user, enrol(2)).unwrap();
    execute(&mut user, issue()).unwrap();
    execute(&mut user, remove(Some(factor(1)), owner)).unwrap();
    let again = execute(&mut user, remove(Some(factor(1)), owner));
    assert_eq!(again, Err(UserRefusal::NoSuchFactor));
    let factors = user.registered().unwrap().second_factors.clone();
    assert_eq!(factors.totp.len(), 1);
    assert_eq!(factors.recovery_codes.unwrap().left, RECOVERY_CODES);
    let removed = execute(&mut user, remove(None, Authority::Administrator));
    assert_eq!(removed.unwrap().len(), 1);
    assert_eq!(
        user.registered().unwrap().second_factors,
        SecondFactors::default()
    );
    // An administrator who repeats the request changes nothing.
    let again = execute(&mut user, remove(None, Authority::Administrator));
    assert_eq!(again.unwrap(), []);
}

#[test]
fn recovery_codes_are_used_up() {
    let mut user = registered();
    execute(&mut user, enrol(1)).unwrap();
    assert_eq!(
        execute(&mut user, recover()),
        Err(UserRefusal::NoSuchRecoveryCode)
    );
    execute(&mut user, issue()).unwrap();
    for left in (0..RECOVERY_CODES).rev() {
        let events = execute(&mut user, recover()).unwrap();
        let [UserEvent::RecoveryCodeUsed(event)] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(event.left, left);
    }
    assert_eq!(
        execute(&mut user, recover()),
        Err(UserRefusal::NoSuchRecoveryCode)
    );
}

#[test]
fn a_proof_from_before_the_account_was_taken_back_changes_no_factor() {
    let owner = Authority::Owner(ProvedEpoch::new(0));
    let mut user = registered();
    execute(&mut user, enrol(1)).unwrap();
    execute(&mut user, issue()).unwrap();
    let command = UserCommand::RevokeSessions(RevokeSessions {
        at: at(),
        authority: Authority::Administrator,
        kept: None,
    });
    execute(&mut user, command).unwrap();
    for command in [enrol(2), remove(Some(factor(1)), owner), issue(), recover()] {
        assert_eq!(execute(&mut user, command), Err(UserRefusal::EpochPassed));
    }
    assert_eq!(user.registered().unwrap().second_factors.totp.len(), 1);
}

fn label(text: &str) -> Option<FactorLabel> {
    Some(FactorLabel::parse(text).unwrap())
}

fn rename(number: u128, label: Option<FactorLabel>) -> UserCommand {
    UserCommand::RenameFactor(RenameFactor {
        at: at(),
        factor: factor(number),
        label,
    })
}

fn labels(user: &User) -> Vec<(FactorId, String)> {
    let factors = &user.registered().unwrap().second_factors;
    let labels = factors.labels.iter();
    labels
        .map(|(factor, label)| (*factor, label.as_str().to_owned()))
        .collect()
}

#[test]
fn a_label_is_of_a_factor_and_ends_with_it() {
    let mut user = registered();
    assert_eq!(
        execute(&mut user, rename(1, label("phone"))),
        Err(UserRefusal::NoSuchFactor)
    );
    execute(&mut user, enrol(1)).unwrap();
    execute(&mut user, enrol(2)).unwrap();
    assert_eq!(execute(&mut user, rename(1, None)).unwrap(), []);
    assert_eq!(
        execute(&mut user, rename(1, label("phone"))).unwrap().len(),
        1
    );
    assert_eq!(execute(&mut user, rename(1, label("phone"))).unwrap(), []);
    execute(&mut user, rename(2, label("tablet"))).unwrap();
    execute(&mut user, rename(2, label("old tablet"))).unwrap();
    assert_eq!(
        labels(&user),
        [
            (factor(1), "phone".to_owned()),
            (factor(2), "old tablet".to_owned())
        ]
    );
    execute(&mut user, rename(2, None)).unwrap();
    let owner = Authority::Owner(ProvedEpoch::new(0));
    execute(&mut user, remove(Some(factor(1)), owner)).unwrap();
    assert_eq!(labels(&user), []);
    // A label that was erased is none.
    user.apply(UserEvent::FactorRenamed(FactorRenamed {
        at: at(),
        factor: factor(2),
        label: Some(Personal::Erased),
    }));
    assert_eq!(labels(&user), []);
}

#[test]
fn an_imported_account_has_its_apps_from_the_start() {
    let mut user = User::default();
    let app = |number, label| ImportedTotp {
        at: at(),
        factor: factor(number),
        parameters: TotpParameters::DEFAULT,
        label,
    };
    let command = registration(vec![app(1, label("phone")), app(2, None)]);
    assert_eq!(execute(&mut user, command).unwrap().len(), 4);
    assert_eq!(user.registered().unwrap().second_factors.totp.len(), 2);
    assert_eq!(labels(&user), [(factor(1), "phone".to_owned())]);
}

#[test]
fn a_breached_password_is_reported_unless_it_was_replaced() {
    let mut user = registered();
    let report = |credential| {
        UserCommand::ReportBreachedPassword(ReportBreachedPassword {
            at: at(),
            credential: CredentialId::new(Uuid::from_u128(credential)),
        })
    };
    assert_eq!(execute(&mut user, report(2)).unwrap(), []);
    let before = user.clone();
    assert_eq!(execute(&mut user, report(1)).unwrap().len(), 1);
    assert_eq!(user, before, "nothing depends on it");
}
