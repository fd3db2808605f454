//! What would have been needed, in sentences.

use jiff::Timestamp;
use policy_lang::{Advice, AskedFact, NearPair, NearPermit, Part, Policy};

use crate::colour::println;

/// Prints it below the denial.
pub(super) fn print(policy: &Policy, advice: &Advice) {
    for forbid in &advice.forbids {
        match forbid.because.as_slice() {
            [] => println!("  forbidden by {}, whatever the circumstances", forbid.rule),
            parts => {
                println!("  forbidden by {}", forbid.rule);
                parts.iter().for_each(|part| print_part(policy, part, true));
            }
        }
    }
    for permit in &advice.permits {
        print_permit(policy, permit);
    }
    if advice.more > 0 {
        println!("  and {} more", advice.more);
    }
    if let Some(from) = advice.from {
        println!("  from {} on the policy says yes, all else being equal", moment(policy, from));
    }
}

/// Prints the pairs that came near to a packet.
pub(super) fn print_pairs(pairs: &[NearPair]) {
    for near in pairs {
        println!("  near      {} ({}): {}", near.pair, near.pair.rule, near.differs.as_str());
    }
}

fn print_permit(policy: &Policy, permit: &NearPermit) {
    let names = permit.names.join(", ");
    match &permit.fails {
        Some(part) => {
            println!("  near      {} permits {names}", permit.rule);
            print_part(policy, part, false);
        }
        None if permit.names_source => println!("  near      {} permits {names}, and its conditions hold", permit.rule),
        None if permit.same_lan => {
            println!("  near      {} permits {names}, on the same LAN, but not the source itself", permit.rule);
        }
        None => println!("  near      {} permits {names}, but not the source", permit.rule),
    }
}

/// A part of a condition that stands in the way.
fn print_part(policy: &Policy, part: &Part, forbids: bool) {
    let keyword = if part.unless { "unless" } else { "when" };
    let stands = match (&part.error, forbids, part.unless) {
        (Some(error), ..) => format!("cannot be evaluated: {error}"),
        (None, true, false) | (None, false, true) => "holds".to_owned(),
        (None, true, true) | (None, false, false) => "does not hold".to_owned(),
    };
    match part.window {
        true => println!("            its time window: {}", if forbids { "it is open" } else { "it is closed" }),
        false => println!("            {keyword} {{ {} }} {stands}", part.cedar),
    }
    for fact in &part.facts {
        println!("            {}", sentence(fact));
    }
    if let Some(at) = part.changes_at {
        println!("            that changes at {}", moment(policy, at));
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
