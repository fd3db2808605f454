//! The Cedar request that a question becomes.
//! Its context is checked against the schema; what does not fit is an error, and so a denial.

use super::{Known, Question};
use crate::facts::FactValue;
use crate::lower::text::{ip, net};
use crate::lower::{Action, entity, entity_type};
use crate::model::ApparatusIx;
use crate::pair::Side;
use crate::policy::Policy;
use crate::respond::Alert;
use cedar_policy::{Context, Request, RestrictedExpression};
use jiff::Timestamp;
use serde::Serialize;
use std::net::IpAddr;
use std::time::Duration;

/// One end of a packet's flow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PacketEnd<'a> {
    /// The host's address, where it is known.
    pub address: Option<IpAddr>,
    /// The names of the DNS-named terminals that are at that address now, as the policy
    /// of that side's gateway calls them.
    pub names: &'a [&'a str],
}

/// The protocols that the language tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP or ICMPv6.
    Icmp,
    /// Any other.
    Other,
}

/// The opening packet of a flow inside a session; what answers it is not asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketQuestion<'a> {
    /// The side that `from` is on.
    pub opener: Side,
    /// Who opens.
    pub from: PacketEnd<'a>,
    /// Towards whom.
    pub to: PacketEnd<'a>,
    /// The protocol.
    pub protocol: Protocol,
    /// The destination port; 0 where the protocol has none.
    pub port: u16,
    /// How long the session has been established.
    pub elapsed: Duration,
}

impl Protocol {
    /// As Cedar's `context.protocol` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Icmp => "icmp",
            Protocol::Other => "other",
        }
    }
}

impl Policy {
    pub(super) fn request(
        &self,
        known: Known<'_>,
        action: Action,
        now: Timestamp,
        elapsed: Duration,
        packet: Option<&PacketQuestion<'_>>,
    ) -> Result<Request, String> {
        self.request_between(known.question, (known.source, known.target), action, now, elapsed, packet)
    }

    /// The request about two apparatuses, whether or not anything is said about the second.
    pub(crate) fn request_between(
        &self,
        question: &Question<'_>,
        (source, target): (ApparatusIx, ApparatusIx),
        action: Action,
        now: Timestamp,
        elapsed: Duration,
        packet: Option<&PacketQuestion<'_>>,
    ) -> Result<Request, String> {
        let text = |s: &str| RestrictedExpression::new_string(s.to_owned());
        let zoned = now.to_zoned(self.model.estate.zone.clone());
        // Cedar reads years of four digits only.
        let utc = now.to_zoned(jiff::tz::TimeZone::UTC);
        if !(1..=9999).contains(&utc.year()) {
            return Err(format!("{now} is beyond what a policy can be asked about"));
        }
        let millis = i64::try_from(elapsed.as_millis()).map_err(|_| "the session is too old to judge".to_owned())?;
        let mut pairs: Vec<(String, RestrictedExpression)> = vec![
            ("now".into(), RestrictedExpression::new_datetime(utc.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())),
            ("hour".into(), RestrictedExpression::new_long(zoned.hour().into())),
            ("minute".into(), RestrictedExpression::new_long(zoned.minute().into())),
            ("weekday".into(), RestrictedExpression::new_long(zoned.weekday().to_monday_one_offset().into())),
            ("reason".into(), text(question.reason)),
            ("ticket".into(), text(question.ticket)),
            ("elapsed".into(), RestrictedExpression::new_duration(format!("{millis}ms"))),
        ];
        for fact in &self.model.facts {
            let value = question.facts.get(&fact.name).unwrap_or(&fact.default);
            pairs.push((fact.name.clone(), cedar(value)));
        }
        if let Some(incident) = question.incident {
            let fields = [("terminal", text(&incident.terminal)), ("cause", text(incident.cause.as_str()))];
            pairs.push(("incident".into(), record(fields.map(|(name, value)| (name.to_owned(), value)))?));
            if let Some(alert) = &incident.alert {
                pairs.push(("alert".into(), self.alert(alert)?));
            }
        }
        if let Some(packet) = packet {
            pairs.push(("protocol".into(), text(packet.protocol.as_str())));
            pairs.push(("port".into(), RestrictedExpression::new_long(packet.port.into())));
            pairs.push(("opener".into(), text(packet.opener.as_str())));
            for (name, end) in [("from", packet.from), ("to", packet.to)] {
                if let Some(address) = end.address {
                    pairs.push((name.into(), RestrictedExpression::new_ip(ip(address))));
                }
                let names = end.names.iter().map(|name| text(name));
                pairs.push((format!("{name}Names"), RestrictedExpression::new_set(names)));
            }
        }
        let context = Context::from_pairs(pairs).map_err(|e| e.to_string())?;
        let uid = |ix: usize| {
            let apparatus = &self.model.apparatuses[ix];
            entity(entity_type(apparatus.is_gateway()), &apparatus.id)
        };
        let action = entity("Action", action.as_str())?;
        Request::new(uid(source)?, action, uid(target)?, context, Some(&self.schema)).map_err(|e| e.to_string())
    }
}

impl Policy {
    /// An alert with exactly the labels that the policy asks for.
    fn alert(&self, alert: &Alert) -> Result<RestrictedExpression, String> {
        let text = |s: &str| RestrictedExpression::new_string(s.to_owned());
        let label = |name: &String| (name.clone(), text(alert.labels.get(name).map_or("", String::as_str)));
        record([
            ("source".to_owned(), text(&alert.source)),
            ("name".to_owned(), text(&alert.name)),
            ("labels".to_owned(), record(self.model.labels.iter().map(label))?),
        ])
    }
}

fn record(fields: impl IntoIterator<Item = (String, RestrictedExpression)>) -> Result<RestrictedExpression, String> {
    RestrictedExpression::new_record(fields).map_err(|e| e.to_string())
}

fn cedar(value: &FactValue) -> RestrictedExpression {
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
