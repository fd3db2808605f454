//! Moments at which conditions on time change their answers.
//! Between two of them the clock and the calendar tell a condition nothing new.

use super::asked::{Asked, Constant, Var};
use super::{Dimension, Scenario};
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use std::time::Duration;

/// A Monday in a week without a change of clocks in most zones.
const MONDAY: Date = date(2026, 1, 5);
const DAY: i64 = 24 * 60;

/// The moment where no condition asks for the time.
pub(super) fn noon(zone: &TimeZone) -> Timestamp {
    at(zone, MONDAY, 12 * 60)
}

/// The minutes of a day at which some answer may change.
pub(super) fn minutes(asked: &Asked) -> BTreeSet<u16> {
    let steps = |var: Var, scale: i64, end: i64| -> Option<BTreeSet<i64>> {
        let compared = asked.vars.get(&var)?;
        if compared.opaque {
            return Some((0..end).map(|n| n * scale).collect());
        }
        let constants = compared.constants.iter().filter_map(|constant| match constant {
            Constant::Long(n) => Some(*n),
            _ => None,
        });
        let changes = constants.flat_map(|n| [n, n.saturating_add(1)]).chain([0]);
        Some(changes.filter(|n| (0..end).contains(n)).map(|n| n * scale).collect())
    };
    let mut all: BTreeSet<i64> = steps(Var::Hour, 60, 24).unwrap_or_default();
    all.extend(steps(Var::MinuteOfDay, 1, DAY).unwrap_or_default());
    if let Some(within) = steps(Var::Minute, 1, 60) {
        all.extend((0..24).flat_map(|hour| within.iter().map(move |minute| hour * 60 + minute)));
    }
    all.into_iter().filter_map(|n| u16::try_from(n).ok()).collect()
}

/// The weekdays, Monday being 1, with which some answer may change.
pub(super) fn weekdays(asked: &Asked) -> BTreeSet<i8> {
    let Some(compared) = asked.vars.get(&Var::Weekday) else { return BTreeSet::new() };
    if compared.opaque {
        return (1..=7).collect();
    }
    let constants = compared.constants.iter().filter_map(|constant| match constant {
        Constant::Long(n) => i8::try_from(*n).ok(),
        _ => None,
    });
    constants.flat_map(|n| [n, n.saturating_add(1)]).chain([1]).filter(|n| (1..=7).contains(n)).collect()
}

/// Single moments, for where the date is asked as well, or the clocks of several zones.
pub(super) fn changes(asked: &Asked, zones: &[&TimeZone]) -> Vec<Timestamp> {
    let minutes = minutes(asked);
    // A day that has begun and the next one, or all of a week.
    let days = match (asked.vars.contains_key(&Var::Weekday), minutes.is_empty()) {
        (true, _) => 9,
        (false, false) => 2,
        (false, true) => 0,
    };
    let constants = asked.vars.get(&Var::Now).into_iter().flat_map(|compared| &compared.constants);
    let dates = constants.filter_map(|constant| match constant {
        Constant::Moment(millis) => Some([*millis, millis.saturating_add(1)]),
        _ => None,
    });
    let mut starts: Vec<Timestamp> = dates.flatten().filter_map(|ms| Timestamp::from_millisecond(ms).ok()).collect();
    // Before the first date: a month before it, so that a whole week lies between.
    let first = starts.iter().min().and_then(|first| first.checked_sub(SignedDuration::from_hours(30 * 24)).ok());
    starts.push(first.unwrap_or_else(|| at(zones[0], MONDAY, 0)));
    starts.sort();
    starts.dedup();
    let mut all: BTreeSet<Timestamp> = starts.iter().copied().collect();
    for (n, start) in starts.iter().enumerate() {
        for zone in zones {
            let first = start.to_zoned((*zone).clone()).date();
            for date in first.series(jiff::Span::new().days(1)).take(days) {
                let moments = minutes.iter().chain([&0]).map(|minute| at(zone, date, *minute));
                all.extend(moments.filter(|t| t > start && starts.get(n + 1).is_none_or(|next| t < next)));
            }
        }
    }
    all.into_iter().collect()
}

/// Sets the moment of a scenario from its weekday and its time of the day.
pub(super) fn set(dimensions: &[Dimension], zone: &TimeZone, scenario: &mut Scenario) {
    let (mut weekday, mut minute) = (None, None);
    for (dimension, n) in dimensions.iter().zip(&scenario.at) {
        match dimension {
            Dimension::Weekday(values) => weekday = Some(values[*n]),
            Dimension::Time(values) => minute = Some(values[*n]),
            _ => {}
        }
    }
    if weekday.is_some() || minute.is_some() {
        let days = i64::from(weekday.unwrap_or(1)) - 1;
        let date = MONDAY.checked_add(jiff::Span::new().days(days)).unwrap_or(MONDAY);
        scenario.now = at(zone, date, minute.unwrap_or(12 * 60));
    }
}

fn at(zone: &TimeZone, date: Date, minute: u16) -> Timestamp {
    let start = date.at(0, 0, 0, 0);
    let wall = start.checked_add(Duration::from_secs(u64::from(minute) * 60)).unwrap_or(start);
    zone.to_timestamp(wall).unwrap_or(Timestamp::UNIX_EPOCH)
}
