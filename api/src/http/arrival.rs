//! How a request reached the service, known before the request is read.

use std::net::IpAddr;

use crate::capacity::UnderWay;

/// How a request reached the service.
#[derive(Clone)]
pub(crate) struct Arrival {
    /// The address of the client, as far as it can be trusted.
    pub client: IpAddr,
    /// The place of the request among those under way. `None` if its client has too many.
    pub under_way: Option<UnderWay>,
}
