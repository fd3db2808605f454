//! The subscription at the file system: which directories are watched, when something in them
//! stirred, and whether somebody is still writing. What stirred is never trusted, only looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use notify::event::{AccessKind, AccessMode, Event, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How often everything is read although nothing stirred.
    pub(crate) poll: Duration,
    /// How long nothing may have stirred before what is there counts as whole.
    pub(crate) still: Duration,
    /// Likewise, while a policy file has been written to and not been closed.
    pub(crate) writing: Duration,
    /// How long to wait for a directory in which something always stirs.
    pub(crate) patience: Duration,
    /// How long at most until what is there counts, whole or not.
    pub(crate) at_most: Duration,
}

impl Pace {
    /// The pace of a directory that is polled and must stand still as long as this.
    pub(crate) fn new(poll: Duration, still: Duration) -> Self {
        let writing = still.max(Duration::from_millis(500));
        let patience = 2 * writing;
        // A checkout of a large tree takes a while, a right that is withdrawn should not.
        let at_most = patience.max(Duration::from_secs(60));
        Self { poll, still, writing, patience, at_most }
    }
}

/// What a look can have missed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Sight {
    /// Something was not watched before: what stirred in it until now was not told.
    pub(super) new: bool,
    /// Something cannot be watched: nobody will ever tell.
    pub(super) lacking: bool,
}

/// The eyes on a policy directory.
pub(super) struct Eyes {
    root: PathBuf,
    shared: Arc<Shared>,
    watcher: Option<Box<dyn Watcher + Send>>,
    /// The directories that are watched, and which ones they were: another may have their name.
    watched: BTreeMap<PathBuf, Identity>,
}

/// What the watcher's thread tells.
#[derive(Debug, Default)]
pub(super) struct Shared {
    stirred: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How often something stirred.
    events: u64,
    /// When something did last.
    last: Option<Instant>,
    /// Policy files that were written to and not closed since.
    writing: BTreeSet<PathBuf>,
    /// Directories in which everything matters.
    whole: BTreeSet<PathBuf>,
    /// Names that matter besides, in directories in which nothing else does.
    names: BTreeSet<PathBuf>,
    /// Watched directories that are not any more where they were.
    replaced: BTreeSet<PathBuf>,
}

/// A directory, however it is called.
type Identity = (u64, u64, Option<SystemTime>);

impl Eyes {
    /// Eyes on `root`, still closed.
    pub(super) fn new(root: &Path) -> Self {
        let shared = Arc::new(Shared::default());
        let ears = shared.clone();
        let watcher = notify::recommended_watcher(move |event| ears.hear(event))
            .inspect_err(|error| tracing::warn!(%error, "the policy directory is not watched, only polled"))
            .ok()
            .map(|watcher: RecommendedWatcher| Box::new(watcher) as Box<dyn Watcher + Send>);
        let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        Self { root, shared, watcher, watched: BTreeMap::new() }
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Watches these directories, and whatever must change for `root` to become another.
    pub(super) fn follow(&mut self, directories: BTreeSet<PathBuf>) -> Sight {
        let Some(watcher) = &mut self.watcher else { return Sight { new: false, lacking: true } };
        let names = approaches(&self.root);
        // As the watcher names them.
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let directories: BTreeSet<PathBuf> = directories.into_iter().map(absolute).collect();
        let mut seen = BTreeSet::new();
        let mut wanted: BTreeMap<PathBuf, Identity> = BTreeMap::new();
        for path in directories.iter().map(PathBuf::as_path).chain(names.iter().filter_map(|name| name.parent())) {
            // The kernel watches a directory once, by whichever of its names.
            if let Some(identity) = identity(path).filter(|identity| seen.insert(*identity)) {
                wanted.insert(path.to_owned(), identity);
            }
        }
        let replaced = {
            let mut state = self.shared.state();
            state.whole = directories;
            state.names = names;
            std::mem::take(&mut state.replaced)
        };
        self.watched.retain(|path, identity| {
            let stays = wanted.get(path) == Some(identity) && !replaced.contains(path);
            if !stays {
                // It fails where the directory is gone, and its watch with it.
                let _ = watcher.unwatch(path);
            }
            stays
        });
        let mut sight = Sight::default();
        for (path, identity) in wanted {
            if self.watched.contains_key(&path) {
                continue;
            }
            match watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(path, identity);
                    sight.new = true;
                }
                Err(error) => {
                    tracing::warn!(%error, path = %path.display(), "not watched, only polled");
                    sight.lacking = true;
                }
            }
        }
        sight
    }
}

impl Shared {
    /// Completes when something has stirred since it last did.
    pub(super) async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// How often something stirred.
    pub(super) fn events(&self) -> u64 {
        self.state().events
    }

    /// Waits until nothing has stirred for as long as it takes, and says how often something did
    /// until then, and when last. `None` if it never ceases.
    pub(super) async fn quiet(&self, pace: Pace) -> Option<(u64, Option<Instant>)> {
        let patience = Instant::now() + pace.patience;
        loop {
            let now = Instant::now();
            let due = {
                let mut state = self.state();
                let still = if state.writing.is_empty() { pace.still } else { pace.writing };
                match state.last.map(|last| last + still).filter(|due| *due > now) {
                    Some(due) => due,
                    None => {
                        // Who wrote without an end in sight has paused for long enough.
                        state.writing.clear();
                        return Some((state.events, state.last));
                    }
                }
            };
            if now >= patience {
                return None;
            }
            // Whoever closes a file makes the wait shorter.
            let wait = due.min(patience).duration_since(now);
            let _ = tokio::time::timeout(wait, self.stirred.notified()).await;
        }
    }

    /// On the watcher's thread.
    fn hear(&self, event: notify::Result<Event>) {
        let mut state = self.state();
        // An error may stand for any number of events that are lost.
        if event.is_ok_and(|event| !state.matters(&event)) {
            return;
        }
        state.events += 1;
        state.last = Some(Instant::now());
        drop(state);
        self.stirred.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn matters(&mut self, event: &Event) -> bool {
        let moved = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
        let closed = matches!(event.kind, EventKind::Access(AccessKind::Close(AccessMode::Write)));
        if matches!(event.kind, EventKind::Access(_)) && !closed {
            // Reading, as we do it ourselves.
            return false;
        }
        for path in &event.paths {
            if moved || closed {
                self.writing.remove(path);
            } else if matches!(event.kind, EventKind::Modify(ModifyKind::Data(_))) && is_policy(path) {
                self.writing.insert(path.clone());
            }
            if moved {
                self.replaced.insert(path.clone());
            }
        }
        let concerns = |path: &PathBuf| {
            self.names.contains(path)
                || self.whole.contains(path)
                || path.parent().is_some_and(|parent| self.whole.contains(parent))
        };
        event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(concerns)
    }
}

fn is_policy(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("gate"))
}

/// Some file systems give a new directory the number of one that was just removed.
fn identity(directory: &Path) -> Option<Identity> {
    let metadata = fs::metadata(directory).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.created().ok()))
}

/// The paths of which one must change for `root` to lead elsewhere: its own, each link on the
/// way to it, and what of the way is missing.
fn approaches(root: &Path) -> BTreeSet<PathBuf> {
    let leads_on = |path: &&Path| fs::symlink_metadata(path).map_or(true, |metadata| metadata.is_symlink());
    let way = root.ancestors().skip(1).filter(leads_on);
    std::iter::once(root).chain(way).map(Path::to_owned).collect()
}

#[cfg(test)]
mod tests;
