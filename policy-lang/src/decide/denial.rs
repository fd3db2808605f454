//! Every no has a name and names its rules.
//! The sentences are for the person who asked.

use super::{Action, Answer, Known, Origin, Question};
use crate::ast::Effect;
use crate::check::nearest;
use crate::model::ApparatusIx;
use crate::policy::Policy;
use crate::rule::RuleRef;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// A no, with its reason and the rules that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Denial {
    /// The id that asked.
    pub source: String,
    /// The id that was asked for.
    pub target: String,
    /// Why.
    pub reason: DenialReason,
    /// The forbids that decided, or the permits whose conditions were not met.
    pub rules: Vec<RuleRef>,
}

/// Why the policy says no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DenialReason {
    /// No apparatus of the estate has the source's id.
    UnknownSource {
        /// The id that was probably meant.
        suggestion: Option<String>,
    },
    /// No apparatus of the estate has the target's id.
    UnknownTarget {
        /// The id that was probably meant.
        suggestion: Option<String>,
    },
    /// Source and target stand on the same LAN: there is nothing to bridge.
    SameLan,
    /// No permit names this source for this target.
    NoPermit,
    /// A permit names the source, but what it asks for is not so now.
    ConditionNotMet,
    /// A forbid matches.
    Forbidden,
    /// The session is at its limit.
    LimitReached,
    /// The session stands, but nothing in it permits this packet.
    NoTerminals,
    /// Something went wrong, which is never a yes.
    Error {
        /// What.
        message: String,
    },
}

impl Policy {
    /// The apparatuses and the target's policies, or the denial that says what is unknown.
    pub(super) fn know<'q>(&'q self, question: &'q Question<'q>) -> Result<Known<'q>, Denial> {
        let (source, target) = self.ends(question)?;
        let Some(compiled) = self.targets.get(&target) else {
            let same = self.model.gateway_of[source] == self.model.gateway_of[target];
            let reason = if same { DenialReason::SameLan } else { DenialReason::NoPermit };
            return Err(Denial::new(question, reason, vec![]));
        };
        Ok(Known { question, source, target, compiled })
    }

    /// Source and target, or the denial that says which of them is unknown.
    pub(super) fn ends(&self, question: &Question<'_>) -> Result<(ApparatusIx, ApparatusIx), Denial> {
        let ids = || self.model.apparatuses.iter().map(|a| a.id.as_str());
        let suggestion = |id| nearest(id, ids()).map(str::to_owned);
        let denial = |reason| Denial::new(question, reason, vec![]);
        let ix = |id: &str| self.model.by_id.get(id).copied();
        let source = ix(question.source)
            .ok_or_else(|| denial(DenialReason::UnknownSource { suggestion: suggestion(question.source) }))?;
        let target = ix(question.target)
            .ok_or_else(|| denial(DenialReason::UnknownTarget { suggestion: suggestion(question.target) }))?;
        Ok((source, target))
    }

    /// The denial for a no of Cedar's; `by` are the forbids and caps that decided.
    pub(super) fn explain_no(&self, known: Known<'_>, action: Action, by: Vec<(Origin, RuleRef)>) -> Denial {
        let rules = |of: fn(&Origin) -> bool| {
            let found = by.iter().filter(|(origin, _)| of(origin)).map(|(_, rule)| rule.clone());
            Some(found.collect::<Vec<_>>()).filter(|rules| !rules.is_empty())
        };
        if rules(|origin| *origin == Origin::SameLan).is_some() {
            return Denial::new(known.question, DenialReason::SameLan, vec![]);
        }
        if let Some(rules) = rules(|origin| matches!(origin, Origin::Rule(_))) {
            return Denial::new(known.question, DenialReason::Forbidden, rules);
        }
        if let Some(rules) = rules(|origin| *origin == Origin::Cap) {
            return Denial::new(known.question, DenialReason::LimitReached, rules);
        }
        let rules = &self.target(known.compiled).rules;
        let naming = self.rules_naming(known.source, known.compiled).into_iter().map(|n| &rules[n]);
        let naming: Vec<RuleRef> =
            naming.filter(|rule| rule.effect == Effect::Permit).map(|rule| rule.place.clone()).collect();
        if naming.is_empty() {
            return Denial::new(known.question, DenialReason::NoPermit, vec![]);
        }
        // Named, and not forbidden: either its condition fails, or something later than opening.
        let opens =
            || matches!(self.ask(known, Action::OpenSession, known.question.now, Duration::ZERO, None), Answer::Yes(_));
        let reason = match action {
            Action::KeepOpen if opens() => DenialReason::LimitReached,
            Action::ReachTerminal if opens() => DenialReason::NoTerminals,
            _ => DenialReason::ConditionNotMet,
        };
        Denial::new(known.question, reason, naming)
    }

    pub(super) fn failed(&self, question: &Question<'_>, message: String, rules: Vec<RuleRef>) -> Denial {
        Denial::new(question, DenialReason::Error { message }, rules)
    }
}

impl Denial {
    fn new(question: &Question<'_>, reason: DenialReason, rules: Vec<RuleRef>) -> Self {
        Self { source: question.source.to_owned(), target: question.target.to_owned(), reason, rules }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Denial { source, target, reason, rules } = self;
        let rules: Vec<String> = rules.iter().map(|rule| rule.to_string()).collect();
        let rules = rules.join(", ");
        let meant = |suggestion: &Option<String>| match suggestion {
            Some(id) => format!("; did you mean `{id}`?"),
            None => String::new(),
        };
        match reason {
            DenialReason::UnknownSource { suggestion } => {
                write!(f, "no apparatus `{source}` in this estate{}", meant(suggestion))
            }
            DenialReason::UnknownTarget { suggestion } => {
                write!(f, "no apparatus `{target}` in this estate{}", meant(suggestion))
            }
            DenialReason::SameLan => write!(f, "`{source}` and `{target}` stand on the same LAN"),
            DenialReason::NoPermit => write!(f, "no permit names `{source}` for `{target}`"),
            DenialReason::ConditionNotMet => {
                write!(f, "a permit names `{source}` for `{target}`, but its condition is not met now ({rules})")
            }
            DenialReason::Forbidden => write!(f, "`{source}` is forbidden to reach `{target}` ({rules})"),
            DenialReason::LimitReached => {
                write!(f, "the session of `{source}` to `{target}` is at its limit ({rules})")
            }
            DenialReason::NoTerminals => {
                write!(f, "no `terminals` of the permits from `{source}` to `{target}` let this packet pass ({rules})")
            }
            DenialReason::Error { message } if rules.is_empty() => {
                write!(f, "the policy could not be asked: {message}")
            }
            DenialReason::Error { message } => write!(f, "the policy could not be asked ({rules}): {message}"),
        }
    }
}
