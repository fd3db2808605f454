//! A policy as a revision of a Git repository has it.

use std::collections::{HashMap, HashSet};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use policy_lang::{SourceFile, uses};

/// The most that all files together may hold, as for a directory.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// What git takes from its environment about which repository it works on.
const OF_A_REPOSITORY: [&str; 11] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// The files of a policy directory in a revision, and those outside of it that they use.
pub(super) fn read(directory: &Path, revision: &str) -> anyhow::Result<Vec<SourceFile>> {
    let prefix = git(directory, &["rev-parse", "--show-prefix"])
        .with_context(|| format!("`{}` is not in the working tree of a Git repository", directory.display()))?;
    let prefix = prefix.trim_end_matches('\n');
    let commit = format!("{revision}^{{commit}}");
    let commit = git(directory, &["rev-parse", "--verify", "--quiet", "--end-of-options", &commit])
        .with_context(|| format!("`{revision}` is no revision of this repository; a shallow clone has few of them"))?;
    let tree = git(directory, &["ls-tree", "-r", "-z", "--full-tree", "--end-of-options", commit.trim_end()])?;
    let tree = Tree::of(&tree, prefix)?;
    let mut wanted: Vec<String> = tree.files.keys().filter(|path| tree.is_policy(path, prefix)).cloned().collect();
    if wanted.is_empty() {
        bail!("revision `{revision}` holds no `.gate` file under `{}`", directory.display());
    }
    wanted.sort();
    let mut known: HashSet<String> = wanted.iter().cloned().collect();
    let mut sources = Vec::new();
    let mut no_text = Vec::new();
    let mut bytes = 0;
    // What is used may use more: round after round, until a round finds nothing new.
    while !wanted.is_empty() {
        let mut more = Vec::new();
        let objects: Vec<&str> = wanted.iter().filter_map(|path| tree.files.get(path)).map(String::as_str).collect();
        for (path, content) in wanted.iter().zip(contents(directory, &objects)?) {
            bytes += content.len();
            if bytes > MAX_BYTES {
                bail!("revision `{revision}` holds too much: at most 64 MiB are read");
            }
            match SourceFile::from_bytes(relative(path, prefix), content) {
                Ok(source) => {
                    let used = uses(&source).into_iter().filter_map(|used| within(prefix, &used.path));
                    more.extend(used.filter(|path| tree.files.contains_key(path) && known.insert(path.clone())));
                    sources.push(source);
                }
                Err(diagnostic) => no_text.push(diagnostic.to_string()),
            }
        }
        wanted = more;
    }
    if !no_text.is_empty() {
        bail!("{}", no_text.join("\n"));
    }
    Ok(sources)
}

/// The files of a revision: each path in the repository with its object.
struct Tree {
    files: HashMap<String, String>,
}

impl Tree {
    fn of(listing: &str, prefix: &str) -> anyhow::Result<Self> {
        let mut files = HashMap::new();
        for entry in listing.split('\0').filter(|entry| !entry.is_empty()) {
            let (head, path) = entry.split_once('\t').context("git lists files in a form that is not understood")?;
            let words: Vec<&str> = head.split(' ').collect();
            let [mode, kind, object] = words[..] else { bail!("git lists files in a form that is not understood") };
            // What a link leads to is not in the tree; nothing may be overlooked for that.
            let hidden = path.strip_prefix(prefix).is_none_or(dotted);
            if !hidden && (mode == "120000" || kind == "commit") {
                let what = if kind == "commit" { "a submodule" } else { "a link" };
                bail!(
                    "`{path}` is {what} in that revision; check it out with `git worktree add` and compare directories"
                );
            }
            if kind == "blob" && mode != "120000" {
                files.insert(path.to_owned(), object.to_owned());
            }
        }
        Ok(Self { files })
    }

    /// Whether a file is read with the directory, as it would be from disk.
    fn is_policy(&self, path: &str, prefix: &str) -> bool {
        path.strip_prefix(prefix).is_some_and(|path| path.ends_with(".gate") && !dotted(path))
    }
}

/// Whether any part of a path begins with a dot.
fn dotted(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with('.'))
}

/// A path in the repository as seen from the policy directory.
fn relative(path: &str, prefix: &str) -> String {
    let (mut path, mut prefix) = (path, prefix);
    while let Some((first, rest)) = prefix.split_once('/') {
        let Some(inside) = path.strip_prefix(first).and_then(|path| path.strip_prefix('/')) else { break };
        (path, prefix) = (inside, rest);
    }
    format!("{}{path}", "../".repeat(prefix.matches('/').count()))
}

/// A path that a policy uses, in the repository; `None` if it leads out of it.
fn within(prefix: &str, used: &str) -> Option<String> {
    let mut parts: Vec<&str> = prefix.split('/').filter(|part| !part.is_empty()).collect();
    for part in used.split('/') {
        match part {
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// What a Git command prints, which has to be text.
fn git(directory: &Path, args: &[&str]) -> anyhow::Result<String> {
    let output = command(directory, args).stdin(Stdio::null()).output().map_err(missing)?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("git {} failed{}{}", args[0], if why.is_empty() { "" } else { ": " }, why.trim());
    }
    String::from_utf8(output.stdout).context("a path in the repository is not UTF-8")
}

/// The contents of some objects, in their order.
fn contents(directory: &Path, objects: &[&str]) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut child = command(directory, &["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(missing)?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (mut stdin, mut stdout) = stdin.zip(stdout).context("git has no input or output")?;
    let mut text = Vec::new();
    // Both at once: git stops reading while nobody takes what it writes.
    let (written, taken) = std::thread::scope(|scope| {
        let writer = scope.spawn(move || objects.iter().try_for_each(|object| writeln!(stdin, "{object}")));
        let taken = stdout.read_to_end(&mut text);
        (writer.join(), taken)
    });
    taken.context("git's output cannot be read")?;
    let status = child.wait()?;
    if !status.success() || !matches!(written, Ok(Ok(()))) {
        bail!("git cat-file failed");
    }
    let mut rest = text.as_slice();
    let mut all = Vec::with_capacity(objects.len());
    for object in objects {
        let end = rest.iter().position(|byte| *byte == b'\n').context("git's output ends early")?;
        let head = String::from_utf8_lossy(&rest[..end]);
        // `HASH blob SIZE`, or `HASH missing` in a clone that is not whole.
        let size: usize = match head.split(' ').collect::<Vec<_>>()[..] {
            [_, "blob", size] => size.parse().context("git's output is not understood")?,
            _ => bail!("object {object} is not in this clone"),
        };
        rest = &rest[end + 1..];
        all.push(rest.get(..size).context("git's output ends early")?.to_vec());
        rest = rest.get(size + 1..).context("git's output ends early")?;
    }
    Ok(all)
}

fn command(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    // A hook tells its own repository to whatever it runs; the directory may lie in another one, and
    // with these set, git takes the current directory for the root of the working tree.
    for name in OF_A_REPOSITORY {
        command.env_remove(name);
    }
    command.arg("-C").arg(directory).args(args).stderr(Stdio::piped());
    command
}

fn missing(error: std::io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!("`git` was not found; `--git` needs it in PATH"),
        _ => anyhow::Error::new(error).context("git cannot be run"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_seen_from_the_policy_directory() {
        for (path, prefix, expected) in [
            ("policies/a.gate", "policies/", "a.gate"),
            ("policies/sub/a.gate", "policies/", "sub/a.gate"),
            ("a.gate", "", "a.gate"),
            ("common/a.gate", "policies/", "../common/a.gate"),
            ("x/common/a.gate", "x/policies/kyoto/", "../../common/a.gate"),
        ] {
            assert_eq!(relative(path, prefix), expected);
            assert_eq!(within(prefix, expected).as_deref(), Some(path));
        }
        assert_eq!(within("policies/", "../../a.gate"), None);
    }

    #[test]
    fn links_are_not_overlooked() {
        let listing = |mode: &str, path: &str| format!("{mode} blob 0123\t{path}\0");
        for (mode, path, good) in [
            ("100644", "policies/a.gate", true),
            ("120000", "policies/a.gate", false),
            ("120000", "policies/directory", false),
            ("120000", "elsewhere", true),
            ("120000", "policies/.hidden", true),
        ] {
            assert_eq!(Tree::of(&listing(mode, path), "policies/").is_ok(), good, "{path}");
        }
        assert!(Tree::of("160000 commit 0123\tpolicies/sub\0", "policies/").is_err());
        let tree = Tree::of(&(listing("100644", "policies/a.gate") + &listing("100644", "b.gate")), "policies/");
        let tree = tree.expect("no links");
        assert!(tree.is_policy("policies/a.gate", "policies/"));
        for other in ["b.gate", "policies/.a.gate", "policies/.x/a.gate", "policies/readme"] {
            assert!(!tree.is_policy(other, "policies/"), "{other}");
        }
    }
}
