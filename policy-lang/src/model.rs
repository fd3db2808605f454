//! A checked policy, before it becomes Cedar.
//! Names are indexes here, and every word has become a value.

use crate::assert::{NeverModel, Test};
use crate::ast::Effect;
use crate::estate::{Alias, Apparatus, ApparatusKind, Estate};
use crate::facts::Fact;
use crate::pair::Flow;
use crate::respond::Response;
use crate::rule::RuleRef;
use crate::source::Span;
use ipnet::IpNet;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

/// The place of an apparatus in [`Model::apparatuses`].
pub(crate) type ApparatusIx = usize;
/// The place of a group in [`Model::groups`].
pub(crate) type GroupIx = usize;

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) estate: Estate,
    pub(crate) estate_at: RuleRef,
    pub(crate) apparatuses: Vec<Apparatus>,
    /// The gateway of each apparatus: itself, if it is one.
    pub(crate) gateway_of: Vec<ApparatusIx>,
    pub(crate) by_id: HashMap<String, ApparatusIx>,
    pub(crate) groups: Vec<Group>,
    pub(crate) group_by_name: HashMap<String, GroupIx>,
    pub(crate) facts: Vec<Fact>,
    /// The labels of alerts that some condition asks for.
    pub(crate) labels: BTreeSet<String>,
    pub(crate) targets: Vec<Target>,
    /// Single addresses that `terminals` name, with the gateway whose LAN holds them.
    pub(crate) literal_hosts: BTreeSet<(IpAddr, ApparatusIx)>,
    pub(crate) tests: Vec<Test>,
    pub(crate) nevers: Vec<NeverModel>,
}

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) members: Vec<ApparatusIx>,
    /// The gateways of its members, sorted, each once.
    pub(crate) gateways: Vec<ApparatusIx>,
}

/// All `target` blocks of one apparatus, in the order of the files.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) apparatus: ApparatusIx,
    /// The first of its blocks.
    pub(crate) at: Span,
    pub(crate) place: RuleRef,
    pub(crate) cap: Option<Duration>,
    /// The block that says the cap; the first one where none does.
    pub(crate) cap_at: RuleRef,
    pub(crate) rules: Vec<Rule>,
    /// Watches, and what else starts an incident, in the order of the files.
    pub(crate) responses: Vec<Response>,
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) at: Span,
    pub(crate) place: RuleRef,
    pub(crate) effect: Effect,
    pub(crate) sources: Vec<Source>,
    pub(crate) priority: Option<u32>,
    pub(crate) limit: Option<Duration>,
    pub(crate) conditions: Vec<Condition>,
    /// For each gateway of its sources: what may flow. Empty for a forbid.
    pub(crate) flows: Vec<(ApparatusIx, Vec<Flow>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Source {
    Apparatus(ApparatusIx),
    Group(GroupIx),
}

/// A condition in Cedar, with every `let` written out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Condition {
    pub(crate) unless: bool,
    pub(crate) cedar: String,
    /// Whether its answer may change with time alone.
    pub(crate) timed: bool,
    /// Whether it is the `during` of a rule.
    pub(crate) window: bool,
}

impl Model {
    /// The LANs on whose side an apparatus stands.
    pub(crate) fn lans(&self, apparatus: ApparatusIx) -> &[IpNet] {
        match &self.apparatuses[self.gateway_of[apparatus]].kind {
            ApparatusKind::Gateway { lans, .. } => lans,
            ApparatusKind::Client { .. } => &[],
        }
    }

    /// The aliases of the LAN on whose side an apparatus stands.
    pub(crate) fn aliases(&self, apparatus: ApparatusIx) -> &[Alias] {
        match &self.apparatuses[self.gateway_of[apparatus]].kind {
            ApparatusKind::Gateway { aliases, .. } => aliases,
            ApparatusKind::Client { .. } => &[],
        }
    }

    /// The apparatuses that a source means.
    pub(crate) fn members(&self, source: Source) -> Vec<ApparatusIx> {
        match source {
            Source::Apparatus(one) => vec![one],
            Source::Group(group) => self.groups[group].members.clone(),
        }
    }
}
