//! What Git knows of a policy directory. It is asked for people only: no reload waits for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use tokio::process::Command;
use wire::control::GitRevision;

/// How long Git may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// A lock that is older was left behind by a Git that died.
const STALE: Duration = Duration::from_secs(10);

/// The commit and branch that are checked out where `directory` stands, and whether its policy
/// files are those of the commit. `None` where there is no repository, no Git, or no answer in time.
pub(crate) async fn revision(directory: &Path) -> Option<GitRevision> {
    let mut git = Command::new("git");
    // Nothing that a repository's configuration names is run, and no lock is taken that a
    // checkout at the same moment would stumble over.
    git.args(["--no-optional-locks", "-c", "core.fsmonitor=false", "-C"])
        .arg(directory)
        .args(["status", "--porcelain=v2", "--branch", "--untracked-files=all", "--ignored=matching", "--", "*.gate"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_CEILING_DIRECTORIES"] {
        git.env_remove(name);
    }
    let output = tokio::time::timeout(PATIENCE, git.output()).await.ok()?.ok()?;
    output.status.success().then(|| parse(&String::from_utf8_lossy(&output.stdout)))
}

/// Reads Git's porcelain format, version 2.
fn parse(status: &str) -> GitRevision {
    let mut revision = GitRevision::default();
    for line in status.lines() {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("#", header) => match header.split_once(' ') {
                Some(("branch.oid", commit)) if commit != "(initial)" => revision.commit = Some(commit.to_owned()),
                Some(("branch.head", branch)) if branch != "(detached)" => revision.branch = Some(branch.to_owned()),
                _ => {}
            },
            _ => revision.dirty = true,
        }
    }
    revision
}

/// Whether Git is just changing the working tree in which `directory` stands: what is there is
/// neither the old revision nor the new one.
pub(super) fn is_at_work(directory: &Path) -> bool {
    let Some(lock) = directory.ancestors().find_map(repository).map(|repository| repository.join("index.lock")) else {
        return false;
    };
    let Ok(since) = fs::metadata(lock).and_then(|metadata| metadata.modified()) else { return false };
    SystemTime::now().duration_since(since).is_ok_and(|age| age < STALE)
}

/// The repository's directory, if `tree` is the top of a working tree.
fn repository(tree: &Path) -> Option<PathBuf> {
    let git = tree.join(".git");
    let metadata = fs::metadata(&git).ok()?;
    if metadata.is_dir() {
        return Some(git);
    }
    // Of a worktree or a submodule there is only a file that says where it is.
    let text = fs::read_to_string(git).ok()?;
    Some(tree.join(text.strip_prefix("gitdir:")?.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says() {
        let commit = "90a8ba2ffd5dd9cb4aa0bf1f48f1ad2d4b2ed6b4";
        let head =
            format!("# branch.oid {commit}\n# branch.head main\n# branch.upstream origin/main\n# branch.ab +1 -0\n");
        let clean = GitRevision { commit: Some(commit.into()), branch: Some("main".into()), dirty: false };
        assert_eq!(parse(&head), clean);
        for change in ["1 .M N... 100644 100644 100644 a b plant.gate", "? new.gate", "! ignored.gate"] {
            assert_eq!(parse(&format!("{head}{change}\n")), GitRevision { dirty: true, ..clean.clone() });
        }
        assert_eq!(parse("# branch.oid (initial)\n# branch.head (detached)\n"), GitRevision::default());
    }
}
