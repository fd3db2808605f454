//! `sallyport policy fmt`: canonical text for whole policies, single files, and editors.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use manager::ReadError;
use policy_lang::{Diagnostic, FormatError, SourceFile};
use serde::Serialize;
use similar::TextDiff;

use super::{ERRORS, UNUSABLE, findings, render};
use crate::colour::eprintln;
use crate::output::{self, printable, visible};
use crate::report::{Finding, Level, Region, Root, Rule, github, sarif};

mod replace;

/// The path that stands for standard input and output.
const STANDARD: &str = "-";
/// The most that one file may hold, as much as a whole policy.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Args)]
pub(crate) struct Fmt {
    /// Directories of policies and single files; `-` takes standard input to standard output.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Write nothing: show what would change, and exit with 1 if anything would.
    #[arg(long)]
    check: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The form of the result.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
enum Format {
    /// For people: what would change, as `diff -u` shows it.
    #[default]
    Text,
    /// For programs.
    Json,
    /// SARIF 2.1.0, for code scanning and editors.
    Sarif,
    /// Annotations of a pull request, as commands of a GitHub workflow.
    Github,
}

pub(crate) fn run(args: &Fmt) -> anyhow::Result<ExitCode> {
    let mut out = output::raw();
    let code = if args.paths.iter().any(|path| path.as_os_str() == STANDARD) {
        ensure!(args.paths.len() == 1, "`{STANDARD}` is standard input, and stands alone");
        ensure!(args.format == Format::Text, "standard input becomes text; `--format` is for files");
        let bytes = bounded(io::stdin().lock()).context("standard input cannot be read")?;
        standard(args.check, bytes, &mut out)?
    } else {
        files(args, &mut out)?
    };
    out.flush()?;
    Ok(ExitCode::from(code))
}

/// All that there is to read, unless it is more than a policy may hold.
fn bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it holds more than 64 MiB"));
    }
    Ok(bytes)
}

/// Standard input to `out`; the exit code.
fn standard(check: bool, bytes: Vec<u8>, out: &mut impl Write) -> anyhow::Result<u8> {
    let source = match SourceFile::from_bytes("standard input", bytes) {
        Ok(source) => source,
        Err(diagnostic) => return Ok(unreadable(&[], &[*diagnostic])),
    };
    match policy_lang::format(&source) {
        Ok(canonical) if check => {
            write!(out, "{}", diff(&source, &canonical))?;
            Ok(if canonical == source.text { 0 } else { ERRORS })
        }
        Ok(canonical) => {
            out.write_all(canonical.as_bytes())?;
            Ok(0)
        }
        Err(FormatError::Unreadable(diagnostics)) => Ok(unreadable(&[source], &diagnostics)),
        Err(error) => Err(error.into()),
    }
}

/// What became of a file, for programs.
#[derive(Debug, Serialize)]
struct Outcome {
    file: String,
    /// Whether its text was canonical before: with `--check` it would change, else it has changed.
    changed: bool,
    /// Why it has no canonical text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    diagnostics: Vec<Diagnostic>,
    /// Why it is as it was, though it should have changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// All files of all paths; the exit code. What is wrong with one leaves the others their turn.
fn files(args: &Fmt, out: &mut impl Write) -> anyhow::Result<u8> {
    let Gathered { sources, no_text } = gather(&args.paths)?;
    let mut outcomes = Vec::with_capacity(sources.len());
    for source in &sources {
        let mut outcome = Outcome { file: source.path.clone(), changed: false, diagnostics: Vec::new(), error: None };
        match policy_lang::format(source) {
            Ok(canonical) if canonical == source.text => {}
            Ok(canonical) if args.check => {
                outcome.changed = true;
                if args.format == Format::Text {
                    write!(out, "{}", diff(source, &canonical))?;
                }
            }
            Ok(canonical) => match replace::replace(Path::new(&source.path), &source.text, &canonical) {
                Ok(()) => outcome.changed = true,
                Err(error) => outcome.error = Some(format!("{error:#}")),
            },
            Err(FormatError::Unreadable(diagnostics)) => outcome.diagnostics = diagnostics,
            Err(error) => outcome.error = Some(error.to_string()),
        }
        outcomes.push(outcome);
    }
    for diagnostic in no_text {
        let file = diagnostic.file.clone();
        outcomes.push(Outcome { file, changed: false, diagnostics: vec![diagnostic], error: None });
    }
    match args.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string(&outcomes)?)?,
        Format::Text => tell(args.check, &sources, &outcomes, out)?,
        Format::Sarif => writeln!(out, "{}", sarif::log(&found(args.check, &sources, &outcomes)?))?,
        Format::Github => write!(out, "{}", github::commands(&found(args.check, &sources, &outcomes)?))?,
    }
    Ok(if outcomes.iter().any(|outcome| outcome.error.is_some()) {
        UNUSABLE
    } else if outcomes.iter().any(|outcome| !outcome.diagnostics.is_empty() || (args.check && outcome.changed)) {
        ERRORS
    } else {
        0
    })
}

/// What became of the files, for people.
fn tell(check: bool, sources: &[SourceFile], outcomes: &[Outcome], out: &mut impl Write) -> io::Result<()> {
    let changed: Vec<&str> = outcomes.iter().filter(|o| o.changed).map(|o| o.file.as_str()).collect();
    if !check {
        for file in &changed {
            writeln!(out, "formatted {}", printable(file))?;
        }
    }
    let all = outcomes.len();
    let files = if all == 1 { "file" } else { "files" };
    match (check, changed.len()) {
        (_, 0) if outcomes.iter().all(|o| o.diagnostics.is_empty() && o.error.is_none()) => {
            writeln!(out, "{all} {files}, all canonical")?;
        }
        (true, n) => writeln!(out, "{all} {files}, {n} would change")?,
        (false, n) => writeln!(out, "{all} {files}, {n} changed")?,
    }
    out.flush()?;
    let diagnostics: Vec<Diagnostic> = outcomes.iter().flat_map(|o| o.diagnostics.iter().cloned()).collect();
    unreadable(sources, &diagnostics);
    for error in outcomes.iter().filter_map(|o| o.error.as_ref()) {
        eprintln!("error: {}", printable(error));
    }
    Ok(())
}

/// Files that cannot be read, that are not canonical, or could not be written.
fn found(check: bool, sources: &[SourceFile], outcomes: &[Outcome]) -> io::Result<Vec<Finding>> {
    let root = Root::of_this_run()?;
    let finding = |outcome: &Outcome, message: &str, help: Option<String>, region| Finding {
        rule: Rule { id: "fmt".into(), summary: "a file that is not in canonical form".into(), help: None },
        level: Level::Error,
        message: message.to_owned(),
        help,
        file: root.file(Path::new(""), &outcome.file),
        region,
    };
    let mut found = Vec::new();
    for outcome in outcomes {
        found.extend(findings::of(Path::new(""), &outcome.diagnostics)?);
        if let Some(error) = &outcome.error {
            found.push(finding(outcome, error, None, None));
        }
        if check && outcome.changed {
            let source = sources.iter().find(|source| source.path == outcome.file);
            let help = format!("`sallyport policy fmt {}` writes it", outcome.file);
            let region = source.and_then(first_change);
            found.push(finding(outcome, "this is not in canonical form", Some(help), region));
        }
    }
    Ok(found)
}

/// The first line that would change.
fn first_change(source: &SourceFile) -> Option<Region> {
    let canonical = policy_lang::format(source).ok()?;
    let same = source.text.split('\n').zip(canonical.split('\n')).take_while(|(old, new)| old == new).count();
    let lines = source.text.lines().count().max(1);
    let line = (same + 1).min(lines);
    let length = source.text.lines().nth(line - 1).map_or(0, |line| line.chars().count());
    Some(Region { line, column: 1, end_line: line, end_column: length + 1 })
}

/// Draws what cannot be read.
fn unreadable(sources: &[SourceFile], diagnostics: &[Diagnostic]) -> u8 {
    // Sources are named by their whole paths here.
    render::all(Path::new(""), sources, diagnostics);
    ERRORS
}

/// The files to format, named by the paths under which they are found.
#[derive(Debug, Default)]
struct Gathered {
    sources: Vec<SourceFile>,
    no_text: Vec<Diagnostic>,
}

fn gather(paths: &[PathBuf]) -> anyhow::Result<Gathered> {
    let mut gathered = Gathered::default();
    for path in paths {
        gathered.path(path)?;
    }
    // A file that several paths lead to is formatted once.
    let mut seen = BTreeSet::new();
    let real = |path: &str| fs::canonicalize(path).unwrap_or_else(|_| path.into());
    gathered.sources.retain(|source| seen.insert(real(&source.path)));
    Ok(gathered)
}

impl Gathered {
    /// A policy's files as `policy check` finds them, or the one file that a path leads to.
    fn path(&mut self, path: &Path) -> anyhow::Result<()> {
        if let Ok(metadata) = fs::metadata(path)
            && !metadata.is_dir()
        {
            // A pipe would be waited for, a device has no end.
            ensure!(metadata.is_file(), "`{}` is no regular file", path.display());
            let bytes = fs::File::open(path).and_then(bounded);
            let bytes = bytes.with_context(|| format!("`{}` cannot be read", path.display()))?;
            match SourceFile::from_bytes(path.display().to_string(), bytes) {
                Ok(source) => self.sources.push(source),
                Err(diagnostic) => self.no_text.push(*diagnostic),
            }
            return Ok(());
        }
        let below = |file: &str| path.join(file).display().to_string();
        match manager::read_policies(path) {
            Ok(sources) => {
                // What a policy takes from outside of its directory is not its own to format.
                let own = sources.into_iter().filter(|source| !source.path.starts_with("../"));
                self.sources.extend(own.map(|s| SourceFile::new(below(&s.path), s.text)));
            }
            Err(ReadError::NoText(diagnostics)) => {
                self.no_text.extend(diagnostics.into_iter().map(|d| Diagnostic { file: below(&d.file), ..d }));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// What would change, as `diff -u` shows it; empty if nothing would.
fn diff(source: &SourceFile, canonical: &str) -> String {
    let diff = TextDiff::from_lines(source.text.as_str(), canonical);
    visible(&diff.unified_diff().context_radius(3).header(&source.path, &source.path).to_string())
}

#[cfg(test)]
mod tests;
