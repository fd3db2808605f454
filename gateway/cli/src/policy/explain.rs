//! `sallyport policy explain`: the decision, and the rules that made it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use jiff::Timestamp;
use jiff::civil::DateTime;
use policy_lang::{
    Apparatus, ApparatusKind, Decision, PacketEnd, PacketQuestion, Policy, Protocol, Question, Reach, Side,
    TerminalAddress,
};
use serde::Serialize;

use super::{ERRORS, Read, UNUSABLE, read, render};
use crate::output::{Format, duration, json};

#[derive(Args)]
pub(crate) struct Explain {
    /// The directory of the policy.
    directory: PathBuf,
    /// Who asks for access.
    #[arg(long)]
    from: String,
    /// The target.
    #[arg(long)]
    to: String,
    /// The moment of asking: RFC 3339, or without an offset as a clock in the estate's time zone
    /// shows it (`2026-01-05T12:00`); now if it is not given.
    #[arg(long)]
    at: Option<String>,
    /// Facts, a JSON object such as `{"supervised": true}`; `reason` and `ticket` may stand in it.
    #[arg(long)]
    context: Option<String>,
    /// A packet, such as `192.168.2.20 -> general-server tcp 22`.
    #[arg(long)]
    packet: Option<String>,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The answer for programs; what does not apply is absent.
#[derive(Serialize)]
struct Answer {
    decision: &'static str,
    rules: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet_rules: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

pub(super) fn run(args: &Explain) -> anyhow::Result<ExitCode> {
    let (sources, compilation) = match read(&args.directory)? {
        Read::Compiled(sources, compilation) => (sources, compilation),
        Read::NotText(diagnostics) => {
            render::all(&args.directory, &[], &diagnostics);
            return Ok(ExitCode::from(ERRORS));
        }
    };
    let Some(policy) = &compilation.policy else {
        render::all(&args.directory, &sources, &compilation.diagnostics);
        return Ok(ExitCode::from(ERRORS));
    };
    let facts = policy.facts_from_json(args.context.as_deref().unwrap_or("{}")).context("--context")?;
    let question = Question {
        source: &args.from,
        target: &args.to,
        now: match &args.at {
            None => Timestamp::now(),
            Some(text) => moment(policy, text).context("--at")?,
        },
        reason: facts.reason().unwrap_or_default(),
        ticket: facts.ticket().unwrap_or_default(),
        facts: &facts,
        incident: None,
    };
    let decision = policy.decide(&question);
    let reach = match &args.packet {
        None => None,
        Some(text) => match packet(policy, &question, text) {
            Ok(reach) => Some(reach),
            Err(error) => {
                eprintln!("error: --packet: {error:#}");
                return Ok(ExitCode::from(UNUSABLE));
            }
        },
    };
    print(args, &decision, reach.as_ref())?;
    Ok(ExitCode::SUCCESS)
}

fn print(args: &Explain, decision: &Decision, reach: Option<&Reach>) -> anyhow::Result<()> {
    let strings = |rules: &[policy_lang::RuleRef]| rules.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut answer = match decision {
        Decision::Permit(permit) => Answer {
            decision: "allow",
            rules: strings(permit.rules()),
            priority: permit.priority(),
            limit_seconds: permit.limit().map(|limit| limit.as_secs()),
            packet: None,
            packet_rules: None,
            why: None,
        },
        Decision::Denial(denial) => Answer {
            decision: "deny",
            rules: strings(&denial.rules),
            priority: None,
            limit_seconds: None,
            packet: None,
            packet_rules: None,
            why: Some(denial.to_string()),
        },
    };
    let mut packet_why = None;
    match reach {
        Some(Reach::Pass(rules)) => {
            answer.packet = Some("pass");
            answer.packet_rules = Some(strings(rules));
        }
        Some(Reach::Drop(denial)) => {
            answer.packet = Some("drop");
            packet_why = Some(denial.to_string());
        }
        None => {}
    }
    if args.format == Format::Json {
        return json(&answer);
    }
    println!("{} -> {}: {}", args.from, args.to, answer.decision);
    if let Some(why) = &answer.why {
        println!("  {why}");
    }
    if !answer.rules.is_empty() {
        println!("  rules     {}", answer.rules.join(", "));
    }
    if let Some(priority) = answer.priority {
        println!("  priority  {priority}");
    }
    if let Some(seconds) = answer.limit_seconds {
        println!("  limit     {}", duration(seconds));
    }
    if let (Some(verdict), Some(packet)) = (answer.packet, &args.packet) {
        let by = answer.packet_rules.map_or(String::new(), |rules| format!(" by {}", rules.join(", ")));
        println!("  packet    {packet}: {verdict}{by}");
        if let Some(why) = packet_why {
            println!("            {why}");
        }
    }
    Ok(())
}

/// A moment, with an offset or as the estate's clocks show it.
pub(super) fn moment(policy: &Policy, text: &str) -> anyhow::Result<Timestamp> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let local: DateTime = text.parse().with_context(|| {
        format!("`{text}` is no moment; write `2026-01-05T12:00` or, with an offset, `2026-01-05T12:00:00+09:00`")
    })?;
    Ok(policy.estate().zone.to_timestamp(local)?)
}

/// One end of `--packet`.
#[derive(Debug)]
struct Named<'t> {
    address: Option<IpAddr>,
    names: Vec<&'t str>,
    /// The side on which it must be, if its name or address says so.
    side: Option<Side>,
}

/// A packet as somebody wrote it.
#[derive(Debug)]
pub(super) struct Written<'t> {
    from: Named<'t>,
    to: Named<'t>,
    opener: Side,
    protocol: Protocol,
    port: u16,
}

impl Written<'_> {
    /// The question whether it passes, so long after the session's establishment.
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

/// Asks about `SRC -> DST [tcp|udp PORT | icmp]`. A session that the policy denies passes
/// nothing, whatever the packet.
fn packet(policy: &Policy, question: &Question<'_>, text: &str) -> anyhow::Result<Reach> {
    let written = written(policy, question, text)?;
    if let Decision::Denial(denial) = policy.decide(question) {
        return Ok(Reach::Drop(denial));
    }
    Ok(policy.reach(question, &written.question(Duration::ZERO)))
}

/// Reads `SRC -> DST [tcp|udp PORT | icmp | other]`.
pub(super) fn written<'p>(policy: &'p Policy, question: &Question<'_>, text: &'p str) -> anyhow::Result<Written<'p>> {
    let form = "a packet is written `SRC -> DST tcp PORT`, with `udp PORT` or `icmp` likewise";
    let (from, rest) = text.split_once("->").context(form)?;
    let mut words = rest.split_whitespace();
    let to = words.next().context(form)?;
    let (protocol, port) = match (words.next(), words.next()) {
        (Some("tcp"), Some(port)) => (Protocol::Tcp, number(port)?),
        (Some("udp"), Some(port)) => (Protocol::Udp, number(port)?),
        (Some("icmp"), None) => (Protocol::Icmp, 0),
        (Some("other"), None) => (Protocol::Other, 0),
        _ => bail!(form),
    };
    if words.next().is_some() {
        bail!(form);
    }
    let (from, to) = (host(policy, question, from.trim())?, host(policy, question, to)?);
    let opener = match (from.side, to.side) {
        (Some(side), _) => side,
        (None, Some(side)) => side.other(),
        (None, None) => Side::Source,
    };
    Ok(Written { from, to, opener, protocol, port })
}

fn number(text: &str) -> anyhow::Result<u16> {
    text.parse().with_context(|| format!("`{text}` is no port: ports are 0 to 65535"))
}

/// An address, a terminal of either side, or an apparatus with an address.
fn host<'p>(policy: &'p Policy, question: &Question<'_>, text: &'p str) -> anyhow::Result<Named<'p>> {
    let sides = [(question.source, Side::Source), (question.target, Side::Target)];
    if let Ok(address) = text.parse::<IpAddr>() {
        let holds = |id: &str| policy.lans_of(id).iter().any(|lan| lan.contains(&address));
        let side = sides.iter().find(|(id, _)| holds(id)).map(|(_, side)| *side);
        return Ok(Named { address: Some(address), names: vec![], side });
    }
    for (id, side) in sides {
        let Some(gateway) = policy.apparatus(id).and_then(|apparatus| policy.apparatus(apparatus.gateway())) else {
            continue;
        };
        let side = Some(side);
        if gateway.id == text {
            let address = gateway.address().with_context(|| format!("{text} has no address in the policy"))?;
            return Ok(Named { address: Some(address), names: vec![], side });
        }
        let ApparatusKind::Gateway { terminals, .. } = &gateway.kind else { continue };
        if let Some(terminal) = terminals.iter().find(|terminal| terminal.name == text) {
            return Ok(match &terminal.at {
                TerminalAddress::Address(address) => Named { address: Some(*address), names: vec![], side },
                TerminalAddress::Name(_) => Named { address: None, names: vec![terminal.name.as_str()], side },
            });
        }
        let client = policy.apparatus(text).filter(|client| client.gateway() == gateway.id);
        if let Some(address) = client.and_then(Apparatus::address) {
            return Ok(Named { address: Some(address), names: vec![], side });
        }
    }
    bail!("`{text}` is neither an address nor a terminal or apparatus of {} or {}", question.source, question.target)
}
