//! Instants as PostgreSQL stores them, including those out of range.
//!
//! `infinity` and years beyond 9999 are values of `timestamptz`. The decoder of sqlx panics at them.

use authlog_application::ports::StoreError;
use authlog_domain::Timestamp;
use serde::{Serialize, Serializer};
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueFormat, PgValueRef, Postgres};
use sqlx::{Decode, Type};
use time::OffsetDateTime;

use crate::store::unreadable;

/// The time at which the event `e` was recorded, in microseconds since 1970, as the SQL function `leaf_hash` computes
/// it. A time out of range, such as `infinity`, becomes the nearest number.
macro_rules! recorded_micros {
    () => {
        "least(greatest(extract(epoch FROM e.recorded_at) * 1000000, -9223372036854775808), 9223372036854775807)::bigint"
    };
}

pub(super) use recorded_micros;

/// Microseconds from 1970-01-01 to 2000-01-01, from which PostgreSQL counts.
const EPOCH: i64 = 946_684_800_000_000;

/// An instant in a row; `None` if it is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredInstant(Option<Timestamp>);

/// The stored instant is `infinity`, or beyond the year 9999.
#[derive(Debug, thiserror::Error)]
#[error("a stored instant is beyond the year 9999")]
pub(super) struct OutOfRange;

impl StoredInstant {
    /// The instant; `None` if it is out of range.
    pub(super) fn get(self) -> Option<Timestamp> {
        self.0
    }

    /// The instant.
    ///
    /// # Errors
    /// It is out of range.
    pub(super) fn known(self) -> Result<Timestamp, StoreError> {
        self.0.ok_or_else(|| unreadable(OutOfRange))
    }

    fn from_micros(micros: i64) -> Self {
        let nanos = micros
            .checked_add(EPOCH)
            .map(|micros| i128::from(micros) * 1000);
        let at = nanos.and_then(|nanos| OffsetDateTime::from_unix_timestamp_nanos(nanos).ok());
        Self(at.map(Timestamp::new))
    }
}

impl Type<Postgres> for StoredInstant {
    fn type_info() -> PgTypeInfo {
        <OffsetDateTime as Type<Postgres>>::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for StoredInstant {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        match value.format() {
            PgValueFormat::Binary => {
                let micros = <[u8; 8]>::try_from(value.as_bytes()?)?;
                Ok(Self::from_micros(i64::from_be_bytes(micros)))
            }
            PgValueFormat::Text => {
                let at = <OffsetDateTime as Decode<Postgres>>::decode(value);
                Ok(Self(at.ok().map(Timestamp::new)))
            }
        }
    }
}

impl From<Timestamp> for StoredInstant {
    fn from(at: Timestamp) -> Self {
        Self(Some(at))
    }
}

impl Encode<'_, Postgres> for StoredInstant {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let at = self.0.ok_or(OutOfRange)?;
        <OffsetDateTime as Encode<Postgres>>::encode_by_ref(&at.date_time(), buffer)
    }
}

impl Serialize for StoredInstant {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_out_of_range_are_none() {
        for micros in [
            i64::MIN,
            i64::MAX,
            i64::MAX - EPOCH,
            300_000_000_000_000_000,
        ] {
            assert!(
                StoredInstant::from_micros(micros).known().is_err(),
                "{micros}"
            );
        }
        let epoch = StoredInstant::from_micros(-EPOCH).get();
        assert_eq!(epoch, Some(Timestamp::from_unix_millis(0)));
    }
}
