//! `sallyport policy prove`: claims about a policy, each proved or refuted.
//! What a proof is about comes from `policy_lang::proof`; here are the processes, the cache, and what people read.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use policy_lang::proof::{Piece, Refutation, Slice};
use policy_lang::{Action, Policy, compile};

use super::{ERRORS, policy_of};
use crate::colour::{eprintln, print};
use crate::output::{Format, json};

mod cache;
mod checked;
pub(crate) mod claim;
mod pool;
mod worker;

use cache::Cache;
use claim::Counter;
pub(crate) use claim::lines;
pub(crate) use claim::{Claim, Verdict};
use pool::Pool;
use worker::Outcome;

/// Exit code where something is refuted.
const REFUTED: u8 = 1;
/// Exit code where nothing is refuted, but something is not decided.
const NOT_DECIDED: u8 = 4;
/// How deep policies may nest while slices are made of them.
const STACK: usize = 256 * 1024 * 1024;

/// What is said where there is no solver.
const GET_CVC5: &str = "install it with `apt install cvc5`, or set CVC5 to its path";

#[derive(Args)]
pub(crate) struct Prove {
    /// The directory of the policy.
    #[arg(required_unless_present = "worker")]
    directory: Option<PathBuf>,
    /// Also prove that the policy allows no more than this one, an earlier directory.
    #[arg(long, value_name = "DIRECTORY")]
    before: Option<PathBuf>,
    /// Also prove that nothing is ever allowed that meets this condition, a Cedar expression such
    /// as `principal in Group::"contractors" && !context.supervised`; may be given several times.
    #[arg(long, value_name = "CONDITION")]
    never: Vec<String>,
    #[command(flatten)]
    options: Options,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Prove what comes in on standard input, with this solver.
    #[arg(long, hide = true, value_name = "CVC5")]
    worker: Option<String>,
}

/// How claims are proved.
#[derive(Args, Clone)]
pub(crate) struct Options {
    /// How long one slice of a proof may take.
    #[arg(long, default_value = "60s", value_parser = limit)]
    timeout: Duration,
    /// Where proofs are kept, so that what is unchanged is not proved again; by default
    /// `sallyport/prove` among the user's caches.
    #[arg(long, value_name = "DIRECTORY")]
    cache: Option<PathBuf>,
    /// Prove everything anew, and keep nothing.
    #[arg(long, conflicts_with = "cache")]
    no_cache: bool,
}

fn limit(text: &str) -> Result<Duration, String> {
    let span: SignedDuration = text.parse().map_err(|_| format!("`{text}` is no time; write `60s` or `2min`"))?;
    Duration::try_from(span).ok().filter(|limit| !limit.is_zero()).ok_or_else(|| "the limit is zero".to_owned())
}

/// A time limit as people say it.
fn shown(limit: Duration) -> String {
    format!("{:#}", SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX))
}

pub(super) fn run(args: &Prove) -> anyhow::Result<ExitCode> {
    if let Some(cvc5) = &args.worker {
        worker::run(cvc5, args.options.timeout)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(directory) = &args.directory else { bail!("no directory") };
    let Some(policy) = policy_of(directory, compile)? else { return Ok(ExitCode::from(ERRORS)) };
    let before = match &args.before {
        None => None,
        Some(directory) => match policy_of(directory, compile)? {
            Some(policy) => Some(policy),
            None => return Ok(ExitCode::from(ERRORS)),
        },
    };
    let claims = told_of(Wanted { policy: &policy, before: before.as_ref(), nevers: &args.never }, &args.options)?;
    match args.format {
        Format::Json => json(&claims)?,
        Format::Text => print!("{}", lines(&claims))?,
    }
    Ok(exit_code(&claims))
}

/// All claims about a policy that follows another one.
pub(crate) fn claims(before: &Policy, policy: &Policy, options: &Options) -> anyhow::Result<Vec<Claim>> {
    told_of(Wanted { policy, before: Some(before), nevers: &[] }, options)
}

/// Proves, or checks where there is no solver.
fn told_of(wanted: Wanted<'_>, options: &Options) -> anyhow::Result<Vec<Claim>> {
    match Prover::find(options) {
        Ok(prover) => deep(|| prover.claims(wanted)),
        Err(missing) => {
            eprintln!("{missing}; {GET_CVC5}. Without it, claims are checked and not proved.");
            deep(|| checked::claims(wanted))
        }
    }
}

/// 0 where everything is proved or checked, 1 where something is refuted, 4 where something is
/// not decided.
fn exit_code(claims: &[Claim]) -> ExitCode {
    let any = |verdict: Verdict| claims.iter().any(|claim| claim.verdict == verdict);
    if any(Verdict::Refuted) {
        ExitCode::from(REFUTED)
    } else if any(Verdict::NotDecided) {
        ExitCode::from(NOT_DECIDED)
    } else {
        ExitCode::SUCCESS
    }
}

/// Runs what walks through conditions where there is room for the deepest of them.
fn deep<T: Send>(work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work)?;
        thread.join().map_err(|_| anyhow!("the claims could not be made"))?
    })
}

/// What is to be proved.
#[derive(Clone, Copy)]
struct Wanted<'p> {
    policy: &'p Policy,
    /// The earlier policy that allowed no less.
    before: Option<&'p Policy>,
    /// Further conditions that nothing allowed may meet.
    nevers: &'p [String],
}

/// A claim that is to be proved, in its pieces.
struct Open<'p> {
    claim: String,
    place: Option<String>,
    pieces: Vec<Piece>,
    /// The earlier policy, where the claim is about both.
    before: Option<&'p Policy>,
    /// Why it cannot be proved whatever comes of its pieces.
    notes: Vec<String>,
}

/// A solver, and what it proved before.
struct Prover {
    pool: Pool,
    cache: Cache,
}

impl Prover {
    /// The prover with `CVC5` or the `cvc5` of the search path; the error says what is missing.
    fn find(options: &Options) -> anyhow::Result<Self> {
        let cvc5 = std::env::var("CVC5").ok().filter(|path| !path.is_empty()).unwrap_or_else(|| "cvc5".into());
        let version = Command::new(&cvc5).arg("--version").output();
        let version = version.map_err(|error| anyhow!("the solver `{cvc5}` cannot be started ({error})"))?.stdout;
        if !String::from_utf8_lossy(&version).lines().next().is_some_and(|line| line.contains("cvc5")) {
            bail!("`{cvc5}` is not the solver cvc5");
        }
        let directory = match (&options.cache, options.no_cache) {
            (_, true) => None,
            (Some(directory), false) => Some(directory.clone()),
            (None, false) => Cache::usual(),
        };
        let program = std::env::current_exe().context("this program's own path")?;
        // A solver that cannot be told from another one is asked every time.
        let cache = match cache::identity(&cvc5, &version) {
            Ok(solver) => Cache::new(directory, solver),
            Err(error) => {
                tracing::debug!(%error, "there is no cache of proofs: the solver cannot be read");
                Cache::new(None, String::new())
            }
        };
        let pool = Pool { program, cvc5, timeout: options.timeout };
        Ok(Self { pool, cache })
    }

    /// All claims about a policy: each `never`, that no rule errs, and that it allows no more than
    /// an earlier one.
    fn claims(&self, wanted: Wanted<'_>) -> anyhow::Result<Vec<Claim>> {
        let policy = wanted.policy;
        let mut open = nevers(wanted)?;
        open.push(no_error(policy)?);
        if let Some(before) = wanted.before {
            let targets = policy.changed_targets(before).map_err(anyhow::Error::msg)?;
            open.extend(wider(before, policy, &targets));
        }
        self.decide(policy, open)
    }

    fn decide(&self, policy: &Policy, open: Vec<Open<'_>>) -> anyhow::Result<Vec<Claim>> {
        // Equal slices of several claims are one.
        let mut slices: Vec<&Slice> = open.iter().flat_map(|claim| &claim.pieces).map(|piece| &piece.slice).collect();
        let mut seen = std::collections::HashSet::new();
        slices.retain(|slice| seen.insert(*slice) && !self.cache.is_proved(slice));
        let outcomes = self.pool.decide(&slices);
        let outcomes: std::collections::HashMap<&Slice, &Outcome> = slices.iter().copied().zip(&outcomes).collect();
        for (slice, _) in outcomes.iter().filter(|(_, outcome)| ***outcome == Outcome::Proved) {
            self.cache.keep(slice);
        }
        let now = Timestamp::now();
        let around = now - SignedDuration::from_nanos_i128(now.as_nanosecond().rem_euclid(60_000_000_000));
        open.iter().map(|claim| told(policy, claim, &outcomes, around)).collect()
    }
}

/// What the outcomes of its pieces make of a claim.
fn told(
    policy: &Policy,
    open: &Open<'_>,
    outcomes: &std::collections::HashMap<&Slice, &Outcome>,
    around: Timestamp,
) -> anyhow::Result<Claim> {
    let (mut counterexamples, mut notes): (Vec<(Refutation, &Piece)>, _) = (vec![], open.notes.clone());
    for piece in &open.pieces {
        match outcomes.get(&piece.slice) {
            // It was proved before.
            None | Some(Outcome::Proved) => {}
            Some(Outcome::Undecided(why)) => notes.push(format!("{}: {why}", about(piece))),
            Some(Outcome::Found(found)) => {
                match policy.replayed(open.before, piece, found, around).map_err(anyhow::Error::msg)? {
                    Some(refutation) => {
                        if !counterexamples.iter().any(|(earlier, of)| says_the_same(earlier, of, &refutation, piece)) {
                            counterexamples.push((refutation, piece));
                        }
                    }
                    None => notes.push(format!("{}: the prover's counterexample is spurious", about(piece))),
                }
            }
        }
    }
    notes.dedup();
    let verdict = match (counterexamples.is_empty(), notes.is_empty()) {
        (false, _) => Verdict::Refuted,
        (true, false) => Verdict::NotDecided,
        (true, true) => Verdict::Proved,
    };
    let counterexamples = counterexamples.iter().map(|(refutation, _)| Counter::of(policy, refutation)).collect();
    let (claim, place) = (open.claim.clone(), open.place.clone());
    Ok(Claim { claim, place, verdict, counterexamples, notes })
}

/// Whether a counterexample tells a reader no more than an earlier one: an error of the same rules,
/// or the same action by somebody whom the earlier one names as well.
fn says_the_same(earlier: &Refutation, of: &Piece, later: &Refutation, piece: &Piece) -> bool {
    if !piece.rules.is_empty() {
        return of.rules == piece.rules;
    }
    (&of.target, &of.slice.action) == (&piece.target, &piece.slice.action)
        && earlier.asked.rules == later.asked.rules
        && earlier.others.contains(&later.question.source)
}

fn about(piece: &Piece) -> String {
    let rules: Vec<String> = piece.rules.iter().take(3).map(ToString::to_string).collect();
    let rules = if rules.is_empty() { String::new() } else { format!(" ({})", rules.join(", ")) };
    format!("{} at {} by a {}{rules}", piece.slice.action, piece.target, piece.slice.principal.to_lowercase())
}

fn nevers(wanted: Wanted<'_>) -> anyhow::Result<Vec<Open<'static>>> {
    let mut open = vec![];
    for never in wanted.policy.nevers() {
        let actions: Vec<&str> = never.actions().collect();
        let pieces = wanted.policy.never_pieces(never.cedar(), &actions).map_err(anyhow::Error::msg)?;
        let (claim, place) = (format!("never {:?}", never.name()), Some(never.place().to_string()));
        open.push(Open { claim, place, pieces, before: None, notes: vec![] });
    }
    for condition in wanted.nevers {
        let actions: Vec<&str> = actions(wanted.policy, condition)?.into_iter().map(Action::as_str).collect();
        let pieces = wanted.policy.never_pieces(condition, &actions).map_err(anyhow::Error::msg)?;
        let claim = format!("never {condition}");
        open.push(Open { claim, place: None, pieces, before: None, notes: vec![] });
    }
    Ok(open)
}

/// The actions of which a condition of the command line can be asked.
fn actions(policy: &Policy, condition: &str) -> anyhow::Result<Vec<Action>> {
    let actions = policy.actions_of(condition).map_err(anyhow::Error::msg);
    actions.with_context(|| format!("--never `{condition}`"))
}

fn no_error(policy: &Policy) -> anyhow::Result<Open<'static>> {
    let pieces = policy.error_pieces().map_err(anyhow::Error::msg)?;
    Ok(Open { claim: "no rule can err".into(), place: None, pieces, before: None, notes: vec![] })
}

/// One claim for each target whose policies differ, and one for all if none does.
fn wider<'p>(before: &'p Policy, policy: &Policy, targets: &[&str]) -> Vec<Open<'p>> {
    let mut open = vec![];
    for target in targets {
        let mut notes = policy.changed_meanings(before, target);
        let pieces = policy.wider_pieces(before, target).unwrap_or_else(|why| {
            notes.push(why);
            vec![]
        });
        if !pieces.is_empty() || !notes.is_empty() {
            let claim = format!("{target} allows no more than before");
            open.push(Open { claim, place: None, pieces, before: Some(before), notes });
        }
    }
    if open.is_empty() {
        let claim = "allows no more than before".to_owned();
        open.push(Open { claim, place: None, pieces: vec![], before: Some(before), notes: vec![] });
    }
    open
}
