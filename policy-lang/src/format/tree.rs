//! Pieces of text to a tree of blocks and items in which comments have found their places.

use super::Column;
use super::cedar::Condition;
use super::scan::{Kind, Lexeme};

/// A line of a block: an item, or a comment of its own.
#[derive(Debug)]
pub(super) struct Entry<'t> {
    /// Whether its author left a blank line before it.
    pub(super) blank: bool,
    pub(super) content: Content<'t>,
    /// The comment behind it, and its further lines below.
    pub(super) trailing: Vec<&'t str>,
}

#[derive(Debug)]
pub(super) enum Content<'t> {
    Comment(&'t str),
    Item(Vec<Part<'t>>),
}

/// A part of an item.
#[derive(Debug)]
pub(super) enum Part<'t> {
    Piece(Piece<'t>),
    Cedar(Condition<'t>),
    Block(Block<'t>),
}

/// A word or sign.
#[derive(Debug)]
pub(super) struct Piece<'t> {
    pub(super) text: &'t str,
    /// Whether a space stands before it.
    pub(super) spaced: bool,
    pub(super) column: Option<Column>,
}

/// Items in braces.
#[derive(Debug)]
pub(super) struct Block<'t> {
    pub(super) column: Option<Column>,
    /// The comment behind its first brace, and its further lines below.
    pub(super) opening: Vec<&'t str>,
    pub(super) entries: Vec<Entry<'t>>,
    /// Whether its author wrote it on several lines, which a comment always does.
    pub(super) open: bool,
}

/// The tree of a file.
pub(super) fn entries<'t>(lexemes: &[Lexeme<'t>]) -> Vec<Entry<'t>> {
    Builder { lexemes, at: 0 }.entries()
}

struct Builder<'l, 't> {
    lexemes: &'l [Lexeme<'t>],
    at: usize,
}

impl<'l, 't> Builder<'l, 't> {
    fn peek(&self) -> Option<&'l Lexeme<'t>> {
        self.lexemes.get(self.at)
    }

    /// What follows up to the end of the block or file.
    fn entries(&mut self) -> Vec<Entry<'t>> {
        let mut entries: Vec<Entry<'t>> = Vec::new();
        while let Some(next) = self.peek() {
            match (next.kind, entries.last_mut()) {
                (Kind::Close, _) => break,
                (Kind::Comment, Some(before)) if next.line_feeds == 0 => before.trailing = self.comment(),
                (Kind::Comment, _) => {
                    entries.push(comment(next.text, next.line_feeds > 1));
                    self.at += 1;
                }
                _ => self.item(&mut entries),
            }
        }
        entries
    }

    /// A comment behind something, with the lines right below it that begin in the same column.
    fn comment(&mut self) -> Vec<&'t str> {
        let mut lines = Vec::new();
        let column = self.peek().map(|first| first.indent);
        while let Some(next) = self.peek().filter(|next| next.kind == Kind::Comment) {
            if !lines.is_empty() && (next.line_feeds != 1 || Some(next.indent) != column) {
                break;
            }
            lines.push(next.text);
            self.at += 1;
        }
        lines
    }

    /// One item. Comments in the middle of it go before it.
    fn item(&mut self, entries: &mut Vec<Entry<'t>>) {
        let Some(first) = self.peek() else { return };
        let mut blank = first.line_feeds > 1;
        // In a list of words nothing is an item to the parser; each ends after its comma.
        let listed = first.item.is_none();
        let mut parts = Vec::new();
        loop {
            let ahead = &self.lexemes[self.at..];
            let comments = ahead.iter().take_while(|lexeme| lexeme.kind == Kind::Comment).count();
            let Some(next) = ahead.get(comments) else { break };
            if !parts.is_empty() && (next.kind == Kind::Close || next.item.is_some()) {
                break;
            }
            for lexeme in &ahead[..comments] {
                entries.push(comment(lexeme.text, std::mem::take(&mut blank)));
            }
            self.at += comments + 1;
            parts.push(match next.kind {
                Kind::Open => Part::Block(self.block(next.column)),
                Kind::Cedar => Part::Cedar(Condition::new(next.text)),
                _ => Part::Piece(Piece { text: next.text, spaced: next.spaced, column: next.column }),
            });
            if listed && next.text == "," {
                break;
            }
        }
        entries.push(Entry { blank, content: Content::Item(parts), trailing: Vec::new() });
    }

    /// A block, of which the first brace has been read.
    fn block(&mut self, column: Option<Column>) -> Block<'t> {
        let start = self.at;
        let opening = match self.peek() {
            Some(next) if next.kind == Kind::Comment && next.line_feeds == 0 => self.comment(),
            _ => Vec::new(),
        };
        let entries = self.entries();
        self.at += 1;
        let inside = &self.lexemes[start..self.at.min(self.lexemes.len())];
        let open = inside.iter().any(|l| l.line_feeds > 0 || l.text.contains('\n'));
        let empty = entries.is_empty() && opening.is_empty();
        Block { column, opening, entries, open: open && !empty }
    }
}

fn comment(text: &str, blank: bool) -> Entry<'_> {
    Entry { blank, content: Content::Comment(text), trailing: Vec::new() }
}
