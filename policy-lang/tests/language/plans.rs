//! Pull requests, and what a reviewer reads about each.
//! `UPDATE=1 cargo nextest run -p policy-lang` rewrites the expected texts; read the difference before it is kept.

use policy_lang::{Plan, Policy, Verdict, compile, plan};
use std::path::{Path, PathBuf};

fn cases() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(crate::common::fixtures().join("plans")).expect("fixtures");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
    paths.sort();
    assert!(paths.len() >= 10, "ten pull requests at least");
    paths
}

fn compiled(path: &Path) -> Policy {
    let compilation = compile(&crate::common::read(path));
    compilation.policy.unwrap_or_else(|| panic!("{}: {:#?}", path.display(), compilation.diagnostics))
}

fn both(case: &Path) -> (Policy, Policy) {
    (compiled(&case.join("old")), compiled(&case.join("new")))
}

/// The text, and the word for the whole on a line of its own.
fn told(plan: &Plan) -> String {
    let verdict = match plan.verdict() {
        None => "nothing",
        Some(Verdict::Widens) => "widens",
        Some(Verdict::Weakens) => "weakens",
        Some(Verdict::Narrows) => "narrows",
        Some(Verdict::Neutral) => "neutral",
    };
    format!("{plan}\n=> {verdict}\n")
}

#[test]
fn a_reviewer_reads_what_changes() {
    let mut agree = true;
    for case in cases() {
        let (old, new) = both(&case);
        let actual = told(&plan(&old, &new));
        let beside = case.join("expected.txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&beside, &actual).expect("writable");
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        if expected != actual {
            eprintln!("{}:\n--- expected\n{expected}--- actual\n{actual}", case.display());
            agree = false;
        }
    }
    assert!(agree, "plans differ; see above");
}

#[test]
fn a_policy_does_not_differ_from_itself() {
    for case in cases() {
        let (old, new) = both(&case);
        for policy in [old, new] {
            let plan = plan(&policy, &policy);
            assert_eq!(plan.changes, [], "{}", case.display());
        }
    }
}
