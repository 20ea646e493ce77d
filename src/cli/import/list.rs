//! Reads a `dispatcher.list`: `setid uri [flags [priority [attrs]]]`, one destination a line.

use super::place::{Place, Warning};
use super::row::{Fields, Row};
use std::rc::Rc;

/// Reads every line; those that are wrong become warnings and are left out.
pub(super) fn read(text: &str, file: &Rc<str>, warnings: &mut Vec<Warning>) -> Vec<Row> {
    let mut rows = vec![];
    for (index, line) in text.lines().enumerate() {
        let place = Place { file: Rc::clone(file), line: index + 1 };
        let mut warn = |text: String| warnings.push(Warning { place: place.clone(), text });
        match row(line, place.clone()) {
            None => {}
            Some(Ok((row, rest))) => {
                if let Some(rest) = rest {
                    let rest = super::place::shown(&rest);
                    warn(format!("`{rest}` after the attributes is left out: they contain no blanks"));
                }
                if row.priority < 0 {
                    warn("a negative priority: Kamailio 5.6 takes it for 0, here it comes after 0".into());
                }
                rows.push(row);
            }
            Some(Err(reason)) => warn(format!("line left out: {reason}")),
        }
    }
    rows
}

/// Reads one line; nothing if it is blank or a comment. A row may come with what follows it.
pub(super) fn row(line: &str, place: Place) -> Option<Result<(Row, Option<String>), String>> {
    let mut fields = line.split_whitespace().take_while(|field| !field.starts_with('#'));
    let set = fields.next()?;
    let mut next = || fields.next().unwrap_or_default();
    let fields_read =
        Fields { set, uri: next(), flags: next(), priority: next(), attrs: next(), description: "" };
    let rest = fields.next().map(str::to_owned);
    Some(Row::new(place, fields_read).map(|row| (row, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str) -> (Vec<Row>, Vec<String>) {
        let mut warnings = vec![];
        let rows = read(text, &"list".into(), &mut warnings);
        (rows, warnings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn reads_lines_with_one_to_five_fields_and_comments() {
        let text =
            "# gateways\n\n1 sip:10.0.0.1\n  2\tsip:h:5070 8 10 duid=a;weight=5 # last\r\n3 sip:i # flags\n";
        let (rows, warnings) = read_all(text);
        assert!(warnings.is_empty(), "{warnings:?}");
        let shown: Vec<_> =
            rows.iter().map(|row| (row.place.line, row.set, row.flags, row.priority)).collect();
        assert_eq!(shown, [(3, 1, 0, 0), (4, 2, 8, 10), (5, 3, 0, 0)]);
    }

    #[test]
    fn names_each_bad_line_and_reads_the_rest() {
        let (rows, warnings) =
            read_all("one sip:a\n1\n1 sip:b x\n1 sip:c 0 high\n1 sip:d 0 0 weight=5 cc=1\n1 sip:e 0 -1\n");
        assert_eq!(rows.len(), 2);
        let places: Vec<&str> = warnings.iter().filter_map(|text| text.split(": ").next()).collect();
        assert_eq!(places, ["list:1", "list:2", "list:3", "list:4", "list:5", "list:6"]);
    }
}
