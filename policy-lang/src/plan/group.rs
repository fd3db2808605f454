//! Changes that are the same for many, told once.

use super::{Change, Entry};
use std::collections::HashMap;

/// Changes at one target, each with the sources that it is the same for.
type AtTarget = Vec<(Vec<String>, Vec<Entry>)>;

/// Puts together the sources for which the same changes.
pub(super) fn by_change(sources: Vec<(String, Vec<Entry>)>) -> AtTarget {
    merged(sources)
}

/// Puts together the targets at which the same changes for the same sources.
pub(super) fn by_target(targets: Vec<(String, AtTarget)>) -> Vec<Change> {
    let mut changes = vec![];
    for (targets, of) in merged(targets) {
        for (sources, entries) in of {
            changes.extend(entries.into_iter().map(|entry| entry.of(&targets, &sources)));
        }
    }
    changes
}

/// Names with equal values, together, where the first of them stood.
fn merged<T: Clone + Eq + std::hash::Hash>(named: Vec<(String, T)>) -> Vec<(Vec<String>, T)> {
    let mut places: HashMap<T, usize> = HashMap::new();
    let mut out: Vec<(Vec<String>, T)> = vec![];
    for (name, value) in named {
        match places.get(&value) {
            Some(place) => out[*place].0.push(name),
            None => {
                places.insert(value.clone(), out.len());
                out.push((vec![name], value));
            }
        }
    }
    out
}
