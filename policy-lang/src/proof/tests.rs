//! Slices hold what they are to hold; what a prover makes of them is the shell's test.

use super::{Goal, Policies};
use crate::{Policy, SourceFile, compile};

fn policy(rules: &str) -> Policy {
    let text = format!(
        "estate abc.net {{ timezone Asia/Tokyo }}
fact level: Long = 0 set by operator
gateway rs-1@abc.net {{ lan 172.16.0.0/12 }}
gateway rs-2@abc.net {{ lan 192.168.2.0/24  client cl-21@rs-2.abc.net = 192.168.2.21 }}
gateway rs-3@abc.net {{ lan 192.168.3.0/24 }}
group g {{ rs-2@abc.net, cl-21@rs-2.abc.net }}
target rs-1@abc.net {{ limit 1h  terminals any
{rules}
}}"
    );
    let compilation = compile(&[SourceFile::new("a.gate", text)]);
    compilation.policy.unwrap_or_else(|| panic!("{:?}", compilation.diagnostics))
}

fn new(goal: &Goal) -> &Policies {
    match goal {
        Goal::NoWider { new, .. } => new,
        Goal::Never { policies, .. } => policies,
        Goal::NoError { .. } => panic!("a single rule"),
    }
}

#[test]
fn groups_and_lans_are_written_out() {
    let policy = policy("permit group g when { principal in Lan::\"rs-2@abc.net\" && !(resource in Group::\"g\") }");
    let pieces = policy.never_pieces("principal in Group::\"g\"", &["openSession"]).expect("pieces");
    let kinds: Vec<&str> = pieces.iter().map(|piece| piece.slice.principal.as_str()).collect();
    assert_eq!(kinds, ["Gateway", "Client"]);
    let text = new(&pieces[0].slice.goal).texts.join("\n");
    assert!(!text.contains(" in Group") && !text.contains(" in Lan"), "{text}");
    assert!(text.contains("principal == Gateway::\"rs-2@abc.net\""), "{text}");
    assert!(!text.contains("Client::"), "of the other type: {text}");
    let Goal::Never { condition, .. } = &pieces[1].slice.goal else { panic!("a never") };
    assert!(condition.contains("principal == Client::\"cl-21@rs-2.abc.net\""), "{condition}");
}

#[test]
fn what_cannot_be_at_a_target_is_no_slice_of_it() {
    let policy = policy("permit group g");
    let pieces = |condition| policy.never_pieces(condition, &["openSession"]).expect("pieces").len();
    assert_eq!(pieces("resource == Gateway::\"rs-3@abc.net\""), 0);
    assert_eq!(pieces("resource == Gateway::\"rs-1@abc.net\" && context.level == 1"), 2);
}

#[test]
fn an_unchanged_target_has_nothing_to_prove() {
    let (old, new) = (policy("permit group g"), policy("permit group g // as before"));
    assert_eq!(new.wider_pieces(&old, "rs-1@abc.net").expect("pieces"), []);
    assert_eq!(new.changed_targets(&old).expect("targets"), Vec::<&str>::new());
    let other = policy("permit group g { limit 2h }\n permit rs-3@abc.net");
    assert!(!other.wider_pieces(&old, "rs-1@abc.net").expect("pieces").is_empty());
    assert_eq!(other.changed_targets(&old).expect("targets"), ["rs-1@abc.net"]);
}

#[test]
fn only_what_may_err_is_asked_about() {
    let policy = policy(
        "permit rs-2@abc.net when { context.hour + context.level > 3 }
         permit rs-3@abc.net when { context.hour + context.level > 3 } unless { context.reason like \"a*\" }
         forbid rs-3@abc.net when { context.hour > 3 && ip(\"10.0.0.1\").isInRange(ip(\"10.0.0.0/8\")) }
         forbid rs-2@abc.net when { context.hour + context.level > 3 }",
    );
    let pieces = policy.error_pieces().expect("pieces");
    let rules = |n: usize| pieces[n].rules.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(pieces.len(), 6, "two conditions for three actions");
    assert_eq!(rules(0), ["a.gate:8:1", "a.gate:11:10"], "equal conditions are one");
    assert_eq!(rules(3), ["a.gate:9:10"]);
}

#[test]
fn words_that_changed_their_meaning() {
    let text = |zone: &str, default: &str, party: &str, dns: &str| {
        let text = format!(
            "estate abc.net {{ timezone {zone} }}
             fact level: Long = {default} set by {party}
             gateway rs-1@abc.net {{ lan 172.16.0.0/12  terminal historian = {dns}.kyoto.example }}
             gateway rs-2@abc.net {{ lan 192.168.2.0/24 }}
             target rs-1@abc.net {{ limit 1h  permit rs-2@abc.net {{ terminals any -> historian }}
               when {{ context.hour > 3 && context.level > 1 }} }}"
        );
        compile(&[SourceFile::new("a.gate", text)]).policy.expect("no errors")
    };
    let old = text("Asia/Tokyo", "0", "operator", "old");
    for (zone, default, party, dns, expected) in [
        ("Asia/Tokyo", "0", "operator", "old", ""),
        ("UTC", "0", "operator", "old", "the estate's time zone is another one than before"),
        ("Asia/Tokyo", "5", "operator", "old", "the fact `level` has another default than before"),
        ("Asia/Tokyo", "0", "source", "old", "the fact `level` is set by another party than before"),
        (
            "Asia/Tokyo",
            "0",
            "operator",
            "new",
            "the terminal `historian` of `rs-1@abc.net` has another DNS name than before",
        ),
    ] {
        let new = text(zone, default, party, dns);
        assert_eq!(new.changed_meanings(&old, "rs-1@abc.net").join("; "), expected);
    }
}

#[test]
fn a_condition_is_asked_of_the_actions_that_know_its_words() {
    let policy = policy("permit group g");
    let names = |condition: &str| {
        policy.actions_of(condition).map(|actions| actions.iter().map(|action| action.as_str()).collect::<Vec<_>>())
    };
    assert_eq!(names("context.level > 3"), Ok(vec!["openSession", "keepOpen", "reachTerminal"]));
    assert_eq!(names("context.port == 22"), Ok(vec!["reachTerminal"]));
    assert!(names("context.levle > 3").expect_err("a typing error").contains("levle"));
    assert!(names("context.level >").is_err());
}

#[test]
fn only_new_permits_are_shown_to_allow_no_more() {
    let old = policy("permit rs-2@abc.net\n permit rs-3@abc.net when { context.level > 1 }");
    let pieces = |rules: &str| policy(rules).wider_pieces(&old, "rs-1@abc.net").expect("pieces");
    assert_eq!(pieces("permit rs-2@abc.net"), [], "fewer permits");
    let stricter = "permit rs-2@abc.net\n permit rs-3@abc.net when { context.level > 1 }\n forbid rs-2@abc.net";
    assert_eq!(pieces(stricter), [], "more forbids");
    let added = pieces("permit rs-2@abc.net\n permit rs-3@abc.net when { context.level > 0 }");
    assert_eq!(added.len(), 3);
    assert_eq!(new(&added[0].slice.goal).permits().count(), 1);
}
