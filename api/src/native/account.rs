//! The caller's own account: profile, sessions, password and e-mail address.

use std::sync::Arc;

use authlog_application::{Caller, Field, Refusal, RequestContext, Violation};
use authlog_domain::{Flaw, SessionId};
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;

use super::caller::{Bearer, BearerWithBody};
use super::page::PageRoom;
use super::page_query::SessionsQuery;
use super::problem::{no_content, problem, refused};
use super::profile::{ProfileOut, SessionsOut};
use super::second_factor::SecondFactorIn;
use super::step_up::owner_proof;
use crate::Api;
use crate::http::JsonField;

/// `GET /account`.
pub(super) async fn profile(
    State(api): State<Arc<Api>>,
    Bearer(caller): Bearer<Caller>,
) -> Result<Response, Response> {
    let account = api.authlog.own_account(caller).await.map_err(refused)?;
    Ok(Json(ProfileOut::of(&account)).into_response())
}

/// `GET /account/sessions`.
pub(super) async fn sessions(
    State(api): State<Arc<Api>>,
    Bearer(caller): Bearer<Caller>,
    Extension(context): Extension<RequestContext>,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    let SessionsQuery { after, limit } =
        SessionsQuery::parse(query.as_deref()).map_err(|detail| bad_request(&detail))?;
    let place = PageRoom::of(&api, caller.user(), limit, &context).await?;
    let page = api.authlog.own_sessions(caller, after, limit).await;
    let out = SessionsOut::of(page.map_err(refused)?, Some(caller.session()));
    Ok(place.answer(&out))
}

/// `DELETE /account/sessions/{id}`.
pub(super) async fn end_session(
    State(api): State<Arc<Api>>,
    Bearer(caller): Bearer<Caller>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let session = SessionId::parse(&id).ok_or_else(|| refused(Refusal::UnknownSession))?;
    let ended = api.authlog.end_own_session(caller, session, &context).await;
    Ok(no_content(ended))
}

/// `DELETE /account/sessions`: ends all sessions except the caller's.
pub(super) async fn end_other_sessions(
    State(api): State<Arc<Api>>,
    Bearer(caller): Bearer<Caller>,
    Extension(context): Extension<RequestContext>,
) -> Result<Response, Response> {
    let ended = api.authlog.end_other_sessions(caller, &context).await;
    Ok(no_content(ended))
}

#[derive(Deserialize)]
pub(super) struct NewPasswordIn {
    #[serde(default)]
    current_password: JsonField,
    #[serde(default)]
    new_password: JsonField,
    #[serde(flatten)]
    factor: SecondFactorIn,
}

/// `POST /account/password`.
pub(super) async fn change_password(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    BearerWithBody(caller, body): BearerWithBody<Caller, NewPasswordIn>,
) -> Result<Response, Response> {
    let current = owner_proof(&body.current_password, &body.factor)?;
    let new = body.new_password.text();
    let changed = api.authlog.change_password(caller, current, new, &context);
    changed.await.map_err(explain)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
pub(super) struct NewEmailIn {
    #[serde(default)]
    password: JsonField,
    #[serde(default)]
    email: JsonField,
    #[serde(flatten)]
    factor: SecondFactorIn,
}

/// `POST /account/email`: the address changes once the link that is mailed to it is followed.
pub(super) async fn change_email(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    BearerWithBody(caller, body): BearerWithBody<Caller, NewEmailIn>,
) -> Result<Response, Response> {
    let proof = owner_proof(&body.password, &body.factor)?;
    let email = body.email.text();
    let asked = api
        .authlog
        .request_email_change(caller, proof, email, &context);
    asked.await.map_err(explain)?;
    Ok(StatusCode::ACCEPTED.into_response())
}

/// `POST /account/email/verification`: mails the link again, if the address is not verified yet.
pub(super) async fn request_verification(
    State(api): State<Arc<Api>>,
    Bearer(caller): Bearer<Caller>,
    Extension(context): Extension<RequestContext>,
) -> Result<Response, Response> {
    let asked = api
        .authlog
        .request_email_verification(caller, &context)
        .await;
    asked.map_err(explain)?;
    Ok(StatusCode::ACCEPTED.into_response())
}

pub(super) fn bad_request(detail: &str) -> Response {
    problem(StatusCode::BAD_REQUEST, detail)
}

/// The response to a refusal. Its detail says what the person has to change.
pub(super) fn explain(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Invalid(violations) => {
            let sentences: Vec<String> = violations.into_iter().map(sentence).collect();
            bad_request(&sentences.join(" "))
        }
        // The token is valid, so 401 would be wrong: another token would not help.
        Refusal::WrongCredentials { .. } => {
            problem(StatusCode::FORBIDDEN, "The current password is wrong.")
        }
        other => refused(other),
    }
}

fn sentence(Violation { field, flaw }: Violation) -> String {
    let what = match field {
        Field::Password | Field::PasswordConfirmation => "The new password",
        Field::Email => "The e-mail address",
        Field::Username => "The username",
        Field::Name => "The name",
        Field::Phone => "The telephone number",
    };
    match flaw {
        Flaw::Required => format!("{what} is missing."),
        Flaw::TooLong { max } => format!("{what} must have at most {max} characters."),
        Flaw::TooShort { min } => format!("{what} must have at least {min} characters."),
        Flaw::Malformed => format!("{what} is not valid."),
        Flaw::IdShaped => format!("{what} must not be a UUID."),
        Flaw::Guessable => format!("{what} is too easy to guess."),
        Flaw::Common => format!("{what} is too common."),
        Flaw::Breached => format!("{what} is on a list of breached passwords."),
        Flaw::Mismatch => "The passwords do not match.".to_owned(),
    }
}
