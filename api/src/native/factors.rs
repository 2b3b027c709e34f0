//! Second factors of the caller's own account, and their removal by an administrator.

use std::sync::Arc;

use authlog_application::{
    BegunTotp, Caller, FreshAdmin, Refusal, RequestContext, SecondFactorRefusal, SteppedUpSession,
};
use authlog_domain::user::{EnrolledPasskey, EnrolledTotp};
use authlog_domain::{FactorId, FactorLabel, Timestamp};
use axum::extract::{Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use super::account::explain;
use super::admin::id_of;
use super::caller::{Bearer, BearerWithBody};
use super::problem::{no_content, problem, refused};
use super::step_up::{OwnerProofIn, SteppedUpOut, terms_of};
use crate::Api;
use crate::http::{JsonField, presented_token};

/// The second factors of an account.
#[derive(Serialize)]
struct FactorsOut {
    factors: Vec<FactorOut>,
    /// How many recovery codes were not used yet.
    recovery_codes_left: u32,
}

#[derive(Serialize)]
pub(super) struct FactorOut {
    id: FactorId,
    r#type: &'static str,
    enrolled_at: Timestamp,
    /// The name that the person gave it.
    label: Option<FactorLabel>,
    #[serde(flatten)]
    passkey: Option<PasskeyOut>,
}

/// What is known of a passkey in addition.
#[derive(Serialize)]
struct PasskeyOut {
    /// The model of the authenticator as it claims.
    aaguid: Uuid,
    /// Whether the passkey can be copied to other devices.
    backup_eligible: bool,
}

impl FactorOut {
    fn of_app(totp: EnrolledTotp, label: Option<FactorLabel>) -> Self {
        Self {
            id: totp.factor,
            r#type: "totp",
            enrolled_at: totp.enrolled_at,
            label,
            passkey: None,
        }
    }

    pub(super) fn of_passkey(passkey: EnrolledPasskey, label: Option<FactorLabel>) -> Self {
        Self {
            id: passkey.factor,
            r#type: "passkey",
            enrolled_at: passkey.enrolled_at,
            label,
            passkey: Some(PasskeyOut {
                aaguid: passkey.aaguid,
                backup_eligible: passkey.backup_eligible,
            }),
        }
    }
}

/// A factor that was enrolled.
#[derive(Serialize)]
struct EnrolledOut<'a> {
    #[serde(flatten)]
    factor: FactorOut,
    /// The session, which the first factor of an account steps up.
    session: Option<SteppedUpOut<'a>>,
}

/// An authenticator app that is being enrolled.
#[derive(Serialize)]
struct EnrolmentOut<'a> {
    /// Names the enrolment in the path of its confirmation. Nothing is stored before.
    id: &'a str,
    /// The seed in base 32.
    secret: &'a str,
    /// The same for apps that scan it as a QR code.
    uri: &'a str,
    expires_at: Timestamp,
}

#[derive(Serialize)]
struct RecoveryCodesOut<'a> {
    codes: Vec<&'a str>,
}

#[derive(Deserialize)]
pub(super) struct NewTotpIn {
    #[serde(flatten)]
    owner: OwnerProofIn,
    #[serde(default)]
    label: JsonField,
}

#[derive(Deserialize)]
pub(super) struct LabelIn {
    #[serde(default)]
    label: JsonField,
}

#[derive(Deserialize)]
pub(super) struct CodeIn {
    #[serde(default)]
    code: JsonField,
}

/// `GET /account/factors`.
pub(super) async fn factors(
    State(api): State<Arc<Api>>,
    Bearer(caller): Bearer<Caller>,
) -> Result<Response, Response> {
    let account = api.authlog.own_account(caller).await.map_err(refused)?;
    let factors = account.second_factors;
    let labels = factors.labels;
    let label = |factor| labels.get(&factor).cloned();
    let apps = factors.totp.into_iter();
    let apps = apps.map(|totp| FactorOut::of_app(totp, label(totp.factor)));
    let passkeys = factors.passkeys.into_iter();
    let passkeys = passkeys.map(|it| FactorOut::of_passkey(it, label(it.factor)));
    Ok(Json(FactorsOut {
        factors: apps.chain(passkeys).collect(),
        recovery_codes_left: factors.recovery_codes.map_or(0, |codes| codes.left),
    })
    .into_response())
}

/// `POST /account/factors/totp`: a seed for an authenticator app.
pub(super) async fn begin_totp(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    BearerWithBody(caller, body): BearerWithBody<Caller, NewTotpIn>,
) -> Result<Response, Response> {
    let proof = body.owner.proof()?;
    let begun = api
        .authlog
        .begin_totp(caller, proof, body.label.text(), &context)
        .await
        .map_err(explain)?;
    let uri = key_uri(&api.settings.public_url, &begun);
    let out = EnrolmentOut {
        id: &begun.enrolment,
        secret: &begun.secret,
        uri: &uri,
        expires_at: begun.expires_at,
    };
    Ok(shown_once(StatusCode::OK, &out))
}

/// `POST /account/factors/totp/{id}/confirm`: enrols the app, which shows a code.
pub(super) async fn confirm_totp(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    Path(enrolment): Path<String>,
    headers: HeaderMap,
    BearerWithBody(caller, body): BearerWithBody<Caller, CodeIn>,
) -> Result<Response, Response> {
    let code = body.code.text().unwrap_or_default();
    let enrolled = api
        .authlog
        .confirm_totp(caller, &enrolment, code, terms_of, &context)
        .await
        .map_err(refused)?;
    let factor = FactorOut::of_app(enrolled.factor, enrolled.label);
    Ok(enrolled_response(
        factor,
        enrolled.stepped_up.as_ref(),
        &headers,
    ))
}

/// The response to an enrolment.
pub(super) fn enrolled_response(
    factor: FactorOut,
    stepped_up: Option<&SteppedUpSession>,
    headers: &HeaderMap,
) -> Response {
    let out = EnrolledOut {
        factor,
        session: stepped_up.map(|session| SteppedUpOut::of(session, presented_token(headers))),
    };
    (StatusCode::CREATED, Json(out)).into_response()
}

/// `PATCH /account/factors/{id}`: gives the factor a label; an empty one removes it.
pub(super) async fn rename(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
    BearerWithBody(caller, body): BearerWithBody<Caller, LabelIn>,
) -> Result<Response, Response> {
    let Some(label) = body.label.text() else {
        let detail = "The body must hold the label, as a string. An empty one removes it.";
        return Err(problem(StatusCode::BAD_REQUEST, detail));
    };
    let factor = factor_of(&id).map_err(refused)?;
    let renamed = api
        .authlog
        .rename_own_factor(caller, factor, label, &context)
        .await;
    Ok(no_content(renamed))
}

/// The factor that a path names.
fn factor_of(id: &str) -> Result<FactorId, Refusal> {
    FactorId::parse(id).ok_or(Refusal::SecondFactor(SecondFactorRefusal::Unknown))
}

/// `DELETE /account/factors/{id}` and, where a proxy drops the body of a DELETE, `POST /account/factors/{id}/remove`.
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
    BearerWithBody(caller, body): BearerWithBody<Caller, OwnerProofIn>,
) -> Result<Response, Response> {
    let proof = body.proof()?;
    let factor = factor_of(&id).map_err(refused)?;
    api.authlog
        .remove_own_factor(caller, factor, proof, &context)
        .await
        .map_err(explain)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /account/recovery-codes`: new recovery codes, which are shown once.
pub(super) async fn issue_recovery_codes(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    BearerWithBody(caller, body): BearerWithBody<Caller, OwnerProofIn>,
) -> Result<Response, Response> {
    let proof = body.proof()?;
    let codes = api
        .authlog
        .issue_recovery_codes(caller, proof, &context)
        .await
        .map_err(explain)?;
    let codes = codes.iter().map(|code| code.as_str()).collect();
    Ok(shown_once(StatusCode::CREATED, &RecoveryCodesOut { codes }))
}

/// `DELETE /admin/users/{id}/factors`: removes every second factor of an account.
pub(super) async fn remove_all(
    State(api): State<Arc<Api>>,
    Bearer(admin): Bearer<FreshAdmin>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let user = id_of(&id).map_err(refused)?;
    let removed = api.authlog.remove_factors_of(&admin, user, &context).await;
    Ok(no_content(removed.map(|_| ())))
}

/// A response with secrets, which no cache keeps.
pub(super) fn shown_once(status: StatusCode, out: &impl Serialize) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], Json(out)).into_response()
}

/// The URI that authenticator apps read. Its issuer is the host of this service, and its account the name with which the person
/// signs in.
pub(crate) fn key_uri(public_url: &str, begun: &BegunTotp) -> String {
    let url = Url::parse(public_url).ok();
    let issuer = url.as_ref().and_then(Url::host_str).unwrap_or("authlog");
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let (issuer, name) = (encoded(issuer), encoded(begun.account.sign_in_name()));
    let parameters = begun.parameters;
    format!(
        "otpauth://totp/{issuer}:{name}?secret={secret}&issuer={issuer}&algorithm={algorithm}&digits={digits}&period={period}",
        secret = *begun.secret,
        algorithm = parameters.algorithm.as_str(),
        digits = parameters.digits,
        period = parameters.period,
    )
}
