//! Policy files as they were last read, so that a look at a large estate reads again only what may
//! have changed.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use policy_lang::SourceFile;

/// How long a file must have been as it is for its stamp to tell it from any later content: the
/// coarsest clock of a usual file system counts two seconds.
const SETTLED: Duration = Duration::from_secs(3);

/// How a file looks to the file system. Any write changes its change time, which nobody can set,
/// unless it comes within the same tick of the clock as the one before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    /// Whether the change was old enough, when it was looked at, that a later one must differ.
    settled: bool,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let age = SystemTime::now().duration_since(changed(metadata));
        Self {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            settled: age.is_ok_and(|age| age > SETTLED),
        }
    }

    fn is_of(&self, metadata: &Metadata) -> bool {
        self.settled && *self == Self { settled: true, ..Self::of(metadata) }
    }
}

/// When content, name or owner of a file changed last.
pub(super) fn changed(metadata: &Metadata) -> SystemTime {
    let seconds = u64::try_from(metadata.ctime()).unwrap_or(0);
    let nanoseconds = u32::try_from(metadata.ctime_nsec()).unwrap_or(0);
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds)).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The files that were read last, in path order.
#[derive(Clone, Default, Debug)]
pub(crate) struct Shelf {
    sources: Arc<Vec<SourceFile>>,
    stamps: Vec<Stamp>,
}

impl Shelf {
    /// A shelf of these files, each with its stamp.
    pub(super) fn new(sources: Arc<Vec<SourceFile>>, stamps: Vec<Stamp>) -> Self {
        Self { sources, stamps }
    }

    /// The text of a file, if it is certain that the file has not changed since it was read.
    pub(super) fn unchanged(&self, path: &str, metadata: &Metadata) -> Option<(Stamp, &str)> {
        let ix = self.sources.binary_search_by(|source| source.path.as_str().cmp(path)).ok()?;
        let (source, stamp) = (self.sources.get(ix)?, self.stamps.get(ix)?);
        stamp.is_of(metadata).then_some((*stamp, source.text.as_str()))
    }
}
