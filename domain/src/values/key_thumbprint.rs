//! The thumbprint of a public key, by which tokens are bound to the key (RFC 7638, RFC 9449 section 6).

use serde::{Deserialize, Deserializer, Serialize};

use super::{Flaw, public_text_value};

/// The SHA-256 thumbprint of a JSON Web Key, in base64url without padding: `jkt`. A key has one thumbprint, however it is
/// written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct KeyThumbprint(String);
public_text_value!(KeyThumbprint);

/// 256 bits in base64url.
const LENGTH: usize = 43;

/// The last character holds four bits of the digest. The other two are zero.
const LAST: &str = "AEIMQUYcgkosw048";

impl KeyThumbprint {
    /// Parses a thumbprint.
    ///
    /// # Errors
    /// [`Flaw::Malformed`] unless the text is a digest of 256 bits in base64url.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_digest =
            text.len() == LENGTH && text.bytes().all(is_base64url) && text.ends_with(is_last);
        is_digest
            .then(|| Self(text.to_owned()))
            .ok_or(Flaw::Malformed)
    }
}

fn is_last(letter: char) -> bool {
    LAST.contains(letter)
}

impl<'de> Deserialize<'de> for KeyThumbprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 9449 section 6.1.
    const EXAMPLE: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

    #[test]
    fn a_thumbprint_is_a_digest_in_base64url() {
        assert_eq!(KeyThumbprint::parse(EXAMPLE).unwrap().as_str(), EXAMPLE);
        for wrong in [
            "",
            &EXAMPLE[1..],
            &format!("{EXAMPLE}A"),
            &format!("{EXAMPLE}="),
            &EXAMPLE.replace('-', "+"),
            &EXAMPLE.replace('-', "/"),
            &EXAMPLE.replace('-', " "),
            // A character of two bytes.
            &format!("{}\u{e4}", &EXAMPLE[..41]),
            // Another spelling of the same digest.
            &format!("{}J", &EXAMPLE[..42]),
        ] {
            assert_eq!(KeyThumbprint::parse(wrong), Err(Flaw::Malformed), "{wrong}");
        }
        let stored = serde_json::to_value(KeyThumbprint::parse(EXAMPLE).unwrap()).unwrap();
        assert_eq!(stored, EXAMPLE);
        assert!(serde_json::from_str::<KeyThumbprint>("\"x\"").is_err());
    }
}
