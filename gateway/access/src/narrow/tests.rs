use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use session::Protocol;

use super::*;

/// A packet and the age of its session, in a universe so small that pairs often meet.
#[derive(Clone, Copy, Debug)]
struct Packet {
    opener: End,
    from: u8,
    to: u8,
    protocol: Protocol,
    port: u16,
    age: u64,
}

fn address(host: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, host))
}

fn passes(pairs: &[Pair], packet: Packet) -> bool {
    let is_at = |host: &Host, at: u8| match host {
        Host::Any => true,
        Host::Net(net) => net.contains(&address(at)),
        Host::Named { .. } => false,
    };
    pairs.iter().any(|pair| {
        pair.opener == packet.opener
            && is_at(&pair.from, packet.from)
            && is_at(&pair.to, packet.to)
            && pair.service.admits(packet.protocol, packet.port)
            && Duration::from_secs(packet.age) < limit(pair)
    })
}

fn host() -> impl Strategy<Value = Host> {
    prop_oneof![
        Just(Host::Any),
        (0u8..8, 29u8..=32)
            .prop_map(|(host, bits)| { Host::Net(ipnet::IpNet::new(address(host), bits).expect("a prefix").trunc()) }),
    ]
}

fn ranges() -> impl Strategy<Value = Ports> {
    let range = (1u16..6, 0u16..3).prop_map(|(first, more)| (first..=first + more).into());
    prop_oneof![Just(Ports::All), prop::collection::vec(range, 1..3).prop_map(Ports::Ranges)]
}

fn service() -> impl Strategy<Value = Service> {
    prop_oneof![
        Just(Service::All),
        Just(Service::Icmp),
        ranges().prop_map(Service::Tcp),
        ranges().prop_map(Service::Udp)
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Source), Just(End::Target)]
}

fn pairs() -> impl Strategy<Value = Vec<Pair>> {
    let limit = prop::option::of((1u64..5).prop_map(Duration::from_secs));
    let pair = (end(), host(), host(), service(), limit).prop_map(|(opener, from, to, service, limit)| Pair {
        rule: "a.gate:1:1".into(),
        opener,
        from,
        to,
        service,
        limit,
    });
    prop::collection::vec(pair, 0..6)
}

fn packet() -> impl Strategy<Value = Packet> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Icmp), Just(Protocol::Other)];
    (end(), 0u8..8, 0u8..8, protocol, 1u16..9, 0u64..6).prop_map(|(opener, from, to, protocol, port, age)| Packet {
        opener,
        from,
        to,
        protocol,
        port,
        age,
    })
}

proptest! {
    #[test]
    fn a_packet_passes_if_grant_and_policy_both_say_so(
        granted in pairs(),
        allowed in pairs(),
        packets in prop::collection::vec(packet(), 40),
    ) {
        let left = common(&granted, &allowed);
        for packet in packets {
            prop_assert_eq!(passes(&left, packet), passes(&granted, packet) && passes(&allowed, packet), "{:?}", packet);
        }
    }

    #[test]
    fn an_unchanged_or_wider_policy_changes_nothing(granted in pairs(), more in pairs()) {
        let wider: Vec<Pair> = more.into_iter().chain(granted.clone()).collect();
        let left = common(&granted, &wider);
        prop_assert_eq!(&left, &granted);
        prop_assert!(missing(&granted, &left, Duration::from_secs(1)).is_empty());
    }
}

#[test]
fn names_meet_themselves_and_any_and_nothing_else() {
    let named = |terminal: &str| Host::Named { terminal: terminal.into(), dns: "historian.kyoto.example".into() };
    let net = Host::Net("172.16.0.0/12".parse().expect("a prefix"));
    assert_eq!(hosts(&named("historian"), &Host::Any), Some(named("historian")));
    assert_eq!(hosts(&named("historian"), &named("historian")), Some(named("historian")));
    assert_eq!(hosts(&named("historian"), &named("other")), None);
    assert_eq!(hosts(&named("historian"), &net), None);
    assert_eq!(hosts(&net, &named("historian")), None);
}
