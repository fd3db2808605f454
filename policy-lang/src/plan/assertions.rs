//! What changes in what a policy says about itself: tests, and what may never be.
//! It decides nothing, but a policy that promises less is worth a look.

use super::{Entry, Kind, Verdict};
use crate::policy::Policy;
use std::collections::BTreeMap;

pub(super) fn changes(old: &Policy, new: &Policy) -> Vec<Entry> {
    let mut entries = compared("never", &nevers(old), &nevers(new));
    entries.extend(compared("test", &tests(old), &tests(new)));
    entries
}

/// Assertions by name, each with its lines. Of several with one name, all lines together.
type ByName<'p> = BTreeMap<&'p str, Vec<String>>;

fn nevers(policy: &Policy) -> ByName<'_> {
    let mut all = ByName::new();
    for never in policy.nevers() {
        all.entry(never.name()).or_default().push(one_line(never.cedar()));
    }
    all
}

fn tests(policy: &Policy) -> ByName<'_> {
    let mut all = ByName::new();
    for test in &policy.model.tests {
        let cases = test.cases.iter().map(|case| one_line(&case.text));
        all.entry(test.name.as_str()).or_default().extend(cases);
    }
    all
}

fn compared(what: &str, old: &ByName<'_>, new: &ByName<'_>) -> Vec<Entry> {
    let mut entries = vec![];
    let mut say = |how: &str, name: &str, lines: Vec<String>| {
        let what = format!("{how} {what} \"{name}\"");
        entries.push(Entry {
            kind: Kind::Assertion,
            verdict: Verdict::Neutral,
            what,
            when: None,
            lines,
            certain: true,
        });
    };
    for (name, before) in old {
        let Some(after) = new.get(name) else {
            say("removed", name, before.clone());
            continue;
        };
        let only = |mine: &[String], others: &[String], when: &str| -> Vec<String> {
            let own = mine.iter().filter(|line| !others.contains(line));
            own.map(|line| format!("{when} {line}")).collect()
        };
        let lines = [only(before, after, "before "), only(after, before, "after  ")].concat();
        if !lines.is_empty() {
            say("changed", name, lines);
        }
    }
    for (name, lines) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        say("new", name, lines.clone());
    }
    entries
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
