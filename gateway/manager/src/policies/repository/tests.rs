use std::os::unix::fs::{chown, symlink};

use tempfile::TempDir;

use super::*;

/// A tree with a repository at its top and these directories in it.
fn tree(directories: &[&str]) -> TempDir {
    let tree = TempDir::new().expect("directory");
    for directory in directories {
        fs::create_dir_all(tree.path().join(directory)).expect("directory");
    }
    repository(&tree.path().join(".git"));
    tree
}

fn repository(git: &Path) {
    fs::create_dir_all(git).expect("directory");
    fs::write(git.join("HEAD"), "ref: refs/heads/main\n").expect("HEAD");
}

fn lock(git: &Path) {
    fs::write(git.join("index.lock"), "").expect("locked");
}

fn real_path(path: &Path) -> PathBuf {
    fs::canonicalize(path).expect("a path")
}

#[test]
fn a_lock_counts_wherever_the_files_really_lie() {
    let tree = tree(&["policies/plants", "common"]);
    let other = TempDir::new().expect("directory");
    let linked = other.path().join("linked");
    symlink(tree.path().join("policies"), &linked).expect("link");
    let none = BTreeSet::new();
    let (root, git) = (tree.path().join("policies"), tree.path().join(".git"));
    assert!(!is_at_work(&root, &none) && !is_at_work(&linked, &none));
    lock(&git);
    assert!(is_at_work(&root, &none));
    // A link into the tree, and a used file's directory there.
    assert!(is_at_work(&linked, &none));
    assert!(is_at_work(other.path(), &BTreeSet::from([linked.join("plants")])));
    assert!(is_at_work(other.path(), &BTreeSet::from([other.path().to_owned(), tree.path().join("common")])));
    assert!(!is_at_work(other.path(), &BTreeSet::from([other.path().to_owned()])));
    // Where the directory of the other revision is missing.
    assert!(is_at_work(&tree.path().join("none/at/all"), &none));
    // The nearest repository is the one that counts.
    repository(&root.join(".git"));
    assert!(!is_at_work(&root, &none));
}

#[test]
fn a_file_says_where_the_repository_is() {
    let main = tree(&[]);
    let git = main.path().join(".git/worktrees/w");
    repository(&git);
    let worktree = TempDir::new().expect("directory");
    let write = |text: &str| fs::write(worktree.path().join(".git"), text).expect("written");
    write(&format!("gitdir: {}\n", git.display()));
    let found = Repository::of(worktree.path()).expect("a repository");
    assert_eq!(found, Repository { tree: real_path(worktree.path()), git: git.clone() });
    lock(&git);
    assert!(is_at_work(worktree.path(), &BTreeSet::new()));
    for not in ["", "gitdir:", "gitdir: /nowhere", "gitdir: /dev/null", &"x".repeat(100_000)] {
        write(not);
        assert_eq!(Repository::of(worktree.path()), None, "{not:.20}");
    }
}

#[test]
fn what_is_no_file_is_not_opened() {
    let parent = TempDir::new().expect("directory");
    let fifo = std::process::Command::new("mkfifo").arg(parent.path().join(".git")).status().expect("mkfifo runs");
    assert!(fifo.success());
    assert_eq!(Repository::of(parent.path()), None);
    fs::remove_file(parent.path().join(".git")).expect("removed");
    symlink("/dev/zero", parent.path().join(".git")).expect("link");
    assert_eq!(Repository::of(parent.path()), None);
}

#[test]
fn what_strangers_own_is_not_believed() {
    let tree = tree(&["policies"]);
    let (root, git) = (tree.path().join("policies"), tree.path().join(".git"));
    lock(&git);
    let stranger = 54_321;
    if chown(&git, Some(stranger), None).is_err() {
        // Only root can give something away.
        return;
    }
    assert!(!is_at_work(&root, &BTreeSet::new()));
    assert_eq!(Repository::of(&root), None);
    // It is the owner's own.
    chown(&root, Some(stranger), None).expect("given away");
    assert!(is_at_work(&root, &BTreeSet::new()));
}
