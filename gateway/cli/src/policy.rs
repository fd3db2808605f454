//! `sallyport policy`: check a policy and question it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use manager::ReadError;
use policy_lang::{Compilation, Diagnostic, SourceFile, compile};

use crate::output::{Format, json};

mod explain;
mod render;
mod status;

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
    /// Ask a running manager which policy is in force; exits with 0 if it is the one in its
    /// directory, 1 if that was refused, 2 if no manager answers.
    Status(status::Status),
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
        Verb::Status(args) => status::run(&args),
    }
}

fn check(args: &Check) -> anyhow::Result<ExitCode> {
    let (sources, compilation) = match read(&args.directory)? {
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

fn read(directory: &Path) -> anyhow::Result<Read> {
    match manager::read_policies(directory) {
        Ok(sources) => {
            let compilation = compile(&sources);
            Ok(Read::Compiled(sources, compilation))
        }
        Err(ReadError::NoText(diagnostics)) => Ok(Read::NotText(diagnostics)),
        Err(error) => Err(error.into()),
    }
}
