//! Maps in CBOR (RFC 8949) of a bounded size. Authenticators write them in the canonical form of CTAP2, with definite lengths.

use minicbor::data::Type;
use minicbor::decode::Decoder;

/// The largest number of entries of a map that is read.
const MAX_ENTRIES: u64 = 16;

/// How deeply maps and arrays can be nested in a value that is skipped. An attestation statement has two levels.
const MAX_DEPTH: u8 = 8;

/// Reads the entries of one map. `None` is an error, after which the reader is of no use.
pub(super) struct MapReader<'b> {
    decoder: Decoder<'b>,
    entries: u64,
}

impl<'b> MapReader<'b> {
    /// A reader of the map with which `bytes` begin.
    pub(super) fn begin(bytes: &'b [u8]) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        let entries = decoder.map().ok().flatten()?;
        (entries <= MAX_ENTRIES).then_some(Self { decoder, entries })
    }

    fn has_next(&mut self) -> bool {
        let has_next = self.entries > 0;
        self.entries = self.entries.saturating_sub(1);
        has_next
    }

    /// The key of the next entry, a text; the inner `None` after the last entry.
    #[expect(clippy::option_option, reason = "the outer one is an error")]
    pub(super) fn next_text_key(&mut self) -> Option<Option<&'b str>> {
        if self.has_next() {
            self.text().map(Some)
        } else {
            Some(None)
        }
    }

    /// The key of the next entry, an integer; the inner `None` after the last entry.
    #[expect(clippy::option_option, reason = "the outer one is an error")]
    pub(super) fn next_integer_key(&mut self) -> Option<Option<i64>> {
        if self.has_next() {
            self.integer().map(Some)
        } else {
            Some(None)
        }
    }

    pub(super) fn text(&mut self) -> Option<&'b str> {
        self.decoder.str().ok()
    }

    pub(super) fn bytes(&mut self) -> Option<&'b [u8]> {
        self.decoder.bytes().ok()
    }

    pub(super) fn integer(&mut self) -> Option<i64> {
        self.decoder.i64().ok()
    }

    /// Skips a value that is a map.
    pub(super) fn skip_map(&mut self) -> Option<()> {
        matches!(self.decoder.datatype(), Ok(Type::Map)).then_some(())?;
        skip(&mut self.decoder, MAX_DEPTH)
    }

    /// Whether no byte follows.
    pub(super) fn is_at_end(&self) -> bool {
        self.position() == self.decoder.input().len()
    }

    /// How many bytes were read.
    pub(super) fn position(&self) -> usize {
        self.decoder.position()
    }
}

/// The length of the map with which `bytes` begin. Its values are not looked at.
pub(super) fn length_of_map(bytes: &[u8]) -> Option<usize> {
    let mut decoder = Decoder::new(bytes);
    matches!(decoder.datatype(), Ok(Type::Map)).then_some(())?;
    skip(&mut decoder, MAX_DEPTH)?;
    Some(decoder.position())
}

/// Skips one value. Every item takes a byte, so the number of steps is bounded by the length.
fn skip(decoder: &mut Decoder<'_>, depth: u8) -> Option<()> {
    let items = match decoder.datatype().ok()? {
        Type::Array => decoder.array().ok().flatten()?,
        Type::Map => decoder.map().ok().flatten()?.checked_mul(2)?,
        Type::Bytes | Type::String | Type::Bool | Type::Null => return decoder.skip().ok(),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => return decoder.skip().ok(),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => return decoder.skip().ok(),
        _ => return None,
    };
    let depth = depth.checked_sub(1)?;
    for _ in 0..items {
        skip(decoder, depth)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_skipped_to_its_end_unless_it_is_too_deep_or_of_indefinite_length() {
        let statement = [0xa1, 0x61, b'x', 0x82, 0x41, 7, 0x20];
        assert_eq!(length_of_map(&statement), Some(statement.len()));
        assert_eq!(length_of_map(&[&statement[..], &[1, 2]].concat()), Some(7));
        assert_eq!(length_of_map(&statement[..6]), None);
        let nested = |depth| [&[0xa1, 0x00][..], &vec![0x81; depth], &[0x00]].concat();
        assert_eq!(length_of_map(&nested(7)), Some(10));
        assert_eq!(length_of_map(&nested(8)), None);
        assert_eq!(length_of_map(&nested(60_000)), None);
        for endless in [
            &[0xbf, 0xff][..],
            &[0xa1, 0x00, 0x9f, 0xff],
            &[0xa1, 0x00, 0x5f, 0xff],
            &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(length_of_map(endless), None, "{endless:x?}");
        }
    }
}
