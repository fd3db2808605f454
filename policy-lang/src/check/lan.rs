//! Checks of gateways, their LANs, clients and terminals.
//! LANs must not overlap, so that an address of the estate belongs to one gateway.

use super::Checker;
use crate::ast::{Ast, ClientDecl, GatewayDecl, LanDecl};
use crate::diagnostic::Code;
use crate::estate::{Alias, Apparatus, ApparatusKind, Terminal, TerminalAddress};
use crate::model::{ApparatusIx, Model};
use crate::source::{Span, Word};
use crate::values;
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::IpAddr;

/// All LANs of an estate, for looking up whose an address is; and terminals by name.
#[derive(Debug, Default)]
pub(super) struct Lans {
    /// Sorted by first address, each with its last.
    ranges: Vec<(IpAddr, IpAddr, ApparatusIx, Span)>,
    /// Gateways that have a terminal of that name.
    pub(super) named: HashMap<String, Vec<ApparatusIx>>,
    /// The terminal of that name at a gateway: its place in the gateway's list.
    pub(super) at: HashMap<(ApparatusIx, String), usize>,
    /// Gateways of which a part could not be read.
    pub(super) damaged: std::collections::HashSet<ApparatusIx>,
}

impl Lans {
    /// The gateway whose LAN holds the whole prefix.
    pub(super) fn holder(&self, net: IpNet) -> Option<ApparatusIx> {
        let before = self.ranges.partition_point(|(first, ..)| *first <= net.network());
        let (_, last, gateway, _) = self.ranges.get(before.checked_sub(1)?)?;
        (net.broadcast() <= *last).then_some(*gateway)
    }
}

/// The prefixes of one gateway.
#[derive(Debug, Default)]
struct Prefixes {
    /// As the estate knows them.
    lans: Vec<IpNet>,
    aliases: Vec<Alias>,
}

impl Prefixes {
    fn add(&mut self, real: IpNet, known_as: IpNet) {
        self.lans.push(known_as);
        if real != known_as {
            self.aliases.push(Alias { real, known_as });
        }
    }

    /// The prefixes in which its machines have their addresses.
    fn real(&self) -> impl Iterator<Item = IpNet> + '_ {
        let own =
            |lan: &IpNet| self.aliases.iter().find(|alias| alias.known_as == *lan).map_or(*lan, |alias| alias.real);
        self.lans.iter().map(own)
    }

    /// The estate's address for that of a machine; `None` if it is not on this LAN.
    fn known(&self, real: IpAddr) -> Option<IpAddr> {
        let plain = |lan: &&IpNet| lan.contains(&real) && self.aliases.iter().all(|alias| alias.known_as != **lan);
        self.aliases.iter().find_map(|alias| alias.known(real)).or_else(|| self.lans.iter().find(plain).map(|_| real))
    }
}

impl Checker<'_, '_> {
    pub(super) fn apparatuses(&mut self, ast: &Ast, model: &mut Model) -> Lans {
        let mut lans = Lans::default();
        let mut seen: HashMap<&str, Span> = HashMap::new();
        let mut addresses: HashMap<IpAddr, (String, Span)> = HashMap::new();
        for decl in &ast.gateways {
            let Some(gateway) = self.gateway(decl, model, &mut seen, &mut lans, &mut addresses) else { continue };
            for client in &decl.clients {
                self.client(client, decl, gateway, model, &mut seen, &mut addresses);
            }
        }
        self.overlaps(model, &mut lans);
        lans
    }

    fn gateway<'d>(
        &mut self,
        decl: &'d GatewayDecl,
        model: &mut Model,
        seen: &mut HashMap<&'d str, Span>,
        lans: &mut Lans,
        addresses: &mut HashMap<IpAddr, (String, Span)>,
    ) -> Option<ApparatusIx> {
        let id = &decl.id;
        let estate = &model.estate.name;
        if !estate.is_empty()
            && id.node.split_once('@').is_none_or(|(local, domain)| !is_local(local) || domain != estate)
        {
            let help = format!("a gateway of this estate is called `NAME@{estate}`");
            self.report(
                Code::BadId,
                id.span,
                format!("`{}` is no gateway's id here", id.node),
                "not of this estate",
                Some(help),
            );
        }
        if let Some(first) = seen.insert(&id.node, id.span) {
            self.duplicate("gateway", id, first);
            return None;
        }
        let gateway = model.apparatuses.len();
        let mut here = Prefixes::default();
        for lan in &decl.lans {
            let Some((real, known_as)) = self.lan(lan) else { continue };
            let span = lan.known_as.as_ref().map_or(lan.prefix.span, |word| word.span);
            lans.ranges.push((known_as.network(), known_as.broadcast(), gateway, span));
            self.real_overlap(&here, real, lan, &id.node);
            here.add(real, known_as);
        }
        if decl.damaged {
            lans.damaged.insert(gateway);
        } else if decl.lans.is_empty() {
            let help = Some("a gateway stands before a LAN: add `lan 192.168.2.0/24`".to_owned());
            self.report(
                Code::NoLan,
                id.span,
                format!("gateway `{}` has no `lan`", id.node),
                "declared without a LAN",
                help,
            );
        }
        let own = self.once("address", &decl.addresses).and_then(|w| self.lan_address(w, &decl.id, &here));
        if let (Some(own), Some(word)) = (own, decl.addresses.first()) {
            self.only_one(own, word, addresses);
        }
        let mut terminals: Vec<Terminal> = vec![];
        let mut names: HashMap<&str, Span> = HashMap::new();
        for (name, at) in &decl.terminals {
            if !values::is_name(&name.node) || name.node == "any" {
                self.bad_name("terminal", name);
            }
            if let Some(first) = names.insert(&name.node, name.span) {
                self.duplicate("terminal", name, first);
                continue;
            }
            let at = match values::dns_name(&at.node) {
                Some(dns) => Some(TerminalAddress::Name(dns)),
                None => self.lan_address(at, &decl.id, &here).map(TerminalAddress::Address),
            };
            lans.named.entry(name.node.clone()).or_default().push(gateway);
            lans.at.insert((gateway, name.node.clone()), terminals.len());
            // A wrong address has been reported; the name stays known.
            let at = at.unwrap_or_else(|| TerminalAddress::Name(String::new()));
            terminals.push(Terminal { name: name.node.clone(), at });
        }
        let name = decl.title.as_ref().map_or_else(|| id.node.clone(), |t| t.node.clone());
        let kind = ApparatusKind::Gateway { lans: here.lans, aliases: here.aliases, address: own, terminals };
        model.apparatuses.push(Apparatus { id: id.node.clone(), name, kind });
        model.gateway_of.push(gateway);
        model.by_id.insert(id.node.clone(), gateway);
        Some(gateway)
    }

    fn client<'d>(
        &mut self,
        decl: &'d ClientDecl,
        gateway_decl: &GatewayDecl,
        gateway: ApparatusIx,
        model: &mut Model,
        seen: &mut HashMap<&'d str, Span>,
        addresses: &mut HashMap<IpAddr, (String, Span)>,
    ) {
        let id = &decl.id;
        let expected = gateway_decl.id.node.replacen('@', ".", 1);
        if id.node.split_once('@').is_none_or(|(local, domain)| !is_local(local) || domain != expected) {
            let help = Some(format!("a client of `{}` is called `NAME@{expected}`", gateway_decl.id.node));
            let message = format!("`{}` is no client's id here", id.node);
            self.report(Code::BadId, id.span, message, "not of this gateway", help);
        }
        if let Some(first) = seen.insert(&id.node, id.span) {
            self.duplicate("client", id, first);
            return;
        }
        let here = Prefixes { lans: model.lans(gateway).to_vec(), aliases: model.aliases(gateway).to_vec() };
        let address = decl.address.as_ref().and_then(|word| {
            let address = self.lan_address(word, &gateway_decl.id, &here)?;
            self.only_one(address, word, addresses);
            Some(address)
        });
        let name = decl.title.as_ref().map_or_else(|| id.node.clone(), |t| t.node.clone());
        let division = decl.division.as_ref().map(|d| d.node.clone());
        let kind = ApparatusKind::Client { gateway: gateway_decl.id.node.clone(), address, division };
        let ix = model.apparatuses.len();
        model.by_id.insert(id.node.clone(), ix);
        model.apparatuses.push(Apparatus { id: id.node.clone(), name, kind });
        model.gateway_of.push(gateway);
    }

    /// A prefix, and the one by which the estate knows it.
    fn lan(&mut self, decl: &LanDecl) -> Option<(IpNet, IpNet)> {
        let real = self.prefix(&decl.prefix);
        let Some(alias) = &decl.known_as else { return real.map(|real| (real, real)) };
        let known_as = self.prefix(alias)?;
        let real = real?;
        let same_family = real.addr().is_ipv4() == known_as.addr().is_ipv4();
        if !same_family || real.prefix_len() != known_as.prefix_len() {
            let message = format!("`{known_as}` cannot stand for `{real}`");
            let help = if same_family {
                format!("both need the same length: take a prefix of `/{}`", real.prefix_len())
            } else {
                "an IPv4 prefix is known by an IPv4 prefix, IPv6 by IPv6".to_owned()
            };
            self.report(Code::BadAlias, alias.span, message, "of another size", Some(help));
            return None;
        }
        Some((real, known_as))
    }

    fn prefix(&mut self, word: &Word) -> Option<IpNet> {
        match values::prefix(&word.node) {
            Ok(net) => Some(net),
            Err(help) => {
                let message = format!("`{}` is no LAN", word.node);
                self.report(Code::BadAddress, word.span, message, "not a prefix", Some(help));
                None
            }
        }
    }

    /// Aliases keep the estate's prefixes apart; a gateway's own machines need more than that.
    fn real_overlap(&mut self, here: &Prefixes, real: IpNet, lan: &LanDecl, gateway: &str) {
        let meets = |other: IpNet| other.contains(&real) || real.contains(&other);
        let other = here.real().find(|other| meets(*other));
        // Without aliases the estate's own prefixes overlap, which is said of them.
        let aliased = lan.known_as.is_some() || here.aliases.iter().any(|alias| meets(alias.real));
        if let Some(other) = other.filter(|_| aliased) {
            let message = format!("two LANs of `{gateway}` overlap");
            let help = format!("`{other}` is another of its LANs; one gateway cannot tell their machines apart");
            self.report(Code::OverlappingLans, lan.prefix.span, message, "overlaps with another LAN", Some(help));
        }
    }

    /// An address inside a gateway's block, which has to lie in its LAN; as the estate knows it.
    fn lan_address(&mut self, word: &Word, gateway: &Word, here: &Prefixes) -> Option<IpAddr> {
        let address = match values::address(&word.node) {
            Ok(address) => address,
            Err(help) => {
                self.report(
                    Code::BadAddress,
                    word.span,
                    format!("`{}` is no address", word.node),
                    "not an address",
                    Some(help),
                );
                return None;
            }
        };
        let known = here.known(address);
        if !here.lans.is_empty() && known.is_none() {
            let message = format!("`{address}` lies outside the LAN of `{}`", gateway.node);
            let help = match here.aliases.iter().find_map(|alias| alias.real(address)) {
                Some(real) => format!("inside its gateway's block a machine has its own address: `{real}`"),
                None => {
                    let nets: Vec<String> = here.real().map(|lan| format!("`{lan}`")).collect();
                    format!("the LAN is {}; correct the address, or add a `lan` that holds it", nets.join(", "))
                }
            };
            self.report(Code::OutsideLan, word.span, message, "not on this LAN", Some(help));
        }
        Some(known.unwrap_or(address))
    }

    /// Two enrolled machines cannot share an address.
    fn only_one(&mut self, address: IpAddr, word: &Word, seen: &mut HashMap<IpAddr, (String, Span)>) {
        match seen.get(&address) {
            Some((_, first)) => self.duplicate("address", word, *first),
            None => {
                seen.insert(address, (word.node.clone(), word.span));
            }
        }
    }

    fn overlaps(&mut self, model: &Model, lans: &mut Lans) {
        lans.ranges.sort_by_key(|(first, last, _, span)| (*first, std::cmp::Reverse(*last), *span));
        let mut widest: Option<(IpAddr, ApparatusIx, Span)> = None;
        for (first, last, gateway, span) in &lans.ranges {
            if let Some((end, other, other_span)) = widest
                && *first <= end
                && first.is_ipv4() == end.is_ipv4()
            {
                // The later of the two in the files is the one to look at.
                let (span, at) = if *span > other_span { (*span, other_span) } else { (other_span, *span) };
                let (file, line, column, _) = self.sources.place(at);
                let message = if other == *gateway {
                    format!("two LANs of `{}` overlap", model.apparatuses[other].id)
                } else {
                    let ids = [&model.apparatuses[other].id, &model.apparatuses[*gateway].id];
                    format!("the LANs of `{}` and `{}` overlap", ids[0], ids[1])
                };
                let mut help = format!("the other is at {file}:{line}:{column}; an address has to belong to one LAN");
                if other != *gateway {
                    help.push_str(", so let the estate know one of them by another prefix: `lan PREFIX as PREFIX`");
                }
                self.report(Code::OverlappingLans, span, message, "overlaps with another LAN", Some(help));
            }
            if widest.is_none_or(|(end, ..)| *last > end || first.is_ipv4() != end.is_ipv4()) {
                widest = Some((*last, *gateway, *span));
            }
        }
    }
}

/// The part of an id before `@`.
fn is_local(local: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    (1..=63).contains(&local.len()) && local.chars().all(fits)
}
