//! The decisions of the aggregates: given events, when a command, then events or a refusal; and properties of any
//! history.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests create proofs without authentication"
)]

use std::convert::Infallible;
use std::time::Duration;

use authlog_domain::refused_logins::{
    LoginRefusalReason, MAX_PER_DAY, RecordRefusedLogin, RefusedLoginsEvent,
};
use authlog_domain::session::{
    Limits, LogOut, RefreshSession, ReuseCode, RevokeSession, SessionCommand, SessionEvent,
    SessionRefusal, StartSession,
};
use authlog_domain::user::{
    Authority, ChangePassword, ChangeRole, ConfirmEmail, Erase, Lock, MAX_RESET_REQUESTS,
    ProvedEpoch, RegisterUser, RehashPassword, RequestEmailVerification, RequestPasswordReset,
    ResetPassword, RevokeSessions, Unlock, UserCommand, UserEvent, UserRefusal, VerificationLink,
};
use authlog_domain::{
    AccountNumber, Authentication, CredentialId, Email, RefusedLogins, ResetId, RevocationReason,
    Role, Rotation, Session, SessionId, Timestamp, User, UserId, VerificationId,
};
use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use proptest::prelude::*;
use uuid::Uuid;

const GRACE: Duration = Duration::from_secs(10);
const LIFETIME: Duration = Duration::from_secs(1000);
const UNLIMITED: Limits = Limits {
    lifetime: Duration::MAX,
    idle: None,
};

/// Decides on the command, and applies the events to the aggregate. Returns the events.
fn execute<A: Decides>(aggregate: &mut A, command: A::Command) -> Result<Vec<A::Event>, A::Error> {
    let events = aggregate.decided(command)?;
    for event in &events {
        aggregate.apply(event.clone());
    }
    Ok(events)
}

/// An aggregate with its pure decision function.
trait Decides: Aggregate<Event: Clone> {
    fn decided(&self, command: Self::Command) -> Result<Vec<Self::Event>, Self::Error>;
}

impl Decides for User {
    fn decided(&self, command: UserCommand) -> Result<Vec<UserEvent>, UserRefusal> {
        self.decide(command)
    }
}

impl Decides for Session {
    fn decided(&self, command: SessionCommand) -> Result<Vec<SessionEvent>, SessionRefusal> {
        self.decide(command)
    }
}

impl Decides for RefusedLogins {
    fn decided(&self, command: RecordRefusedLogin) -> Result<Vec<RefusedLoginsEvent>, Infallible> {
        Ok(self.decide(command).into_iter().collect())
    }
}

/// The program calls `Aggregate::handle`, whose sink applies each event when it is written.
#[tokio::test]
async fn cqrs_es_writes_and_applies_the_decided_events() {
    let (mut user, sink) = (User::default(), EventSink::default());
    let decided = user.decide(registration()).unwrap();
    user.handle(registration(), &(), &sink).await.unwrap();
    assert_eq!(sink.collect().await, decided);
    assert_eq!(user, registered());
}

fn second(seconds: i64) -> Timestamp {
    Timestamp::from_unix_millis(1_700_000_000_000 + seconds * 1000)
}

fn registration() -> UserCommand {
    UserCommand::Register(RegisterUser {
        at: second(0),
        number: AccountNumber::new(1),
        username: None,
        email: Some(Email::parse("jo@example.com").unwrap()),
        name: None,
        phone: None,
        role: Role::User,
        credential: CredentialId::new(Uuid::from_u128(1)),
        verification: None,
        totp: vec![],
    })
}

fn registered() -> User {
    let mut user = User::default();
    execute(&mut user, registration()).unwrap();
    user
}

fn reset_requested(user: &mut User, at: i64, reset: u128) -> Result<Vec<UserEvent>, UserRefusal> {
    reset_requested_at("jo@example.com", user, at, reset)
}

/// The same, with the address to which the link is mailed.
fn reset_requested_at(
    email: &str,
    user: &mut User,
    at: i64,
    reset: u128,
) -> Result<Vec<UserEvent>, UserRefusal> {
    execute(
        user,
        UserCommand::RequestPasswordReset(RequestPasswordReset {
            at: second(at),
            reset: ResetId::new(Uuid::from_u128(reset)),
            email: Email::parse(email).unwrap(),
            expires_at: second(at).plus(Duration::from_secs(1800)),
        }),
    )
}

fn reset(user: &mut User, at: i64, reset: u128) -> Result<Vec<UserEvent>, UserRefusal> {
    execute(
        user,
        UserCommand::ResetPassword(ResetPassword {
            at: second(at),
            reset: ResetId::new(Uuid::from_u128(reset)),
            credential: CredentialId::new(Uuid::from_u128(reset)),
        }),
    )
}

fn erase(user: &mut User, at: i64) -> Result<Vec<UserEvent>, UserRefusal> {
    let command = Erase {
        at: second(at),
        authority: Authority::Administrator,
    };
    execute(user, UserCommand::Erase(command))
}

/// A proof under the account's current epoch.
fn proved(user: &User) -> ProvedEpoch {
    ProvedEpoch::new(user.registered().map_or(0, |account| account.session_epoch))
}

fn started(rotation: Option<Rotation>) -> Session {
    let mut session = Session::default();
    execute(
        &mut session,
        SessionCommand::Start(StartSession {
            at: second(0),
            user: UserId::new(Uuid::from_u128(1)),
            epoch: 0,
            rotation,
            expires_at: second(0).plus(LIFETIME),
            authentication: Authentication::by_password(second(0)),
            grant: None,
        }),
    )
    .unwrap();
    session
}

fn refresh(
    session: &mut Session,
    at: i64,
    generation: u32,
) -> Result<Vec<SessionEvent>, SessionRefusal> {
    execute(
        session,
        SessionCommand::Refresh(RefreshSession {
            at: second(at),
            account_epoch: 0,
            generation,
            replacement_expires_at: Some(second(at).plus(LIFETIME)),
            grace: GRACE,
            limits: UNLIMITED,
        }),
    )
}

fn generation_handed_out(events: &[SessionEvent]) -> Option<u32> {
    match events {
        [SessionEvent::TokenRefreshed(event)] => Some(event.generation),
        _ => None,
    }
}

#[test]
fn an_account_registers_once() {
    let mut user = registered();
    let again = execute(&mut user, registration());
    assert_eq!(again.unwrap_err(), UserRefusal::AlreadyRegistered);
}

#[test]
fn nothing_happens_to_an_account_that_does_not_exist() {
    let mut missing = User::default();
    let refused = execute(
        &mut missing,
        UserCommand::ChangeRole(ChangeRole {
            at: second(1),
            role: Role::Admin,
        }),
    );
    assert_eq!(refused.unwrap_err(), UserRefusal::NotRegistered);
}

#[test]
fn a_reset_works_once() {
    let mut user = registered();
    reset_requested(&mut user, 1, 7).unwrap();
    assert_eq!(reset(&mut user, 2, 7).unwrap().len(), 1);
    assert_eq!(
        reset(&mut user, 3, 7).unwrap_err(),
        UserRefusal::ResetNotPending
    );
}

#[test]
fn a_newer_reset_request_replaces_the_one_before() {
    let mut user = registered();
    reset_requested(&mut user, 1, 7).unwrap();
    reset_requested(&mut user, 2, 8).unwrap();
    assert_eq!(
        reset(&mut user, 3, 7).unwrap_err(),
        UserRefusal::ResetNotPending
    );
    assert!(reset(&mut user, 3, 8).is_ok());
}

#[test]
fn a_password_is_rehashed_unless_it_has_changed_since() {
    let rehash = |replaced, credential| {
        UserCommand::RehashPassword(RehashPassword {
            at: second(5),
            replaced: CredentialId::new(Uuid::from_u128(replaced)),
            credential: CredentialId::new(Uuid::from_u128(credential)),
        })
    };
    let mut user = registered();
    let events = execute(&mut user, rehash(1, 2)).unwrap();
    assert!(matches!(events[..], [UserEvent::PasswordRehashed(_)]));
    let account = user.registered().unwrap();
    assert_eq!(account.credential, CredentialId::new(Uuid::from_u128(2)));
    assert_eq!(account.session_epoch, 0, "no session ended");
    // Two logins read the same hash. The second has nothing left to do.
    assert_eq!(execute(&mut user, rehash(1, 3)).unwrap(), vec![]);
}

#[test]
fn a_reset_expires_at_its_instant() {
    let mut user = registered();
    reset_requested(&mut user, 0, 7).unwrap();
    assert_eq!(
        reset(&mut user, 1800, 7).unwrap_err(),
        UserRefusal::ResetNotPending
    );
    assert!(reset(&mut user, 1799, 7).is_ok());
}

#[test]
fn a_repeated_reset_request_with_the_same_id_counts_once() {
    let mut user = registered();
    assert_eq!(reset_requested(&mut user, 1, 7).unwrap().len(), 1);
    assert_eq!(reset_requested(&mut user, 1, 7).unwrap().len(), 0);
}

#[test]
fn a_repetition_does_not_revive_a_reset_that_is_over() {
    let mut user = registered();
    reset_requested(&mut user, 1, 7).unwrap();
    reset_requested(&mut user, 2, 8).unwrap();
    let replaced = reset_requested(&mut user, 1, 7);
    assert_eq!(replaced.unwrap_err(), UserRefusal::ResetNotPending);
    reset(&mut user, 3, 8).unwrap();
    let carried_out = reset_requested(&mut user, 2, 8);
    assert_eq!(carried_out.unwrap_err(), UserRefusal::ResetNotPending);
}

#[test]
fn the_number_of_pending_resets_of_an_account_is_bounded() {
    let mut user = registered();
    for request in 0..MAX_RESET_REQUESTS {
        reset_requested(&mut user, 1, request as u128).unwrap();
    }
    assert_eq!(
        reset_requested(&mut user, 2, 99).unwrap_err(),
        UserRefusal::TooManyResetRequests
    );
    assert!(reset_requested(&mut user, 1801, 99).is_ok());
}

#[test]
fn assigning_the_current_role_changes_nothing() {
    let mut user = registered();
    let to = |role| {
        UserCommand::ChangeRole(ChangeRole {
            at: second(1),
            role,
        })
    };
    assert_eq!(execute(&mut user, to(Role::User)).unwrap().len(), 0);
    assert_eq!(execute(&mut user, to(Role::Admin)).unwrap().len(), 1);
    // The role in the account's tokens is outdated.
    assert_eq!(user.registered().unwrap().session_epoch, 1);
}

#[test]
fn an_erased_account_is_erased_once_and_refuses_everything_else() {
    let mut user = registered();
    reset_requested(&mut user, 1, 7).unwrap();
    assert_eq!(erase(&mut user, 2).unwrap().len(), 1);
    assert_eq!(user, User::Erased);
    assert_eq!(erase(&mut user, 3).unwrap().len(), 0);
    let role = UserCommand::ChangeRole(ChangeRole {
        at: second(3),
        role: Role::Admin,
    });
    for refused in [
        execute(&mut user, registration()),
        execute(&mut user, role),
        reset_requested(&mut user, 3, 8),
        reset(&mut user, 3, 7),
    ] {
        assert_eq!(refused.unwrap_err(), UserRefusal::Erased);
    }
}

#[test]
fn an_account_that_was_never_registered_cannot_be_erased() {
    let refused = erase(&mut User::default(), 1);
    assert_eq!(refused.unwrap_err(), UserRefusal::NotRegistered);
}

#[test]
fn an_erasure_names_an_epoch_under_which_no_session_started() {
    let mut user = registered();
    reset_requested(&mut user, 1, 7).unwrap();
    reset(&mut user, 2, 7).unwrap();
    let epoch = user.registered().unwrap().session_epoch;
    let events = erase(&mut user, 3).unwrap();
    let [UserEvent::UserErased(erased)] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!((epoch, erased.session_epoch), (1, 2));
}

#[test]
fn a_refresh_replaces_the_token() {
    let mut session = started(Some(Rotation::Rotating));
    let events = refresh(&mut session, 1, 0).unwrap();
    assert_eq!(generation_handed_out(&events), Some(1));
}

#[test]
fn a_retry_within_the_grace_gets_the_same_replacement() {
    let mut session = started(Some(Rotation::Rotating));
    refresh(&mut session, 100, 0).unwrap();
    for at in [100, 109] {
        let events = refresh(&mut session, at, 0).unwrap();
        assert_eq!(generation_handed_out(&events), Some(1));
    }
}

#[test]
fn a_clock_that_is_set_back_does_not_revive_a_replaced_token() {
    let mut session = started(Some(Rotation::Rotating));
    refresh(&mut session, 700, 0).unwrap();
    // The clocks of two nodes may differ by a minute.
    let retry = refresh(&mut session.clone(), 640, 0).unwrap();
    assert_eq!(generation_handed_out(&retry), Some(1));
    let events = refresh(&mut session, 110, 0).unwrap();
    assert!(matches!(
        events.as_slice(),
        [SessionEvent::RefreshTokenReused(_)]
    ));
}

#[test]
fn a_reused_refresh_token_ends_the_session() {
    let mut session = started(Some(Rotation::Rotating));
    refresh(&mut session, 100, 0).unwrap();
    let events = refresh(&mut session, 110, 0).unwrap();
    assert!(matches!(
        events.as_slice(),
        [SessionEvent::RefreshTokenReused(_)]
    ));
    assert_eq!(
        refresh(&mut session, 111, 1).unwrap_err(),
        SessionRefusal::Ended
    );
}

#[test]
fn a_code_that_comes_back_raises_an_alarm_unless_a_device_may_have_repeated_its_request() {
    for (is_polled, refreshed, is_alarm) in [
        (false, false, true),
        (false, true, true),
        (true, false, false),
        (true, true, true),
    ] {
        let mut session = started(Some(Rotation::Rotating));
        if refreshed {
            refresh(&mut session, 100, 0).unwrap();
        }
        let at = second(110);
        let reuse = || SessionCommand::ReuseCode(ReuseCode { at, is_polled });
        let events = execute(&mut session, reuse()).unwrap();
        match events.as_slice() {
            [SessionEvent::AuthorizationCodeReused(_)] => assert!(is_alarm),
            [SessionEvent::SessionRevoked(event)] => {
                assert!(!is_alarm);
                assert_eq!(event.reason, RevocationReason::DeviceCodeRepeated);
            }
            other => panic!("{other:?}"),
        }
        // It has ended, once.
        assert_eq!(execute(&mut session, reuse()).unwrap(), []);
        let ended = refresh(&mut session, 111, u32::from(refreshed));
        assert_eq!(ended.unwrap_err(), SessionRefusal::Ended);
    }
}

#[test]
fn a_token_two_generations_old_is_theft_even_within_the_grace() {
    let mut session = started(Some(Rotation::Rotating));
    refresh(&mut session, 100, 0).unwrap();
    refresh(&mut session, 101, 1).unwrap();
    let events = refresh(&mut session, 102, 0).unwrap();
    assert!(matches!(
        events.as_slice(),
        [SessionEvent::RefreshTokenReused(_)]
    ));
}

#[test]
fn a_reusable_refresh_token_is_valid_until_it_expires() {
    let mut session = started(Some(Rotation::Reusable));
    for at in [1, 500, 999] {
        let events = refresh(&mut session, at, 0).unwrap();
        assert_eq!(generation_handed_out(&events), Some(0));
    }
    assert_eq!(
        refresh(&mut session, 1000, 0).unwrap_err(),
        SessionRefusal::Ended
    );
}

#[test]
fn a_rotating_token_is_refused_if_its_replacement_cannot_be_handed_over() {
    let without_replacement = |session: &mut Session, at, generation| {
        let command = RefreshSession {
            at: second(at),
            account_epoch: 0,
            generation,
            replacement_expires_at: None,
            grace: GRACE,
            limits: UNLIMITED,
        };
        execute(session, SessionCommand::Refresh(command))
    };
    let mut session = started(Some(Rotation::Rotating));
    let refused = without_replacement(&mut session, 1, 0);
    assert_eq!(refused.unwrap_err(), SessionRefusal::NoReplacement);
    let exchanged = refresh(&mut session, 500, 0).unwrap();
    assert_eq!(generation_handed_out(&exchanged), Some(1));
    // A retry within the grace is refused as well, because it would be a second use.
    for generation in [0, 1] {
        let refused = without_replacement(&mut session, 501, generation);
        assert_eq!(refused.unwrap_err(), SessionRefusal::NoReplacement);
    }
    // The reuse of a copied token is detected there too.
    let events = without_replacement(&mut session, 600, 0).unwrap();
    let reused = matches!(events.as_slice(), [SessionEvent::RefreshTokenReused(_)]);
    assert!(reused, "{events:?}");
}

#[test]
fn a_session_without_a_refresh_token_is_not_refreshed() {
    let mut session = started(None);
    assert_eq!(
        refresh(&mut session, 1, 0).unwrap_err(),
        SessionRefusal::NoSuchRefreshToken
    );
}

#[test]
fn a_session_is_logged_out_once_and_then_not_refreshed() {
    let mut session = started(Some(Rotation::Rotating));
    let log_out = || SessionCommand::LogOut(LogOut { at: second(1) });
    assert!(execute(&mut session, log_out()).is_ok());
    assert_eq!(
        execute(&mut session, log_out()).unwrap_err(),
        SessionRefusal::Ended
    );
    assert_eq!(
        refresh(&mut session, 2, 0).unwrap_err(),
        SessionRefusal::Ended
    );
}

fn refresh_within(
    session: &mut Session,
    at: i64,
    limits: Limits,
) -> Result<Vec<SessionEvent>, SessionRefusal> {
    let generation = session.started().map_or(0, |it| it.generation);
    execute(
        session,
        SessionCommand::Refresh(RefreshSession {
            at: second(at),
            account_epoch: 0,
            generation,
            replacement_expires_at: Some(second(at).plus(LIFETIME)),
            grace: GRACE,
            limits,
        }),
    )
}

#[test]
fn a_refresh_never_extends_a_session_beyond_its_limit() {
    let limits = Limits {
        lifetime: Duration::from_secs(1500),
        idle: None,
    };
    let mut session = started(Some(Rotation::Rotating));
    let expiries: Vec<_> = [400, 900, 1400]
        .map(|at| {
            let events = refresh_within(&mut session, at, limits).unwrap();
            let [SessionEvent::TokenRefreshed(event)] = events.as_slice() else {
                panic!("{events:?}");
            };
            event.expires_at
        })
        .to_vec();
    assert_eq!(expiries, [1400, 1500, 1500].map(second));
    // This holds even if the limit was lowered while the session was live.
    let lower = Limits {
        lifetime: Duration::from_secs(1410),
        idle: None,
    };
    let refused = refresh_within(&mut session.clone(), 1410, lower);
    assert_eq!(refused.unwrap_err(), SessionRefusal::Ended);
    let refused = refresh_within(&mut session, 1500, limits);
    assert_eq!(refused.unwrap_err(), SessionRefusal::Ended);
}

#[test]
fn a_session_that_is_idle_for_too_long_is_not_refreshed() {
    for rotation in [Rotation::Rotating, Rotation::Reusable] {
        let limits = Limits {
            lifetime: Duration::MAX,
            idle: Some(Duration::from_secs(60)),
        };
        let mut session = started(Some(rotation));
        refresh_within(&mut session, 59, limits).unwrap();
        refresh_within(&mut session, 118, limits).unwrap();
        let refused = refresh_within(&mut session, 178, limits);
        assert_eq!(refused.unwrap_err(), SessionRefusal::Ended);
    }
}

#[test]
fn a_live_session_is_revoked_once() {
    let revoke = |session: &mut Session, at, account_epoch| {
        let reason = RevocationReason::Owner;
        let at = second(at);
        let command = RevokeSession {
            at,
            account_epoch,
            reason,
        };
        execute(session, SessionCommand::Revoke(command))
    };
    let mut session = started(None);
    let ended = Err(SessionRefusal::Ended);
    assert_eq!(revoke(&mut session.clone(), 1, 1), ended);
    assert_eq!(revoke(&mut session.clone(), 1000, 0), ended);
    let events = revoke(&mut session, 1, 0).unwrap();
    assert!(matches!(
        events.as_slice(),
        [SessionEvent::SessionRevoked(_)]
    ));
    assert_eq!(revoke(&mut session, 2, 0), ended);
    let mut never = Session::default();
    assert_eq!(revoke(&mut never, 1, 0), Err(SessionRefusal::NotStarted));
}

fn verification_requested(
    user: &mut User,
    at: i64,
    number: u128,
    email: Option<&str>,
) -> Result<Vec<UserEvent>, UserRefusal> {
    let command = RequestEmailVerification {
        at: second(at),
        link: link(at, number),
        email: email.map(|email| Email::parse(email).unwrap()),
        proved: proved(user),
    };
    execute(user, UserCommand::RequestEmailVerification(command))
}

fn link(at: i64, number: u128) -> VerificationLink {
    VerificationLink {
        verification: VerificationId::new(Uuid::from_u128(number)),
        expires_at: second(at).plus(LIFETIME),
    }
}

fn confirmed(user: &mut User, at: i64, number: u128) -> Result<Vec<UserEvent>, UserRefusal> {
    let command = ConfirmEmail {
        at: second(at),
        verification: VerificationId::new(Uuid::from_u128(number)),
        proved: proved(user),
        kept: None,
    };
    execute(user, UserCommand::ConfirmEmail(command))
}

const NOT_PENDING: Result<Vec<UserEvent>, UserRefusal> = Err(UserRefusal::VerificationNotPending);

#[test]
fn an_address_is_verified_once_by_the_newest_link_before_it_expires() {
    let mut user = registered();
    assert_eq!(confirmed(&mut user, 1, 1), NOT_PENDING);
    verification_requested(&mut user, 1, 1, None).unwrap();
    verification_requested(&mut user, 2, 2, None).unwrap();
    assert_eq!(confirmed(&mut user, 3, 1), NOT_PENDING);
    assert_eq!(confirmed(&mut user.clone(), 1002, 2), NOT_PENDING);
    let events = confirmed(&mut user, 1001, 2).unwrap();
    assert!(matches!(
        events.as_slice(),
        [UserEvent::EmailVerified(_), UserEvent::SessionsRevoked(_)]
    ));
    assert!(user.registered().unwrap().email_verified);
    assert_eq!(confirmed(&mut user, 1001, 2), NOT_PENDING);
    // The address is verified already.
    assert_eq!(verification_requested(&mut user, 1002, 3, None), Ok(vec![]));
}

#[test]
fn the_number_of_links_mailed_for_an_account_is_bounded() {
    let mut user = registered();
    for number in 0..5 {
        verification_requested(&mut user, number, 1, None).unwrap();
    }
    for email in [None, Some("other@example.com")] {
        let refused = verification_requested(&mut user, 1799, 9, email);
        assert_eq!(refused, Err(UserRefusal::TooManyVerificationRequests));
    }
    assert!(verification_requested(&mut user, 1800, 9, None).is_ok());
}

#[test]
fn a_new_address_is_used_once_its_link_is_followed_and_ends_the_reset_that_was_mailed_to_the_old_one()
 {
    let mut user = registered();
    reset_requested(&mut user, 1, 1).unwrap();
    verification_requested(&mut user, 2, 2, Some("other@example.com")).unwrap();
    let events = confirmed(&mut user, 3, 2).unwrap();
    let [
        UserEvent::EmailChanged(event),
        UserEvent::SessionsRevoked(_),
    ] = events.as_slice()
    else {
        panic!("{events:?}");
    };
    assert_eq!(event.email.known().unwrap().as_str(), "other@example.com");
    assert_eq!(reset(&mut user, 4, 1), Err(UserRefusal::ResetNotPending));
}

#[test]
fn an_account_that_was_taken_back_is_not_lost_to_a_link_that_was_mailed_before() {
    type Rescue = fn(&mut User);
    let rescues: [Rescue; 5] = [
        |user| {
            let command = end_sessions(user, None);
            execute(user, command).unwrap();
        },
        |user| {
            let role = Role::Auditor;
            let command = UserCommand::ChangeRole(ChangeRole {
                at: second(3),
                role,
            });
            execute(user, command).unwrap();
        },
        |user| drop(reset(user, 3, 1).unwrap()),
        |user| drop(execute(user, password_change(3)).unwrap()),
        |user| drop(execute(user, UserCommand::Lock(Lock { at: second(3) })).unwrap()),
    ];
    for rescue in rescues {
        let mut user = registered();
        reset_requested(&mut user, 1, 1).unwrap();
        verification_requested(&mut user, 2, 2, Some("thief@example.com")).unwrap();
        rescue(&mut user);
        assert_eq!(confirmed(&mut user, 4, 2), NOT_PENDING);
    }
}

#[test]
fn confirming_an_address_ends_every_session_except_the_one_that_confirms() {
    let confirming = SessionId::new(Uuid::from_u128(8));
    for (email, kept) in [
        (None, None),
        (None, Some(confirming)),
        (Some("other@example.com"), Some(confirming)),
    ] {
        let mut user = registered();
        verification_requested(&mut user, 1, 2, email).unwrap();
        let command = ConfirmEmail {
            at: second(3),
            verification: VerificationId::new(Uuid::from_u128(2)),
            proved: proved(&user),
            kept,
        };
        execute(&mut user, UserCommand::ConfirmEmail(command)).unwrap();
        let account = user.registered().unwrap();
        assert!(account.email_verified);
        assert_eq!((account.session_epoch, account.kept_session), (1, kept));
    }
}

#[test]
fn a_password_proof_from_before_an_account_was_taken_back_confirms_no_address() {
    let mut user = registered();
    let proved = proved(&user);
    let rescue = end_sessions(&user, None);
    execute(&mut user, rescue).unwrap();
    verification_requested(&mut user, 4, 2, None).unwrap();
    let command = ConfirmEmail {
        at: second(5),
        verification: VerificationId::new(Uuid::from_u128(2)),
        proved,
        kept: None,
    };
    let refused = execute(&mut user, UserCommand::ConfirmEmail(command));
    assert_eq!(refused, Err(UserRefusal::EpochPassed));
}

#[test]
fn a_reset_is_refused_if_it_would_be_mailed_to_another_address_than_the_accounts() {
    let mut user = registered();
    let refused = reset_requested_at("old@example.com", &mut user, 1, 1);
    assert_eq!(refused, Err(UserRefusal::AddressChanged));
    assert_eq!(reset(&mut user, 2, 1), Err(UserRefusal::ResetNotPending));
    verification_requested(&mut user, 3, 2, Some("new@example.com")).unwrap();
    confirmed(&mut user, 4, 2).unwrap();
    let refused = reset_requested(&mut user, 5, 3);
    assert_eq!(refused, Err(UserRefusal::AddressChanged));
    reset_requested_at("New@Example.com", &mut user, 6, 4).unwrap();
    assert!(reset(&mut user, 7, 4).is_ok());
}

#[test]
fn a_reset_by_mail_proves_the_address() {
    let mut user = registered();
    reset_requested(&mut user, 1, 1).unwrap();
    reset(&mut user, 2, 1).unwrap();
    assert!(user.registered().unwrap().email_verified);
}

fn password_change(at: i64) -> UserCommand {
    UserCommand::ChangePassword(ChangePassword {
        at: second(at),
        credential: CredentialId::new(Uuid::from_u128(9)),
        session: SessionId::new(Uuid::from_u128(8)),
        proved: ProvedEpoch::new(0),
    })
}

/// A command of the owner to end the sessions except `kept`.
fn end_sessions(user: &User, kept: Option<SessionId>) -> UserCommand {
    UserCommand::RevokeSessions(RevokeSessions {
        at: second(3),
        authority: Authority::Owner(proved(user)),
        kept,
    })
}

#[test]
fn a_proof_from_before_an_account_was_taken_back_is_refused_afterwards() {
    let at = second(5);
    let commands = [
        password_change(5),
        end_sessions(&registered(), Some(SessionId::new(Uuid::from_u128(8)))),
        UserCommand::RequestEmailVerification(RequestEmailVerification {
            at,
            link: link(5, 7),
            email: Some(Email::parse("thief@example.com").unwrap()),
            proved: ProvedEpoch::new(0),
        }),
        UserCommand::Erase(Erase {
            at,
            authority: Authority::Owner(ProvedEpoch::new(0)),
        }),
    ];
    for command in commands {
        let mut user = registered();
        assert!(execute(&mut user.clone(), command.clone()).is_ok());
        reset_requested(&mut user, 1, 1).unwrap();
        reset(&mut user, 2, 1).unwrap();
        assert_eq!(execute(&mut user, command), Err(UserRefusal::EpochPassed));
    }
}

#[test]
fn every_event_that_ends_all_sessions_begins_a_new_epoch() {
    let mut user = registered();
    let at = second(1);
    let commands = [
        password_change(1),
        UserCommand::RevokeSessions(RevokeSessions {
            at,
            authority: Authority::Administrator,
            kept: None,
        }),
        UserCommand::ChangeRole(ChangeRole {
            at,
            role: Role::Admin,
        }),
        UserCommand::Lock(Lock { at }),
        UserCommand::Erase(Erase {
            at,
            authority: Authority::Administrator,
        }),
    ];
    for (epoch, command) in (1..).zip(commands) {
        let events = execute(&mut user, command).unwrap();
        let raised: Vec<_> = events.iter().filter_map(UserEvent::raised_epoch).collect();
        assert_eq!(raised.len(), 1, "{events:?}");
        assert_eq!(raised[0].epoch, epoch, "{events:?}");
        let keeps = matches!(events.as_slice(), [UserEvent::PasswordChanged(_)]);
        assert_eq!(raised[0].kept_session.is_some(), keeps, "{events:?}");
    }
}

#[test]
fn an_account_is_locked_and_unlocked_once() {
    let mut user = registered();
    let at = second(1);
    let [lock, unlock] = [
        UserCommand::Lock(Lock { at }),
        UserCommand::Unlock(Unlock { at }),
    ];
    assert_eq!(execute(&mut user, unlock.clone()), Ok(vec![]));
    assert_eq!(execute(&mut user, lock.clone()).unwrap().len(), 1);
    assert!(user.registered().unwrap().locked);
    assert_eq!(execute(&mut user, lock), Ok(vec![]));
    assert_eq!(execute(&mut user, unlock).unwrap().len(), 1);
    assert!(!user.registered().unwrap().locked);
}

#[test]
fn the_refused_logins_of_one_day_are_bounded() {
    let mut refused = RefusedLogins::default();
    let record = || RecordRefusedLogin {
        at: second(1),
        reason: LoginRefusalReason::WrongPassword,
    };
    let recorded: usize = (0..MAX_PER_DAY + 50)
        .map(|_| execute(&mut refused, record()).unwrap().len())
        .sum();
    assert_eq!(recorded, MAX_PER_DAY as usize);
}

#[test]
fn logins_that_wait_for_their_second_factor_leave_room_for_wrong_ones() {
    let mut refused = RefusedLogins::default();
    let mut record = |reason| {
        let command = RecordRefusedLogin {
            at: second(1),
            reason,
        };
        execute(&mut refused, command).unwrap().len()
    };
    let missing = LoginRefusalReason::SecondFactorMissing;
    let recorded: usize = (0..MAX_PER_DAY).map(|_| record(missing)).sum();
    assert_eq!(recorded, MAX_PER_DAY as usize / 2);
    assert_eq!(record(LoginRefusalReason::SecondFactorWrong), 1);
    assert_eq!(record(missing), 0);
}

#[test]
fn refused_logins_have_a_stream_of_their_own_each_day() {
    let user = UserId::new(Uuid::from_u128(1));
    assert_eq!(
        RefusedLogins::stream_of(user, second(0)),
        "00000000-0000-0000-0000-000000000001.2023-11-14"
    );
}

/// A step in the history of one account with one session. A pause in seconds precedes each step ([`step`]).
#[derive(Clone, Copy, Debug)]
enum Step {
    Refresh { generation: u32, replaces: bool },
    LogOut,
    RequestReset(u8),
    Reset(u8),
    ChangeRole(usize),
    Erase,
}

fn step() -> impl Strategy<Value = (i64, Step)> {
    let step = prop_oneof![
        6 => (0u32..5, any::<bool>())
            .prop_map(|(generation, replaces)| Step::Refresh { generation, replaces }),
        1 => Just(Step::LogOut),
        2 => (0u8..4).prop_map(Step::RequestReset),
        2 => (0u8..4).prop_map(Step::Reset),
        2 => (0usize..4).prop_map(Step::ChangeRole),
        1 => Just(Step::Erase),
    ];
    (prop_oneof![4 => 0i64..15, 1 => 15i64..900], step)
}

/// The events of one run.
struct Story {
    user: User,
    session: Session,
    user_events: Vec<UserEvent>,
    session_events: Vec<SessionEvent>,
    now: i64,
}

impl Story {
    fn begin(rotation: Rotation) -> Self {
        let mut user = User::default();
        let user_events = execute(&mut user, registration()).unwrap();
        let mut session = Session::default();
        let start = SessionCommand::Start(StartSession {
            at: second(0),
            user: UserId::new(Uuid::from_u128(1)),
            epoch: 0,
            rotation: Some(rotation),
            expires_at: second(0).plus(LIFETIME),
            authentication: Authentication::by_password(second(0)),
            grant: None,
        });
        let session_events = execute(&mut session, start).unwrap();
        Self {
            user,
            session,
            user_events,
            session_events,
            now: 0,
        }
    }

    /// The account's session epoch. `None` for an erased account.
    fn epoch(&self) -> Option<u32> {
        self.user.registered().map(|account| account.session_epoch)
    }

    fn is_live(&self) -> bool {
        let session = self.session.started().unwrap();
        self.epoch()
            .is_some_and(|epoch| session.is_live(epoch, second(self.now)))
    }

    /// Performs the step, and returns the generation that a refresh handed out.
    fn take(&mut self, (pause, step): (i64, Step)) -> Option<u32> {
        self.now += pause;
        let at = self.now;
        match step {
            Step::Refresh {
                generation,
                replaces,
            } => {
                let command = RefreshSession {
                    at: second(at),
                    // Without an account the program does not reach this command.
                    account_epoch: self.epoch()?,
                    generation,
                    replacement_expires_at: replaces.then(|| second(at).plus(LIFETIME)),
                    grace: GRACE,
                    limits: UNLIMITED,
                };
                let events = execute(&mut self.session, SessionCommand::Refresh(command)).ok()?;
                let handed_out = generation_handed_out(&events);
                self.session_events.extend(events);
                return handed_out;
            }
            Step::LogOut => {
                let command = SessionCommand::LogOut(LogOut { at: second(at) });
                let events = execute(&mut self.session, command);
                self.session_events.extend(events.unwrap_or_default());
            }
            Step::RequestReset(name) => {
                let events = reset_requested(&mut self.user, at, name.into());
                self.user_events.extend(events.unwrap_or_default());
            }
            Step::Reset(name) => {
                let events = reset(&mut self.user, at, name.into());
                self.user_events.extend(events.unwrap_or_default());
            }
            Step::ChangeRole(role) => {
                let command = ChangeRole {
                    at: second(at),
                    role: Role::ALL[role],
                };
                let events = execute(&mut self.user, UserCommand::ChangeRole(command));
                self.user_events.extend(events.unwrap_or_default());
            }
            Step::Erase => {
                let events = erase(&mut self.user, at);
                self.user_events.extend(events.unwrap_or_default());
            }
        }
        None
    }
}

proptest! {
    #[test]
    fn a_replay_gives_the_state_of_the_first_run(
        steps in proptest::collection::vec(step(), 0..40),
    ) {
        let mut story = Story::begin(Rotation::Rotating);
        for step in steps {
            story.take(step);
            let mut user = User::default();
            story.user_events.iter().for_each(|event| user.apply(event.clone()));
            prop_assert_eq!(&user, &story.user);
            let mut session = Session::default();
            story.session_events.iter().for_each(|event| session.apply(event.clone()));
            prop_assert_eq!(&session, &story.session);
        }
    }

    #[test]
    fn no_session_is_live_or_refreshed_after_a_reset_or_an_erasure(
        steps in proptest::collection::vec(step(), 0..40),
    ) {
        let mut story = Story::begin(Rotation::Rotating);
        for step in steps {
            let handed_out = story.take(step);
            let is_over = story.user_events.iter().any(|event| {
                matches!(event, UserEvent::PasswordReset(_) | UserEvent::UserErased(_))
            });
            if is_over {
                prop_assert!(!story.is_live());
                prop_assert_eq!(handed_out, None);
            }
        }
    }

    #[test]
    fn nothing_happens_to_an_account_after_its_erasure(
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let mut story = Story::begin(Rotation::Rotating);
        for step in steps {
            story.take(step);
        }
        let erased = story.user_events.iter()
            .position(|event| matches!(event, UserEvent::UserErased(_)));
        prop_assert_eq!(erased.is_some(), story.user == User::Erased);
        if let Some(place) = erased {
            prop_assert_eq!(place + 1, story.user_events.len());
        }
    }

    #[test]
    fn a_refresh_token_is_only_ever_exchanged_for_its_successor(
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let mut story = Story::begin(Rotation::Rotating);
        // What each presented generation was exchanged for.
        let mut successors = std::collections::HashMap::new();
        for (pause, step) in steps {
            let handed_out = story.take((pause, step));
            let (Step::Refresh { generation, replaces: true }, Some(successor)) = (step, handed_out)
            else {
                continue;
            };
            prop_assert_eq!(successor, generation + 1, "a token leads to the one after it");
            let first = *successors.entry(generation).or_insert(successor);
            prop_assert_eq!(first, successor, "and to the same one each time");
            let current = story.session.started().unwrap().generation;
            prop_assert_eq!(current, successor, "which is the current one");
        }
    }

    #[test]
    fn an_ended_session_never_comes_back(
        steps in proptest::collection::vec(step(), 0..40),
    ) {
        let mut story = Story::begin(Rotation::Rotating);
        let mut ended = false;
        for step in steps {
            let handed_out = story.take(step);
            if ended {
                prop_assert_eq!(handed_out, None);
            }
            ended |= story.session.started().unwrap().ended_at.is_some();
            prop_assert!(!(ended && story.is_live()));
        }
    }
}
