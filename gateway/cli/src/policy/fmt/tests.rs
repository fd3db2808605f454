use super::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use tempfile::TempDir;

const LOOSE: &str = "estate abc.net{limit 1h}\n";
const CANONICAL: &str = "estate abc.net { limit 1h }\n";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// The exit code and what is printed.
fn fmt(paths: &[&Path], check: bool, format: Format) -> (u8, String) {
    let paths = paths.iter().map(|path| path.to_path_buf()).collect();
    let mut out = Vec::new();
    let code = files(&Fmt { paths, check, format }, &mut out).unwrap();
    (code, String::from_utf8(out).unwrap())
}

fn text(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap()
}

#[test]
fn a_whole_policy_is_formatted_and_then_canonical() {
    let policy = folder(&[("a.gate", LOOSE), ("team/b.gate", CANONICAL), ("notes.txt", LOOSE), (".c.gate", LOOSE)]);
    let (code, said) = fmt(&[policy.path()], false, Format::Text);
    let changed = policy.path().join("a.gate");
    assert_eq!((code, said), (0, format!("formatted {}\n2 files, 1 changed\n", changed.display())));
    assert_eq!(text(&policy, "a.gate"), CANONICAL);
    assert_eq!(text(&policy, "notes.txt"), LOOSE);
    assert_eq!(text(&policy, ".c.gate"), LOOSE);
    assert_eq!(fmt(&[policy.path()], false, Format::Text), (0, "2 files, all canonical\n".to_owned()));
    assert_eq!(fmt(&[policy.path()], true, Format::Text).0, 0);
}

#[test]
fn a_canonical_file_is_not_written() {
    let policy = folder(&[("a.gate", CANONICAL)]);
    let before = fs::metadata(policy.path().join("a.gate")).unwrap();
    fmt(&[policy.path()], false, Format::Text);
    assert_eq!(fs::metadata(policy.path().join("a.gate")).unwrap().ino(), before.ino());
}

#[test]
fn check_shows_what_would_change_and_changes_nothing() {
    let policy = folder(&[("a.gate", "// c\r\nestate abc.net{limit 1h}\n")]);
    let path = policy.path().join("a.gate");
    let (code, said) = fmt(&[&path], true, Format::Text);
    let shown = path.display();
    assert_eq!(
        said,
        format!(
            "--- {shown}\n+++ {shown}\n@@ -1,2 +1,2 @@\n-// c␍\n-estate abc.net{{limit 1h}}\n+// c\n+{CANONICAL}\
             1 file, 1 would change\n"
        )
    );
    assert_eq!(code, ERRORS);
    assert_eq!(text(&policy, "a.gate"), "// c\r\nestate abc.net{limit 1h}\n");
}

#[test]
fn what_cannot_be_read_stays_and_the_rest_is_formatted() {
    let policy = folder(&[("a.gate", "estate {{\n"), ("b.gate", LOOSE)]);
    let (code, said) = fmt(&[policy.path()], false, Format::Json);
    assert_eq!(code, ERRORS);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said[0]["diagnostics"][0]["code"], "P001", "{said}");
    assert_eq!((&said[0]["changed"], &said[1]["changed"]), (&false.into(), &true.into()));
    assert_eq!(text(&policy, "a.gate"), "estate {{\n");
    assert_eq!(text(&policy, "b.gate"), CANONICAL);
}

#[test]
fn mode_and_links_are_kept() {
    let elsewhere = folder(&[("real.gate", LOOSE)]);
    let policy = folder(&[]);
    let (link, real) = (policy.path().join("a.gate"), elsewhere.path().join("real.gate"));
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&real, &link).unwrap();
    let (code, said) = fmt(&[policy.path(), &link, &real], false, Format::Text);
    assert!(code == 0 && said.ends_with("1 file, 1 changed\n"), "{said}");
    assert_eq!(fs::read_link(&link).unwrap(), real);
    assert_eq!(text(&elsewhere, "real.gate"), CANONICAL);
    assert_eq!(fs::metadata(&real).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn a_file_that_changed_meanwhile_is_left_alone() {
    let policy = folder(&[("a.gate", "// newer\n")]);
    let error = replace::replace(&policy.path().join("a.gate"), LOOSE, CANONICAL).unwrap_err();
    assert!(format!("{error:#}").contains("changed meanwhile"), "{error:#}");
    assert_eq!(text(&policy, "a.gate"), "// newer\n");
    assert_eq!(fs::read_dir(policy.path()).unwrap().count(), 1);
}

#[test]
fn standard_input_to_standard_output() {
    let run = |check, text: &[u8]| {
        let mut out = Vec::new();
        let code = standard(check, text.to_vec(), &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    };
    assert_eq!(run(false, LOOSE.as_bytes()), (0, CANONICAL.to_owned()));
    assert_eq!(run(true, CANONICAL.as_bytes()), (0, String::new()));
    assert_eq!(run(true, LOOSE.as_bytes()).0, ERRORS);
    assert_eq!(run(false, b"estate {{"), (ERRORS, String::new()));
    assert_eq!(run(false, b"\xff"), (ERRORS, String::new()));
}

#[test]
fn what_is_no_policy_is_an_error() {
    let policy = folder(&[("a.txt", "")]);
    for path in [policy.path().to_owned(), policy.path().join("missing")] {
        assert!(files(&Fmt { paths: vec![path], check: false, format: Format::Text }, &mut Vec::new()).is_err());
    }
}
