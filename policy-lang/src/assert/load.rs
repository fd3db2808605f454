//! The way by which a policy takes effect: compiled, and all of its assertions hold.

use super::{CaseResult, Outcome, TestResult};
use crate::diagnostic::{Code, Diagnostic};
use crate::policy::{self, Compilation, Policy};
use crate::source::{SourceFile, Sources};

/// Compiles a policy and holds it to its own assertions: a test that fails is an error, and
/// there is no policy then. [`compile`](crate::compile) alone opens one whose assertions fail.
pub fn load(files: &[SourceFile]) -> Compilation {
    let mut compilation = policy::compile(files);
    let Some(compiled) = &compilation.policy else { return compilation };
    let found = compiled.assertions(&Sources::new(files));
    if found.iter().any(Diagnostic::is_error) {
        compilation.policy = None;
    }
    compilation.diagnostics.extend(found);
    policy::sort(&mut compilation.diagnostics);
    compilation
}

impl Policy {
    /// What its own assertions have to say against it.
    fn assertions(&self, sources: &Sources<'_>) -> Vec<Diagnostic> {
        let report = self.run_tests();
        report.failures().filter_map(|(test, case)| failure(sources, test, case)).collect()
    }
}

fn failure(sources: &Sources<'_>, test: &TestResult, case: &CaseResult) -> Option<Diagnostic> {
    let Outcome::Failed { expected, actual, why, rules } = &case.outcome else { return None };
    let message = format!("test `{}` fails: expected `{expected}`, but the policy says `{actual}`", test.name);
    let error = sources.error(Code::TestFails, case.at, message, format!("says `{actual}`"));
    let places: Vec<String> = rules.iter().map(ToString::to_string).collect();
    Some(match (why.as_str(), places.as_slice()) {
        ("", []) => error,
        ("", places) => error.with_help(format!("decided by {}", places.join(", "))),
        (why, _) => error.with_help(why),
    })
}
