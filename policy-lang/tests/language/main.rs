//! The language as its users see it: fixtures, decisions, laws, and the page that describes it.

mod again;
mod common;
mod decisions;
mod docs;
mod fixtures;
mod laws;
mod plans;
mod tests_block;
