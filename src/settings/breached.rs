//! The setting of the list of breached passwords.

use std::path::PathBuf;

use url::Url;

/// Where breached passwords are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BreachedPasswordList {
    /// A file that `authlog breached import` made.
    File(PathBuf),
    /// A range service.
    Service(Url),
}

impl BreachedPasswordList {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.starts_with("http://") || text.starts_with("https://") {
            return Url::parse(text).ok().map(Self::Service);
        }
        (!text.is_empty()).then(|| Self::File(PathBuf::from(text)))
    }
}
