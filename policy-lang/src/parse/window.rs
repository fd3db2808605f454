//! Reads time windows and the `during` of rules.

use super::{Reader, Rule};
use crate::ast::{DuringDecl, TimeSpanDecl, WindowDecl};
use pest::iterators::Pair;

impl Reader<'_, '_> {
    pub(super) fn window(&mut self, pair: Pair<'_, Rule>) {
        let mut decl = WindowDecl { name: self.word(&pair), spans: None, from: vec![], until: vec![] };
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::word => decl.name = self.word(&part),
                Rule::window_body => decl.spans = Some(self.time_spans(part)),
                Rule::window_from => decl.from.push(self.inner_word(part)),
                Rule::window_until => decl.until.push(self.inner_word(part)),
                _ => {}
            }
        }
        self.ast.windows.push(decl);
    }

    pub(super) fn during(&self, pair: Pair<'_, Rule>) -> DuringDecl {
        DuringDecl { span: self.span(&pair), spans: self.time_spans(pair) }
    }

    fn time_spans(&self, pair: Pair<'_, Rule>) -> Vec<TimeSpanDecl> {
        let spans = pair.into_inner().filter(|p| p.as_rule() == Rule::time_span);
        let read = |span: Pair<'_, Rule>| {
            let mut parts = span.into_inner();
            let days = self.word(&parts.next()?);
            Some(TimeSpanDecl { days, times: parts.next().map(|p| self.word(&p)) })
        };
        spans.filter_map(read).collect()
    }
}
