//! A policy in Cedar's own files, for Cedar's own tools.
//! What they hold is what decides here: the same policies, schema and entities, and each request as it is put.

use crate::decide::{Decision, DenialReason, PacketQuestion, Question, Reach};
use crate::lower::Action;
use crate::lower::text::quoted;
use crate::policy::Policy;
use crate::rule::RuleRef;
use cedar_policy::Request;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Duration;

/// Which of the three actions a question is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Act<'a> {
    /// May the source open a session?
    OpenSession,
    /// May a live session stay, so long after its establishment?
    KeepOpen(Duration),
    /// May this packet pass inside a session?
    ReachTerminal(&'a PacketQuestion<'a>),
}

/// An answer to any of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Whether the policy says yes.
    pub allowed: bool,
    /// The rules that decided.
    pub rules: Vec<RuleRef>,
    /// Why not.
    pub why: Option<String>,
    /// Whether it is a no because a rule could not be evaluated, where Cedar alone would have left that rule out.
    pub failed: bool,
}

impl Act<'_> {
    /// The name of Cedar's action.
    pub fn as_str(&self) -> &'static str {
        self.action().as_str()
    }

    pub(crate) fn action(&self) -> Action {
        match self {
            Act::OpenSession => Action::OpenSession,
            Act::KeepOpen(_) => Action::KeepOpen,
            Act::ReachTerminal(_) => Action::ReachTerminal,
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        match self {
            Act::OpenSession => Duration::ZERO,
            Act::KeepOpen(elapsed) => *elapsed,
            Act::ReachTerminal(packet) => packet.elapsed,
        }
    }

    fn packet(&self) -> Option<&PacketQuestion<'_>> {
        match self {
            Act::ReachTerminal(packet) => Some(packet),
            Act::OpenSession | Act::KeepOpen(_) => None,
        }
    }
}

impl Policy {
    /// What the policy says to any of the three questions.
    pub fn ask_act(&self, question: &Question<'_>, act: Act<'_>) -> Asked {
        let decision = match act {
            Act::OpenSession => self.decide(question),
            Act::KeepOpen(elapsed) => self.keep_open(question, elapsed),
            Act::ReachTerminal(packet) => match self.reach(question, packet) {
                Reach::Pass(rules) => return Asked { allowed: true, rules, why: None, failed: false },
                Reach::Drop(denial) => Decision::Denial(denial),
            },
        };
        match decision {
            Decision::Permit(permit) => {
                Asked { allowed: true, rules: permit.rules().to_vec(), why: None, failed: false }
            }
            Decision::Denial(denial) => {
                let failed = matches!(denial.reason, DenialReason::Error { .. });
                Asked { allowed: false, why: Some(denial.to_string()), rules: denial.rules, failed }
            }
        }
    }

    /// All Cedar policies of all targets as one text: each after its target's name, with the place
    /// of its rule, and what it is for, as its `@id`.
    pub fn cedar_policies_text(&self) -> String {
        let mut out = format!("// The policy of {}, revision {}.\n", self.estate().name, self.fingerprint());
        let mut taken = HashSet::new();
        for target in &self.model.targets {
            let target = &self.model.apparatuses[target.apparatus].id;
            out.push_str(&format!("\n// ---- target {target}\n"));
            let set = self.cedar_policies(target).unwrap_or_default();
            let mut policies: Vec<(String, String)> = set.policies().map(|p| (p.id().to_string(), shown(p))).collect();
            policies.sort();
            for (id, text) in policies {
                // What the estate says once holds at each target.
                let id = if taken.contains(&id) { format!("{id}@{target}") } else { id };
                out.push_str(&format!("\n@id({})\n{text}\n", quoted(&id)));
                taken.insert(id);
            }
        }
        out
    }

    /// All apparatuses, LANs and groups in the form in which Cedar's tools read entities.
    pub fn cedar_entities_json(&self) -> Result<Value, String> {
        let mut entities = self.cedar_entities().to_json_value().map_err(|e| e.to_string())?;
        // Cedar keeps them in no order, and files are compared.
        let by_text = |values: &mut Vec<Value>| values.sort_by_cached_key(ToString::to_string);
        for entity in entities.as_array_mut().into_iter().flatten() {
            if let Some(parents) = entity.get_mut("parents").and_then(Value::as_array_mut) {
                by_text(parents);
            }
        }
        if let Some(entities) = entities.as_array_mut() {
            entities.sort_by_cached_key(|entity| entity.get("uid").map(ToString::to_string));
        }
        Ok(entities)
    }

    /// The Cedar request that a question becomes, in the form of `cedar authorize --request-json`.
    /// Unknown apparatuses are an error, for nothing is asked of Cedar about them.
    pub fn cedar_request_json(&self, question: &Question<'_>, act: Act<'_>) -> Result<Value, String> {
        let request = self.request_of(question, act)?;
        let uid = |uid: Option<&cedar_policy::EntityUid>| uid.map(ToString::to_string);
        let context = request.context().ok_or("a request without a context")?;
        Ok(json!({
            "principal": uid(request.principal()),
            "action": uid(request.action()),
            "resource": uid(request.resource()),
            "context": context.to_json_value().map_err(|e| e.to_string())?,
        }))
    }

    pub(crate) fn request_of(&self, question: &Question<'_>, act: Act<'_>) -> Result<Request, String> {
        let request = self.cedar_request(question, act.action(), act.elapsed(), act.packet());
        request.map_err(|denial| denial.to_string())
    }
}

/// A policy as Cedar writes it.
fn shown(policy: &cedar_policy::Policy) -> String {
    policy.to_cedar().unwrap_or_else(|| policy.to_string())
}

#[cfg(test)]
mod tests;
