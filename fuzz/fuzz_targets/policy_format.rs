//! Any text that can be read has a canonical form, which is its own, and of which nothing is lost.
//! The formatter compares syntax trees itself; what is asked here needs no parser.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy_lang::{FormatError, SourceFile, format};

fuzz_target!(|text: &str| {
    let once = match format(&SourceFile::new("a.gate", text)) {
        Ok(once) => once,
        Err(FormatError::Unreadable(diagnostics)) => {
            assert!(!diagnostics.is_empty());
            return;
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(format(&SourceFile::new("a.gate", once.as_str())).as_ref(), Ok(&once), "not stable");
    assert_eq!(visible(text), visible(&once), "{once}");
});

/// All characters that are no white space, in the order of their numbers because comments move.
fn visible(text: &str) -> Vec<char> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut visible: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    visible.sort_unstable();
    visible
}
