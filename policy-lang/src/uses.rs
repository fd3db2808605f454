//! Which other files a file needs: `use "../common/people.gate"`.
//! Whoever reads a policy asks each file and brings what it names, until nothing is missing; `compile` checks the rest.

use crate::ast::Ast;
use crate::parse;
use crate::source::{SourceFile, Sources};

/// One `use` of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The file that is meant: relative to the policy directory, with `/` between its parts
    /// and `..` only at its beginning. It is the [`path`](SourceFile::path) under which
    /// [`compile`](crate::compile) looks for it.
    pub path: String,
    /// One-based line of the place where it is named.
    pub line: usize,
    /// One-based column, in characters.
    pub column: usize,
}

/// The files that a file uses, in its order. Paths that no file can have are left out:
/// `compile` says what is wrong with them.
pub fn uses(file: &SourceFile) -> Vec<Use> {
    // Most files use none, and reading one costs more than looking for the words.
    let named = |(at, word): (usize, &str)| file.text[at + word.len()..].trim_start().starts_with(['"', '/']);
    if !file.text.match_indices("use").any(named) {
        return vec![];
    }
    let sources = Sources::new(std::slice::from_ref(file));
    let Ast { uses, .. } = parse::parse(&sources, 0, &mut vec![]).ast;
    let found = uses.into_iter().filter_map(|decl| {
        let path = normalised(&file.path, &decl.path.node).ok()?;
        let (_, line, column, _) = sources.place(decl.path.span);
        Some(Use { path, line, column })
    });
    found.collect()
}

/// The path that `written` in the file `from` means; the error says what is allowed.
pub(crate) fn normalised(from: &str, written: &str) -> Result<String, String> {
    if written.starts_with('/') || written.contains(['\\', ':']) || written.chars().any(char::is_control) {
        return Err("write a path from this file on, with `/`: `use \"../common/people.gate\"`".to_owned());
    }
    if !written.ends_with(".gate") || written.ends_with("/.gate") || written == ".gate" {
        return Err("only single files that end in `.gate` can be used".to_owned());
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in written.split('/') {
        match part {
            "" => return Err("a part of the path is empty".to_owned()),
            "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    if path == from { Err("a file cannot use itself".to_owned()) } else { Ok(path) }
}

#[cfg(test)]
mod tests;
