//! What all questions to a policy share: its schema, its entities, and words of Cedar that are made once.
//! Cedar reads every name it is given anew, which would take longer than the question itself.

use super::Action;
use super::schema;
use super::text::net;
use crate::facts::FactValue;
use crate::model::{GroupIx, Model};
use cedar_policy::{Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression, Schema, pst};
use std::collections::HashSet;

/// Everything but the rules.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) schema: Schema,
    pub(crate) entities: Entities,
    pub(crate) words: Words,
    /// The groups of each apparatus, by its place in the model.
    pub(crate) groups_of: Vec<Vec<GroupIx>>,
    /// What each fact is unless somebody says otherwise, in the model's order.
    pub(crate) defaults: Vec<RestrictedExpression>,
    /// No time at all.
    pub(crate) zero: RestrictedExpression,
    gateway: EntityTypeName,
    client: EntityTypeName,
    alert_source: EntityTypeName,
    actions: [EntityUid; 3],
    /// The action of an alert, whose principal is its source.
    pub(crate) answer_alert: EntityUid,
}

/// The words that policies are made of.
#[derive(Debug)]
pub(crate) struct Words {
    pub(super) gateway: pst::EntityType,
    pub(super) client: pst::EntityType,
    pub(super) group: pst::EntityType,
    pub(super) lan: pst::EntityType,
    actions: [pst::EntityUID; 3],
}

impl World {
    pub(crate) fn new(model: &Model) -> Result<Self, String> {
        let mut groups_of = vec![vec![]; model.apparatuses.len()];
        for (n, group) in model.groups.iter().enumerate() {
            for member in &group.members {
                groups_of[*member].push(n);
            }
        }
        let action = entity_type("Action")?;
        Ok(Self {
            schema: schema::schema(&model.facts, &model.labels)?,
            entities: entities(model)?,
            words: Words::new()?,
            groups_of,
            defaults: model.facts.iter().map(|fact| value(&fact.default)).collect(),
            zero: RestrictedExpression::new_duration("0ms"),
            gateway: entity_type("Gateway")?,
            client: entity_type("Client")?,
            alert_source: entity_type("AlertSource")?,
            answer_alert: entity(&action, "answerAlert"),
            actions: Action::ALL.map(|a| entity(&action, a.as_str())),
        })
    }

    /// An apparatus.
    pub(crate) fn apparatus(&self, is_gateway: bool, id: &str) -> EntityUid {
        entity(if is_gateway { &self.gateway } else { &self.client }, id)
    }

    /// An alerting system.
    pub(crate) fn alert_source(&self, name: &str) -> EntityUid {
        entity(&self.alert_source, name)
    }

    pub(crate) fn action(&self, action: Action) -> EntityUid {
        self.actions[action as usize].clone()
    }
}

impl Words {
    fn new() -> Result<Self, String> {
        let ty = |name: &str| pst::Name::unqualified(name).map(pst::EntityType::from_name).map_err(|e| e.to_string());
        let action = ty("Action")?;
        let actions = Action::ALL.map(|a| pst::EntityUID { ty: action.clone(), eid: a.as_str().into() });
        Ok(Self { gateway: ty("Gateway")?, client: ty("Client")?, group: ty("Group")?, lan: ty("Lan")?, actions })
    }

    pub(super) fn action(&self, action: Action) -> pst::EntityUID {
        self.actions[action as usize].clone()
    }
}

/// A fact's value.
pub(crate) fn value(value: &FactValue) -> RestrictedExpression {
    match value {
        FactValue::Bool(value) => RestrictedExpression::new_bool(*value),
        FactValue::Long(value) => RestrictedExpression::new_long(*value),
        FactValue::String(value) => RestrictedExpression::new_string(value.clone()),
        FactValue::Ip(value) => RestrictedExpression::new_ip(net(*value)),
        FactValue::Set(values) => {
            RestrictedExpression::new_set(values.iter().map(|v| RestrictedExpression::new_string(v.clone())))
        }
    }
}

/// All apparatuses and groups.
fn entities(model: &Model) -> Result<Entities, String> {
    let (in_group, in_lan) = (entity_type("Group")?, entity_type("Lan")?);
    let (gateway, client) = (entity_type("Gateway")?, entity_type("Client")?);
    let mut groups_of: Vec<HashSet<EntityUid>> = vec![HashSet::new(); model.apparatuses.len()];
    let mut all = Vec::with_capacity(model.apparatuses.len() + model.groups.len());
    for group in &model.groups {
        let uid = entity(&in_group, &group.name);
        for member in &group.members {
            groups_of[*member].insert(uid.clone());
        }
        all.push(Entity::new_no_attrs(uid, HashSet::new()));
    }
    for (apparatus, mut parents) in model.apparatuses.iter().zip(groups_of) {
        // Not the gateway itself, or a group that names the gateway would take its clients along.
        let lan = entity(&in_lan, apparatus.gateway());
        if apparatus.is_gateway() {
            all.push(Entity::new_no_attrs(lan.clone(), HashSet::new()));
        }
        parents.insert(lan);
        let ty = if apparatus.is_gateway() { &gateway } else { &client };
        all.push(Entity::new_no_attrs(entity(ty, &apparatus.id), parents));
    }
    Entities::from_entities(all, None).map_err(|e| e.to_string())
}

fn entity_type(name: &str) -> Result<EntityTypeName, String> {
    name.parse().map_err(|e: cedar_policy::ParseErrors| e.to_string())
}

fn entity(ty: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(ty.clone(), EntityId::new(id))
}
