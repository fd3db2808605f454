//! What answers a failure: what is watched, what else starts an incident, and who is then asked to mend it.
//! The language says it inside a `target`; these are the words in which gateways and the manager carry it out.

use crate::model::{Condition, Source};
use crate::pair::HostSpec;
use crate::rule::RuleRef;
use serde::Serialize;
use std::time::Duration;

/// One answer of a target to a failure: what starts it, and who is asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Response {
    pub(crate) place: RuleRef,
    pub(crate) trigger: Trigger,
    pub(crate) dispatch: Dispatch,
}

/// What starts an incident at a target.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Trigger {
    /// `watch general-server { … }`: the target's gateway finds out by itself.
    Watch(Watch),
    /// `on alert { … }`: an alert from outside meets the condition.
    Alert(Condition),
    /// `on request`: somebody at the target asks for maintenance.
    Request,
}

/// A terminal that the target's gateway watches.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Watch {
    /// The terminal as the policy writes it.
    pub terminal: String,
    /// The host that it means on the target's LAN: an address or a name, never a prefix.
    pub host: HostSpec,
    /// How it is asked.
    pub probe: Probe,
    /// The time from one probe to the next.
    pub every: Duration,
    /// How long a probe may take.
    pub timeout: Duration,
    /// How many probes in a row have to fail before the terminal counts as failed.
    pub failing: u32,
    /// How many probes in a row have to succeed before it counts as recovered.
    pub recovering: u32,
}

/// How a terminal is asked whether it works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Probe {
    /// A TCP connection to this port is accepted.
    Tcp {
        /// The port.
        port: u16,
    },
    /// A request is answered as expected.
    Http {
        /// Whether it goes over TLS (`probe https`).
        tls: bool,
        /// The port; 80 or 443 unless the policy says another.
        port: u16,
        /// The path asked for, `/` unless the policy says another.
        path: String,
        /// The lowest and the highest status that is fine; 200 to 399 unless the policy says others.
        status: (u16, u16),
        /// What the body has to contain.
        body: Option<String>,
        /// How much longer the certificate has to be valid.
        certificate: Option<Duration>,
    },
    /// An echo request is answered.
    Icmp,
    /// The terminal, asked as a DNS server, resolves this name.
    Dns {
        /// The name.
        name: String,
    },
}

/// Who is asked to mend, and how.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dispatch {
    pub(crate) order: Order,
    /// How long each candidate's operator has to confirm; `None` for `confirm none`, which
    /// starts at once.
    pub(crate) confirm: Option<Duration>,
    /// How long after the recovery the session is closed; `None` if it is left open.
    pub(crate) close_after: Option<Duration>,
}

/// In which order candidates are asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Order {
    /// `dispatch by priority`: whoever holds a permit now, by its priority.
    ByPriority,
    /// `dispatch A, group G`: these, one after another, a group's members by the priority of
    /// their permits.
    Named(Vec<Source>),
}

/// The incident for which a session is asked, as conditions see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// What failed: a terminal as the policy writes it, or empty for the target as a whole.
    pub terminal: String,
    /// What started it.
    pub cause: Cause,
    /// The alert, if that started it.
    pub alert: Option<Alert>,
}

/// What started an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The target's gateway saw it.
    Watch,
    /// An alerting system told it.
    Alert,
    /// Somebody at the target asked for maintenance.
    Request,
}

impl Cause {
    /// As Cedar's `context.incident.cause` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Watch => "watch",
            Cause::Alert => "alert",
            Cause::Request => "request",
        }
    }
}

/// An alert from outside, as conditions see it. A label that it does not have is asked as `""`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alert {
    /// The alerting system that sent it, by its name at the manager.
    pub source: String,
    /// What it is about.
    pub name: String,
    /// Its labels.
    pub labels: std::collections::BTreeMap<String, String>,
}
