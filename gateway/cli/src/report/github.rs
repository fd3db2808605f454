//! GitHub's workflow commands: a line on standard output becomes an annotation at its place in a
//! pull request. Where a finding is no part of the change, GitHub shows it in the log only.

use crate::output::visible;

use super::{Finding, Level, Region};

/// One command for each finding.
pub(crate) fn commands(findings: &[Finding]) -> String {
    findings.iter().map(command).collect()
}

fn command(finding: &Finding) -> String {
    let level = match finding.level {
        Level::Error => "error",
        Level::Warning => "warning",
    };
    let mut properties = vec![("file", finding.file.path().display().to_string())];
    if let Some(Region { line, column, end_line, end_column }) = finding.region {
        properties.push(("line", line.to_string()));
        // Columns are understood within one line only.
        if line == end_line {
            properties.extend([("col", column.to_string()), ("endColumn", end_column.to_string())]);
        } else {
            properties.push(("endLine", end_line.to_string()));
        }
    }
    properties.push(("title", finding.rule.id.clone()));
    let properties: Vec<String> = properties.iter().map(|(key, value)| format!("{key}={}", property(value))).collect();
    format!("::{level} {}::{}\n", properties.join(","), data(&finding.text()))
}

/// Text after the second `::`: one line, in which `%` begins an escape.
fn data(text: &str) -> String {
    // A newline and a carriage return have signs of their own here.
    let lines: Vec<String> = text.split('\r').map(visible).collect();
    lines.join("\r").replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property, which ends at a comma or a colon.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
