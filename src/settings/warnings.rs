//! Warnings about settings that are valid but most likely a mistake.

use super::{Settings, unknown_variables};

impl Settings {
    /// One sentence per warning, for the log.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = unknown_variables::warnings(std::env::vars_os());
        warnings.extend(self.unused_port(std::env::var("PORT").ok()));
        let (listen, public_url) = (self.http.listen, self.http.public_url.as_ref());
        if listen.ip().is_unspecified() && public_url.is_none() {
            warnings.push(format!(
                "AUTHLOG_LISTEN is {listen}, but AUTHLOG_PUBLIC_URL is not set: links in mails will lead nowhere, and cookies \
                 are not Secure"
            ));
        }
        let is_https = public_url.is_some_and(|url| url.scheme() == "https");
        if is_https && self.accounts.second_factor.is_empty() {
            warnings.push(
                "AUTHLOG_SECOND_FACTOR is not set: a password alone is enough to administer and to audit accounts. Let \
                 administrators and auditors enrol an authenticator app (docs/accounts.md), and then set \
                 AUTHLOG_SECOND_FACTOR=admin,auditor"
                    .to_owned(),
            );
        }
        let secret = self.tokens.jwt_secret.as_deref();
        if secret.is_some_and(|secret| secret.trim() != secret) {
            warnings.push(
                "AUTHLOG_JWT_SECRET begins or ends with a space or a line break, which is a part of the secret; clients \
                 that verify tokens need it as well"
                    .to_owned(),
            );
        }
        warnings
    }

    /// A warning if the platform seems to expect the service on another port. Platforms say so by `PORT`. The service does not
    /// follow it, because other software sets `PORT` for itself.
    pub(super) fn unused_port(&self, port: Option<String>) -> Option<String> {
        let port: u16 = port?.trim().parse().ok()?;
        let listen = self.http.listen;
        (!self.is_listen_set && port != listen.port()).then(|| {
            format!(
                "PORT is {port}, but AUTHLOG_LISTEN is not set and the service listens on {listen}: set AUTHLOG_LISTEN=0.0.0.0:{port} if \
                 your platform expects it there"
            )
        })
    }
}
