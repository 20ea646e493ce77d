//! Writes YAML with comments. Owns quoting and layout; never decides what is said.

use super::place::printable;

/// Columns after which a comment is broken.
const WIDTH: usize = 118;

/// A page in the making.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// One line, `depth` levels deep.
    pub(super) fn line(&mut self, depth: usize, text: &str) {
        self.0.push_str(&"  ".repeat(depth));
        self.0.push_str(text);
        self.0.push('\n');
    }

    /// A blank line.
    pub(super) fn blank(&mut self) {
        self.0.push('\n');
    }

    /// A comment, broken at blanks where it is long.
    pub(super) fn comment(&mut self, depth: usize, text: &str) {
        let width = WIDTH.saturating_sub(2 * depth + 2);
        let mut line = String::new();
        let mut length = 0;
        for word in text.split_whitespace() {
            let letters = word.chars().count();
            if length > 0 && length + 1 + letters > width {
                self.line(depth, &format!("# {line}"));
                (line, length) = ("  ".into(), 2);
            } else if !line.is_empty() {
                line.push(' ');
                length += 1;
            }
            line.extend(word.chars().map(printable));
            length += letters;
        }
        self.line(depth, format!("# {line}").trim_end());
    }

    /// Several comments.
    pub(super) fn comments(&mut self, depth: usize, texts: &[String]) {
        for text in texts {
            self.comment(depth, text);
        }
    }

    /// What has been written.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// A text as YAML and the configuration take it: in quotes, and with `${` meaning itself.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.replace("${", "$${").chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            _ => quoted.push(printable(c)),
        }
    }
    quoted.push('"');
    quoted
}

/// `{a: 1, b: 2}`.
pub(super) fn flow(pairs: &[(&str, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaks_long_comments_and_indents_what_follows() {
        let mut page = Page::default();
        page.comment(1, &"word ".repeat(40));
        let text = page.finish();
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH && line.starts_with("  # ")));
        assert!(text.lines().nth(1).unwrap().starts_with("  #   word"));
    }

    #[test]
    fn nothing_escapes_from_quotes_or_comments() {
        assert_eq!(quoted("a\"b\\c${d}\n\u{2028}"), "\"a\\\"b\\\\c$${d}\u{fffd}\u{fffd}\"");
        let mut page = Page::default();
        page.comment(0, "a\nb: c\u{85}d");
        assert_eq!(page.finish(), "# a b: c d\n");
    }
}
