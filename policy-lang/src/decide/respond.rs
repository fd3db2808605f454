//! Who is dispatched to an incident, and what the gateways watch.
//! A candidate is whoever the policy would permit a session for this incident at this moment; nobody else is asked.

use super::{Decision, Permit, Question};
use crate::ast::Effect;
use crate::facts::FactValues;
use crate::lower::alert;
use crate::model::{ApparatusIx, Source, Target};
use crate::policy::Policy;
use crate::respond::{Alert, Cause, Incident, Order, Response, Trigger, Watch};
use crate::rule::RuleRef;
use cedar_policy::{Authorizer, Context, Entities, PolicySet, Request};
use jiff::Timestamp;
use std::collections::HashSet;
use std::time::Duration;

/// A terminal that is watched, and where.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Watched<'p> {
    /// The id of the target that says so.
    pub target: &'p str,
    /// The id of the gateway that runs the probe: the target itself, or its gateway.
    pub gateway: &'p str,
    /// What is watched, and how.
    pub watch: &'p Watch,
    /// Where the policy says so.
    pub place: &'p RuleRef,
}

/// One answer of a target to an incident.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatching {
    /// The `watch` or `on` that answers.
    pub place: RuleRef,
    /// How long each candidate's operator has to confirm; `None`: the session starts at once.
    pub confirm: Option<Duration>,
    /// How long after the recovery the session is closed; `None` if it is left open.
    pub close_after: Option<Duration>,
    /// Whoever can come, in the order in which they are asked; may be empty.
    pub candidates: Vec<Candidate>,
}

/// Somebody who can come.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The id of the apparatus.
    pub apparatus: String,
    /// The lowest number among its permits that hold now; `None` goes last.
    pub priority: Option<u32>,
    /// Counted from 0; candidates of one tier are told apart by the order of the files only.
    pub tier: usize,
    /// The permit that it holds for this incident.
    pub permit: Permit,
    /// The rule that gives the priority, the first of several.
    pub rule: RuleRef,
}

/// A candidate before it has a tier: what it is sorted by, the rule's place among the
/// target's and that of the apparatus in that rule.
struct Ranked {
    priority: Option<u32>,
    rule: usize,
    position: usize,
    apparatus: ApparatusIx,
    permit: Permit,
}

impl Policy {
    /// Everything that is watched, in the order of the files.
    pub fn watches(&self) -> impl Iterator<Item = Watched<'_>> {
        self.model.targets.iter().flat_map(move |target| {
            let id = |ix: ApparatusIx| self.model.apparatuses[ix].id.as_str();
            let watches = target.responses.iter().filter_map(|response| match &response.trigger {
                Trigger::Watch(watch) => Some((watch, &response.place)),
                Trigger::Alert(_) | Trigger::Request => None,
            });
            let (target, gateway) = (id(target.apparatus), id(self.model.gateway_of[target.apparatus]));
            watches.map(move |(watch, place)| Watched { target, gateway, watch, place })
        })
    }

    /// What a target's policy does about an incident at this moment: for a failure that was
    /// seen, each `watch` of that terminal; for an alert, each `on alert` whose condition
    /// says yes; for a request, each `on request`. In the order of the files; empty if it
    /// has no answer, or for an unknown target.
    pub fn dispatch(&self, target: &str, incident: &Incident, now: Timestamp, facts: &FactValues) -> Vec<Dispatching> {
        let compiled = self.model.by_id.get(target).and_then(|ix| self.targets.get(ix));
        let Some(target) = compiled.map(|compiled| self.target(compiled)) else { return vec![] };
        let answering = target.responses.iter().filter(|response| match (&response.trigger, incident.cause) {
            (Trigger::Watch(watch), Cause::Watch) => watch.terminal == incident.terminal,
            (Trigger::Request, Cause::Request) => true,
            (Trigger::Alert(_), Cause::Alert) => {
                incident.alert.as_ref().is_some_and(|alert| self.answers(target, response, alert, now, facts))
            }
            _ => false,
        });
        let answering: Vec<&Response> = answering.collect();
        answering.into_iter().map(|response| self.dispatching(target, response, incident, now, facts)).collect()
    }

    fn dispatching(
        &self,
        target: &Target,
        response: &Response,
        incident: &Incident,
        now: Timestamp,
        facts: &FactValues,
    ) -> Dispatching {
        let mut candidates: Vec<Candidate> = vec![];
        let mut tier = 0;
        let mut asked: HashSet<ApparatusIx> = HashSet::new();
        let steps = match &response.dispatch.order {
            Order::ByPriority => vec![self.permitted_sources(target)],
            Order::Named(sources) => sources.iter().map(|source| self.model.members(*source)).collect(),
        };
        for step in steps {
            let new: Vec<ApparatusIx> = step.into_iter().filter(|one| asked.insert(*one)).collect();
            let mut ranked: Vec<Ranked> =
                new.into_iter().filter_map(|one| self.rank(target, one, incident, now, facts)).collect();
            ranked.sort_by_key(|r| (r.priority.is_none(), r.priority, r.rule, r.position));
            let mut last = None;
            for one in ranked {
                if last.is_some_and(|last| last != one.priority) {
                    tier += 1;
                }
                last = Some(one.priority);
                candidates.push(Candidate {
                    apparatus: self.model.apparatuses[one.apparatus].id.clone(),
                    priority: one.priority,
                    tier,
                    permit: one.permit,
                    rule: target.rules[one.rule].place.clone(),
                });
            }
            tier += usize::from(last.is_some());
        }
        let Response { place, dispatch, .. } = response;
        Dispatching { place: place.clone(), confirm: dispatch.confirm, close_after: dispatch.close_after, candidates }
    }

    /// All apparatuses that a permit of the target names, in the order of the files.
    fn permitted_sources(&self, target: &Target) -> Vec<ApparatusIx> {
        let permits = target.rules.iter().filter(|rule| rule.effect == Effect::Permit);
        permits.flat_map(|rule| &rule.sources).flat_map(|source| self.model.members(*source)).collect()
    }

    /// Where a candidate stands among others; `None` if the policy says no.
    fn rank(
        &self,
        target: &Target,
        apparatus: ApparatusIx,
        incident: &Incident,
        now: Timestamp,
        facts: &FactValues,
    ) -> Option<Ranked> {
        let question = Question {
            source: &self.model.apparatuses[apparatus].id,
            target: &self.model.apparatuses[target.apparatus].id,
            now,
            reason: facts.reason().unwrap_or_default(),
            ticket: facts.ticket().unwrap_or_default(),
            facts,
            incident: Some(incident),
        };
        let Decision::Permit(permit) = self.decide(&question) else { return None };
        let priority = permit.priority();
        let gives = |(_, rule): &(usize, &crate::model::Rule)| {
            rule.effect == Effect::Permit && rule.priority == priority && permit.rules().contains(&rule.place)
        };
        let (n, rule) = target.rules.iter().enumerate().find(gives)?;
        let mut named = rule.sources.iter().flat_map(|source: &Source| self.model.members(*source));
        let position = named.position(|member| member == apparatus)?;
        Some(Ranked { priority, rule: n, position, apparatus, permit })
    }

    /// Whether the condition of an `on alert` says yes; an error is a no.
    fn answers(&self, target: &Target, response: &Response, alert: &Alert, now: Timestamp, facts: &FactValues) -> bool {
        let Ok(policies) = self.alerts(target) else { return false };
        let Ok(request) = self.alert_request(target, alert, now, facts) else { return false };
        let id = alert::id(response);
        let Some(policy) = policies.policy(&id) else { return false };
        let Ok(alone) = PolicySet::from_policies([policy.clone()]) else { return false };
        let answer = Authorizer::new().is_authorized(&request, &alone, &Entities::empty());
        answer.decision() == cedar_policy::Decision::Allow && answer.diagnostics().errors().next().is_none()
    }

    fn alert_request(
        &self,
        target: &Target,
        alert: &Alert,
        now: Timestamp,
        facts: &FactValues,
    ) -> Result<Request, String> {
        let (reason, ticket) = (facts.reason().unwrap_or_default(), facts.ticket().unwrap_or_default());
        let mut pairs = self.common_context(reason, ticket, facts, now, Duration::ZERO)?;
        pairs.push(("alert".into(), self.alert(alert)?));
        let context = Context::from_pairs(pairs).map_err(|e| e.to_string())?;
        let apparatus = &self.model.apparatuses[target.apparatus];
        let resource = self.world.apparatus(apparatus.is_gateway(), &apparatus.id);
        let (principal, action) = (self.world.alert_source(&alert.source), self.world.answer_alert.clone());
        Request::new(principal, action, resource, context, Some(&self.world.schema)).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests;
