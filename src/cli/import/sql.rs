//! Reads the INSERTs into the table `dispatcher` of a dump of MySQL, MariaDB, SQLite or PostgreSQL
//! (`pg_dump --inserts`).

use super::place::{Place, Warning, shown};
use super::row::Row;
use super::table::{Columns, TableNames};
use std::rc::Rc;

/// Reads every row; those that are wrong become warnings and are left out.
pub(super) fn read(text: &str, file: &Rc<str>, names: &TableNames, warnings: &mut Vec<Warning>) -> Vec<Row> {
    let tokens = tokens(text);
    let mut reader = Reader { tokens: &tokens, at: 0, file, names, warnings, columns: None, rows: vec![] };
    while let Some(token) = reader.next() {
        match token.word().as_str() {
            "INSERT" | "REPLACE" => reader.insert(),
            "CREATE" => reader.create(),
            "COPY" => reader.copy(),
            "VALUES" if token.quote.is_none() => reader.stray(token.line),
            _ if token.is('(') => {
                reader.at -= 1;
                reader.stray(token.line);
            }
            _ => reader.skip_statement(),
        }
    }
    reader.rows
}

/// Whether the text has a statement that this reads.
pub(super) fn is_sql(text: &str) -> bool {
    text.lines().any(|line| {
        let words: Vec<String> = line.split_whitespace().take(3).map(str::to_ascii_uppercase).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        matches!(
            words.as_slice(),
            ["INSERT", "INTO" | "OR" | "IGNORE", ..] | ["REPLACE", "INTO", ..] | ["CREATE", "TABLE", ..]
        )
    })
}

#[derive(Debug, Clone)]
struct Token {
    text: String,
    quote: Option<char>,
    line: usize,
}

impl Token {
    fn is(&self, sign: char) -> bool {
        self.quote.is_none() && self.text.chars().eq([sign])
    }

    /// In capitals if it is not quoted.
    fn word(&self) -> String {
        if self.quote.is_some() { String::new() } else { self.text.to_ascii_uppercase() }
    }
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    file: &'a Rc<str>,
    names: &'a TableNames,
    warnings: &'a mut Vec<Warning>,
    columns: Option<Columns>,
    rows: Vec<Row>,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<&'a Token> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        Some(token)
    }

    fn skip_statement(&mut self) {
        while self.next().is_some_and(|token| !token.is(';')) {}
    }

    fn warn(&mut self, line: usize, text: impl Into<String>) {
        let place = Place { file: Rc::clone(self.file), line };
        self.warnings.push(Warning { place, text: text.into() });
    }

    /// The name after INTO or TABLE, without its schema; whether it is our table.
    fn is_our_table(&mut self) -> bool {
        let Some(mut name) = self.next() else { return false };
        while self.peek().is_some_and(|token| token.is('.')) {
            self.at += 1;
            let Some(last) = self.next() else { return false };
            name = last;
        }
        let name = name.text.rsplit('.').next().unwrap_or_default();
        name.eq_ignore_ascii_case(&self.names.table)
    }

    /// What stands in a pair of brackets, cut at the commas; `None` if they do not close.
    fn list(&mut self) -> Option<Vec<Vec<&'a Token>>> {
        let mut items = vec![vec![]];
        let mut depth = 0_u32;
        loop {
            let token = self.next()?;
            if token.is('(') {
                depth += 1;
            } else if token.is(')') {
                depth -= 1;
                if depth == 0 {
                    return Some(items);
                }
            }
            if token.is(',') && depth == 1 {
                items.push(vec![]);
            } else if !(token.is('(') && depth == 1) {
                items.last_mut()?.push(token);
            }
        }
    }

    fn create(&mut self) {
        if self.peek().is_none_or(|token| token.word() != "TABLE") {
            return self.skip_statement();
        }
        self.at += 1;
        while self.peek().is_some_and(|token| ["IF", "NOT", "EXISTS"].contains(&token.word().as_str())) {
            self.at += 1;
        }
        if self.is_our_table()
            && self.peek().is_some_and(|token| token.is('('))
            && let Some(items) = self.list()
        {
            let rules = ["PRIMARY", "UNIQUE", "KEY", "INDEX", "CONSTRAINT", "CHECK", "FOREIGN"];
            let firsts = items.iter().filter_map(|item| item.first());
            let names = firsts.filter(|token| !rules.contains(&token.word().as_str()));
            let names: Vec<String> = names.map(|token| token.text.clone()).collect();
            self.columns = Columns::named(&names, self.names);
        }
        self.skip_statement();
    }

    fn copy(&mut self) {
        let line = self.peek().map_or(0, |token| token.line);
        if self.is_our_table() {
            self.warn(line, "COPY is not read; dump with `pg_dump --inserts`, or export CSV");
        }
        self.skip_statement();
    }

    fn insert(&mut self) {
        while self.peek().is_some_and(|token| ["OR", "IGNORE", "REPLACE"].contains(&token.word().as_str())) {
            self.at += 1;
        }
        if self.peek().is_none_or(|token| token.word() != "INTO") {
            return self.skip_statement();
        }
        self.at += 1;
        if !self.is_our_table() {
            return self.skip_statement();
        }
        let mut columns = self.columns.clone();
        if let Some(open) = self.peek().filter(|token| token.is('(')) {
            let names = self.list().unwrap_or_default();
            let names: Vec<String> =
                names.iter().filter_map(|item| item.first()).map(|token| token.text.clone()).collect();
            columns = Columns::named(&names, self.names);
            if columns.is_none() {
                self.warn(open.line, "statement left out: setid and destination are not among its columns");
                return self.skip_statement();
            }
        }
        while let Some(token) = self.next() {
            if token.is(';') {
                return;
            }
            if token.is('(') {
                self.at -= 1;
                self.tuple(token.line, columns.as_ref());
            } else if !token.is(',') && token.word() != "VALUES" {
                self.warn(token.line, format!("expected a row, found `{}`", shown(&token.text)));
                return self.skip_statement();
            }
        }
    }

    fn tuple(&mut self, line: usize, columns: Option<&Columns>) {
        let Some(items) = self.list() else {
            return self.warn(line, "row left out: it does not end");
        };
        let record: Vec<String> = items.iter().map(|item| value(item)).collect();
        let usual;
        let columns = match columns {
            Some(columns) => columns,
            None => {
                usual = Columns::usual(record.len());
                &usual
            }
        };
        match columns.row(Place { file: Rc::clone(self.file), line }, &record) {
            Ok(row) => self.rows.push(row),
            Err(reason) => self.warn(line, format!("row left out: {reason}")),
        }
    }

    /// Rows after the semicolon that ended their statement: no database would take them.
    fn stray(&mut self, line: usize) {
        self.warn(line, "row left out: the statement before it has ended; put a comma between rows");
        self.skip_statement();
    }
}

/// The text of a value; NULL is nothing.
fn value(item: &[&Token]) -> String {
    match item {
        [only] if only.word() == "NULL" => String::new(),
        _ => item.iter().map(|token| token.text.as_str()).collect::<Vec<_>>().concat(),
    }
}

fn tokens(text: &str) -> Vec<Token> {
    // Only MySQL takes a backslash in a string for more than a backslash, and it alone quotes names so.
    let has_escapes = text.contains('`') || text.contains("MySQL") || text.contains("MariaDB");
    let mut found = vec![];
    let mut line = 1;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let start = line;
        line += usize::from(c == '\n');
        match c {
            '-' if chars.next_if_eq(&'-').is_some() => while chars.next_if(|c| *c != '\n').is_some() {},
            '#' => while chars.next_if(|c| *c != '\n').is_some() {},
            '/' if chars.next_if_eq(&'*').is_some() => {
                let mut last = ' ';
                for c in chars.by_ref() {
                    line += usize::from(c == '\n');
                    if last == '*' && c == '/' {
                        break;
                    }
                    last = c;
                }
            }
            '\'' | '"' | '`' => {
                let mut text = String::new();
                while let Some(inner) = chars.next() {
                    line += usize::from(inner == '\n');
                    match inner {
                        _ if inner == c && chars.next_if_eq(&c).is_none() => break,
                        '\\' if has_escapes => text.extend(chars.next()),
                        _ => text.push(inner),
                    }
                }
                found.push(Token { text, quote: Some(c), line: start });
            }
            _ if is_word(c) => {
                let mut text = String::from(c);
                while let Some(c) = chars.next_if(|c| is_word(*c)) {
                    text.push(c);
                }
                found.push(Token { text, quote: None, line: start });
            }
            _ if c.is_whitespace() => {}
            _ => found.push(Token { text: c.into(), quote: None, line: start }),
        }
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "_-+$".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str) -> (Vec<Row>, Vec<String>) {
        let mut warnings = vec![];
        let rows = read(text, &"sql".into(), &TableNames::default(), &mut warnings);
        (rows, warnings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn reads_many_rows_of_one_statement_and_leaves_other_tables_alone() {
        let text = "-- MySQL dump\nLOCK TABLES `dispatcher` WRITE;\nINSERT INTO `dialplan` VALUES (1,'x');\n\
                    INSERT INTO `dispatcher` VALUES (1,4,'sip:a',0,5,'weight=50','It\\'s; (one)'),\n\
                    (2,4,'sip:b',8,0,NULL,'two');\n";
        assert!(is_sql(text));
        let (rows, warnings) = read_all(text);
        assert!(warnings.is_empty(), "{warnings:?}");
        let shown: Vec<_> =
            rows.iter().map(|row| (row.place.line, row.set, row.flags, row.priority)).collect();
        assert_eq!(shown, [(4, 4, 0, 5), (5, 4, 8, 0)]);
        assert_eq!(rows.first().unwrap().description, "It's; (one)");
    }

    #[test]
    fn takes_the_order_of_columns_from_the_insert_or_else_from_the_table() {
        let by_insert = "INSERT INTO public.dispatcher (destination, setid) VALUES ('sip:a', 7);";
        let by_table = "CREATE TABLE dispatcher (destination VARCHAR(192), setid INTEGER DEFAULT (0), PRIMARY KEY (setid));\n\
                        INSERT INTO \"dispatcher\" VALUES('sip:a',7);";
        for text in [by_insert, by_table] {
            let (rows, warnings) = read_all(text);
            assert!(warnings.is_empty(), "{warnings:?}");
            let row = rows.first().unwrap();
            assert_eq!((row.set, row.uri.as_str()), (7, "sip:a"));
        }
    }

    #[test]
    fn names_rows_that_no_database_would_take() {
        let text = "INSERT INTO dispatcher (setid,destination) VALUES (1,'sip:a');\nVALUES (1,'sip:b');\n\
                    (1,'sip:c');\nINSERT INTO dispatcher (setid,destination) VALUES (1),\n(x,'sip:d'),(2,'sip:e'";
        let (rows, warnings) = read_all(text);
        assert_eq!(rows.len(), 1);
        let lines: Vec<&str> = warnings.iter().filter_map(|text| text.split(": ").next()).collect();
        assert_eq!(lines, ["sql:2", "sql:3", "sql:4", "sql:5", "sql:5"], "{warnings:?}");
    }

    #[test]
    fn a_backslash_is_a_backslash_but_in_mysql() {
        let (rows, _) =
            read_all("INSERT INTO dispatcher (setid,destination,description) VALUES (1,'sip:a','\\');");
        assert_eq!(rows.first().unwrap().description, "\\");
    }
}
