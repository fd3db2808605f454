//! The `on alert` conditions of a target as Cedar policies for `answerAlert`.

use super::text::quoted;
use crate::model::{Model, Target};
use crate::respond::Trigger;
use cedar_policy::{Policy, PolicyId, PolicySet};

/// A policy for each `on alert` of a target, by the place of the response among its responses.
pub(crate) fn policies(model: &Model, target: &Target) -> Result<PolicySet, String> {
    let apparatus = &model.apparatuses[target.apparatus];
    let ty = if apparatus.is_gateway() { "Gateway" } else { "Client" };
    let resource = format!("{ty}::{}", quoted(&apparatus.id));
    let mut policies = PolicySet::new();
    for response in &target.responses {
        let Trigger::Alert(condition) = &response.trigger else { continue };
        let head = format!("permit(principal, action == Action::\"answerAlert\", resource == {resource})");
        // The line feed ends a comment that the condition may end in.
        let cedar = format!("{head}\nwhen {{ {}\n}};", condition.cedar);
        let policy = Policy::parse(Some(id(response)), cedar).map_err(|e| e.to_string())?;
        policies.add(policy).map_err(|e| e.to_string())?;
    }
    Ok(policies)
}

/// The id of the policy that a response becomes.
pub(crate) fn id(response: &crate::respond::Response) -> PolicyId {
    PolicyId::new(format!("{}#answerAlert", response.place))
}
