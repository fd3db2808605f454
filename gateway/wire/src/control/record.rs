//! What is asked of the access record, and how a long answer is divided: a manager answers with a
//! page at a time, and the asker goes on from where it ended.

use serde::{Deserialize, Serialize};
use session::record::Record;
use session::{ApparatusId, SessionId, Timestamp};

/// Which access records are asked for. Left out means no condition; all of the conditions hold.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordQuery {
    /// The access request source or the access request destination.
    pub apparatus: Option<ApparatusId>,
    /// Accesses that were not yet over at this moment, or have not ended at all.
    pub since: Option<Timestamp>,
    /// Accesses that were asked for before this moment.
    pub until: Option<Timestamp>,
    /// Accesses whose last state is one of these, in the words of `RecordState::as_str`; empty for
    /// any.
    pub states: Vec<String>,
    /// Accesses with a higher number than this.
    pub after: Option<SessionId>,
    /// Accesses with a lower number than this.
    pub before: Option<SessionId>,
    /// Which records make the page if there are more: the newest rather than the oldest.
    pub newest: bool,
    /// How many records make a page at most; the manager may give fewer, but not none.
    pub limit: Option<u32>,
}

impl RecordQuery {
    /// What to ask for after `page`, which answered this; nothing if there is no more.
    pub fn next(self, page: &RecordPage) -> Option<Self> {
        if !page.more {
            return None;
        }
        let (first, last) = (page.records.first()?.session, page.records.last()?.session);
        Some(if self.newest { Self { before: Some(first), ..self } } else { Self { after: Some(last), ..self } })
    }
}

/// Some of the records that were asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RecordPage {
    /// By number, the oldest first, whichever page it is.
    pub records: Vec<Record>,
    /// Whether there are more: older ones if the newest were asked for, otherwise newer ones.
    pub more: bool,
}
