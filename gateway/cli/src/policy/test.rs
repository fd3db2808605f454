//! `sallyport policy test`: does the policy say what its tests expect, and keep its nevers?

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use policy_lang::{Coverage, Diagnostic, NeverOutcome, NeverResult, Policy, SourceFile, TestReport, TestResult};
use serde::Serialize;

use super::{ERRORS, Read, cases, findings, read, render};
use crate::colour::{GREEN, RED, YELLOW, print, println};
use crate::output::{json, printable};
use crate::report::{github, junit, sarif};

/// How many requests the nevers of a policy may take: some seconds' work.
const REQUESTS: usize = 100_000;

/// What a build server calls the whole run.
const NAME: &str = "policy";

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

/// The form of the result.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// JUnit's XML, for build servers.
    Junit,
    /// What fails as SARIF 2.1.0, for code scanning and editors.
    Sarif,
    /// What fails as annotations of a pull request, commands of a GitHub workflow.
    Github,
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

/// The same for a policy that has errors: nothing was run.
#[derive(Serialize)]
struct Refused<'d> {
    passed: bool,
    diagnostics: &'d [Diagnostic],
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

    fn print(&self, directory: &Path, sources: &[SourceFile]) -> io::Result<()> {
        render::all(directory, sources, &self.diagnostics(sources));
        for test in &self.tests {
            let failed = test.cases.iter().filter(|case| !case.passed()).count();
            let (name, cases) = (printable(&test.name), counted(test.cases.len(), "case"));
            match failed {
                0 => println!("{GREEN}ok{GREEN:#}      test \"{name}\": {cases}")?,
                _ => println!("{RED}FAILED{RED:#}  test \"{name}\": {failed} of {cases} failed")?,
            }
        }
        for never in &self.nevers {
            let (style, verdict, said) = match never.outcome {
                NeverOutcome::Kept => (GREEN, "ok", "kept"),
                NeverOutcome::KeptInPart => (YELLOW, "ok", "kept as far as it could be checked"),
                NeverOutcome::Refuted(_) => (RED, "FAILED", "refuted"),
            };
            println!("{style}{verdict:<6}{style:#}  never \"{}\": {said}", printable(&never.name))?;
        }
        if let Some(coverage) = &self.coverage {
            for rule in &coverage.undecided {
                println!("{:<8}  {}: no test decides it", rule.kind.as_str(), printable(&rule.place.to_string()))?;
            }
            println!("tests decide {} of {}", coverage.decided, counted(coverage.rules, "rule"))?;
        }
        self.sum_up(directory)
    }

    fn sum_up(&self, directory: &Path) -> io::Result<()> {
        if self.tests.is_empty() && self.nevers.is_empty() {
            let directory = printable(&directory.display().to_string());
            return println!("{directory}: nothing to run; write `test \"…\" {{ A -> B allow }}` in a .gate file");
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
        )
    }
}

pub(super) fn run(args: &Test) -> anyhow::Result<ExitCode> {
    let (sources, compilation) = match read(&args.directory)? {
        Read::Compiled(sources, compilation) => (sources, compilation),
        Read::NotText(diagnostics) => return refused(args, &[], &diagnostics),
    };
    let Some(policy) = &compilation.policy else { return refused(args, &sources, &compilation.diagnostics) };
    let report = Report::of(policy, args);
    let against = || findings::of(&args.directory, &report.diagnostics(&sources));
    match args.format {
        Format::Json => json(&report)?,
        Format::Text => report.print(&args.directory, &sources)?,
        Format::Junit => {
            print!("{}", junit::report(NAME, &cases::of(&args.directory, &report.tests, &report.nevers)?)?)?;
        }
        Format::Sarif => json(&sarif::log(&against()?))?,
        Format::Github => print!("{}", github::commands(&against()?))?,
    }
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::from(ERRORS) })
}

/// A policy with errors has no answers to compare.
fn refused(args: &Test, sources: &[SourceFile], diagnostics: &[Diagnostic]) -> anyhow::Result<ExitCode> {
    match args.format {
        Format::Text => render::all(&args.directory, sources, diagnostics),
        Format::Json => json(&Refused { passed: false, diagnostics })?,
        Format::Junit => print!("{}", junit::report(NAME, &[cases::of_errors(&args.directory, diagnostics)?])?)?,
        Format::Sarif => json(&sarif::log(&findings::of(&args.directory, diagnostics)?))?,
        Format::Github => print!("{}", github::commands(&findings::of(&args.directory, diagnostics)?))?,
    }
    Ok(ExitCode::from(ERRORS))
}

/// `1 case`, `2 cases`.
fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
