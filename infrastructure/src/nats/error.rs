//! Errors of publishing, by whether a retry or an operator can end them.

/// Why events cannot be published.
#[derive(Debug, thiserror::Error)]
pub(super) enum NatsError {
    /// NATS or the store does not answer. A retry may succeed.
    #[error("{0}")]
    Unavailable(String),
    /// The next message would leave a gap or contradict the log. An operator has to decide.
    #[error("{0}")]
    Blocked(String),
}

impl NatsError {
    /// [`Self::Unavailable`], with the texts of the error and its sources.
    pub(super) fn unavailable(error: impl std::error::Error) -> Self {
        let mut words = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_words = cause.to_string();
            // Errors of async-nats already include the text of their source.
            if !words.contains(&cause_words) {
                words = format!("{words}: {cause_words}");
            }
            source = cause.source();
        }
        Self::Unavailable(words)
    }
}
