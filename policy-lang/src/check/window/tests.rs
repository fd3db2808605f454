use super::*;

#[test]
fn days_of_the_week() {
    let week = |word: &str| {
        let days = days(word)?;
        Some((1..=7).filter(|n| days[n - 1]).map(|n| n.to_string()).collect::<String>())
    };
    for (word, expected) in [
        ("mon", Some("1")),
        ("mon-fri", Some("12345")),
        ("sat-mon", Some("167")),
        ("tue-mon", Some("1234567")),
        ("sun-sun", Some("7")),
        ("daily", Some("1234567")),
        ("Mon", None),
        ("mon-", None),
        ("mon-tue-wed", None),
        ("weekly", None),
    ] {
        assert_eq!(week(word).as_deref(), expected, "{word}");
    }
}

#[test]
fn spans_of_the_day() {
    for (word, expected) in [
        ("07:00-19:00", Some((420, 1140))),
        ("22:00-06:00", Some((1320, 1800))),
        ("00:00-24:00", Some((0, 1440))),
        ("18:00-00:00", Some((1080, 1440))),
        ("07:00-07:00", None),
        ("00:00-00:00", None),
        ("24:00-06:00", None),
        ("7:00-19:00", None),
        ("07:00-25:00", None),
        ("07:60-19:00", None),
        ("07:00", None),
        ("+7:00-19:00", None),
    ] {
        assert_eq!(times(word).ok(), expected, "{word}");
    }
}

#[test]
fn spans_become_comparisons() {
    let cedar = |days_word: &str, times_word: &str| {
        let (from, to) = times(times_word).expect("times");
        TimeSpan { days: days(days_word).expect("days"), from, to }.cedar()
    };
    for (days, times, expected) in [
        ("daily", "00:00-24:00", "true"),
        ("sat-sun", "00:00-24:00", "(context.weekday >= 6)"),
        (
            "tue-thu",
            "07:00-19:00",
            "((context.weekday >= 2 && context.weekday <= 4) && context.hour >= 7 && context.hour < 19)",
        ),
        (
            "sat",
            "09:30-12:45",
            "(context.weekday == 6 && (context.hour > 9 || context.hour == 9 && context.minute >= 30) && \
             (context.hour < 12 || context.hour == 12 && context.minute < 45))",
        ),
        (
            "sun",
            "22:00-06:00",
            "((context.weekday == 7 && context.hour >= 22) || (context.weekday == 1 && context.hour < 6))",
        ),
    ] {
        assert_eq!(cedar(days, times), expected, "{days} {times}");
    }
}
