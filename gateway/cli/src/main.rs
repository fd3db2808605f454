//! The command line of Sallyport: one file per verb, each a thin caller of its room.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod colour;
mod facts;
mod gateway;
mod lab;
mod manager;
mod output;
mod people;
mod policy;
mod report;

/// A declarative, policy-driven gateway for remote maintenance.
#[derive(Parser)]
#[command(name = "sallyport", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// When to use colours.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    color: colour::Colour,
}

#[derive(Subcommand)]
enum Verb {
    /// Check and question a policy.
    #[command(subcommand)]
    Policy(policy::Verb),
    /// Set up and run the access manager.
    #[command(subcommand)]
    Manager(manager::Verb),
    /// Join and run a gateway.
    #[command(subcommand)]
    Gateway(gateway::Verb),
    /// Show the targets that this gateway may access (its selection list).
    Targets(people::Ask),
    /// Open, list and close routing sessions.
    #[command(subcommand)]
    Session(people::Session),
    /// Say what conditions of the policy ask, at a gateway or at the manager.
    #[command(subcommand)]
    Fact(facts::Fact),
    /// Show who is in operation.
    Directory(people::Ask),
    /// Show the access record (at the manager).
    #[command(subcommand)]
    Record(people::Record),
    /// Build a policy's estate on this machine and try it with real packets.
    Lab(lab::Lab),
}

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| misused(&error));
    cli.color.choose();
    let result = match cli.verb {
        Verb::Policy(verb) => policy::run(verb),
        Verb::Manager(verb) => manager::run(verb),
        Verb::Gateway(verb) => gateway::run(verb),
        Verb::Targets(ask) => people::targets(&ask),
        Verb::Session(verb) => people::session(verb),
        Verb::Fact(verb) => facts::run(verb),
        Verb::Directory(ask) => people::directory(&ask),
        Verb::Record(verb) => people::record(verb),
        Verb::Lab(args) => lab::run(args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

/// Says what is wrong with the arguments, or the help that they ask for.
fn misused(error: &clap::Error) -> ! {
    // To `policy plan --exit-code`, 2 means that something widens.
    let words: Vec<String> = std::env::args().skip(1).collect();
    let plan = words.windows(2).any(|two| two == ["policy", "plan"]) && error.use_stderr();
    let code = if plan { i32::from(policy::plan::UNUSABLE) } else { error.exit_code() };
    // Where not even this can be written, the exit code has to do.
    let _ = error.print();
    std::process::exit(code)
}

/// Logs go to standard error; `RUST_LOG` chooses what.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,hickory_resolver=warn,hickory_proto=warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
