//! What `docs/metrics.md`, which is generated from the code's table, says about each family.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The values of a label: a closed list, or whatever is configured.
pub type Values = Option<BTreeSet<String>>;

/// One family of metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// The least `metrics.detail` at which it is there.
    pub detail: String,
    /// Its labels, without those that Prometheus adds.
    pub labels: BTreeMap<String, Values>,
}

/// The families by name.
pub type Families = BTreeMap<String, Family>;

/// The families of the page in the repository.
pub fn load() -> Families {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let page = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let families = parse(&page);
    assert!(families.len() > 50, "only {} families were read from docs/metrics.md", families.len());
    families
}

/// Reads the rows of the table, then the lists of label values.
pub fn parse(page: &str) -> Families {
    let mut families = Families::new();
    let mut columns: Vec<&str> = Vec::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if cells.contains(&"metric") && cells.contains(&"labels") {
            columns.clone_from(&cells);
        }
        let cell = |name: &str| {
            let at = columns.iter().position(|column| *column == name)?;
            cells.get(at).copied()
        };
        if let (Some(metric), Some(kind), Some(labels)) = (cell("metric"), cell("type"), cell("labels"))
            && let Some(name) = quoted(metric).first()
        {
            let labels = quoted(labels.split('(').next().unwrap_or(""));
            let labels = labels.into_iter().map(|label| (label, None)).collect();
            let detail = cell("detail").filter(|detail| !detail.is_empty()).unwrap_or("state").to_owned();
            families.insert(name.clone(), Family { kind: kind.to_owned(), detail, labels });
        }
        if let Some((head, values)) = line.strip_prefix("- ").and_then(|rest| rest.split_once(": "))
            && let [label, family] = quoted(head).as_slice()
            && let Some(family) = families.get_mut(family)
        {
            // Words outside the back-ticks describe values that are not closed.
            let is_closed = values.split('`').step_by(2).all(|between| between.trim().is_empty());
            let values = is_closed.then(|| quoted(values).into_iter().collect());
            family.labels.insert(label.clone(), values);
        }
    }
    families
}

fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn reads_types_labels_and_their_closed_values() {
    let page = "| metric | type | labels | detail | help |\n|---|---|---|---|---|\n\
        | `a_total` | counter | `set` `kind` (`set` is empty) | full | text |\n| `b` | gauge | `set` |  | text |\n\n- `kind` of `a_total`: `x` `y`\n\
        - `set` of `a_total`: configured; `other` too";
    let families = parse(page);
    let family = &families["a_total"];
    let closed = Some(BTreeSet::from(["x".to_owned(), "y".to_owned()]));
    assert_eq!((family.kind.as_str(), families.len()), ("counter", 2));
    assert_eq!((family.detail.as_str(), families["b"].detail.as_str()), ("full", "state"));
    assert_eq!(family.labels, BTreeMap::from([("kind".to_owned(), closed), ("set".to_owned(), None)]));
}
