//! What may flow, as sets that can be taken from each other.
//! A region is a box: an opener, a range of hosts at each end, a protocol, a range of ports and a span of a session's time.

use crate::pair::{Flow, HostSpec, Lans, Ports, Service, Side};
use ipnet::IpNet;
use std::net::IpAddr;
use std::time::Duration;

/// How many pieces one region may fall into before it is taken as a whole.
const PIECES: usize = 4_096;
/// Milliseconds of a session without a limit.
pub(crate) const FOREVER: u64 = u64::MAX;

/// Hosts with neighbouring addresses; those of them that have a DNS name, where one is given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Hosts {
    pub(crate) dns: Option<String>,
    pub(crate) range: Range,
}

/// Neighbouring addresses of one family, the first and the last included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Range {
    pub(crate) v6: bool,
    pub(crate) first: u128,
    pub(crate) last: u128,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Icmp,
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Region {
    pub(crate) opener: Side,
    pub(crate) from: Hosts,
    pub(crate) to: Hosts,
    pub(crate) protocol: Protocol,
    /// First and last; 0 to 0 where the protocol has none.
    pub(crate) ports: (u16, u16),
    /// Milliseconds of the session's time: the first, and the first that is too late.
    pub(crate) time: (u64, u64),
}

impl Range {
    pub(crate) fn of(net: IpNet) -> Self {
        Self { v6: matches!(net, IpNet::V6(_)), first: bits(net.network()), last: bits(net.broadcast()) }
    }

    pub(crate) fn address(self, bits: u128) -> IpAddr {
        match u32::try_from(bits) {
            Ok(bits) if !self.v6 => IpAddr::V4(bits.into()),
            _ => IpAddr::V6(bits.into()),
        }
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// How long a limit lets something last, in milliseconds.
pub(crate) fn until(limit: Option<Duration>) -> u64 {
    limit.map_or(FOREVER, |limit| limit.as_millis().try_into().unwrap_or(FOREVER))
}

/// The regions of a flow that its rule lets pass for `until` milliseconds.
pub(crate) fn regions(flow: &Flow, lans: Lans<'_>, until: u64) -> Vec<Region> {
    host_regions(flow.opener, &flow.from, &flow.to, &flow.service, lans, until)
}

/// The regions of a flow in its parts.
pub(crate) fn host_regions(
    opener: Side,
    from: &HostSpec,
    to: &HostSpec,
    service: &Service,
    lans: Lans<'_>,
    until: u64,
) -> Vec<Region> {
    let (here, there) = match opener {
        Side::Source => (lans.source, lans.target),
        Side::Target => (lans.target, lans.source),
    };
    let mut all = vec![];
    let services = services(service);
    for from in hosts(from, here) {
        // No packet has an address of either family.
        for to in hosts(to, there).into_iter().filter(|to| to.range.v6 == from.range.v6) {
            all.extend(services.iter().map(|(protocol, ports)| Region {
                opener,
                from: from.clone(),
                to: to.clone(),
                protocol: *protocol,
                ports: *ports,
                time: (0, until),
            }));
        }
    }
    all
}

fn hosts(spec: &HostSpec, lans: &[IpNet]) -> Vec<Hosts> {
    let each = |nets: &[IpNet], dns: Option<&String>| {
        nets.iter().map(|net| Hosts { dns: dns.cloned(), range: Range::of(*net) }).collect()
    };
    match spec {
        HostSpec::Any => each(lans, None),
        HostSpec::Net(net) => each(&[*net], None),
        HostSpec::Named { dns, .. } => each(lans, Some(dns)),
    }
}

fn services(service: &Service) -> Vec<(Protocol, (u16, u16))> {
    const ALL: (u16, u16) = (0, u16::MAX);
    let each = |protocol: Protocol, ports: &Ports| match ports {
        Ports::All => vec![(protocol, ALL)],
        Ports::Ranges(ranges) => ranges.iter().map(|range| (protocol, *range)).collect(),
    };
    match service {
        Service::All => {
            vec![(Protocol::Tcp, ALL), (Protocol::Udp, ALL), (Protocol::Icmp, (0, 0)), (Protocol::Other, (0, 0))]
        }
        Service::Tcp(ports) => each(Protocol::Tcp, ports),
        Service::Udp(ports) => each(Protocol::Udp, ports),
        Service::Icmp => vec![(Protocol::Icmp, (0, 0))],
    }
}

/// What is in `all` and not in `taken`; never less, and more only where hosts are known by
/// different names, or where it falls into too many pieces.
pub(crate) fn minus(all: &[Region], taken: &[Region]) -> Vec<Region> {
    let mut out: Vec<Region> = vec![];
    for region in all {
        // Most of a policy is as it was: one look at each is enough for it.
        if taken.iter().any(|other| other.holds(region)) {
            continue;
        }
        let mut pieces = vec![region.clone()];
        for other in taken.iter().filter(|other| other.meets(region)) {
            pieces = pieces.iter().flat_map(|piece| piece.without(other)).collect();
            if pieces.len() > PIECES {
                pieces = vec![region.clone()];
                break;
            }
        }
        out.extend(pieces);
    }
    out
}

/// Regions without those that lie in another of them.
pub(crate) fn outermost(regions: &[Region]) -> Vec<Region> {
    let inside = |n: usize, region: &Region| {
        let others = regions.iter().enumerate().filter(|(m, _)| *m != n);
        // Of equal ones the first stays.
        others.into_iter().any(|(m, other)| other.holds(region) && (m < n || !region.holds(other)))
    };
    if regions.len() > PIECES {
        return regions.to_vec();
    }
    regions.iter().enumerate().filter(|(n, region)| !inside(*n, region)).map(|(_, region)| region.clone()).collect()
}

impl Region {
    /// Whether everything in `other` is in this as well.
    fn holds(&self, other: &Region) -> bool {
        self.meets(other)
            && within(other.from.range.span(), self.from.range.span())
            && within(other.to.range.span(), self.to.range.span())
            && within(wide(other.ports), wide(self.ports))
            && within((other.time.0, other.time.1), self.time)
    }

    /// Whether this takes anything from `other`. Hosts of a name take nothing from those
    /// without it: which ones they are is not known here.
    fn meets(&self, other: &Region) -> bool {
        let ends = |mine: &Hosts, its: &Hosts| {
            (mine.dns.is_none() || mine.dns == its.dns)
                && mine.range.v6 == its.range.v6
                && mine.range.first <= its.range.last
                && its.range.first <= mine.range.last
        };
        self.opener == other.opener
            && self.protocol == other.protocol
            && ends(&self.from, &other.from)
            && ends(&self.to, &other.to)
            && self.ports.0 <= other.ports.1
            && other.ports.0 <= self.ports.1
            && self.time.0 < other.time.1
            && other.time.0 < self.time.1
    }

    /// This region without what another one takes from it.
    fn without(&self, other: &Region) -> Vec<Region> {
        if !other.meets(self) {
            return vec![self.clone()];
        }
        let mut rest = self.clone();
        let mut out = vec![];
        let (from, to) = (other.from.range, other.to.range);
        if rest.from.range.first < from.first {
            out.push(rest.with(|r| r.from.range.last = from.first - 1));
            rest.from.range.first = from.first;
        }
        if rest.from.range.last > from.last {
            out.push(rest.with(|r| r.from.range.first = from.last + 1));
            rest.from.range.last = from.last;
        }
        if rest.to.range.first < to.first {
            out.push(rest.with(|r| r.to.range.last = to.first - 1));
            rest.to.range.first = to.first;
        }
        if rest.to.range.last > to.last {
            out.push(rest.with(|r| r.to.range.first = to.last + 1));
            rest.to.range.last = to.last;
        }
        if rest.ports.0 < other.ports.0 {
            out.push(rest.with(|r| r.ports.1 = other.ports.0 - 1));
            rest.ports.0 = other.ports.0;
        }
        if rest.ports.1 > other.ports.1 {
            out.push(rest.with(|r| r.ports.0 = other.ports.1 + 1));
            rest.ports.1 = other.ports.1;
        }
        if rest.time.0 < other.time.0 {
            out.push(rest.with(|r| r.time.1 = other.time.0));
        }
        if rest.time.1 > other.time.1 {
            out.push(rest.with(|r| r.time.0 = other.time.1));
        }
        out
    }

    fn with(&self, change: impl FnOnce(&mut Region)) -> Region {
        let mut region = self.clone();
        change(&mut region);
        region
    }
}

impl Range {
    fn span(self) -> (u128, u128) {
        (self.first, self.last)
    }
}

fn wide((first, last): (u16, u16)) -> (u32, u32) {
    (first.into(), last.into())
}

fn within<T: Ord>(inner: (T, T), outer: (T, T)) -> bool {
    outer.0 <= inner.0 && inner.1 <= outer.1
}

#[cfg(test)]
mod tests;
