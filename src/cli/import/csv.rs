//! Reads the table `dispatcher` as CSV: with commas, semicolons or tabs, with or without a line of
//! names, quoted as RFC 4180 says.

use super::place::{Place, Warning};
use super::row::Row;
use super::table::{Columns, TableNames};
use std::rc::Rc;

/// Reads every record; those that are wrong become warnings and are left out.
pub(super) fn read(text: &str, file: &Rc<str>, names: &TableNames, warnings: &mut Vec<Warning>) -> Vec<Row> {
    let mut columns: Option<Columns> = None;
    let mut rows = vec![];
    let separator = separator(text, names);
    for (line, record) in records(text, separator) {
        let place = Place { file: Rc::clone(file), line };
        if columns.is_none() {
            columns = Columns::named(&record, names);
            if columns.is_some() {
                continue;
            }
        }
        let columns = columns.get_or_insert_with(|| Columns::usual(record.len()));
        match columns.row(place.clone(), &record) {
            Ok(row) => rows.push(row),
            Err(reason) => warnings.push(Warning { place, text: format!("line left out: {reason}") }),
        }
    }
    rows
}

/// Whether the first line with something on it is one of this kind of file.
pub(super) fn is_csv(text: &str, names: &TableNames) -> bool {
    let separator = separator(text, names);
    let Some((_, record)) = records(text, separator).into_iter().next() else { return false };
    let is_row = |set: usize| {
        let is_number = record.get(set).is_some_and(|field| field.trim().parse::<u32>().is_ok());
        let is_uri = |field: &String| field.trim().to_ascii_lowercase().starts_with("sip");
        is_number && record.get(set + 1).is_some_and(is_uri)
    };
    Columns::named(&record, names).is_some() || is_row(0) || is_row(1)
}

/// The separator that makes most sense of the first line: one under which it names the columns,
/// else the one that cuts it into most pieces.
fn separator(text: &str, names: &TableNames) -> char {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let cut =
        |separator: char| records(first, separator).into_iter().next().map_or(vec![], |(_, record)| record);
    let all = [',', '\t', ';'];
    let naming = all.into_iter().find(|separator| Columns::named(&cut(*separator), names).is_some());
    // Attributes contain semicolons, so one of the others wins as soon as there are enough.
    naming.or_else(|| all.into_iter().find(|separator| cut(*separator).len() >= 3)).unwrap_or(',')
}

/// The records with the lines they begin on. MySQL and PostgreSQL write NULL and `\N` for nothing.
fn records(text: &str, separator: char) -> Vec<(usize, Vec<String>)> {
    let mut found = vec![];
    let (mut line, mut start) = (1, 1);
    let (mut record, mut field): (Vec<String>, String) = (vec![], String::new());
    let mut is_quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        line += usize::from(c == '\n');
        match c {
            '"' if is_quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if is_quoted || field.trim().is_empty() => is_quoted = !is_quoted,
            '\n' if !is_quoted => {
                finish(&mut found, start, &mut record, &mut field);
                start = line;
            }
            _ if c == separator && !is_quoted => record.push(value(&mut field)),
            _ => field.push(c),
        }
    }
    finish(&mut found, start, &mut record, &mut field);
    found
}

fn finish(found: &mut Vec<(usize, Vec<String>)>, start: usize, record: &mut Vec<String>, field: &mut String) {
    record.push(value(field));
    let record = std::mem::take(record);
    if record.iter().any(|field| !field.is_empty()) {
        found.push((start, record));
    }
}

fn value(field: &mut String) -> String {
    let field = std::mem::take(field);
    let text = field.trim();
    if text == "NULL" || text == "\\N" { String::new() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str) -> (Vec<Row>, Vec<String>) {
        let mut warnings = vec![];
        let names = TableNames::default();
        let rows = read(text, &"csv".into(), &names, &mut warnings);
        (rows, warnings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn reads_commas_semicolons_and_tabs_with_names_in_any_order() {
        for text in [
            "id,setid,destination,flags,priority,attrs,description\n1,2,sip:a,8,5,weight=1;cc=1,\"x, \"\"y\"\"\"\n",
            "setid;destination;priority;flags;attrs\n2;sip:a;5;8;\"weight=1;cc=1\"\n",
            "setid\tdestination\tflags\tpriority\tattrs\n2\tsip:a\t8\t5\tweight=1;cc=1\r\n",
        ] {
            assert!(is_csv(text, &TableNames::default()), "{text}");
            let (rows, warnings) = read_all(text);
            assert!(warnings.is_empty(), "{warnings:?}");
            let row = rows.first().unwrap();
            assert_eq!((row.place.line, row.set, row.flags, row.priority), (2, 2, 8, 5), "{text}");
            assert_eq!(row.attrs.len(), 2, "{text}");
        }
    }

    #[test]
    fn takes_the_usual_order_without_names_and_null_for_nothing() {
        let (rows, warnings) = read_all("1,2,sip:a,0,7,NULL,\"one\ntwo\"\n2,2,sip:b,0,0,\\N,\n3,2\n");
        assert_eq!(warnings, ["csv:4: line left out: expected 7 values, found 2"]);
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|row| row.attrs.is_empty()));
        assert_eq!(rows.first().unwrap().priority, 7);
    }

    #[test]
    fn a_column_that_the_table_does_not_have_is_an_attribute() {
        let (rows, _) = read_all("setid,destination,flags,weight,description\n1,sip:a,0,50,x\n");
        assert_eq!(rows.first().unwrap().attr("weight"), Some("50"));
    }

    #[test]
    fn a_dispatcher_list_is_not_csv() {
        assert!(!is_csv("1 sip:10.0.0.1:5060 0 0 a=b;c=d;e=f,g\n", &TableNames::default()));
    }
}
