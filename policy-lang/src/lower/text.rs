//! Pieces of Cedar text: addresses and strings as Cedar reads them.

use ipnet::IpNet;
use std::net::IpAddr;

/// An address as Cedar reads it: it knows no mixed notation such as `::ffff:1.2.3.4`.
pub(crate) fn ip(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => v6.segments().map(|segment| format!("{segment:x}")).join(":"),
    }
}

/// A prefix as Cedar reads it.
pub(crate) fn net(net: IpNet) -> String {
    format!("{}/{}", ip(net.addr()), net.prefix_len())
}

/// A Cedar string literal.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// True where any of the parts is, as a balanced tree; false where there are none.
pub(crate) fn any_of(mut parts: Vec<String>) -> String {
    while parts.len() > 1 {
        let pairs = parts.chunks(2).map(|pair| match pair {
            [left, right] => format!("({left} || {right})"),
            one => one.concat(),
        });
        parts = pairs.collect();
    }
    parts.pop().unwrap_or_else(|| "false".to_owned())
}
