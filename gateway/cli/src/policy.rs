//! `sallyport policy`: check a policy and question it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use manager::ReadError;
use policy_lang::{Compilation, Diagnostic, SourceFile, compile, load};

use crate::output::{Format, json};

mod explain;
mod lower;
pub(crate) mod plan;
mod prove;
mod render;
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
}

#[derive(Args)]
pub(crate) struct Check {
    /// The directory of the policy.
    directory: PathBuf,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Check(args) => check(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Test(args) => test::run(&args),
        Verb::Plan(args) => Ok(plan::run(&args)),
        Verb::Lower(args) => lower::run(&args),
        Verb::Prove(args) => prove::run(&args),
    }
}

fn check(args: &Check) -> anyhow::Result<ExitCode> {
    let (sources, compilation) = match read_with(&args.directory, load)? {
        Read::Compiled(sources, compilation) => (sources, compilation),
        Read::NotText(diagnostics) => (Vec::new(), Compilation { policy: None, diagnostics }),
    };
    match args.format {
        Format::Json => json(&compilation.diagnostics)?,
        Format::Text => {
            render::all(&args.directory, &sources, &compilation.diagnostics);
            if let Some(policy) = &compilation.policy {
                let gateways = policy.apparatuses().filter(|apparatus| apparatus.is_gateway()).count();
                let estate = policy.estate();
                println!(
                    "{} is fine: estate {}, {gateways} gateways, revision {}",
                    args.directory.display(),
                    estate.name,
                    policy.fingerprint().short()
                );
            }
        }
    }
    Ok(if compilation.policy.is_some() { ExitCode::SUCCESS } else { ExitCode::from(ERRORS) })
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
