//! What goes wrong with NATS, told apart by who can mend it.

/// What keeps the publisher from publishing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// Something does not answer; it may be back in a moment.
    #[error("{0}")]
    Away(String),
    /// Going on would make a hole or a lie. An operator has to decide.
    #[error("{0}")]
    Refused(String),
}

impl Trouble {
    pub(super) fn away(error: impl std::error::Error) -> Self {
        let mut words = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_words = cause.to_string();
            // Errors of async-nats say their source themselves.
            if !words.contains(&cause_words) {
                words = format!("{words}: {cause_words}");
            }
            source = cause.source();
        }
        Self::Away(words)
    }
}
