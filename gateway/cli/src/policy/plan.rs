//! `sallyport policy plan`: who gains and who loses what by a change of a policy.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::Style;
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use policy_lang::{Plan as Changes, Verdict, compile, load};
use serde::Serialize;

use super::prove::{self, Claim, Verdict as Claimed};
use super::{policy_of, policy_or_errors};
use crate::colour::{GREEN, RED, WEAKER, YELLOW, print, println};
use crate::output::{json, printable, visible};

mod git;
mod live;

/// Exit code for wrong usage, for what cannot be read and for a policy that does not check.
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
    /// Exit with 0 if nothing changes, 1 if nothing widens, 2 if something does or might, or is
    /// no longer asserted; always with 3 if a policy cannot be read or does not check.
    #[arg(long)]
    exit_code: bool,
    /// Say what becomes of the sessions that are open now: the data directory of the running manager.
    #[arg(long, value_name = "MANAGER")]
    live: Option<PathBuf>,
    /// Prove as well what `policy prove` does: that the new policy allows no more, its nevers, and
    /// that no rule can err. With `--exit-code`, whatever of it is refuted or not decided counts as
    /// wider.
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
    /// Whether a proof was asked for and something is not proved: that the new policy allows no
    /// more, or what it promises of itself.
    fn is_open(&self) -> bool {
        let open = |claim: &Claim| matches!(claim.verdict, Claimed::Refuted | Claimed::NotDecided);
        self.claims.iter().flatten().any(open)
    }
}

/// Runs the verb. Its errors end it with [`UNUSABLE`], since 1 and 2 have a meaning here.
pub(super) fn run(args: &Plan) -> anyhow::Result<ExitCode> {
    let Some(report) = compare(args)? else { return Ok(ExitCode::from(UNUSABLE)) };
    Ok(ExitCode::from(match report.verdict {
        _ if !args.exit_code => 0,
        _ if report.is_open() => 2,
        None => 0,
        Some(Verdict::Narrows | Verdict::Neutral) => 1,
        Some(Verdict::Widens | Verdict::Weakens) => 2,
    }))
}

/// Compares and prints; `None` if a policy has errors, which have been shown. The new one has to
/// keep its own tests and nevers, or it could not take effect; the old one is what it is.
fn compare(args: &Plan) -> anyhow::Result<Option<Report>> {
    let (old, new) = match (&args.git, &args.old, &args.new) {
        (Some(revision), directory, None) => {
            let directory = directory.as_deref().unwrap_or(Path::new("."));
            let sources = git::read(directory, revision)?;
            let label = PathBuf::from(format!("{revision}:{}", directory.display()));
            let old = compile(&sources);
            (policy_or_errors(&label, &sources, old), policy_of(directory, load)?)
        }
        (None, Some(old), Some(new)) => (policy_of(old, compile)?, policy_of(new, load)?),
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
        Format::Markdown => print!("{}", markdown(&report))?,
        Format::Text => text(&report)?,
    }
    Ok(Some(report))
}

fn text(report: &Report) -> io::Result<()> {
    for line in report.plan.lines() {
        tell(line.verdict, &line.to_string())?;
    }
    for (verdict, line) in live::lines(report.live.as_deref()) {
        tell(verdict, &line)?;
    }
    match &report.claims {
        Some(claims) => print!("{}", prove::lines(claims)),
        None => Ok(()),
    }
}

/// Green where more is permitted, red where less is.
fn tell(verdict: Option<Verdict>, line: &str) -> io::Result<()> {
    let line = printable(line);
    let style = match verdict {
        None => Style::new(),
        Some(Verdict::Widens) => GREEN,
        Some(Verdict::Weakens) => WEAKER,
        Some(Verdict::Narrows) => RED,
        Some(Verdict::Neutral) => YELLOW,
    };
    println!("{style}{line}{style:#}")
}

/// A comment on a pull request, no longer than GitHub takes it. What is said of sessions and claims
/// comes last, and is not what is cut first.
fn markdown(report: &Report) -> String {
    /// GitHub takes 65,536; the rest is left for a heading or a signature.
    const LONGEST: usize = 64_000;
    let live = live::markdown(report.live.as_deref());
    let claims = report.claims.as_deref().map(|claims| {
        let lines = prove::lines(claims).replace("```", "'''");
        format!("\n```text\n{lines}```\n")
    });
    let claims = cut(&claims.unwrap_or_default(), LONGEST / 4);
    let live = cut(&live, LONGEST / 4);
    let left = LONGEST - live.chars().count() - claims.chars().count();
    cut(&visible(&report.plan.markdown()), left) + &live + &claims
}

/// Text without its last lines, and how many those were, where it has more than so many characters.
fn cut(text: &str, longest: usize) -> String {
    /// Room for the end of a block and the note.
    const NOTE: usize = 120;
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let (mut kept, mut length, mut in_block) = (String::new(), 0, false);
    let mut rest = text.lines().count();
    for line in text.lines() {
        length += line.chars().count() + 1;
        if length + NOTE > longest {
            break;
        }
        in_block ^= line.starts_with("```");
        kept.push_str(line);
        kept.push('\n');
        rest -= 1;
    }
    let end = if in_block { "```\n" } else { "" };
    format!("{kept}{end}\n… and {rest} lines more; `sallyport policy plan` shows all of them\n")
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn what_is_too_long_is_cut_at_a_line_and_says_so() {
        let text = format!("### é\n\n```diff\n{}```\n", "+ x\n".repeat(100));
        assert_eq!(cut(&text, text.chars().count()), text);
        let short = cut(&text, 150);
        let expected =
            "### é\n\n```diff\n+ x\n+ x\n+ x\n```\n\n… and 98 lines more; `sallyport policy plan` shows all of them\n";
        assert_eq!(short, expected);
        assert!(short.chars().count() <= 150);
        // A line of any length, and no room at all.
        assert!(cut(&"x".repeat(1000), 200).starts_with("\n… and 1 lines more"));
        assert!(cut("a\nb\n", 1).starts_with("\n… and 2 lines more"));
    }
}
