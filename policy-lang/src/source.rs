//! Source files and places in them.
//! A place is kept as bytes and turned into line and column only when somebody is to read it.

use crate::diagnostic::{Code, Diagnostic};
use std::cell::OnceCell;
use std::ops::Range;

/// One `.gate` file of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Path relative to the policy directory, with `/` between its parts.
    pub path: String,
    /// The whole text.
    pub text: String,
}

impl SourceFile {
    /// A file from its path and text.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    /// A file as it was read; bytes that are not UTF-8 are an error at their line and column.
    pub fn from_bytes(path: impl Into<String>, bytes: Vec<u8>) -> Result<Self, Box<Diagnostic>> {
        let path = path.into();
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { path, text }),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let readable = String::from_utf8_lossy(&error.as_bytes()[..good]).into_owned();
                let file = Self { path, text: readable };
                let sources = Sources::new(std::slice::from_ref(&file));
                let span = Span::new(0, good, good);
                let message = "this file is not UTF-8 text";
                let error = sources.error(Code::NotUtf8, span, message, "the first byte that is not text");
                Err(Box::new(error.with_help("save the file as UTF-8")))
            }
        }
    }
}

/// A stretch of bytes in one of the files of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Span {
    pub(crate) file: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn new(file: usize, start: usize, end: usize) -> Self {
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { file: narrow(file), start: narrow(start), end: narrow(end) }
    }

    /// The part of this span that begins `from` bytes into it.
    pub(crate) fn slice(self, from: usize, to: usize) -> Self {
        let start = self.start as usize;
        let end = self.end as usize;
        Self::new(self.file as usize, (start + from).min(end), (start + to).min(end))
    }

    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Something read, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spanned<T> {
    pub(crate) node: T,
    pub(crate) span: Span,
}

/// A word with its place.
pub(crate) type Word = Spanned<String>;

/// All files of a policy, in path order, with their line indexes, which are made when a place in
/// them is first asked for.
#[derive(Debug)]
pub(crate) struct Sources<'a> {
    files: Vec<(&'a SourceFile, OnceCell<LineIndex>)>,
}

impl<'a> Sources<'a> {
    pub(crate) fn new(files: &'a [SourceFile]) -> Self {
        let mut files: Vec<_> = files.iter().map(|file| (file, OnceCell::new())).collect();
        files.sort_by(|a, b| a.0.path.cmp(&b.0.path));
        Self { files }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a SourceFile> + '_ {
        self.files.iter().map(|(file, _)| *file)
    }

    /// The path of a file, by its place among them.
    pub(crate) fn path(&self, file: usize) -> &'a str {
        self.files.get(file).map_or("", |(file, _)| &file.path)
    }

    /// The text of a file, by its place among them.
    pub(crate) fn text(&self, file: usize) -> &'a str {
        self.files.get(file).map_or("", |(file, _)| &file.text)
    }

    /// One-based line and column (in characters), and the length in characters on that line.
    pub(crate) fn place(&self, span: Span) -> (&'a str, usize, usize, usize) {
        let Some((file, index)) = self.files.get(span.file as usize) else {
            return ("", 1, 1, 0);
        };
        let index = index.get_or_init(|| LineIndex::new(&file.text));
        let (line, column) = index.line_column(&file.text, span.start as usize);
        let end = (span.end as usize).min(index.line_end(&file.text, line)).max(span.start as usize);
        let length = index.chars_before(&file.text, end) - index.chars_before(&file.text, span.start as usize);
        (&file.path, line, column, length)
    }

    pub(crate) fn error(
        &self,
        code: Code,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Diagnostic {
        let (file, line, column, length) = self.place(span);
        Diagnostic {
            code,
            severity: code.severity(),
            message: message.into(),
            file: file.to_owned(),
            line,
            column,
            length,
            span: span.range(),
            label: label.into(),
            help: None,
        }
    }
}

/// Where the lines of a text begin, and how many characters precede every 256th byte,
/// so that a column costs the same in a file of one long line as in any other.
#[derive(Debug)]
struct LineIndex {
    lines: Vec<usize>,
    chars: Vec<usize>,
}

const STEP: usize = 256;

impl LineIndex {
    fn new(text: &str) -> Self {
        let mut lines = vec![0];
        let mut chars = Vec::with_capacity(text.len() / STEP + 1);
        let mut count = 0;
        for (at, byte) in text.bytes().enumerate() {
            if at % STEP == 0 {
                chars.push(count);
            }
            if byte & 0xC0 != 0x80 {
                count += 1;
            }
            if byte == b'\n' {
                lines.push(at + 1);
            }
        }
        if text.len().is_multiple_of(STEP) {
            chars.push(count);
        }
        Self { lines, chars }
    }

    /// Characters that begin before byte `at`.
    fn chars_before(&self, text: &str, at: usize) -> usize {
        let at = at.min(text.len());
        let step = at / STEP;
        let inside = text.as_bytes()[step * STEP..at].iter().filter(|b| **b & 0xC0 != 0x80).count();
        self.chars[step] + inside
    }

    fn line_column(&self, text: &str, at: usize) -> (usize, usize) {
        let at = at.min(text.len());
        let line = self.lines.partition_point(|start| *start <= at);
        let start = self.lines[line - 1];
        (line, self.chars_before(text, at) - self.chars_before(text, start) + 1)
    }

    /// The byte at which a one-based line ends, without its line feed.
    fn line_end(&self, text: &str, line: usize) -> usize {
        self.lines.get(line).map_or(text.len(), |next| next - 1)
    }
}

#[cfg(test)]
mod tests;
