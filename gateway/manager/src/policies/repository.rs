//! Which Git repository a directory belongs to, and whether Git is just writing there. Anybody may
//! put a `.git` into `/tmp`: believed is only what belongs to the owner of the policy directory,
//! to root or to us.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::open::open;

/// A lock that is older was left behind by a Git that died.
const STALE: Duration = Duration::from_secs(10);
/// No file that says where a repository is holds more.
const MAX_POINTER: u64 = 4096;

/// A repository and its working tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Repository {
    /// The top of the working tree: a path without links.
    pub(super) tree: PathBuf,
    /// Git's own directory.
    pub(super) git: PathBuf,
}

impl Repository {
    /// The repository in which `directory` really lies.
    pub(super) fn of(directory: &Path) -> Option<Self> {
        let (place, owner) = place_and_owner(directory)?;
        place.ancestors().find_map(|tree| Self::at(tree, owner))
    }

    /// The repository whose working tree has its top here.
    fn at(tree: &Path, owner: u32) -> Option<Self> {
        let believed = |metadata: Metadata| {
            let uid = metadata.uid();
            (uid == owner || uid == 0 || uid == rustix::process::geteuid().as_raw()).then_some(metadata)
        };
        let entry = tree.join(".git");
        believed(fs::symlink_metadata(&entry).ok()?)?;
        let metadata = believed(fs::metadata(&entry).ok()?)?;
        let git = if metadata.is_dir() {
            entry
        } else if metadata.is_file() {
            // Of a worktree or a submodule there is only a file that says where it is.
            tree.join(pointer(&entry)?)
        } else {
            return None;
        };
        let is_git = believed(fs::metadata(&git).ok()?)?.is_dir() && fs::symlink_metadata(git.join("HEAD")).is_ok();
        is_git.then(|| Self { tree: tree.to_owned(), git })
    }

    /// Whether Git is just changing the working tree: what is there is neither the old revision
    /// nor the new one.
    fn is_locked(&self) -> bool {
        let since = fs::symlink_metadata(self.git.join("index.lock")).and_then(|metadata| metadata.modified());
        since.is_ok_and(|since| SystemTime::now().duration_since(since).is_ok_and(|age| age < STALE))
    }
}

/// Whether Git is just changing one of these directories, or the one in which `root` is missing.
pub(super) fn is_at_work(root: &Path, directories: &BTreeSet<PathBuf>) -> bool {
    let Some((place, owner)) = place_and_owner(root) else { return false };
    let mut places: HashMap<&Path, PathBuf> = HashMap::from([(root, place.clone())]);
    let mut asked = HashSet::new();
    if is_written(&place, owner, &mut asked) {
        return true;
    }
    for directory in directories {
        let Some(place) = real(directory, &places) else { continue };
        if is_written(&place, owner, &mut asked) {
            return true;
        }
        places.insert(directory, place);
    }
    false
}

/// Whether the repository around a place is locked; each directory is asked once.
fn is_written(place: &Path, owner: u32, asked: &mut HashSet<PathBuf>) -> bool {
    for tree in place.ancestors() {
        if !asked.insert(tree.to_owned()) {
            return false;
        }
        if let Some(repository) = Repository::at(tree, owner) {
            return repository.is_locked();
        }
    }
    false
}

/// Where a directory really lies. In a large tree nearly every directory lies in one that is known.
fn real(directory: &Path, known: &HashMap<&Path, PathBuf>) -> Option<PathBuf> {
    let above = directory.parent().and_then(|parent| known.get(parent)).zip(directory.file_name());
    match above {
        Some((above, name)) if fs::symlink_metadata(directory).is_ok_and(|metadata| metadata.is_dir()) => {
            Some(above.join(name))
        }
        _ => fs::canonicalize(directory).ok(),
    }
}

/// Where a directory really lies, or what of the way to it is there, and who owns that.
fn place_and_owner(directory: &Path) -> Option<(PathBuf, u32)> {
    let absolute = std::path::absolute(directory).ok()?;
    let place = absolute.ancestors().find_map(|path| fs::canonicalize(path).ok())?;
    let owner = fs::metadata(&place).ok()?.uid();
    Some((place, owner))
}

/// What a `.git` that is a file leads to.
fn pointer(file: &Path) -> Option<PathBuf> {
    let (file, _) = open(file).ok()?;
    let mut text = String::new();
    file.take(MAX_POINTER).read_to_string(&mut text).ok()?;
    Some(PathBuf::from(text.strip_prefix("gitdir:")?.trim()))
}

#[cfg(test)]
mod tests;
