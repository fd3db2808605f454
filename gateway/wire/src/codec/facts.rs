//! Facts, as they are said and as they are held.

use session::facts::{FactChange, FactRow, FactSaid};

use super::{DecodeError, Decoded, MAX_NAME, MAX_TEXT, id, parts};
use crate::proto::{self, facts_asked};

impl From<&FactSaid> for proto::FactSaid {
    fn from(said: &FactSaid) -> Self {
        Self { name: said.name.clone(), value: said.value.clone(), lasts: said.lasts.map(Into::into) }
    }
}

impl TryFrom<proto::FactSaid> for FactSaid {
    type Error = DecodeError;

    fn try_from(said: proto::FactSaid) -> Decoded<Self> {
        Ok(Self {
            name: parts::text("fact_said.name", said.name, MAX_NAME)?,
            value: parts::text("fact_said.value", said.value, MAX_TEXT)?,
            lasts: said.lasts.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<&FactChange> for facts_asked::Change {
    fn from(change: &FactChange) -> Self {
        match change {
            FactChange::Set(said) => Self::Set(said.into()),
            FactChange::Clear(name) => Self::Clear(name.clone()),
        }
    }
}

impl TryFrom<facts_asked::Change> for FactChange {
    type Error = DecodeError;

    fn try_from(change: facts_asked::Change) -> Decoded<Self> {
        Ok(match change {
            facts_asked::Change::Set(said) => Self::Set(said.try_into()?),
            facts_asked::Change::Clear(name) => Self::Clear(parts::text("facts_asked.clear", name, MAX_NAME)?),
        })
    }
}

impl From<&FactRow> for proto::FactRow {
    fn from(row: &FactRow) -> Self {
        Self {
            name: parts::cut(&row.name),
            kind: parts::cut(&row.kind),
            set_by: parts::cut(&row.set_by),
            value: parts::cut(&row.value),
            said_by: row.said_by.as_deref().map(parts::cut),
            about: row.about.as_ref().map(ToString::to_string),
            left_seconds: row.left_seconds,
        }
    }
}

impl TryFrom<proto::FactRow> for FactRow {
    type Error = DecodeError;

    fn try_from(row: proto::FactRow) -> Decoded<Self> {
        Ok(Self {
            name: parts::text("fact_row.name", row.name, MAX_TEXT)?,
            kind: parts::text("fact_row.kind", row.kind, MAX_NAME)?,
            set_by: parts::text("fact_row.set_by", row.set_by, MAX_NAME)?,
            value: parts::text("fact_row.value", row.value, MAX_TEXT)?,
            said_by: row.said_by.map(|by| parts::text("fact_row.said_by", by, MAX_NAME)).transpose()?,
            about: row.about.map(|about| id("fact_row.about", &about)).transpose()?,
            left_seconds: row.left_seconds,
        })
    }
}
