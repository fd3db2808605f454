use std::os::unix::fs::symlink;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch::Receiver;

use super::*;

const NEVER: Duration = Duration::from_secs(3600);

fn policy(group: &str) -> String {
    format!("estate abc.net \"{group}\"\ngateway rs-1@abc.net {{ lan 172.16.0.0/12 }}\n")
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().expect("directory");
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("parent")).expect("directory");
        fs::write(path, text).expect("file");
    }
    directory
}

fn paths(directory: &Path) -> Vec<String> {
    read(directory).expect("sources").into_iter().map(|source| source.path).collect()
}

#[test]
fn files_come_in_path_order_without_what_is_hidden() {
    let policies = directory(&[
        ("b.gate", "b"),
        ("a/z.gate", "z"),
        ("a/deep/er/x.gate", "x"),
        ("README.md", "no"),
        (".git/hidden.gate", "no"),
        (".a.gate.swp", "no"),
        (".b.gate", "no"),
    ]);
    assert_eq!(paths(policies.path()), ["a/deep/er/x.gate", "a/z.gate", "b.gate"]);
}

#[test]
fn links_are_followed_and_never_round_in_circles() {
    // As Kubernetes mounts a ConfigMap.
    let policies = directory(&[("..2026_01/plant.gate", "plant")]);
    symlink("..2026_01", policies.path().join("..data")).expect("link");
    symlink("..data/plant.gate", policies.path().join("plant.gate")).expect("link");
    symlink(".", policies.path().join("again")).expect("link");
    symlink("nowhere", policies.path().join("dangling")).expect("link");
    assert_eq!(paths(policies.path()), ["plant.gate"]);
}

#[test]
fn directories_that_give_no_policy() {
    let error = |path: &Path| read(path).expect_err("no policy").to_string();
    let empty = directory(&[("README.md", "x"), (".hidden/a.gate", "x")]);
    assert!(error(&empty.path().join("none")).ends_with("does not exist"));
    assert!(error(&empty.path().join("README.md")).contains("is no directory"));
    assert!(error(empty.path()).ends_with("holds no `.gate` file"));

    let dangling = directory(&[("a.gate", "a")]);
    symlink("nowhere", dangling.path().join("b.gate")).expect("link");
    assert!(error(dangling.path()).contains("b.gate` cannot be read"));

    let no_text = directory(&[("good.gate", "a")]);
    fs::write(no_text.path().join("bad.gate"), b"estate \xff").expect("file");
    fs::write(no_text.path().join("worse.gate"), b"\xfe").expect("file");
    let error = error(no_text.path());
    assert!(error.contains("bad.gate:1:8") && error.contains("worse.gate:1:1"), "{error}");
}

#[test]
fn what_is_used_is_read_as_well() {
    let all = directory(&[
        ("plant/a.gate", "use \"../common/people.gate\"\nuse \"../common/nowhere.gate\" use \"b.gate\""),
        ("plant/b.gate", "use \"../common/people.gate\""),
        ("common/people.gate", "use \"more/rest.gate\" use \"../plant/a.gate\""),
        ("common/more/rest.gate", "use \"../people.gate\""),
        ("common/unused.gate", ""),
    ]);
    let error = read(&all.path().join("plant")).expect_err("a part of it").to_string();
    assert_eq!(
        error,
        "../common/people.gate:1:26: `../plant/a.gate` cannot be used: it is a part of the policy as `a.gate`"
    );
    fs::write(all.path().join("common/people.gate"), "use \"more/rest.gate\"").expect("written");
    let expected = ["a.gate", "b.gate", "../common/people.gate", "../common/more/rest.gate"];
    assert_eq!(paths(&all.path().join("plant")), expected);

    fs::create_dir(all.path().join("common/nowhere.gate")).expect("directory");
    let error = read(&all.path().join("plant")).expect_err("no file").to_string();
    assert_eq!(error, "a.gate:2:5: `../common/nowhere.gate` cannot be used: it is no file");
}

#[test]
fn too_much_is_refused() {
    let policies = directory(&[("a.gate", "a")]);
    let large = File::create(policies.path().join("b.gate")).expect("file");
    large.set_len(MAX_BYTES).expect("length");
    assert!(matches!(read(policies.path()), Err(ReadError::TooLarge(_))));
}

async fn next(current: &mut Receiver<Current>) -> Current {
    let changed = tokio::time::timeout(Duration::from_secs(20), current.changed());
    changed.await.expect("the change is seen").expect("the watch lives");
    current.borrow_and_update().clone()
}

async fn next_group(current: &mut Receiver<Current>) -> String {
    let current = next(current).await;
    assert_eq!(current.errors, [""; 0]);
    current.policy.estate().group.clone()
}

#[tokio::test]
async fn whatever_way_a_policy_is_changed() {
    let policies = directory(&[("a.gate", &policy("ONE"))]);
    let path = policies.path().join("a.gate");
    let watch = Watch::start(policies.path(), NEVER).await.expect("a policy");
    let mut current = watch.subscribe();
    assert_eq!(current.borrow_and_update().policy.estate().group, "ONE");

    fs::write(&path, policy("WRITTEN")).expect("written");
    assert_eq!(next_group(&mut current).await, "WRITTEN");

    fs::write(policies.path().join("a.gate.new"), policy("RENAMED")).expect("written");
    fs::rename(policies.path().join("a.gate.new"), &path).expect("renamed");
    assert_eq!(next_group(&mut current).await, "RENAMED");

    // After the rename the file is another one; it is seen all the same.
    fs::write(&path, policy("AGAIN")).expect("written");
    assert_eq!(next_group(&mut current).await, "AGAIN");

    fs::remove_file(&path).expect("removed");
    let gone = next(&mut current).await;
    assert_eq!(gone.policy.estate().group, "AGAIN");
    assert!(gone.errors[0].ends_with("holds no `.gate` file"), "{:?}", gone.errors);

    fs::create_dir(policies.path().join("plants")).expect("directory");
    fs::write(policies.path().join("plants/b.gate"), policy("BELOW")).expect("written");
    assert_eq!(next_group(&mut current).await, "BELOW");
    fs::write(policies.path().join("plants/b.gate"), policy("DEEPER")).expect("written");
    assert_eq!(next_group(&mut current).await, "DEEPER");
}

#[tokio::test]
async fn a_change_of_a_used_file_is_seen() {
    let all = directory(&[("plant/a.gate", "use \"../common/estate.gate\""), ("common/estate.gate", &policy("ONE"))]);
    // Nothing tells of it: the directory is looked at again all the same.
    let watch = Watch::start(&all.path().join("plant"), Duration::from_millis(50)).await.expect("a policy");
    let mut current = watch.subscribe();
    fs::write(all.path().join("common/estate.gate"), policy("TWO")).expect("written");
    assert_eq!(next_group(&mut current).await, "TWO");
}

#[tokio::test]
async fn a_bad_policy_leaves_the_last_good_one_in_force() {
    let policies = directory(&[("a.gate", &policy("GOOD"))]);
    let watch = Watch::start(policies.path(), NEVER).await.expect("a policy");
    let mut current = watch.subscribe();
    let before = current.borrow_and_update().clone();

    fs::write(policies.path().join("a.gate"), "estate abc.net\nthis is no policy").expect("written");
    let bad = next(&mut current).await;
    assert!(std::sync::Arc::ptr_eq(&bad.policy, &before.policy));
    assert!(bad.errors.iter().any(|error| error.contains("a.gate:2")), "{:?}", bad.errors);

    fs::write(policies.path().join("a.gate"), policy("GOOD AGAIN")).expect("written");
    assert_eq!(next_group(&mut current).await, "GOOD AGAIN");
}

#[tokio::test]
async fn links_that_are_swapped_are_seen() {
    let policies = directory(&[("..1/a.gate", &policy("ONE")), ("..2/a.gate", &policy("TWO"))]);
    symlink("..1", policies.path().join("..data")).expect("link");
    symlink("..data/a.gate", policies.path().join("a.gate")).expect("link");
    let watch = Watch::start(policies.path(), NEVER).await.expect("a policy");
    let mut current = watch.subscribe();

    symlink("..2", policies.path().join("..data_tmp")).expect("link");
    fs::rename(policies.path().join("..data_tmp"), policies.path().join("..data")).expect("swapped");
    assert_eq!(next_group(&mut current).await, "TWO");
}

#[tokio::test]
async fn a_directory_that_is_replaced_is_found_again() {
    let parent = directory(&[("policies/a.gate", &policy("ONE")), ("next/a.gate", &policy("TWO"))]);
    let path = parent.path().join("policies");
    let watch = Watch::start(&path, Duration::from_millis(100)).await.expect("a policy");
    let mut current = watch.subscribe();

    fs::remove_dir_all(&path).expect("removed");
    let gone = next(&mut current).await;
    assert!(!gone.errors.is_empty());
    fs::rename(parent.path().join("next"), &path).expect("replaced");
    while next(&mut current).await.policy.estate().group != "TWO" {}
    fs::write(path.join("a.gate"), policy("THREE")).expect("written");
    assert_eq!(next_group(&mut current).await, "THREE");
}

#[tokio::test]
async fn nothing_starts_without_a_good_policy() {
    let none = Watch::start(Path::new("/nowhere/at/all"), NEVER).await.expect_err("none");
    assert_eq!(none, ["the policy directory `/nowhere/at/all` does not exist"]);
    let bad = directory(&[("a.gate", "estate abc.net\n!"), ("b.gate", "?")]);
    let bad = Watch::start(bad.path(), NEVER).await.expect_err("bad");
    assert!(bad.len() >= 2 && bad.iter().all(|line| !line.contains('\n')), "{bad:?}");
}
