use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;

use super::*;

fn git(directory: &Path, arguments: &[&str]) {
    let mut command = std::process::Command::new("git");
    command.arg("-C").arg(directory).args(["-c", "user.name=t", "-c", "user.email=t@abc.net"]).args(arguments);
    let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().expect("git runs");
    assert!(output.status.success(), "{output:?}");
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("directory");
    fs::write(path, text).expect("written");
}

/// A repository with a policy that uses a file beside its directory, and a link in it.
fn committed(more: &[&str]) -> TempDir {
    let tree = TempDir::new().expect("directory");
    let path = tree.path();
    write(&path.join("policies/a.gate"), "use \"../common/b.gate\"\n");
    write(&path.join("policies/deep/c.gate"), "// c\n");
    write(&path.join("policies/README.md"), "read me\n");
    write(&path.join("common/b.gate"), "// b\n");
    write(&path.join("common/unused.gate"), "// unused\n");
    symlink("../common/unused.gate", path.join("policies/linked.gate")).expect("link");
    git(path, &[&["init", "--quiet", "--initial-branch=main"], more].concat());
    git(path, &["add", "."]);
    git(path, &["commit", "--quiet", "-m", "one"]);
    tree
}

async fn asked(tree: &Path) -> GitRevision {
    let policies = tree.join("policies");
    revision(&policies, super::super::read(&policies).expect("sources")).await.expect("a repository")
}

#[tokio::test]
async fn what_is_of_the_commit_and_what_is_not() {
    for format in ["--object-format=sha1", "--object-format=sha256"] {
        let tree = committed(&[format]);
        let path = tree.path();
        let clean = asked(path).await;
        assert_eq!((clean.branch.as_deref(), clean.dirty), (Some("main"), false));
        assert!(clean.commit.is_some_and(|commit| [40, 64].contains(&commit.len())));
        // What is no part of the policy may be anything.
        write(&path.join("policies/README.md"), "other\n");
        write(&path.join("policies/.hidden.gate"), "other\n");
        write(&path.join("common/other.gate"), "other\n");
        assert!(!asked(path).await.dirty);
        git(path, &["checkout", "--quiet", "--detach"]);
        assert_eq!(asked(path).await.branch, None);

        for change in [
            |path: &Path| write(&path.join("policies/deep/c.gate"), "// d\n"),
            |path: &Path| write(&path.join("policies/new.gate"), "// new\n"),
            |path: &Path| write(&path.join("common/b.gate"), "// changed\n"),
            |path: &Path| write(&path.join("common/unused.gate"), "// behind a link\n"),
            |path: &Path| fs::remove_file(path.join("policies/deep/c.gate")).expect("removed"),
            |path: &Path| fs::remove_file(path.join("policies/linked.gate")).expect("removed"),
        ] {
            change(path);
            assert!(asked(path).await.dirty);
            git(path, &["checkout", "--quiet", "--", "."]);
            let _ = fs::remove_file(path.join("policies/new.gate"));
            assert!(!asked(path).await.dirty);
        }
    }
}

#[tokio::test]
async fn a_repository_without_a_commit() {
    let tree = TempDir::new().expect("directory");
    write(&tree.path().join("policies/a.gate"), "// a\n");
    git(tree.path(), &["init", "--quiet", "--initial-branch=main"]);
    let expected = GitRevision { commit: None, branch: Some("main".into()), dirty: true };
    assert_eq!(asked(tree.path()).await, expected);
}

#[tokio::test]
async fn a_worktree_and_a_link_into_it() {
    let tree = committed(&[]);
    let parent = TempDir::new().expect("directory");
    let worktree = parent.path().join("worktree");
    git(tree.path(), &["worktree", "add", "--quiet", "-b", "two", worktree.to_str().expect("text")]);
    let linked = parent.path().join("linked");
    symlink(&worktree, &linked).expect("link");
    for path in [&worktree, &linked] {
        let found = asked(path).await;
        assert_eq!((found.branch.as_deref(), found.dirty), (Some("two"), false));
    }
}

/// Whoever may write to the repository does not get to run programs as the manager.
#[tokio::test]
async fn nothing_that_a_repository_names_is_run() {
    let tree = committed(&[]);
    let path = tree.path();
    let ran = path.join("ran");
    let program = path.join("evil.sh");
    write(&program, &format!("#!/bin/sh\ntouch {}\ncat\n", ran.display()));
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("executable");
    let program = program.to_str().expect("text");
    for name in ["filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "core.fsmonitor", "core.pager"] {
        git(path, &["config", name, program]);
    }
    write(&path.join(".gitattributes"), "*.gate filter=evil\n");
    write(&path.join("policies/a.gate"), "use \"../common/b.gate\" // changed\n");
    assert!(asked(path).await.dirty);
    assert!(!ran.exists(), "a program of the repository ran");
}

/// What Git has started ends with it.
#[tokio::test]
async fn what_was_started_ends_when_nobody_waits() {
    let directory = TempDir::new().expect("directory");
    let fifo = directory.path().join("alive");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    let mut command = Command::new("sh");
    // A grandchild holds the pipe open for as long as it lives.
    command.arg("-c").arg(format!("(sleep 3600) > {} & wait", fifo.display())).stdin(Stdio::null());
    let group = Group::spawn(command).expect("sh runs");
    let mut alive = tokio::fs::File::open(&fifo).await.expect("the grandchild has it open");
    drop(group);
    let mut nothing = Vec::new();
    alive.read_to_end(&mut nothing).await.expect("the end");
    assert!(nothing.is_empty());
}
