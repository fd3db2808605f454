use std::fs::File;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

mod watched;

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
    let expected = ["../common/more/rest.gate", "../common/people.gate", "a.gate", "b.gate"];
    assert_eq!(paths(&all.path().join("plant")), expected);

    fs::create_dir(all.path().join("common/nowhere.gate")).expect("directory");
    let error = read(&all.path().join("plant")).expect_err("no file").to_string();
    assert_eq!(error, "a.gate:2:5: `../common/nowhere.gate` cannot be used: it is no file");
}

/// Errors show lines of a file, and whoever may put links here is not always whoever reads them.
#[test]
fn a_link_leads_to_no_other_file() {
    let outside = directory(&[("secret", "root:hash"), ("shared/b.gate", "// shared")]);
    let policies = directory(&[("a.gate", "// a")]);
    let link = |to: &str, name: &str| symlink(outside.path().join(to), policies.path().join(name)).expect("link");
    link("shared/b.gate", "any name.gate");
    link("shared", "directory");
    assert_eq!(paths(policies.path()), ["a.gate", "any name.gate", "directory/b.gate"]);
    link("secret", "pw.gate");
    let error = read(policies.path()).expect_err("no policy").to_string();
    assert!(error.contains("/pw.gate` leads to `") && error.contains("own name ends in `.gate`"), "{error}");
    // Nor is it read where it is used.
    fs::rename(policies.path().join("pw.gate"), policies.path().join(".pw.gate")).expect("renamed");
    fs::write(policies.path().join("a.gate"), "use \".pw.gate\"").expect("written");
    let error = read(policies.path()).expect_err("no policy").to_string();
    assert!(error.starts_with("a.gate:1:5: `.pw.gate` cannot be used: it leads to `"), "{error}");
    assert!(!error.contains("hash"), "{error}");
}

#[test]
fn names_that_would_forge_lines_are_refused() {
    for name in ["a\nb.gate", "\u{1b}[31m.gate", "x\ry/a.gate", "\u{85}.gate"] {
        let policies = directory(&[("a.gate", "// a"), (name, "// b")]);
        let error = read(policies.path()).expect_err("refused").to_string();
        assert!(error.ends_with("control characters") && !error.contains(char::is_control), "{error}");
    }
}

/// A pipe may take a file's place between a look at it and its opening.
#[test]
fn only_files_are_opened() {
    let policies = directory(&[("a.gate", "// a")]);
    let pipe = policies.path().join("pipe.gate");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    assert_eq!(paths(policies.path()), ["a.gate"]);
    for opened in [open::open(&pipe), open::open_itself(&pipe), open::open(policies.path())] {
        assert_eq!(opened.expect_err("no file").to_string(), "it is no file");
    }
    symlink("a.gate", policies.path().join("link.gate")).expect("link");
    open::open(&policies.path().join("link.gate")).expect("a file");
    open::open_itself(&policies.path().join("link.gate")).expect_err("a link");
}

#[test]
fn too_much_is_refused() {
    let policies = directory(&[("a.gate", "a")]);
    let large = File::create(policies.path().join("b.gate")).expect("file");
    large.set_len(MAX_BYTES).expect("length");
    assert!(matches!(read(policies.path()), Err(ReadError::TooLarge(_))));
}

#[test]
fn only_what_is_certainly_unchanged_is_not_read_again() {
    let policies = directory(&[("a.gate", "one"), ("b.gate", "two")]);
    let shelved = |policies: &Path| {
        let Gathered { sources, stamps, .. } = gather(policies, &Shelf::default());
        Shelf::new(std::sync::Arc::new(sources.expect("sources")), stamps)
    };
    let texts = |shelf: &Shelf| -> Vec<String> {
        gather(policies.path(), shelf).sources.expect("sources").into_iter().map(|source| source.text).collect()
    };
    // Just written: the next write may come within the same tick of the clock, and have the same
    // length, and somebody may set the time of modification back.
    let shelf = shelved(policies.path());
    let path = policies.path().join("a.gate");
    let modified = fs::metadata(&path).and_then(|metadata| metadata.modified()).expect("a time");
    fs::write(&path, "ONE").expect("written");
    File::options().write(true).open(&path).and_then(|file| file.set_modified(modified)).expect("set back");
    assert_eq!(texts(&shelf), ["ONE", "two"]);
    assert!(shelf.unchanged("b.gate", &fs::metadata(policies.path().join("b.gate")).expect("b.gate")).is_none());
}

#[test]
fn every_directory_that_matters_is_named() {
    let outside = directory(&[("common/shared.gate", "shared")]);
    let policies = directory(&[("a.gate", "a"), ("plants/b.gate", "b"), (".git/c.gate", "no"), ("empty/README", "")]);
    symlink(outside.path().join("common/shared.gate"), policies.path().join("shared.gate")).expect("link");
    let root = policies.path();
    let named = gather(root, &Shelf::default()).directories;
    let common = fs::canonicalize(outside.path().join("common")).expect("a path");
    assert_eq!(named, BTreeSet::from([root.to_owned(), root.join("plants"), root.join("empty"), common]));
}
