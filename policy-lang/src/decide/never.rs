//! Whether a request is permitted and meets a condition, both in one asking.

use super::{Answer, PacketQuestion, Question};
use crate::lower::Action;
use crate::policy::Policy;
use crate::rule::RuleRef;
use cedar_policy::{Authorizer, Decision, PolicySet};
use std::time::Duration;

/// A permitted request that meets the condition, or for which it cannot be evaluated.
#[derive(Debug)]
pub(crate) struct Met {
    /// The rules that permit it.
    pub(crate) rules: Vec<RuleRef>,
    /// Cedar's message, where the condition could not be evaluated.
    pub(crate) error: Option<String>,
}

impl Policy {
    pub(crate) fn meets(
        &self,
        question: &Question<'_>,
        action: Action,
        elapsed: Duration,
        packet: Option<&PacketQuestion<'_>>,
        condition: &PolicySet,
    ) -> Option<Met> {
        let known = self.know(question).ok()?;
        // What cannot even be asked is denied.
        let request = self.request(known, action, question.now, elapsed, packet).ok()?;
        let response = Authorizer::new().is_authorized(&request, condition, &self.entities);
        let error = response.diagnostics().errors().next().map(super::advise::said);
        if error.is_none() && response.decision() == Decision::Deny {
            return None;
        }
        match self.ask(known, action, question.now, elapsed, packet) {
            Answer::Yes(rules) => {
                let rules = rules.iter().map(|n| known.compiled.rules[*n].clone()).collect();
                Some(Met { rules, error })
            }
            Answer::No(_) | Answer::Failed(..) => None,
        }
    }
}
