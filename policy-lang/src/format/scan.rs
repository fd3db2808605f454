//! A file as its words, signs and comments in order, with what the parser says about them.
//! The parser's tree tells where items begin; it holds no comments, so those are found here.

use super::{Column, columns};
use crate::parse::{GateParser, Rule, string_end};
use pest::Parser as _;
use pest::iterators::Pair;
use std::ops::Range;

/// What a lexeme is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `// …`, without white space at its end.
    Comment,
    /// The `{` of a block.
    Open,
    /// The `}` of a block.
    Close,
    /// A condition with its braces.
    Cedar,
    /// `,`, `=`, `->` and the like.
    Sign,
    /// A string with its quotes.
    Text,
    /// Everything else.
    Word,
}

/// A piece of a file's text.
#[derive(Debug)]
pub(super) struct Lexeme<'t> {
    pub(super) kind: Kind,
    pub(super) text: &'t str,
    /// Byte at which it begins.
    start: usize,
    /// Line feeds between the piece before and this one.
    pub(super) line_feeds: usize,
    /// Characters before it on its line; only of comments.
    pub(super) indent: usize,
    /// How many braces it stands in, from 1, so that a file can have 0.
    depth: usize,
    /// The item that begins with it.
    pub(super) item: Option<Rule>,
    /// The column that begins with it, if its item has one.
    pub(super) column: Option<Column>,
    /// Whether a space parts it from the piece before, if they stand on the same line.
    pub(super) spaced: bool,
}

/// A file's text in pieces.
#[derive(Debug)]
pub(super) struct Scan<'t> {
    pub(super) lexemes: Vec<Lexeme<'t>>,
    /// The parser's tree: each rule with its depth, in order.
    pub(super) shape: Vec<(usize, Rule)>,
}

impl<'t> Scan<'t> {
    /// The pieces of a text that the parser can read.
    pub(super) fn new(text: &'t str) -> Option<Self> {
        let file = GateParser::parse(Rule::file, text).ok()?.next()?;
        let (mut shape, mut found) = (Vec::new(), Vec::new());
        leaves(file.clone(), 0, &mut shape, &mut found);
        let lexemes = Lexer::new(text, &found).read();
        let mut scan = Self { lexemes, shape };
        scan.mark(file, 0, None);
        Some(scan)
    }

    /// Marks where items and columns begin. Whatever stands in more braces than the rule around it, and has
    /// parts, is an item of a block; so new items of the language are items here without being named.
    fn mark(&mut self, pair: Pair<'_, Rule>, depth: usize, item: Option<Rule>) {
        for inner in pair.into_inner() {
            let (rule, start) = (inner.as_rule(), inner.as_span().start());
            let leaf = is_leaf(&inner);
            let first = self.lexemes.partition_point(|lexeme| lexeme.start < start);
            let Some(lexeme) = self.lexemes.get_mut(first) else { continue };
            let inner_depth = lexeme.depth;
            let mut inner_item = item;
            if inner_depth > depth && !leaf {
                lexeme.item = Some(rule);
                inner_item = Some(rule);
            } else if let Some((_, column)) = item.and_then(|item| columns(item).iter().find(|(part, _)| *part == rule))
            {
                lexeme.column = Some(*column);
            }
            if !leaf {
                self.mark(inner, inner_depth, inner_item);
            }
        }
    }
}

/// Whether a pair is read as one piece.
fn is_leaf(pair: &Pair<'_, Rule>) -> bool {
    pair.as_rule() == Rule::cedar || pair.clone().into_inner().next().is_none()
}

/// The parser's smallest parts, in order; empty ones are left out.
#[derive(Debug)]
struct Leaf {
    span: Range<usize>,
    rule: Rule,
}

fn leaves(pair: Pair<'_, Rule>, depth: usize, shape: &mut Vec<(usize, Rule)>, found: &mut Vec<Leaf>) {
    for inner in pair.into_inner() {
        shape.push((depth, inner.as_rule()));
        let span = inner.as_span();
        if !is_leaf(&inner) {
            leaves(inner, depth + 1, shape, found);
        } else if span.start() < span.end() {
            found.push(Leaf { span: span.start()..span.end(), rule: inner.as_rule() });
        }
    }
}

/// Cuts a text into pieces.
struct Lexer<'t, 'l> {
    text: &'t str,
    /// Those that do not end before here.
    leaves: &'l [Leaf],
    /// The rule of the leaf in which the last piece began.
    before: Option<Rule>,
    at: usize,
    line_start: usize,
    line_feeds: usize,
    depth: usize,
    lexemes: Vec<Lexeme<'t>>,
}

impl<'t, 'l> Lexer<'t, 'l> {
    fn new(text: &'t str, leaves: &'l [Leaf]) -> Self {
        Self { text, leaves, before: None, at: 0, line_start: 0, line_feeds: 0, depth: 1, lexemes: Vec::new() }
    }

    fn read(mut self) -> Vec<Lexeme<'t>> {
        while let Some(byte) = self.text.as_bytes().get(self.at) {
            match byte {
                b'\n' => {
                    self.at += 1;
                    self.line_start = self.at;
                    self.line_feeds += 1;
                }
                b' ' | b'\t' | b'\r' => self.at += 1,
                _ => self.piece(),
            }
        }
        self.lexemes
    }

    fn piece(&mut self) {
        let start = self.at;
        while let [first, rest @ ..] = self.leaves
            && first.span.end <= start
        {
            self.leaves = rest;
        }
        let leaf = self.leaves.first().filter(|leaf| leaf.span.start <= start);
        let (kind, end) = self.cut(leaf);
        let rule = leaf.map(|leaf| leaf.rule);
        let text = &self.text[start..end];
        self.depth -= usize::from(kind == Kind::Close && self.depth > 1);
        let lexeme = Lexeme {
            kind,
            text: if kind == Kind::Comment { text.trim_end() } else { text },
            start,
            line_feeds: std::mem::take(&mut self.line_feeds),
            // At most one to a line, so that a long line costs its length once.
            indent: if kind == Kind::Comment { self.text[self.line_start..start].chars().count() } else { 0 },
            depth: self.depth,
            item: None,
            column: None,
            spaced: self.spaced(kind, text),
        };
        self.depth += usize::from(kind == Kind::Open);
        if kind != Kind::Comment {
            self.before = rule;
        }
        if let Some(at) = text.rfind('\n') {
            self.line_start = start + at + 1;
        }
        self.lexemes.push(lexeme);
        self.at = end;
    }

    /// What begins here, and the byte after it.
    fn cut(&self, leaf: Option<&Leaf>) -> (Kind, usize) {
        let start = self.at;
        let rest = &self.text[start..];
        if let Some(leaf) = leaf.filter(|leaf| leaf.rule == Rule::cedar && leaf.span.start == start) {
            return (Kind::Cedar, leaf.span.end);
        }
        if rest.starts_with("//") {
            return (Kind::Comment, rest.find('\n').map_or(self.text.len(), |n| start + n));
        }
        let sign = |kind, length| (kind, start + length);
        match rest.as_bytes() {
            [b'"', ..] => match string_end(self.text.as_bytes(), start) {
                Some(end) => (Kind::Text, end),
                None => sign(Kind::Word, 1),
            },
            [b'{', ..] => sign(Kind::Open, 1),
            [b'}', ..] => sign(Kind::Close, 1),
            [b'<', b'-', b'>', ..] => sign(Kind::Sign, 3),
            [b'-', b'>', ..] => sign(Kind::Sign, 2),
            [b',' | b'=' | b'[' | b']', ..] => sign(Kind::Sign, 1),
            [b':', ..] if leaf.is_some_and(|leaf| leaf.rule == Rule::colon) => sign(Kind::Sign, 1),
            _ => (Kind::Word, self.word_end(leaf)),
        }
    }

    /// The byte after a word: at the end of its leaf at the latest, or where the next one begins.
    fn word_end(&self, leaf: Option<&Leaf>) -> usize {
        let limit = match (leaf, self.leaves.first()) {
            (Some(leaf), _) => leaf.span.end,
            (None, Some(next)) => next.span.start,
            (None, None) => self.text.len(),
        };
        let rest = &self.text[self.at..limit];
        let bytes = rest.as_bytes();
        let stops = |at: usize| {
            matches!(bytes[at], b' ' | b'\t' | b'\r' | b'\n' | b'{' | b'}' | b',' | b'=' | b'[' | b']' | b'"')
                || bytes[at..].starts_with(b"//")
                || bytes[at..].starts_with(b"->")
                || bytes[at..].starts_with(b"<->")
        };
        // The first character belongs to the word whatever it is, so that every piece has one.
        let first = rest.chars().next().map_or(1, char::len_utf8);
        self.at + (first..bytes.len()).find(|at| stops(*at)).unwrap_or(bytes.len().max(first))
    }

    /// Whether a space stands before a piece that follows another on its line.
    fn spaced(&self, kind: Kind, text: &str) -> bool {
        if kind == Kind::Comment {
            return true;
        }
        let Some(before) = self.lexemes.iter().rev().find(|lexeme| lexeme.kind != Kind::Comment) else { return false };
        match (before.kind, kind) {
            (_, Kind::Sign) if matches!(text, "," | "]") => false,
            (Kind::Sign, _) if before.text == "[" => false,
            // A colon belongs to a name, but would become a part of an id.
            (Kind::Text | Kind::Word, Kind::Sign) if text == ":" => {
                !matches!(self.before, Some(Rule::ident | Rule::string))
            }
            // What is one word to its author, and several to the grammar, stays one.
            (Kind::Word, Kind::Word) => before.start + before.text.len() < self.at,
            _ => true,
        }
    }
}
