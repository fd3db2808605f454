use notify::{Config, ErrorKind, EventHandler, WatcherKind};

use super::*;

/// A watcher of a machine whose limit of watches is reached.
struct Exhausted;

impl Watcher for Exhausted {
    fn new<F: EventHandler>(_: F, _: Config) -> notify::Result<Self> {
        Ok(Self)
    }

    fn watch(&mut self, _: &Path, _: RecursiveMode) -> notify::Result<()> {
        Err(notify::Error::new(ErrorKind::MaxFilesWatch))
    }

    fn unwatch(&mut self, _: &Path) -> notify::Result<()> {
        Ok(())
    }

    fn kind() -> WatcherKind {
        WatcherKind::NullWatcher
    }
}

#[test]
fn what_cannot_be_watched_is_never_taken_at_one_look() {
    let directory = tempfile::TempDir::new().expect("directory");
    let mut eyes = Eyes::new(directory.path());
    let directories = BTreeSet::from([directory.path().to_owned()]);
    assert_eq!(eyes.follow(directories.clone()), Sight { new: true, lacking: false });
    assert_eq!(eyes.follow(directories.clone()), Sight::default());
    for watcher in [None, Some(Box::new(Exhausted) as Box<dyn Watcher + Send>)] {
        let mut eyes = Eyes { watcher, ..Eyes::new(directory.path()) };
        for _ in 0..2 {
            assert_eq!(eyes.follow(directories.clone()), Sight { new: false, lacking: true });
        }
    }
}
