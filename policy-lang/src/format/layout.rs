//! A tree of items to lines.
//! What is opened or broken for want of width is decided so that it would be decided the same way of the result.

use super::align::{Row, rows};
use super::tree::{Block, Content, Entry, Part, Piece};
use super::{BEFORE_COMMENT, Column, HANG, INDENT, WIDTH};

/// The whole file's text.
pub(super) fn file(entries: &[Entry<'_>]) -> String {
    let mut text = lines(entries, 0);
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// A block's lines, without a line feed at their end.
fn lines(entries: &[Entry<'_>], indent: usize) -> String {
    let row = |entry: &Entry<'_>| {
        let (text, columns) = match &entry.content {
            Content::Comment(text) => (format!("{:indent$}{text}", ""), Vec::new()),
            Content::Item(parts) => Item::lay_out(parts, indent),
        };
        let trailing = entry.trailing.iter().map(|line| (*line).to_owned()).collect();
        Row { blank: entry.blank, text, columns, trailing }
    };
    rows(entries.iter().map(row).collect())
}

/// An item on its way to be text.
struct Item {
    text: String,
    /// Characters on its last line so far.
    width: usize,
    indent: usize,
    /// Where in its text columns begin, in bytes.
    columns: Vec<(Column, usize)>,
    /// Whether its words needed more than one line.
    broken: bool,
}

impl Item {
    fn lay_out(parts: &[Part<'_>], indent: usize) -> (String, Vec<(Column, usize)>) {
        let text = " ".repeat(indent);
        let mut item = Self { text, width: indent, indent, columns: Vec::new(), broken: false };
        let mut rest = parts;
        while let Some((part, after)) = rest.split_first() {
            rest = match part {
                Part::Piece(_) => {
                    let (words, after) = words(rest);
                    item.words(&words, !after.is_empty());
                    after
                }
                Part::Cedar(condition) => {
                    let flat = condition.flat();
                    // What follows on the same line up to the next brace.
                    let (next, more) = words(after);
                    let behind = width_of(&next) + if more.is_empty() { 0 } else { 2 };
                    let open = condition.is_open() || item.width + 1 + chars(&flat) + behind > WIDTH;
                    item.braces(None, &if open { condition.block(indent) } else { flat });
                    after
                }
                Part::Block(block) => {
                    let open = block.open || item.broken || item.width + first_line(rest) > WIDTH;
                    item.braces(
                        block.column,
                        &if open { open_block(block, indent, item.width + 1) } else { flat_block(block) },
                    );
                    after
                }
            };
        }
        (item.text, item.columns)
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.width = match text.rfind('\n') {
            Some(at) => chars(&text[at + 1..]),
            None => self.width + chars(text),
        };
    }

    fn braces(&mut self, column: Option<Column>, block: &str) {
        self.push(" ");
        self.column(column);
        self.push(block);
    }

    /// A column begins here, if it has not begun before.
    fn column(&mut self, column: Option<Column>) {
        if let Some(column) = column.filter(|column| self.columns.iter().all(|(other, _)| other != column)) {
            self.columns.push((column, self.text.len()));
        }
    }

    /// Words up to a brace or the end; where they do not fit, they go on after a comma on the next line.
    fn words(&mut self, words: &[&Piece<'_>], brace: bool) {
        let brace = if brace { 2 } else { 0 };
        let fits = self.width + width_of(words) + brace <= WIDTH;
        let mut rest = words;
        while !rest.is_empty() {
            let comma = rest.iter().position(|piece| piece.text == ",").map_or(rest.len(), |at| at + 1);
            let (chunk, after) = rest.split_at(comma);
            let behind = if after.is_empty() { brace } else { 0 };
            if !fits && rest.len() < words.len() && self.width + width_of(chunk) + behind > WIDTH {
                self.broken = true;
                let indent = self.indent + HANG;
                self.push(&format!("\n{:indent$}", ""));
                self.chunk(chunk, true);
            } else {
                self.chunk(chunk, false);
            }
            rest = after;
        }
    }

    fn chunk(&mut self, chunk: &[&Piece<'_>], begins_line: bool) {
        for (number, piece) in chunk.iter().enumerate() {
            let begins = self.text.len() == self.indent || (begins_line && number == 0);
            if piece.spaced && !begins {
                self.push(" ");
            }
            self.column(piece.column);
            self.push(piece.text);
        }
    }
}

/// The words that an item's rest begins with, and what follows them.
fn words<'p, 't>(parts: &'p [Part<'t>]) -> (Vec<&'p Piece<'t>>, &'p [Part<'t>]) {
    let words: Vec<_> =
        parts.iter().map_while(|p| if let Part::Piece(piece) = p { Some(piece) } else { None }).collect();
    let after = &parts[words.len()..];
    (words, after)
}

/// The width of words that follow something.
fn width_of(words: &[&Piece<'_>]) -> usize {
    words.iter().map(|piece| chars(piece.text) + usize::from(piece.spaced)).sum()
}

/// The width of an item's rest on one line, up to the first brace that its author has opened.
fn first_line(parts: &[Part<'_>]) -> usize {
    let mut width = 0;
    for part in parts {
        width += match part {
            Part::Piece(piece) => chars(piece.text) + usize::from(piece.spaced),
            Part::Cedar(condition) if condition.is_open() => return width + 2,
            Part::Block(block) if block.open => return width + 2,
            Part::Cedar(condition) => 1 + chars(&condition.flat()),
            Part::Block(block) => 1 + chars(&flat_block(block)),
        };
    }
    width
}

fn flat_block(block: &Block<'_>) -> String {
    let mut text = String::from("{");
    for (number, entry) in block.entries.iter().enumerate() {
        let space = if number == 0 || text.ends_with(',') { " " } else { "  " };
        text.push_str(space);
        if let Content::Item(parts) = &entry.content {
            text.push_str(flat(parts).trim_start());
        }
    }
    text.push_str(" }");
    text
}

fn flat(parts: &[Part<'_>]) -> String {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Piece(piece) => {
                text.push_str(if piece.spaced { " " } else { "" });
                text.push_str(piece.text);
            }
            Part::Cedar(condition) => text.extend([" ", &condition.flat()]),
            Part::Block(block) => text.extend([" ", &flat_block(block)]),
        }
    }
    text
}

/// A block of several lines; `column` is that of its first brace, `indent` that of the line on which this stands.
fn open_block(block: &Block<'_>, indent: usize, column: usize) -> String {
    let mut text = String::from("{");
    for (number, comment) in block.opening.iter().enumerate() {
        let white = if number == 0 { BEFORE_COMMENT } else { column + 1 + BEFORE_COMMENT };
        text.push_str(if number == 0 { "" } else { "\n" });
        text.push_str(&" ".repeat(white));
        text.push_str(comment);
    }
    text.push('\n');
    if !block.entries.is_empty() {
        text.push_str(&lines(&block.entries, indent + INDENT));
        text.push('\n');
    }
    text.push_str(&" ".repeat(indent));
    text.push('}');
    text
}

fn chars(text: &str) -> usize {
    text.chars().count()
}
