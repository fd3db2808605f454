//! Draws diagnostics at their place in the policy, on standard error.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan,
    SpanContents,
};
use policy_lang::{Diagnostic, Severity, SourceFile};

use crate::colour::{self, HEADING, eprintln};
use crate::output::{printable, visible};

/// Draws every diagnostic, then how many there are.
pub(super) fn all(directory: &Path, sources: &[SourceFile], diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        let text = sources.iter().find(|source| source.path == diagnostic.file).map_or("", |source| &source.text);
        let path = printable(&directory.join(&diagnostic.file).display().to_string());
        let mut report = String::new();
        match handler().render_report(&mut report, &Drawn::of(path, text, diagnostic)) {
            Ok(()) => eprintln!("{report}"),
            Err(fmt::Error) => eprintln!("{}", visible(&diagnostic.to_string())),
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
struct Source {
    path: String,
    text: String,
}

impl SourceCode for Source {
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
    source: Source,
    /// The place in the text as it is shown.
    place: Range<usize>,
    message: String,
    label: String,
    help: Option<String>,
    diagnostic: &'d Diagnostic,
}

impl<'d> Drawn<'d> {
    /// A diagnostic and its text without what a terminal would obey. Pictures of such signs take
    /// more bytes than the signs: the place moves with them.
    fn of(path: String, text: &str, diagnostic: &'d Diagnostic) -> Self {
        let shown = |text: &str| visible(&text.replace("\r\n", "\n"));
        let moved = |at: usize| text.get(..at).map_or(at, |before| shown(before).len());
        Self {
            source: Source { path, text: shown(text) },
            place: moved(diagnostic.span.start)..moved(diagnostic.span.end),
            message: visible(&diagnostic.message),
            label: visible(&diagnostic.label),
            help: diagnostic.help.as_deref().map(visible),
            diagnostic,
        }
    }
}

impl fmt::Display for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
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
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::new_with_span(Some(self.label.clone()), self.place.clone());
        Some(Box::new(std::iter::once(label)))
    }
}
