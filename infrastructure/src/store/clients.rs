//! The page of registered clients, as both stores make it.

use authlog_application::ports::{ClientRecord, ClientsPage};
use authlog_domain::ClientId;

/// The page that ends with the last of the `examined` rows, which are in the order of their ids. Each is the id in it, and the client
/// if its row was accepted. If there are `limit` of them, there may be more.
pub(crate) fn clients_page(
    examined: Vec<(String, Option<ClientRecord>)>,
    limit: u32,
) -> ClientsPage {
    let is_full = examined.len() >= limit as usize;
    let last = examined.last().filter(|_| is_full);
    let next = last.map(|(id, _)| ClientId::from_stored(id.as_str()));
    let accepted = examined.into_iter().filter_map(|(_, record)| record);
    ClientsPage {
        clients: accepted.filter_map(ClientRecord::registered).collect(),
        next,
    }
}
