//! A watched directory, changed in every way in which people and tools change one. The tests wait
//! for the watch itself; a poll is far away, so that only what stirred can have told it.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;

use super::super::*;
use super::{directory, policy};

const NEVER: Duration = Duration::from_secs(3600);
/// How long something that must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn pace() -> Pace {
    Pace::new(NEVER, Duration::from_millis(50))
}

async fn watch(directory: &Path) -> (Watch, Receiver<Current>) {
    let watch = Watch::start(directory, pace()).await.expect("a policy");
    let mut current = watch.subscribe();
    current.borrow_and_update();
    (watch, current)
}

async fn next(current: &mut Receiver<Current>) -> Current {
    let changed = tokio::time::timeout(PATIENCE, current.changed());
    changed.await.expect("the change is seen").expect("the watch lives");
    current.borrow_and_update().clone()
}

/// The next state must be this group in force, and nothing refused.
async fn next_group(current: &mut Receiver<Current>) -> String {
    let current = next(current).await;
    assert_eq!(current.refused, None);
    current.policy.estate().group.clone()
}

/// Waits until this group is in force, whatever comes before it.
async fn until_group(current: &mut Receiver<Current>, group: &str) -> Current {
    let found = current.wait_for(|current| current.policy.estate().group == group && current.refused.is_none());
    tokio::time::timeout(PATIENCE, found).await.expect("the change is seen").expect("the watch lives").clone()
}

async fn next_refused(current: &mut Receiver<Current>) -> Arc<watch::Refused> {
    next(current).await.refused.expect("a refusal")
}

#[tokio::test]
async fn whatever_way_a_policy_is_changed() {
    let policies = directory(&[("a.gate", &policy("ONE"))]);
    let path = policies.path().join("a.gate");
    let (_watch, mut current) = watch(policies.path()).await;
    assert_eq!(current.borrow().policy.estate().group, "ONE");

    fs::write(&path, policy("WRITTEN")).expect("written");
    assert_eq!(next_group(&mut current).await, "WRITTEN");

    fs::write(policies.path().join("a.gate.new"), policy("RENAMED")).expect("written");
    fs::rename(policies.path().join("a.gate.new"), &path).expect("renamed");
    assert_eq!(next_group(&mut current).await, "RENAMED");

    // After the rename the file is another one; it is seen all the same.
    fs::write(&path, policy("AGAIN")).expect("written");
    assert_eq!(next_group(&mut current).await, "AGAIN");

    // As `vim` with a backup does it: away with the old one, then a new one of its name.
    fs::rename(&path, policies.path().join("a.gate~")).expect("renamed");
    fs::write(&path, policy("BACKED UP")).expect("written");
    until_group(&mut current, "BACKED UP").await;

    fs::remove_file(&path).expect("removed");
    let gone = next(&mut current).await;
    assert_eq!(gone.policy.estate().group, "BACKED UP");
    let refused = gone.refused.expect("a refusal");
    assert!(refused.errors[0].ends_with("holds no `.gate` file"), "{refused:?}");
    assert_eq!(refused.revision, None);

    fs::create_dir(policies.path().join("plants")).expect("directory");
    fs::write(policies.path().join("plants/b.gate"), policy("BELOW")).expect("written");
    assert_eq!(next_group(&mut current).await, "BELOW");
    fs::write(policies.path().join("plants/b.gate"), policy("DEEPER")).expect("written");
    assert_eq!(next_group(&mut current).await, "DEEPER");
}

#[tokio::test]
async fn the_same_length_and_the_same_time_of_modification() {
    let policies = directory(&[("a.gate", &policy("ONE"))]);
    let path = policies.path().join("a.gate");
    let modified = fs::metadata(&path).and_then(|metadata| metadata.modified()).expect("a time");
    let (_watch, mut current) = watch(policies.path()).await;
    let aside = policies.path().join(".aside");
    fs::write(&aside, policy("TWO")).expect("written");
    File::options().write(true).open(&aside).and_then(|file| file.set_modified(modified)).expect("set back");
    fs::rename(&aside, &path).expect("renamed");
    assert_eq!(next_group(&mut current).await, "TWO");
}

#[tokio::test]
async fn a_bad_policy_leaves_the_last_good_one_in_force() {
    let policies = directory(&[("a.gate", &policy("GOOD"))]);
    let path = policies.path().join("a.gate");
    let (_watch, mut current) = watch(policies.path()).await;
    let before = current.borrow().clone();

    let bad = "estate abc.net\nthis is no policy";
    fs::write(&path, bad).expect("written");
    let refused = next(&mut current).await;
    assert!(Arc::ptr_eq(&refused.policy, &before.policy));
    assert_eq!((refused.loads.taken, refused.loads.refused), (1, 1));
    let refused = refused.refused.expect("a refusal");
    assert!(refused.errors.iter().any(|error| error.contains("a.gate:2")), "{refused:?}");
    assert_eq!(refused.revision, Some(policy_lang::Fingerprint::of_files(&[SourceFile::new("a.gate", bad)])));

    // The last good one put back is still in force, and is no reload.
    fs::write(&path, policy("GOOD")).expect("written");
    let back = next(&mut current).await;
    assert!(Arc::ptr_eq(&back.policy, &before.policy));
    assert_eq!((back.refused, back.loads.taken, back.since), (None, 1, before.since));

    // Invalid, then removed: two reasons, and neither takes anything away.
    fs::write(policies.path().join("b.gate"), "}").expect("written");
    assert!(next_refused(&mut current).await.errors[0].starts_with("b.gate:1:1"));
    fs::remove_file(policies.path().join("b.gate")).expect("removed");
    let back = next(&mut current).await;
    assert!(Arc::ptr_eq(&back.policy, &before.policy) && back.refused.is_none());

    fs::write(&path, policy("BETTER")).expect("written");
    assert_eq!(next_group(&mut current).await, "BETTER");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let policies = directory(&[("a.gate", &policy("GOOD"))]);
    let (_watch, mut current) = watch(policies.path()).await;
    let dangling = policies.path().join("b.gate");
    symlink("nowhere.gate", &dangling).expect("link");
    assert!(next_refused(&mut current).await.errors[0].contains("b.gate` cannot be read"));
    // The link leads somewhere now.
    fs::write(policies.path().join("nowhere.gate"), "// nothing").expect("written");
    assert_eq!(next_group(&mut current).await, "GOOD");
    fs::write(&dangling, b"let \xff").expect("written");
    assert!(next_refused(&mut current).await.errors[0].contains("b.gate:1:5"));
    fs::remove_file(policies.path().join("nowhere.gate")).expect("removed");
    assert!(next_refused(&mut current).await.errors[0].contains("b.gate` cannot be read"));
    // A directory of that name is a directory.
    fs::remove_file(&dangling).expect("removed");
    fs::create_dir(&dangling).expect("directory");
    assert_eq!(next_group(&mut current).await, "GOOD");
}

#[tokio::test]
async fn a_file_behind_a_link_is_watched_where_it_is() {
    let outside = directory(&[("common/shared.gate", "group helpers { rs-1@abc.net }\n")]);
    let policies = directory(&[("a.gate", &policy("ONE"))]);
    symlink(outside.path().join("common/shared.gate"), policies.path().join("shared.gate")).expect("link");
    let (_watch, mut current) = watch(policies.path()).await;
    fs::write(outside.path().join("common/shared.gate"), "group helpers { rs-9@abc.net }\n").expect("written");
    assert!(next_refused(&mut current).await.errors[0].starts_with("shared.gate:1:17"));
}

#[tokio::test]
async fn a_used_file_is_watched_where_it_is() {
    let all = directory(&[("plant/a.gate", "use \"../common/estate.gate\""), ("common/estate.gate", &policy("ONE"))]);
    let (_watch, mut current) = watch(&all.path().join("plant")).await;
    fs::write(all.path().join("common/estate.gate"), policy("TWO")).expect("written");
    assert_eq!(next_group(&mut current).await, "TWO");
    fs::remove_file(all.path().join("common/estate.gate")).expect("removed");
    assert!(next_refused(&mut current).await.errors[0].starts_with("a.gate:1:"));
    fs::write(all.path().join("common/estate.gate"), policy("THREE")).expect("written");
    assert_eq!(next_group(&mut current).await, "THREE");
}

/// As Kubernetes mounts a ConfigMap, and changes it.
#[tokio::test]
async fn links_that_are_swapped_are_seen() {
    let policies = directory(&[("..1/a.gate", &policy("ONE"))]);
    symlink("..1", policies.path().join("..data")).expect("link");
    symlink("..data/a.gate", policies.path().join("a.gate")).expect("link");
    let (_watch, mut current) = watch(policies.path()).await;
    for (number, group) in [(2, "TWO"), (3, "THREE"), (4, "FOUR")] {
        let next = policies.path().join(format!("..{number}"));
        fs::create_dir(&next).expect("directory");
        fs::write(next.join("a.gate"), policy(group)).expect("written");
        symlink(format!("..{number}"), policies.path().join("..data_tmp")).expect("link");
        fs::rename(policies.path().join("..data_tmp"), policies.path().join("..data")).expect("swapped");
        fs::remove_dir_all(policies.path().join(format!("..{}", number - 1))).expect("removed");
        assert_eq!(until_group(&mut current, group).await.loads.refused, 0);
    }
}

/// As `git-sync` does it: the policy directory lies behind a link that is swapped.
#[tokio::test]
async fn a_link_on_the_way_that_is_swapped_is_seen() {
    let parent = directory(&[("trees/1/policies/a.gate", &policy("ONE")), ("trees/2/policies/a.gate", &policy("TWO"))]);
    symlink("trees/1", parent.path().join("current")).expect("link");
    let (_watch, mut current) = watch(&parent.path().join("current/policies")).await;
    symlink("trees/2", parent.path().join("next")).expect("link");
    fs::rename(parent.path().join("next"), parent.path().join("current")).expect("swapped");
    assert_eq!(next_group(&mut current).await, "TWO");
    fs::write(parent.path().join("trees/2/policies/a.gate"), policy("THREE")).expect("written");
    assert_eq!(next_group(&mut current).await, "THREE");
}

#[tokio::test]
async fn a_directory_that_is_replaced_is_found_again() {
    let parent = directory(&[("policies/a.gate", &policy("ONE")), ("next/a.gate", &policy("TWO"))]);
    let path = parent.path().join("policies");
    let (_watch, mut current) = watch(&path).await;

    fs::remove_dir_all(&path).expect("removed");
    let gone = next_refused(&mut current).await;
    assert!(gone.errors[0].ends_with("does not exist"), "{gone:?}");
    fs::rename(parent.path().join("next"), &path).expect("replaced");
    until_group(&mut current, "TWO").await;
    fs::write(path.join("a.gate"), policy("THREE")).expect("written");
    until_group(&mut current, "THREE").await;

    // Renamed away and back again, it is the same directory.
    fs::rename(&path, parent.path().join("aside")).expect("away");
    assert!(next_refused(&mut current).await.errors[0].ends_with("does not exist"));
    fs::rename(parent.path().join("aside"), &path).expect("back");
    until_group(&mut current, "THREE").await;
    fs::write(path.join("a.gate"), policy("FOUR")).expect("written");
    until_group(&mut current, "FOUR").await;
}

#[tokio::test]
async fn a_thousand_changes_end_with_the_last() {
    let policies = directory(&[("a.gate", &policy("ONE"))]);
    let (_watch, mut current) = watch(policies.path()).await;
    let writer = std::thread::spawn({
        let directory = policies.path().to_owned();
        move || {
            for number in 0..1_000 {
                fs::write(directory.join("a.gate"), policy(&format!("NUMBER {number}"))).expect("written");
                if number % 3 == 0 {
                    fs::write(directory.join("b.gate"), "}").expect("written");
                    fs::remove_file(directory.join("b.gate")).expect("removed");
                }
            }
        }
    });
    let last = until_group(&mut current, "NUMBER 999").await;
    writer.join().expect("it wrote");
    let loads = last.loads.taken + last.loads.refused;
    assert!(loads <= 20, "a thousand changes made {loads} loads");
}

/// Whoever has written and not closed the file has not finished; what he has written so far would
/// be a policy, and a wider one.
#[tokio::test]
async fn half_a_file_that_is_open_is_not_taken() {
    let policies = directory(&[("a.gate", &policy("ONE"))]);
    let pace = Pace { writing: NEVER, patience: 2 * NEVER, ..pace() };
    let watch = Watch::start(policies.path(), pace).await.expect("a policy");
    let mut current = watch.subscribe();
    current.borrow_and_update();
    let mut file = File::create(policies.path().join("a.gate")).expect("opened");
    std::io::Write::write_all(&mut file, policy("HALF").as_bytes()).expect("written");
    let longer_than_still = Duration::from_millis(300);
    tokio::time::timeout(longer_than_still, current.changed()).await.expect_err("half a file is taken");
    std::io::Write::write_all(&mut file, b"// more\n").expect("written");
    drop(file);
    assert_eq!(next_group(&mut current).await, "HALF");
}

/// A file that stays open, and a directory in which something always stirs, do not stop it.
#[tokio::test]
async fn whoever_never_ends_is_not_waited_for() {
    let policies = directory(&[("a.gate", &policy("ONE"))]);
    let (_watch, mut current) = watch(policies.path()).await;
    let mut file = File::create(policies.path().join("a.gate")).expect("opened");
    std::io::Write::write_all(&mut file, policy("OPEN").as_bytes()).expect("written");
    assert_eq!(next_group(&mut current).await, "OPEN");

    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let log = std::thread::spawn({
        let (stop, path) = (stop.clone(), policies.path().join("access.log"));
        move || {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                fs::write(&path, "noise").expect("written");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    fs::write(policies.path().join("a.gate"), policy("LOUD")).expect("written");
    assert_eq!(next_group(&mut current).await, "LOUD");
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    log.join().expect("it wrote");
}

/// What is half of a policy and does not check is never taken, even if nobody ever writes more.
#[tokio::test]
async fn half_a_file_that_is_closed_is_refused() {
    let policies = directory(&[("a.gate", &policy("ONE"))]);
    let (_watch, mut current) = watch(policies.path()).await;
    let text = policy("TWO");
    fs::write(policies.path().join("a.gate"), &text[..text.len() - 4]).expect("written");
    let refused = next_refused(&mut current).await;
    assert!(refused.errors[0].starts_with("a.gate:"), "{refused:?}");
    fs::write(policies.path().join("a.gate"), &text).expect("written");
    assert_eq!(next_group(&mut current).await, "TWO");
}

fn git(directory: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory).args(["-c", "user.name=t", "-c", "user.email=t@abc.net"]).args(arguments);
    let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().expect("git runs");
    assert!(output.status.success(), "{output:?}");
}

async fn in_git(directory: &Path) -> Option<wire::control::GitRevision> {
    git_revision(directory, read(directory).expect("sources")).await
}

#[tokio::test]
async fn a_checkout_of_a_whole_tree() {
    let policies = directory(&[("estate.gate", &policy("ONE")), ("old/b.gate", "group b { rs-1@abc.net }\n")]);
    let path = policies.path();
    git(path, &["init", "--quiet", "--initial-branch=main"]);
    git(path, &["add", "."]);
    git(path, &["commit", "--quiet", "-m", "one"]);
    git(path, &["checkout", "--quiet", "-b", "two"]);
    git(path, &["mv", "old", "new"]);
    for number in 0..200 {
        fs::write(path.join(format!("new/{number}.gate")), format!("group g{number} {{ rs-1@abc.net }}\n"))
            .expect("written");
    }
    fs::write(path.join("estate.gate"), policy("TWO")).expect("written");
    git(path, &["add", "."]);
    git(path, &["commit", "--quiet", "-m", "two"]);

    let (_watch, mut current) = watch(path).await;
    let revision = in_git(path).await.expect("a repository");
    assert_eq!((revision.branch.as_deref(), revision.dirty), (Some("two"), false));
    for (branch, group) in [("main", "ONE"), ("two", "TWO"), ("main", "ONE")] {
        git(path, &["checkout", "--quiet", branch]);
        let current = until_group(&mut current, group).await;
        assert_eq!(current.loads.refused, 0, "a tree half checked out was judged");
    }
    let one = in_git(path).await.expect("a repository");
    assert_ne!(one.commit, revision.commit);
    fs::write(path.join("README.md"), "no policy").expect("written");
    assert!(!in_git(path).await.expect("a repository").dirty);
    fs::write(path.join("old/new.gate"), "// not in the commit").expect("written");
    assert!(in_git(path).await.expect("a repository").dirty);
    assert_eq!(git_revision(Path::new("/"), Vec::new()).await, None);
}

/// While Git holds its lock, what is in the tree is neither the old revision nor the new one.
#[tokio::test]
async fn nothing_is_taken_while_git_is_at_work() {
    let policies = directory(&[("a.gate", &policy("ONE"))]);
    git(policies.path(), &["init", "--quiet"]);
    let (_watch, mut current) = watch(policies.path()).await;
    let lock = policies.path().join(".git/index.lock");
    fs::write(&lock, "").expect("locked");
    fs::write(policies.path().join("a.gate"), policy("HALF")).expect("written");
    tokio::time::timeout(Duration::from_millis(400), current.changed()).await.expect_err("nothing is taken");
    fs::write(policies.path().join("a.gate"), policy("WHOLE")).expect("written");
    fs::remove_file(&lock).expect("unlocked");
    assert_eq!(next_group(&mut current).await, "WHOLE");
}

/// Whoever starts in the middle of a checkout sees neither the old revision nor the new one.
#[tokio::test]
async fn at_its_start_it_waits_for_git_as_well() {
    let policies = directory(&[("a.gate", &policy("HALF"))]);
    git(policies.path(), &["init", "--quiet"]);
    let lock = policies.path().join(".git/index.lock");
    fs::write(&lock, "").expect("locked");
    let mut starting = Box::pin(Watch::start(policies.path(), pace()));
    let early = tokio::time::timeout(Duration::from_millis(400), &mut starting).await;
    assert!(early.is_err(), "half of a checkout is taken");
    fs::write(policies.path().join("a.gate"), policy("WHOLE")).expect("written");
    fs::remove_file(&lock).expect("unlocked");
    let watch = starting.await.expect("a policy");
    assert_eq!(watch.subscribe().borrow().policy.estate().group, "WHOLE");
}

/// What was written just now may be half of what is being written.
#[tokio::test]
async fn at_its_start_it_waits_for_stillness() {
    let policies = directory(&[("a.gate", &policy("HALF"))]);
    let still = Duration::from_secs(2);
    let (watch, ()) = tokio::join!(Watch::start(policies.path(), Pace::new(NEVER, still)), async {
        tokio::time::sleep(still / 10).await;
        fs::write(policies.path().join("a.gate"), policy("WHOLE")).expect("written");
    });
    assert_eq!(watch.expect("a policy").subscribe().borrow().policy.estate().group, "WHOLE");
}

/// A lock that somebody keeps young puts a change off, and not for ever.
#[tokio::test]
async fn a_lock_without_end_is_not_waited_for() {
    let policies = directory(&[("a.gate", &policy("ONE"))]);
    git(policies.path(), &["init", "--quiet"]);
    let pace = Pace { at_most: Duration::from_millis(600), ..pace() };
    let watch = Watch::start(policies.path(), pace).await.expect("a policy");
    let mut current = watch.subscribe();
    current.borrow_and_update();
    fs::write(policies.path().join(".git/index.lock"), "").expect("locked");
    fs::write(policies.path().join("a.gate"), policy("TWO")).expect("written");
    assert_eq!(next_group(&mut current).await, "TWO");
}

/// Anybody may make a pipe in a directory above.
#[tokio::test]
async fn a_pipe_in_the_place_of_a_repository_is_not_read() {
    let parent = directory(&[("policies/a.gate", &policy("ONE"))]);
    let made = Command::new("mkfifo").arg(parent.path().join(".git")).status().expect("mkfifo runs");
    assert!(made.success());
    let (_watch, mut current) = watch(&parent.path().join("policies")).await;
    fs::write(parent.path().join("policies/a.gate"), policy("TWO")).expect("written");
    assert_eq!(next_group(&mut current).await, "TWO");
}

/// The policy directory is a link into a repository's tree.
#[tokio::test]
async fn a_checkout_behind_a_link_is_waited_for() {
    let tree = directory(&[("policies/a.gate", &policy("ONE"))]);
    git(tree.path(), &["init", "--quiet"]);
    let parent = directory(&[]);
    let linked = parent.path().join("linked");
    symlink(tree.path().join("policies"), &linked).expect("link");
    let (_watch, mut current) = watch(&linked).await;
    let lock = tree.path().join(".git/index.lock");
    fs::write(&lock, "").expect("locked");
    fs::write(tree.path().join("policies/a.gate"), policy("HALF")).expect("written");
    tokio::time::timeout(Duration::from_millis(400), current.changed()).await.expect_err("nothing is taken");
    fs::write(tree.path().join("policies/a.gate"), policy("WHOLE")).expect("written");
    fs::remove_file(&lock).expect("unlocked");
    assert_eq!(next_group(&mut current).await, "WHOLE");
}

#[tokio::test]
async fn without_any_event_a_poll_finds_it() {
    let policies = directory(&[("a.gate", &policy("ONE"))]);
    let outside = directory(&[("x/hidden", ""), ("1/a.gate", "// one"), ("2/a.gate", "// two\n}")]);
    // Of a link behind a link nobody tells.
    symlink("1", outside.path().join("link")).expect("link");
    symlink(outside.path().join("link/a.gate"), policies.path().join("b.gate")).expect("link");
    let pace = Pace::new(Duration::from_millis(100), Duration::from_millis(50));
    let watch = Watch::start(policies.path(), pace).await.expect("a policy");
    let mut current = watch.subscribe();
    symlink("2", outside.path().join("next")).expect("link");
    fs::rename(outside.path().join("next"), outside.path().join("link")).expect("swapped");
    assert!(next_refused(&mut current).await.errors[0].starts_with("b.gate:2:1"));
}

#[tokio::test]
async fn nothing_starts_without_a_good_policy() {
    let none = Watch::start(Path::new("/nowhere/at/all"), pace()).await.expect_err("none");
    assert_eq!(none, ["the policy directory `/nowhere/at/all` does not exist"]);
    let bad = directory(&[("a.gate", "estate abc.net\n!"), ("b.gate", "?")]);
    let bad = Watch::start(bad.path(), pace()).await.expect_err("bad");
    assert!(bad.len() >= 2 && bad.iter().all(|line| !line.contains('\n')), "{bad:?}");
}
