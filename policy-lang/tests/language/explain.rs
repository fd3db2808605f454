//! Every code is explained by an example that has exactly this fault, and its mend that has none.
//! `docs/errors.md` is made of these texts; `UPDATE=1 cargo nextest run -p policy-lang` writes it.

use policy_lang::{Code, Diagnostic, Explanation, SourceFile, load};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

fn explained(code: Code) -> Explanation {
    code.explanation()
        .unwrap_or_else(|| panic!("policy-lang/src/codes/explain/{code}.md is missing or of another form"))
}

/// The file that an example shows, in which `\xNN` is one byte.
fn bytes(example: &str) -> Vec<u8> {
    let mut parts = example.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (byte, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(byte, 16).expect("two digits after `\\x`"));
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

/// The files of an example: the first, and those that begin at a line `// NAME.gate`.
fn files(example: &str) -> Vec<(&str, String)> {
    let mut files = vec![("policy.gate", String::new())];
    for line in example.split_inclusive('\n') {
        let begins = line.trim_end().strip_prefix("// ").filter(|name| name.ends_with(".gate") && !name.contains(' '));
        match (begins, files.last_mut()) {
            (Some(name), _) => files.push((name, String::new())),
            (None, Some((_, text))) => text.push_str(line),
            (None, None) => {}
        }
    }
    files
}

fn diagnostics(example: &str) -> Vec<Diagnostic> {
    let files = files(example).into_iter().map(|(name, text)| SourceFile::from_bytes(name, bytes(&text)));
    match files.collect::<Result<Vec<SourceFile>, _>>() {
        Ok(files) => load(&files).diagnostics,
        Err(diagnostic) => vec![*diagnostic],
    }
}

#[test]
fn every_code_has_an_example_and_its_mend() {
    let mut faults = Vec::new();
    for code in Code::ALL.iter().copied() {
        let Some(explanation) = code.explanation() else {
            faults.push(format!("policy-lang/src/codes/explain/{code}.md is missing or of another form"));
            continue;
        };
        let said = diagnostics(explanation.example);
        let codes: BTreeSet<Code> = said.iter().map(|diagnostic| diagnostic.code).collect();
        if codes != BTreeSet::from([code]) {
            faults.push(format!("the example of {code} is told {said:#?}"));
        }
        let said = diagnostics(explanation.mended);
        if !said.is_empty() {
            faults.push(format!("the mended example of {code} is told {said:#?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn examples_are_short_and_differ_from_their_mends() {
    for code in Code::ALL.iter().copied() {
        let Explanation { about, example, mend, mended } = explained(code);
        assert_ne!(example, mended, "{code}");
        for text in [about, mend] {
            assert!(text.ends_with('.') && !text.contains("```"), "{code}: {text}");
        }
        for line in example.lines().chain(mended.lines()) {
            assert!(line.chars().count() <= 120, "{code}: {line}");
        }
        assert!(example.lines().count() <= 20 && mended.lines().count() <= 20, "{code}");
    }
}

/// The page that holds all explanations.
fn page() -> String {
    let mut page = String::from(
        "<!-- Made of policy-lang/src/codes/explain/; `UPDATE=1 cargo nextest run -p policy-lang` writes it. -->\n\
         # Errors and warnings, one by one\n\n\
         What `sallyport policy check --explain CODE` says. The first example of each is told exactly this \
         code, the second is its mend and told nothing.\n\n\
         | code | | what it means |\n|---|---|---|\n",
    );
    let write = "a string takes everything";
    for code in Code::ALL {
        let link = code.as_str().to_lowercase();
        writeln!(page, "| [{code}](#{link}) | {} | {} |", code.severity(), code.meaning()).expect(write);
    }
    for code in Code::ALL.iter().copied() {
        let Explanation { about, example, mend, mended } = explained(code);
        let (meaning, severity) = (code.meaning(), code.severity());
        write!(
            page,
            "\n## {code}\n**{severity}: {meaning}**\n\n{about}\n\n```text\n{example}```\n\n{mend}\n\n```gate\n{mended}```\n"
        )
        .expect(write);
    }
    page
}

#[test]
fn the_page_of_errors_holds_every_explanation() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, page()).expect("docs/errors.md is written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page(), "docs/errors.md is not what the explanations say; `UPDATE=1` writes it");
}
