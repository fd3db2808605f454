//! Claims without a solver: each is checked over the estate's own apparatuses, and says so.
//! What is refuted here is refuted; what is not is `checked`, and never `proved`.

use policy_lang::proof::{Search, Searched};
use policy_lang::{NeverOutcome, Verdict as Way, plan};

use super::claim::{Claim, Counter, Verdict};
use super::{Wanted, actions};

/// How many questions a claim may take.
const QUESTIONS: usize = 100_000;

pub(super) fn claims(wanted: Wanted<'_>) -> anyhow::Result<Vec<Claim>> {
    let policy = wanted.policy;
    let mut claims = vec![];
    for result in policy.check_nevers(QUESTIONS) {
        let (verdict, counterexamples, whole) = match &result.outcome {
            NeverOutcome::Kept => (Verdict::Checked, vec![], true),
            NeverOutcome::KeptInPart => (Verdict::Checked, vec![], false),
            NeverOutcome::Refuted(found) => (Verdict::Refuted, vec![Counter::checked(policy, found)], true),
        };
        let sessions = "sessions and packets of this estate's apparatuses".to_owned();
        let notes = note(verdict, &sessions, whole);
        let (claim, place) = (format!("never {:?}", result.name), Some(result.place.to_string()));
        claims.push(Claim { claim, place, verdict, counterexamples, notes });
    }
    for condition in wanted.nevers {
        actions(policy, condition)?;
        let searched = policy.searched(Search::Never(condition), QUESTIONS).map_err(anyhow::Error::msg)?;
        claims.push(said(wanted, format!("never {condition}"), &searched));
    }
    // Where no condition can err by its form, there is nothing to search for.
    if policy.error_pieces().map_err(anyhow::Error::msg)?.is_empty() {
        let notes = vec!["checked by the form of the conditions: none of them computes".to_owned()];
        claims.push(Claim {
            claim: "no rule can err".into(),
            place: None,
            verdict: Verdict::Checked,
            counterexamples: vec![],
            notes,
        });
    } else {
        let searched = policy.searched(Search::Error, QUESTIONS).map_err(anyhow::Error::msg)?;
        claims.push(said(wanted, "no rule can err".into(), &searched));
    }
    if let Some(before) = wanted.before {
        let plan = plan(before, policy);
        let widens = plan.changes.iter().filter(|change| change.verdict == Way::Widens);
        let (certain, uncertain): (Vec<_>, Vec<_>) = widens.partition(|change| change.certain);
        let verdict = match (certain.is_empty(), uncertain.is_empty()) {
            (false, _) => Verdict::Refuted,
            (true, false) => Verdict::NotDecided,
            (true, true) => Verdict::Checked,
        };
        let mut notes: Vec<String> = certain
            .iter()
            .chain(&uncertain)
            .map(|change| {
                let who =
                    if change.sources.is_empty() { String::new() } else { format!("{} ", change.sources.join(", ")) };
                let to = if change.targets.is_empty() {
                    String::new()
                } else {
                    format!("-> {}: ", change.targets.join(", "))
                };
                let when = change.when.as_ref().map(|when| format!(" ({when})")).unwrap_or_default();
                format!("{who}{to}{}{when}", change.what)
            })
            .collect();
        notes.extend(note(verdict, "what this estate's apparatuses gain", true));
        let claim = "allows no more than before".to_owned();
        claims.push(Claim { claim, place: None, verdict, counterexamples: vec![], notes });
    }
    Ok(claims)
}

/// What a search makes of a claim.
fn said(wanted: Wanted<'_>, claim: String, searched: &Searched) -> Claim {
    let counterexamples: Vec<Counter> = searched.found.iter().map(|found| Counter::of(wanted.policy, found)).collect();
    let verdict = if counterexamples.is_empty() { Verdict::Checked } else { Verdict::Refuted };
    let over = format!("sessions of this estate's apparatuses in up to {} scenarios", searched.scenarios);
    let notes = note(verdict, &over, searched.whole);
    Claim { claim, place: None, verdict, counterexamples, notes }
}

fn note(verdict: Verdict, over: &str, whole: bool) -> Vec<String> {
    if verdict != Verdict::Checked {
        return vec![];
    }
    let part = if whole { "" } else { " and in part only" };
    vec![format!("checked over {over}{part}, not proved")]
}
