//! The reference page says what the compiler does.

use policy_lang::{Code, SourceFile, load};

fn page() -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/language.md");
    std::fs::read_to_string(path).expect("docs/language.md")
}

#[test]
fn every_code_is_in_the_table() {
    let page = page();
    for code in Code::ALL {
        let row = format!("| {code} | {} | {} |", code.severity(), code.meaning());
        assert!(page.contains(&row), "docs/language.md lacks: {row}");
    }
}

#[test]
fn whole_policies_in_the_page_compile() {
    let page = page();
    let policies: Vec<&str> = page.split("```gate\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!policies.is_empty());
    for policy in policies {
        let compilation = load(&[SourceFile::new("page.gate", policy)]);
        assert_eq!(compilation.diagnostics, [], "{policy}");
    }
}
