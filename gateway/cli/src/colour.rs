//! Colours: only where a person looks at a terminal, and not where `NO_COLOR` is set.
//! What is printed with this module's `println!` and `eprintln!` loses its styles elsewhere:
//! `println!("{GREEN}+{GREEN:#} {name}")?`. To standard output it may fail; what standard error
//! does not take is lost, since there is nobody left to tell.

macro_rules! say {
    ($($words:tt)*) => { $crate::output::say(format_args!($($words)*)) };
}
macro_rules! say_line {
    ($($words:tt)*) => { $crate::output::say(format_args!("{}\n", format_args!($($words)*))) };
}
macro_rules! tell_line {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(anstream::stderr().lock(), $($words)*);
    }};
}
pub(crate) use {say as print, say_line as println, tell_line as eprintln};

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

/// Whether standard error takes colours.
pub(crate) fn on_stderr() -> bool {
    AutoStream::choice(&std::io::stderr()) != ColorChoice::Never
}
