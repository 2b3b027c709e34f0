//! What is known of a request before it is read.

use std::net::IpAddr;

use crate::capacity::UnderWay;

/// How a request arrived.
#[derive(Clone)]
pub(crate) struct Arrival {
    /// From where it came, as far as anybody can say.
    pub client: IpAddr,
    /// Its place among the requests under way; none if its client has too many.
    pub under_way: Option<UnderWay>,
}
