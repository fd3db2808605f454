//! What would have been needed, in sentences.

use jiff::Timestamp;
use policy_lang::{Advice, AskedFact, NearPair, NearPermit, Part, Policy};

/// The lines below a denial.
pub(super) fn lines(policy: &Policy, advice: &Advice) -> Vec<String> {
    let mut out = Vec::new();
    for forbid in &advice.forbids {
        match forbid.because.as_slice() {
            [] => out.push(format!("  forbidden by {}, whatever the circumstances", forbid.rule)),
            parts => {
                out.push(format!("  forbidden by {}", forbid.rule));
                parts.iter().for_each(|part| tell_part(policy, part, true, &mut out));
            }
        }
    }
    for permit in &advice.permits {
        tell_permit(policy, permit, &mut out);
    }
    if advice.more > 0 {
        out.push(format!("  and {} more", advice.more));
    }
    if let Some(from) = advice.from {
        out.push(format!("  from {} on the policy says yes, all else being equal", moment(policy, from)));
    }
    out
}

/// The pairs that came near to a packet, a line each.
pub(super) fn pairs(pairs: &[NearPair]) -> Vec<String> {
    let line = |near: &NearPair| format!("  near      {} ({}): {}", near.pair, near.pair.rule, near.differs.as_str());
    pairs.iter().map(line).collect()
}

fn tell_permit(policy: &Policy, permit: &NearPermit, out: &mut Vec<String>) {
    let names = permit.names.join(", ");
    match &permit.fails {
        Some(part) => {
            out.push(format!("  near      {} permits {names}", permit.rule));
            tell_part(policy, part, false, out);
        }
        None if permit.names_source => {
            out.push(format!("  near      {} permits {names}, and its conditions hold", permit.rule))
        }
        None if permit.same_lan => {
            out.push(format!(
                "  near      {} permits {names}, on the same LAN, but not the source itself",
                permit.rule
            ));
        }
        None => out.push(format!("  near      {} permits {names}, but not the source", permit.rule)),
    }
}

/// A part of a condition that stands in the way.
fn tell_part(policy: &Policy, part: &Part, forbids: bool, out: &mut Vec<String>) {
    let keyword = if part.unless { "unless" } else { "when" };
    let stands = match (&part.error, forbids, part.unless) {
        (Some(error), ..) => format!("cannot be evaluated: {error}"),
        (None, true, false) | (None, false, true) => "holds".to_owned(),
        (None, true, true) | (None, false, false) => "does not hold".to_owned(),
    };
    match part.window {
        true => {
            out.push(format!("            its time window: {}", if forbids { "it is open" } else { "it is closed" }))
        }
        false => out.push(format!("            {keyword} {{ {} }} {stands}", part.cedar)),
    }
    for fact in &part.facts {
        out.push(format!("            {}", sentence(fact)));
    }
    if let Some(at) = part.changes_at {
        out.push(format!("            that changes at {}", moment(policy, at)));
    }
}

fn sentence(fact: &AskedFact) -> String {
    let json = |value| serde_json::to_string(&value).unwrap_or_default();
    let name = &fact.name;
    let Some(party) = fact.set_by else {
        return match fact.value {
            Some(_) => format!("`context.{name}` is there"),
            None => format!("`context.{name}` is not there: it comes with an incident"),
        };
    };
    let value = fact.value.as_ref().map(json).unwrap_or_default();
    match &fact.instead {
        Some(other) => format!("`context.{name}` is {value}; the {party} may set it to {}", json(other)),
        None => format!("`context.{name}` is {value}; the {party} says it"),
    }
}

/// A moment as the estate's clocks show it, with its weekday.
fn moment(policy: &Policy, at: Timestamp) -> String {
    at.to_zoned(policy.estate().zone.clone()).strftime("%A %Y-%m-%d %H:%M %Z").to_string()
}
