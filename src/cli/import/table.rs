//! The columns of the table `dispatcher`, in whatever form it comes.

use super::place::Place;
use super::row::{Fields, Row};

/// What the table and its columns are called; `table_name` and `…_col` can rename them.
#[derive(Debug, Clone)]
pub(super) struct TableNames {
    /// The table.
    pub(super) table: String,
    /// The columns setid, destination, flags, priority and attrs.
    pub(super) columns: [String; 5],
}

impl Default for TableNames {
    fn default() -> Self {
        let columns = ["setid", "destination", "flags", "priority", "attrs"];
        Self { table: "dispatcher".into(), columns: columns.map(Into::into) }
    }
}

/// Which field of a record is what.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    names: Vec<String>,
    known: [Option<usize>; 5],
}

impl Columns {
    /// The columns as a header, a CREATE TABLE or an INSERT names them; nothing if the set or the
    /// destination is not among them.
    pub(super) fn named(written: &[String], names: &TableNames) -> Option<Self> {
        let is = |name: &str| written.iter().position(|column| column.eq_ignore_ascii_case(name));
        let known = names.columns.each_ref().map(|name| is(name));
        let [set, destination, ..] = known;
        (set.is_some() && destination.is_some()).then(|| Self { names: written.to_vec(), known })
    }

    /// The columns of version 4 of the table, for a record of so many fields without any names.
    pub(super) fn usual(count: usize) -> Self {
        let all = ["id", "setid", "destination", "flags", "priority", "attrs", "description"];
        let skipped = usize::from(count < all.len());
        let names: Vec<String> = all.iter().skip(skipped).map(|name| (*name).to_owned()).collect();
        let known = [0, 1, 2, 3, 4].map(|position| Some(position + 1 - skipped));
        Self { names, known }
    }

    /// Reads a record. A column that Kamailio's table does not have counts as an attribute, as
    /// with `ds_db_extra_attrs`.
    pub(super) fn row(&self, place: Place, record: &[String]) -> Result<Row, String> {
        if record.len() != self.names.len() {
            return Err(format!("expected {} values, found {}", self.names.len(), record.len()));
        }
        let field = |at: Option<usize>| at.and_then(|at| record.get(at)).map_or("", |text| text.trim());
        let [set, destination, flags, priority, attrs] = self.known.map(field);
        let mut attrs = attrs.to_owned();
        let mut description = "";
        for (at, (name, value)) in self.names.iter().zip(record).enumerate() {
            let value = value.trim();
            let name = name.to_ascii_lowercase();
            if self.known.contains(&Some(at)) || name == "id" || value.is_empty() {
            } else if name == "description" {
                description = value;
            } else {
                attrs += &format!(";{name}={value}");
            }
        }
        Row::new(place, Fields { set, uri: destination, flags, priority, attrs: &attrs, description })
    }
}
