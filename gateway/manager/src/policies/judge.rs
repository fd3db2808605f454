//! Whether a policy is good enough to take effect: the one place that says what is asked of it.

use std::sync::{Arc, Mutex};

use policy_lang::{Compilation, Compiler, SourceFile};

/// Judges policies, each quickly that differs little from the one before.
#[derive(Clone, Default, Debug)]
pub(super) struct Judge(Arc<Mutex<Compiler>>);

impl Judge {
    /// Compiles a policy and runs its tests and nevers. It takes effect if, and only if, what comes
    /// of it holds a policy.
    pub(super) fn judge(&self, files: &[SourceFile]) -> Compilation {
        let mut compiler = self.0.lock().unwrap_or_else(|broken| {
            // It broke off in the middle: what it remembers may be anything.
            self.0.clear_poison();
            let mut compiler = broken.into_inner();
            *compiler = Compiler::new();
            compiler
        });
        compiler.load(files)
    }
}
