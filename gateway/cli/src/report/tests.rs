use super::*;

fn finding(path: &str, message: &str, region: Option<Region>) -> Finding {
    Finding {
        rule: Rule { id: "P014".into(), summary: "an unknown gateway".into(), help: None },
        level: Level::Error,
        message: message.into(),
        help: None,
        file: if path.starts_with('/') { File::Outside(path.into()) } else { File::Inside(path.into()) },
        region,
    }
}

fn at(line: usize, column: usize, end_line: usize, end_column: usize) -> Option<Region> {
    Some(Region { line, column, end_line, end_column })
}

#[test]
fn a_command_is_one_line_whatever_it_says() {
    for (finding, line) in [
        (
            finding("a.gate", "no `x`", at(7, 12, 7, 24)),
            "::error file=a.gate,line=7,col=12,endColumn=24,title=P014::no `x`",
        ),
        (finding("a.gate", "two lines", at(7, 12, 8, 3)), "::error file=a.gate,line=7,endLine=8,title=P014::two lines"),
        (finding("a.gate", "nowhere", None), "::error file=a.gate,title=P014::nowhere"),
        (finding("a,b:c%.gate", "50%: a, b", None), "::error file=a%2Cb%3Ac%25.gate,title=P014::50%25: a, b"),
        (finding("a\nb", "x\r\n::error::y", None), "::error file=a%0Ab,title=P014::x%0D%0A::error::y"),
        (finding("/etc/a.gate", "absolute", None), "::error file=/etc/a.gate,title=P014::absolute"),
    ] {
        assert_eq!(github::commands(&[finding]), format!("{line}\n"));
    }
}

#[test]
fn paths_become_uris() {
    for (path, uri, base) in [
        ("policy/plant.gate", "policy/plant.gate", Some("%SRCROOT%")),
        ("the plant/größe.gate", "the%20plant/gr%C3%B6%C3%9Fe.gate", Some("%SRCROOT%")),
        ("a:b#c?d%20", "a%3Ab%23c%3Fd%2520", Some("%SRCROOT%")),
        ("/etc/a b.gate", "file:///etc/a%20b.gate", None),
    ] {
        let log = sarif::log(&[finding(path, "x", None)]);
        let location = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
        assert_eq!(location["artifactLocation"]["uri"], uri);
        assert_eq!(location["artifactLocation"]["uriBaseId"].as_str(), base);
        assert!(location.get("region").is_none());
    }
}

#[test]
fn rules_are_listed_once_and_results_lead_to_them() {
    let mut other = finding("b.gate", "y", at(1, 1, 1, 1));
    other.rule.id = "P007".into();
    other.level = Level::Warning;
    let log = sarif::log(&[finding("a.gate", "x", None), other, finding("c.gate", "z", None)]);
    let run = &log["runs"][0];
    let ids: Vec<_> =
        run["tool"]["driver"]["rules"].as_array().expect("rules").iter().map(|rule| &rule["id"]).collect();
    assert_eq!(ids, ["P007", "P014"]);
    let results: Vec<_> =
        run["results"].as_array().expect("results").iter().map(|r| (&r["ruleIndex"], &r["level"])).collect();
    assert_eq!(results, [(&1.into(), &"error".into()), (&0.into(), &"warning".into()), (&1.into(), &"error".into())]);
}

#[test]
fn nothing_found_is_a_log_without_results() {
    let log = sarif::log(&[]);
    assert_eq!(log["runs"][0]["results"], serde_json::json!([]));
    assert_eq!(github::commands(&[]), "");
}

#[test]
fn files_are_called_as_the_repository_calls_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let real = folder.path().canonicalize().expect("it is there");
    std::fs::create_dir_all(real.join("checkout/policies")).expect("a folder");
    std::fs::create_dir_all(real.join("checkout/tools")).expect("a folder");
    std::os::unix::fs::symlink(real.join("checkout/policies"), real.join("link")).expect("a link");
    let root = Root { repository: real.join("checkout"), current: real.join("checkout/tools") };
    let inside = |path: &str| File::Inside(path.into());
    assert_eq!(root.file(Path::new("../policies"), "a/b.gate"), inside("policies/a/b.gate"));
    assert_eq!(root.file(Path::new("./.././policies/"), "b.gate"), inside("policies/b.gate"));
    assert_eq!(root.file(&real.join("link"), "b.gate"), inside("policies/b.gate"));
    assert_eq!(root.file(Path::new(""), "../policies/b.gate"), inside("policies/b.gate"));
    assert_eq!(root.file(Path::new("../gone/./x/.."), "b.gate"), inside("gone/b.gate"));
    assert_eq!(root.file(Path::new("../.."), "b.gate"), File::Outside(real.join("b.gate")));
}

#[test]
fn cases_become_junit() {
    let case = |name: &str, line, outcome| Case {
        name: name.into(),
        file: File::Inside("policy/tests.gate".into()),
        line,
        outcome,
    };
    let suite = Suite {
        name: "policy/tests.gate".into(),
        cases: vec![
            case("the maintenance centre reaches the plant", 3, Outcome::Passed),
            case(
                "<nobody> & \"nothing\"",
                9,
                Outcome::Failed {
                    message: "expected deny, got allow".into(),
                    detail: "line 1\n\u{1b}[31mline 2\u{1b}[0m ]]>".into(),
                },
            ),
            case("a never", 12, Outcome::Skipped { message: "no cvc5".into() }),
        ],
    };
    let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="policy" tests="3" failures="1" errors="0">
    <testsuite name="policy/tests.gate" tests="3" disabled="1" errors="0" failures="1">
        <testcase name="the maintenance centre reaches the plant" classname="policy/tests.gate" file="policy/tests.gate" line="3">
        </testcase>
        <testcase name="&lt;nobody&gt; &amp; &quot;nothing&quot;" classname="policy/tests.gate" file="policy/tests.gate" line="9">
            <failure message="expected deny, got allow">line 1
line 2 ]]&gt;</failure>
        </testcase>
        <testcase name="a never" classname="policy/tests.gate" file="policy/tests.gate" line="12">
            <skipped message="no cvc5"/>
        </testcase>
    </testsuite>
</testsuites>
"#;
    assert_eq!(junit::report("policy", &[suite]).expect("XML"), expected);
}
