//! A compiled policy: immutable, cheap to ask, shared behind an `Arc`.
//! [`compile`] is the only way to one.

use crate::ast::Effect;
use crate::check;
use crate::diagnostic::{Code, Diagnostic};
use crate::estate::{Apparatus, Estate};
use crate::facts::{self, Fact, FactError, FactValues, Party};
use crate::fingerprint::Fingerprint;
use crate::lower::{self, Action, Lowered, Lowering, schema};
use crate::model::{ApparatusIx, Model, Source, Target};
use crate::parse;
use crate::rule::RuleRef;
use crate::source::{SourceFile, Sources, Span};
use cedar_policy::{Entities, Schema};
use ipnet::IpNet;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// What came of compiling a policy.
#[derive(Debug)]
pub struct Compilation {
    /// The policy, unless there is an error.
    pub policy: Option<Policy>,
    /// All errors and warnings, by file and place.
    pub diagnostics: Vec<Diagnostic>,
}

/// A policy that can be asked.
#[derive(Debug)]
pub struct Policy {
    pub(crate) model: Model,
    fingerprint: Fingerprint,
    pub(crate) schema: Schema,
    pub(crate) entities: Entities,
    pub(crate) targets: HashMap<ApparatusIx, CompiledTarget>,
    /// For each source, the targets of which some permit names it.
    named_by: HashMap<Source, Vec<ApparatusIx>>,
    /// The groups of each apparatus.
    pub(crate) groups_of: HashMap<ApparatusIx, HashSet<usize>>,
}

/// A target, ready to be asked.
#[derive(Debug)]
pub(crate) struct CompiledTarget {
    pub(crate) lowered: Lowered,
    /// The place of the target's declaration among [`Model::targets`].
    pub(crate) ix: usize,
    /// The place of each of its rules.
    pub(crate) rules: Vec<RuleRef>,
    /// Whether an answer may change with time alone.
    pub(crate) timed: bool,
}

/// A single address that `terminals` name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LiteralHost<'p> {
    /// The address.
    pub address: IpAddr,
    /// The id of the gateway whose LAN holds it.
    pub gateway: &'p str,
}

/// Compiles a policy from all of its files, in any order; their paths decide.
pub fn compile(files: &[SourceFile]) -> Compilation {
    let sources = Sources::new(files);
    let mut diagnostics = vec![];
    let ast = parse::parse(&sources, &mut diagnostics);
    let model = check::check(&ast, &sources, &mut diagnostics);
    let mut policy = None;
    if !diagnostics.iter().any(Diagnostic::is_error) {
        match build(model, Fingerprint::of(&sources)) {
            Ok(built) => policy = Some(built),
            Err((at, message)) => {
                let error = sources.error(Code::ConditionType, at, message, "Cedar refuses what this became");
                diagnostics.push(error.with_help("this is a fault of the compiler; please report it with this file"));
            }
        }
    }
    diagnostics
        .sort_by(|a, b| (&a.file, a.span.start, a.severity, a.code).cmp(&(&b.file, b.span.start, b.severity, b.code)));
    Compilation { policy, diagnostics }
}

fn build(model: Model, fingerprint: Fingerprint) -> Result<Policy, (Span, String)> {
    let estate_at = Span::new(0, 0, 0);
    let schema = schema::schema(&model.facts, &model.labels).map_err(|e| (estate_at, e))?;
    let entities = lower::entities(&model).map_err(|e| (estate_at, e))?;
    let mut targets = HashMap::new();
    let mut named_by: HashMap<Source, Vec<ApparatusIx>> = HashMap::new();
    let mut groups_of: HashMap<ApparatusIx, HashSet<usize>> = HashMap::new();
    for (n, group) in model.groups.iter().enumerate() {
        for member in &group.members {
            groups_of.entry(*member).or_default().insert(n);
        }
    }
    let lowering = Lowering::new(&model, schema.clone());
    for (ix, target) in model.targets.iter().enumerate() {
        let lowered = lowering.target(target).map_err(|refused| (refused.at, refused.message))?;
        let rules = target.rules.iter().map(|rule| rule.place.clone()).collect();
        let timed = target.rules.iter().flat_map(|r| &r.conditions).any(|c| c.timed);
        for rule in target.rules.iter().filter(|r| r.effect == Effect::Permit) {
            for source in &rule.sources {
                let named = named_by.entry(*source).or_default();
                if named.last() != Some(&target.apparatus) {
                    named.push(target.apparatus);
                }
            }
        }
        targets.insert(target.apparatus, CompiledTarget { lowered, ix, rules, timed });
    }
    Ok(Policy { model, fingerprint, schema, entities, targets, named_by, groups_of })
}

impl Policy {
    /// The hash of the set of files that this policy was made of.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The estate.
    pub fn estate(&self) -> &Estate {
        &self.model.estate
    }

    /// All apparatuses, in the order of their declaration: each gateway, then its clients.
    pub fn apparatuses(&self) -> impl Iterator<Item = &Apparatus> {
        self.model.apparatuses.iter()
    }

    /// How many targets it declares, and how many permits and forbids these hold in all.
    pub fn size(&self) -> (usize, usize) {
        (self.model.targets.len(), self.model.targets.iter().map(|target| target.rules.len()).sum())
    }

    /// The apparatus of an id.
    pub fn apparatus(&self, id: &str) -> Option<&Apparatus> {
        self.model.by_id.get(id).map(|ix| &self.model.apparatuses[*ix])
    }

    /// The LANs on whose side an apparatus stands: those of its gateway, if it is a client.
    /// Empty for an unknown id.
    pub fn lans_of(&self, id: &str) -> &[IpNet] {
        self.model.by_id.get(id).map_or(&[], |ix| self.model.lans(*ix))
    }

    /// The facts it declares.
    pub fn facts(&self) -> &[Fact] {
        &self.model.facts
    }

    /// Facts from a JSON object, each of which may be assumed freely: for explanations.
    /// `reason` and `ticket` are taken from the same object.
    pub fn facts_from_json(&self, json: &str) -> Result<FactValues, FactError> {
        facts::from_json(&self.model.facts, json, None)
    }

    /// Facts from a JSON object as one party says them: those of others are errors.
    pub fn facts_said_by(&self, party: Party, json: &str) -> Result<FactValues, FactError> {
        facts::from_json(&self.model.facts, json, Some(party))
    }

    /// Every single address that `terminals` name, with the gateway whose LAN holds it;
    /// sorted. Addresses of declared terminals and apparatuses are among them only where
    /// a rule writes them out.
    pub fn literal_hosts(&self) -> impl Iterator<Item = LiteralHost<'_>> {
        let hosts = self.model.literal_hosts.iter();
        hosts.map(|(address, gateway)| LiteralHost { address: *address, gateway: &self.model.apparatuses[*gateway].id })
    }

    /// The Cedar schema that every request and policy is checked against, as text.
    pub fn cedar_schema(&self) -> String {
        schema::text(&self.model.facts, &self.model.labels)
    }

    /// All Cedar policies of a target as text, each with its id; `None` for an unknown target.
    pub fn cedar_of(&self, target: &str) -> Option<String> {
        let target = self.targets.get(self.model.by_id.get(target)?)?;
        let mut policies: Vec<(&cedar_policy::PolicyId, String)> = vec![];
        for action in Action::ALL {
            policies.extend(target.lowered.policies(action).policies().map(|p| (p.id(), p.to_string())));
        }
        policies.sort();
        policies.dedup();
        Some(policies.into_iter().map(|(id, text)| format!("// {id}\n{text}\n")).collect::<Vec<_>>().join("\n"))
    }

    pub(crate) fn target(&self, compiled: &CompiledTarget) -> &Target {
        &self.model.targets[compiled.ix]
    }

    /// The targets of which some permit names this source, in the order of the files.
    pub(crate) fn targets_naming(&self, source: ApparatusIx) -> Vec<ApparatusIx> {
        let groups = self.groups_of.get(&source).into_iter().flatten().map(|g| Source::Group(*g));
        let sources = std::iter::once(Source::Apparatus(source)).chain(groups);
        let mut found: Vec<ApparatusIx> = sources.filter_map(|s| self.named_by.get(&s)).flatten().copied().collect();
        found.retain(|target| self.model.gateway_of[*target] != self.model.gateway_of[source]);
        found.sort_by_key(|target| self.targets.get(target).map(|t| t.ix));
        found.dedup();
        found
    }

    /// Whether a rule's source means this apparatus.
    pub(crate) fn means(&self, source: Source, apparatus: ApparatusIx) -> bool {
        match source {
            Source::Apparatus(one) => one == apparatus,
            Source::Group(group) => self.groups_of.get(&apparatus).is_some_and(|groups| groups.contains(&group)),
        }
    }
}

#[cfg(test)]
mod tests;
