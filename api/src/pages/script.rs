//! The script of the pages that use passkeys.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};

use super::html::Escaped;

const SCRIPT: &str = include_str!("passkey.js");

/// The SHA-256 digest of the script, by which the Content Security Policy allows it, and no other one of the host (CSP Level 3
/// §8.4). The test below prints the right one.
pub(super) const DIGEST: &str = "sha256-i6bHp6SO6zx0FSia/5VXCYRjii9K2ywcvug0IhzOxIQ=";

/// The path of the script. It has the first digits of the digest, so that browsers can keep what they find there.
pub(super) const PATH: &str = "/passkey-8ba6c7a7a48eeb3c.js";

/// Serves the script.
pub(super) async fn show() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, SCRIPT).into_response()
}

/// The element that loads the script. `base` is the path of the public URL.
pub(super) fn element(base: Escaped<'_>) -> String {
    format!(r#"<script type="module" src="{base}{PATH}" integrity="{DIGEST}"></script>"#)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn the_digest_is_that_of_the_script_and_its_path_names_the_version() {
        let digest = Sha256::digest(SCRIPT);
        assert_eq!(DIGEST, format!("sha256-{}", STANDARD.encode(digest)));
        let version: String = digest[..8].iter().map(|it| format!("{it:02x}")).collect();
        assert_eq!(PATH, format!("/passkey-{version}.js"));
    }
}
