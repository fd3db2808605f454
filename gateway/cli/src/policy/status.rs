//! `sallyport policy status`: which policy a running manager holds to, and whether it refused a
//! newer one.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use wire::control::{ControlRequest, GitRevision, PolicyMetrics, PolicyStatus, Whose, ask};

use super::{ERRORS, UNUSABLE};
use crate::colour::{eprintln, print};
use crate::output::{Format, json, printable};

#[derive(Args)]
pub(crate) struct Status {
    /// The data directory of the running manager.
    #[arg(long, visible_alias = "manager", env = "SALLYPORT_DATA", default_value = "/var/lib/sallyport")]
    data: PathBuf,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Status) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status: PolicyStatus = match runtime.block_on(ask(&args.data, Whose::Manager, &ControlRequest::PolicyStatus)) {
        Ok(status) => status,
        // 1 says that a policy was refused; whoever cannot be asked has said nothing.
        Err(error) => {
            eprintln!("error: {}", printable(&error.to_string()));
            return Ok(ExitCode::from(UNUSABLE));
        }
    };
    match args.format {
        Format::Json => json(&status)?,
        Format::Text => print!("{}", text(&status))?,
    }
    Ok(if status.refused.is_some() { ExitCode::from(ERRORS) } else { ExitCode::SUCCESS })
}

/// The first digits of a hash.
fn short(revision: &str) -> &str {
    revision.get(..12).unwrap_or(revision)
}

fn text(status: &PolicyStatus) -> String {
    let PolicyStatus { directory, revision, git, since, gateways, targets, rules, refused, metrics } = status;
    let mut lines = vec![
        format!("in force   {} since {since}", short(revision)),
        format!("from       {directory}{}", git.as_ref().map_or(String::new(), place_in_git)),
        format!("holds      {gateways} gateways, {targets} targets, {rules} rules"),
    ];
    if let Some(refused) = refused {
        let which = refused.revision.as_deref().map_or("what cannot be read", short);
        lines.push(format!("refused    {which} since {}", refused.since));
        lines.extend(refused.errors.iter().map(|error| format!("           {error}")));
        let more = refused.total.saturating_sub(refused.errors.len());
        if more > 0 {
            let errors = if more == 1 { "error" } else { "errors" };
            lines.push(format!("           and {more} {errors} more; `sallyport policy check {directory}` shows all"));
        }
    }
    lines.extend(counted(metrics));
    lines.into_iter().map(|line| printable(&line) + "\n").collect()
}

fn place_in_git(git: &GitRevision) -> String {
    let commit = git.commit.as_deref().map_or("no commit yet".to_owned(), |commit| format!("commit {}", short(commit)));
    let branch = git.branch.as_deref().map_or("no branch".to_owned(), |branch| format!("branch {branch}"));
    let dirty = if git.dirty { ", with changes that are not in it" } else { "" };
    format!(" ({commit}, {branch}{dirty})")
}

fn counted(metrics: &PolicyMetrics) -> [String; 3] {
    let PolicyMetrics { reloads, refusals, last_load_ms, last_felt_ms, .. } = metrics;
    let felt = if *last_felt_ms > 0 { format!(", {last_felt_ms} ms after the last change") } else { String::new() };
    let PolicyMetrics { last_cut, last_shortened, last_narrowed, .. } = metrics;
    let PolicyMetrics { sessions_cut, sessions_shortened, sessions_narrowed, .. } = metrics;
    [
        format!("loads      {reloads} took effect, {refusals} refused; the last took {last_load_ms} ms{felt}"),
        format!(
            "sessions   {last_cut} cut, {last_shortened} shortened, {last_narrowed} narrowed by the policy in force"
        ),
        format!("           {sessions_cut} cut, {sessions_shortened} shortened, {sessions_narrowed} narrowed in all"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::control::RefusedPolicy;

    #[test]
    fn what_people_read() {
        let status = PolicyStatus {
            directory: "/etc/sallyport/policies".into(),
            revision: "3f2a".repeat(16),
            git: Some(GitRevision { commit: Some("90a8".repeat(10)), branch: Some("main".into()), dirty: true }),
            since: "2026-01-02T13:45:24.042Z".into(),
            gateways: 3,
            targets: 2,
            rules: 5,
            refused: Some(RefusedPolicy {
                since: "2026-01-02T14:00:00.000Z".into(),
                revision: Some("77b1".repeat(16)),
                errors: vec!["kyoto.gate:7:12 P014 error: unknown gateway `rs-9@abc.net`\u{1b}".into()],
                total: 3,
            }),
            metrics: PolicyMetrics {
                reloads: 4,
                refusals: 1,
                last_load_ms: 12,
                last_felt_ms: 140,
                last_cut: 1,
                sessions_cut: 2,
                sessions_narrowed: 1,
                ..PolicyMetrics::default()
            },
        };
        let expected = "\
in force   3f2a3f2a3f2a since 2026-01-02T13:45:24.042Z
from       /etc/sallyport/policies (commit 90a890a890a8, branch main, with changes that are not in it)
holds      3 gateways, 2 targets, 5 rules
refused    77b177b177b1 since 2026-01-02T14:00:00.000Z
           kyoto.gate:7:12 P014 error: unknown gateway `rs-9@abc.net`␛
           and 2 errors more; `sallyport policy check /etc/sallyport/policies` shows all
loads      4 took effect, 1 refused; the last took 12 ms, 140 ms after the last change
sessions   1 cut, 0 shortened, 0 narrowed by the policy in force
           2 cut, 0 shortened, 1 narrowed in all
";
        assert_eq!(text(&status), expected);
    }
}
