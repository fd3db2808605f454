//! The facts that this gateway's people say. The manager holds them; here they are kept in memory
//! to be said again whenever the link comes up, and for nothing else. A gateway that starts anew
//! says none.

use std::collections::BTreeMap;

use super::{ANSWER_TIME, Gateway, Output, Reply, Token};
use crate::Monotonic;
use crate::facts::{FactChange, FactRow, FactSaid};
use crate::message::{Ask, ToManager};

/// What the manager holds of this gateway's words, and what it has been asked and not answered.
#[derive(Debug, Default)]
pub(super) struct Facts {
    said: BTreeMap<String, Said>,
    asked: BTreeMap<Ask, Asked>,
}

#[derive(Debug)]
struct Said {
    value: String,
    until: Option<Monotonic>,
}

#[derive(Debug)]
struct Asked {
    /// Who waits, unless he has gone.
    token: Option<Token>,
    deadline: Monotonic,
    /// What is said from the manager's yes on.
    change: Option<(String, Said)>,
}

impl Facts {
    /// All that is said at `now`.
    pub(super) fn said(&self, now: Monotonic) -> Vec<FactSaid> {
        let holds = |said: &&Said| said.until.is_none_or(|until| until > now);
        let fact = |(name, said): (&String, &Said)| FactSaid {
            name: name.clone(),
            value: said.value.clone(),
            lasts: said.until.map(|until| until.since(now)),
        };
        self.said.iter().filter(|(_, said)| holds(said)).map(fact).collect()
    }

    pub(super) fn deadline(&self) -> Option<Monotonic> {
        self.asked.values().map(|asked| asked.deadline).min()
    }

    /// Void without a link: whether the manager heard it, nobody knows, and what it heard it forgets
    /// at the next hello.
    pub(super) fn link_down(&mut self, out: &mut Vec<Output>) {
        for asked in std::mem::take(&mut self.asked).into_values() {
            let why = "the link to the manager was lost before it answered; ask again when it is back";
            out.extend(asked.token.map(|token| Output::Reply(token, Reply::Refused(why.into()))));
        }
    }

    pub(super) fn tick(&mut self, now: Monotonic, out: &mut Vec<Output>) {
        self.asked.retain(|_, asked| {
            let late = asked.deadline <= now;
            if late {
                let why = format!("the manager did not answer within {} s", ANSWER_TIME.as_secs());
                out.extend(asked.token.map(|token| Output::Reply(token, Reply::Refused(why))));
            }
            !late
        });
    }

    pub(super) fn operator_gone(&mut self, token: Token) {
        // What was asked goes on: its answer says what the manager holds.
        if let Some(asked) = self.asked.values_mut().find(|asked| asked.token == Some(token)) {
            asked.token = None;
        }
    }

    /// The manager's word on what it holds; unasked where it has dropped something.
    pub(super) fn told(&mut self, ask: Option<Ask>, rows: Vec<FactRow>, out: &mut Vec<Output>) {
        let asked = ask.and_then(|ask| self.asked.remove(&ask));
        let holds = |name: &str| rows.iter().any(|row| row.name == name && row.said_by.is_some());
        self.said.retain(|name, _| holds(name));
        if let Some(Asked { token, change, .. }) = asked {
            self.said.extend(change.filter(|(name, _)| holds(name)));
            out.extend(token.map(|token| Output::Reply(token, Reply::Facts(rows))));
        }
    }

    pub(super) fn refused(&mut self, ask: Ask, why: String, out: &mut Vec<Output>) {
        if let Some(asked) = self.asked.remove(&ask) {
            out.extend(asked.token.map(|token| Output::Reply(token, Reply::Refused(why))));
        }
    }

    fn forget(&mut self, name: &str) {
        self.said.remove(name);
        for asked in self.asked.values_mut() {
            asked.change.take_if(|(asked, _)| asked == name);
        }
    }
}

impl Gateway {
    pub(super) fn facts_wished(
        &mut self,
        token: Token,
        change: Option<FactChange>,
        now: Monotonic,
        out: &mut Vec<Output>,
    ) {
        if let Some(Err(why)) = change.as_ref().map(FactChange::check) {
            out.push(Output::Reply(token, Reply::Refused(why)));
            return;
        }
        // Withdrawn is withdrawn, whoever hears of it: it will not be said again.
        if let Some(FactChange::Clear(name)) = &change {
            self.facts.forget(name);
        }
        if !self.linked {
            let why = match change {
                Some(FactChange::Clear(_)) => {
                    "there is no link to the manager: it is withdrawn here, and the manager will hear of it when the \
                     link is back"
                }
                Some(FactChange::Set(_)) | None => {
                    "there is no link to the manager; is it running, and reachable from here?"
                }
            };
            out.push(Output::Reply(token, Reply::Refused(why.into())));
            return;
        }
        let ask = Ask(self.number());
        let will_be = match &change {
            Some(FactChange::Set(FactSaid { name, value, lasts })) => {
                let until = lasts.map(|lasts| now.after(lasts));
                Some((name.clone(), Said { value: value.clone(), until }))
            }
            Some(FactChange::Clear(_)) | None => None,
        };
        self.facts.asked.insert(ask, Asked { token: Some(token), deadline: now.after(ANSWER_TIME), change: will_be });
        out.push(Output::Send(ToManager::Facts { ask, change }));
    }
}

#[cfg(test)]
mod tests;
