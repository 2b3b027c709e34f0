//! Decisions about stepping a session up.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use authlog_domain::session::{
    Limits, LogOut, RefreshSession, SessionCommand, SessionEvent, SessionRefusal, StartSession,
    StepUp,
};
use authlog_domain::{Authentication, AuthenticationLevel, Rotation, Session, Timestamp, UserId};
use cqrs_es::Aggregate;
use uuid::Uuid;

const MINUTE: Duration = Duration::from_secs(60);

fn at(minutes: u32) -> Timestamp {
    Timestamp::from_unix_millis(1_700_000_000_000).plus(MINUTE * minutes)
}

fn execute(
    session: &mut Session,
    command: SessionCommand,
) -> Result<Vec<SessionEvent>, SessionRefusal> {
    let events = session.decide(command)?;
    for event in &events {
        session.apply(event.clone());
    }
    Ok(events)
}

/// A session that was started with this authentication.
fn started(authentication: Authentication) -> Session {
    let mut session = Session::default();
    let command = SessionCommand::Start(StartSession {
        at: at(0),
        user: UserId::new(Uuid::from_u128(1)),
        epoch: 3,
        rotation: Some(Rotation::Rotating),
        expires_at: at(60),
        authentication,
        grant: None,
    });
    execute(&mut session, command).unwrap();
    session
}

fn step_up(authentication: Authentication) -> SessionCommand {
    SessionCommand::StepUp(StepUp {
        at: authentication.auth_time,
        account_epoch: 3,
        authentication,
    })
}

fn authentication(session: &Session) -> Authentication {
    session.started().unwrap().authentication
}

#[test]
fn a_step_up_raises_the_level_and_a_refresh_keeps_it() {
    let mut session = started(Authentication::by_password(at(0)));
    let stepped_up = Authentication::by_password_and_code(at(5), None);
    let events = execute(&mut session, step_up(stepped_up)).unwrap();
    assert!(matches!(events[..], [SessionEvent::SteppedUp(_)]));
    assert_eq!(authentication(&session), stepped_up);
    let refresh = SessionCommand::Refresh(RefreshSession {
        at: at(20),
        account_epoch: 3,
        generation: 0,
        replacement_expires_at: Some(at(90)),
        grace: Duration::ZERO,
        limits: Limits {
            lifetime: MINUTE * 1000,
            idle: None,
        },
    });
    execute(&mut session, refresh).unwrap();
    assert_eq!(authentication(&session), stepped_up);
}

#[test]
fn a_step_up_at_the_same_level_moves_the_time_of_authentication() {
    for authenticated_at in [Authentication::by_password, |at| {
        Authentication::by_password_and_code(at, None)
    }] {
        let mut session = started(authenticated_at(at(0)));
        execute(&mut session, step_up(authenticated_at(at(7)))).unwrap();
        assert_eq!(authentication(&session).auth_time, at(7));
    }
}

#[test]
fn a_session_never_gets_a_lower_level() {
    let before = Authentication::by_password_and_code(at(0), None);
    let mut session = started(before);
    let lower = Authentication::by_password(at(5));
    assert!(lower.acr < AuthenticationLevel::Aal2);
    assert_eq!(execute(&mut session, step_up(lower)).unwrap(), []);
    assert_eq!(authentication(&session), before);
}

#[test]
fn a_session_that_has_ended_or_is_of_an_earlier_epoch_is_not_stepped_up() {
    let stepped_up = Authentication::by_password_and_code(at(5), None);
    let mut ended = started(Authentication::by_password(at(0)));
    execute(&mut ended, SessionCommand::LogOut(LogOut { at: at(1) })).unwrap();
    assert_eq!(
        execute(&mut ended, step_up(stepped_up)),
        Err(SessionRefusal::Ended)
    );
    let mut taken_back = started(Authentication::by_password(at(0)));
    let command = SessionCommand::StepUp(StepUp {
        at: at(5),
        account_epoch: 4,
        authentication: stepped_up,
    });
    assert_eq!(
        execute(&mut taken_back, command),
        Err(SessionRefusal::Ended)
    );
    let mut expired = started(Authentication::by_password(at(0)));
    let late = Authentication::by_password_and_code(at(60), None);
    assert_eq!(
        execute(&mut expired, step_up(late)),
        Err(SessionRefusal::Ended)
    );
    assert_eq!(
        Session::default().decide(step_up(stepped_up)),
        Err(SessionRefusal::NotStarted)
    );
}
