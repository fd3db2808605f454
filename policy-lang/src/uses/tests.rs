use super::*;

#[test]
fn a_path_counts_from_the_file_that_says_it() {
    for (from, written, expected) in [
        ("a.gate", "../common/people.gate", Some("../common/people.gate")),
        ("plant/a.gate", "../common/people.gate", Some("common/people.gate")),
        ("plant/a.gate", "./b.gate", Some("plant/b.gate")),
        ("../common/a.gate", "../more/b.gate", Some("../more/b.gate")),
        ("../common/a.gate", "../../b.gate", Some("../../b.gate")),
        ("a.gate", "x/../b.gate", Some("b.gate")),
        ("a.gate", "a.gate", None),
        ("a.gate", "/etc/b.gate", None),
        ("a.gate", "C:/b.gate", None),
        ("a.gate", "..\\b.gate", None),
        ("a.gate", "common", None),
        ("a.gate", "common/.gate", None),
        ("a.gate", "x//b.gate", None),
        ("a.gate", "", None),
    ] {
        assert_eq!(normalised(from, written).ok().as_deref(), expected, "{from} {written}");
    }
}

#[test]
fn the_uses_of_a_file() {
    let file = SourceFile::new(
        "plant/a.gate",
        "// use \"comment.gate\"\nuse \"../b.gate\" use \"/bad.gate\"\ngroup use { }\nuse \"c.gate\"\nbroken use {",
    );
    let found: Vec<String> = uses(&file).into_iter().map(|u| format!("{} {}:{}", u.path, u.line, u.column)).collect();
    assert_eq!(found, ["b.gate 2:5", "plant/c.gate 4:5"]);
    assert_eq!(uses(&SourceFile::new("a.gate", "estate abc.net")), []);
}
