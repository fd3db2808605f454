//! What nevers asked of each target before, so that a target that is as it was is not asked again.
//! Its requests are counted nevertheless: what a check finds does not depend on what was checked before.

use crate::assert::NeverModel;
use crate::lower::Action;
use crate::lower::world::World;
use crate::model::{ApparatusIx, Target};
use crate::policy::Policy;
use crate::survey::Survey;
use std::collections::HashMap;
use std::sync::Arc;

/// The targets that were asked, as long as nothing but targets changes.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// What stood outside of the targets.
    world: Option<Arc<World>>,
    nevers: Vec<OfNever>,
}

#[derive(Debug)]
struct OfNever {
    cedar: String,
    actions: Vec<Action>,
    targets: HashMap<ApparatusIx, OfTarget>,
}

/// A target as a never saw it.
#[derive(Debug)]
pub(super) struct OfTarget {
    pub(super) target: Arc<Target>,
    /// How many sources the never can be about there; 0 where it cannot be about the target.
    pub(super) sources: usize,
    /// What came of asking for them all; `None` where that was not done.
    pub(super) asked: Option<Asked>,
}

/// All requests at a target, none of which met the never.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) requests: usize,
    /// The most scenarios that there might have been.
    bound: usize,
    scenarios: usize,
    /// Whether these were all that there are.
    exhaustive: bool,
}

impl Asked {
    pub(super) fn of(survey: &Survey, bound: usize, requests: usize) -> Self {
        Self { requests, bound, scenarios: survey.scenarios.len(), exhaustive: survey.exhaustive }
    }

    /// Whether the same would be asked again, and to its end.
    pub(super) fn holds(self, bound: usize, left: usize) -> bool {
        (bound == self.bound || (self.exhaustive && self.scenarios <= bound)) && self.requests < left
    }

    pub(super) fn exhaustive(self) -> bool {
        self.exhaustive
    }
}

impl Known {
    /// Forgets what is not about a policy with these surroundings.
    pub(super) fn keep_to(&mut self, policy: &Policy) {
        if !self.world.as_ref().is_some_and(|world| Arc::ptr_eq(world, &policy.world)) {
            *self = Self { world: Some(Arc::clone(&policy.world)), nevers: vec![] };
        }
    }

    /// What is known of a never, which is forgotten here.
    pub(super) fn take(&mut self, never: &NeverModel) -> HashMap<ApparatusIx, OfTarget> {
        let same = |of: &OfNever| of.cedar == never.cedar && of.actions == never.actions;
        self.nevers.iter().position(same).map(|n| self.nevers.swap_remove(n).targets).unwrap_or_default()
    }

    pub(super) fn keep(&mut self, never: &NeverModel, targets: impl IntoIterator<Item = OfTarget>) {
        let targets = targets.into_iter().map(|of| (of.target.apparatus, of)).collect();
        self.nevers.push(OfNever { cedar: never.cedar.clone(), actions: never.actions.clone(), targets });
    }
}

#[cfg(test)]
mod tests;
