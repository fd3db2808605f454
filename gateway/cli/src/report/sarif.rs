//! SARIF 2.1.0, of which this writes the part that GitHub's code scanning and editors read:
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>.

use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};

use super::{File, Finding, Level, Region, Rule};

/// The base of all relative paths: readers put the root of their checkout in its place.
const ROOT: &str = "%SRCROOT%";

/// The log of one run.
pub(crate) fn log(findings: &[Finding]) -> Value {
    let mut rules: Vec<&Rule> = findings.iter().map(|finding| &finding.rule).collect();
    rules.sort_by(|a, b| a.id.cmp(&b.id));
    rules.dedup_by(|a, b| a.id == b.id);
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "sallyport",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().copied().map(descriptor).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": findings.iter().map(|finding| result(finding, &rules)).collect::<Vec<_>>(),
        }],
    })
}

fn descriptor(rule: &Rule) -> Value {
    let mut descriptor = json!({ "id": rule.id, "shortDescription": { "text": rule.summary } });
    if let Some(help) = &rule.help {
        descriptor["help"] = json!({ "text": help, "markdown": help });
    }
    descriptor
}

fn result(finding: &Finding, rules: &[&Rule]) -> Value {
    let level = match finding.level {
        Level::Error => "error",
        Level::Warning => "warning",
    };
    let mut place = json!({ "artifactLocation": artifact(&finding.file) });
    if let Some(Region { line, column, end_line, end_column }) = finding.region {
        place["region"] =
            json!({ "startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column });
    }
    json!({
        "ruleId": finding.rule.id,
        "ruleIndex": rules.iter().position(|rule| rule.id == finding.rule.id),
        "level": level,
        "message": { "text": finding.text() },
        "locations": [{ "physicalLocation": place }],
    })
}

fn artifact(file: &File) -> Value {
    let path = escaped(file.path().as_os_str().as_bytes());
    match file {
        File::Inside(_) => json!({ "uri": path, "uriBaseId": ROOT }),
        File::Outside(_) => json!({ "uri": format!("file://{path}") }),
    }
}

/// A path as part of a URI (RFC 3986): all but the unreserved characters and `/` in hexadecimal.
fn escaped(path: &[u8]) -> String {
    let escape = |byte: &u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => char::from(*byte).to_string(),
        other => format!("%{other:02X}"),
    };
    path.iter().map(escape).collect()
}
