//! The address of a client: that of its connection, or the one that a trusted proxy reports.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::header::FORWARDED;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

/// The proxies whose `Forwarded` and `X-Forwarded-For` headers are trusted. None by default, because any client can
/// write these headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Parses addresses and networks, separated by commas (`10.0.0.0/8, fd00::/8, 192.0.2.7`).
    pub fn parse(text: &str) -> Option<Self> {
        let networks = text.split(',').map(str::trim).map(|text| {
            let network: Option<IpNet> = text.parse().ok();
            network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        });
        networks.collect::<Option<_>>().map(Self)
    }

    /// Whether `address` belongs to a trusted proxy.
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address of the client that sent a request over a connection with `peer`.
    ///
    /// Each proxy appends the address of its client at the right. So the rightmost address that is not a trusted
    /// proxy's is the last one that can be trusted; the client may have invented everything to its left. If two headers
    /// disagree, a proxy passed one of them on as the client wrote it. Then, and if an address cannot be parsed, only
    /// the address of the connection is known.
    pub(crate) fn client_of(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.contain(peer) {
            return peer;
        }
        let forwarded = chain(headers, &FORWARDED, of_forwarded);
        let x_forwarded_for = chain(headers, &X_FORWARDED_FOR, of_x_forwarded_for);
        match (forwarded.as_slice(), x_forwarded_for.as_slice()) {
            ([], []) => peer,
            (chain, []) | ([], chain) => self.trusted_address(chain).unwrap_or(peer),
            (one, other) => match (self.trusted_address(one), self.trusted_address(other)) {
                (Some(client), Some(same)) if client == same => client,
                _ => peer,
            },
        }
    }

    /// The rightmost address that is not a trusted proxy's, or the leftmost one if all are.
    fn trusted_address(&self, chain: &[Option<IpAddr>]) -> Option<IpAddr> {
        let mut farthest = None;
        for hop in chain.iter().rev() {
            let address = (*hop)?;
            farthest = Some(address);
            if !self.contain(address) {
                break;
            }
        }
        farthest
    }
}

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The IPv4 address, or the /64 network of an IPv6 address: the smallest network that a subscriber is assigned (RFC
/// 6177).
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// The addresses in all lines of a header, from left to right. `None` if one of them cannot be parsed.
fn chain(
    headers: &HeaderMap,
    name: &HeaderName,
    read: impl Fn(&str) -> Vec<Option<IpAddr>>,
) -> Vec<Option<IpAddr>> {
    let lines = headers.get_all(name).into_iter();
    lines
        .flat_map(|line| HeaderValue::to_str(line).map_or_else(|_| vec![None], &read))
        .collect()
}

fn of_x_forwarded_for(line: &str) -> Vec<Option<IpAddr>> {
    line.split(',').map(|hop| node(hop.trim())).collect()
}

/// The addresses in one line of `Forwarded` (RFC 7239 §4). A line with a syntax error yields none: an unclosed
/// quotation mark from the client must not hide what a proxy appended.
fn of_forwarded(line: &str) -> Vec<Option<IpAddr>> {
    let mut hops = Vec::new();
    let mut rest = line;
    loop {
        let Some((hop, after)) = forwarded_element(rest) else {
            return vec![None];
        };
        hops.push(hop);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None if after.is_empty() => return hops,
            None => return vec![None],
        }
    }
}

/// The address in the `for` parameter of one element, and the rest of the line after it.
fn forwarded_element(text: &str) -> Option<(Option<IpAddr>, &str)> {
    let mut rest = text.trim_start_matches([' ', '\t']);
    let mut named = None;
    loop {
        let (name, after) = token(rest)?;
        let (value, after) = value(after.strip_prefix('=')?)?;
        if name.eq_ignore_ascii_case("for") {
            // Each parameter may occur once (§4).
            if named.is_some() {
                return None;
            }
            named = Some(node(&value));
        }
        let after = after.trim_start_matches([' ', '\t']);
        match after.strip_prefix(';') {
            Some(after) => rest = after.trim_start_matches([' ', '\t']),
            None => return Some((named.flatten(), after)),
        }
    }
}

/// A token (RFC 9110 §5.6.2) at the start of `text`, and the rest.
fn token(text: &str) -> Option<(&str, &str)> {
    let is_token =
        |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
    let end = text.find(|letter| !is_token(letter)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A token or a quoted string (RFC 9110 §5.6.4) without its quotation marks, and the rest.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        // An IPv6 address has to be quoted, but some proxies do not quote it.
        let end = text.find([',', ';', ' ', '\t', '"']).unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(letters.next()?.1),
            _ => value.push(letter),
        }
    }
    None
}

/// The address of a node, with or without a port (RFC 7239 §6). Obfuscated and unknown nodes have none.
fn node(text: &str) -> Option<IpAddr> {
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()
        .or_else(|| {
            let bracketed = text.strip_prefix('[')?.strip_suffix(']')?;
            bracketed.parse::<Ipv6Addr>().ok().map(IpAddr::from)
        })?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROXY: &str = "10.0.0.1";

    fn client(peer: &str, lines: &[(&'static str, &str)]) -> String {
        let proxies = TrustedProxies::parse("10.0.0.0/8, fd00::/8").unwrap();
        let headers = lines
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                (HeaderName::from_static(name), value)
            })
            .collect::<Vec<_>>();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        proxies.client_of(peer.parse().unwrap(), &map).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let lines = [("x-forwarded-for", "192.0.2.7")];
        assert_eq!(client("198.51.100.1", &lines), "198.51.100.1");
        assert_eq!(client(PROXY, &lines), "192.0.2.7");
        assert_eq!(client("::ffff:10.0.0.1", &lines), "192.0.2.7");
        assert_eq!(client(PROXY, &[]), PROXY);
        // A mapped address is the IPv4 address in it.
        assert_eq!(client("::ffff:198.51.100.1", &lines), "198.51.100.1");
        let none = TrustedProxies::default();
        assert!(!none.contain(PROXY.parse().unwrap()));
    }

    #[test]
    fn the_rightmost_address_that_is_not_a_proxys_wins() {
        for (value, found) in [
            ("203.0.113.9, 192.0.2.7", "192.0.2.7"),
            ("203.0.113.9, 192.0.2.7, 10.0.0.2,10.1.2.3", "192.0.2.7"),
            ("garbage, 192.0.2.7", "192.0.2.7"),
            ("10.0.0.2, 10.0.0.3", "10.0.0.2"),
            ("192.0.2.7:5123", "192.0.2.7"),
            ("[2001:db8::7]:5123", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("2001:db8::7", "2001:db8::7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            // A value that cannot be parsed is ignored.
            ("192.0.2.7, garbage", PROXY),
            ("192.0.2.7, unknown, 10.0.0.2", PROXY),
            ("192.0.2.7,", PROXY),
            ("", PROXY),
            ("192.0.2", PROXY),
            ("192.0.2.7\u{e9}", PROXY),
        ] {
            assert_eq!(
                client(PROXY, &[("x-forwarded-for", value)]),
                found,
                "{value}"
            );
        }
        let lines = [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "192.0.2.7, 10.0.0.9"),
        ];
        assert_eq!(client(PROXY, &lines), "192.0.2.7");
    }

    #[test]
    fn forwarded_is_read_by_its_grammar() {
        for (value, found) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=203.0.113.9, for=192.0.2.43", "192.0.2.43"),
            (
                "for=192.0.2.43 ; by=\"a,b;c\" , For=\"10.0.0.8:80\"",
                "192.0.2.43",
            ),
            ("for=192.0.2.43:80", "192.0.2.43"),
            ("for=_hidden", PROXY),
            ("for=unknown, for=10.0.0.2", PROXY),
            ("proto=https", PROXY),
            ("for=192.0.2.1;for=192.0.2.2", PROXY),
            ("for=\"192.0.2.1", PROXY),
            ("for=203.0.113.9;x=\", for=192.0.2.43", PROXY),
            ("for=192.0.2.43,", PROXY),
            ("for", PROXY),
            ("", PROXY),
        ] {
            assert_eq!(client(PROXY, &[("forwarded", value)]), found, "{value}");
        }
        // A line that the client broke does not affect the proxy's own line.
        let lines = [("forwarded", "for=\"x"), ("forwarded", "for=192.0.2.43")];
        assert_eq!(client(PROXY, &lines), "192.0.2.43");
    }

    #[test]
    fn a_header_that_a_proxy_passes_on_unchanged_is_not_trusted() {
        let lie = ("forwarded", "for=203.0.113.9");
        let truth = ("x-forwarded-for", "192.0.2.7");
        assert_eq!(client(PROXY, &[lie, truth]), PROXY);
        let agreeing = ("forwarded", "for=192.0.2.7");
        assert_eq!(client(PROXY, &[agreeing, truth]), "192.0.2.7");
    }

    #[test]
    fn a_list_of_proxies_is_read_or_refused() {
        assert!(TrustedProxies::parse("10.0.0.0/8").is_some());
        assert!(TrustedProxies::parse("192.0.2.7,2001:db8::/32").is_some());
        for wrong in ["", "10.0.0.0/33", "proxy.example.com", "10.0.0.0/8,", "*"] {
            assert!(TrustedProxies::parse(wrong).is_none(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_header_of_a_client_yields_the_proxys_address_or_none(
            forged in "[ -~\t]{0,60}",
            shaped in "((for|by|proto|x)=(\"[ !#-~]{0,9}\"?|[a-z0-9.:\\[\\]]{0,12})[;, ]{0,2}){0,5}",
        ) {
            for lie in [forged, shaped] {
                for (name, added) in [("forwarded", "for=192.0.2.7"), ("x-forwarded-for", "192.0.2.7")] {
                    let one_line = [(name, &*format!("{lie}, {added}"))];
                    let found = client(PROXY, &one_line);
                    prop_assert!(found == "192.0.2.7" || found == PROXY, "{lie:?}: {found}");
                    let two_lines = [(name, lie.as_str()), (name, added)];
                    prop_assert_eq!(client(PROXY, &two_lines), "192.0.2.7");
                }
            }
        }

        #[test]
        fn any_bytes_are_parsed_or_ignored(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
            let proxies = TrustedProxies::parse("0.0.0.0/0").unwrap();
            for name in [FORWARDED, X_FORWARDED_FOR.clone()] {
                let headers = HeaderMap::from_iter([(name, value.clone())]);
                proxies.client_of(PROXY.parse().unwrap(), &headers);
            }
        }
    }
}
