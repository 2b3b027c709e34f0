//! Maps in CBOR (RFC 8949) of a bounded size. Authenticators write them in the canonical form of CTAP2: heads are as short as
//! possible, lengths are definite, and no key is repeated. The order of keys is not checked, because some writers differ there.

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

    /// Skips a value that is a map, and tells whether it is empty.
    pub(super) fn skip_map(&mut self) -> Option<bool> {
        matches!(self.decoder.datatype(), Ok(Type::Map)).then_some(())?;
        let begin = self.position();
        skip(&mut self.decoder, MAX_DEPTH)?;
        Some(self.position() == begin + 1)
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
    has_shortest_head(decoder).then_some(())?;
    match decoder.datatype().ok()? {
        Type::Array => {
            let depth = depth.checked_sub(1)?;
            for _ in 0..decoder.array().ok().flatten()? {
                skip(decoder, depth)?;
            }
            Some(())
        }
        Type::Map => skip_entries(decoder, depth.checked_sub(1)?),
        Type::Bytes | Type::String | Type::Bool | Type::Null => decoder.skip().ok(),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => decoder.skip().ok(),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => decoder.skip().ok(),
        _ => None,
    }
}

/// Skips a map. Its keys are different texts and integers.
fn skip_entries(decoder: &mut Decoder<'_>, depth: u8) -> Option<()> {
    let entries = decoder.map().ok().flatten()?;
    let mut keys = Vec::new();
    for _ in 0..entries {
        let begin = decoder.position();
        match decoder.datatype().ok()? {
            Type::Array | Type::Map | Type::Bytes => return None,
            _ => skip(decoder, 0)?,
        }
        keys.push(decoder.input().get(begin..decoder.position())?);
        skip(decoder, depth)?;
    }
    keys.sort_unstable();
    let is_repeated = keys.windows(2).any(|pair| pair[0] == pair[1]);
    (!is_repeated).then_some(())
}

/// Whether the number in the head of the next item is written with as few bytes as possible (RFC 8949 §4.2.1).
fn has_shortest_head(decoder: &Decoder<'_>) -> bool {
    let rest = decoder.input().get(decoder.position()..);
    let Some([first, number @ ..]) = rest else {
        return false;
    };
    let is_at_least = |length: usize, least: u64| {
        let bytes = number.get(..length).into_iter().flatten();
        let value = bytes.fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        value >= least
    };
    match first & 0x1f {
        24 => is_at_least(1, 24),
        25 => is_at_least(2, 1 << 8),
        26 => is_at_least(4, 1 << 16),
        27 => is_at_least(8, 1 << 32),
        _ => true,
    }
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

    #[test]
    fn a_value_that_is_not_canonical_is_not_skipped() {
        for canonical in [
            &[0xa1, 0x18, 24, 0x19, 1, 0][..],
            &[0xa1, 0x20, 0x1b, 0, 0, 0, 1, 0, 0, 0, 0],
            &[0xa2, 0x61, b'b', 0xf5, 0x61, b'a', 0xf6],
            &[0xa2, 0x01, 0x02, 0x61, 0x01, 0x02],
        ] {
            assert_eq!(length_of_map(canonical), Some(canonical.len()));
        }
        for (flaw, bytes) in [
            ("a long head of the map", &[0xb8, 1, 0x00, 0x00][..]),
            ("a long key", &[0xa1, 0x18, 23, 0x00]),
            ("a long integer", &[0xa1, 0x00, 0x19, 0, 0xff]),
            ("a longer integer", &[0xa1, 0x00, 0x1a, 0, 0, 0xff, 0xff]),
            (
                "the longest integer",
                &[0xa1, 0x00, 0x3b, 0, 0, 0, 0, 1, 1, 1, 1],
            ),
            ("a long length", &[0xa1, 0x00, 0x58, 1, 0xff]),
            ("a key twice", &[0xa3, 0x01, 0x00, 0x02, 0x00, 0x01, 0x01]),
            ("a text twice", &[0xa2, 0x61, b'a', 0x00, 0x61, b'a', 0x00]),
            (
                "a key twice within",
                &[0xa1, 0x00, 0x81, 0xa2, 0x01, 0x00, 0x01, 0x00],
            ),
            ("a list as a key", &[0xa1, 0x80, 0x00]),
            ("a map as a key", &[0xa1, 0xa0, 0x00]),
            ("bytes as a key", &[0xa1, 0x41, 0x00, 0x00]),
        ] {
            assert_eq!(length_of_map(bytes), None, "{flaw}");
        }
    }
}
