//! The page of an account's live sessions, as both stores choose it.

use std::collections::HashMap;

use authlog_application::ports::LiveSessions;
use authlog_domain::{SessionId, Timestamp};
use authlog_projections::SessionRecord;

/// The maximum number of sessions of an account that are examined to find a live one. If more sessions began in one
/// epoch, one of them is assumed to be live.
pub(crate) const MAX_SESSIONS_EXAMINED: i64 = 100;

/// The maximum number of sessions of an account that are examined for one page of live sessions.
pub(crate) const MAX_PAGE_SESSIONS: usize = 1000;

/// The parents of these sessions, each once.
pub(crate) fn parents_of(found: &[SessionRecord]) -> Vec<SessionId> {
    let mut parents: Vec<_> = found.iter().filter_map(SessionRecord::parent).collect();
    parents.sort_unstable();
    parents.dedup();
    parents
}

/// The page of sessions that are live at `now`. `found` holds up to [`MAX_PAGE_SESSIONS`] sessions of the current
/// epoch in order of their ids, and then the session that was kept from an earlier epoch, if there is one. Rows that
/// cannot be read are left out. `parents` are the sessions that they end with. `has_more` says that the maximum number of
/// rows was examined, so that there may be more.
pub(crate) fn live_page(
    mut found: Vec<SessionRecord>,
    parents: &[SessionRecord],
    has_more: bool,
    now: Timestamp,
    limit: usize,
) -> LiveSessions {
    let current = found.first().map(|first| first.epoch);
    let kept = found.pop_if(|last| current.is_some_and(|current| last.epoch != current));
    let looked_at = found.last().map(|last| last.id).filter(|_| has_more);
    // A kept session after the last examined one belongs to a later page.
    found.extend(kept.filter(|kept| looked_at.is_none_or(|last| kept.id < last)));
    found.sort_by_key(|session| session.id);
    // The statements have chosen both by the epoch that counts.
    let parents: HashMap<SessionId, &SessionRecord> =
        parents.iter().map(|parent| (parent.id, parent)).collect();
    let is_live = |session: &SessionRecord| session.is_live_alone(session.epoch, now);
    found.retain(|session| {
        let has_live_parent = |id| {
            parents.get(&id).is_some_and(|parent| {
                parent.user == session.user && parent.parent().is_none() && is_live(parent)
            })
        };
        is_live(session) && session.parent().is_none_or(has_live_parent)
    });
    let is_full = found.len() >= limit;
    found.truncate(limit);
    let last = found.last().map(|last| last.id);
    LiveSessions {
        sessions: found,
        next: if is_full { last } else { looked_at },
    }
}
