use super::*;

fn asked(cedar: &str) -> String {
    let asked = Asked::of_text(cedar);
    let mut words: Vec<String> = asked
        .vars
        .iter()
        .map(|(var, compared)| {
            let constants: Vec<String> = compared.constants.iter().map(|c| format!("{c:?}")).collect();
            let opaque = if compared.opaque { " opaque" } else { "" };
            format!("{var:?}[{}]{opaque}", constants.join(" "))
        })
        .collect();
    words.extend(asked.who.then(|| "who".to_owned()));
    words.extend(asked.unread.then(|| "unread".to_owned()));
    words.join(" ")
}

#[test]
fn conditions_are_taken_apart() {
    for (cedar, expected) in [
        ("true", ""),
        ("context.supervised", "Fact(\"supervised\")[]"),
        ("!context.supervised && context[\"level\"] >= 3", "Fact(\"level\")[Long(3)] Fact(\"supervised\")[]"),
        ("2 + 1 < context.level", "Fact(\"level\")[Long(3)]"),
        ("context.level + 1 < 5", "Fact(\"level\")[Long(1) Long(5)] opaque"),
        ("[1, 2].contains(context.weekday)", "Weekday[Long(1) Long(2)]"),
        ("context.hour * 60 + context.minute >= 510", "MinuteOfDay[Long(510)]"),
        (
            "60 * context.minute + context.hour >= 510",
            "Hour[Long(60) Long(510)] opaque Minute[Long(60) Long(510)] opaque",
        ),
        ("context.hour < context.weekday", "Hour[] opaque Weekday[] opaque"),
        ("context.now < datetime(\"1970-01-02\")", "Now[Moment(86400000)]"),
        ("context.now.toTime() < duration(\"9h\")", "Now[Text(\"9h\") Duration(32400000)] opaque"),
        ("context.elapsed < duration(\"1h\")", "Elapsed[Duration(3600000)]"),
        ("context.tags.containsAny([\"a\", \"b\"])", "Fact(\"tags\")[Text(\"a\") Text(\"b\")]"),
        ("context.at.isInRange(ip(\"10.0.0.0/8\"))", "Fact(\"at\")[Ip(10.0.0.0/8)]"),
        ("context has incident && context.incident.cause == \"watch\"", "Incident[] Cause[Text(\"watch\")]"),
        (
            "context has alert && context.alert.labels.severity == \"x\"",
            "Alert[] AlertLabel(\"severity\")[Text(\"x\")]",
        ),
        ("context.alert.labels[\"a b\"] == context.ticket", "Ticket[] opaque AlertLabel(\"a b\")[] opaque"),
        ("principal in Group::\"x\" && context.reason like \"a*\"", "Reason[] who"),
        ("if context.a then context.b else context.c == 1", "Fact(\"a\")[] Fact(\"b\")[] Fact(\"c\")[Long(1)]"),
        ("(context.level > 3) == context.a", "Fact(\"a\")[Long(3)] opaque Fact(\"level\")[Long(3)] opaque"),
        ("context has to && context.port == 22", "Fact(\"port\")[Long(22)] Fact(\"to\")[]"),
        ("(context has from) == context.a", "Fact(\"a\")[] opaque Fact(\"from\")[] opaque"),
        ("context == {a: 1}", "unread"),
        ("action == Action::\"openSession\" && context.a", "Fact(\"a\")[] unread"),
        ("nonsense ==", "unread"),
    ] {
        assert_eq!(asked(cedar), expected, "{cedar}");
    }
}
