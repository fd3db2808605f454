//! `sallyport fact`: say what conditions ask, and see what is said.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use session::ApparatusId;
use session::facts::FactRow;
use wire::control::{ControlRequest, Whose};

use crate::colour::println;
use crate::output::{duration, printable, table};
use crate::people::{Ask, show};

/// Facts: what the policy's conditions ask and somebody has to say.
#[derive(Subcommand)]
pub(crate) enum Fact {
    /// Say a fact. At a gateway: one that the policy has `set by target`, for sessions to this gateway
    /// and its clients, or `set by source`, for those that it opens. At the manager: one of the
    /// `operator` or the `manager`.
    Set {
        /// Its name.
        name: String,
        /// Its value: `true`, `15`, `night`, `10.0.0.0/8`, `["a", "b"]`.
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// For how long: `90s`, `15min`, `1h`; until it is cleared if nothing is said.
        #[arg(long = "for", value_name = "DURATION", value_parser = crate::manager::duration)]
        lasts: Option<Duration>,
        /// For sessions to this target only (at the manager).
        #[arg(long, value_name = "ID")]
        about: Option<ApparatusId>,
        #[command(flatten)]
        ask: Ask,
    },
    /// Say a fact no longer: it has its default again.
    Clear {
        /// Its name.
        name: String,
        /// What was said of this target only (at the manager).
        #[arg(long, value_name = "ID")]
        about: Option<ApparatusId>,
        #[command(flatten)]
        ask: Ask,
    },
    /// Show the facts of the policy, who may say them, and what is said.
    List {
        #[command(flatten)]
        ask: Ask,
    },
}

pub(crate) fn run(verb: Fact) -> anyhow::Result<ExitCode> {
    match verb {
        Fact::Set { name, value, lasts, about, ask } => {
            let milliseconds = lasts.map(|lasts| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX));
            let request = ControlRequest::FactSet { name: name.clone(), value, milliseconds, about: about.clone() };
            show(&ask, Whose::Gateway, &request, |rows| print_one(rows, &name, about.as_ref()))
        }
        Fact::Clear { name, about, ask } => {
            let request = ControlRequest::FactClear { name: name.clone(), about: about.clone() };
            show(&ask, Whose::Gateway, &request, |rows| print_one(rows, &name, about.as_ref()))
        }
        Fact::List { ask } => show(&ask, Whose::Gateway, &ControlRequest::FactList, print_all),
    }
}

/// What the fact is now.
fn print_one(rows: &Vec<FactRow>, name: &str, about: Option<&ApparatusId>) -> io::Result<()> {
    let mut ours = rows.iter().filter(|row| row.name == name);
    let said = ours.clone().find(|row| row.said_by.is_some() && row.about.as_ref() == about);
    match (said, ours.next()) {
        (Some(row), _) => println!("`{}` is {}, {}", printable(name), printable(&row.value), until(row)),
        (None, Some(row)) if row.said_by.is_none() => {
            println!("`{}` is {}, its default", printable(name), printable(&row.value))
        }
        (None, _) => println!("`{}` is cleared", printable(name)),
    }
}

fn print_all(rows: &Vec<FactRow>) -> io::Result<()> {
    let row = |row: &FactRow| {
        [
            row.name.clone(),
            row.kind.clone(),
            row.value.clone(),
            row.set_by.clone(),
            row.said_by.clone().unwrap_or_else(|| "-".into()),
            row.about.as_ref().map_or("-".into(), ToString::to_string),
            if row.said_by.is_some() { until(row) } else { "-".into() },
        ]
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    table(["Fact", "Type", "Value", "Set by", "Said by", "About", "Holds"], &rows)
}

fn until(row: &FactRow) -> String {
    row.left_seconds.map_or("until it is cleared".into(), |left| format!("for {}", duration(left)))
}
