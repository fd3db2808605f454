//! Moments as people give them: a day, a time of it, a moment with its zone, or so long ago.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use session::Timestamp;

use crate::manager::duration;

/// Reads a moment; what has no zone is in UTC, as the record is.
pub(super) fn parse(text: &str) -> Result<Timestamp, String> {
    parse_at(text, jiff::Timestamp::now())
}

fn parse_at(text: &str, now: jiff::Timestamp) -> Result<Timestamp, String> {
    let utc = |at: DateTime| at.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp());
    let moment = text.parse::<jiff::Timestamp>().ok();
    // A date with a time would be read as a date too: its time must not be lost.
    let time = || if text.contains(['T', 't', ' ']) { utc(text.parse::<DateTime>().ok()?) } else { None };
    let day = || if text.len() == "2026-01-31".len() { utc(text.parse::<Date>().ok()?.into()) } else { None };
    let ago = || now.checked_sub(duration(text).ok()?).ok();
    let found = moment.or_else(time).or_else(day).or_else(ago);
    found.map(|at| Timestamp(at.as_millisecond())).ok_or_else(|| {
        "a moment is written like `2026-01-31`, `2026-01-31T13:45`, `2026-01-31T13:45:23+09:00`, or, for how long \
         ago, like `90s`, `15min`, `2h` or `7d`"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use wire::text::rfc3339;

    use super::*;

    #[test]
    fn moments() {
        let now: jiff::Timestamp = "2026-01-31T13:45:23.042Z".parse().expect("a moment");
        for (text, expected) in [
            ("2026-01-31", "2026-01-31T00:00:00.000Z"),
            ("2026-01-31T13:45", "2026-01-31T13:45:00.000Z"),
            ("2026-01-31 13:45:23.5", "2026-01-31T13:45:23.500Z"),
            ("2026-01-31T13:45:23Z", "2026-01-31T13:45:23.000Z"),
            ("2026-01-31T13:45:23+09:00", "2026-01-31T04:45:23.000Z"),
            ("1969-12-31", "1969-12-31T00:00:00.000Z"),
            ("2h", "2026-01-31T11:45:23.042Z"),
            ("7d", "2026-01-24T13:45:23.042Z"),
        ] {
            assert_eq!(parse_at(text, now).map(rfc3339), Ok(expected.to_owned()), "{text}");
        }
        for text in ["", "yesterday", "2026-02-30", "13:45", "2026-01-31T25:00", "2h ago", "0h", "99999999999999999h"] {
            assert!(parse_at(text, now).is_err_and(|why| why.contains("`2026-01-31`")), "{text}");
        }
    }
}
