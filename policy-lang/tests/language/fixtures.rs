//! Every fixture compiles to the diagnostics that stand beside it.
//! `UPDATE=1 cargo nextest run -p policy-lang` rewrites them; read the difference before it is kept.

use policy_lang::{Code, Diagnostic, SourceFile, load};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn cases(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(crate::common::fixtures().join(folder)).expect("fixtures");
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("entry").path()).collect();
    paths.retain(|p| p.is_dir() || p.extension().is_some_and(|e| e == "gate"));
    paths.sort();
    assert!(!paths.is_empty(), "no fixtures in {folder}");
    paths
}

fn rendered(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(|d| format!("{d}\n")).collect()
}

/// Compares with the file beside the fixture; true if they agree.
fn compare(path: &Path, actual: &str) -> bool {
    let beside = path.with_extension("expected");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&beside, actual).expect("writable");
        return true;
    }
    let expected = std::fs::read_to_string(&beside).unwrap_or_default();
    if expected != actual {
        eprintln!("{}:\n--- expected\n{expected}--- actual\n{actual}", path.display());
    }
    expected == actual
}

#[test]
fn good_policies_compile() {
    let mut agree = true;
    for path in cases("ok") {
        let compilation = load(&crate::common::read(&path));
        agree &= compare(&path, &rendered(&compilation.diagnostics));
        assert!(compilation.policy.is_some(), "{} does not compile", path.display());
    }
    assert!(agree, "diagnostics differ; see above");
}

#[test]
fn errors_are_reported_at_their_places() {
    let mut agree = true;
    for path in cases("err") {
        let files = crate::common::read(&path);
        let compilation = load(&files);
        agree &= compare(&path, &rendered(&compilation.diagnostics));
        assert!(compilation.policy.is_none(), "{} compiles", path.display());
        for diagnostic in &compilation.diagnostics {
            in_range(&files, diagnostic);
        }
    }
    assert!(agree, "diagnostics differ; see above");
}

fn in_range(files: &[SourceFile], diagnostic: &Diagnostic) {
    let file = files.iter().find(|f| f.path == diagnostic.file).expect("of one of the files");
    assert!(file.text.get(diagnostic.span.clone()).is_some(), "{diagnostic}: {:?}", diagnostic.span);
    let line = file.text.split('\n').nth(diagnostic.line - 1).expect("line exists");
    assert!(diagnostic.column + diagnostic.length <= line.chars().count() + 2, "{diagnostic}");
}

#[test]
fn every_code_has_a_fixture() {
    let mut seen: BTreeSet<Code> = ["ok", "err"]
        .iter()
        .flat_map(|folder| cases(folder))
        .flat_map(|path| load(&crate::common::read(&path)).diagnostics)
        .map(|d| d.code)
        .collect();
    // A text cannot hold what is no text; `source/tests.rs` has its case.
    seen.insert(Code::NotUtf8);
    let missing: Vec<_> = Code::ALL.iter().filter(|code| !seen.contains(code)).collect();
    assert!(missing.is_empty(), "no fixture shows {missing:?}");
}
