//! The state of an account at one time, as a JSON document.

use authlog_domain::Timestamp;
use serde_json::{Value, json};

use crate::ports::{Account, PastState, SessionRecord};

/// The state as JSON, with the sessions that are live at `evaluated_at`. The account is null if it was erased or not yet
/// registered.
pub fn state_document(state: &PastState, evaluated_at: Timestamp) -> Value {
    let sessions: Vec<Value> = state.live_sessions(evaluated_at).map(session).collect();
    json!({
        "at": evaluated_at,
        "as_of": {
            "log_index": state.log_index,
            "recorded_at": state.recorded_at,
            "events": state.events,
        },
        "account": state.account.as_ref().map(account),
        "live_sessions": sessions,
    })
}

fn account(account: &Account) -> Value {
    json!({
        "id": account.id,
        "number": account.number,
        "username": account.username,
        "email": account.email,
        "email_verified": account.email_verified,
        "name": account.name,
        "phone": account.phone,
        "role": account.role,
        "credential": account.credential,
        "locked": account.locked,
        "session_epoch": account.session_epoch,
        "kept_session": account.kept_session,
        "pending_reset": account.pending_reset,
        "pending_verification": account.pending_verification,
        "second_factors": account.second_factors,
        "consents": account.consents,
        "created_at": account.created_at,
        "updated_at": account.updated_at,
        "version": account.version,
    })
}

fn session(session: &SessionRecord) -> Value {
    let grant = session.grant.as_ref();
    json!({
        "id": session.id,
        "contract": session.contract,
        "rotation": session.rotation,
        "generation": session.generation,
        "started_at": session.started_at,
        "last_used_at": session.last_used_at,
        "expires_at": session.expires_at,
        "amr": session.authentication.amr,
        "acr": session.authentication.acr,
        "auth_time": session.authentication.auth_time,
        "client_id": grant.map(|it| &it.client),
        "scope": grant.map(|it| &it.scopes),
        "audience": grant.map(|it| &it.audience),
        "parent_session_id": session.parent(),
        "dpop_jkt": grant.and_then(|it| it.dpop_jkt.as_ref()),
    })
}
