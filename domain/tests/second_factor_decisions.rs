//! Decisions about second factors.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "proofs are made up here")]

use authlog_domain::user::{
    Authority, EnrolPasskey, EnrolTotp, FactorRenamed, ImportedTotp, IssueRecoveryCodes,
    MAX_FACTORS, NotePasskeyCounter, PasskeyCounterWentBack, PasskeyEnrolled, ProvedEpoch,
    RECOVERY_CODES, RegisterUser, RemoveFactor, RenameFactor, ReportBreachedPassword,
    RevokeSessions, SecondFactors, SessionsRevoked, UseRecoveryCode, UserCommand, UserEvent,
    UserRefusal,
};
use authlog_domain::{
    AccountNumber, CredentialId, FactorId, FactorLabel, Personal, RecoverySetId, RevocationReason,
    Role, SessionId, Timestamp, TotpParameters, User,
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

/// The session in which everything is done.
fn session() -> SessionId {
    SessionId::new(Uuid::from_u128(8))
}

fn proved(epoch: u32) -> ProvedEpoch {
    ProvedEpoch::new(epoch)
}

fn owner(epoch: u32) -> Authority {
    Authority::Owner(proved(epoch))
}

/// Enrols a factor after a proof under this epoch.
fn enrol(number: u128, epoch: u32) -> UserCommand {
    UserCommand::EnrolTotp(EnrolTotp {
        at: at(),
        factor: factor(number),
        parameters: TotpParameters::DEFAULT,
        label: None,
        proved: proved(epoch),
        session: session(),
    })
}

/// The event that ends every session except `kept`.
fn ended(epoch: u32, reason: RevocationReason, kept: Option<SessionId>) -> UserEvent {
    UserEvent::SessionsRevoked(SessionsRevoked {
        at: at(),
        reason,
        session_epoch: epoch,
        kept_session: kept,
    })
}

fn enrol_passkey(number: u128, epoch: u32) -> UserCommand {
    UserCommand::EnrolPasskey(EnrolPasskey {
        enrolled: PasskeyEnrolled {
            at: at(),
            factor: factor(number),
            rp_id: "auth.example.com".to_owned(),
            aaguid: Uuid::nil(),
            transports: vec![],
            discoverable: true,
            user_verified: true,
            backup_eligible: false,
            backed_up: false,
        },
        proved: ProvedEpoch::new(epoch),
        session: session(),
    })
}

fn note_counter(number: u128, epoch: u32) -> UserCommand {
    UserCommand::NotePasskeyCounter(NotePasskeyCounter {
        noted: PasskeyCounterWentBack {
            at: at(),
            factor: factor(number),
            stored: 7,
            received: 3,
        },
        proved: ProvedEpoch::new(epoch),
    })
}

fn remove(factor: Option<FactorId>, authority: Authority) -> UserCommand {
    UserCommand::RemoveFactor(RemoveFactor {
        at: at(),
        factor,
        authority,
        kept: matches!(authority, Authority::Owner(_)).then(session),
    })
}

fn issue(epoch: u32) -> UserCommand {
    UserCommand::IssueRecoveryCodes(IssueRecoveryCodes {
        at: at(),
        set: RecoverySetId::new(Uuid::from_u128(7)),
        proved: proved(epoch),
    })
}

fn recover(epoch: u32) -> UserCommand {
    UserCommand::UseRecoveryCode(UseRecoveryCode {
        at: at(),
        proved: proved(epoch),
    })
}

#[test]
fn a_factor_is_enrolled_once_and_an_account_has_at_most_ten() {
    let mut user = registered();
    execute(&mut user, enrol(1, 0)).unwrap();
    for number in 2..=MAX_FACTORS as u128 {
        assert_eq!(execute(&mut user, enrol(number, 1)).unwrap().len(), 1);
    }
    // A client repeats the request if the response was lost.
    assert_eq!(execute(&mut user, enrol(1, 0)).unwrap(), []);
    assert_eq!(
        execute(&mut user, enrol(99, 1)),
        Err(UserRefusal::TooManyFactors)
    );
}

#[test]
fn the_first_factor_ends_the_other_sessions_and_later_ones_do_not() {
    let mut user = registered();
    let events = execute(&mut user, enrol(1, 0)).unwrap();
    let expected = ended(1, RevocationReason::Owner, Some(session()));
    assert_eq!(events[1..], [expected]);
    let account = user.registered().unwrap();
    assert_eq!(account.session_epoch, 1);
    assert_eq!(account.kept_session, Some(session()));
    let events = execute(&mut user, enrol(2, 1)).unwrap();
    assert!(matches!(events[..], [UserEvent::TotpEnrolled(_)]));
}

#[test]
fn a_factor_that_was_removed_cannot_be_confirmed_again() {
    for number in [1, 2] {
        let mut user = registered();
        execute(&mut user, enrol(1, 0)).unwrap();
        execute(&mut user, enrol(2, 1)).unwrap();
        execute(&mut user, remove(Some(factor(number)), owner(1))).unwrap();
        for begun_under in [0, 1] {
            let again = execute(&mut user, enrol(number, begun_under));
            assert_eq!(again, Err(UserRefusal::EpochPassed));
        }
    }
}

#[test]
fn passkeys_and_apps_count_together_and_are_removed_alike() {
    let mut user = registered();
    for number in 1..=MAX_FACTORS as u128 {
        let epoch = u32::from(number > 1);
        let command = if number % 2 == 0 {
            enrol(number, epoch)
        } else {
            enrol_passkey(number, epoch)
        };
        let events = execute(&mut user, command).unwrap();
        // The first factor ends the other sessions.
        assert_eq!(events.len(), if number == 1 { 2 } else { 1 });
    }
    assert_eq!(execute(&mut user, enrol_passkey(1, 1)).unwrap(), []);
    for command in [enrol(99, 1), enrol_passkey(99, 1)] {
        assert_eq!(
            execute(&mut user, command),
            Err(UserRefusal::TooManyFactors)
        );
    }
    execute(&mut user, issue(1)).unwrap();
    assert_eq!(execute(&mut user, note_counter(1, 1)).unwrap().len(), 1);
    execute(&mut user, remove(Some(factor(1)), owner(1))).unwrap();
    let again = execute(&mut user, note_counter(1, 2));
    assert_eq!(again, Err(UserRefusal::NoSuchFactor));
    // A passkey that was removed cannot be confirmed again.
    let again = execute(&mut user, enrol_passkey(1, 1));
    assert_eq!(again, Err(UserRefusal::EpochPassed));
    let factors = user.registered().unwrap().second_factors.clone();
    assert_eq!((factors.totp.len(), factors.passkeys.len()), (5, 4));
    let removed = execute(&mut user, remove(None, Authority::Administrator));
    assert_eq!(removed.unwrap().len(), 10);
    assert_eq!(
        user.registered().unwrap().second_factors,
        SecondFactors::default()
    );
}

#[test]
fn a_passkey_alone_keeps_the_recovery_codes() {
    let mut user = registered();
    execute(&mut user, enrol(1, 0)).unwrap();
    execute(&mut user, enrol_passkey(2, 1)).unwrap();
    execute(&mut user, issue(1)).unwrap();
    execute(&mut user, remove(Some(factor(1)), owner(1))).unwrap();
    let factors = user.registered().unwrap().second_factors.clone();
    assert!(!factors.is_empty());
    assert_eq!(factors.recovery_codes.unwrap().left, RECOVERY_CODES);
}

#[test]
fn a_removed_factor_is_gone_and_the_last_one_takes_the_recovery_codes_away() {
    let mut user = registered();
    assert_eq!(
        execute(&mut user, issue(0)),
        Err(UserRefusal::NoSecondFactor)
    );
    execute(&mut user, enrol(1, 0)).unwrap();
    execute(&mut user, enrol(2, 1)).unwrap();
    execute(&mut user, issue(1)).unwrap();
    let events = execute(&mut user, remove(Some(factor(1)), owner(1))).unwrap();
    let expected = ended(2, RevocationReason::Owner, Some(session()));
    assert_eq!(events[1..], [expected]);
    let again = execute(&mut user, remove(Some(factor(1)), owner(2)));
    assert_eq!(again, Err(UserRefusal::NoSuchFactor));
    let factors = user.registered().unwrap().second_factors.clone();
    assert_eq!(factors.totp.len(), 1);
    assert_eq!(factors.recovery_codes.unwrap().left, RECOVERY_CODES);
    let events = execute(&mut user, remove(None, Authority::Administrator)).unwrap();
    let expected = ended(3, RevocationReason::Administrator, None);
    assert_eq!(events[1..], [expected]);
    assert_eq!(
        user.registered().unwrap().second_factors,
        SecondFactors::default()
    );
    // An administrator who repeats the request changes nothing.
    let again = execute(&mut user, remove(None, Authority::Administrator));
    assert_eq!(again.unwrap(), []);
}

#[test]
fn a_factor_that_the_operator_removes_is_recorded_as_removed_by_the_operator() {
    let mut user = registered();
    execute(&mut user, enrol(1, 0)).unwrap();
    let events = execute(&mut user, remove(None, Authority::Operator)).unwrap();
    let [UserEvent::FactorRemoved(removed), revoked] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(removed.reason, RevocationReason::Operator);
    assert_eq!(*revoked, ended(2, RevocationReason::Operator, None));
}

#[test]
fn recovery_codes_are_used_up() {
    let mut user = registered();
    execute(&mut user, enrol(1, 0)).unwrap();
    assert_eq!(
        execute(&mut user, recover(1)),
        Err(UserRefusal::NoSuchRecoveryCode)
    );
    execute(&mut user, issue(1)).unwrap();
    for left in (0..RECOVERY_CODES).rev() {
        let events = execute(&mut user, recover(1)).unwrap();
        let [UserEvent::RecoveryCodeUsed(event)] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(event.left, left);
    }
    assert_eq!(
        execute(&mut user, recover(1)),
        Err(UserRefusal::NoSuchRecoveryCode)
    );
}

#[test]
fn a_proof_from_before_the_account_was_taken_back_changes_no_factor() {
    let mut user = registered();
    execute(&mut user, enrol(1, 0)).unwrap();
    execute(&mut user, issue(1)).unwrap();
    let command = UserCommand::RevokeSessions(RevokeSessions {
        at: at(),
        authority: Authority::Administrator,
        kept: None,
    });
    execute(&mut user, command).unwrap();
    for command in [
        enrol(2, 1),
        enrol_passkey(2, 1),
        note_counter(1, 1),
        remove(Some(factor(1)), owner(1)),
        issue(1),
        recover(1),
    ] {
        assert_eq!(execute(&mut user, command), Err(UserRefusal::EpochPassed));
    }
    assert_eq!(user.registered().unwrap().second_factors.totp.len(), 1);
}

fn label(text: &str) -> FactorLabel {
    FactorLabel::parse(text).unwrap()
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
        execute(&mut user, rename(1, Some(label("phone")))),
        Err(UserRefusal::NoSuchFactor)
    );
    execute(&mut user, enrol(1, 0)).unwrap();
    execute(&mut user, enrol(2, 1)).unwrap();
    assert_eq!(execute(&mut user, rename(1, None)).unwrap(), []);
    assert_eq!(
        execute(&mut user, rename(1, Some(label("phone"))))
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        execute(&mut user, rename(1, Some(label("phone")))).unwrap(),
        []
    );
    execute(&mut user, rename(2, Some(label("tablet")))).unwrap();
    execute(&mut user, rename(2, Some(label("old tablet")))).unwrap();
    assert_eq!(
        labels(&user),
        [
            (factor(1), "phone".to_owned()),
            (factor(2), "old tablet".to_owned())
        ]
    );
    execute(&mut user, rename(2, None)).unwrap();
    let owner = Authority::Owner(ProvedEpoch::new(1));
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
    let command = registration(vec![app(1, Some(label("phone"))), app(2, None)]);
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
