//! Opens regular files and nothing else. What a path leads to may change between a look at it and
//! its opening, and whoever opens a pipe without care waits for somebody to write into it.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Opens a file that `path` names or leads to.
pub(super) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    open_as(path, OFlags::empty())
}

/// Opens a file that has this name itself: a link is refused.
pub(super) fn open_itself(path: &Path) -> io::Result<(File, Metadata)> {
    open_as(path, OFlags::NOFOLLOW)
}

fn open_as(path: &Path, how: OFlags) -> io::Result<(File, Metadata)> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK | how;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(io::Error::other("it is no file")) }
}
