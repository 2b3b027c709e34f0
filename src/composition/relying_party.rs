//! This service as authenticators of passkeys know it.

use authlog_application::ports::RelyingParty;
use url::{Host, Url};

/// The relying party of the service at this URL; `None` if its host is an address. An RP ID is a host name (WebAuthn §5.1.3).
pub(crate) fn relying_party(reachable_at: &Url) -> Option<RelyingParty> {
    match reachable_at.host()? {
        Host::Domain(name) => Some(RelyingParty {
            id: name.to_owned(),
            origin: reachable_at.origin().ascii_serialization(),
        }),
        Host::Ipv4(_) | Host::Ipv6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_name_is_the_rp_id_and_an_address_is_none() {
        for (url, expected) in [
            (
                "https://Auth.Example.com/login/",
                Some(("auth.example.com", "https://auth.example.com")),
            ),
            (
                "https://auth.example.com:443",
                Some(("auth.example.com", "https://auth.example.com")),
            ),
            (
                "http://localhost:8080",
                Some(("localhost", "http://localhost:8080")),
            ),
            (
                "https://b\u{fc}cher.example",
                Some(("xn--bcher-kva.example", "https://xn--bcher-kva.example")),
            ),
            ("http://127.0.0.1:8080", None),
            ("https://[::1]:8443", None),
        ] {
            let party = relying_party(&Url::parse(url).unwrap());
            let party = party
                .as_ref()
                .map(|it| (it.id.as_str(), it.origin.as_str()));
            assert_eq!(party, expected, "{url}");
        }
    }
}
