//! Checks of `terminals`: which machines its ends mean, and on which side they stand.
//! A name is looked for on the LANs of the target and of the rule's sources, nowhere else.

use super::Checker;
use super::lan::Lans;
use crate::ast::{ServiceDecl, TerminalsDecl};
use crate::diagnostic::Code;
use crate::estate::{ApparatusKind, TerminalAddress};
use crate::model::{ApparatusIx, Model};
use crate::pair::{Flow, HostSpec, Ports, Service, Side};
use crate::source::Word;
use crate::values;
use ipnet::IpNet;
use std::net::IpAddr;

/// One line of `terminals`, with its ends known; `None` for one that is wrong.
#[derive(Debug)]
pub(super) struct Line {
    ends: Option<(End, End)>,
    both: bool,
    services: Vec<Service>,
}

/// The machines at one end, and the gateway whose LAN they are on; `any` has none.
#[derive(Debug, Clone)]
enum End {
    Any,
    At(ApparatusIx, HostSpec),
}

impl Line {
    pub(super) fn is_known(&self) -> bool {
        self.ends.is_some()
    }

    /// What the line permits between a target's LAN and that of one source gateway.
    pub(super) fn flows(&self, target: ApparatusIx, source: ApparatusIx) -> Vec<Flow> {
        let side = |end: &End| match end {
            End::Any => Ok(None),
            End::At(gateway, _) if *gateway == target => Ok(Some(Side::Target)),
            End::At(gateway, _) if *gateway == source => Ok(Some(Side::Source)),
            End::At(..) => Err(()),
        };
        let Some((from, to)) = &self.ends else { return vec![] };
        // An end on the LAN of another of the rule's sources: the line is not about this one.
        let (Ok(from_side), Ok(to_side)) = (side(from), side(to)) else { return vec![] };
        let opener = match (from_side, to_side) {
            (Some(from), _) => from,
            (None, Some(to)) => to.other(),
            (None, None) => Side::Source,
        };
        let host = |end: &End| match end {
            End::Any => HostSpec::Any,
            End::At(_, spec) => spec.clone(),
        };
        let mut flows = vec![];
        for service in &self.services {
            let forth = Flow { opener, from: host(from), to: host(to), service: service.clone() };
            if self.both {
                let back = Flow {
                    opener: opener.other(),
                    from: forth.to.clone(),
                    to: forth.from.clone(),
                    service: service.clone(),
                };
                flows.push(back);
            }
            flows.push(forth);
        }
        flows
    }
}

impl Checker<'_, '_> {
    pub(super) fn lines(
        &mut self,
        decls: &[TerminalsDecl],
        target: ApparatusIx,
        sources: &[ApparatusIx],
        model: &mut Model,
        lans: &Lans,
    ) -> Vec<Line> {
        let target = model.gateway_of[target];
        decls.iter().map(|decl| self.line(decl, target, sources, model, lans)).collect()
    }

    fn line(
        &mut self,
        decl: &TerminalsDecl,
        target: ApparatusIx,
        sources: &[ApparatusIx],
        model: &mut Model,
        lans: &Lans,
    ) -> Line {
        let services = if decl.services.is_empty() {
            Some(vec![Service::All])
        } else {
            decl.services.iter().map(|service| self.service(service)).collect()
        };
        let from = self.end(&decl.from, target, sources, model, lans);
        let (both, to) = match &decl.to {
            Some((both, word)) => (*both, self.end(word, target, sources, model, lans)),
            None if decl.from.node == "any" => (true, Some(End::Any)),
            None => {
                let help =
                    Some(format!("write `{0} -> B`, `{0} <-> B`, or `terminals any` for everything", decl.from.node));
                self.report(Code::Syntax, decl.from.span, "one end is missing", "towards whom?", help);
                (false, None)
            }
        };
        let mut ends = services.is_some().then_some(from.zip(to)).flatten();
        if let Some((End::At(from, _), End::At(to, _))) = &ends
            && (*from == target) == (*to == target)
        {
            let message = if from == to {
                format!("both ends stand on the LAN of `{}`", model.apparatuses[*from].id)
            } else {
                let ids = [&model.apparatuses[*from].id, &model.apparatuses[*to].id];
                format!("neither end stands on the target's LAN, but on those of `{}` and `{}`", ids[0], ids[1])
            };
            let help = "one end has to be on the target's side, the other on the source's".to_owned();
            self.report(Code::SameSide, decl.span, message, "nothing here crosses the session", Some(help));
            ends = None;
        }
        if let Some((End::At(_, HostSpec::Net(a)), End::At(_, HostSpec::Net(b)))) = &ends
            && a.addr().is_ipv4() != b.addr().is_ipv4()
        {
            let help = "write both ends as IPv4, or both as IPv6".to_owned();
            let message = "no packet goes from IPv4 to IPv6";
            self.report(Code::NeverMatches, decl.span, message, "this can never match", Some(help));
            ends = None;
        }
        Line { ends, both, services: services.unwrap_or_default() }
    }

    fn service(&mut self, decl: &ServiceDecl) -> Option<Service> {
        let mut ranges = vec![];
        let mut good = true;
        for word in &decl.ports {
            match values::ports(&word.node) {
                Ok(range) => ranges.push(range),
                Err(help) => {
                    good = false;
                    self.report(
                        Code::BadNumber,
                        word.span,
                        format!("`{}` is no port", word.node),
                        "not a port or range",
                        Some(help),
                    );
                }
            }
        }
        let ports = if ranges.is_empty() { Ports::All } else { Ports::from_ranges(ranges) };
        let service = match decl.protocol.node.as_str() {
            "tcp" => Service::Tcp(ports),
            "udp" => Service::Udp(ports),
            _ => Service::Icmp,
        };
        good.then_some(service)
    }

    fn end(
        &mut self,
        word: &Word,
        target: ApparatusIx,
        sources: &[ApparatusIx],
        model: &mut Model,
        lans: &Lans,
    ) -> Option<End> {
        if word.node == "any" {
            return Some(End::Any);
        }
        let is_side = |gateway: ApparatusIx| gateway == target || sources.binary_search(&gateway).is_ok();
        if word.node.contains('@') {
            return self.apparatus_end(word, is_side, model);
        }
        if let Some(literal) = values::host_literal(&word.node) {
            return match literal {
                Ok(net) => {
                    let known = std::iter::once(&target).chain(sources).find_map(|side| known_as(model, *side, net));
                    self.literal_end(word, net, known, is_side, model, lans)
                }
                Err(help) => {
                    let message = format!("`{}` is no address", word.node);
                    self.report(Code::BadAddress, word.span, message, "not an address or prefix", Some(help));
                    None
                }
            };
        }
        self.named_end(word, target, sources, model, lans)
    }

    fn apparatus_end(&mut self, word: &Word, is_side: impl Fn(ApparatusIx) -> bool, model: &Model) -> Option<End> {
        let found = self.apparatus(model, word)?;
        let gateway = model.gateway_of[found];
        if !is_side(gateway) {
            self.neither_side(word, &format!("it stands on the LAN of `{}`", model.apparatuses[gateway].id));
            return None;
        }
        let address = self.own_address(word, found, model)?;
        Some(End::At(gateway, HostSpec::Net(IpNet::from(address))))
    }

    /// The address of an apparatus that is used as a terminal.
    pub(super) fn own_address(&mut self, word: &Word, found: ApparatusIx, model: &Model) -> Option<IpAddr> {
        let Some(address) = model.apparatuses[found].address() else {
            let help = if model.gateway_of[found] == found {
                "say its address on its LAN: `address 192.168.2.20` in its gateway block".to_owned()
            } else {
                format!("say its address where it is declared: `client {} = 192.168.2.21`", word.node)
            };
            self.report(
                Code::NoAddress,
                word.span,
                format!("`{}` has no address", word.node),
                "an end needs one",
                Some(help),
            );
            return None;
        };
        Some(address)
    }

    fn literal_end(
        &mut self,
        word: &Word,
        net: IpNet,
        known: Option<String>,
        is_side: impl Fn(ApparatusIx) -> bool,
        model: &mut Model,
        lans: &Lans,
    ) -> Option<End> {
        match lans.holder(net) {
            Some(gateway) if is_side(gateway) => {
                if net.prefix_len() == net.max_prefix_len() {
                    model.literal_hosts.insert((net.addr(), gateway));
                }
                Some(End::At(gateway, HostSpec::Net(net)))
            }
            Some(gateway) => {
                match known {
                    Some(help) => {
                        let message = format!("`{}` stands on neither side of this rule", word.node);
                        self.report(Code::NeitherSide, word.span, message, "not an end of this session", Some(help));
                    }
                    None => {
                        self.neither_side(word, &format!("it lies in the LAN of `{}`", model.apparatuses[gateway].id))
                    }
                }
                None
            }
            None if !lans.damaged.is_empty() => None,
            None => {
                let message = format!("`{}` lies outside the LANs of this rule", word.node);
                let no_lan = || "it lies in no LAN of the estate; correct it, or add a `lan` that holds it".to_owned();
                let help = known.unwrap_or_else(no_lan);
                self.report(Code::OutsideLan, word.span, message, "on nobody's LAN", Some(help));
                None
            }
        }
    }

    fn neither_side(&mut self, word: &Word, where_it_is: &str) {
        let message = format!("`{}` stands on neither side of this rule", word.node);
        let help = format!("{where_it_is}, which is neither the target's nor a source's");
        self.report(Code::NeitherSide, word.span, message, "not an end of this session", Some(help));
    }

    fn named_end(
        &mut self,
        word: &Word,
        target: ApparatusIx,
        sources: &[ApparatusIx],
        model: &Model,
        lans: &Lans,
    ) -> Option<End> {
        let everywhere = lans.named.get(&word.node).map_or(&[][..], Vec::as_slice);
        let is_side = |gateway: &ApparatusIx| *gateway == target || sources.binary_search(gateway).is_ok();
        // Whichever list is shorter: a name may be that of a host on every LAN of the estate.
        let here: Vec<ApparatusIx> = if everywhere.len() <= sources.len() {
            everywhere.iter().copied().filter(is_side).collect()
        } else {
            let sides = std::iter::once(&target).chain(sources);
            sides.copied().filter(|gateway| lans.at.contains_key(&(*gateway, word.node.clone()))).collect()
        };
        let id = |gateway: &ApparatusIx| format!("`{}`", model.apparatuses[*gateway].id);
        match here.as_slice() {
            [gateway] => {
                let at = *lans.at.get(&(*gateway, word.node.clone()))?;
                let ApparatusKind::Gateway { terminals, .. } = &model.apparatuses[*gateway].kind else { return None };
                match &terminals.get(at)?.at {
                    TerminalAddress::Address(address) => Some(End::At(*gateway, HostSpec::Net(IpNet::from(*address)))),
                    TerminalAddress::Name(dns) => {
                        let spec = HostSpec::Named { terminal: word.node.clone(), dns: dns.clone() };
                        Some(End::At(*gateway, spec))
                    }
                }
            }
            [] if everywhere.is_empty() => {
                if sources.iter().chain([&target]).any(|gateway| lans.damaged.contains(gateway)) {
                    return None;
                }
                let sides = std::iter::once(&target).chain(sources).take(100);
                let names: Vec<&str> = sides.flat_map(|gateway| terminal_names(model, *gateway)).collect();
                self.unknown(
                    Code::UnknownTerminal,
                    "terminal",
                    word,
                    "on neither side of this rule",
                    names.into_iter(),
                );
                None
            }
            [] => {
                let places: Vec<String> = everywhere.iter().take(3).map(id).collect();
                self.neither_side(word, &format!("a terminal of that name is declared at {}", places.join(", ")));
                None
            }
            several => {
                let places: Vec<String> = several.iter().take(3).map(id).collect();
                let message = format!("`{}` is a terminal at {}", word.node, places.join(" and at "));
                let help = Some("write its address, or permit the sources in rules of their own".to_owned());
                self.report(Code::AmbiguousTerminal, word.span, message, "which one?", help);
                None
            }
        }
    }
}

/// What to write instead of an address that a machine of this LAN has, where the estate knows it by another.
pub(super) fn known_as(model: &Model, gateway: ApparatusIx, net: IpNet) -> Option<String> {
    let alias = model.aliases(gateway).iter().find(|alias| alias.real.contains(&net))?;
    let known = alias.known(net.addr())?;
    let known = if net.prefix_len() == net.max_prefix_len() {
        known.to_string()
    } else {
        format!("{known}/{}", net.prefix_len())
    };
    let id = &model.apparatuses[gateway].id;
    Some(format!("the estate knows the LAN of `{id}` by `{}`: write `{known}`", alias.known_as))
}

pub(super) fn terminal_names(model: &Model, gateway: ApparatusIx) -> impl Iterator<Item = &str> {
    let terminals = match &model.apparatuses[gateway].kind {
        ApparatusKind::Gateway { terminals, .. } => terminals.as_slice(),
        ApparatusKind::Client { .. } => &[],
    };
    terminals.iter().map(|t| t.name.as_str())
}
