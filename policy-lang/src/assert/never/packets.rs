//! Packets that stand for all that the permits of a session let pass.
//! For each attribute that a condition asks, those at the borders of its constants and of the permits' own.

use crate::decide::{PacketEnd, PacketQuestion, Protocol};
use crate::estate::{ApparatusKind, TerminalAddress};
use crate::model::{ApparatusIx, Target};
use crate::pair::{Flow, HostSpec, Ports, Service, Side};
use crate::policy::Policy;
use crate::survey::{Asked, Constant, Var};
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// What a condition asks of packets, with the constants it compares.
#[derive(Debug, Default)]
pub(super) struct Asks {
    protocol: bool,
    port: Option<Vec<u16>>,
    opener: bool,
    from: End,
    to: End,
    /// Something is asked in a way that borders do not tell all about.
    pub(super) opaque: bool,
}

/// What is asked of one end.
#[derive(Debug, Default)]
struct End {
    nets: Option<Vec<IpNet>>,
    names: Option<BTreeSet<String>>,
}

impl Asks {
    pub(super) fn of(cedar: &str) -> Self {
        let asked = Asked::of_text(cedar);
        let mut asks = Self { opaque: asked.unread, ..Self::default() };
        for (var, compared) in &asked.vars {
            let Var::Fact(name) = var else { continue };
            let nets = || {
                let nets = compared.constants.iter().filter_map(|constant| match constant {
                    Constant::Ip(net) => Some(*net),
                    _ => None,
                });
                Some(nets.collect::<Vec<_>>())
            };
            let names = || {
                let names = compared.constants.iter().filter_map(|constant| match constant {
                    Constant::Text(text) => Some(text.clone()),
                    _ => None,
                });
                Some(names.collect::<BTreeSet<_>>())
            };
            match name.as_str() {
                "protocol" => asks.protocol = true,
                "opener" => asks.opener = true,
                "port" => {
                    let ports = compared.constants.iter().filter_map(|constant| match constant {
                        Constant::Long(port) => Some((port - 1..=port + 1).filter_map(|p| u16::try_from(p).ok())),
                        _ => None,
                    });
                    asks.port = Some(ports.flatten().collect());
                }
                "from" => asks.from.nets = nets(),
                "to" => asks.to.nets = nets(),
                "fromNames" => asks.from.names = names(),
                "toNames" => asks.to.names = names(),
                _ => continue,
            }
            asks.opaque |= compared.opaque;
        }
        asks
    }

    /// Whether anything is asked of packets.
    pub(super) fn any(&self) -> bool {
        let end = |end: &End| end.nets.is_some() || end.names.is_some();
        self.protocol || self.opener || self.port.is_some() || end(&self.from) || end(&self.to) || self.opaque
    }
}

/// A packet that some flow lets pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Corner<'p> {
    opener: Side,
    from: Host<'p>,
    to: Host<'p>,
    protocol: Protocol,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Host<'p> {
    address: Option<IpAddr>,
    names: Vec<&'p str>,
}

impl Corner<'_> {
    pub(super) fn question(&self, elapsed: Duration) -> PacketQuestion<'_> {
        PacketQuestion {
            opener: self.opener,
            from: PacketEnd { address: self.from.address, names: &self.from.names },
            to: PacketEnd { address: self.to.address, names: &self.to.names },
            protocol: self.protocol,
            port: self.port,
            elapsed,
        }
    }
}

/// `192.168.2.20 -> general-server tcp 22`
impl fmt::Display for Corner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |host: &Host<'_>| match (host.names.first(), host.address) {
            (Some(name), _) => (*name).to_owned(),
            (None, Some(address)) => address.to_string(),
            (None, None) => "a host without an address".to_owned(),
        };
        write!(f, "{} -> {} {}", host(&self.from), host(&self.to), self.protocol.as_str())?;
        if self.port > 0 { write!(f, " {}", self.port) } else { Ok(()) }
    }
}

impl Policy {
    /// Packets at the borders of what a target's permits let pass for a source.
    pub(super) fn corners(&self, target: &Target, source: ApparatusIx, asks: &Asks) -> Vec<Corner<'_>> {
        let gateway = self.model.gateway_of[source];
        let naming = target.rules.iter().filter(|rule| rule.sources.iter().any(|named| self.means(*named, source)));
        let flows = naming.flat_map(|rule| &rule.flows).filter(|(of, _)| *of == gateway).flat_map(|(_, flows)| flows);
        let flows: BTreeSet<&Flow> = flows.collect();
        let mut corners = vec![];
        for flow in flows {
            let (from_ix, to_ix) = match flow.opener {
                Side::Source => (source, target.apparatus),
                Side::Target => (target.apparatus, source),
            };
            let from = self.hosts(&flow.from, from_ix, &asks.from);
            let to = self.hosts(&flow.to, to_ix, &asks.to);
            for (protocol, port) in services(&flow.service, asks) {
                for from in &from {
                    for to in &to {
                        // No packet goes from IPv4 to IPv6.
                        let mixed = from.address.zip(to.address).is_some_and(|(a, b)| a.is_ipv4() != b.is_ipv4());
                        if !mixed {
                            let (from, to) = (from.clone(), to.clone());
                            corners.push(Corner { opener: flow.opener, from, to, protocol, port });
                        }
                    }
                }
            }
        }
        corners
    }

    /// Hosts that stand for all at one end of a flow.
    fn hosts(&self, spec: &HostSpec, side: ApparatusIx, asks: &End) -> Vec<Host<'_>> {
        let lans = self.model.lans(side);
        let named = self.dns_named(side);
        let of = |net: &IpNet| borders(*net, asks.nets.as_deref());
        let addresses: Vec<IpAddr> = match spec {
            HostSpec::Net(net) => of(net),
            HostSpec::Any | HostSpec::Named { .. } => lans.iter().flat_map(of).collect(),
        };
        let own = match spec {
            HostSpec::Named { terminal, .. } => named.iter().copied().find(|name| name == terminal),
            HostSpec::Any | HostSpec::Net(_) => None,
        };
        let mut hosts = vec![];
        match own {
            Some(name) => {
                hosts.push(Host { address: None, names: vec![name] });
                if asks.nets.is_some() {
                    let at = |address| Host { address: Some(address), names: vec![name] };
                    hosts.extend(addresses.iter().copied().map(at));
                }
            }
            None => {
                let asked = asks.names.iter().flatten();
                // Whatever stands at an address may also be a terminal that has a name.
                let names: Vec<&str> = asked.filter_map(|name| named.iter().copied().find(|n| n == name)).collect();
                for address in addresses {
                    hosts.push(Host { address: Some(address), names: vec![] });
                    hosts.extend(names.iter().map(|name| Host { address: Some(address), names: vec![name] }));
                }
            }
        }
        hosts
    }

    /// The terminals of a side that are known by their DNS names only.
    fn dns_named(&self, side: ApparatusIx) -> Vec<&str> {
        let ApparatusKind::Gateway { terminals, .. } = &self.model.apparatuses[self.model.gateway_of[side]].kind else {
            return vec![];
        };
        let named = terminals.iter().filter(|terminal| matches!(terminal.at, TerminalAddress::Name(_)));
        named.map(|terminal| terminal.name.as_str()).collect()
    }
}

/// Addresses of a prefix that stand for all of it: its first and last, and those at both sides
/// of the borders of what they are compared with. One, where nothing is compared.
fn borders(net: IpNet, compared: Option<&[IpNet]>) -> Vec<IpAddr> {
    let Some(compared) = compared else { return vec![net.network()] };
    let mut all = BTreeSet::from([net.network(), net.broadcast()]);
    for other in compared {
        let (first, last) = (other.network(), other.broadcast());
        all.extend([Some(first), Some(last), step(first, false), step(last, true)].into_iter().flatten());
    }
    all.retain(|address| net.contains(address));
    all.into_iter().collect()
}

/// The address before or after.
fn step(address: IpAddr, up: bool) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => {
            let n = u32::from(v4);
            let n = if up { n.checked_add(1) } else { n.checked_sub(1) };
            n.map(|n| IpAddr::V4(Ipv4Addr::from(n)))
        }
        IpAddr::V6(v6) => {
            let n = u128::from(v6);
            let n = if up { n.checked_add(1) } else { n.checked_sub(1) };
            n.map(|n| IpAddr::V6(Ipv6Addr::from(n)))
        }
    }
}

/// Protocols and ports that stand for all of a service.
fn services(service: &Service, asks: &Asks) -> Vec<(Protocol, u16)> {
    let ports = |ports: &Ports| -> Vec<u16> {
        let (first, last) = match ports {
            Ports::All => (1, u16::MAX),
            Ports::Ranges(ranges) => {
                (ranges.first().map_or(1, |range| range.0), ranges.last().map_or(u16::MAX, |range| range.1))
            }
        };
        let Some(compared) = &asks.port else { return vec![first] };
        let mut all = BTreeSet::from([first, last]);
        if let Ports::Ranges(ranges) = ports {
            all.extend(ranges.iter().flat_map(|(first, last)| [*first, *last]));
        }
        all.extend(compared.iter().filter(|port| **port > 0 && ports.contains(**port)));
        all.into_iter().collect()
    };
    let with = |protocol: Protocol, of: &Ports| ports(of).into_iter().map(move |port| (protocol, port));
    match service {
        Service::Tcp(of) => with(Protocol::Tcp, of).collect(),
        Service::Udp(of) => with(Protocol::Udp, of).collect(),
        Service::Icmp => vec![(Protocol::Icmp, 0)],
        Service::All if asks.protocol || asks.port.is_some() => {
            let ported = with(Protocol::Tcp, &Ports::All).chain(with(Protocol::Udp, &Ports::All));
            ported.chain([(Protocol::Icmp, 0), (Protocol::Other, 0)]).collect()
        }
        Service::All => vec![(Protocol::Tcp, 1)],
    }
}
