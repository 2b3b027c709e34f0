//! Signed notes: text with signatures of named Ed25519 keys (C2SP `signed-note`).

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The type of an Ed25519 key (C2SP `signed-note`, "Signature types").
const ED25519_TYPE: u8 = 0x01;

/// The length of a key hash in bytes. One precedes each signature.
const KEY_HASH: usize = 4;

/// The beginning of every signature line: an em dash and a space.
const SIGNATURE: &str = "— ";

/// A public key for the verification of notes. Its text form is a "vkey": `<name>+<hash>+<base64>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

/// Why a key or a note is not valid. The error texts are for the person who supplied it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The text is not a vkey.
    #[error(
        "this is not a key: it should read <name>+<8 hexadecimal digits>+<base64>, as `authlog log key` prints it"
    )]
    MalformedKey,
    /// The text is not a signed note.
    #[error(
        "this is not a signed note: text, an empty line, and lines that begin with \u{2014} (C2SP signed-note)"
    )]
    MalformedNote,
    /// The note has no signature by the key with this name.
    #[error("no signature by the key {0} is on it")]
    Unsigned(String),
    /// The note has a signature under this name that the key did not make.
    #[error(
        "the signature under the name {0} is not that key's: it was forged, or the text was changed"
    )]
    BadSignature(String),
}

impl VerifierKey {
    /// Parses a vkey. White space around it is ignored.
    ///
    /// # Errors
    /// [`NoteError::MalformedKey`], also if the hash in the vkey does not match its name and key.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let parsed = || {
            // The name contains no plus sign, but base64 may.
            let (name, rest) = text.trim().split_once('+')?;
            let (hash, key) = rest.split_once('+')?;
            let key = STANDARD.decode(key).ok()?;
            let (kind, public) = key.split_first()?;
            let key = Self {
                name: is_name(name).then(|| name.to_owned())?,
                public: <[u8; 32]>::try_from(public).ok()?,
            };
            (*kind == ED25519_TYPE && key.hash_in_hex() == hash).then_some(key)
        };
        parsed().ok_or(NoteError::MalformedKey)
    }

    /// The name of the key, which is also the origin of its log.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn hash(&self) -> [u8; KEY_HASH] {
        let mut context = Context::new(&SHA256);
        context.update(self.name.as_bytes());
        context.update(&[b'\n', ED25519_TYPE]);
        context.update(&self.public);
        let digest = context.finish();
        let mut hash = [0; KEY_HASH];
        hash.copy_from_slice(&digest.as_ref()[..KEY_HASH]);
        hash
    }

    fn hash_in_hex(&self) -> String {
        hex::encode(self.hash())
    }

    /// The text of a note that this key signed. Signatures of other keys are ignored.
    ///
    /// # Errors
    /// The note is malformed, has no signature of this key, or has a wrong one.
    pub fn open<'a>(&self, note: &'a str) -> Result<&'a str, NoteError> {
        let (text, signatures) = split(note).ok_or(NoteError::MalformedNote)?;
        let mut signed = false;
        for line in signatures.lines() {
            let (name, signature) = signature(line).ok_or(NoteError::MalformedNote)?;
            let Some(signature) = signature
                .strip_prefix(&self.hash())
                .filter(|_| name == self.name)
            else {
                continue;
            };
            UnparsedPublicKey::new(&ED25519, &self.public)
                .verify(text.as_bytes(), signature)
                .map_err(|_| NoteError::BadSignature(self.name.clone()))?;
            signed = true;
        }
        if signed {
            Ok(text)
        } else {
            Err(NoteError::Unsigned(self.name.clone()))
        }
    }
}

impl std::fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = [&[ED25519_TYPE], self.public.as_slice()].concat();
        let (name, hash, key) = (&self.name, self.hash_in_hex(), STANDARD.encode(key));
        write!(f, "{name}+{hash}+{key}")
    }
}

/// A named key that signs notes. It has no `Debug`, because it is a secret.
pub struct NoteKey {
    pair: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl NoteKey {
    /// Length of a seed in bytes.
    pub const SEED: usize = 32;

    /// The key with this name and seed (RFC 8032 §5.1.5); `None` if the name is not allowed ([`is_name`]) or the seed does not
    /// have [`Self::SEED`] bytes.
    pub fn new(name: &str, seed: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let public = <[u8; 32]>::try_from(pair.public_key().as_ref()).ok()?;
        let name = is_name(name).then(|| name.to_owned())?;
        Some(Self {
            pair,
            verifier: VerifierKey { name, public },
        })
    }

    /// The public key.
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The signed note with this text, which has to end with a line feed. The same text gives the same note.
    pub fn sign(&self, text: &str) -> String {
        debug_assert!(text.ends_with('\n'));
        let signature = self.pair.sign(text.as_bytes());
        let signature = [&self.verifier.hash(), signature.as_ref()].concat();
        let (name, signature) = (&self.verifier.name, STANDARD.encode(signature));
        format!("{text}\n{SIGNATURE}{name} {signature}\n")
    }
}

/// Whether a key may have this name: not empty, without white space, control characters and plus signs.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

/// The text and the signature lines. The last empty line separates them, because the text may contain empty lines.
fn split(note: &str) -> Option<(&str, &str)> {
    let at = note.rfind("\n\n")?;
    let (text, signatures) = (&note[..=at], &note[at + 2..]);
    let control = |c: char| c.is_control() && c != '\n';
    let whole = !signatures.is_empty() && signatures.ends_with('\n') && !note.contains(control);
    whole.then_some((text, signatures))
}

/// The name and the signature in a signature line.
fn signature(line: &str) -> Option<(&str, Vec<u8>)> {
    let (name, signature) = line.strip_prefix(SIGNATURE)?.split_once(' ')?;
    let signature = STANDARD.decode(signature).ok()?;
    (is_name(name) && signature.len() > KEY_HASH).then_some((name, signature))
}

/// The notes in a file of concatenated notes, with or without empty lines between them.
pub fn notes_in(text: &str) -> Vec<String> {
    let mut notes = vec![];
    let mut note = String::new();
    let mut signed = false;
    for line in text.lines() {
        let is_signature = line.starts_with(SIGNATURE);
        if signed && !is_signature {
            notes.push(std::mem::take(&mut note));
        }
        signed = is_signature;
        if !note.is_empty() || !line.is_empty() {
            note.push_str(line);
            note.push('\n');
        }
    }
    if !note.is_empty() {
        notes.push(note);
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Go's `golang.org/x/mod/sumdb/note`, on which the C2SP format is based.
    const VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\
        \n\
        — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn key() -> NoteKey {
        NoteKey::new("example.com/log", &[7; 32]).unwrap()
    }

    #[test]
    fn a_note_of_the_reference_implementation_is_opened() {
        let key = VerifierKey::parse(VKEY).unwrap();
        assert_eq!(key.to_string(), VKEY);
        let text = key.open(NOTE).unwrap();
        assert!(text.starts_with("If you think") && text.ends_with("problem is.\n"));
    }

    #[test]
    fn a_note_opens_only_unchanged_and_with_its_key() {
        let note = key().sign("one\n\ntwo\n");
        assert_eq!(key().verifier().open(&note).unwrap(), "one\n\ntwo\n");
        let other = NoteKey::new("example.com/log", &[8; 32]).unwrap();
        assert!(matches!(
            other.verifier().open(&note),
            Err(NoteError::Unsigned(_))
        ));
        let other_name = NoteKey::new("example.org/log", &[7; 32]).unwrap();
        assert!(other_name.verifier().open(&note).is_err());
        for position in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[position] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else {
                continue;
            };
            assert!(key().verifier().open(&changed).is_err(), "byte {position}");
        }
    }

    #[test]
    fn signatures_of_other_keys_are_ignored() {
        let witness = NoteKey::new("witness.example", &[9; 32]).unwrap();
        let ours = key().sign("text\n");
        let (_, line) = witness
            .sign("text\n")
            .split_once("\n\n")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        let both = format!("{ours}{line}");
        assert_eq!(key().verifier().open(&both).unwrap(), "text\n");
        assert_eq!(witness.verifier().open(&both).unwrap(), "text\n");
    }

    #[test]
    fn malformed_keys_are_refused() {
        let changed = VKEY.replace("c74f", "c74e");
        let unnamed = VKEY.replace("PeterNeumann", "");
        for text in ["", "a+b", "a+b+c", &changed, &unnamed, &VKEY[..60]] {
            assert_eq!(
                VerifierKey::parse(text),
                Err(NoteError::MalformedKey),
                "{text}"
            );
        }
        assert!(NoteKey::new("with space", &[7; 32]).is_none());
        assert!(NoteKey::new("plus+plus", &[7; 32]).is_none());
    }

    #[test]
    fn a_file_of_notes_is_split_into_notes() {
        let (one, two) = (key().sign("one\n"), key().sign("two\n\nlines\n"));
        for file in [format!("{one}{two}"), format!("\n{one}\n\n{two}\n")] {
            assert_eq!(notes_in(&file), [one.clone(), two.clone()]);
        }
        assert!(notes_in("").is_empty());
        assert_eq!(notes_in("no note"), ["no note\n"]);
    }
}
