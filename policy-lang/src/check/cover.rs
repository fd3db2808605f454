//! Warnings about permits that add nothing.
//! Only what is certain is said: a forbid without conditions, or an earlier permit that is the same but for its sources.

use super::Checker;
use crate::ast::Effect;
use crate::diagnostic::Code;
use crate::model::{ApparatusIx, Condition, Model, Rule, Source, Target};
use crate::pair::Flow;
use crate::source::Span;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// What two permits share that differ in their sources only.
type Content<'r> = (Option<u32>, Option<Duration>, &'r [Condition], &'r [(ApparatusIx, Arc<[Flow]>)]);

impl Checker<'_, '_> {
    pub(super) fn cover(&mut self, model: &Model, target: &Target) {
        let mut shut: HashMap<ApparatusIx, Span> = HashMap::new();
        let mut shut_groups: HashMap<Source, Span> = HashMap::new();
        for rule in target.rules.iter().filter(|r| r.effect == Effect::Forbid && r.conditions.is_empty()) {
            for source in &rule.sources {
                shut_groups.entry(*source).or_insert(rule.at);
                for member in model.members(*source) {
                    shut.entry(member).or_insert(rule.at);
                }
            }
        }
        let mut granted: HashMap<Content<'_>, (Span, HashSet<ApparatusIx>)> = HashMap::new();
        for rule in target.rules.iter().filter(|r| r.effect == Effect::Permit && !r.sources.is_empty()) {
            if let Some(by) = by_forbids(model, rule, &shut, &shut_groups) {
                self.covered(rule, by, "a forbid shuts out all of its sources");
                continue;
            }
            let members: Vec<ApparatusIx> = rule.sources.iter().flat_map(|s| model.members(*s)).collect();
            let content = (rule.priority, rule.limit, rule.conditions.as_slice(), rule.flows.as_slice());
            let (by, before) = granted.entry(content).or_insert_with(|| (rule.at, HashSet::new()));
            if !members.is_empty() && members.iter().all(|m| before.contains(m)) {
                let by = *by;
                self.covered(rule, by, "an earlier permit says the same");
            } else {
                before.extend(members);
            }
        }
    }

    fn covered(&mut self, rule: &Rule, by: Span, why: &str) {
        let (file, line, column, _) = self.sources.place(by);
        let help = Some(format!("it is at {file}:{line}:{column}; take one of the two out"));
        self.report(Code::Covered, rule.at, format!("this permit adds nothing: {why}"), "without effect", help);
    }
}

/// The forbid that shuts out every source of a permit.
fn by_forbids(
    model: &Model,
    rule: &Rule,
    shut: &HashMap<ApparatusIx, Span>,
    shut_groups: &HashMap<Source, Span>,
) -> Option<Span> {
    let mut by = None;
    for source in &rule.sources {
        by = match shut_groups.get(source) {
            Some(span) => Some(*span),
            None => {
                let members = model.members(*source);
                let all = !members.is_empty() && members.iter().all(|m| shut.contains_key(m));
                Some(*members.first().filter(|_| all).and_then(|m| shut.get(m))?)
            }
        };
    }
    by
}
