//! Which rules the tests decide.
//! A rule counts as decided where a case would have come out otherwise, or by other rules, without it.

use super::TestResult;
use crate::ast::Effect;
use crate::decide::Permit;
use crate::model::ApparatusIx;
use crate::policy::Policy;
use crate::rule::RuleRef;
use serde::Serialize;
use std::collections::HashSet;

/// How much of a policy its tests decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// How many rules some case decides.
    pub decided: usize,
    /// How many rules there are: permits, forbids, limits of targets and the estate, responses.
    pub rules: usize,
    /// Those that no case decides, by place.
    pub undecided: Vec<Undecided>,
}

/// A rule that no test decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Undecided {
    /// What it is.
    pub kind: RuleKind,
    /// Where it stands.
    pub place: RuleRef,
}

/// What a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    /// A `permit`.
    Permit,
    /// A `forbid`.
    Forbid,
    /// The `limit` of a target or of the estate.
    Limit,
    /// A `watch`, `on alert` or `on request`.
    Response,
}

impl RuleKind {
    /// Its name in a sentence.
    pub fn as_str(self) -> &'static str {
        match self {
            RuleKind::Permit => "permit",
            RuleKind::Forbid => "forbid",
            RuleKind::Limit => "limit",
            RuleKind::Response => "response",
        }
    }
}

impl Policy {
    pub(super) fn coverage(&self, tests: &[TestResult]) -> Coverage {
        let cases = tests.iter().flat_map(|test| &test.cases);
        let decided: HashSet<&RuleRef> = cases.flat_map(|case| &case.decided_by).collect();
        let mut rules: Vec<(RuleKind, &RuleRef)> = vec![];
        rules.extend(self.model.estate.cap.map(|_| (RuleKind::Limit, &self.model.estate_at)));
        for target in &self.model.targets {
            rules.extend(target.cap.map(|_| (RuleKind::Limit, &target.cap_at)));
            rules.extend(target.rules.iter().map(|rule| match rule.effect {
                Effect::Permit => (RuleKind::Permit, &rule.place),
                Effect::Forbid => (RuleKind::Forbid, &rule.place),
            }));
            rules.extend(target.responses.iter().map(|response| (RuleKind::Response, &response.place)));
        }
        let undecided = rules.iter().filter(|(_, place)| !decided.contains(place));
        let mut undecided: Vec<Undecided> =
            undecided.map(|(kind, place)| Undecided { kind: *kind, place: (*place).clone() }).collect();
        undecided.sort_by(|a, b| (&a.place, a.kind).cmp(&(&b.place, b.kind)));
        Coverage { decided: rules.len() - undecided.len(), rules: rules.len(), undecided }
    }

    /// The permits that said yes, and the limits of target and estate that bound them.
    pub(super) fn settled_by(&self, permit: &Permit, target: ApparatusIx) -> Vec<RuleRef> {
        let mut rules = permit.rules().to_vec();
        let Some(target) = self.targets.get(&target).map(|compiled| self.target(compiled)) else { return rules };
        let own = target.rules.iter().filter(|rule| rules.contains(&rule.place)).map(|rule| rule.limit);
        // A permit without a limit lets the session run on.
        let own = own.reduce(|a, b| a.zip(b).map(|(a, b)| a.max(b))).flatten();
        let caps = [(target.cap, &target.cap_at), (self.model.estate.cap, &self.model.estate_at)];
        for (cap, place) in caps {
            if cap.is_some() && cap == permit.limit() && own.is_none_or(|own| Some(own) > cap) {
                rules.push(place.clone());
            }
        }
        rules
    }
}
