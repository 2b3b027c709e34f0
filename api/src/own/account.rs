//! One's own account: profile, sessions, password and e-mail address.

use std::sync::Arc;

use authlog_application::{Field, Refusal, RequestContext, Violation};
use authlog_domain::{Flaw, SessionId};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;

use super::page::Page;
use super::page_query::SessionsQuery;
use super::problem::{problem, refused};
use super::profile::{ProfileOut, SessionsOut};
use crate::Api;
use crate::exchange::{JsonBody, Member, presented_token};

/// `GET /account`.
pub(super) async fn profile(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let token = presented_token(&headers);
    let account = api.authlog.own_account(token).await.map_err(refused)?;
    Ok(Json(ProfileOut::of(&account)).into_response())
}

/// `GET /account/sessions`.
pub(super) async fn sessions(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let token = presented_token(&headers);
    let caller = api.authlog.authenticate(token).await.map_err(refused)?;
    let SessionsQuery { after, limit } =
        SessionsQuery::parse(query.as_deref()).map_err(bad_request)?;
    let place = Page::of(&api, caller.user, limit, &context).await?;
    let page = api.authlog.own_sessions(token, after, limit).await;
    let out = SessionsOut::of(page.map_err(refused)?, Some(caller.session));
    Ok(place.answer(&out))
}

/// `DELETE /account/sessions/{id}`.
pub(super) async fn end_session(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let token = presented_token(&headers);
    let Some(session) = SessionId::parse(&id) else {
        api.authlog.authenticate(token).await.map_err(refused)?;
        return Err(refused(Refusal::UnknownSession));
    };
    let ended = api.authlog.end_own_session(token, session, &context).await;
    ended.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `DELETE /account/sessions`: all but the one that asks.
pub(super) async fn end_other_sessions(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let token = presented_token(&headers);
    let ended = api.authlog.end_other_sessions(token, &context).await;
    ended.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
pub(super) struct NewPasswordIn {
    #[serde(default)]
    current_password: Member,
    #[serde(default)]
    new_password: Member,
}

/// `POST /account/password`.
pub(super) async fn change_password(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<NewPasswordIn>,
) -> Result<Response, Response> {
    let token = presented_token(&headers);
    let (current, new) = (body.current_password.text(), body.new_password.text());
    let changed = api.authlog.change_password(token, current, new, &context);
    changed.await.map_err(explained)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
pub(super) struct NewEmailIn {
    #[serde(default)]
    password: Member,
    #[serde(default)]
    email: Member,
}

/// `POST /account/email`: the address changes once the link in the mail to it is followed.
pub(super) async fn change_email(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<NewEmailIn>,
) -> Result<Response, Response> {
    let token = presented_token(&headers);
    let (password, email) = (body.password.text(), body.email.text());
    let asked = api
        .authlog
        .request_email_change(token, password, email, &context);
    asked.await.map_err(explained)?;
    Ok(StatusCode::ACCEPTED.into_response())
}

/// `POST /account/email/verification`: mails the link once more, if the address is not verified yet.
pub(super) async fn request_verification(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let token = presented_token(&headers);
    let asked = api
        .authlog
        .request_email_verification(token, &context)
        .await;
    asked.map_err(explained)?;
    Ok(StatusCode::ACCEPTED.into_response())
}

pub(super) fn bad_request(detail: &str) -> Response {
    problem(StatusCode::BAD_REQUEST, detail)
}

/// What is refused, with what the person can do about it.
fn explained(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Invalid(violations) => {
            let sentences: Vec<String> = violations.into_iter().map(sentence).collect();
            bad_request(&sentences.join(" "))
        }
        // The token is good: another one would not help.
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
        Flaw::TooLong { max } => format!("{what} can have at most {max} characters."),
        Flaw::TooShort { min } => format!("{what} needs at least {min} characters."),
        Flaw::Malformed => format!("{what} is not one."),
        Flaw::IdShaped => format!("{what} must not be a UUID."),
        Flaw::Guessable => format!("{what} is too easy to guess."),
        Flaw::Common => format!("{what} is too common."),
        Flaw::Mismatch => format!("{what} was not repeated alike."),
    }
}
