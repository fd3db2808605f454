//! Any text that can be read has a canonical form, which is its own and compiles to the same diagnostics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy_lang::{Code, FormatError, SourceFile, compile, format};

fuzz_target!(|text: &str| {
    let file = SourceFile::new("a.gate", text);
    let once = match format(&file) {
        Ok(text) => SourceFile::new("a.gate", text),
        Err(FormatError::Unreadable(diagnostics)) => {
            assert!(!diagnostics.is_empty());
            return;
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(format(&once).as_ref(), Ok(&once.text), "not stable");
    assert_eq!(codes(&file), codes(&once), "{}", once.text);
});

/// All diagnostics without their places.
fn codes(file: &SourceFile) -> (bool, Vec<Code>) {
    let compilation = compile(std::slice::from_ref(file));
    let mut codes: Vec<Code> = compilation.diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
    codes.sort();
    (compilation.policy.is_some(), codes)
}
