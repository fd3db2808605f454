//! Lines of a block that follow each other share columns: that of a part, where their items have one, and that
//! of the comments behind them.

use super::{BEFORE_COMMENT, Column, WIDTH};
use std::ops::Range;

/// An item or comment of a block.
#[derive(Debug)]
pub(super) struct Row {
    /// Whether a blank line stands before it.
    pub(super) blank: bool,
    /// Its text, indented; of one line or several.
    pub(super) text: String,
    /// Where in a text of one line a column begins, in bytes.
    pub(super) column: Option<(Column, usize)>,
    /// The comment behind it, and its further lines below.
    pub(super) trailing: Vec<String>,
}

impl Row {
    fn is_line(&self) -> bool {
        !self.text.contains('\n')
    }

    /// Characters on its last line.
    fn width(&self) -> usize {
        self.text.rsplit('\n').next().unwrap_or_default().chars().count()
    }
}

/// The rows' text, without a line feed at its end.
pub(super) fn rows(mut rows: Vec<Row>) -> String {
    let column = |row: &Row| row.column.map(|(column, _)| column);
    for run in runs(&rows, |a, b| column(a).is_some() && column(a) == column(b)) {
        columns(&mut rows[run]);
    }
    let mut comments = vec![0; rows.len()];
    let commented = |row: &Row| row.is_line() && !row.trailing.is_empty();
    for run in runs(&rows, |a, b| commented(a) && commented(b)) {
        let widest = rows[run.clone()].iter().map(Row::width).max().unwrap_or(0);
        comments[run].fill(widest + BEFORE_COMMENT);
    }

    let mut text = String::new();
    for (number, (row, column)) in rows.iter().zip(comments).enumerate() {
        if number > 0 {
            text.push_str(if row.blank { "\n\n" } else { "\n" });
        }
        text.push_str(&row.text);
        let mut width = row.width();
        for comment in &row.trailing {
            if width == 0 {
                text.push('\n');
            }
            text.extend(std::iter::repeat_n(' ', column - width));
            text.push_str(comment);
            width = 0;
        }
    }
    text
}

/// Stretches of rows that follow each other without a blank line and belong together.
fn runs(rows: &[Row], together: impl Fn(&Row, &Row) -> bool) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut start = 0;
    for at in 1..=rows.len() {
        if at == rows.len() || rows[at].blank || !together(&rows[at - 1], &rows[at]) {
            runs.push(start..at);
            start = at;
        }
    }
    runs
}

/// Moves the columns of a run to the same place, if all lines have room for that.
fn columns(rows: &mut [Row]) {
    // Of a row: the column's byte, and the characters of what stands before it, without the space between.
    let place = |row: &Row| {
        let (column, at) = row.column?;
        let before = row.text.get(..at)?.trim_end();
        Some((at, before.len(), before.chars().count() + column.gap()))
    };
    let Some(places) = rows.iter().map(place).collect::<Option<Vec<_>>>() else { return };
    let target = places.iter().map(|(.., column)| *column).max().unwrap_or(0);
    let width = |row: &Row, at: usize| target + row.text[at..].chars().count();
    if rows.iter().zip(&places).any(|(row, (at, ..))| width(row, *at) > WIDTH) {
        return;
    }
    for (row, (at, end, column)) in rows.iter_mut().zip(places) {
        let gap = row.column.map_or(0, |(column, _)| column.gap());
        row.text.replace_range(end..at, &" ".repeat(target - column + gap));
    }
}
