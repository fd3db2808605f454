//! Replaces a file's text so that every reader, a manager that is watching too, sees the old text or the new one.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use anyhow::{Context, ensure};

/// Writes `new` where `old` was read from. Links are kept: what they lead to is replaced. The file's mode and owner
/// stay the same.
pub(super) fn replace(path: &Path, old: &str, new: &str) -> anyhow::Result<()> {
    write(path, old, new).with_context(|| format!("`{}` cannot be replaced", path.display()))
}

fn write(path: &Path, old: &str, new: &str) -> anyhow::Result<()> {
    let path = fs::canonicalize(path)?;
    let folder = path.parent().context("it has no folder")?;
    let before = fs::metadata(&path)?;

    // A policy's reader skips names that begin with a dot.
    let mut file = tempfile::Builder::new().prefix(".sallyport-fmt-").tempfile_in(folder)?;
    file.write_all(new.as_bytes())?;
    let made = file.as_file().metadata()?;
    if (made.uid(), made.gid()) != (before.uid(), before.gid()) {
        fchown(file.as_file(), Some(before.uid()), Some(before.gid())).context("its owner cannot be kept")?;
    }
    file.as_file().set_permissions(Permissions::from_mode(before.mode() & 0o7777))?;
    file.as_file().sync_all()?;

    ensure!(fs::read(&path)? == old.as_bytes(), "it has changed meanwhile; try again");
    file.persist(&path).map_err(|error| error.error)?;
    // The text is safe already; a folder that cannot be synced only delays the name.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}
