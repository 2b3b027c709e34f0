//! What changed between two states of an account.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// A member that is not what it was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Which: `account.role`, or `sessions.<id>` for one that started or ended, or `sessions.<id>.generation`.
    pub member: String,
    /// What it was; null where there was nothing.
    pub before: Value,
    /// What it became; null where there is nothing any more.
    pub after: Value,
}

/// Members of an account that change whenever anything does, and so tell nothing.
const BOOKKEEPING: [&str; 2] = ["version", "updated_at"];

/// What changed from one [`portrait`](super::portrait) to another, in order of the members' names.
pub fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = members_that_differ("account", &before["account"], &after["account"]);
    found.retain(|change| !BOOKKEEPING.iter().any(|it| change.member.ends_with(it)));
    let (was, is) = (sessions(before), sessions(after));
    let mut ids: Vec<&str> = was.keys().chain(is.keys()).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        let name = format!("sessions.{id}");
        match (was.get(id), is.get(id)) {
            (Some(was), Some(is)) => found.extend(members_that_differ(&name, was, is)),
            (was, is) => found.push(Change {
                member: name,
                before: was.copied().cloned().unwrap_or_default(),
                after: is.copied().cloned().unwrap_or_default(),
            }),
        }
    }
    found
}

fn sessions(portrait: &Value) -> BTreeMap<&str, &Value> {
    portrait["live_sessions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|session| Some((session["id"].as_str()?, session)))
        .collect()
}

fn members_that_differ(name: &str, before: &Value, after: &Value) -> Vec<Change> {
    let (Value::Object(was), Value::Object(is)) = (before, after) else {
        let change = Change {
            member: name.to_owned(),
            before: before.clone(),
            after: after.clone(),
        };
        return Vec::from_iter((before != after).then_some(change));
    };
    is.iter()
        .filter_map(|(member, after)| {
            let before = was.get(member).unwrap_or(&Value::Null);
            (before != after).then(|| Change {
                member: format!("{name}.{member}"),
                before: before.clone(),
                after: after.clone(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_changed_is_told_member_by_member_and_session_by_session() {
        let before = json!({
            "account": {"role": "user", "version": 1, "name": "Ann"},
            "live_sessions": [{"id": "a", "generation": 0}, {"id": "b", "generation": 0}],
        });
        let after = json!({
            "account": {"role": "admin", "version": 2, "name": "Ann"},
            "live_sessions": [{"id": "b", "generation": 1}, {"id": "c", "generation": 0}],
        });
        let told: Vec<_> = changes(&before, &after)
            .into_iter()
            .map(|change| (change.member, change.before, change.after))
            .collect();
        assert_eq!(
            told,
            [
                ("account.role".to_owned(), json!("user"), json!("admin")),
                (
                    "sessions.a".to_owned(),
                    json!({"id": "a", "generation": 0}),
                    json!(null)
                ),
                ("sessions.b.generation".to_owned(), json!(0), json!(1)),
                (
                    "sessions.c".to_owned(),
                    json!(null),
                    json!({"id": "c", "generation": 0})
                ),
            ]
        );
        assert_eq!(changes(&after, &after), []);
    }
}
