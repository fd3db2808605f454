//! The process that proves: slices come in on standard input, what came of them goes out, a line of JSON each.
//! It is a process of its own because a solver may take for ever, and deep policies may use up any stack.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use cedar_policy::{EntityUid, PolicyId, PolicySet, RequestEnv, Schema};
use cedar_policy_symcc::solver::LocalSolver;
use cedar_policy_symcc::term::{Term, TermPrim};
use cedar_policy_symcc::term_type::TermType;
use cedar_policy_symcc::{
    CedarSymCompiler, CompiledPolicy, CompiledPolicySet, SymEnv, WellFormedAsserts, disjoint_asserts, implies_asserts,
    never_errors_asserts, term_factory,
};
use policy_lang::proof::{Counterexample, ERRS, Goal, OLD_ERRS, Policies, SINGLE_HOSTS, Slice};
use rustix::process::{Signal, getpgrp, getpid, kill_current_process_group};
use serde::{Deserialize, Serialize};

/// Thousands of policies in one target nest as deep as there are of them.
const STACK: usize = 512 * 1024 * 1024;
/// How much longer than its slice a solver may take: whoever waits for the slice ends it before, or
/// is not there to do so.
const GRACE: Duration = Duration::from_secs(5);

/// What came of a slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Proved,
    /// By this request, which has to be asked again for real.
    Found(Counterexample),
    Undecided(String),
}

/// The solver, and how long it may take.
struct Solver {
    program: String,
    limit: Duration,
}

/// Answers every line of standard input, and ends at its end.
pub(crate) fn run(cvc5: &str, timeout: Duration) -> anyhow::Result<()> {
    let solver = Solver { program: cvc5.to_owned(), limit: timeout.saturating_add(GRACE) };
    let (send, lines) = channel();
    std::thread::Builder::new().name("input".into()).spawn(move || listen(&send))?;
    let solving = std::thread::Builder::new().name("prover".into()).stack_size(STACK);
    let solving = solving.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(answer_all(&lines, &solver))
    })?;
    solving.join().map_err(|_| anyhow!("the prover failed"))?
}

/// Takes the lines as they come. Where there are no more, whoever asked has gone, however it ended,
/// and needs neither this process nor its solver.
fn listen(lines: &Sender<String>) {
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        if lines.send(line).is_err() {
            return;
        }
    }
    // Only a group that was made for this process and its solver.
    if getpgrp() == getpid() {
        // There is nobody to tell where it fails.
        let _ = kill_current_process_group(Signal::KILL);
    }
}

async fn answer_all(lines: &Receiver<String>, solver: &Solver) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    for line in lines {
        let slice: Slice = serde_json::from_str(&line)?;
        let outcome = solve(&slice, solver).await.unwrap_or_else(|error| Outcome::Undecided(format!("{error:#}")));
        serde_json::to_writer(&mut output, &outcome)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

/// A slice's environment: the request that stands for all requests.
struct Symbolic {
    schema: Schema,
    env: RequestEnv,
    symbols: SymEnv,
}

async fn solve(slice: &Slice, solver: &Solver) -> anyhow::Result<Outcome> {
    let mut symbolic = Symbolic::of(slice)?;
    match &slice.goal {
        Goal::Never { policies, condition } => {
            let parsed = symbolic.read(policies)?;
            let condition: PolicySet = condition.parse().context("the condition")?;
            let errs = symbolic.errs(&parsed, &policies.may_err)?;
            // A condition that cannot be evaluated is not known to be kept.
            let unknown = symbolic.errs(&condition, &[0])?;
            symbolic.set(ERRS, errs);
            symbolic.set(OLD_ERRS, unknown);
            let allowed = symbolic.compile(parsed, "forbid", ERRS)?;
            let never = symbolic.compile(condition, "permit", OLD_ERRS)?;
            decide(&disjoint_asserts(&allowed, &never), solver).await
        }
        Goal::NoWider { new, old } => {
            let (new_set, old_set) = (symbolic.read(new)?, symbolic.read(old)?);
            let errs = symbolic.errs(&new_set, &new.may_err)?;
            let old_errs = symbolic.errs(&old_set, &old.may_err)?;
            symbolic.set(ERRS, errs);
            symbolic.set(OLD_ERRS, old_errs);
            let (new, old) =
                (symbolic.compile(new_set, "forbid", ERRS)?, symbolic.compile(old_set, "forbid", OLD_ERRS)?);
            decide(&implies_asserts(&new, &old), solver).await
        }
        Goal::NoError { rule } => {
            let policy = cedar_policy::Policy::parse(None, rule).context("the rule")?;
            let Symbolic { schema, env, symbols } = symbolic;
            let policy = CompiledPolicy::compile_with_custom_symenv(&policy, &env, &schema, symbols)?;
            decide(&never_errors_asserts(&policy), solver).await
        }
    }
}

/// Asks the solver.
async fn decide(asserts: &WellFormedAsserts<'_>, solver: &Solver) -> anyhow::Result<Outcome> {
    let Solver { program, limit } = solver;
    let mut command = tokio::process::Command::new(program);
    command.args(["--lang", "smt", &format!("--tlimit={}", limit.as_millis())]).kill_on_drop(true);
    let solver = LocalSolver::from_command(&mut command);
    let mut compiler = CedarSymCompiler::new(solver.with_context(|| format!("`{program}` cannot be started"))?)?;
    let found = compiler.check_sat(asserts).await;
    let outcome = match found? {
        None => Outcome::Proved,
        Some(found) => {
            let principal = found.request.principal().ok_or_else(|| anyhow!("a request without a source"))?;
            let context = found.request.context().ok_or_else(|| anyhow!("a request without a context"))?;
            let principal = AsRef::<str>::as_ref(principal.id()).to_owned();
            Outcome::Found(Counterexample { principal, context: context.to_json_value()? })
        }
    };
    Ok(outcome)
}

impl Symbolic {
    fn of(slice: &Slice) -> anyhow::Result<Self> {
        let (schema, _) = Schema::from_cedarschema_str(&slice.schema)?;
        let action: EntityUid = format!("Action::\"{}\"", slice.action).parse()?;
        let resource: EntityUid = slice.resource.parse()?;
        let env = RequestEnv::new(slice.principal.parse()?, action, resource.type_name().clone());
        let mut symbols = SymEnv::new(&schema, &env)?;
        // The target is known: whatever is about another one falls away at once.
        symbols.request.resource = Term::Prim(TermPrim::Entity(resource));
        let context = symbols.request.context.clone();
        let TermType::Record { rty } = context.type_of() else { bail!("the context is no record") };
        let attributes = rty.keys().map(|name| (name.clone(), term_factory::record_get(context.clone(), name)));
        symbols.request.context = term_factory::record_of(attributes.collect::<Vec<_>>());
        let mut symbolic = Self { schema, env, symbols };
        let hosts = symbolic.single_hosts();
        symbolic.set(SINGLE_HOSTS, hosts);
        for errs in [ERRS, OLD_ERRS] {
            symbolic.set(errs, false.into());
        }
        Ok(symbolic)
    }

    /// Gives an attribute of the context its meaning.
    fn set(&mut self, name: &str, meaning: Term) {
        if let Term::Record(fields) = &mut self.symbols.request.context {
            Arc::make_mut(fields).insert(name.into(), meaning);
        }
    }

    /// Both addresses of a packet are those of single hosts, without a prefix.
    fn single_hosts(&self) -> Term {
        let Term::Record(fields) = &self.symbols.request.context else { return true.into() };
        let single = |name: &str| {
            let Some(address) = fields.get(name) else { return true.into() };
            let ip = term_factory::option_get(address.clone());
            let v4 = term_factory::is_none(term_factory::ext_ipaddr_prefix_v4(ip.clone()));
            let v6 = term_factory::is_none(term_factory::ext_ipaddr_prefix_v6(ip.clone()));
            let one = term_factory::ite(term_factory::ext_ipaddr_is_v4(ip), v4, v6);
            term_factory::or(term_factory::is_none(address.clone()), one)
        };
        term_factory::and(single("from"), single("to"))
    }

    fn read(&self, policies: &Policies) -> anyhow::Result<PolicySet> {
        Ok(policies.texts.join("\n").parse()?)
    }

    /// Whether one of these policies cannot be evaluated: a denial, where Cedar alone would leave
    /// the policy out.
    fn errs(&self, policies: &PolicySet, which: &[usize]) -> anyhow::Result<Term> {
        let mut any: Term = false.into();
        for n in which {
            let id = PolicyId::new(format!("policy{n}"));
            let policy = policies.policy(&id).ok_or_else(|| anyhow!("a policy is missing"))?;
            let symbols = self.symbols.clone();
            let policy = CompiledPolicy::compile_with_custom_symenv(policy, &self.env, &self.schema, symbols)?;
            // The last of them is the claim's opposite, after what holds of all entities.
            let fails = never_errors_asserts(&policy).asserts().last().cloned();
            any = term_factory::or(any, fails.ok_or_else(|| anyhow!("a policy without a meaning"))?);
        }
        Ok(any)
    }

    /// The policies, and what follows where they err.
    fn compile(&self, mut policies: PolicySet, effect: &str, errs: &str) -> anyhow::Result<CompiledPolicySet> {
        let policy = format!("{effect}(principal, action, resource) when {{ context[\"{errs}\"] }};");
        policies.add(cedar_policy::Policy::parse(Some(PolicyId::new(errs)), policy)?)?;
        let symbols = self.symbols.clone();
        Ok(CompiledPolicySet::compile_with_custom_symenv(&policies, &self.env, &self.schema, symbols)?)
    }
}
