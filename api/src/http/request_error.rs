//! Errors of HTTP itself, before a use case is called or while its response is awaited.

use axum::http::StatusCode;

/// Why a request failed outside of a use case. Each surface reports it in its own format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestError {
    /// No route has this path.
    UnknownPath,
    /// The route does not have this method.
    WrongMethod,
    /// The body is not valid in its media type, or does not have the expected shape.
    UnreadableBody,
    /// The body is longer than the limit.
    BodyTooLarge,
    /// The body has another media type, or `Content-Type` is missing.
    WrongMediaType,
    /// The body has a content coding.
    EncodedBody,
    /// The body did not arrive in time.
    BodyTooSlow,
    /// Too much is buffered or under way for this client, or for all clients together.
    LimitExceeded,
    /// The response was not ready in time.
    TimedOut,
    /// The handler panicked.
    Panicked,
}

impl RequestError {
    #[cfg(test)]
    pub const ALL: [Self; 10] = [
        Self::UnknownPath,
        Self::WrongMethod,
        Self::UnreadableBody,
        Self::BodyTooLarge,
        Self::WrongMediaType,
        Self::EncodedBody,
        Self::BodyTooSlow,
        Self::LimitExceeded,
        Self::TimedOut,
        Self::Panicked,
    ];

    /// The status code of the response.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnreadableBody => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::WrongMediaType | Self::EncodedBody => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::LimitExceeded | Self::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}
