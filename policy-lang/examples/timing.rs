//! How long a policy of N rules takes to compile and to ask: `cargo run --release -p policy-lang --example timing [N]`.
//! For people to look at; nothing depends on the numbers.

use policy_lang::{FactValues, Question, SourceFile, compile};
use std::time::Instant;

fn main() {
    let rules: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(10_000);
    report("ten rules a target", &estate(rules / 10, 10, "terminals 10.0.0.20 -> any tcp 22, 443"));
    report("one target", &estate(1, rules, "terminals any -> server tcp 22, 443"));
    report("all of it wrong", &estate(rules / 10, 10, "terminals any -> servr tcp 99999"));
    report("a line of all", &estate(rules / 10, 10, "terminals any").replace('\n', " "));
}

/// An estate with one helping gateway, and `targets` plants that each permit `rules` of its clients.
fn estate(targets: usize, rules: usize, terminals: &str) -> String {
    let mut text = "estate abc.net { limit 1h }\nfact supervised: Bool = false set by target\n".to_owned();
    text.push_str("let working = { context.hour >= 7 && context.hour < 19 }\n");
    text.push_str("gateway help@abc.net {\n  lan 10.0.0.0/16\n");
    for client in 0..rules {
        text.push_str(&format!("  client c{client}@help.abc.net\n"));
    }
    text.push_str("}\n");
    for target in 0..targets {
        let lan = format!("172.{}.{}", 16 + target / 256, target % 256);
        text.push_str(&format!("gateway t{target}@abc.net {{ lan {lan}.0/24 terminal server = {lan}.5 }}\n"));
        text.push_str(&format!("target t{target}@abc.net {{\n  limit 30min\n"));
        for rule in 0..rules {
            let when = ["", " when { working }", " unless { context.supervised && working }"][rule % 3];
            let priority = rule % 9 + 1;
            text.push_str(&format!(
                "  permit c{rule}@help.abc.net priority {priority} {{ {terminals} limit 15min }}{when}\n"
            ));
        }
        text.push_str("}\n");
    }
    text
}

fn report(name: &str, text: &str) {
    let start = Instant::now();
    let compilation = compile(&[SourceFile::new("estate.gate", text)]);
    let took = start.elapsed();
    println!("{name}: {} KiB compiled in {took:?}, {} diagnostics", text.len() / 1024, compilation.diagnostics.len());
    let Some(policy) = compilation.policy else { return };
    let facts = FactValues::new();
    let Ok(now) = "2026-01-05T12:00:00Z".parse() else { return };
    let question = Question {
        source: "c3@help.abc.net",
        target: "t0@abc.net",
        now,
        reason: "",
        ticket: "",
        facts: &facts,
        incident: None,
    };
    let start = Instant::now();
    let permit = policy.decide(&question);
    println!("  decided in {:?}: {} rule(s)", start.elapsed(), permit.permit().map_or(0, |p| p.rules().len()));
}
