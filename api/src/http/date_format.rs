//! The date formats of the published contracts, in UTC.

use authlog_domain::Timestamp;

/// `2025-11-23 21:38:00`
pub(crate) fn year_first(at: Timestamp) -> String {
    let (date, clock) = parts(at);
    let [year, month, day] = date;
    format!("{year:04}-{month:02}-{day:02} {clock}")
}

/// `22-07-2022 06:49:25`
pub(crate) fn day_first(at: Timestamp) -> String {
    let (date, clock) = parts(at);
    let [year, month, day] = date;
    format!("{day:02}-{month:02}-{year:04} {clock}")
}

fn parts(at: Timestamp) -> ([i32; 3], String) {
    let at = at.date_time();
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    (
        [year, i32::from(u8::from(month)), i32::from(day)],
        format!("{hour:02}:{minute:02}:{second:02}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_printed_as_in_the_contracts() {
        let at = Timestamp::parse("2022-07-02T08:49:05.999+02:00").unwrap();
        assert_eq!(year_first(at), "2022-07-02 06:49:05");
        assert_eq!(day_first(at), "02-07-2022 06:49:05");
    }
}
