//! Holds a policy to its `never` blocks, by asking about every session that it could permit.
//! Apparatuses are those of the estate; moments, facts and packets are made up so that every condition gives each of its answers.

mod concern;
mod packets;

use super::NeverModel;
use crate::decide::{Question, condition_set};
use crate::lower::Action;
use crate::model::{ApparatusIx, Target};
use crate::policy::Policy;
use crate::rule::RuleRef;
use crate::source::Span;
use crate::survey::{SCENARIOS, Scenario, Survey};
use cedar_policy::PolicySet;
use concern::Concern;
use jiff::Timestamp;
use packets::{AskedOfPackets, Corners};
use serde::Serialize;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How many requests all nevers of a policy may take together: about a second's work.
pub(super) const REQUESTS: usize = 20_000;
/// How many requests it takes as long as to make up the scenarios of a target.
const SURVEY: usize = 20;

/// A `never` of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Never<'p> {
    never: &'p NeverModel,
}

/// What came of a `never`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NeverResult {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub place: RuleRef,
    /// The same place in bytes of the file's text.
    pub span: Range<usize>,
    /// Whether it holds.
    pub outcome: NeverOutcome,
    #[serde(skip)]
    pub(super) at: Span,
}

/// Whether a `never` holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NeverOutcome {
    /// No request of the estate's apparatuses that the policy permits meets it.
    Kept,
    /// None that was asked does, but not all of them could be asked.
    KeptInPart,
    /// One does.
    Refuted(Box<Counterexample>),
}

/// A permitted request that meets a `never`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Counterexample {
    /// The id that asks.
    pub source: String,
    /// The id that is asked for.
    pub target: String,
    /// The Cedar action: `openSession`, `keepOpen` or `reachTerminal`.
    pub action: &'static str,
    /// The moment of asking.
    pub now: Timestamp,
    /// How long the session has stood.
    pub elapsed: Duration,
    /// The circumstances in the policy's words: `supervised = false, Saturday 03:00`.
    pub scenario: String,
    /// The packet, in `reachTerminal`: `192.168.2.20 -> 172.16.0.12 tcp 22`.
    pub packet: Option<String>,
    /// The permits that say yes.
    pub rules: Vec<RuleRef>,
    /// Cedar's message, where the condition could not be evaluated for this request.
    pub error: Option<String>,
}

impl<'p> Never<'p> {
    /// Its name.
    pub fn name(self) -> &'p str {
        &self.never.name
    }

    /// Where it stands.
    pub fn place(self) -> &'p RuleRef {
        &self.never.place
    }

    /// The condition in Cedar, with every `let` written out.
    pub fn cedar(self) -> &'p str {
        &self.never.cedar
    }

    /// The Cedar actions that it is asked of: `openSession`, `keepOpen`, `reachTerminal`.
    /// Empty where Cedar has found that no request can meet it.
    pub fn actions(self) -> impl Iterator<Item = &'static str> + use<'p> {
        self.never.actions.iter().map(|action| action.as_str())
    }
}

impl NeverResult {
    /// Whether nothing refutes it.
    pub fn holds(&self) -> bool {
        !matches!(self.outcome, NeverOutcome::Refuted(_))
    }
}

/// The requests that may still be made.
struct Budget {
    left: usize,
    /// Whether everything that was to be asked has been.
    whole: bool,
}

impl Budget {
    fn spend(&mut self, requests: usize) -> bool {
        match self.left.checked_sub(requests) {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                self.whole = false;
                false
            }
        }
    }
}

/// One that asks a target for sessions.
struct Source<'p> {
    ix: ApparatusIx,
    /// Its packets, made up when they are first asked about: they are the same in all scenarios.
    corners: OnceCell<Corners<'p>>,
}

/// One `never`, ready to be asked.
struct Asking<'p> {
    never: &'p NeverModel,
    condition: PolicySet,
    asks: AskedOfPackets,
    /// Whether packets have to be asked about: without a word on them, what a packet may do is
    /// no more than what its session may.
    packets: bool,
}

impl Policy {
    /// Its `never` blocks, in the order of the files.
    pub fn nevers(&self) -> impl Iterator<Item = Never<'_>> {
        self.model.nevers.iter().map(|never| Never { never })
    }

    /// Asks, for every `never`, whether a session or packet that the policy permits between
    /// apparatuses of the estate meets it. `requests` bounds the work of all of them together.
    pub fn check_nevers(&self, requests: usize) -> Vec<NeverResult> {
        let mut left = requests;
        let mut results = vec![];
        for (n, never) in self.model.nevers.iter().enumerate() {
            // An equal share of what is left, so that no never starves those after it.
            let share = left / (self.model.nevers.len() - n);
            let mut budget = Budget { left: share, whole: true };
            let outcome = match self.refutation(never, &mut budget) {
                Some(example) => NeverOutcome::Refuted(Box::new(example)),
                None if budget.whole => NeverOutcome::Kept,
                None => NeverOutcome::KeptInPart,
            };
            left -= share - budget.left;
            let (name, place) = (never.name.clone(), never.place.clone());
            results.push(NeverResult { name, place, span: never.at.range(), outcome, at: never.at });
        }
        results
    }

    fn refutation(&self, never: &NeverModel, budget: &mut Budget) -> Option<Counterexample> {
        let asks = AskedOfPackets::of(&never.cedar);
        let packets = never.actions.contains(&Action::ReachTerminal)
            && (asks.any() || !never.actions.contains(&Action::KeepOpen));
        let Some(condition) = condition_set(&never.cedar) else {
            budget.whole = false;
            return None;
        };
        let asking = Asking { never, condition, asks, packets };
        let concern = Concern::of(&never.cedar);
        let targets =
            self.model.targets.iter().map(Arc::as_ref).filter(|target| concern.target(self, target.apparatus));
        let pairs: Vec<(&Target, Vec<ApparatusIx>)> =
            targets.map(|target| (target, self.sources_of(target, &concern))).collect();
        let sessions: usize = pairs.iter().map(|(_, sources)| sources.len()).sum();
        let bound = (budget.left / sessions.max(1)).clamp(1, SCENARIOS);
        let mut surveys: HashMap<Vec<&str>, Rc<Survey>> = HashMap::new();
        for (target, sources) in pairs.iter().filter(|(_, sources)| !sources.is_empty()) {
            // Targets with the same conditions share their scenarios.
            let mut key: Vec<&str> = target.rules.iter().flat_map(|rule| &rule.conditions).map(|c| &*c.cedar).collect();
            key.sort_unstable();
            key.dedup();
            let id = &self.model.apparatuses[target.apparatus].id;
            let survey = match surveys.entry(key) {
                Entry::Occupied(known) => Rc::clone(known.get()),
                Entry::Vacant(new) if budget.spend(SURVEY) => {
                    Rc::clone(new.insert(Rc::new(self.survey(&[id], &[&never.cedar], bound))))
                }
                Entry::Vacant(_) => return None,
            };
            budget.whole &= survey.exhaustive;
            let sources = sources.iter().copied().filter(|source| concern.pair(self, *source, target.apparatus));
            let sources: Vec<Source<'_>> = sources.map(|ix| Source { ix, corners: OnceCell::new() }).collect();
            for scenario in &survey.scenarios {
                if budget.left == 0 {
                    budget.whole = false;
                    return None;
                }
                for source in &sources {
                    if let Some(example) = self.counterexample(&asking, target, source, scenario, budget) {
                        return Some(example);
                    }
                }
            }
        }
        budget.whole &= !(asking.packets && asking.asks.opaque);
        None
    }

    /// The sources that some permit of a target names and that the condition can be about.
    fn sources_of(&self, target: &Target, concern: &Concern) -> Vec<ApparatusIx> {
        let permits = target.rules.iter().filter(|rule| !rule.flows.is_empty());
        let mut sources: Vec<ApparatusIx> =
            permits.flat_map(|rule| &rule.sources).flat_map(|source| self.model.members(*source)).collect();
        sources.sort_unstable();
        sources.dedup();
        let gateway = self.model.gateway_of[target.apparatus];
        sources.retain(|source| self.model.gateway_of[*source] != gateway && concern.source(self, *source));
        sources
    }

    fn counterexample<'p>(
        &'p self,
        asking: &Asking<'_>,
        target: &Target,
        source: &Source<'p>,
        scenario: &Scenario,
        budget: &mut Budget,
    ) -> Option<Counterexample> {
        let ids = [source.ix, target.apparatus].map(|ix| self.model.apparatuses[ix].id.as_str());
        let question: Question<'_> = scenario.question(ids[0], ids[1]);
        let example = |action: Action, elapsed, packet: Option<String>, met: crate::decide::Met| Counterexample {
            source: ids[0].to_owned(),
            target: ids[1].to_owned(),
            action: action.as_str(),
            now: scenario.now,
            elapsed,
            scenario: scenario.to_string(),
            packet,
            rules: met.rules,
            error: met.error,
        };
        for action in asking.never.actions.iter().copied() {
            let elapsed = scenario.elapsed;
            match action {
                // A session that is asked for has no age.
                Action::OpenSession if elapsed > Duration::ZERO => {}
                Action::OpenSession | Action::KeepOpen => {
                    if !budget.spend(1) {
                        return None;
                    }
                    if let Some(met) = self.meets(&question, action, elapsed, None, &asking.condition) {
                        return Some(example(action, elapsed, None, met));
                    }
                }
                Action::ReachTerminal if !asking.packets => {}
                Action::ReachTerminal => {
                    let corners = source.corners.get_or_init(|| self.corners(target, source.ix, &asking.asks));
                    budget.whole &= corners.whole;
                    for packet in corners.iter() {
                        if !budget.spend(1) {
                            return None;
                        }
                        let asked = packet.question(elapsed);
                        if let Some(met) = self.meets(&question, action, elapsed, Some(&asked), &asking.condition) {
                            return Some(example(action, elapsed, Some(packet.to_string()), met));
                        }
                    }
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
