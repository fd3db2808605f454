//! The identity of a policy.
//! Two policies have the same fingerprint if, and only if, they were made of the same files.

use crate::source::{SourceFile, Sources};
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::fmt;

/// SHA-256 over the set of files: their paths and texts, in path order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The identity of these files, whether they check or not; in any order, as their paths decide.
    pub fn of_files(files: &[SourceFile]) -> Self {
        let mut files: Vec<&SourceFile> = files.iter().collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self::of_sorted(files.into_iter())
    }

    pub(crate) fn of(sources: &Sources<'_>) -> Self {
        Self::of_sorted(sources.iter())
    }

    fn of_sorted<'a>(files: impl Iterator<Item = &'a SourceFile>) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"sallyport policy 1\n");
        for file in files {
            // Lengths first, so that no two sets of files run together to the same bytes.
            for part in [&file.path, &file.text] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part.as_bytes());
            }
        }
        Self(hash.finalize().into())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first twelve digits, for people.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

/// All 64 hexadecimal digits.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
