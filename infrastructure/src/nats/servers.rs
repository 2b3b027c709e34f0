//! The NATS servers of one cluster, as a setting names them.

use async_nats::{ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;
use url::Url;

/// The servers of one cluster. All of them get the same credentials.
#[derive(Clone)]
pub struct NatsServers {
    addresses: Vec<Url>,
    credentials: Credentials,
}

/// How to authenticate. It has no `Debug`, because it holds secrets.
#[derive(Clone, PartialEq, Eq)]
enum Credentials {
    None,
    Token(String),
    User(String, String),
}

impl NatsServers {
    /// Parses a comma-separated list of URLs. All but the first may be only a host and a port: `nats://a:4222,nats://b:4222`
    /// and `nats://user:password@a:4222,b:4222`. `None` if one of them is not valid, or if they name different users.
    pub fn parse(text: &str) -> Option<Self> {
        let mut addresses: Vec<Url> = vec![];
        let mut credentials = Credentials::None;
        for part in text.split(',').map(str::trim) {
            let url = match addresses.first() {
                Some(first) if !part.contains("://") => format!("{}://{part}", first.scheme()),
                _ => part.to_owned(),
            };
            let mut url = Url::parse(&url).ok()?;
            if !matches!(url.scheme(), "nats" | "tls") || !url.has_host() {
                return None;
            }
            match (credentials_of(&url), &credentials) {
                (Credentials::None, _) => {}
                (given, Credentials::None) => credentials = given,
                (given, known) if given == *known => {}
                _ => return None,
            }
            // These calls fail only for URLs that cannot contain a user.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            addresses.push(url);
        }
        Some(Self {
            addresses,
            credentials,
        })
    }

    /// Whether their URLs hold a user and a password, or a token.
    pub fn have_credentials(&self) -> bool {
        self.credentials != Credentials::None
    }

    /// The number of servers.
    pub(super) const fn count(&self) -> usize {
        self.addresses.len()
    }

    /// The addresses without credentials, and options with the credentials. async-nats ignores the user in a URL.
    pub(super) fn options(&self) -> (Vec<ServerAddr>, ConnectOptions) {
        let options = match self.credentials.clone() {
            Credentials::None => ConnectOptions::new(),
            Credentials::Token(token) => ConnectOptions::with_token(token),
            Credentials::User(user, password) => {
                ConnectOptions::with_user_and_password(user, password)
            }
        };
        let addresses = self.addresses.iter().cloned();
        let addresses = addresses.filter_map(|url| ServerAddr::from_url(url).ok());
        (addresses.collect(), options)
    }
}

fn credentials_of(url: &Url) -> Credentials {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let user = decoded(url.username());
    match url.password() {
        Some(password) => Credentials::User(user, decoded(password)),
        None if user.is_empty() => Credentials::None,
        // Other NATS clients treat it as a token as well.
        None => Credentials::Token(user),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<String> {
        let servers = NatsServers::parse(text).unwrap();
        let urls = servers.addresses.iter();
        urls.map(|url| url.as_str().to_owned()).collect()
    }

    #[test]
    fn an_address_contains_no_credentials() {
        for given in [
            "nats://user:p%40ss@nats.example.com:4222",
            "nats://token@nats.example.com:4222",
            "nats://nats.example.com:4222",
        ] {
            assert_eq!(
                addresses(given),
                ["nats://nats.example.com:4222"],
                "{given}"
            );
        }
        let servers = NatsServers::parse("nats://user:p%40ss@a").unwrap();
        let given = Credentials::User("user".to_owned(), "p@ss".to_owned());
        assert!(servers.credentials == given);
    }

    #[test]
    fn several_servers_are_read_with_and_without_a_scheme() {
        let both = ["tls://a:4222", "tls://b:4333"];
        assert_eq!(addresses("tls://a:4222,tls://b:4333"), both);
        assert_eq!(addresses("tls://a:4222, b:4333"), both);
        assert_eq!(addresses("tls://user:pass@a:4222,b:4333"), both);
        assert_eq!(addresses("tls://user:pass@a:4222,user:pass@b:4333"), both);
        assert_eq!(addresses("nats://[::1]:1,[::2]:2").len(), 2);
    }

    #[test]
    fn a_malformed_list_of_servers_is_refused() {
        for text in [
            "",
            "a:4222",
            "nats://",
            "nats://a,",
            "nats://a:4222,http://b",
            "nats://one:pass@a,two:pass@b",
        ] {
            assert!(NatsServers::parse(text).is_none(), "{text}");
        }
    }
}
