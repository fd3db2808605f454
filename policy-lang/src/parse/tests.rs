use super::*;
use crate::source::SourceFile;

fn read(text: &str) -> (Ast, Vec<String>) {
    let file = SourceFile::new("a.gate", text);
    let mut diagnostics = vec![];
    let read = parse(&Sources::new(std::slice::from_ref(&file)), 0, &mut diagnostics);
    (read.ast, diagnostics.iter().map(|d| format!("{}:{} {}", d.line, d.column, d.message)).collect())
}

#[test]
fn what_follows_an_error_is_still_read() {
    let (ast, errors) = read(
        "gateway rs-1@abc.net { lam 10.0.0.0/8 terminal a = 10.0.0.1 }\n\
         gruop x { }\n\
         group y { rs-1@abc.net }\n\
         target rs-1@abc.net { permit rs-2@abc.net priority { } forbid rs-3@abc.net }\n",
    );
    assert_eq!(
        errors,
        ["1:24 unexpected `lam`", "2:1 unexpected `gruop`", "4:52 expected a name, id, address or number, found `{`",]
    );
    assert_eq!(ast.gateways[0].terminals.len(), 1);
    assert_eq!(ast.groups.len(), 1);
    assert_eq!(ast.targets[0].rules.len(), 2);
    assert!(ast.targets[0].rules[0].damaged);
}

#[test]
fn signs_need_no_space() {
    let (ast, errors) = read("target rs-1@abc.net{permit rs-2@abc.net{terminals a<->b tcp 1,2-3//x\nterminals c->d}}");
    assert_eq!(errors, [""; 0]);
    let lines = &ast.targets[0].rules[0].terminals;
    let ends: Vec<_> =
        lines.iter().map(|l| (&*l.from.node, l.to.as_ref().map(|(both, w)| (*both, &*w.node)))).collect();
    assert_eq!(ends, [("a", Some((true, "b"))), ("c", Some((false, "d")))]);
    assert_eq!(lines[0].services[0].ports.len(), 2);
}

#[test]
fn a_case_is_quoted_without_its_comments() {
    let (ast, errors) = read(
        "test \"t\" {\n  rs-2@bücher.example -> rs-1@abc.net // who\n    { ticket: \"http://x  // y\" } // why\n    deny\n}",
    );
    assert_eq!(errors, [""; 0]);
    assert_eq!(ast.tests[0].cases[0].text, "rs-2@bücher.example -> rs-1@abc.net { ticket: \"http://x  // y\" } deny");
}

#[test]
fn conditions_are_kept_word_by_word() {
    let (ast, errors) = read("let a = { \"}\" == context.reason // }\n && {x: 1} has x }");
    assert_eq!(errors, [""; 0]);
    assert_eq!(ast.lets[0].cedar.node, " \"}\" == context.reason // }\n && {x: 1} has x ");
}

#[test]
fn depth_is_counted_outside_of_strings_and_comments() {
    assert_eq!(too_deep(&"{".repeat(MAX_DEPTH)), None);
    assert_eq!(too_deep(&"{".repeat(MAX_DEPTH + 1)), Some(MAX_DEPTH));
    assert_eq!(too_deep(&"{}".repeat(1000)), None);
    assert_eq!(too_deep(&"\"{\" ".repeat(100)), None);
    assert_eq!(too_deep(&"// {\n".repeat(100)), None);
}

#[test]
fn strings_lose_their_quotes() {
    assert_eq!(unquote(r#""a \"b\" \\ c""#), r#"a "b" \ c"#);
}

#[test]
fn signs_that_cannot_be_seen_are_named() {
    let (_, errors) = read("\u{a0}\ngateway\u{a0}rs-1@abc.net { lan 10.0.0.0/8 }");
    assert_eq!(
        errors,
        [
            "1:1 unexpected an invisible sign (U+00A0)",
            "2:8 expected a name, id, address or number, found an invisible sign (U+00A0)",
        ]
    );
}

/// Were each of its quotes followed to the end of the line, this would take hours.
#[test]
fn a_quote_that_nothing_closes_does_not_make_a_long_line_slow() {
    let quotes = "\\\"".repeat(200_000);
    for text in [
        format!("\"{quotes}\n"),
        format!("target rs-1@abc.net {{ \"{quotes}\n }}\n"),
        format!("x {{ \"{quotes}\n }}\n"),
    ] {
        let (ast, errors) = read(&format!("{text}group y {{ rs-1@abc.net }}\n"));
        assert_eq!((ast.groups.len(), errors.len()), (1, 1), "{errors:?}");
    }
}
