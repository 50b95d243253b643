//! Times as databases keep them: whole microseconds since 1970.

use time::OffsetDateTime;

/// Microseconds since 1970.
pub(in crate::store) fn micros(at: OffsetDateTime) -> i64 {
    // `OffsetDateTime` ends with the year 9999 unless a feature widens it, far below what an i64
    // holds.
    at.unix_timestamp().saturating_mul(1_000_000).saturating_add(i64::from(at.microsecond()))
}

/// The inverse of [`micros`].
pub(in crate::store) fn time(micros: i64) -> Option<OffsetDateTime> {
    // In two parts, which avoids a 128-bit division.
    let (seconds, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let at = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    at.replace_microsecond(u32::try_from(micros).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times_come_back_to_the_microsecond() {
        for at in [
            datetime!(1970-01-01 0:00 UTC),
            datetime!(1969-12-31 23:59:59.999999 UTC),
            datetime!(1910-05-06 7:08:09.000001 UTC),
            datetime!(2030-01-01 0:00:00.123456 UTC),
            datetime!(9999-12-31 23:59:59.999999 UTC),
        ] {
            assert_eq!(i128::from(micros(at)) * 1000, at.unix_timestamp_nanos());
            assert_eq!(time(micros(at)), Some(at));
        }
        assert_eq!([time(i64::MAX), time(i64::MIN)], [None, None]);
    }
}
