//! What was proved before, by the hash of all that it rests on.
//! Only proofs are kept: whatever else came of a slice is found anew.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use policy_lang::proof::Slice;
use sha2::{Digest, Sha256};

/// The version of the crate that turns policies into formulas.
pub(super) const SYMCC: &str = "0.8.1";
/// Changes with the meaning of slices: what an earlier meaning proved is proved anew.
const MEANING: &str = "1";

/// A directory with one empty file for each proof.
pub(super) struct Cache {
    directory: Option<PathBuf>,
    /// The solver's version.
    solver: String,
}

impl Cache {
    /// A cache in a directory; none without one.
    pub(super) fn new(directory: Option<PathBuf>, solver: String) -> Self {
        Self { directory, solver }
    }

    /// `$XDG_CACHE_HOME/sallyport/prove`, or under `~/.cache`.
    pub(super) fn usual() -> Option<PathBuf> {
        let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let caches = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
        Some(caches.join("sallyport/prove"))
    }

    pub(super) fn is_proved(&self, slice: &Slice) -> bool {
        self.path(slice).is_some_and(|path| path.is_file())
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
        let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(directory.join(&hash[..2]).join(&hash[2..]))
    }
}

/// Whole or not at all, whoever else writes.
fn create(path: &Path) -> std::io::Result<()> {
    let Some(directory) = path.parent() else { return Ok(()) };
    fs::create_dir_all(directory)?;
    let half = path.with_extension(std::process::id().to_string());
    fs::File::create(&half)?.write_all(b"")?;
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
