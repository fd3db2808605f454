//! Draws diagnostics at their place in the policy, on standard error.

use std::fmt;
use std::path::Path;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan,
    SpanContents,
};
use policy_lang::{Diagnostic, Severity, SourceFile};

use crate::colour::{self, HEADING, eprintln};

/// Draws every diagnostic, then how many there are.
pub(super) fn all(directory: &Path, sources: &[SourceFile], diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        let text = sources.iter().find(|source| source.path == diagnostic.file).map_or("", |source| &source.text);
        let path = directory.join(&diagnostic.file).display().to_string();
        let drawn = Drawn { source: Source { path, text }, diagnostic };
        let mut report = String::new();
        match handler().render_report(&mut report, &drawn) {
            Ok(()) => eprintln!("{report}"),
            Err(fmt::Error) => eprintln!("{diagnostic}"),
        }
    }
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    let warnings = diagnostics.len() - errors;
    if !diagnostics.is_empty() {
        let plural = |count| if count == 1 { "" } else { "s" };
        let (many, more) = (plural(errors), plural(warnings));
        eprintln!("{HEADING}{errors} error{many}, {warnings} warning{more}{HEADING:#}");
    }
}

fn handler() -> GraphicalReportHandler {
    let theme = if colour::on_stderr() { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    GraphicalReportHandler::new_themed(theme).with_width(120)
}

/// A file, whose columns are counted in characters as everywhere else, and not in bytes.
#[derive(Debug)]
struct Source<'s> {
    path: String,
    text: &'s str,
}

impl SourceCode for Source<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let read = self.text.read_span(span, before, after)?;
        let start = read.span().offset();
        let line = self.text.get(start.saturating_sub(read.column())..start).unwrap_or_default();
        let (path, column) = (self.path.clone(), line.chars().count());
        let named =
            MietteSpanContents::new_named(path, read.data(), *read.span(), read.line(), column, read.line_count());
        Ok(Box::new(named))
    }
}

#[derive(Debug)]
struct Drawn<'d> {
    source: Source<'d>,
    diagnostic: &'d Diagnostic,
}

impl fmt::Display for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for Drawn<'_> {}

impl miette::Diagnostic for Drawn<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(format!("{}[{}]", self.diagnostic.severity, self.diagnostic.code)))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.diagnostic.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.diagnostic.span.clone();
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some(self.diagnostic.label.clone()), place))))
    }
}
