//! Holds in the database: what an administrator holds, a restart does not release.

use access::HoldChange;
use session::Timestamp;
use session::hold::{Hold, Scope};
use sqlx::Row;

use super::{Store, StoreError, damaged, text};

impl Store {
    /// The holds in force, the oldest first.
    pub async fn holds(&self) -> Result<Vec<Hold>, StoreError> {
        let rows = sqlx::query(
            "select scope, apparatus, held_by, reason, since from hold where released_at is null \
             order by since, scope, apparatus",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Hold {
                    scope: scope(&text(row, 0)?, &text(row, 1)?)?,
                    by: text(row, 2)?,
                    reason: text(row, 3)?,
                    since: Timestamp(row.try_get(4).map_err(damaged)?),
                })
            })
            .collect()
    }

    /// Makes a change of the holds durable. The same again changes nothing.
    pub async fn change_hold(&self, change: &HoldChange) -> Result<(), StoreError> {
        let query = match change {
            HoldChange::Held(Hold { scope, by, since, reason }) => sqlx::query(
                "insert into hold (scope, apparatus, since, held_by, reason) values (?, ?, ?, ?, ?) \
                 on conflict (scope, apparatus, since) do update set held_by = excluded.held_by, \
                 reason = excluded.reason, released_at = null, released_by = null",
            )
            .bind(kind(scope))
            .bind(apparatus(scope))
            .bind(since.0)
            .bind(by.as_str())
            .bind(reason.as_str()),
            HoldChange::Released { scope, by, at } => sqlx::query(
                "update hold set released_at = ?, released_by = ? \
                 where scope = ? and apparatus = ? and released_at is null",
            )
            .bind(at.0)
            .bind(by.as_str())
            .bind(kind(scope))
            .bind(apparatus(scope)),
        };
        query.execute(&self.pool).await?;
        Ok(())
    }
}

fn kind(scope: &Scope) -> &'static str {
    match scope {
        Scope::All => "all",
        Scope::Target(_) => "target",
        Scope::Source(_) => "source",
    }
}

fn apparatus(scope: &Scope) -> &str {
    scope.apparatus().map_or("", |id| id.as_str())
}

fn scope(kind: &str, apparatus: &str) -> Result<Scope, StoreError> {
    let id = || apparatus.parse().map_err(damaged);
    match kind {
        "all" => Ok(Scope::All),
        "target" => Ok(Scope::Target(id()?)),
        "source" => Ok(Scope::Source(id()?)),
        kind => Err(damaged(format!("a hold has the scope `{kind}`"))),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[tokio::test]
    async fn holds_outlive_a_restart_until_they_are_released() {
        let data = TempDir::new().expect("directory");
        let store = Store::create(data.path()).await.expect("store");
        assert_eq!(store.holds().await, Ok(vec![]));
        let id = || "rs-1@abc.net".parse().expect("id");
        let hold = |scope, since| Hold { scope, by: "root".into(), since: Timestamp(since), reason: "works".into() };
        let held = [hold(Scope::All, 1), hold(Scope::Source(id()), 2), hold(Scope::Target(id()), 2)];
        for change in held.iter().chain(&held) {
            store.change_hold(&HoldChange::Held(change.clone())).await.expect("written");
        }
        store.close().await;
        let store = Store::open(data.path()).await.expect("store");
        assert_eq!(store.holds().await.as_deref(), Ok(&held[..]));

        let release = |scope| HoldChange::Released { scope, by: "anna".into(), at: Timestamp(3) };
        for scope in [Scope::All, Scope::Target(id()), Scope::All] {
            store.change_hold(&release(scope)).await.expect("written");
        }
        assert_eq!(store.holds().await.as_deref(), Ok(&held[1..2]));
        // Held again within the same millisecond is held.
        store.change_hold(&HoldChange::Held(held[0].clone())).await.expect("written");
        assert_eq!(store.holds().await.as_deref(), Ok(&held[..2]));
        store.close().await;
    }
}
