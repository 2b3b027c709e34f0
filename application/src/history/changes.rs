//! The differences between two states of an account.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// A member of the state document whose value has changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The name of the member, such as `account.role` or `sessions.<id>.generation`; `sessions.<id>` for a session that started
    /// or ended.
    pub member: String,
    /// The earlier value; null if there was none.
    pub before: Value,
    /// The later value; null if there is none.
    pub after: Value,
}

/// Members of an account that change with every event, and so are not reported.
const BOOKKEEPING: [&str; 2] = ["version", "updated_at"];

/// The differences between two [state documents](super::state_document()): first those of the account, then those of the
/// sessions, each in the order of their names.
pub fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = different_members("account", &before["account"], &after["account"]);
    found.retain(|change| !BOOKKEEPING.iter().any(|it| change.member.ends_with(it)));
    let (was, is) = (sessions(before), sessions(after));
    let mut ids: Vec<&str> = was.keys().chain(is.keys()).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        let name = format!("sessions.{id}");
        match (was.get(id), is.get(id)) {
            (Some(was), Some(is)) => found.extend(different_members(&name, was, is)),
            (was, is) => found.push(Change {
                member: name,
                before: was.copied().cloned().unwrap_or_default(),
                after: is.copied().cloned().unwrap_or_default(),
            }),
        }
    }
    found
}

/// The differences between two [state documents of a client](super::client_state_document()), in the order of their names.
pub fn client_changes(before: &Value, after: &Value) -> Vec<Change> {
    different_members("client", &before["client"], &after["client"])
}

/// The live sessions in a state document, by their ids.
fn sessions(document: &Value) -> BTreeMap<&str, &Value> {
    document["live_sessions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|session| Some((session["id"].as_str()?, session)))
        .collect()
}

fn different_members(name: &str, before: &Value, after: &Value) -> Vec<Change> {
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
    fn changes_are_reported_for_each_member_and_each_session() {
        let before = json!({
            "account": {"role": "user", "version": 1, "name": "Ann"},
            "live_sessions": [{"id": "a", "generation": 0}, {"id": "b", "generation": 0}],
        });
        let after = json!({
            "account": {"role": "admin", "version": 2, "name": "Ann"},
            "live_sessions": [{"id": "b", "generation": 1}, {"id": "c", "generation": 0}],
        });
        let reported: Vec<_> = changes(&before, &after)
            .into_iter()
            .map(|change| (change.member, change.before, change.after))
            .collect();
        assert_eq!(
            reported,
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
