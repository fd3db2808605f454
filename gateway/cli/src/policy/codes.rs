//! `sallyport policy check --explain`: what a code means, and how to mend it.

use std::io;
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use policy_lang::{Code, Explanation, Severity};
use serde::Serialize;
use textwrap::Options;

use super::CheckFormat;
use crate::colour::{HEADING, RED, YELLOW, println};
use crate::output::json;

/// A code for programs.
#[derive(Serialize)]
struct Explained {
    code: Code,
    severity: Severity,
    meaning: &'static str,
    #[serde(flatten)]
    explanation: Option<Explanation>,
}

impl Explained {
    fn of(code: Code) -> Self {
        Self { code, severity: code.severity(), meaning: code.meaning(), explanation: code.explanation() }
    }
}

/// Explains a code, or lists all of them.
pub(super) fn explain(word: &str, format: CheckFormat) -> anyhow::Result<ExitCode> {
    let all = word.eq_ignore_ascii_case("all");
    match format {
        CheckFormat::Text if all => Code::ALL.iter().copied().try_for_each(headline)?,
        CheckFormat::Text => print(one(word)?)?,
        CheckFormat::Json if all => json(&Code::ALL.iter().copied().map(Explained::of).collect::<Vec<_>>())?,
        CheckFormat::Json => json(&Explained::of(one(word)?))?,
        CheckFormat::Sarif | CheckFormat::Github => bail!("an explanation is printed as `text` or `json`"),
    }
    Ok(ExitCode::SUCCESS)
}

fn one(word: &str) -> anyhow::Result<Code> {
    word.parse().map_err(|unknown| anyhow!("{unknown} (`--explain all` lists them)"))
}

/// `P014  error    an unknown gateway or client`
fn headline(code: Code) -> io::Result<()> {
    let severity = code.severity();
    let style = match severity {
        Severity::Error => RED,
        Severity::Warning => YELLOW,
    };
    println!("{HEADING}{code}{HEADING:#}  {style}{:<7}{style:#}  {}", severity.to_string(), code.meaning())
}

fn print(code: Code) -> io::Result<()> {
    headline(code)?;
    let Some(Explanation { about, example, mend, mended }) = code.explanation() else { return Ok(()) };
    prose(about)?;
    policy(example)?;
    prose(mend)?;
    policy(mended)
}

fn prose(text: &str) -> io::Result<()> {
    println!("\n{}", textwrap::fill(text, Options::new(100).break_words(false)))
}

fn policy(text: &str) -> io::Result<()> {
    println!("\n{}", textwrap::indent(text, "    ").trim_end())
}
