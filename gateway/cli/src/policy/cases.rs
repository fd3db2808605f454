//! What came of a policy's tests and nevers as cases, for the formats of build servers.

use std::path::Path;

use policy_lang::{CaseResult, Diagnostic, NeverOutcome, NeverResult, Outcome, TestResult};

use crate::report::{self, Case, Root, Suite};

/// A suite for each test, and one for all nevers.
pub(super) fn of(directory: &Path, tests: &[TestResult], nevers: &[NeverResult]) -> std::io::Result<Vec<Suite>> {
    let root = Root::of_this_run()?;
    let test = |test: &TestResult| Suite {
        name: test.name.clone(),
        cases: test.cases.iter().map(|case| of_case(&root, directory, case)).collect(),
    };
    let mut suites: Vec<Suite> = tests.iter().map(test).collect();
    if !nevers.is_empty() {
        let cases = nevers.iter().map(|never| of_never(&root, directory, never)).collect();
        suites.push(Suite { name: "never".to_owned(), cases });
    }
    Ok(suites)
}

/// The errors of a policy that has no tests to run because of them.
pub(super) fn of_errors(directory: &Path, diagnostics: &[Diagnostic]) -> std::io::Result<Suite> {
    let root = Root::of_this_run()?;
    let case = |error: &Diagnostic| Case {
        name: format!("{}: {}", error.code, error.code.meaning()),
        file: root.file(directory, &error.file),
        line: error.line,
        outcome: report::Outcome::Failed { message: error.message.clone(), detail: error.to_string() },
    };
    let cases = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).map(case).collect();
    Ok(Suite { name: "errors".to_owned(), cases })
}

fn of_case(root: &Root, directory: &Path, case: &CaseResult) -> Case {
    let outcome = match &case.outcome {
        Outcome::Passed => report::Outcome::Passed,
        Outcome::Failed { expected, actual, why, rules } => {
            let rules: Vec<String> = rules.iter().map(ToString::to_string).collect();
            let decided = if rules.is_empty() { String::new() } else { format!("decided by {}", rules.join(", ")) };
            let parts = [why.as_str(), &decided];
            let detail: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            let message = format!("expected `{expected}`, but the policy says `{actual}`");
            report::Outcome::Failed { message, detail: detail.join("\n") }
        }
    };
    let file = root.file(directory, &case.place.file);
    Case { name: case.text.clone(), file, line: case.place.line, outcome }
}

fn of_never(root: &Root, directory: &Path, never: &NeverResult) -> Case {
    let outcome = match &never.outcome {
        NeverOutcome::Kept => report::Outcome::Passed,
        NeverOutcome::KeptInPart => {
            report::Outcome::Skipped { message: "not refuted, but it could be checked in part only".to_owned() }
        }
        NeverOutcome::Refuted(example) => {
            report::Outcome::Failed { message: "refuted".to_owned(), detail: example.to_string() }
        }
    };
    let file = root.file(directory, &never.place.file);
    Case { name: never.name.clone(), file, line: never.place.line, outcome }
}
