//! From a checked policy to Cedar: the law is that every decision is a Cedar decision.
//! Each target becomes three small policy sets, one for each action, so that a request costs the same in an estate of any size.

pub(crate) mod alert;
pub(crate) mod schema;
pub(crate) mod text;

use crate::ast::Effect;
use crate::model::{ApparatusIx, Condition, Model, Rule, Source, Target};
use crate::pair::Lans;
use crate::rule::RuleRef;
use crate::source::Span;
use cedar_policy::{
    Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicyId, PolicySet, Schema, ValidationMode, Validator,
};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use text::{any_of, quoted};

/// The three actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Action {
    OpenSession,
    KeepOpen,
    ReachTerminal,
}

impl Action {
    pub(crate) const ALL: [Action; 3] = [Action::OpenSession, Action::KeepOpen, Action::ReachTerminal];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Action::OpenSession => "openSession",
            Action::KeepOpen => "keepOpen",
            Action::ReachTerminal => "reachTerminal",
        }
    }
}

/// What a Cedar policy stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// A rule of the target, by its place among them.
    Rule(usize),
    /// A cap of the target or the estate.
    Cap,
    /// Source and target stand on the same LAN.
    SameLan,
}

/// A target as Cedar has it.
#[derive(Debug)]
pub(crate) struct Lowered {
    pub(crate) open: PolicySet,
    pub(crate) keep: PolicySet,
    pub(crate) reach: PolicySet,
    pub(crate) origins: HashMap<PolicyId, (Origin, RuleRef)>,
}

impl Lowered {
    pub(crate) fn policies(&self, action: Action) -> &PolicySet {
        match action {
            Action::OpenSession => &self.open,
            Action::KeepOpen => &self.keep,
            Action::ReachTerminal => &self.reach,
        }
    }

    fn policies_mut(&mut self, action: Action) -> &mut PolicySet {
        match action {
            Action::OpenSession => &mut self.open,
            Action::KeepOpen => &mut self.keep,
            Action::ReachTerminal => &mut self.reach,
        }
    }
}

/// Something of ours that Cedar refused, with the place of the rule it came from.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) at: Span,
    pub(crate) message: String,
}

/// Lowers targets, one after another.
pub(crate) struct Lowering<'m> {
    model: &'m Model,
    validator: Validator,
}

impl<'m> Lowering<'m> {
    pub(crate) fn new(model: &'m Model, schema: Schema) -> Self {
        Self { model, validator: Validator::new(schema) }
    }

    pub(crate) fn target(&self, target: &Target) -> Result<Lowered, Refused> {
        let mut drafts = vec![];
        let resource = format!("resource == {}", self.uid(target.apparatus));
        let lan = self.lan(self.model.gateway_of[target.apparatus]);
        let same_lan = format!("forbid(principal in {lan}, action, {resource});");
        drafts.push(draft(&target.place, Origin::SameLan, "same-lan", &Action::ALL, same_lan));
        let caps =
            [(target.cap, &target.cap_at, "limit"), (self.model.estate.cap, &self.model.estate_at, "estate-limit")];
        for (cap, at, kind) in caps {
            if let Some(cap) = cap {
                let actions = "action in [Action::\"keepOpen\", Action::\"reachTerminal\"]";
                let forbid = format!("forbid(principal, {actions}, {resource})\nunless {{ {} }};", within(cap));
                drafts.push(draft(at, Origin::Cap, kind, &[Action::KeepOpen, Action::ReachTerminal], forbid));
            }
        }
        for (n, rule) in target.rules.iter().enumerate() {
            match rule.effect {
                Effect::Permit => self.permit(&mut drafts, target, n, rule, &resource),
                Effect::Forbid => {
                    let (principal, clauses) = self.principal(rule);
                    let conditions = conditions(&rule.conditions);
                    let forbid = format!("forbid({principal}, action, {resource}){clauses}{conditions};");
                    drafts.push(draft(&rule.place, Origin::Rule(n), "forbid", &Action::ALL, forbid));
                }
            }
        }
        let lowered = assemble(drafts).map_err(|message| Refused { at: target.at, message })?;
        self.validate(&lowered, target)?;
        Ok(lowered)
    }

    fn permit(&self, drafts: &mut Vec<Draft>, target: &Target, n: usize, rule: &Rule, resource: &str) {
        let (principal, clauses) = self.principal(rule);
        let conditions = conditions(&rule.conditions);
        let priority = rule.priority.map(|p| format!("@priority(\"{p}\")\n")).unwrap_or_default();
        let limit = rule.limit.map(|l| format!("\nwhen {{ {} }}", within(l))).unwrap_or_default();
        let head =
            |action: Action| format!("permit({principal}, action == Action::\"{}\", {resource})", action.as_str());
        let open = format!("{priority}{}{clauses}{conditions};", head(Action::OpenSession));
        drafts.push(draft(&rule.place, Origin::Rule(n), "openSession", &[Action::OpenSession], open));
        let keep = format!("{}{clauses}{conditions}{limit};", head(Action::KeepOpen));
        drafts.push(draft(&rule.place, Origin::Rule(n), "keepOpen", &[Action::KeepOpen], keep));
        for (gateway, flows) in &rule.flows {
            let lans = Lans { source: self.model.lans(*gateway), target: self.model.lans(target.apparatus) };
            let flows = any_of(flows.iter().map(|flow| format!("({})", flow.cedar(lans))).collect());
            let here = format!("\nwhen {{ principal in {} }}", self.lan(*gateway));
            let head = head(Action::ReachTerminal);
            let reach = format!("{head}{clauses}{here}{conditions}{limit}\nwhen {{ {flows} }};");
            let kind = format!("reachTerminal@{}", self.model.apparatuses[*gateway].id);
            drafts.push(draft(&rule.place, Origin::Rule(n), &kind, &[Action::ReachTerminal], reach));
        }
    }

    /// The head's principal, and the clauses that say the rest where there are several.
    fn principal(&self, rule: &Rule) -> (String, String) {
        let source = |source: &Source| match source {
            Source::Apparatus(one) => format!("principal == {}", self.uid(*one)),
            Source::Group(group) => format!("principal in Group::{}", quoted(&self.model.groups[*group].name)),
        };
        match rule.sources.as_slice() {
            [one] => (source(one), String::new()),
            several => {
                let sources = any_of(several.iter().map(source).collect());
                ("principal".to_owned(), format!("\nwhen {{ {sources} }}"))
            }
        }
    }

    /// The LAN of a gateway: itself and its clients.
    fn lan(&self, gateway: ApparatusIx) -> String {
        format!("Lan::{}", quoted(&self.model.apparatuses[gateway].id))
    }

    fn uid(&self, apparatus: ApparatusIx) -> String {
        let apparatus = &self.model.apparatuses[apparatus];
        format!("{}::{}", entity_type(apparatus.is_gateway()), quoted(&apparatus.id))
    }

    fn validate(&self, lowered: &Lowered, target: &Target) -> Result<(), Refused> {
        for action in Action::ALL {
            let result = self.validator.validate(lowered.policies(action), ValidationMode::Strict);
            if let Some(error) = result.validation_errors().next() {
                return Err(Refused { at: target.at, message: error.to_string() });
            }
        }
        Ok(())
    }
}

/// A policy as text, with what Cedar's parser does not keep.
struct Draft {
    id: PolicyId,
    origin: Origin,
    rule: RuleRef,
    actions: &'static [Action],
    cedar: String,
}

fn draft(place: &RuleRef, origin: Origin, kind: &str, actions: &'static [Action], cedar: String) -> Draft {
    let rule = place.clone();
    Draft { id: PolicyId::new(format!("{rule}#{kind}")), origin, rule, actions, cedar }
}

/// How many policies are parsed at once: each call of Cedar's parser costs as much as some
/// ten policies, and its tree of a whole large target would be as large.
const BATCH: usize = 500;

/// The policy sets that some drafts make.
fn assemble(drafts: Vec<Draft>) -> Result<Lowered, String> {
    let mut lowered = Lowered {
        open: PolicySet::new(),
        keep: PolicySet::new(),
        reach: PolicySet::new(),
        origins: HashMap::with_capacity(drafts.len()),
    };
    for batch in drafts.chunks(BATCH) {
        let text: String = batch.iter().flat_map(|draft| [draft.cedar.as_str(), "\n"]).collect();
        let parsed: PolicySet = text.parse().map_err(|e| format!("{e} in {text}"))?;
        for (n, draft) in batch.iter().enumerate() {
            // Cedar numbers what it reads; a policy that read as two, or as none, shows here.
            let policy = parsed.policy(&PolicyId::new(format!("policy{n}"))).ok_or("a policy is missing")?;
            let policy = policy.new_id(draft.id.clone());
            for action in draft.actions {
                lowered.policies_mut(*action).add(policy.clone()).map_err(|e| e.to_string())?;
            }
            lowered.origins.insert(draft.id.clone(), (draft.origin, draft.rule.clone()));
        }
        if parsed.policies().count() != batch.len() {
            return Err("a policy reads as several".to_owned());
        }
    }
    Ok(lowered)
}

/// All apparatuses and groups, as Cedar has them.
pub(crate) fn entities(model: &Model) -> Result<Entities, String> {
    let mut groups_of: Vec<HashSet<EntityUid>> = vec![HashSet::new(); model.apparatuses.len()];
    let mut all = Vec::with_capacity(model.apparatuses.len() + model.groups.len());
    for group in &model.groups {
        let uid = entity("Group", &group.name)?;
        for member in &group.members {
            groups_of[*member].insert(uid.clone());
        }
        all.push(Entity::new_no_attrs(uid, HashSet::new()));
    }
    for (n, mut parents) in groups_of.into_iter().enumerate() {
        // Not the gateway itself, or a group that names the gateway would take its clients along.
        let apparatus = &model.apparatuses[n];
        let lan = entity("Lan", apparatus.gateway())?;
        if apparatus.is_gateway() {
            all.push(Entity::new_no_attrs(lan.clone(), HashSet::new()));
        }
        parents.insert(lan);
        all.push(Entity::new_no_attrs(entity(entity_type(apparatus.is_gateway()), &apparatus.id)?, parents));
    }
    Entities::from_entities(all, None).map_err(|e| e.to_string())
}

pub(crate) fn entity_type(is_gateway: bool) -> &'static str {
    if is_gateway { "Gateway" } else { "Client" }
}

pub(crate) fn entity(ty: &str, id: &str) -> Result<EntityUid, String> {
    let ty: EntityTypeName = ty.parse().map_err(|e: cedar_policy::ParseErrors| e.to_string())?;
    Ok(EntityUid::from_type_name_and_id(ty, EntityId::new(id)))
}

fn within(limit: Duration) -> String {
    format!("context.elapsed < duration(\"{}s\")", limit.as_secs())
}

fn conditions(conditions: &[Condition]) -> String {
    let mut out = String::new();
    for condition in conditions {
        let keyword = if condition.unless { "unless" } else { "when" };
        // The line feed ends a comment that the condition may end in.
        out.push_str(&format!("\n{keyword} {{ {}\n}}", condition.cedar));
    }
    out
}

#[cfg(test)]
mod tests;
