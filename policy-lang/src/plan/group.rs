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
    let each = targets.into_iter().flat_map(|(target, of)| of.into_iter().map(move |change| (target.clone(), change)));
    // What changes at the same targets is told under one heading.
    let mut headings: Vec<(Vec<String>, AtTarget)> = vec![];
    let mut places: HashMap<Vec<String>, usize> = HashMap::new();
    for (targets, change) in merged(each) {
        match places.get(&targets) {
            Some(place) => headings[*place].1.push(change),
            None => {
                places.insert(targets.clone(), headings.len());
                headings.push((targets, vec![change]));
            }
        }
    }
    let mut changes = vec![];
    for (targets, of) in headings {
        for (sources, entries) in of {
            changes.extend(entries.into_iter().map(|entry| entry.of(&targets, &sources)));
        }
    }
    changes
}

/// Names with equal values, together, where the first of them stood.
fn merged<T: Clone + Eq + std::hash::Hash>(named: impl IntoIterator<Item = (String, T)>) -> Vec<(Vec<String>, T)> {
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
