//! Conditions on the time of the week that give the same answer at all times.
//! An hour is compared with few numbers; between two of them nothing changes, so that all answers can be asked for.

use super::asked::{Asked, Var};
use super::moments;
use cedar_policy::{Context, Entities, EvalResult, Expression, Request, RestrictedExpression, eval_expression};

/// How many moments are asked about at most: far more than conditions have borders, and soon done.
const MOMENTS: usize = 256;

/// The one answer of a condition that asks for nothing but the hour, the minute and the weekday; `None` where it
/// has several, or errs, or whether it has cannot be told in a moment.
pub(crate) fn same_at_all_times(cedar: &str) -> Option<bool> {
    let asked = Asked::of_text(cedar);
    let of_the_week = |var: &Var| matches!(var, Var::Hour | Var::Minute | Var::MinuteOfDay | Var::Weekday);
    if asked.unread || asked.who || asked.vars.is_empty() || !asked.vars.keys().all(of_the_week) {
        return None;
    }
    let (minutes, weekdays) = (moments::minutes(&asked), moments::weekdays(&asked));
    // What is not asked for may be anything.
    let minutes: Vec<u16> = if minutes.is_empty() { vec![0] } else { minutes.into_iter().collect() };
    let weekdays: Vec<i8> = if weekdays.is_empty() { vec![1] } else { weekdays.into_iter().collect() };
    if minutes.len() * weekdays.len() > MOMENTS {
        return None;
    }
    let expression = format!("({cedar}\n)").parse::<Expression>().ok()?;
    let mut answers = weekdays.iter().flat_map(|day| minutes.iter().map(|minute| at(&expression, *day, *minute)));
    let first = answers.next()??;
    answers.all(|answer| answer == Some(first)).then_some(first)
}

fn at(expression: &Expression, weekday: i8, minute: u16) -> Option<bool> {
    let long = |name: &str, value: i64| (name.to_owned(), RestrictedExpression::new_long(value));
    let (hour, minute) = (i64::from(minute / 60), i64::from(minute % 60));
    let context = [long("weekday", weekday.into()), long("hour", hour), long("minute", minute)];
    let uid = || "Nobody::\"\"".parse().ok();
    let request = Request::new(uid()?, uid()?, uid()?, Context::from_pairs(context).ok()?, None).ok()?;
    match eval_expression(&request, &Entities::empty(), expression).ok()? {
        EvalResult::Bool(answer) => Some(answer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_that_never_change() {
        for (cedar, expected) in [
            ("context.hour < 30", Some(true)),
            ("context.hour > 8 && context.hour < 3", Some(false)),
            ("context.weekday == 0", Some(false)),
            ("context.weekday >= 1 && context.minute < 60 // always", Some(true)),
            ("context.hour == 3 && context.hour * 60 + context.minute < 180", Some(false)),
            ("context.hour + 1 > 0", Some(true)),
            ("context.hour > 8 && context.hour < 10", None),
            ("context.hour >= 22 || context.hour < 6", None),
            ("context.weekday == 7 && context.hour == 23 && context.minute == 59", None),
            ("context.hour * 9223372036854775807 > 0 && false", None),
            ("context.hour > 30 && context.supervised", None),
            ("context.hour > 30 && principal in Group::\"x\"", None),
            ("context.minute + context.weekday > 100", None),
            ("true", None),
        ] {
            assert_eq!(same_at_all_times(cedar), expected, "{cedar}");
        }
    }
}
