//! What the manager says about its policy.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use policy_lang::{Apparatus, Fingerprint};
use tokio::sync::watch;
use wire::control::{GitRevision, PolicyMetrics, PolicyStatus, RefusedPolicy};
use wire::text::rfc3339;

use crate::brain::{Brain, Stopped};
use crate::policies::{Current, git_revision};

/// How many errors of a refused policy are told.
const TOLD: usize = 100;

/// Answers for the policy, and remembers where in Git each policy in force came from: once another
/// commit is checked out, nobody can say it any more.
#[derive(Clone)]
pub(crate) struct PolicyDesk {
    brain: Brain,
    policies: watch::Receiver<Current>,
    directory: PathBuf,
    git: Arc<Mutex<Option<(Fingerprint, Option<GitRevision>)>>>,
}

impl PolicyDesk {
    pub(crate) fn new(brain: Brain, policies: watch::Receiver<Current>, directory: &Path) -> Self {
        Self { brain, policies, directory: directory.to_owned(), git: Arc::default() }
    }

    /// Asks Git about each policy that takes effect, for as long as there is a manager.
    pub(crate) async fn remember(mut self) {
        let mut asked = None;
        loop {
            let in_force = *self.policies.borrow_and_update().policy.fingerprint();
            if asked != Some(in_force) {
                asked = Some(in_force);
                self.ask_git(in_force).await;
            }
            if self.policies.changed().await.is_err() {
                return;
            }
        }
    }

    async fn ask_git(&self, in_force: Fingerprint) -> Option<GitRevision> {
        let git = git_revision(&self.directory).await;
        let mut remembered = self.git.lock().unwrap_or_else(PoisonError::into_inner);
        *remembered = Some((in_force, git.clone()));
        git
    }

    pub(crate) async fn status(&self) -> Result<PolicyStatus, Stopped> {
        let current = self.policies.borrow().clone();
        let revision = *current.policy.fingerprint();
        let git = match current.refused {
            // A commit of what is in force changes no file, but where it stands.
            None => self.ask_git(revision).await,
            Some(_) => {
                let remembered = self.git.lock().unwrap_or_else(PoisonError::into_inner).clone();
                remembered.filter(|(of, _)| *of == revision).and_then(|(_, git)| git)
            }
        };
        let (targets, rules) = current.policy.size();
        Ok(PolicyStatus {
            directory: self.directory.display().to_string(),
            revision: revision.to_string(),
            git,
            since: rfc3339(current.since),
            gateways: current.policy.apparatuses().filter(|apparatus| Apparatus::is_gateway(apparatus)).count(),
            targets,
            rules,
            refused: current.refused.as_ref().map(|refused| RefusedPolicy {
                since: rfc3339(refused.since),
                revision: refused.revision.as_ref().map(Fingerprint::to_string),
                errors: refused.errors.iter().take(TOLD).cloned().collect(),
                total: refused.errors.len(),
            }),
            metrics: self.metrics(&current).await?,
        })
    }

    async fn metrics(&self, current: &Current) -> Result<PolicyMetrics, Stopped> {
        let [last, all] = self.brain.judged().await?;
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Ok(PolicyMetrics {
            reloads: current.loads.taken,
            refusals: current.loads.refused,
            last_load_ms: milliseconds(current.loads.took),
            last_felt_ms: current.loads.felt.map_or(0, milliseconds),
            sessions_decided: all.decided,
            sessions_cut: all.cut,
            sessions_shortened: all.shortened,
            sessions_narrowed: all.narrowed,
            last_cut: last.cut,
            last_shortened: last.shortened,
            last_narrowed: last.narrowed,
        })
    }
}
