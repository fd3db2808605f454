//! Which sessions a condition can be about at all.
//! What it says of source and target alone is asked once for each of them, before any moment or fact is made up.

use crate::check::parts;
use crate::decide::condition_set;
use crate::lower::Action;
use crate::model::ApparatusIx;
use crate::policy::Policy;
use cedar_policy::{Authorizer, Context, Decision, PolicySet, Request};
use std::cell::RefCell;
use std::collections::HashMap;

/// The first parts of a condition, as far as they ask nothing but who the source and the target are.
pub(super) struct Concern {
    principal: Option<PolicySet>,
    resource: Option<PolicySet>,
    both: Option<PolicySet>,
    sources: RefCell<HashMap<ApparatusIx, bool>>,
}

impl Concern {
    pub(super) fn of(cedar: &str) -> Self {
        let (mut principal, mut resource, mut both) = (vec![], vec![], vec![]);
        for part in parts::parts(cedar, false) {
            let names = parts::names(&part);
            let asks = |name: &str| names.contains(name);
            // A part is only asked where all before it hold: what they err for meets the condition too.
            if asks("context") || asks("action") || parts::calculates(&part) {
                break;
            }
            match (asks("principal"), asks("resource")) {
                (true, false) => principal.push(part),
                (false, true) => resource.push(part),
                (true, true) => both.push(part),
                (false, false) => {}
            }
        }
        let all = |parts: Vec<String>| {
            let joined: Vec<String> = parts.iter().map(|part| format!("({part})")).collect();
            (!joined.is_empty()).then(|| condition_set(&joined.join(" && "))).flatten()
        };
        Self {
            principal: all(principal),
            resource: all(resource),
            both: all(both),
            sources: RefCell::new(HashMap::new()),
        }
    }

    pub(super) fn target(&self, policy: &Policy, target: ApparatusIx) -> bool {
        may_hold(policy, self.resource.as_ref(), target, target)
    }

    pub(super) fn source(&self, policy: &Policy, source: ApparatusIx) -> bool {
        let mut known = self.sources.borrow_mut();
        *known.entry(source).or_insert_with(|| may_hold(policy, self.principal.as_ref(), source, source))
    }

    pub(super) fn pair(&self, policy: &Policy, source: ApparatusIx, target: ApparatusIx) -> bool {
        may_hold(policy, self.both.as_ref(), source, target)
    }
}

/// Whether a condition holds, or cannot be told.
fn may_hold(policy: &Policy, condition: Option<&PolicySet>, source: ApparatusIx, target: ApparatusIx) -> bool {
    let Some(condition) = condition else { return true };
    let uid = |ix: ApparatusIx| {
        let apparatus = &policy.model.apparatuses[ix];
        policy.world.apparatus(apparatus.is_gateway(), &apparatus.id)
    };
    let action = policy.world.action(Action::OpenSession);
    let Ok(request) = Request::new(uid(source), action, uid(target), Context::empty(), None) else { return true };
    let response = Authorizer::new().is_authorized(&request, condition, &policy.world.entities);
    response.decision() == Decision::Allow || response.diagnostics().errors().next().is_some()
}
