//! `sallyport policy`: check a policy and question it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use manager::ReadError;
use policy_lang::{Compilation, Diagnostic, Policy, SourceFile, compile, load};

use crate::colour::{GREEN, print, println};
use crate::output::{json, printable};
use crate::report::{github, sarif};

mod cases;
mod codes;
mod explain;
mod findings;
mod fmt;
mod lower;
pub(crate) mod plan;
mod prove;
mod render;
mod status;
mod test;

/// Exit code where the policy has errors.
const ERRORS: u8 = 1;
/// Exit code for wrong usage and for what cannot be read.
const UNUSABLE: u8 = 2;

/// Check and question a policy.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Check a policy; exits with 0 if it is fine, 1 if it has errors, 2 if it cannot be read.
    Check(Check),
    /// Give policies their canonical text; exits with 1 if text cannot be read or, with `--check`, would change.
    Fmt(fmt::Fmt),
    /// Say what a policy decides, and why.
    Explain(explain::Explain),
    /// Run a policy's tests and nevers; exits with 0 if all hold, 1 if not, 2 if it cannot be read.
    Test(test::Test),
    /// Say who gains and who loses what by a change of a policy.
    Plan(plan::Plan),
    /// Write a policy in Cedar's own files, for Cedar's own tools.
    Lower(lower::Lower),
    /// Prove or refute what a policy claims; exits with 0 if all of it is proved, 1 if something is
    /// refuted or the policy has errors, 4 if something could not be decided, 2 if it cannot be read.
    Prove(prove::Prove),
    /// Ask a running manager which policy is in force; exits with 0 if it is the one in its
    /// directory, 1 if that was refused, 2 if no manager answers.
    Status(status::Status),
}

#[derive(Args)]
pub(crate) struct Check {
    /// The directory of the policy.
    #[arg(required_unless_present = "explain")]
    directory: Option<PathBuf>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    format: CheckFormat,
    /// Say what a code such as `P014` means, with an example and its mend; `all` lists the codes.
    #[arg(long, value_name = "CODE", conflicts_with = "directory")]
    explain: Option<String>,
}

/// The form of a check's result.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
enum CheckFormat {
    /// For people: errors and warnings drawn at their place, on standard error.
    #[default]
    Text,
    /// For programs.
    Json,
    /// SARIF 2.1.0, for code scanning and editors.
    Sarif,
    /// Annotations of a pull request, as commands of a GitHub workflow.
    Github,
}

pub(crate) fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Check(args) => check(&args),
        Verb::Fmt(args) => fmt::run(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Test(args) => test::run(&args),
        Verb::Plan(args) => plan::run(&args),
        Verb::Lower(args) => lower::run(&args),
        Verb::Prove(args) => prove::run(&args),
        Verb::Status(args) => status::run(&args),
    }
}

fn check(args: &Check) -> anyhow::Result<ExitCode> {
    if let Some(word) = &args.explain {
        return codes::explain(word, args.format);
    }
    let directory = args.directory.as_deref().context("which directory?")?;
    let (sources, compilation) = match read_with(directory, load)? {
        Read::Compiled(sources, compilation) => (sources, compilation),
        Read::NotText(diagnostics) => (Vec::new(), Compilation { policy: None, diagnostics }),
    };
    match args.format {
        CheckFormat::Json => json(&compilation.diagnostics)?,
        CheckFormat::Sarif => json(&sarif::log(&findings::of(directory, &compilation.diagnostics)?))?,
        CheckFormat::Github => print!("{}", github::commands(&findings::of(directory, &compilation.diagnostics)?))?,
        CheckFormat::Text => {
            render::all(directory, &sources, &compilation.diagnostics);
            if let Some(policy) = &compilation.policy {
                let gateways = policy.apparatuses().filter(|apparatus| apparatus.is_gateway()).count();
                let estate = policy.estate();
                println!(
                    "{GREEN}{} is fine{GREEN:#}: estate {}, {gateways} gateways, revision {}",
                    printable(&directory.display().to_string()),
                    printable(&estate.name),
                    policy.fingerprint().short()
                )?;
            }
        }
    }
    Ok(if compilation.policy.is_some() { ExitCode::SUCCESS } else { ExitCode::from(ERRORS) })
}

/// The policy of a directory as `compile` or `load` takes it; `None` if it has errors, which are
/// drawn.
fn policy_of(directory: &Path, compile: fn(&[SourceFile]) -> Compilation) -> anyhow::Result<Option<Policy>> {
    Ok(match read_with(directory, compile)? {
        Read::Compiled(sources, compilation) => policy_or_errors(directory, &sources, compilation),
        Read::NotText(diagnostics) => {
            render::all(directory, &[], &diagnostics);
            None
        }
    })
}

fn policy_or_errors(directory: &Path, sources: &[SourceFile], compilation: Compilation) -> Option<Policy> {
    if compilation.policy.is_none() {
        render::all(directory, sources, &compilation.diagnostics);
    }
    compilation.policy
}

/// What a policy directory holds.
enum Read {
    Compiled(Vec<SourceFile>, Compilation),
    /// Files that are no text: errors of the policy, not of reading it.
    NotText(Vec<Diagnostic>),
}

/// Reads a policy as it is, whether its own assertions hold or not.
fn read(directory: &Path) -> anyhow::Result<Read> {
    read_with(directory, compile)
}

fn read_with(directory: &Path, compile: fn(&[SourceFile]) -> Compilation) -> anyhow::Result<Read> {
    match manager::read_policies(directory) {
        Ok(sources) => {
            let compilation = compile(&sources);
            Ok(Read::Compiled(sources, compilation))
        }
        Err(ReadError::NoText(diagnostics)) => Ok(Read::NotText(diagnostics)),
        Err(error) => Err(error.into()),
    }
}
