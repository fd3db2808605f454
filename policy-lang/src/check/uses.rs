//! Checks of `use`: every file that is named has to be there, and none may lead back to itself.

use super::Checker;
use crate::ast::{Ast, UseDecl};
use crate::diagnostic::Code;
use crate::uses::normalised;
use std::collections::HashMap;

impl Checker<'_, '_> {
    pub(super) fn uses(&mut self, ast: &Ast) {
        if ast.uses.is_empty() {
            return;
        }
        let paths: Vec<&str> = self.sources.iter().map(|file| file.path.as_str()).collect();
        let by_path: HashMap<&str, usize> = paths.iter().enumerate().map(|(n, path)| (*path, n)).collect();
        let mut edges: Vec<Vec<(usize, &UseDecl)>> = vec![vec![]; paths.len()];
        for decl in &ast.uses {
            let from = decl.path.span.file as usize;
            let written = &decl.path.node;
            match normalised(paths.get(from).copied().unwrap_or_default(), written) {
                Err(help) => {
                    let message = format!("`{written}` cannot be used");
                    self.report(Code::BadUse, decl.path.span, message, "not a path of a policy file", Some(help));
                }
                Ok(path) => match by_path.get(path.as_str()) {
                    Some(to) => edges[from].push((*to, decl)),
                    None => {
                        let message = format!("there is no file `{path}`");
                        let help = self
                            .suggest(&path, paths.iter().copied())
                            .unwrap_or_else(|| "the path counts from the file that says it".to_owned());
                        self.report(Code::BadUse, decl.path.span, message, "used here", Some(help));
                    }
                },
            }
        }
        self.circles(&edges, &paths);
    }

    /// Walks from each file; an edge to a file that is still being walked closes a circle.
    fn circles(&mut self, edges: &[Vec<(usize, &UseDecl)>], paths: &[&str]) {
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            New,
            Open,
            Done,
        }
        let mut states = vec![State::New; edges.len()];
        for start in 0..edges.len() {
            // The files from the start to where the walk is, each with how many of its edges were taken.
            let mut way: Vec<(usize, usize)> = vec![];
            if states[start] == State::New {
                states[start] = State::Open;
                way.push((start, 0));
            }
            while let Some((at, taken)) = way.last_mut() {
                let at = *at;
                let Some((to, decl)) = edges[at].get(*taken) else {
                    states[at] = State::Done;
                    way.pop();
                    continue;
                };
                *taken += 1;
                match states[*to] {
                    State::New => {
                        states[*to] = State::Open;
                        way.push((*to, 0));
                    }
                    State::Open => {
                        let round = way.iter().map(|(file, _)| *file).skip_while(|file| file != to);
                        let names: Vec<String> = round.chain([*to]).map(|file| format!("`{}`", paths[file])).collect();
                        let message = format!("`{}` leads back to itself", paths[*to]);
                        let help = format!("the way around is {}; take one of these out", names.join(" -> "));
                        self.report(Code::UseCycle, decl.path.span, message, "closes the circle", Some(help));
                    }
                    State::Done => {}
                }
            }
        }
    }
}
