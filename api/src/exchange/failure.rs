//! Why a request did not get as far as a use case, or its answer not as far as the client.

use axum::http::StatusCode;

/// Why HTTP itself gets in the way. Each surface says it in its own form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing is there.
    UnknownPath,
    /// Something is there, for other methods.
    WrongMethod,
    /// The body is not what its media type says, or not what is asked for.
    UnreadableBody,
    /// The body is longer than anything that would be asked for.
    BodyTooLarge,
    /// The body is of another media type, or does not say of which.
    WrongMediaType,
    /// The body is compressed, or encoded in another way.
    EncodedBody,
    /// The body took too long to arrive.
    BodyTooSlow,
    /// Too much is buffered or under way for this client, or for all of them together.
    Crowded,
    /// The answer was not ready in time.
    Unfinished,
    /// We made a mistake.
    Broken,
}

impl Failure {
    #[cfg(test)]
    pub const ALL: [Self; 10] = [
        Self::UnknownPath,
        Self::WrongMethod,
        Self::UnreadableBody,
        Self::BodyTooLarge,
        Self::WrongMediaType,
        Self::EncodedBody,
        Self::BodyTooSlow,
        Self::Crowded,
        Self::Unfinished,
        Self::Broken,
    ];

    /// The status with which it is answered.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnreadableBody => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::WrongMediaType | Self::EncodedBody => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Crowded | Self::Unfinished => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}
