//! The syntax of the parts of an address, and their canonical form.

use std::borrow::Cow;

use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use unicase::UniCase;
use unicode_normalization::UnicodeNormalization as _;

use super::Flaw;

/// The longest local part, in octets (RFC 5321 §4.5.3.1.1).
pub(super) const LONGEST_LOCAL_PART: usize = 64;

/// The longest label of a domain, in octets (RFC 1035 §2.3.4).
const LONGEST_LABEL: usize = 63;

/// The longest domain, in octets: 255 on the wire, which are 253 letters and dots (RFC 1035 §2.3.4).
const LONGEST_DOMAIN: usize = 253;

/// Whether a local part is a Dot-string (RFC 5321 §4.1.2, RFC 6531 §3.3).
pub(super) fn is_dot_atom(text: &str) -> bool {
    text.split('.')
        .all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// Whether a character may be in an atom (RFC 5322 §3.2.3). RFC 6531 adds all of Unicode beyond ASCII. Invisible characters are
/// excluded, except for the joiners without which some languages cannot be written (RFC 5892 A.1, A.2).
fn is_atext(letter: char) -> bool {
    use GeneralCategory as Category;
    if letter.is_ascii() {
        return letter.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(letter);
    }
    matches!(letter, '\u{200c}' | '\u{200d}')
        || !matches!(
            CodePointMapData::<Category>::new().get(letter),
            Category::Control
                | Category::Format
                | Category::LineSeparator
                | Category::ParagraphSeparator
                | Category::PrivateUse
                | Category::SpaceSeparator
                | Category::Surrogate
                | Category::Unassigned
        )
}

/// The domain as A-labels (UTS 46, non-transitional). `None` if it is not a host name.
pub(super) fn a_labels(domain: &str) -> Option<String> {
    Uts46::new()
        .to_ascii(
            domain.as_bytes(),
            AsciiDenyList::STD3,
            Hyphens::CheckFirstLast,
            DnsLength::Ignore,
        )
        .ok()
        .map(Cow::into_owned)
}

/// Checks the labels of a domain that [`a_labels`] has returned.
pub(super) fn check_labels(domain: &str, too_long: Flaw) -> Result<(), Flaw> {
    if !domain.contains('.') || domain.split('.').any(str::is_empty) {
        return Err(Flaw::Malformed);
    }
    let is_long = |label: &str| label.len() > LONGEST_LABEL;
    if domain.len() > LONGEST_DOMAIN || domain.split('.').any(is_long) {
        return Err(too_long);
    }
    Ok(())
}

/// The form that all spellings of one mailbox share.
pub(super) fn comparable(local: &str, domain: &str) -> String {
    let domain = a_labels(domain).unwrap_or_else(|| folded(domain));
    format!("{}@{domain}", folded(&unquoted(local)))
}

/// The text with its letter case folded and its accents composed, so that canonical caseless matches (Unicode D145) are
/// equal.
pub(super) fn folded(text: &str) -> String {
    let decomposed: String = text.nfd().collect();
    let folded = UniCase::unicode(decomposed).to_folded_case();
    folded.nfc().collect()
}

/// A quoted local part without its quotation marks if they are unnecessary, otherwise with the quoted pairs that are
/// necessary (RFC 5321 §4.1.2).
fn unquoted(local: &str) -> Cow<'_, str> {
    let inner = local.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    let Some(inner) = inner else {
        return Cow::Borrowed(local);
    };
    let mut content = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        let quoted = if letter == '\\' { letters.next() } else { None };
        content.push(quoted.unwrap_or(letter));
    }
    if is_dot_atom(&content) {
        return Cow::Owned(content);
    }
    let escaped = content.replace('\\', "\\\\").replace('"', "\\\"");
    Cow::Owned(format!("\"{escaped}\""))
}
