//! `sallyport policy plan`: who gains and who loses what by a change of a policy.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::Style;
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use policy_lang::{Plan as Changes, Policy, SourceFile, Verdict, compile};
use serde::Serialize;

use super::prove::{self, Claim, Verdict as Claimed};
use super::{Read, read, render};
use crate::colour::{GREEN, RED, WEAKER, YELLOW, print, println};
use crate::output::{json, printable};

mod git;
mod live;

/// Exit code for wrong usage, for what cannot be read and for a policy that has errors.
pub(crate) const UNUSABLE: u8 = 3;

#[derive(Args)]
pub(crate) struct Plan {
    /// The directory of the policy as it is; with `--git`, as it is to be (`.` if it is left out).
    #[arg(required_unless_present = "git")]
    old: Option<PathBuf>,
    /// The directory of the policy as it is to be.
    #[arg(required_unless_present = "git", conflicts_with = "git")]
    new: Option<PathBuf>,
    /// Compare the working tree with this revision of the Git repository that it is in.
    #[arg(long, value_name = "REV")]
    git: Option<String>,
    /// Exit with 0 if nothing changes, 1 if nothing widens, 2 if something does or
    /// might, or is no longer asserted.
    #[arg(long)]
    exit_code: bool,
    /// Say what becomes of the sessions that are open now: the data directory of the running manager.
    #[arg(long, value_name = "MANAGER")]
    live: Option<PathBuf>,
    /// Prove as well what `policy prove` does: that the new policy allows no more, its nevers, and
    /// that no rule can err. With `--exit-code`, what is not proved to be no wider counts as wider.
    #[arg(long)]
    prove: bool,
    #[command(flatten)]
    proof: prove::Options,
    /// How the plan is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The form of a plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For a comment on a pull request.
    Markdown,
}

/// All that is told about a change.
#[derive(Serialize)]
struct Report {
    summary: String,
    /// Absent where nothing changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
    changed_targets: usize,
    #[serde(flatten)]
    plan: Changes,
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<Vec<live::Row>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claims: Option<Vec<Claim>>,
}

impl Report {
    /// Whether a proof was asked for, and there is none that the new policy allows no more.
    fn may_widen(&self) -> bool {
        let open = |claim: &Claim| claim.compares && matches!(claim.verdict, Claimed::Refuted | Claimed::NotDecided);
        self.claims.iter().flatten().any(open)
    }
}

/// Runs the verb. Its errors have an exit code of their own, since 1 and 2 have a meaning here.
pub(super) fn run(args: &Plan) -> ExitCode {
    match compare(args) {
        Ok(Some(report)) if args.exit_code => ExitCode::from(match report.verdict {
            _ if report.may_widen() => 2,
            None => 0,
            Some(Verdict::Narrows | Verdict::Neutral) => 1,
            Some(Verdict::Widens | Verdict::Weakens) => 2,
        }),
        Ok(Some(_)) => ExitCode::SUCCESS,
        Ok(None) => ExitCode::from(UNUSABLE),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(UNUSABLE)
        }
    }
}

/// Compares and prints; `None` if a policy has errors, which have been shown.
fn compare(args: &Plan) -> anyhow::Result<Option<Report>> {
    let (old, new) = match (&args.git, &args.old, &args.new) {
        (Some(revision), directory, None) => {
            let directory = directory.as_deref().unwrap_or(Path::new("."));
            let sources = git::read(directory, revision)?;
            let label = PathBuf::from(format!("{revision}:{}", directory.display()));
            (compiled(&label, sources), checked(directory)?)
        }
        (None, Some(old), Some(new)) => (checked(old)?, checked(new)?),
        _ => bail!("name two directories, or `--git REVISION` and at most one"),
    };
    let (Some(old), Some(new)) = (old, new) else { return Ok(None) };
    let plan = policy_lang::plan(&old, &new);
    let live = match &args.live {
        Some(data) => Some(live::sessions(data, &old, &new).context("--live")?),
        None => None,
    };
    let claims = if args.prove { Some(prove::claims(&old, &new, &args.proof)?) } else { None };
    let report = Report {
        summary: plan.summary(),
        verdict: plan.verdict(),
        changed_targets: plan.changed_targets().len(),
        plan,
        live,
        claims,
    };
    match args.format {
        Format::Json => json(&report)?,
        Format::Markdown => {
            print!("{}{}", report.plan.markdown(), live::markdown(report.live.as_deref()));
            if let Some(claims) = &report.claims {
                print!("\n```text\n{}```\n", prove::lines(claims));
            }
        }
        Format::Text => text(&report),
    }
    Ok(Some(report))
}

/// The policy of a directory; `None` if it has errors, which are shown.
fn checked(directory: &Path) -> anyhow::Result<Option<Policy>> {
    Ok(match read(directory)? {
        Read::Compiled(sources, compilation) => {
            if compilation.policy.is_none() {
                render::all(directory, &sources, &compilation.diagnostics);
            }
            compilation.policy
        }
        Read::NotText(diagnostics) => {
            render::all(directory, &[], &diagnostics);
            None
        }
    })
}

fn compiled(label: &Path, sources: Vec<SourceFile>) -> Option<Policy> {
    let compilation = compile(&sources);
    if compilation.policy.is_none() {
        render::all(label, &sources, &compilation.diagnostics);
    }
    compilation.policy
}

fn text(report: &Report) {
    for line in report.plan.lines() {
        tell(line.verdict, &line.to_string());
    }
    for (verdict, line) in live::lines(report.live.as_deref()) {
        tell(verdict, &line);
    }
    if let Some(claims) = &report.claims {
        print!("{}", prove::lines(claims));
    }
}

/// Green where more is permitted, red where less is.
fn tell(verdict: Option<Verdict>, line: &str) {
    let line = printable(line);
    let style = match verdict {
        None => Style::new(),
        Some(Verdict::Widens) => GREEN,
        Some(Verdict::Weakens) => WEAKER,
        Some(Verdict::Narrows) => RED,
        Some(Verdict::Neutral) => YELLOW,
    };
    println!("{style}{line}{style:#}");
}
