use super::*;

fn expanded(text: &str) -> String {
    let lets = HashMap::from([
        ("supervised".to_owned(), Some("context.supervised".to_owned())),
        ("day".to_owned(), Some("context.hour < 17 // till five".to_owned())),
    ]);
    let word = Word { node: text.to_owned(), span: Span::new(0, 100, 100 + text.len()) };
    expand(&word, &lets).expect("no let is wrong").text
}

#[test]
fn a_let_is_written_out_where_it_is_a_name() {
    for (text, expected) in [
        ("supervised", "(context.supervised\n)"),
        ("!supervised && day", "!(context.supervised\n) && (context.hour < 17 // till five\n)"),
        ("context.supervised", "context.supervised"),
        ("context . supervised", "context . supervised"),
        ("context has supervised", "context has supervised"),
        ("\"supervised\" == x", "\"supervised\" == x"),
        ("\"a\\\"supervised\" // supervised", "\"a\\\"supervised\" // supervised"),
        ("{supervised: true}", "{supervised: true}"),
        ("supervised::\"x\" == day", "supervised::\"x\" == (context.hour < 17 // till five\n)"),
        ("supervised(1)", "supervised(1)"),
        ("unsupervised || supervised2", "unsupervised || supervised2"),
    ] {
        assert_eq!(expanded(text), expected, "{text}");
    }
}

#[test]
fn places_lead_back_to_the_file() {
    let lets = HashMap::from([("long".to_owned(), Some("context.supervised".to_owned()))]);
    let text = "long && nonsense";
    let word = Word { node: text.to_owned(), span: Span::new(0, 100, 100 + text.len()) };
    let expanded = expand(&word, &lets).expect("no let is wrong");
    let at = expanded.text.find("nonsense").expect("kept");
    assert_eq!(expanded.place(at, 8), Span::new(0, 108, 116));
    let inside = expanded.text.find("supervised").expect("written out");
    assert_eq!(expanded.place(inside, 10), Span::new(0, 100, 104));
    assert_eq!(expanded.place(0, expanded.text.len()), word.span);
}

#[test]
fn time_is_seen() {
    for timed in [
        "context.hour < 17",
        "context[\"hour\"] < 1",
        "context[\"\\u{68}our\"] < 1",
        "context.now > x",
        "context.elapsed < y",
    ] {
        assert_ne!(asks(timed), Asks::default(), "{timed}");
    }
    for still in ["context.supervised", "context.reason like \"pump*\"", "context.hours == 1"] {
        assert_eq!(asks(still), Asks::default(), "{still}");
    }
}

#[test]
fn chains_are_as_long_as_the_tree_is_deep() {
    for (text, length) in [
        ("context.a", 0),
        ("!context.a", 1),
        ("context.a && context.b", 1),
        ("context.a == 1 && context.b <= 2 || context.c != 3", 5),
        ("(context.a && context.b) || (context.c && context.d)", 2),
        ("((a || b) || (c || d)) || ((e || f) || (g || h))", 3),
        ("[1 + 1, 2 + 2].contains(context.a)", 2),
        ("if a then b else if c then d else e", 2),
        ("context has a && \"&& && &&\" == b // && &&", 3),
        ("context.a.b.c.d.e.f", 2),
        ("context[\"a\"][\"b\"][\"c\"][\"d\"][\"e\"]", 1),
        ("a.b().c().d().e().f()", 1),
        ("!!!-1 == - -2", 7),
    ] {
        assert_eq!(too_long_chain(text, length), None, "{text}");
        assert!(length == 0 || too_long_chain(text, length - 1).is_some(), "{text}");
    }
    assert_eq!(too_long_chain("a + b + c", 1), Some(6));
}
