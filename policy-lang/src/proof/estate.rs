//! Conditions with the estate written into them.
//! To a prover the hierarchy of entities is free; here groups and LANs are what the policy says they are, so `in` becomes the list of members, and a proof is about this estate and no other.

use crate::model::{ApparatusIx, Model};
use cedar_policy::pst::{
    BinaryOp, Clause, EntityOrSlot, EntityType, EntityUID, Expr, Literal, Name, PrincipalConstraint, UnaryOp, Var,
};
use std::sync::Arc;

/// The types of those who ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Principal {
    Gateway,
    Client,
}

/// The Cedar type of an apparatus.
pub(crate) fn entity_type(is_gateway: bool) -> &'static str {
    if is_gateway { "Gateway" } else { "Client" }
}

impl Principal {
    pub(crate) const ALL: [Principal; 2] = [Principal::Gateway, Principal::Client];

    pub(crate) fn as_str(self) -> &'static str {
        entity_type(self == Principal::Gateway)
    }
}

/// Writes the estate into expressions about one target and one type of source.
pub(crate) struct Estate<'m> {
    model: &'m Model,
    target: ApparatusIx,
    principal: Principal,
    gateway: EntityType,
    client: EntityType,
}

impl<'m> Estate<'m> {
    pub(crate) fn new(model: &'m Model, target: ApparatusIx, principal: Principal) -> Result<Self, String> {
        let ty = |word: &str| Name::unqualified(word).map(EntityType).map_err(|e| e.to_string());
        Ok(Self { model, target, principal, gateway: ty(entity_type(true))?, client: ty(entity_type(false))? })
    }

    /// The clauses of a policy, its principal's constraint among them.
    pub(crate) fn clauses(&self, principal: &PrincipalConstraint, clauses: &[Clause]) -> Vec<Clause> {
        let whose = Expr::Var(Var::Principal);
        let head = match principal {
            PrincipalConstraint::Eq(EntityOrSlot::Entity(uid)) => Some(self.equals(uid)),
            PrincipalConstraint::In(EntityOrSlot::Entity(uid)) => self.within(&whose, &entity(uid)),
            // Neither is made by lowering; what is not rewritten stays as free as it was.
            _ => None,
        };
        let rest = clauses.iter().map(|clause| match clause {
            Clause::When(expr) => Clause::When(Arc::new(self.rewrite(expr))),
            Clause::Unless(expr) => Clause::Unless(Arc::new(self.rewrite(expr))),
        });
        head.map(|expr| Clause::When(Arc::new(expr))).into_iter().chain(rest).collect()
    }

    /// The expression for this target and type of source.
    pub(crate) fn rewrite(&self, expr: &Expr) -> Expr {
        let inner = |expr: &Arc<Expr>| Arc::new(self.rewrite(expr));
        match expr {
            Expr::BinaryOp { op: BinaryOp::In, left, right } => {
                self.within(left, right).unwrap_or_else(|| expr.clone())
            }
            Expr::BinaryOp { op: op @ (BinaryOp::Eq | BinaryOp::NotEq), left, right } => {
                match self.is_target(left, right) {
                    Some(same) => Expr::Literal(Literal::Bool(same == (*op == BinaryOp::Eq))),
                    None => Expr::BinaryOp { op: *op, left: inner(left), right: inner(right) },
                }
            }
            Expr::BinaryOp { op, left, right } => Expr::BinaryOp { op: *op, left: inner(left), right: inner(right) },
            Expr::Is { expr: what, entity_type, in_expr: Some(parent) } => {
                let is = Expr::Is { expr: what.clone(), entity_type: entity_type.clone(), in_expr: None };
                match self.within(what, parent) {
                    Some(within) => binary(BinaryOp::And, is, within),
                    None => expr.clone(),
                }
            }
            Expr::UnaryOp { op, expr } => Expr::UnaryOp { op: *op, expr: inner(expr) },
            Expr::GetAttr { expr, attr } => Expr::GetAttr { expr: inner(expr), attr: attr.clone() },
            Expr::HasAttr { expr, attrs } => Expr::HasAttr { expr: inner(expr), attrs: attrs.clone() },
            Expr::Like { expr, pattern } => Expr::Like { expr: inner(expr), pattern: pattern.clone() },
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                Expr::IfThenElse { cond: inner(cond), then_expr: inner(then_expr), else_expr: inner(else_expr) }
            }
            Expr::Set(elements) => Expr::Set(elements.iter().map(inner).collect()),
            Expr::Record(fields) => {
                Expr::Record(fields.iter().map(|(name, value)| (name.clone(), inner(value))).collect())
            }
            other => other.clone(),
        }
    }

    /// `left in right`, if it is about the source or the target and literal parents.
    fn within(&self, left: &Expr, right: &Expr) -> Option<Expr> {
        let parents: Vec<&EntityUID> = match right {
            Expr::Literal(Literal::EntityUID(uid)) => vec![uid],
            Expr::Set(elements) => elements.iter().map(|element| literal(element)).collect::<Option<_>>()?,
            _ => return None,
        };
        let mut members: Vec<ApparatusIx> = parents.iter().flat_map(|parent| self.members(parent)).collect();
        members.sort_unstable();
        members.dedup();
        match left {
            Expr::Var(Var::Principal) => Some(self.one_of(members)),
            Expr::Var(Var::Resource) => Some(Expr::Literal(Literal::Bool(members.contains(&self.target)))),
            _ => None,
        }
    }

    /// The source is one of these.
    pub(crate) fn one_of(&self, members: Vec<ApparatusIx>) -> Expr {
        let ours =
            |ix: &ApparatusIx| self.model.apparatuses[*ix].is_gateway() == (self.principal == Principal::Gateway);
        let equal = members.into_iter().filter(ours).map(|ix| self.equals(&self.uid(ix)));
        any_of(equal.collect())
    }

    /// All apparatuses that are in an entity, itself included.
    fn members(&self, parent: &EntityUID) -> Vec<ApparatusIx> {
        let (ty, id) = (parent.ty.to_string(), parent.eid.as_str());
        let model = self.model;
        match ty.as_str() {
            "Group" => model.group_by_name.get(id).map(|n| model.groups[*n].members.clone()).unwrap_or_default(),
            "Lan" => match model.by_id.get(id) {
                Some(gateway) => (0..model.apparatuses.len()).filter(|ix| model.gateway_of[*ix] == *gateway).collect(),
                None => vec![],
            },
            _ => {
                let found = model.by_id.get(id).filter(|ix| entity_type(model.apparatuses[**ix].is_gateway()) == ty);
                found.into_iter().copied().collect()
            }
        }
    }

    /// Whether both are the target, if that can be said.
    fn is_target(&self, left: &Expr, right: &Expr) -> Option<bool> {
        let uid = match (left, right) {
            (Expr::Var(Var::Resource), other) | (other, Expr::Var(Var::Resource)) => literal(other)?,
            _ => return None,
        };
        Some(*uid == self.uid(self.target))
    }

    fn equals(&self, uid: &EntityUID) -> Expr {
        binary(BinaryOp::Eq, Expr::Var(Var::Principal), entity(uid))
    }

    fn uid(&self, ix: ApparatusIx) -> EntityUID {
        let apparatus = &self.model.apparatuses[ix];
        let ty = if apparatus.is_gateway() { &self.gateway } else { &self.client };
        EntityUID { ty: ty.clone(), eid: apparatus.id.as_str().into() }
    }
}

/// Whether evaluating it may fail, as far as its form shows. Strict validation has excluded what
/// is missing or of a wrong type; numbers and times can still grow too large.
pub(crate) fn may_err(expr: &Expr) -> bool {
    let fails = |expr: &Expr| match expr {
        Expr::Literal(_) | Expr::Var(_) => Some(false),
        Expr::GetAttr { .. } | Expr::HasAttr { .. } | Expr::Like { .. } | Expr::Is { .. } => None,
        Expr::IfThenElse { .. } | Expr::Set(_) | Expr::Record(_) => None,
        Expr::UnaryOp { op: UnaryOp::Not | UnaryOp::IsEmpty, .. } => None,
        Expr::UnaryOp {
            op: UnaryOp::IsIPv4 | UnaryOp::IsIPV6 | UnaryOp::IsLoopback | UnaryOp::IsMulticast, ..
        } => None,
        // Validated as they stand.
        Expr::UnaryOp { op: UnaryOp::Ip | UnaryOp::Datetime | UnaryOp::Duration | UnaryOp::Decimal, expr } => {
            Some(!matches!(**expr, Expr::Literal(Literal::String(_))))
        }
        Expr::BinaryOp {
            op:
                BinaryOp::Eq
                | BinaryOp::NotEq
                | BinaryOp::Less
                | BinaryOp::LessEq
                | BinaryOp::Greater
                | BinaryOp::GreaterEq
                | BinaryOp::And
                | BinaryOp::Or
                | BinaryOp::In
                | BinaryOp::Contains
                | BinaryOp::ContainsAll
                | BinaryOp::ContainsAny
                | BinaryOp::IsInRange,
            ..
        } => None,
        _ => Some(true),
    };
    expr.reduce(&fails, &|a, b| a || b, false)
}

/// Whether it is false whatever else is so.
pub(crate) fn is_false(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(Literal::Bool(value)) => !value,
        Expr::BinaryOp { op: BinaryOp::And, left, right } => is_false(left) || is_false(right),
        Expr::BinaryOp { op: BinaryOp::Or, left, right } => is_false(left) && is_false(right),
        _ => false,
    }
}

/// Whether the expression asks for the source.
pub(crate) fn asks_for_principal(expr: &Expr) -> bool {
    let asks = |expr: &Expr| matches!(expr, Expr::Var(Var::Principal)).then_some(true);
    expr.reduce(&asks, &|a, b| a || b, false)
}

/// The expression of a clause.
pub(crate) fn clause_expr(clause: &Clause) -> &Expr {
    match clause {
        Clause::When(expr) | Clause::Unless(expr) => expr,
    }
}

fn literal(expr: &Expr) -> Option<&EntityUID> {
    match expr {
        Expr::Literal(Literal::EntityUID(uid)) => Some(uid),
        _ => None,
    }
}

fn entity(uid: &EntityUID) -> Expr {
    Expr::Literal(Literal::EntityUID(uid.clone()))
}

fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp { op, left: Arc::new(left), right: Arc::new(right) }
}

/// A balanced tree of alternatives; false where there are none.
fn any_of(mut parts: Vec<Expr>) -> Expr {
    while parts.len() > 1 {
        let mut next = Vec::with_capacity(parts.len().div_ceil(2));
        let mut rest = parts.into_iter();
        while let Some(left) = rest.next() {
            next.push(match rest.next() {
                Some(right) => binary(BinaryOp::Or, left, right),
                None => left,
            });
        }
        parts = next;
    }
    parts.pop().unwrap_or(Expr::Literal(Literal::Bool(false)))
}
