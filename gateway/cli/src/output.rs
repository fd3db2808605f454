//! How answers are printed: tables for people, JSON for programs. An answer that cannot be written
//! is an error, and not a panic: whoever reads it may have gone, or the disk may be full.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::colour::println;

/// The form of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Prints `value` as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(println!("{}", json_line(value)?)?)
}

/// `value` as JSON, without what a terminal would obey: JSON itself demands that only of the
/// control characters before the blank.
pub(crate) fn json_line(value: &impl Serialize) -> serde_json::Result<String> {
    let line = serde_json::to_string(value)?;
    if !line.contains(char::is_control) {
        return Ok(line);
    }
    // Where one is left, it is within a string.
    let escaped = |c: char| if c.is_control() { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    Ok(line.chars().map(escaped).collect())
}

/// Prints rows under a head, in columns as wide as they need to be.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    let widths: [usize; N] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    });
    let line = |cells: [&str; N]| {
        let padded: Vec<String> =
            cells.iter().zip(widths).map(|(cell, width)| format!("{:<width$}", printable(cell))).collect();
        println!("{}", padded.join("  ").trim_end())
    };
    line(head)?;
    rows.iter().try_for_each(|row| line(row.each_ref().map(String::as_str)))
}

/// One line without what a terminal would obey: words of gateways, people and policies come from
/// elsewhere.
pub(crate) fn printable(line: &str) -> String {
    line.chars().map(shown).collect()
}

/// The same for text of several lines, with its tabs.
pub(crate) fn visible(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\t') { c } else { shown(c) }).collect()
}

/// A sign that a terminal would obey, or that turns the order of others around, as a picture of it.
fn shown(c: char) -> char {
    match c {
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\x7f' => '\u{2421}',
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            char::REPLACEMENT_CHARACTER
        }
        _ if c.is_control() => char::REPLACEMENT_CHARACTER,
        _ => c,
    }
}

/// A duration as people say it: `1h`, `30min`, `1h 5min 3s`.
pub(crate) fn duration(seconds: u64) -> String {
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let said: Vec<String> = parts.into_iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if said.is_empty() { "0s".into() } else { said.join(" ") }
}

/// Standard output, whose errors say that they are its own.
#[derive(Debug)]
pub(crate) struct Answer<W>(W);

/// Standard output as it is: nothing of what is written is taken for a style.
pub(crate) fn raw() -> Answer<io::StdoutLock<'static>> {
    Answer(io::stdout().lock())
}

/// Writes to standard output, without styles where they are not wanted.
pub(crate) fn say(text: fmt::Arguments<'_>) -> io::Result<()> {
    Answer(anstream::stdout().lock()).write_all(text.to_string().as_bytes())
}

/// Writes what is still held back.
pub(crate) fn flush() -> io::Result<()> {
    raw().flush()
}

impl<W: Write> Write for Answer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(unwritten)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(unwritten)
    }
}

fn unwritten(error: io::Error) -> io::Error {
    match error.kind() {
        // It is tried again, and nobody hears of it.
        ErrorKind::Interrupted => error,
        kind => io::Error::new(kind, Unwritten(error)),
    }
}

/// The answer could not be written to standard output.
#[derive(Debug)]
struct Unwritten(io::Error);

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("standard output cannot be written")
    }
}

impl Error for Unwritten {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// Whether an error is that whoever read standard output has gone.
pub(crate) fn is_unread(error: &anyhow::Error) -> bool {
    let of = |cause: &(dyn Error + 'static)| {
        let inner = cause.downcast_ref::<io::Error>()?.get_ref()?;
        Some(inner.downcast_ref::<Unwritten>()?.0.kind() == ErrorKind::BrokenPipe)
    };
    error.chain().any(|cause| of(cause) == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys() {
        assert_eq!(printable("a\u{1b}[2J\n\t\u{7f}\u{9b}\u{202e}é"), "a␛[2J␊␉␡\u{fffd}\u{fffd}é");
        assert_eq!(visible("a\r\n\tb\u{1b}\n"), "a␍\n\tb␛\n");
    }
}
