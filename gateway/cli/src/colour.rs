//! Colours: only where a person looks at a terminal, and not where `NO_COLOR` is set.
//! What is printed with this module's `println!` and `eprintln!` loses its styles elsewhere:
//! `println!("{GREEN}+{GREEN:#} {name}")`.

pub(crate) use anstream::eprintln;

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;

/// What stands above other lines.
pub(crate) const HEADING: Style = Style::new().bold();
/// More is permitted than before; a test that passes.
pub(crate) const GREEN: Style = AnsiColor::Green.on_default();
/// Less is permitted than before; a test that fails.
pub(crate) const RED: Style = AnsiColor::Red.on_default();
/// No more is permitted, but the policy promises less.
pub(crate) const WEAKER: Style = AnsiColor::Yellow.on_default().bold();
/// Something is other than before, neither more nor less.
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default();

/// Exit code where an answer could not be printed: that of what cannot be read.
const LOST: i32 = 2;

/// When to use colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set; elsewhere if `CLICOLOR_FORCE` is.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

impl Colour {
    /// Makes it the choice of the whole process.
    pub(crate) fn choose(self) {
        match self {
            Colour::Auto => ColorChoice::Auto,
            Colour::Always => ColorChoice::AlwaysAnsi,
            Colour::Never => ColorChoice::Never,
        }
        .write_global();
    }
}

/// Prints to standard output. Where nobody reads any more (`sallyport … | head`) the rest is left
/// unsaid, and the verb ends as it would; an answer that gets lost otherwise is an error.
macro_rules! out {
    ($($said:tt)*) => { $crate::colour::say(format_args!($($said)*)) };
}

/// The same with an end of line.
macro_rules! outln {
    ($($said:tt)*) => { $crate::colour::say(format_args!("{}\n", format_args!($($said)*))) };
}

pub(crate) use {out as print, outln as println};

pub(crate) fn say(text: Arguments<'_>) {
    match anstream::stdout().lock().write_fmt(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("error: standard output: {error}");
            std::process::exit(LOST);
        }
        _ => {}
    }
}

/// Whether standard error takes colours.
pub(crate) fn on_stderr() -> bool {
    AutoStream::choice(&std::io::stderr()) != ColorChoice::Never
}
