//! The compiler's diagnostics as findings, for the formats that programs read.

use std::path::Path;

use policy_lang::{Code, Diagnostic, Severity};

use crate::report::{Finding, Level, Region, Root, Rule};

/// The diagnostics of the policy in `directory`, in their order.
pub(super) fn of(directory: &Path, diagnostics: &[Diagnostic]) -> std::io::Result<Vec<Finding>> {
    let root = Root::of_this_run()?;
    Ok(diagnostics.iter().map(|diagnostic| finding(&root, directory, diagnostic)).collect())
}

fn finding(root: &Root, directory: &Path, diagnostic: &Diagnostic) -> Finding {
    let Diagnostic { line, column, length, .. } = *diagnostic;
    // What is missing altogether, such as any file, stands nowhere.
    let region =
        (!diagnostic.file.is_empty()).then_some(Region { line, column, end_line: line, end_column: column + length });
    Finding {
        rule: rule(diagnostic.code),
        level: match diagnostic.severity {
            Severity::Error => Level::Error,
            Severity::Warning => Level::Warning,
        },
        message: diagnostic.message.clone(),
        help: diagnostic.help.clone(),
        file: root.file(directory, &diagnostic.file),
        region,
    }
}

fn rule(code: Code) -> Rule {
    let help = code.explanation().map(|explained| {
        let policy_lang::Explanation { about, example, mend, mended } = explained;
        format!("{about}\n\n```text\n{example}```\n\n{mend}\n\n```text\n{mended}```\n")
    });
    Rule { id: code.as_str().to_owned(), summary: code.meaning().to_owned(), help }
}
