use policy_lang::{FactValues, Question, SourceFile, compile};
use std::time::Instant;
fn main() {
    let rules: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(10_000);
    let (targets, rules) = (rules / 10, 10);
    let mut text = "estate abc.net { limit 1h }\nfact supervised: Bool = false set by target\n".to_owned();
    text.push_str("let working = { context.hour >= 7 && context.hour < 19 }\n");
    text.push_str("gateway help@abc.net {\n  lan 10.0.0.0/16\n");
    for client in 0..rules { text.push_str(&format!("  client c{client}@help.abc.net\n")); }
    text.push_str("}\n");
    for target in 0..targets {
        let lan = format!("172.{}.{}", 16 + target / 256, target % 256);
        text.push_str(&format!("gateway t{target}@abc.net {{ lan {lan}.0/24 terminal server = {lan}.5 }}\n"));
        text.push_str(&format!("target t{target}@abc.net {{\n  limit 30min\n"));
        for rule in 0..rules {
            let when = ["", " when { working }", " unless { context.supervised && working }"][rule % 3];
            let priority = rule % 9 + 1;
            text.push_str(&format!("  permit c{rule}@help.abc.net priority {priority} {{ terminals 10.0.0.20 -> any tcp 22 limit 15min }}{when}\n"));
        }
        text.push_str("}\n");
    }
    let start = Instant::now();
    let compilation = compile(&[SourceFile::new("estate.gate", text)]);
    println!("{:?}", start.elapsed());
    let Some(policy) = compilation.policy else { return };
    let facts = FactValues::new();
    let Ok(now) = "2026-01-05T12:00:00Z".parse() else { return };
    for i in 0..30 {
        let target = format!("t{}@abc.net", i * 7 % targets);
        let source = format!("c{}@help.abc.net", i % 10);
        let question = Question { source: &source, target: &target, now, reason: "", ticket: "", facts: &facts, incident: None };
        let start = Instant::now();
        let d = policy.decide(&question);
        let t = start.elapsed();
        println!("  {source} decided in {:?}: {} rule(s)", t, d.permit().map_or(0, |p| p.rules().len()));
    }
}
