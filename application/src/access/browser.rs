//! Authentication of browsers, by the cookie of the hosted pages.

use std::sync::Arc;

use authlog_domain::user::ProvedEpoch;

use super::Caller;
use super::proof::epoch_of;
use crate::ports::{Account, BrowserSecret, SecretTokens};
use crate::{Authlog, Refusal};

/// Proof that a request came with the cookie of a live browser session.
pub struct BrowserSession {
    caller: Caller,
    account: Account,
    secret: BrowserSecret,
    secrets: Arc<dyn SecretTokens>,
}

impl BrowserSession {
    /// The person, as the use cases about one's own account take them.
    pub fn caller(&self) -> Caller {
        self.caller
    }

    /// The account, as it was read with the session.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The account's session epoch, as it was read with the session.
    pub(crate) fn epoch(&self) -> ProvedEpoch {
        epoch_of(&self.account)
    }

    /// A text for the forms of this session. A page of another site cannot read it, so a form with it was sent by a page of
    /// this service.
    pub fn form_token(&self) -> String {
        self.secrets.form_token(&self.secret)
    }

    /// Whether a form with this text was made for this session.
    pub fn has_made(&self, form_token: &str) -> bool {
        self.secrets.is_form_token(&self.secret, form_token)
    }
}

impl Authlog {
    /// The browser session of the first of these cookies whose session is live. Looking it up writes nothing.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn browser_session(
        &self,
        cookies: &[&str],
    ) -> Result<Option<BrowserSession>, Refusal> {
        let now = self.parts.clock.now();
        for secret in cookies.iter().filter_map(|text| BrowserSecret::parse(text)) {
            let digest = self.parts.secrets.browser_digest(&secret);
            let directory = &self.parts.directory;
            let standing = directory.session_by_opaque_token(&digest, now).await?;
            let live = standing.filter(|standing| standing.is_live(now));
            if let Some(standing) = live {
                return Ok(Some(BrowserSession {
                    caller: Caller::in_session(&standing),
                    account: standing.account,
                    secret,
                    secrets: Arc::clone(&self.parts.secrets),
                }));
            }
        }
        Ok(None)
    }
}
