//! Conditions as deep as they may be. A test's thread has 2 MiB of stack, as a manager's have, and nothing is optimised.

use policy_lang::{Code, Compilation, FactValues, NeverOutcome, Question, SourceFile, compile};

/// A policy whose only permit and never have one condition.
fn compiled(when: &str, never: &str) -> Compilation {
    let text = format!(
        "estate abc.net {{ }}
        fact f: Bool = true set by source
        gateway rs-1@abc.net {{ lan 172.16.0.0/12 }}
        gateway rs-2@abc.net {{ lan 192.168.2.0/24 }}
        target rs-1@abc.net {{ limit 1h permit rs-2@abc.net {{ terminals any }} {when} }}
        never \"n\" {{ {never} }}"
    );
    compile(&[SourceFile::new("a.gate", text)])
}

/// Conditions with chains of so many operators, all of which are true at noon.
fn chains(length: usize) -> [String; 6] {
    [
        format!("context.hour{} > 3", "+1".repeat(length - 1)),
        format!("{}context.hour > 3", "context.hour==3||".repeat((length - 1) / 2)),
        format!("{}context.f", "context.f&&".repeat(length)),
        format!("{}true", "if !context.f then false else ".repeat(length / 2)),
        format!("{}context.f{}", "(context.f || ".repeat(50), ")".repeat(50)) + &" && context.f".repeat(length - 50),
        format!("{}context.f{}", "!(!(".repeat(30), "))".repeat(30)) + &" && context.f".repeat(length - 60),
    ]
}

#[test]
fn the_deepest_condition_is_asked_wherever_conditions_are() {
    for condition in chains(256) {
        let Compilation { policy, diagnostics } = compiled(&format!("when {{ {condition} }}"), &condition);
        let policy = policy.unwrap_or_else(|| panic!("{diagnostics:?}"));
        let facts = FactValues::new();
        let now = "2026-01-05T12:00:00Z".parse().expect("a moment");
        let (source, target) = ("rs-2@abc.net", "rs-1@abc.net");
        let question = Question { source, target, now, reason: "", ticket: "", facts: &facts, incident: None };
        assert!(policy.decide(&question).permit().is_some(), "{condition}");
        assert!(matches!(policy.check_nevers(100).remove(0).outcome, NeverOutcome::Refuted(_)), "{condition}");
        assert!(policy.survey(&["rs-1@abc.net"], &[&condition], 100).scenarios.len() > 1, "{condition}");
    }
}

#[test]
fn a_deeper_condition_is_refused_at_its_place() {
    for condition in chains(260).iter().chain(&chains(1_000)) {
        let compilation = compiled(&format!("when {{ {condition} }}"), condition);
        assert!(compilation.policy.is_none());
        let codes: Vec<Code> = compilation.diagnostics.iter().map(|d| d.code).collect();
        assert_eq!(codes, [Code::TooDeep; 2], "{condition}");
    }
    let long = format!("context.hour{} == 3", "+1".repeat(4_000));
    let compilation = compiled("", &long);
    let found = &compilation.diagnostics[0];
    assert_eq!((found.message.as_str(), found.line), ("this condition has too many operators", 6));
    // Whoever surveys asks about conditions of his own.
    let policy = compiled("", "context.f").policy.expect("a policy");
    assert!(!policy.survey(&["rs-1@abc.net"], &[&long], 100).exhaustive);
}

#[test]
fn a_rule_may_have_any_number_of_conditions() {
    let many = "when { context.hour < 24 } ".repeat(3_000);
    assert!(compiled(&many, "context.f").policy.is_some());
}

#[test]
fn a_during_is_no_longer_than_a_condition_may_be() {
    let during = |spans: usize| format!("during {}", vec!["mon 08:10-09:20"; spans].join(", "));
    assert!(compiled(&during(40), "context.f").policy.is_some());
    let found = compiled(&during(4_000), "context.f").diagnostics;
    assert_eq!((found.len(), found[0].code), (1, Code::TooDeep), "{found:?}");
}
