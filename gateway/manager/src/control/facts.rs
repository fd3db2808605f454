//! What the operator of the manager says: kept in the database, so that it outlives the manager.

use std::sync::Arc;

use session::facts::{FactChange, FactRow, FactSaid};
use session::{ApparatusId, Timestamp};
use tokio::sync::Mutex;

use crate::brain::{Brain, Said, Stopped};
use crate::clock;
use crate::store::{KeptFact, Store};

pub(crate) struct FactDesk {
    brain: Brain,
    store: Arc<Store>,
    /// One change after the other, so that brain and database end with the same.
    turn: Mutex<()>,
}

impl FactDesk {
    pub(crate) fn new(brain: Brain, store: Arc<Store>) -> Self {
        Self { brain, store, turn: Mutex::new(()) }
    }

    /// Takes a change, and gives the facts then. What is said holds once it is durable; what is
    /// withdrawn ends at once.
    pub(crate) async fn say(&self, about: Option<ApparatusId>, change: FactChange) -> Result<Vec<FactRow>, String> {
        let _turn = self.turn.lock().await;
        let stopped = |error: Stopped| error.to_string();
        match &change {
            FactChange::Set(FactSaid { name, value, lasts }) => {
                self.brain.fact(about.clone(), change.clone(), Said::Asked).await.map_err(stopped)??;
                let until = lasts.map(|lasts| {
                    let lasts = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
                    Timestamp(clock::wall().0.saturating_add(lasts))
                });
                let kept = KeptFact { name: name.clone(), about: about.clone(), value: value.clone(), until };
                let unkept = |error| format!("the fact does not hold, because it cannot be kept: {error}");
                self.store.keep_fact(&kept).await.map_err(unkept)?;
                self.brain.fact(about, change, Said::Meant).await.map_err(stopped)?
            }
            FactChange::Clear(name) => {
                let rows = self.brain.fact(about.clone(), change.clone(), Said::Meant).await.map_err(stopped)??;
                let kept = |error| format!("`{name}` is withdrawn, but it will be back after the next start: {error}");
                self.store.forget_fact(name, about.as_ref()).await.map_err(kept)?;
                Ok(rows)
            }
        }
    }

    pub(crate) async fn list(&self) -> Result<Vec<FactRow>, Stopped> {
        Ok(self.brain.facts().await?.0)
    }

    /// What the policy in force took from those who had said something, in words.
    pub(crate) async fn dropped(&self) -> Result<Vec<String>, Stopped> {
        Ok(self.brain.facts().await?.1)
    }
}
