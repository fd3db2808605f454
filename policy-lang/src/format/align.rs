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
    /// Where in its text columns begin, in bytes; of interest if it has one line.
    pub(super) columns: Vec<(Column, usize)>,
    /// The comment behind it, and its further lines below.
    pub(super) trailing: Vec<String>,
}

impl Row {
    fn is_line(&self) -> bool {
        !self.text.contains('\n')
    }

    /// Whether a column may be the same in both; so are then those before it.
    fn shares(&self, other: &Self, number: usize) -> bool {
        let kinds = |row: &Self| row.columns.iter().map(|(column, _)| *column).take(number + 1).collect::<Vec<_>>();
        let mine = kinds(self);
        self.is_line() && other.is_line() && mine.len() > number && mine == kinds(other)
    }

    /// Characters on its last line.
    fn width(&self) -> usize {
        self.text.rsplit('\n').next().unwrap_or_default().chars().count()
    }
}

/// The rows' text, without a line feed at its end.
pub(super) fn rows(mut rows: Vec<Row>) -> String {
    let most = rows.iter().map(|row| row.columns.len()).max().unwrap_or(0);
    for number in 0..most {
        for run in runs(&rows, |a, b| a.shares(b, number)) {
            align(&mut rows[run], number);
        }
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

/// Moves a column of a run to the same place, if all lines have room for that.
fn align(rows: &mut [Row], number: usize) {
    if rows.len() < 2 {
        return;
    }
    let place = |row: &Row| {
        let (column, at) = row.columns[number];
        let before = row.text[..at].trim_end();
        (at, before.len(), before.chars().count() + column.gap())
    };
    let target = rows.iter().map(|row| place(row).2).max().unwrap_or(0);
    let room = |row: &Row| target + row.text[place(row).0..].chars().count() <= WIDTH;
    if !rows.iter().all(room) {
        return;
    }
    for row in rows {
        let (at, end, least) = place(row);
        let white = " ".repeat(target - least + row.columns[number].0.gap());
        for (_, later) in &mut row.columns[number..] {
            *later = *later - (at - end) + white.len();
        }
        row.text.replace_range(end..at, &white);
    }
}
