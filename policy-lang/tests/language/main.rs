//! The language as its users see it: fixtures, decisions, laws, and the page that describes it.

mod again;
mod cedar;
mod common;
mod decisions;
mod depth;
mod docs;
mod explain;
mod fixtures;
mod format;
mod laws;
mod plans;
mod tests_block;
