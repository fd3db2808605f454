//! The estate that a policy declares: its apparatuses, their LANs and terminals.
//! These are words shared with whoever draws, builds or routes it; nothing here decides.

use crate::values;
use ipnet::IpNet;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::net::IpAddr;
use std::time::Duration;

/// The estate itself.
#[derive(Debug, Clone)]
pub struct Estate {
    /// Its domain, such as `abc.net`: the end of every gateway's id.
    pub name: String,
    /// The relay group's name; the domain where the policy names none.
    pub group: String,
    /// The zone in which `hour` and `weekday` are counted (UTC unless set).
    pub zone: TimeZone,
    /// The longest any session in the estate may last.
    pub cap: Option<Duration>,
}

impl Estate {
    /// A moment: RFC 3339, or without an offset as the estate's clocks show it
    /// (`2026-01-05T12:00`). The error says how to write one.
    pub fn moment(&self, text: &str) -> Result<Timestamp, String> {
        values::moment(text, &self.zone)
    }
}

/// Whatever can be a session's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apparatus {
    /// Its id, such as `rs-1@abc.net` or `cl-11@rs-1.abc.net`.
    pub id: String,
    /// A name for people; the id where the policy gives none.
    pub name: String,
    /// Gateway or client.
    pub kind: ApparatusKind,
}

/// What an apparatus is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApparatusKind {
    /// Stands before a LAN.
    Gateway {
        /// The prefixes of its LAN; at least one.
        lans: Vec<IpNet>,
        /// Its own address on that LAN.
        address: Option<IpAddr>,
        /// Hosts of its LAN that have a name in the policy.
        terminals: Vec<Terminal>,
    },
    /// A single enrolled machine that logs on to a gateway.
    Client {
        /// The id of that gateway.
        gateway: String,
        /// Its address on that gateway's LAN.
        address: Option<IpAddr>,
        /// Where in the house it belongs.
        division: Option<String>,
    },
}

/// A host without our software that has a name in the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminal {
    /// Its name, unique at its gateway.
    pub name: String,
    /// Where it is.
    pub at: TerminalAddress,
}

/// Where a terminal is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TerminalAddress {
    /// At an address.
    Address(IpAddr),
    /// At whatever this DNS name resolves to at its gateway.
    Name(String),
}

impl Apparatus {
    /// Its own address, where the policy gives one.
    pub fn address(&self) -> Option<IpAddr> {
        match &self.kind {
            ApparatusKind::Gateway { address, .. } | ApparatusKind::Client { address, .. } => *address,
        }
    }

    /// Whether it is a gateway.
    pub fn is_gateway(&self) -> bool {
        matches!(self.kind, ApparatusKind::Gateway { .. })
    }

    /// The id of the gateway before its LAN: its own id, if it is one.
    pub fn gateway(&self) -> &str {
        match &self.kind {
            ApparatusKind::Gateway { .. } => &self.id,
            ApparatusKind::Client { gateway, .. } => gateway,
        }
    }
}
