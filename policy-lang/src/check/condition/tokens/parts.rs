//! Conditions taken apart for people: on one line, into the parts that have to hold, with what each asks.

use super::{Kind, tokens};
use std::collections::BTreeSet;

/// A condition on one line, without comments.
pub(crate) fn on_one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut last = 0;
    for (kind, start, end) in tokens(text) {
        if kind == Kind::Comment {
            continue;
        }
        let open = out.ends_with('(') || out.is_empty();
        if start > last && !open && kind != Kind::Sign(b')') {
            out.push(' ');
        }
        out.push_str(&text[start..end]);
        last = end;
    }
    out
}

/// The parts of a condition that all have to be true; for an `unless`, those of which none may be.
/// The whole, where it does not fall into such parts.
pub(crate) fn parts(text: &str, unless: bool) -> Vec<String> {
    let inner = unwrapped(text);
    let found: Vec<_> = tokens(inner).filter(|(kind, ..)| *kind != Kind::Comment).collect();
    let mut depth = 0_usize;
    let mut cuts = vec![];
    for pair in found.windows(2) {
        let (kind, start, end) = pair[0];
        match kind {
            Kind::Sign(b'(' | b'[' | b'{') => depth += 1,
            Kind::Sign(b')' | b']' | b'}') => depth = depth.saturating_sub(1),
            // `if` binds less than any operator: what follows belongs to it.
            Kind::Name if depth == 0 && &inner[start..end] == "if" => return vec![on_one_line(inner)],
            Kind::Sign(sign @ (b'&' | b'|')) if depth == 0 && pair[1].0 == kind && pair[1].1 == end => {
                cuts.push((sign, start));
            }
            _ => {}
        }
    }
    let or = cuts.iter().any(|(sign, _)| *sign == b'|');
    // `&&` binds more than `||`: with both, only alternatives can be told apart.
    if cuts.is_empty() || or != unless {
        return vec![on_one_line(inner)];
    }
    let wanted = if unless { b'|' } else { b'&' };
    let mut out = vec![];
    let mut from = 0;
    for at in cuts.iter().filter(|(sign, _)| *sign == wanted).map(|(_, at)| *at).chain([inner.len()]) {
        out.extend(parts(&inner[from..at], unless));
        from = (at + 2).min(inner.len());
    }
    out
}

/// The text inside parentheses that enclose all of it.
fn unwrapped(text: &str) -> &str {
    let found: Vec<_> = tokens(text).filter(|(kind, ..)| *kind != Kind::Comment).collect();
    let (Some((Kind::Sign(b'('), _, from)), Some((Kind::Sign(b')'), to, _))) = (found.first(), found.last()) else {
        return text;
    };
    let mut depth = 0_usize;
    for (n, (kind, ..)) in found.iter().enumerate() {
        match kind {
            Kind::Sign(b'(') => depth += 1,
            Kind::Sign(b')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && n + 1 < found.len() {
            return text;
        }
    }
    unwrapped(&text[*from..*to])
}

/// All names that a condition uses, whatever for.
pub(crate) fn names(text: &str) -> BTreeSet<&str> {
    let names = tokens(text).filter(|(kind, ..)| *kind == Kind::Name);
    names.map(|(_, start, end)| &text[start..end]).collect()
}

/// Whether a condition calculates with numbers, which may become too large to be any.
pub(crate) fn calculates(text: &str) -> bool {
    tokens(text).any(|(kind, ..)| matches!(kind, Kind::Sign(b'+' | b'-' | b'*')))
}

/// The names that a condition asks of its context.
pub(crate) fn asked(text: &str) -> BTreeSet<String> {
    let found: Vec<_> = tokens(text).filter(|(kind, ..)| *kind != Kind::Comment).collect();
    let named = found.windows(3).filter(|three| {
        let (kind, start, end) = three[0];
        kind == Kind::Name && &text[start..end] == "context"
    });
    let names = named.filter_map(|three| {
        let (kind, start, end) = three[2];
        match (three[1].0, kind) {
            (Kind::Sign(b'.'), Kind::Name) => Some(text[start..end].to_owned()),
            (Kind::Sign(b'['), Kind::String) => Some(text[start..end].trim_matches('"').to_owned()),
            (Kind::Name, Kind::Name) if &text[three[1].1..three[1].2] == "has" => Some(text[start..end].to_owned()),
            _ => None,
        }
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_what_has_to_hold() {
        let cases: &[(&str, bool, &[&str])] = &[
            (" context.a ", false, &["context.a"]),
            ("context.a && context.b", false, &["context.a", "context.b"]),
            ("(context.a\n) && (context.b && // no\n !context.c)", false, &["context.a", "context.b", "!context.c"]),
            ("(a) && (b)", false, &["a", "b"]),
            ("a && b || c", false, &["a && b || c"]),
            ("a && (b || c)", false, &["a", "b || c"]),
            ("a && b || c", true, &["a && b", "c"]),
            ("a && b", true, &["a && b"]),
            ("if a then b && c else d", false, &["if a then b && c else d"]),
            ("a && if b then c else d && e", false, &["a && if b then c else d && e"]),
            ("context.r == \" && \" && [1, 2].contains(3)", false, &["context.r == \" && \"", "[1, 2].contains(3)"]),
            ("", false, &[""]),
        ];
        for (text, unless, expected) in cases {
            assert_eq!(parts(text, *unless), *expected, "{text}");
        }
    }

    #[test]
    fn names_asked_of_the_context() {
        let text =
            "context.a && context[\"b c\"] == 1 && context has incident && context.alert.labels.x == \"context.d\"";
        let names: Vec<String> = asked(text).into_iter().collect();
        assert_eq!(names, ["a", "alert", "b c", "incident"]);
    }
}
