//! What was proved before, by the hash of all that it rests on.
//! Only proofs are kept: whatever else came of a slice is found anew. Whoever may write to a cache
//! says what is proved, so that one that others may write to is not used.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use policy_lang::proof::Slice;
use sha2::{Digest, Sha256};

use crate::colour::eprintln;
use crate::output::printable;

/// The version of the crate that turns policies into formulas.
pub(super) const SYMCC: &str = "0.8.1";
/// Changes with the meaning of slices: what an earlier meaning proved is proved anew.
const MEANING: &str = "1";

/// A directory with one empty file for each proof.
pub(super) struct Cache {
    directory: Option<PathBuf>,
    /// The solver's [`identity`].
    solver: String,
}

/// What a solver's proofs rest on: what it says of its version, and the bytes of its program.
pub(super) fn identity(program: &str, version: &[u8]) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(found(program)?)?, &mut hash)?;
    hash.update(version);
    Ok(hex(hash))
}

/// Where a program is, by its path or its name.
fn found(program: &str) -> io::Result<PathBuf> {
    if program.contains('/') {
        return Ok(program.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join(program)).find(|path| path.is_file());
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it is not in PATH"))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Cache {
    /// A cache in a directory, which is made if need be; none without one, and none in one that is
    /// not to be trusted, which is said.
    pub(super) fn new(directory: Option<PathBuf>, solver: String) -> Self {
        let directory = directory.filter(|path| match make(path).and_then(|()| distrust(path)) {
            Ok(None) => true,
            Ok(Some(why)) => {
                let path = printable(&path.display().to_string());
                eprintln!("warning: the cache of proofs `{path}` is not used: {why}");
                false
            }
            Err(error) => {
                tracing::debug!(%error, path = %path.display(), "there is no cache of proofs");
                false
            }
        });
        Self { directory, solver }
    }

    /// `$XDG_CACHE_HOME/sallyport/prove`, or under `~/.cache`.
    pub(super) fn usual() -> Option<PathBuf> {
        let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let caches = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
        Some(caches.join("sallyport/prove"))
    }

    pub(super) fn is_proved(&self, slice: &Slice) -> bool {
        let trusted = |path: &Path| path.parent().is_some_and(|parent| matches!(distrust(parent), Ok(None)));
        self.path(slice).is_some_and(|path| path.is_file() && trusted(&path))
    }

    /// Keeps a proof. A cache that cannot be written costs time and nothing else.
    pub(super) fn keep(&self, slice: &Slice) {
        let Some(path) = self.path(slice) else { return };
        if let Err(error) = create(&path) {
            tracing::debug!(%error, path = %path.display(), "a proof could not be kept");
        }
    }

    fn path(&self, slice: &Slice) -> Option<PathBuf> {
        let directory = self.directory.as_ref()?;
        let slice = serde_json::to_vec(slice).ok()?;
        let mut hash = Sha256::new();
        for part in [MEANING.as_bytes(), SYMCC.as_bytes(), self.solver.as_bytes(), slice.as_slice()] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let hash = hex(hash);
        Some(directory.join(&hash[..2]).join(&hash[2..]))
    }
}

/// Makes a directory that nobody else may write to, whatever the user's habit.
fn make(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Why what a directory holds may be somebody else's word.
fn distrust(directory: &Path) -> io::Result<Option<String>> {
    let metadata = fs::metadata(directory)?;
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    Ok(if ![0, rustix::process::geteuid().as_raw()].contains(&owner) {
        Some(format!("it belongs to another user ({owner}); name one of your own with `--cache`"))
    } else if mode & 0o022 != 0 {
        Some(format!("others may write to it (mode {mode:o}); remove it, or name another one with `--cache`"))
    } else {
        None
    })
}

/// Whole or not at all, whoever else writes.
fn create(path: &Path) -> std::io::Result<()> {
    let Some(directory) = path.parent() else { return Ok(()) };
    make(directory)?;
    let half = path.with_extension(std::process::id().to_string());
    File::create(&half)?.write_all(b"")?;
    fs::rename(&half, path)
}

#[cfg(test)]
mod tests {
    /// The hash has to change with the crate that proves.
    #[test]
    fn the_version_is_that_of_the_crate() {
        let lock = include_str!("../../../../../Cargo.lock");
        let entry = format!("name = \"cedar-policy-symcc\"\nversion = \"{}\"", super::SYMCC);
        assert!(lock.contains(&entry), "set SYMCC to the version in Cargo.lock");
    }
}
