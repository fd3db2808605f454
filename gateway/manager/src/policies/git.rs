//! What Git knows of a policy directory. It is asked for people only: no reload waits for it.
//!
//! Whoever may write to a repository may name programs in its configuration. So Git is asked only
//! for what it has stored, never to look at files of the working tree, which filters would see:
//! whether they are those of the commit is found by their hashes.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use policy_lang::SourceFile;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;
use wire::control::GitRevision;

use super::repository::Repository;

/// How long Git may take, all in all.
const PATIENCE: Duration = Duration::from_secs(3);
/// The most that is read of what it says.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// The commit and branch that are checked out where `directory` stands, and whether these files,
/// which were read there, are those of the commit. `None` where there is no repository that is
/// believed, no Git, or no answer in time.
pub(crate) async fn revision(directory: &Path, sources: Vec<SourceFile>) -> Option<GitRevision> {
    tokio::time::timeout(PATIENCE, ask(directory.to_owned(), sources)).await.ok()?
}

async fn ask(directory: PathBuf, sources: Vec<SourceFile>) -> Option<GitRevision> {
    let (repository, files) = spawn_blocking(move || {
        let repository = Repository::of(&directory)?;
        let files = Files::of(&directory, &repository.tree, &sources)?;
        Some((repository, files))
    })
    .await
    .ok()??;
    let branch = git(&repository, &["symbolic-ref", "--quiet", "--short", "HEAD"]).await?;
    let commit = git(&repository, &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]).await?;
    let line = |text: Option<Vec<u8>>| Some(String::from_utf8_lossy(&text?).trim_end().to_owned());
    let (branch, commit) = (line(branch), line(commit));
    let dirty = match &commit {
        Some(commit) => {
            let paths = files.places.iter().map(String::as_str).filter(|place| !place.is_empty());
            let mut list = vec!["ls-tree", "-r", "-z", "--full-tree", commit, "--"];
            if !files.places.contains("") {
                list.extend(paths);
            }
            let listing = git(&repository, &list).await??;
            let tree = tree(&listing)?;
            spawn_blocking(move || !files.are_in(&tree)).await.ok()?
        }
        None => true,
    };
    Some(GitRevision { commit, branch, dirty })
}

/// The files of a policy as a repository sees them.
struct Files {
    /// The top of the working tree.
    top: PathBuf,
    /// The policy directory in it, ending with `/`; empty if it is the top.
    prefix: String,
    /// Each file's path as the policy has it, its path in the repository, if it really lies there,
    /// and its text.
    files: Vec<(String, Option<String>, String)>,
    /// The directories in the repository of which the commit must be known; `""` is all of it.
    places: BTreeSet<String>,
}

impl Files {
    fn of(directory: &Path, top: &Path, sources: &[SourceFile]) -> Option<Self> {
        let real = fs::canonicalize(directory).ok()?;
        let inside = |path: &Path| Some(path.strip_prefix(top).ok()?.to_str()?.to_owned());
        let prefix = inside(&real)?;
        let mut places = BTreeSet::from([prefix.clone()]);
        let mut files = Vec::with_capacity(sources.len());
        for source in sources {
            let place = fs::canonicalize(real.join(&source.path)).ok().and_then(|path| inside(&path));
            let above = place.as_deref().map(|place| place.rsplit_once('/').map_or("", |(above, _)| above));
            places.extend(above.filter(|above| !Path::new(above).starts_with(&prefix)).map(str::to_owned));
            files.push((source.path.clone(), place, source.text.clone()));
        }
        let prefix = if prefix.is_empty() { prefix } else { prefix + "/" };
        Some(Self { top: top.to_owned(), prefix, files, places })
    }

    /// Whether a commit of this tree has these files, and no others in the policy directory.
    fn are_in(&self, tree: &HashMap<String, Entry>) -> bool {
        let text = |place: &str, text: &str| {
            tree.get(place).is_some_and(|entry| !entry.is_link && entry.is_of(text.as_bytes()))
        };
        if !self.files.iter().all(|(_, place, content)| place.as_deref().is_some_and(|place| text(place, content))) {
            return false;
        }
        let known: BTreeSet<&str> = self.files.iter().map(|(path, ..)| path.as_str()).collect();
        tree.iter().all(|(path, entry)| {
            let Some(name) = path.strip_prefix(&self.prefix).filter(|name| !is_hidden(name)) else { return true };
            // A link in the commit leads where it led; a file that is missing was removed.
            let same = !entry.is_link
                || fs::read_link(self.top.join(path)).is_ok_and(|to| entry.is_of(to.as_os_str().as_bytes()));
            same && (entry.is_link || !name.ends_with(".gate") || known.contains(name))
        })
    }
}

/// Whether a path is skipped in a policy directory.
fn is_hidden(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with('.'))
}

/// A file or link in a commit.
struct Entry {
    is_link: bool,
    object: String,
}

impl Entry {
    /// Whether it holds this.
    fn is_of(&self, content: &[u8]) -> bool {
        let algorithm = if self.object.len() == 40 { &SHA1_FOR_LEGACY_USE_ONLY } else { &SHA256 };
        let mut blob = format!("blob {}\0", content.len()).into_bytes();
        blob.extend_from_slice(content);
        let hash: String = digest(algorithm, &blob).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        hash == self.object
    }
}

/// What `git ls-tree -z` lists. Paths that are no text belong to no policy file.
fn tree(listing: &[u8]) -> Option<HashMap<String, Entry>> {
    let mut entries = HashMap::new();
    for line in listing.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
        let tab = line.iter().position(|byte| *byte == b'\t')?;
        let head = std::str::from_utf8(&line[..tab]).ok()?;
        let [mode, kind, object] = head.split(' ').collect::<Vec<_>>()[..] else { return None };
        if let Ok(path) = std::str::from_utf8(&line[tab + 1..])
            && kind == "blob"
        {
            entries.insert(path.to_owned(), Entry { is_link: mode == "120000", object: object.to_owned() });
        }
    }
    Some(entries)
}

/// What a Git command prints: `None` if it cannot be run, `Some(None)` if it says no.
async fn git(repository: &Repository, arguments: &[&str]) -> Option<Option<Vec<u8>>> {
    let mut command = Command::new("git");
    command.arg("--no-pager").arg("--git-dir").arg(&repository.git).args(arguments);
    // Neither our own surroundings nor the machine's configuration have a say, nothing is fetched
    // for a clone that is not whole, and no lock is taken that a checkout would stumble over.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"GIT_")) {
        command.env_remove(name);
    }
    command.envs([
        ("GIT_ALLOW_PROTOCOL", "none"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_LITERAL_PATHSPECS", "1"),
        ("GIT_NO_LAZY_FETCH", "1"),
        ("GIT_OPTIONAL_LOCKS", "0"),
        ("GIT_TERMINAL_PROMPT", "0"),
    ]);
    command.current_dir(&repository.tree).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut group = Group::spawn(command).ok()?;
    let mut answer = Vec::new();
    let mut stdout = group.child.stdout.take()?.take(MAX_ANSWER + 1);
    stdout.read_to_end(&mut answer).await.ok()?;
    if answer.len() as u64 > MAX_ANSWER {
        return None;
    }
    let status = group.child.wait().await.ok()?;
    Some(status.success().then_some(answer))
}

/// A process and whatever it starts: all of them end when nobody waits any more.
struct Group {
    child: Child,
}

impl Group {
    fn spawn(mut command: Command) -> io::Result<Self> {
        Ok(Self { child: command.process_group(0).kill_on_drop(true).spawn()? })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its number is known for as long as nobody has fetched its end: until then it is its own.
        let group = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests;
