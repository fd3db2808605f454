//! Conditions: Cedar's text between its braces, of which only the indentation changes.
//! A string ends on its line here, so that no line begins inside of one.

use super::INDENT;

/// A condition's text, ready to be laid out.
#[derive(Debug)]
pub(super) struct Condition<'t> {
    text: &'t str,
}

impl<'t> Condition<'t> {
    /// From a condition with its braces.
    pub(super) fn new(text: &'t str) -> Self {
        Self { text }
    }

    /// Whether its author wrote it on several lines.
    pub(super) fn is_open(&self) -> bool {
        self.text.contains('\n') && lines(self.text).any(|line| !line.is_empty())
    }

    /// The condition on one line.
    pub(super) fn flat(&self) -> String {
        match inside(self.text).trim_matches(|c| c == '\n' || BLANK.contains(&c)) {
            "" => "{ }".to_owned(),
            text => format!("{{ {text} }}"),
        }
    }

    /// The condition as a block; `indent` is that of the line its first brace stands on.
    pub(super) fn block(&self, indent: usize) -> String {
        let lines: Vec<(usize, &str)> = indented(self.text).collect();
        // What stands behind the brace says nothing about how far the rest is indented.
        let rest = lines.iter().skip(1).filter(|(_, line)| !line.is_empty());
        let least = rest.map(|(width, _)| *width).min().unwrap_or(0);
        let mut block = String::from("{");
        let mut blank = false;
        for (number, (width, line)) in lines.into_iter().enumerate() {
            if line.is_empty() {
                blank = block.len() > 1;
                continue;
            }
            if std::mem::take(&mut blank) {
                block.push('\n');
            }
            let extra = if number == 0 { 0 } else { width - least };
            block.push('\n');
            block.extend(std::iter::repeat_n(' ', indent + INDENT + extra));
            block.push_str(line);
        }
        block.push('\n');
        block.extend(std::iter::repeat_n(' ', indent));
        block.push('}');
        block
    }
}

/// The lines of a condition with its braces, without the white space around each.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    indented(text).map(|(_, line)| line)
}

/// White space to Cedar and to us; anything else that looks blank is for Cedar to refuse.
const BLANK: [char; 3] = [' ', '\t', '\r'];

/// Each line, and how far it is indented; a tab is as wide as a block's indentation.
fn indented(text: &str) -> impl Iterator<Item = (usize, &str)> {
    inside(text).split('\n').map(|line| {
        let content = line.trim_start_matches(BLANK);
        let white = &line[..line.len() - content.len()];
        let width = white.chars().map(|c| match c {
            '\t' => INDENT,
            '\r' => 0,
            _ => 1,
        });
        (width.sum(), content.trim_end_matches(BLANK))
    })
}

fn inside(text: &str) -> &str {
    text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text)
}
