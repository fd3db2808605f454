//! What `sallyport policy` does to whoever reads it: exit codes that mean one thing, answers that
//! cannot be written, and text that a terminal would obey.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The exit code, standard output and standard error.
type Said = (i32, String, String);

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn sallyport<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sallyport"));
    command.args(arguments).current_dir(fixtures()).stdin(Stdio::null());
    for name in ["GITHUB_WORKSPACE", "NO_COLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command
}

fn said(command: &mut Command) -> Said {
    let output = command.output().expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

/// A policy of one file.
fn policy(text: &str) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("a.gate"), text).expect("a file");
    directory
}

const WHOLE: &str = "estate abc.net
gateway rs-1@abc.net { lan 172.16.0.0/12 }
gateway rs-2@abc.net { lan 192.168.2.0/24 }
target rs-1@abc.net { permit rs-2@abc.net { terminals any limit 1h } }
";

/// Each verb that answers, with a policy that it answers about, and what it exits with where it cannot.
fn answers(directory: &str) -> Vec<(Vec<&str>, i32)> {
    vec![
        (vec!["policy", "check", directory], 2),
        (vec!["policy", "check", directory, "--format", "json"], 2),
        (vec!["policy", "check", "--explain", "all"], 2),
        (vec!["policy", "check", "--explain", "P014"], 2),
        (vec!["policy", "test", directory], 2),
        (vec!["policy", "test", directory, "--format", "junit"], 2),
        (vec!["policy", "fmt", "--check", directory], 2),
        (vec!["policy", "explain", directory, "--from", "rs-2@abc.net", "--to", "rs-1@abc.net"], 2),
        (vec!["policy", "plan", directory, directory], 3),
        (vec!["policy", "plan", directory, directory, "--format", "markdown", "--exit-code"], 3),
        (vec!["policy", "--help"], 2),
    ]
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error() {
    let whole = policy(WHOLE);
    for (arguments, code) in answers(&whole.path().display().to_string()) {
        let full = File::create("/dev/full").expect("the full device");
        let (got, _, err) = said(sallyport(&arguments).stdout(full));
        assert_eq!(got, code, "{arguments:?}: {err}");
        assert!(!err.contains("panicked"), "{arguments:?}: {err}");
        if arguments.len() > 2 {
            assert!(err.starts_with("error: standard output cannot be written: No space left"), "{arguments:?}: {err}");
        }
    }
}

#[test]
fn where_nobody_reads_the_answer_it_ends_as_by_the_signal_for_that() {
    let whole = policy(WHOLE);
    for (arguments, _) in answers(&whole.path().display().to_string()).into_iter().filter(|(words, _)| words.len() > 2)
    {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let (code, _, err) = said(sallyport(&arguments).stdout(writer));
        assert_eq!((code, err.as_str()), (128 + 13, ""), "{arguments:?}");
    }
    // Nobody listens to what is said besides: that ends nothing.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    assert_eq!(said(sallyport(["policy", "check", "broken"]).stderr(writer)).0, 1);
}

#[test]
fn a_misused_plan_never_says_that_something_widens() {
    for (words, code) in [
        ("policy plan --bad", 3),
        ("policy --color never plan --bad", 3),
        ("--color never policy plan --bad", 3),
        ("policy plan --color purple", 3),
        ("policy plan --help", 0),
        ("policy check --bad", 2),
        ("policy check plan extra", 2),
    ] {
        assert_eq!(said(&mut sallyport(words.split(' '))).0, code, "{words}");
    }
    let no_text = OsStr::from_bytes(b"--\xff");
    for (words, code) in [(["policy", "plan"], 3), (["policy", "check"], 2)] {
        let words: Vec<OsString> = words.into_iter().map(OsString::from).chain([no_text.to_owned()]).collect();
        let (got, _, err) = said(&mut sallyport(words));
        assert_eq!(got, code, "{err}");
    }
}

/// Whether a terminal would do something else than show it.
fn is_obeyed(text: &str) -> bool {
    text.chars().any(|c| (c.is_control() && c != '\n' && c != '\t') || c == '\u{202e}')
}

#[test]
fn a_terminal_obeys_nothing_that_a_policy_says() {
    let evil = "\u{1b}[2J\u{7f}\u{9b}2J\u{202e}";
    let tests = format!("test \"a {evil}\" {{ rs-2@abc.net -> rs-1@abc.net allow }}\n");
    let failing = tests.replace("allow", "deny");
    let texts = [
        format!("{WHOLE}gateway rs-3@abc.net \"{evil}\" {{ }} target rs-9@abc.net {{ }} // {evil}\r\n"),
        format!("{WHOLE}gateway rs-3@abc.net \"{evil}\" {{ lan 172.16.0.0/12 }}\n"),
        format!("{WHOLE}{tests}"),
        format!("{WHOLE}{failing}"),
        format!("{WHOLE}never \"{evil}\" {{ principal == Gateway::\"rs-2@abc.net\" }}\n"),
        WHOLE.replace("estate abc.net", &format!("estate abc.net \"{evil}\"")),
    ];
    let old = policy(WHOLE);
    for text in &texts {
        let new = policy(text);
        let (old, new) = (old.path().display().to_string(), new.path().display().to_string());
        for arguments in [
            vec!["check", &new],
            vec!["check", &new, "--format", "github"],
            vec!["test", &new, "--coverage"],
            vec!["test", &new, "--format", "github"],
            vec!["fmt", "--check", &new],
            vec!["plan", &old, &new],
            vec!["plan", &old, &new, "--format", "markdown"],
            vec!["explain", &new, "--from", "rs-2@abc.net", "--to", "rs-1@abc.net"],
            vec!["prove", &new, "--no-cache"],
        ] {
            // Without a solver, claims are told just the same.
            let (_, out, err) = said(sallyport(["policy"].iter().chain(&arguments)).env("CVC5", "/nowhere/cvc5"));
            for printed in [out, err] {
                assert!(!is_obeyed(&printed), "{arguments:?} of {text:?}: {printed:?}");
            }
        }
    }
}

#[test]
fn places_stay_where_they_are_behind_what_is_not_shown() {
    let broken = policy(&format!(
        "{WHOLE}gateway rs-3@abc.net \"\u{1b}\u{1b} é\" {{ lan 10.0.0.0/8 }} target rs-9@abc.net {{ }}\r\n"
    ));
    let (code, _, err) = said(&mut sallyport(["policy", "check", &broken.path().display().to_string()]));
    assert_eq!(code, 1);
    let lines: Vec<&str> = err.lines().collect();
    let at = lines.iter().position(|line| line.contains("␛␛ é")).unwrap_or_else(|| panic!("{err}"));
    let column = |line: &str, sign: char| line.chars().position(|c| c == sign);
    assert_eq!(column(lines[at + 1], '─'), column(&lines[at].replace("rs-9", "─"), '─'), "{err}");
}

#[test]
fn programs_hear_of_a_policy_with_errors_too() {
    let (code, out, err) = said(&mut sallyport(["policy", "test", "broken", "--format", "json"]));
    assert_eq!((code, err.as_str()), (1, ""));
    let value: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(value["passed"], false);
    assert!(value["diagnostics"][0]["code"].is_string(), "{value}");
}

#[test]
fn only_regular_files_are_formatted() {
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("pipe.gate");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).expect("a pipe");
    for path in [pipe.as_path(), Path::new("/dev/zero")] {
        let (code, out, err) = said(sallyport(["policy", "fmt", "--check"]).arg(path));
        assert_eq!((code, out.as_str()), (2, ""));
        assert!(err.contains("is no regular file"), "{err}");
    }
    let (code, _, err) = said(sallyport(["policy", "fmt", "-"]).stdin(File::open("/dev/zero").expect("zeros")));
    assert_eq!(code, 2);
    assert!(err.contains("it holds more than 64 MiB"), "{err}");
}
