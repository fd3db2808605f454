//! Files outside of a policy's directory that its files `use`.

use super::{MAX_ENTRIES, ReadError, Reading};
use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use policy_lang::SourceFile;

impl Reading<'_> {
    /// Reads what the files that were found use, and what that uses, until nothing is missing.
    pub(super) fn follow(&mut self) -> Result<(), ReadError> {
        let mut known: HashSet<String> = self.found.iter().map(|(path, _)| path.clone()).collect();
        let mut next = 0;
        while let Some((path, bytes)) = self.found.get(next) {
            next += 1;
            // Bytes that are no text use nothing; what is wrong with them is said later.
            let Ok(text) = std::str::from_utf8(bytes) else { continue };
            if !text.contains("use") {
                continue;
            }
            let source = SourceFile::new(path.as_str(), text);
            for used in policy_lang::uses(&source) {
                if known.insert(used.path.clone()) {
                    self.used(format!("{}:{}:{}", source.path, used.line, used.column), used.path)?;
                }
            }
        }
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
}
