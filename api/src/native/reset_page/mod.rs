//! The page on which a person who forgot their password sets a new one. It needs no JavaScript.

pub(super) mod form;
pub(super) mod html;
pub(super) mod pages;

use std::sync::Arc;

use authlog_application::{Field, Refusal, RequestContext, Violation};
use authlog_domain::Flaw;
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};

use self::form::{LinkForm, token_of_query};
use self::pages::Nonce;
use crate::Api;
use crate::http::read_body;

/// An empty icon, because browsers request one with each page.
pub(super) async fn icon() -> Response {
    let kept = [(CACHE_CONTROL, "public, max-age=86400")];
    (StatusCode::NO_CONTENT, kept).into_response()
}

/// Shows the form, or that the link is invalid. This does not use the link up, because mail scanners open links too.
pub(super) async fn show(State(api): State<Arc<Api>>, uri: Uri) -> Response {
    let nonce = Nonce::generate(&*api.entropy);
    let token = token_of_query(uri.query());
    match api.authlog.verify_reset_token(&token).await {
        Ok(account) => pages::form(&token, account.sign_in_name(), &nonce),
        Err(refusal) => pages::refused(refusal, &token, "", &nonce),
    }
}

/// Sets the new password, or explains why it was refused.
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    request: Request,
) -> Response {
    let nonce = Nonce::generate(&*api.entropy);
    let media_type = "application/x-www-form-urlencoded";
    let form = match read_body(request, media_type).await {
        Ok(bytes) => LinkForm::parse(&bytes),
        Err(failure) => return pages::failed(failure, &nonce),
    };
    match reset(&api, &form, &context).await {
        Ok(()) => pages::done(&nonce),
        Err(refusal) => pages::refused(refusal, &form.token, &form.username, &nonce),
    }
}

/// Resets the password if it was typed twice alike. An invalid link is reported before a mismatch.
async fn reset(api: &Api, form: &LinkForm, context: &RequestContext) -> Result<(), Refusal> {
    if form.password == form.password_confirmation {
        let password = Some(form.password.as_str());
        return api
            .authlog
            .reset_password(&form.token, password, context)
            .await;
    }
    api.authlog.verify_reset_token(&form.token).await?;
    Err(Refusal::Invalid(vec![Violation {
        field: Field::PasswordConfirmation,
        flaw: Flaw::Mismatch,
    }]))
}
