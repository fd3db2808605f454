//! The parts of a policy's life, each by itself: `cargo bench -p policy-lang`.
//! For the whole of it beside plain Cedar there is `tests/bench/policy`.

#[path = "../examples/estate/generate.rs"]
mod generate;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use policy_lang::{Compiler, FactValues, Policy, Question, SourceFile, compile};
use std::hint::black_box;
use std::time::Duration;

fn policy(files: &[SourceFile]) -> Policy {
    let compilation = compile(files);
    match compilation.policy {
        Some(policy) => policy,
        None => panic!("{:?}", compilation.diagnostics.first()),
    }
}

fn compiling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for rules in [10, 1_000, 10_000] {
        let files = generate::estate(rules);
        group.bench_function(BenchmarkId::new("anew", rules), |bench| bench.iter(|| compile(black_box(&files))));
        let mut compiler = Compiler::new();
        let mut files = files;
        let mut turn = 0;
        group.bench_function(BenchmarkId::new("one file changed", rules), |bench| {
            bench.iter(|| {
                turn += 1;
                if let Some(last) = files.last_mut() {
                    last.text.truncate(last.text.trim_end_matches(|c: char| c != '}').len());
                    last.text.push_str(&format!(" // {turn}"));
                }
                compiler.compile(black_box(&files))
            });
        });
    }
    group.finish();
}

fn deciding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    let facts = FactValues::new();
    let Ok(now) = "2026-01-05T03:00:00Z".parse() else { return };
    for rules in [10, 1_000, 10_000] {
        let policy = policy(&generate::estate(rules));
        let targets = rules / generate::RULES;
        for (name, rule) in [("no time asked", 0), ("hours asked", 3), ("denied", 2)] {
            let mut plant = 0;
            group.bench_function(BenchmarkId::new(name, rules), |bench| {
                bench.iter_batched(
                    || {
                        plant = (plant + 7919) % targets;
                        (generate::source(plant, rule), generate::target(plant))
                    },
                    |(source, target)| {
                        let (source, target) = (&*source, &*target);
                        let (reason, ticket) = ("", "");
                        policy.decide(&Question { source, target, now, reason, ticket, facts: &facts, incident: None })
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, compiling, deciding);
criterion_main!(benches);
