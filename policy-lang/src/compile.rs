//! From files to a policy, for the first time and again.
//! A [`Compiler`] keeps what it knows of each file: after a change in some targets, only theirs is read and checked anew.

use crate::assert::Known;
use crate::ast::{Ast, TargetDecl};
use crate::check::{self, Ground, Reports};
use crate::diagnostic::{Code, Diagnostic};
use crate::fingerprint::{Digest, Fingerprint};
use crate::lower::world::World;
use crate::model::{ApparatusIx, Model, Target};
use crate::parse;
use crate::policy::Policy;
use crate::source::{SourceFile, Sources, Span};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

/// What came of compiling a policy.
#[derive(Debug)]
pub struct Compilation {
    /// The policy, unless there is an error.
    pub policy: Option<Policy>,
    /// All errors and warnings, by file and place.
    pub diagnostics: Vec<Diagnostic>,
}

/// Compiles a policy from all of its files, in any order; their paths decide.
pub fn compile(files: &[SourceFile]) -> Compilation {
    Compiler::new().compile(files)
}

/// Compiles a policy whose files change from time to time. What comes of it is what [`compile`]
/// makes of the same files; a change that touches nothing but targets costs as much as the files
/// in which it is.
#[derive(Default)]
pub struct Compiler {
    memo: Option<Memo>,
    /// What the nevers asked.
    pub(crate) known: Known,
}

/// What is remembered of the last run.
struct Memo {
    /// In path order.
    files: Vec<FileMemo>,
    ground: Ground,
    /// What the policy asserts about itself; it is checked in each run, against all targets.
    assertions: Ast,
    /// The ground's own reports.
    reports: Vec<Diagnostic>,
    /// Whether the ground is the same whatever stands in targets, and whatever cannot be read there.
    settled: bool,
    /// Made with the first policy on this ground.
    world: Option<Arc<World>>,
}

struct FileMemo {
    path: String,
    digest: [u8; 32],
    /// Of what stands outside of its targets.
    outside: [u8; 32],
    /// The labels of alerts that its conditions ask for.
    labels: BTreeSet<String>,
    /// Words of what could not be read.
    unread: HashSet<String>,
    /// The ids of its targets.
    ids: Vec<String>,
    /// What reading it reported.
    reports: Vec<Diagnostic>,
    /// What its targets mean; `None` before they are checked, and where another file has a block
    /// of one of them.
    checked: Option<Checked>,
    /// Whether what checking them reported depends on other files, so that they are checked in each run.
    entangled: bool,
}

/// What some targets mean.
struct Checked {
    targets: Vec<Arc<Target>>,
    literal_hosts: BTreeSet<(IpAddr, ApparatusIx)>,
    reports: Vec<Diagnostic>,
}

/// The targets of files that have just been read, by the file's place.
type Fresh = HashMap<usize, Vec<TargetDecl>>;

impl Compiler {
    /// A compiler that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Compiles all files of the policy as they are now.
    pub fn compile(&mut self, files: &[SourceFile]) -> Compilation {
        let sources = Sources::new(files);
        let digests: Vec<[u8; 32]> = sources.iter().map(Digest::of).collect();
        let again = self.memo.take().and_then(|memo| memo.again(&sources, &digests));
        let (mut memo, fresh) = again.unwrap_or_else(|| Memo::anew(&sources, &digests));
        let unread: HashSet<String> = memo.files.iter().flat_map(|file| &file.unread).cloned().collect();
        let linked = memo.check(&sources, &unread, fresh);
        let compilation = memo.compilation(&sources, &unread, linked, Fingerprint::of(digests.into_iter()));
        self.memo = Some(memo);
        compilation
    }
}

impl std::fmt::Debug for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let files = self.memo.as_ref().map_or(0, |memo| memo.files.len());
        f.debug_struct("Compiler").field("files", &files).finish_non_exhaustive()
    }
}

impl Memo {
    /// Reads every file, and checks what stands outside of targets.
    fn anew(sources: &Sources<'_>, digests: &[[u8; 32]]) -> (Self, Fresh) {
        let (mut files, mut fresh, mut ast) = (vec![], Fresh::new(), Ast::default());
        for (file, digest) in digests.iter().enumerate() {
            let (memo, read) = FileMemo::read(sources, file, *digest);
            files.push(memo);
            fresh.insert(file, ast.absorb(read));
        }
        let labels = files.iter().flat_map(|file| &file.labels).cloned().collect();
        let mut reports = Reports::new(sources, &ast.unread);
        let ground = check::ground(&ast, labels, &mut reports);
        let settled = reports.diagnostics.is_empty() && !reports.entangled;
        let reports = reports.diagnostics;
        let assertions = Ast { tests: ast.tests, nevers: ast.nevers, ..Ast::default() };
        (Self { files, ground, assertions, reports, settled, world: None }, fresh)
    }

    /// Reads what has changed; `None` where more than targets has.
    fn again(mut self, sources: &Sources<'_>, digests: &[[u8; 32]]) -> Option<(Self, Fresh)> {
        let same_paths = digests.len() == self.files.len()
            && sources.iter().zip(&self.files).all(|(source, file)| source.path == file.path);
        if !self.settled || !same_paths {
            return None;
        }
        let labels = |files: &[FileMemo]| files.iter().flat_map(|file| &file.labels).cloned().collect::<BTreeSet<_>>();
        let before = labels(&self.files);
        let mut fresh = Fresh::new();
        let mut read = |files: &mut Vec<FileMemo>, file: usize| {
            let (memo, ast) = FileMemo::read(sources, file, digests[file]);
            let same = memo.outside == files[file].outside;
            files[file] = memo;
            fresh.insert(file, Ast::default().absorb(ast));
            same
        };
        for (file, digest) in digests.iter().enumerate() {
            let memo = &self.files[file];
            let stale = memo.checked.is_none() || memo.entangled || memo.digest != *digest;
            if stale && !read(&mut self.files, file) {
                return None;
            }
        }
        if labels(&self.files) != before {
            return None;
        }
        for file in linked(&self.files) {
            if self.files[file].checked.is_some() {
                read(&mut self.files, file);
            }
        }
        Some((self, fresh))
    }

    /// Checks the targets that have just been read. Those of files that share one are checked
    /// together and in each run: what they mean is returned.
    fn check(&mut self, sources: &Sources<'_>, unread: &HashSet<String>, mut fresh: Fresh) -> Option<Checked> {
        let linked = linked(&self.files);
        let mut reports = Reports::new(sources, unread);
        let mut checked = None;
        for file in 0..self.files.len() {
            let is_linked = linked.contains(&file);
            if is_linked && linked.first() != Some(&file) {
                continue;
            }
            let together = if is_linked { linked.as_slice() } else { std::slice::from_ref(&file) };
            let targets: Vec<TargetDecl> = together.iter().filter_map(|file| fresh.remove(file)).flatten().collect();
            if targets.is_empty() && self.files[file].checked.is_some() {
                continue;
            }
            reports.entangled = false;
            let model = self.ground.targets(&Ast { targets, ..Ast::default() }, &mut reports);
            let Model { targets, literal_hosts, .. } = model;
            let unit = Checked { targets, literal_hosts, reports: std::mem::take(&mut reports.diagnostics) };
            if is_linked {
                checked = Some(unit);
            } else {
                self.files[file].checked = Some(unit);
                self.files[file].entangled = reports.entangled;
            }
        }
        checked
    }

    fn compilation(
        &mut self,
        sources: &Sources<'_>,
        unread: &HashSet<String>,
        linked: Option<Checked>,
        fingerprint: Fingerprint,
    ) -> Compilation {
        let checked = || self.files.iter().filter_map(|file| file.checked.as_ref()).chain(&linked);
        let reports = self.files.iter().flat_map(|file| &file.reports).chain(&self.reports);
        let mut diagnostics: Vec<Diagnostic> =
            reports.chain(checked().flat_map(|checked| &checked.reports)).cloned().collect();
        let mut model = Model::on(Arc::clone(&self.ground.base));
        for checked in checked() {
            model.targets.extend(checked.targets.iter().cloned());
            model.literal_hosts.extend(&checked.literal_hosts);
        }
        model.targets.sort_by_key(|target| target.at);
        let mut reports = Reports::new(sources, unread);
        self.ground.assertions(&self.assertions, &mut model, &mut reports);
        diagnostics.extend(reports.diagnostics);
        let mut policy = None;
        if !diagnostics.iter().any(Diagnostic::is_error) {
            match self.world.clone().map_or_else(|| World::new(&model).map(Arc::new), Ok) {
                Ok(world) => {
                    self.world = Some(Arc::clone(&world));
                    policy = Some(Policy::new(model, world, fingerprint));
                }
                Err(message) => {
                    let (code, at) = (Code::ConditionType, Span::new(0, 0, 0));
                    let error = sources.error(code, at, message, "Cedar refuses what this became");
                    let help = "this is a fault of the compiler; please report it with this file";
                    diagnostics.push(error.with_help(help));
                }
            }
        }
        sort(&mut diagnostics);
        Compilation { policy, diagnostics }
    }
}

impl FileMemo {
    fn read(sources: &Sources<'_>, file: usize, digest: [u8; 32]) -> (Self, Ast) {
        let mut reports = vec![];
        let parse::Read { ast, outside } = parse::parse(sources, file, &mut reports);
        let memo = Self {
            path: sources.path(file).to_owned(),
            digest,
            outside: outside.finish(),
            labels: check::labels(&ast),
            unread: ast.unread.clone(),
            ids: ast.targets.iter().map(|target| target.id.node.clone()).collect(),
            reports,
            checked: None,
            entangled: false,
        };
        (memo, ast)
    }
}

/// By file and place.
pub(crate) fn sort(diagnostics: &mut [Diagnostic]) {
    let place = |d: &Diagnostic| (d.span.start, d.severity, d.code);
    diagnostics.sort_by(|a, b| (&a.file, place(a)).cmp(&(&b.file, place(b))));
}

/// The files that have a target of which another file has a block too, in order.
fn linked(files: &[FileMemo]) -> Vec<usize> {
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut linked = BTreeSet::new();
    for (n, file) in files.iter().enumerate() {
        for id in &file.ids {
            let other = *first.entry(id).or_insert(n);
            if other != n {
                linked.extend([other, n]);
            }
        }
    }
    linked.into_iter().collect()
}
