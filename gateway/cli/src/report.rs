//! What a verb found, in the forms that other programs take: SARIF 2.1.0, GitHub's workflow
//! commands, JUnit. Verbs turn their own findings into these neutral types and know no format.

use std::path::{Component, Path, PathBuf};

pub(crate) mod github;
pub(crate) mod junit;
pub(crate) mod sarif;

/// How much a finding matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Level {
    /// It stops something.
    Error,
    /// Somebody should look.
    Warning,
}

/// The kind of a finding, told apart by its id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Rule {
    /// A stable word, such as `P014`.
    pub(crate) id: String,
    /// One line on what it means.
    pub(crate) summary: String,
    /// What it means and what to do, in Markdown.
    pub(crate) help: Option<String>,
}

/// Something found at a place of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    /// Its kind.
    pub(crate) rule: Rule,
    pub(crate) level: Level,
    /// What is wrong, in a sentence.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) help: Option<String>,
    pub(crate) file: File,
    /// Where in the file; the whole of it without one.
    pub(crate) region: Option<Region>,
}

impl Finding {
    /// Message and help in one.
    fn text(&self) -> String {
        self.help.as_ref().map_or_else(|| self.message.clone(), |help| format!("{}\nhelp: {help}", self.message))
    }
}

/// Lines and columns from 1, columns in characters (Unicode code points).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Region {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) end_line: usize,
    /// The column after the last character.
    pub(crate) end_column: usize,
}

/// The path of a file, as the repository calls it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum File {
    /// Below the repository's root.
    Inside(PathBuf),
    /// Elsewhere, from the file system's root.
    Outside(PathBuf),
}

impl File {
    pub(crate) fn path(&self) -> &Path {
        match self {
            File::Inside(path) | File::Outside(path) => path,
        }
    }
}

/// Where the paths of findings begin.
#[derive(Debug)]
pub(crate) struct Root {
    /// The root of the repository, without symbolic links.
    repository: PathBuf,
    /// The current directory, as it calls itself.
    current: PathBuf,
}

impl Root {
    /// The checkout of a GitHub workflow (`GITHUB_WORKSPACE`), or else the current directory.
    pub(crate) fn of_this_run() -> std::io::Result<Self> {
        let current = std::env::current_dir()?;
        let workspace = std::env::var_os("GITHUB_WORKSPACE").map(PathBuf::from);
        let repository = match workspace.and_then(|path| path.canonicalize().ok()) {
            Some(workspace) if current.canonicalize()?.starts_with(&workspace) => workspace,
            _ => current.canonicalize()?,
        };
        Ok(Self { repository, current })
    }

    /// What the repository calls a file of `folder`, whatever way leads to it: from the current
    /// directory, through links of folders, with `..`. A file that is a link keeps its own name.
    pub(crate) fn file(&self, folder: &Path, name: &str) -> File {
        let path = self.current.join(folder).join(name);
        let path = match (path.parent(), path.file_name()) {
            (Some(folder), Some(name)) => match folder.canonicalize() {
                Ok(folder) => folder.join(name),
                Err(_) => without_dots(&path),
            },
            _ => without_dots(&path),
        };
        match path.strip_prefix(&self.repository) {
            Ok(inside) => File::Inside(inside.to_owned()),
            Err(_) => File::Outside(path),
        }
    }
}

/// The path without `.` and `..`, where there is no folder to be asked.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// A file's cases: assertions that held or did not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Suite {
    /// What the cases belong to, such as a file.
    pub(crate) name: String,
    pub(crate) cases: Vec<Case>,
}

/// One assertion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Case {
    /// Its words, as its author gave them.
    pub(crate) name: String,
    pub(crate) file: File,
    /// The line on which it begins, from 1.
    pub(crate) line: usize,
    pub(crate) outcome: Outcome,
}

/// What became of an assertion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Passed,
    /// With one line on why, and all there is to say.
    Failed {
        message: String,
        detail: String,
    },
    /// Not looked at, or not as far as it should be, and why.
    Skipped {
        message: String,
    },
}

#[cfg(test)]
mod tests;
