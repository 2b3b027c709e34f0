//! The names of the fields in which a stored row differs from the row that its events give.

use authlog_application::ports::{Account, ClientRecord, SessionRecord};

/// The names of the fields in which two rows differ; for the version, its values as well.
macro_rules! differences {
    ($expected:ident, $stored:ident, $($member:ident),+) => {{
        let mut found = Vec::new();
        if $expected.version != $stored.version {
            found.push(format!(
                "its version ({}, its events {})",
                $stored.version, $expected.version
            ));
        }
        $(if $expected.$member != $stored.$member {
            found.push(stringify!($member).to_owned());
        })+
        found
    }};
}

pub(super) fn account_differences(expected: &Account, stored: &Account) -> Vec<String> {
    differences!(
        expected,
        stored,
        id,
        number,
        username,
        email,
        email_verified,
        name,
        phone,
        role,
        credential,
        locked,
        session_epoch,
        kept_session,
        pending_reset,
        pending_verification,
        recent_requests,
        second_factors,
        consents,
        created_at,
        updated_at
    )
}

pub(super) fn session_differences(expected: &SessionRecord, stored: &SessionRecord) -> Vec<String> {
    differences!(
        expected,
        stored,
        id,
        user,
        contract,
        epoch,
        rotation,
        generation,
        started_at,
        last_used_at,
        rotated_at,
        expires_at,
        ended_at,
        authentication,
        grant
    )
}

pub(super) fn client_differences(expected: &ClientRecord, stored: &ClientRecord) -> Vec<String> {
    differences!(expected, stored, id, state)
}
