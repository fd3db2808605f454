//! `sallyport policy test`: does the policy say what its tests expect, and keep its nevers?

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use policy_lang::{Coverage, Diagnostic, NeverOutcome, NeverResult, Policy, SourceFile, TestReport, TestResult};
use serde::Serialize;

use super::{ERRORS, Read, read, render};
use crate::output::{Format, json};

/// How many requests the nevers of a policy may take: some seconds' work.
const REQUESTS: usize = 100_000;

#[derive(Args)]
pub(crate) struct Test {
    /// The directory of the policy.
    directory: PathBuf,
    /// Only the tests and nevers whose name contains this.
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// List the rules that no test decides, too; all tests count, whatever the filter.
    #[arg(long)]
    coverage: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The result for programs.
#[derive(Serialize)]
struct Report {
    passed: bool,
    tests: Vec<TestResult>,
    nevers: Vec<NeverResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage: Option<Coverage>,
}

impl Report {
    fn of(policy: &Policy, args: &Test) -> Self {
        let TestReport { mut tests, coverage } = policy.run_tests();
        let mut nevers = policy.check_nevers(REQUESTS);
        if let Some(filter) = &args.filter {
            tests.retain(|test| test.name.contains(filter.as_str()));
            nevers.retain(|never| never.name.contains(filter.as_str()));
        }
        let passed = tests.iter().all(TestResult::passed) && nevers.iter().all(NeverResult::holds);
        Self { passed, tests, nevers, coverage: args.coverage.then_some(coverage) }
    }

    /// What there is to say against the policy, at its places.
    fn diagnostics(&self, sources: &[SourceFile]) -> Vec<Diagnostic> {
        let failures = self.tests.iter().flat_map(|test| test.diagnostics(sources));
        failures.chain(self.nevers.iter().filter_map(|never| never.diagnostic(sources))).collect()
    }

    fn print(&self, directory: &Path, sources: &[SourceFile]) {
        render::all(directory, sources, &self.diagnostics(sources));
        for test in &self.tests {
            let failed = test.cases.iter().filter(|case| !case.passed()).count();
            match failed {
                0 => println!("ok      test \"{}\": {}", test.name, counted(test.cases.len(), "case")),
                _ => {
                    println!("FAILED  test \"{}\": {failed} of {} failed", test.name, counted(test.cases.len(), "case"))
                }
            }
        }
        for never in &self.nevers {
            let (verdict, said) = match never.outcome {
                NeverOutcome::Kept => ("ok", "kept"),
                NeverOutcome::KeptInPart => ("ok", "kept as far as it could be checked"),
                NeverOutcome::Refuted(_) => ("FAILED", "refuted"),
            };
            println!("{verdict:<6}  never \"{}\": {said}", never.name);
        }
        if let Some(coverage) = &self.coverage {
            for rule in &coverage.undecided {
                println!("{:<8}  {}: no test decides it", rule.kind.as_str(), rule.place);
            }
            println!("tests decide {} of {}", coverage.decided, counted(coverage.rules, "rule"));
        }
        self.sum_up(directory);
    }

    fn sum_up(&self, directory: &Path) {
        if self.tests.is_empty() && self.nevers.is_empty() {
            println!("{}: nothing to run; write `test \"…\" {{ A -> B allow }}` in a .gate file", directory.display());
            return;
        }
        let cases = self.tests.iter().map(|test| test.cases.len()).sum();
        let failed = self.tests.iter().flat_map(|test| &test.cases).filter(|case| !case.passed()).count();
        let refuted = self.nevers.iter().filter(|never| !never.holds()).count();
        println!(
            "{}, {}: {} passed, {failed} failed; {}: {refuted} refuted",
            counted(self.tests.len(), "test"),
            counted(cases, "case"),
            cases - failed,
            counted(self.nevers.len(), "never"),
        );
    }
}

pub(super) fn run(args: &Test) -> anyhow::Result<ExitCode> {
    let (sources, compilation) = match read(&args.directory)? {
        Read::Compiled(sources, compilation) => (sources, compilation),
        Read::NotText(diagnostics) => {
            render::all(&args.directory, &[], &diagnostics);
            return Ok(ExitCode::from(ERRORS));
        }
    };
    let Some(policy) = &compilation.policy else {
        render::all(&args.directory, &sources, &compilation.diagnostics);
        return Ok(ExitCode::from(ERRORS));
    };
    let report = Report::of(policy, args);
    match args.format {
        Format::Json => json(&report)?,
        Format::Text => report.print(&args.directory, &sources),
    }
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::from(ERRORS) })
}

/// `1 case`, `2 cases`.
fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
