//! Words, texts and signs of a `kamailio.cfg`, after its preprocessor: comments are gone, parts
//! under an `#!ifdef` that does not hold too, and constants are filled in where that is simple.

use std::collections::BTreeMap;

/// What a script is made of, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A name, a number, an address.
    Word(String),
    /// What stood in quotes.
    Text(String),
    /// Any other character.
    Sign(char),
}

/// A token and the line it stands on.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    pub(super) token: Token,
    pub(super) line: usize,
}

/// What `#!define` and `#!substdef` have said; kept from one file to the next.
#[derive(Debug, Clone, Default)]
pub(in crate::cli::import) struct Constants {
    defined: BTreeMap<String, String>,
    substituted: Vec<(String, String)>,
}

/// How often a constant may stand for another one.
const MAX_DEPTH: usize = 8;
/// Characters that a text may grow to by substitution.
const MAX_TEXT: usize = 4_096;

/// A remark on a line.
pub(super) type Remark = (usize, String);

/// Cuts a script into tokens; remarks are about what the preprocessor does not follow.
pub(super) fn lex(text: &str, constants: &mut Constants) -> (Vec<Spot>, Vec<Remark>) {
    let mut scanner = Scanner { chars: text.chars().collect(), at: 0, line: 1 };
    let mut branches = Branches::default();
    let (mut found, mut remarks) = (vec![], vec![]);
    let mut is_line_start = true;
    while let Some(c) = scanner.peek(0) {
        let line = scanner.line;
        if is_line_start && scanner.is_directive() {
            directive(&scanner.logical_line(), line, constants, &mut branches, &mut remarks);
        } else if branches.is_skipping() && is_line_start && !c.is_whitespace() {
            scanner.skip_line();
        } else if c.is_whitespace() {
            scanner.bump();
            is_line_start = is_line_start || c == '\n';
            continue;
        } else if let Some(token) = scanner.token() {
            let tokens = constants.fill_in(token);
            found.extend(tokens.into_iter().map(|token| Spot { token, line }));
        }
        // A comment may have taken whole lines.
        is_line_start = scanner.at > 0 && scanner.chars.get(scanner.at - 1) == Some(&'\n');
    }
    (found, remarks)
}

struct Scanner {
    chars: Vec<char>,
    at: usize,
    line: usize,
}

impl Scanner {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek(0)?;
        self.at += 1;
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn is_directive(&self) -> bool {
        let mark = (self.peek(0), self.peek(1));
        let named = self.peek(2).is_some_and(|c| c.is_ascii_alphabetic());
        named && matches!(mark, (Some('#' | '!'), Some('!')))
    }

    fn skip_line(&mut self) {
        while self.bump().is_some_and(|c| c != '\n') {}
    }

    /// The rest of the line after the two marks, and of those that a backslash ties to it.
    fn logical_line(&mut self) -> String {
        self.at += 2;
        let mut line = String::new();
        while let Some(c) = self.bump() {
            match c {
                '\n' if line.ends_with('\\') => {
                    line.pop();
                }
                '\n' => break,
                '\r' => {}
                _ => line.push(c),
            }
        }
        line
    }

    /// The next token; nothing if it was a comment.
    fn token(&mut self) -> Option<Token> {
        let c = self.bump()?;
        match c {
            '#' => {
                self.skip_line();
                None
            }
            '/' if self.peek(0) == Some('/') => {
                self.skip_line();
                None
            }
            '/' if self.peek(0) == Some('*') => {
                self.bump();
                while let Some(c) = self.bump() {
                    if c == '*' && self.peek(0) == Some('/') {
                        self.bump();
                        break;
                    }
                }
                None
            }
            '"' | '\'' => {
                let mut text = String::new();
                while let Some(inner) = self.bump() {
                    match inner {
                        _ if inner == c => break,
                        '\\' => text.extend(self.bump()),
                        _ => text.push(inner),
                    }
                }
                Some(Token::Text(text))
            }
            _ if is_word(c) => {
                let mut word = String::from(c);
                while self.peek(0).is_some_and(is_word) {
                    word.extend(self.bump());
                }
                Some(Token::Word(word))
            }
            _ => Some(Token::Sign(c)),
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "_.:-[]@$".contains(c)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl Constants {
    fn fill_in(&self, token: Token) -> Vec<Token> {
        match token {
            Token::Sign(_) => vec![token],
            Token::Text(text) => vec![Token::Text(self.substitute(text))],
            Token::Word(word) => match self.value(&word) {
                Some(value) => fragment(value).into_iter().take(MAX_TEXT).collect(),
                None => vec![Token::Word(self.fill_in_parts(&word))],
            },
        }
    }

    /// What a name stands for in the end.
    fn value(&self, name: &str) -> Option<&str> {
        let mut value = self.defined.get(name)?;
        for _ in 0..MAX_DEPTH {
            match self.defined.get(value.trim()) {
                Some(further) => value = further,
                None => break,
            }
        }
        Some(value)
    }

    /// In an address such as `udp:HOST:PORT` each part can be a constant.
    fn fill_in_parts(&self, word: &str) -> String {
        let parts = word.split(':').map(|part| match self.value(part).map(fragment).as_deref() {
            Some([Token::Word(value) | Token::Text(value)]) => value.clone(),
            Some(_) | None => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join(":")
    }

    fn substitute(&self, mut text: String) -> String {
        for (pattern, value) in &self.substituted {
            if text.contains(pattern.as_str()) && text.len() <= MAX_TEXT {
                text = text.replace(pattern.as_str(), value);
            }
        }
        text
    }
}

/// The tokens of a constant's value.
fn fragment(value: &str) -> Vec<Token> {
    let mut scanner = Scanner { chars: value.chars().collect(), at: 0, line: 1 };
    let mut tokens = vec![];
    while let Some(c) = scanner.peek(0) {
        if c.is_whitespace() {
            scanner.bump();
        } else {
            tokens.extend(scanner.token());
        }
    }
    tokens
}

/// The `#!ifdef`s around a line: whether each holds.
#[derive(Debug, Default)]
struct Branches(Vec<bool>);

impl Branches {
    fn is_skipping(&self) -> bool {
        self.0.contains(&false)
    }
}

fn directive(
    text: &str,
    line: usize,
    constants: &mut Constants,
    branches: &mut Branches,
    remarks: &mut Vec<Remark>,
) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let (name, value) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    match word {
        "ifdef" => branches.0.push(constants.defined.contains_key(name)),
        "ifndef" => branches.0.push(!constants.defined.contains_key(name)),
        "ifexp" => {
            remarks.push((line, "the condition of #!ifexp is not worked out; taken as true".into()));
            branches.0.push(true);
        }
        "else" => {
            if let Some(last) = branches.0.last_mut() {
                *last = !*last;
            }
        }
        "endif" => {
            branches.0.pop();
        }
        _ if branches.is_skipping() => {}
        "define" | "def" | "redefine" | "redef" => {
            constants.defined.insert(name.into(), value.trim().into());
        }
        "trydefine" | "trydef" => {
            constants.defined.entry(name.into()).or_insert_with(|| value.trim().into());
        }
        "undef" => {
            constants.defined.remove(name);
        }
        "subst" | "substdef" | "substdefs" => match substitution(rest) {
            Some((pattern, value)) if is_name(&pattern) => {
                if word != "subst" {
                    let defined = if word == "substdefs" { format!("\"{value}\"") } else { value.clone() };
                    constants.defined.insert(pattern.clone(), defined);
                }
                constants.substituted.push((pattern, value));
            }
            Some(_) | None => {
                remarks.push((line, format!("#!{word} with a regular expression is not followed")));
            }
        },
        _ => {}
    }
}

/// `"!PATTERN!VALUE!FLAGS"`, with any character as separator.
fn substitution(text: &str) -> Option<(String, String)> {
    let inner = text.strip_prefix(['"', '\''])?.trim_end_matches(['"', '\'']);
    let separator = inner.chars().next()?;
    let mut parts = inner.split(separator).skip(1);
    Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let (found, _) = lex(text, &mut Constants::default());
        let show = |spot: Spot| match spot.token {
            Token::Word(word) => word,
            Token::Text(text) => format!("'{text}'"),
            Token::Sign(sign) => sign.into(),
        };
        found.into_iter().map(show).collect()
    }

    #[test]
    fn leaves_out_the_three_kinds_of_comments_but_not_in_texts() {
        let text = "a # b\n// c\n/* d\n e */ f(\"# // /* g\", 'h\\'i')\n";
        assert_eq!(words(text), ["a", "f", "(", "'# // /* g'", ",", "'h'i'", ")"]);
    }

    #[test]
    fn counts_lines_through_comments_texts_and_continued_directives() {
        let text = "/* 1\n2 */\n#!define A \\\n 4\n\"x\ny\" z";
        let (found, _) = lex(text, &mut Constants::default());
        assert_eq!(found.iter().map(|spot| spot.line).collect::<Vec<_>>(), [5, 6]);
    }

    #[test]
    fn fills_in_constants_where_kamailio_does() {
        let text = "#!define SET 1\n#!define BOTH SET\n#!substdef \"!HOST!10.0.0.1!g\"\n\
                    SET \"SET HOST\" BOTH udp:HOST:5060\n";
        assert_eq!(words(text), ["1", "'SET 10.0.0.1'", "1", "udp:10.0.0.1:5060"]);
    }

    #[test]
    fn follows_conditions_nested_and_turned_round() {
        let text = "#!define A\n#!ifdef A\n1\n#!ifdef B\n2 \" unclosed\n#!else\n3\n#!endif\n#!else\n4\n#!endif\n\
                    #!ifndef A\n5\n#!endif\n##!ifdef A\n6\n";
        assert_eq!(words(text), ["1", "3", "6"]);
    }

    #[test]
    fn a_constant_that_stands_for_itself_ends() {
        assert_eq!(words("#!define A B\n#!define B A\nA").len(), 1);
        let mut text = String::from("#!substdef \"!a!aaaa!\"\n");
        (0..40).for_each(|_| text.push_str("#!subst \"/a/aaaa/\"\n"));
        assert!(words(&format!("{text}\"a\"")).concat().len() < 4 * MAX_TEXT + 4);
    }
}
