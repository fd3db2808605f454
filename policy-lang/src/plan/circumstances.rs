//! In which of a survey's scenarios something is so, in as few words as tell it.

use crate::survey::Survey;
use std::collections::{BTreeMap, BTreeSet};

/// How many alternatives are told before an example is.
const ALTERNATIVES: usize = 3;
/// How many characters are told before an example is.
const CHARACTERS: usize = 160;

/// When something is so that is so in the scenarios `holds`, a part of `base`, those in which it
/// could be so; both are places among the survey's scenarios. `None`: always.
pub(super) fn when(survey: &Survey, base: &BTreeSet<usize>, holds: &BTreeSet<usize>) -> Option<String> {
    if holds == base {
        return None;
    }
    let short = |words: &String| words.chars().count() <= CHARACTERS;
    if let Some(words) = product(survey, base, holds).filter(short) {
        return Some(words);
    }
    let rest: BTreeSet<usize> = base.difference(holds).copied().collect();
    if let Some(words) = product(survey, base, &rest).filter(short) {
        return Some(format!("unless {words}"));
    }
    let alternatives = (0..survey.dimensions.len()).filter_map(|dimension| split(survey, base, holds, dimension));
    let told = alternatives.min_by_key(Vec::len).map(|alternatives| alternatives.join("; or "));
    if let Some(words) = told.filter(short) {
        return Some(words);
    }
    let first = holds.first().map_or_else(String::new, |n| example(survey, *n));
    let tried = if survey.exhaustive { "" } else { " tried" };
    Some(format!("in {} of {} cases{tried}, such as {first}", holds.len(), base.len()))
}

/// A scenario, as far as it is not the plainest.
fn example(survey: &Survey, n: usize) -> String {
    let at = survey.scenarios[n].at.iter().zip(&survey.dimensions);
    let words: Vec<String> = at.filter(|(value, _)| **value > 0).map(|(value, of)| of.says(*value)).collect();
    if words.is_empty() { survey.scenarios[n].to_string() } else { words.join(", ") }
}

/// The words, if the scenarios are those that have certain values in each dimension by itself.
fn product(survey: &Survey, base: &BTreeSet<usize>, holds: &BTreeSet<usize>) -> Option<String> {
    let values = |set: &BTreeSet<usize>, dimension: usize| -> BTreeSet<usize> {
        set.iter().map(|n| survey.scenarios[*n].at[dimension]).collect()
    };
    let count = survey.dimensions.len();
    let taken: Vec<BTreeSet<usize>> = (0..count).map(|dimension| values(holds, dimension)).collect();
    let fits = |n: &usize| survey.scenarios[*n].at.iter().zip(&taken).all(|(value, taken)| taken.contains(value));
    if base.iter().filter(|n| fits(n)).count() != holds.len() {
        return None;
    }
    let mut words = vec![];
    for (dimension, taken) in taken.iter().enumerate() {
        if *taken != values(base, dimension) {
            let taken: Vec<usize> = taken.iter().copied().collect();
            words.push(survey.dimensions[dimension].describes(&taken));
        }
    }
    (!words.is_empty()).then(|| words.join(", "))
}

/// Alternatives that differ in one dimension, each of them a product.
fn split(survey: &Survey, base: &BTreeSet<usize>, holds: &BTreeSet<usize>, dimension: usize) -> Option<Vec<String>> {
    // Values of the dimension with which the same is so in all others.
    let mut slices: BTreeMap<usize, BTreeSet<Vec<usize>>> = BTreeMap::new();
    for n in holds {
        let mut others = survey.scenarios[*n].at.clone();
        let value = others.remove(dimension);
        slices.entry(value).or_default().insert(others);
    }
    let mut alike: BTreeMap<BTreeSet<Vec<usize>>, BTreeSet<usize>> = BTreeMap::new();
    for (value, slice) in slices {
        alike.entry(slice).or_default().insert(value);
    }
    if alike.len() > ALTERNATIVES {
        return None;
    }
    let mut alternatives: Vec<&BTreeSet<usize>> = alike.values().collect();
    alternatives.sort();
    let part = |values: &&BTreeSet<usize>| {
        let part = holds.iter().filter(|n| values.contains(&survey.scenarios[**n].at[dimension])).copied().collect();
        product(survey, base, &part)
    };
    alternatives.iter().map(part).collect()
}
