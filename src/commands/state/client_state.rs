//! The state of a client at a point in time, or the changes between two.

use anyhow::bail;
use authlog_application::history::{client_changes, client_state_document};
use authlog_application::ports::Moment;
use authlog_application::{Authlog, ClientState, ClientStateAt, Operator};
use authlog_domain::ClientId;
use serde_json::Value;

use super::{difference_in_json, difference_in_text, moment};
use crate::cli::StateCommand;
use crate::commands::client::in_text;
use crate::commands::{print, print_page, refusal_error};

/// Prints the state of a client, or the changes between two states.
pub(super) async fn state(
    authlog: &Authlog,
    operator: &Operator,
    client: &ClientId,
    command: &StateCommand,
) -> anyhow::Result<()> {
    let state = state_at(authlog, operator, client, command.at).await?;
    let Some(other) = command.diff else {
        let document = client_state_document(&state);
        if command.json {
            return print(&document.to_string());
        }
        return print_page(&state_in_text(&document));
    };
    let other = state_at(authlog, operator, client, Some(other)).await?;
    let mut states = [state, other];
    // Changes are listed from the earlier to the later state, whichever was given first.
    states.sort_by_key(|it| (it.events, it.evaluated_at));
    let [before, after] = states.map(|it| client_state_document(&it));
    let changes = client_changes(&before, &after);
    print_page(&if command.json {
        difference_in_json(&before, &after, &changes)
    } else {
        difference_in_text(&before, &after, &changes, "client")
    })
}

fn state_in_text(document: &Value) -> String {
    let client = match &document["client"] {
        Value::Null => format!("{:<26}removed\n", "client"),
        client => in_text(client),
    };
    format!("{:<26}{}\n{client}", "as of", moment(document, "client"))
}

/// The state of a client at `at`, or now.
///
/// # Errors
/// There is no state then, or the store does not answer.
async fn state_at(
    authlog: &Authlog,
    operator: &Operator,
    client: &ClientId,
    at: Option<Moment>,
) -> anyhow::Result<ClientState> {
    let found = authlog.client_state_at(operator, client, at).await;
    match found.map_err(refusal_error)? {
        ClientStateAt::Found(state) => Ok(*state),
        ClientStateAt::NotYetRegistered => bail!("the client had not been registered then"),
        ClientStateAt::LogEndsAt(last) => bail!("the log ends before that, at index {last}"),
        ClientStateAt::InTheFuture => bail!("that time is in the future"),
    }
}
