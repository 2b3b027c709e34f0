//! How to connect to NATS: servers, credentials, trusted authorities and JetStream API.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::jetstream::{Context, ContextBuilder};
use async_nats::rustls::pki_types::pem::PemObject as _;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use async_nats::{Client, ConnectOptions, ServerAddr};
use nkeys::{KeyPair, KeyPairType};

use super::servers::NatsServers;

/// The default prefix of the JetStream API.
const API_PREFIX: &str = "$JS.API";

/// The setting that names the key of the client certificate.
const CLIENT_KEY_SETTING: &str = "AUTHLOG_NATS_CLIENT_KEY_FILE";

/// How to connect to NATS. Files are read for every connection, so that renewed credentials need no restart.
#[derive(Clone)]
pub struct NatsAccess {
    /// The servers of one cluster.
    pub servers: NatsServers,
    /// The credentials, if the servers' URLs contain none.
    pub identity: Option<NatsIdentity>,
    /// The client certificate, if the server asks for one.
    pub client_certificate: Option<ClientCertificate>,
    /// PEM file with the authorities that may sign the server's certificate, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The first tokens of the subjects for replies, instead of `_INBOX`.
    pub inbox_prefix: Option<String>,
    /// The prefix of the JetStream API, instead of `$JS.API`.
    pub api_prefix: Option<String>,
}

/// Credentials in a file.
#[derive(Clone)]
pub enum NatsIdentity {
    /// A file with the seed of a user nkey.
    NkeyFile(PathBuf),
    /// A file with a user JWT and the seed of its nkey (`.creds`).
    CredentialsFile(PathBuf),
}

/// A client certificate and its private key, each in a PEM file.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The certificate and its chain.
    pub certificate_file: PathBuf,
    /// The private key.
    pub key_file: PathBuf,
}

/// Why a file that a setting names cannot be used. The text never contains the file's content.
#[derive(Debug, thiserror::Error)]
pub enum NatsAccessError {
    /// The file cannot be read.
    #[error("{setting}: the file {} cannot be read", .file.display())]
    Unreadable {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{setting}: the file {} holds no {wanted}", .file.display())]
    Unusable {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        file: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
}

impl From<NatsServers> for NatsAccess {
    fn from(servers: NatsServers) -> Self {
        Self {
            servers,
            identity: None,
            client_certificate: None,
            ca_file: None,
            inbox_prefix: None,
            api_prefix: None,
        }
    }
}

impl NatsAccess {
    /// Reads every file once, to check them.
    ///
    /// # Errors
    /// A file cannot be read, or has the wrong content.
    pub fn check(&self) -> Result<(), NatsAccessError> {
        self.options().map(|_| ())
    }

    /// A connection for a few requests. async-nats reconnects if it breaks.
    pub(super) async fn connect(&self) -> Result<Client, NatsConnectError> {
        let (addresses, options) = self.options_for_connection().await?;
        Ok(options.name("authlog").connect(addresses).await?)
    }

    /// JetStream over this connection. Every answer has to arrive within `timeout`.
    pub(super) fn jetstream(&self, client: Client, timeout: Duration) -> Context {
        ContextBuilder::new()
            .api_prefix(self.api_prefix.as_deref().unwrap_or(API_PREFIX))
            .timeout(timeout)
            .ack_timeout(timeout)
            .build(client)
    }

    /// [`Self::options`] on a thread for blocking work, because it reads files.
    pub(super) async fn options_for_connection(
        &self,
    ) -> Result<(Vec<ServerAddr>, ConnectOptions), NatsConnectError> {
        let access = self.clone();
        let read = tokio::task::spawn_blocking(move || access.options()).await;
        Ok(read.map_err(io::Error::from)??)
    }

    /// The addresses of the servers, and the options of the connection.
    fn options(&self) -> Result<(Vec<ServerAddr>, ConnectOptions), NatsAccessError> {
        let (addresses, mut options) = self.servers.options();
        match &self.identity {
            Some(NatsIdentity::NkeyFile(file)) => options = options.nkey(seed(file)?),
            Some(NatsIdentity::CredentialsFile(file)) => {
                const SETTING: &str = "AUTHLOG_NATS_CREDENTIALS_FILE";
                let text = read(SETTING, file)?;
                options = options.credentials(&text).map_err(|_| {
                    let wanted = "user JWT with the seed of its nkey";
                    unusable(SETTING, file, wanted)
                })?;
            }
            None => {}
        }
        if let Some(file) = &self.ca_file {
            require_certificates("AUTHLOG_NATS_CA_FILE", file)?;
            options = options
                .add_root_certificates(file.clone())
                .require_tls(true);
        }
        if let Some(client) = &self.client_certificate {
            let (certificate, key) = (&client.certificate_file, &client.key_file);
            require_certificates("AUTHLOG_NATS_CLIENT_CERTIFICATE_FILE", certificate)?;
            let pem = read(CLIENT_KEY_SETTING, key)?;
            PrivateKeyDer::from_pem_slice(pem.as_bytes())
                .map_err(|_| unusable(CLIENT_KEY_SETTING, key, "private key in PEM"))?;
            options = options
                .add_client_certificate(certificate.clone(), key.clone())
                .require_tls(true);
        }
        if let Some(prefix) = &self.inbox_prefix {
            options = options.custom_inbox_prefix(prefix);
        }
        Ok((addresses, options))
    }
}

/// Why a connection cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum NatsConnectError {
    #[error(transparent)]
    Access(#[from] NatsAccessError),
    #[error(transparent)]
    Connect(#[from] async_nats::ConnectError),
    #[error("files cannot be read now")]
    Task(#[from] io::Error),
}

/// The seed of a user nkey in a file, alone or between the marker lines that tools write.
fn seed(file: &Path) -> Result<String, NatsAccessError> {
    const SETTING: &str = "AUTHLOG_NATS_NKEY_FILE";
    let text = read(SETTING, file)?;
    let is_seed = |line: &&str| {
        let pair = KeyPair::from_seed(line);
        pair.is_ok_and(|pair| pair.key_pair_type() == KeyPairType::User)
    };
    let seed = text.lines().map(str::trim).find(is_seed);
    let wanted = "seed of a user's nkey, which begins with SU";
    let seed = seed.ok_or_else(|| unusable(SETTING, file, wanted))?;
    Ok(seed.to_owned())
}

fn require_certificates(setting: &'static str, file: &Path) -> Result<(), NatsAccessError> {
    let pem = read(setting, file)?;
    let mut certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
    match certificates.next() {
        Some(Ok(_)) => Ok(()),
        _ => Err(unusable(setting, file, "certificate in PEM")),
    }
}

fn read(setting: &'static str, file: &Path) -> Result<String, NatsAccessError> {
    std::fs::read_to_string(file).map_err(|source| NatsAccessError::Unreadable {
        setting,
        file: file.to_owned(),
        source,
    })
}

fn unusable(setting: &'static str, file: &Path, wanted: &'static str) -> NatsAccessError {
    NatsAccessError::Unusable {
        setting,
        file: file.to_owned(),
        wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(identity: NatsIdentity) -> NatsAccess {
        NatsAccess {
            identity: Some(identity),
            ..NatsServers::parse("nats://a").unwrap().into()
        }
    }

    #[test]
    fn a_seed_is_found_with_and_without_marker_lines() {
        let seed_of_user = KeyPair::new_user().seed().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("seed");
        for text in [
            format!("{seed_of_user}\n"),
            format!(
                "-----BEGIN USER NKEY SEED-----\n{seed_of_user}\n------END USER NKEY SEED------\n"
            ),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(seed(&file).unwrap(), seed_of_user);
        }
    }

    #[test]
    fn an_error_names_the_setting_and_the_file_but_not_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let account = KeyPair::new_account().seed().unwrap();
        std::fs::write(&file, &account).unwrap();
        let certificate = ClientCertificate {
            certificate_file: file.clone(),
            key_file: file.clone(),
        };
        let plain = NatsAccess::from(NatsServers::parse("nats://a").unwrap());
        let with_certificate = NatsAccess {
            client_certificate: Some(certificate),
            ..plain.clone()
        };
        let with_authorities = NatsAccess {
            ca_file: Some(file.clone()),
            ..plain
        };
        for (access, setting) in [
            (
                access(NatsIdentity::NkeyFile(file.clone())),
                "AUTHLOG_NATS_NKEY_FILE",
            ),
            (
                access(NatsIdentity::CredentialsFile(file)),
                "AUTHLOG_NATS_CREDENTIALS_FILE",
            ),
            (with_certificate, "AUTHLOG_NATS_CLIENT_CERTIFICATE_FILE"),
            (with_authorities, "AUTHLOG_NATS_CA_FILE"),
        ] {
            let error = access.check().unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.starts_with(setting), "{text}");
            assert!(text.contains("secret"), "the file is not named: {text}");
            assert!(!text.contains(&account), "{text}");
        }
        let away = access(NatsIdentity::NkeyFile(folder.path().join("none")));
        let error = away.check().unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }
}
