//! Reads the policy directory: every `.gate` file under it, in path order, and those outside of it
//! that they `use`. Names that begin with a dot are skipped, links are followed, so that
//! Kubernetes' `..data` and Git both fit.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use policy_lang::{Diagnostic, SourceFile};

mod watch;

pub(crate) use watch::{Current, Watch};

/// The most that all files together may hold.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// How many files and directories are looked at.
const MAX_ENTRIES: usize = 200_000;

/// Why a policy directory gives no sources.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such directory.
    #[error("the policy directory `{}` does not exist", .0.display())]
    Missing(PathBuf),
    /// It is something else.
    #[error("`{}` is no directory; policies are directories of `.gate` files", .0.display())]
    NoDirectory(PathBuf),
    /// It holds no policy.
    #[error("the policy directory `{}` holds no `.gate` file", .0.display())]
    Empty(PathBuf),
    /// It holds too much.
    #[error("the policy directory `{}` holds too much: at most 64 MiB in 200,000 files are read", .0.display())]
    TooLarge(PathBuf),
    /// Something in it cannot be read.
    #[error("`{}` cannot be read: {why}", path.display())]
    Unreadable {
        /// What.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// A file outside of the directory that one of its files uses.
    #[error("{by}: `{path}` cannot be used: {why}")]
    Used {
        /// The file and place that ask for it.
        by: String,
        /// The path as the policy has it, relative to the policy directory.
        path: String,
        /// Why.
        why: String,
    },
    /// Some files hold no text.
    #[error("{}", list(.0))]
    NoText(Vec<Diagnostic>),
}

fn list(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Reads the whole directory.
pub fn read(directory: &Path) -> Result<Vec<SourceFile>, ReadError> {
    match fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(ReadError::NoDirectory(directory.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ReadError::Missing(directory.to_owned()));
        }
        Err(why) => return Err(ReadError::Unreadable { path: directory.to_owned(), why }),
    }
    let mut reading = Reading {
        root: directory,
        found: Vec::new(),
        entries: 0,
        bytes: 0,
        inside: BTreeSet::new(),
        files: HashMap::new(),
    };
    reading.directory(directory, "")?;
    if reading.found.is_empty() {
        return Err(ReadError::Empty(directory.to_owned()));
    }
    reading.found.sort_by(|a, b| a.0.cmp(&b.0));

    let mut sources = Vec::with_capacity(reading.found.len());
    let mut no_text = Vec::new();
    let mut known: HashSet<String> = reading.found.iter().map(|(path, _)| path.clone()).collect();
    let mut found = std::mem::take(&mut reading.found);
    // What is used may use more: round after round, until a round finds nothing new.
    while !found.is_empty() {
        let mut more = Vec::new();
        for (path, bytes) in found {
            match SourceFile::from_bytes(path, bytes) {
                Ok(source) => {
                    let uses = policy_lang::uses(&source).into_iter().filter(|used| known.insert(used.path.clone()));
                    more.extend(uses.map(|used| (format!("{}:{}:{}", source.path, used.line, used.column), used.path)));
                    sources.push(source);
                }
                Err(diagnostic) => no_text.push(*diagnostic),
            }
        }
        for (by, path) in more {
            reading.used(by, path)?;
        }
        found = std::mem::take(&mut reading.found);
    }
    if no_text.is_empty() { Ok(sources) } else { Err(ReadError::NoText(no_text)) }
}

struct Reading<'a> {
    root: &'a Path,
    found: Vec<(String, Vec<u8>)>,
    entries: usize,
    bytes: u64,
    /// The directories that are being read, against links that lead back to one of them.
    inside: BTreeSet<(u64, u64)>,
    /// Under which path each file was read.
    files: HashMap<(u64, u64), String>,
}

impl Reading<'_> {
    fn directory(&mut self, directory: &Path, prefix: &str) -> Result<(), ReadError> {
        let unreadable = |why| ReadError::Unreadable { path: directory.to_owned(), why };
        let metadata = fs::metadata(directory).map_err(unreadable)?;
        let itself = (metadata.dev(), metadata.ino());
        if !self.inside.insert(itself) {
            return Ok(());
        }
        for entry in fs::read_dir(directory).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(ReadError::TooLarge(self.root.to_owned()));
            }
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') {
                continue;
            }
            let path = entry.path();
            let shown = format!("{prefix}{name}");
            let metadata = match fs::metadata(&path) {
                Ok(metadata) => metadata,
                // A link that leads nowhere matters only if it should be a policy.
                Err(_) if !name.ends_with(".gate") => continue,
                Err(why) => return Err(ReadError::Unreadable { path, why }),
            };
            if metadata.is_dir() {
                self.directory(&path, &format!("{shown}/"))?;
            } else if metadata.is_file() && name.ends_with(".gate") {
                self.file(&path, shown)?;
            }
        }
        self.inside.remove(&itself);
        Ok(())
    }

    /// A file outside of the directory, or under a name in it that is skipped. One that is not
    /// there is left to the compiler, which shows the place.
    fn used(&mut self, by: String, shown: String) -> Result<(), ReadError> {
        let path = self.root.join(&shown);
        let refused = |why: String| ReadError::Used { by: by.clone(), path: shown.clone(), why };
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(refused(error.to_string())),
        };
        if !metadata.is_file() {
            return Err(refused("it is no file".to_owned()));
        }
        if let Some(as_well) = self.files.get(&(metadata.dev(), metadata.ino())) {
            return Err(refused(format!("it is a part of the policy as `{as_well}`")));
        }
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(ReadError::TooLarge(self.root.to_owned()));
        }
        self.file(&path, shown.clone()).map_err(|error| match error {
            ReadError::Unreadable { why, .. } => refused(why.to_string()),
            other => other,
        })
    }

    fn file(&mut self, path: &Path, shown: String) -> Result<(), ReadError> {
        let unreadable = |why| ReadError::Unreadable { path: path.to_owned(), why };
        let mut bytes = Vec::new();
        let left = MAX_BYTES - self.bytes;
        let mut file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        self.files.insert((metadata.dev(), metadata.ino()), shown.clone());
        (&mut file).take(left + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > left {
            return Err(ReadError::TooLarge(self.root.to_owned()));
        }
        self.bytes += bytes.len() as u64;
        self.found.push((shown, bytes));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
