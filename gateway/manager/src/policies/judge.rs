//! Whether a policy is good enough to take effect: the one place that says what is asked of it.

use policy_lang::{Compilation, SourceFile};

/// Judges a policy. What comes of it takes effect if, and only if, it holds a policy.
pub(super) fn judge(files: &[SourceFile]) -> Compilation {
    policy_lang::compile(files)
}
