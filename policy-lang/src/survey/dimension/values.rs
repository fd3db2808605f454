//! Values that stand for all others of their type, given what they are compared with.

use crate::facts::FactValue;
use crate::survey::asked::{Compared, Constant};
use crate::values::neighbour;
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// Of how many members all subsets are made.
const SUBSETS: usize = 5;

/// The default, each constant, the number after it, and one before all of them.
pub(super) fn longs(compared: &Compared, default: i64) -> (Vec<FactValue>, bool) {
    let mut all: BTreeSet<i64> = BTreeSet::new();
    for constant in &compared.constants {
        if let Constant::Long(n) = constant {
            all.extend([*n, n.saturating_add(1)]);
            all.extend(compared.opaque.then(|| n.saturating_sub(1)));
        }
    }
    all.extend(all.first().map(|first| first.saturating_sub(1)));
    if compared.opaque {
        all.extend([i64::MIN, 0, i64::MAX]);
    }
    all.remove(&default);
    (std::iter::once(default).chain(all).map(FactValue::Long).collect(), !compared.opaque)
}

/// The default, nothing, each constant, what each pattern takes, and a text like none of them.
pub(super) fn texts(compared: &Compared, default: &str) -> (Vec<String>, bool) {
    let mut all = vec![default.to_owned()];
    let mut add = |text: String| {
        if !all.contains(&text) {
            all.push(text);
        }
    };
    add(String::new());
    for constant in &compared.constants {
        if let Constant::Text(text) = constant {
            add(text.clone());
        }
    }
    for pattern in &compared.patterns {
        for fill in ["", "0"] {
            add(pattern.iter().map(|c| c.map_or_else(|| fill.to_owned(), String::from)).collect());
        }
    }
    let like = |text: &str| compared.patterns.iter().any(|pattern| matches(pattern, &text.chars().collect::<Vec<_>>()));
    let fresh = ["other", "else", "any", "1", "-", "\u{2026}"].into_iter().find(|text| {
        let known = compared.constants.contains(&Constant::Text((*text).to_owned())) || *text == default;
        !known && !like(text)
    });
    if let Some(fresh) = fresh {
        add(fresh.to_owned());
    }
    // Every text is like `*`; and two patterns may share texts in ways that one text does not show.
    let told = compared.patterns.len() <= 1 && (fresh.is_some() || !compared.patterns.is_empty());
    (all, told && !compared.opaque)
}

fn matches(pattern: &[Option<char>], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((None, rest)), _) => (0..=text.len()).any(|n| matches(rest, &text[n..])),
        (Some((Some(c), rest)), Some((first, others))) => c == first && matches(rest, others),
        _ => false,
    }
}

/// All sets of the constants, with and without a member that is none of them.
pub(super) fn sets(compared: &Compared, default: &BTreeSet<String>) -> (Vec<FactValue>, bool) {
    let texts = compared.constants.iter().filter_map(|constant| match constant {
        Constant::Text(text) => Some(text.clone()),
        _ => None,
    });
    let mut members: Vec<String> = texts.collect();
    let fresh = ["other", "else", "\u{2026}"].into_iter().find(|fresh| !members.iter().any(|member| member == fresh));
    members.extend(fresh.map(str::to_owned));
    let told = members.len() <= SUBSETS;
    let mut all = vec![default.clone()];
    let mut add = |set: BTreeSet<String>| {
        if !all.contains(&set) {
            all.push(set);
        }
    };
    if told {
        for bits in 0..1_usize << members.len() {
            let chosen = members.iter().enumerate().filter(|(n, _)| bits & (1 << n) != 0);
            add(chosen.map(|(_, member)| member.clone()).collect());
        }
    } else {
        add(BTreeSet::new());
        members.iter().for_each(|member| add(BTreeSet::from([member.clone()])));
        add(members.iter().cloned().collect());
    }
    (all.into_iter().map(FactValue::Set).collect(), told && !compared.opaque)
}

/// Prefixes and addresses in, around and outside each constant.
pub(super) fn ips(compared: &Compared, default: IpNet) -> (Vec<FactValue>, bool) {
    let mut all: BTreeSet<IpNet> = BTreeSet::new();
    let mut whole = true;
    for constant in &compared.constants {
        if let Constant::Ip(net) = constant {
            all.extend([*net, IpNet::from(net.network()), IpNet::from(net.broadcast())]);
            all.extend(neighbour(net.broadcast(), true).map(IpNet::from));
            all.extend(neighbour(net.network(), false).map(IpNet::from));
            whole &= net.prefix_len() == net.max_prefix_len();
        }
    }
    let outside = [[192, 0, 2, 1], [198, 51, 100, 1], [127, 0, 0, 1], [224, 0, 0, 1]];
    all.extend(outside.map(|octets| IpNet::from(IpAddr::from(octets))));
    all.extend(
        ["2001:db8::1", "::1", "ff02::1"].iter().filter_map(|text| text.parse::<IpAddr>().ok()).map(IpNet::from),
    );
    all.remove(&default);
    // Whether an address in a prefix is one of several constants is not told by its ends alone.
    let told = !compared.opaque && (whole || !compared.equality);
    (std::iter::once(default).chain(all).map(FactValue::Ip).collect(), told)
}

/// The session's beginning, each constant, and the millisecond after it.
pub(super) fn durations(compared: &Compared) -> Vec<Duration> {
    let mut all = BTreeSet::from([Duration::ZERO]);
    for constant in &compared.constants {
        if let Constant::Duration(millis) = constant {
            let later = [*millis, millis.saturating_add(1)];
            all.extend(later.into_iter().filter_map(|millis| u64::try_from(millis).ok()).map(Duration::from_millis));
        }
    }
    all.into_iter().collect()
}
