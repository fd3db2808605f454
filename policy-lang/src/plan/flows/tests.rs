use super::*;
use proptest::prelude::*;

/// A single packet.
#[derive(Debug, Clone)]
struct Packet {
    opener: Side,
    from: (u128, Vec<&'static str>),
    to: (u128, Vec<&'static str>),
    v6: bool,
    protocol: Protocol,
    port: u16,
    at: u64,
}

fn holds(region: &Region, packet: &Packet) -> bool {
    let end = |hosts: &Hosts, (bits, names): &(u128, Vec<&str>)| {
        hosts.range.v6 == packet.v6
            && (hosts.range.first..=hosts.range.last).contains(bits)
            && hosts.dns.as_deref().is_none_or(|dns| names.contains(&dns))
    };
    region.opener == packet.opener
        && end(&region.from, &packet.from)
        && end(&region.to, &packet.to)
        && region.protocol == packet.protocol
        && (region.ports.0..=region.ports.1).contains(&packet.port)
        && (region.time.0..region.time.1).contains(&packet.at)
}

fn hosts_of(dns: impl Strategy<Value = Option<&'static str>>, v6: bool) -> impl Strategy<Value = Hosts> {
    (dns, 0_u128..8, 0_u128..8).prop_map(move |(dns, a, b)| Hosts {
        dns: dns.map(str::to_owned),
        range: Range { v6, first: a.min(b), last: a.max(b) },
    })
}

fn region(names: bool) -> impl Strategy<Value = Region> {
    let choices = if names { vec![None, None, Some("x"), Some("y")] } else { vec![None] };
    let name = move || prop::sample::select(choices.clone());
    let side = prop::sample::select(vec![Side::Source, Side::Target]);
    let protocol = prop::sample::select(vec![Protocol::Tcp, Protocol::Udp]);
    any::<bool>().prop_flat_map(move |v6| {
        let (ports, time) = ((0_u16..6, 0_u16..6), (0_u64..4, 1_u64..4));
        (side.clone(), hosts_of(name(), v6), hosts_of(name(), v6), protocol.clone(), ports, time).prop_map(
            |(opener, from, to, protocol, (p, q), (since, long))| Region {
                opener,
                from,
                to,
                protocol,
                ports: (p.min(q), p.max(q)),
                time: (since, since + long),
            },
        )
    })
}

fn packet() -> impl Strategy<Value = Packet> {
    let end = || (0_u128..8, prop::sample::subsequence(vec!["x", "y"], 0..=2));
    let side = prop::sample::select(vec![Side::Source, Side::Target]);
    let protocol = prop::sample::select(vec![Protocol::Tcp, Protocol::Udp]);
    (side, end(), end(), any::<bool>(), protocol, 0_u16..6, 0_u64..8)
        .prop_map(|(opener, from, to, v6, protocol, port, at)| Packet { opener, from, to, v6, protocol, port, at })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_difference_holds_exactly_its_packets(
        all in prop::collection::vec(region(false), 1..6),
        taken in prop::collection::vec(region(false), 0..6),
        packets in prop::collection::vec(packet(), 50),
    ) {
        let rest = minus(&all, &taken);
        for packet in packets {
            let any = |regions: &[Region]| regions.iter().any(|region| holds(region, &packet));
            prop_assert_eq!(any(&rest), any(&all) && !any(&taken), "{:?}", packet);
        }
    }

    #[test]
    fn names_never_take_too_much(
        all in prop::collection::vec(region(true), 1..6),
        taken in prop::collection::vec(region(true), 0..6),
        packets in prop::collection::vec(packet(), 50),
    ) {
        let rest = minus(&all, &taken);
        for packet in packets {
            let any = |regions: &[Region]| regions.iter().any(|region| holds(region, &packet));
            prop_assert!(any(&rest) || !any(&all) || any(&taken), "{:?}", packet);
            prop_assert!(any(&all) || !any(&rest), "{:?}", packet);
        }
        prop_assert_eq!(minus(&all, &all), vec![]);
    }
}

#[test]
fn a_name_is_within_its_lan_and_an_address_is_not_within_a_name() {
    let lan: IpNet = "10.0.0.0/8".parse().unwrap();
    let other: IpNet = "172.16.0.0/12".parse().unwrap();
    let lans = Lans { source: &[lan], target: &[other] };
    let flow = |to: HostSpec| {
        let flow = Flow { opener: Side::Source, from: HostSpec::Any, to, service: Service::Icmp };
        regions(&flow, lans, FOREVER)
    };
    let named = flow(HostSpec::Named { terminal: "historian".into(), dns: "h.example".into() });
    assert_eq!(minus(&named, &flow(HostSpec::Any)), []);
    assert_eq!(minus(&flow(HostSpec::Any), &named), flow(HostSpec::Any));
    let one = flow(HostSpec::Net("172.16.0.12/32".parse().unwrap()));
    assert_eq!(minus(&one, &named), one);
    // A terminal that only got another name is the same host.
    assert_eq!(minus(&named, &flow(HostSpec::Named { terminal: "h".into(), dns: "h.example".into() })), []);
}
