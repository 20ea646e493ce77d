//! YAML text as a tree that keeps the order of its keys, and where each value stands in the text.
//!
//! The YAML library tells positions only in its errors. So a file is read once into a tree, and
//! only if something is wrong with it a second time by a reader that refuses every scalar and
//! takes the position out of each refusal. Never judges what a key means.

use super::error::{Mark, Position, Problem};
use super::path::KeyPath;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;

/// Values in one file at most, aliases expanded: a set of 10,000 destinations has about 100,000.
const MAX_VALUES: usize = 1_000_000;
/// Open brackets at most; the YAML library needs quadratic time in them.
const MAX_BRACKETS: u32 = 200;

/// What a refused scalar says.
const HERE: &str = "\u{1}here";

/// One value of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// Reads a text, or says where and why it is not YAML.
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    check_nesting(text)?;
    let budget = Cell::new(MAX_VALUES);
    let deserializer = serde_yaml::Deserializer::from_str(text);
    Tree { budget: &budget, is_key: false }
        .deserialize(deserializer)
        .map_err(|error| syntax_problem(&error, text))
}

fn check_nesting(text: &str) -> Result<(), Problem> {
    let mut open = 0_u32;
    for (number, line) in text.lines().enumerate() {
        for (column, byte) in line.bytes().enumerate() {
            match byte {
                b'[' | b'{' => open += 1,
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
            if open > MAX_BRACKETS {
                let position = Position { line: number + 1, column: column + 1 };
                return Err(Problem::at(position, format!("more than {MAX_BRACKETS} open brackets")));
            }
        }
    }
    Ok(())
}

/// Puts an error of the YAML library into words of ours.
fn syntax_problem(error: &serde_yaml::Error, text: &str) -> Problem {
    let whole = error.to_string();
    if whole.contains("more than one document") {
        let second = text.lines().enumerate().skip(1).find(|(_, line)| line.trim_end() == "---");
        let line = second.map_or(1, |(number, _)| number + 1);
        return Problem::at(Position { line, column: 1 }, "a second YAML document; one file holds one");
    }
    let position = error
        .location()
        .map_or(Position { line: 1, column: 1 }, |at| Position { line: at.line(), column: at.column() });
    let line = text.lines().nth(position.line - 1).unwrap_or_default();
    let found = line.chars().nth(position.column - 1);
    if found == Some('\t') || line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t') {
        let column = line.chars().position(|c| c == '\t').map_or(position.column, |at| at + 1);
        return Problem::at(Position { column, ..position }, "a tab; YAML is indented with spaces only");
    }
    let (reason, position) = reason(&whole, position);
    let problem = Problem::at(position, format!("not valid YAML: {reason}"));
    if line.contains("${") {
        return problem.help("inside [ ] and { } a value with ${…} needs quotes");
    }
    if line.matches(": ").count() > 1 && !line.contains('{') {
        return problem.help("a value that contains `: ` needs quotes");
    }
    problem
}

/// The library's reason in fewer words, and a better place where it knows one.
fn reason(whole: &str, position: Position) -> (String, Position) {
    let (problem, context) = whole.split_once(", while ").unwrap_or((whole, ""));
    let problem = problem.split(" at line ").next().unwrap_or(problem);
    let problem = problem.rsplit('\u{1}').next().unwrap_or(problem);
    let begun = context.contains(" at line ").then(|| position_in(&context));
    let text = match (problem, begun) {
        ("repetition limit exceeded", _) => "aliases that multiply without end".into(),
        ("recursion limit exceeded", _) => "nested too deeply, or an alias inside itself".into(),
        ("unknown anchor", _) => {
            "an alias `*NAME` without its `&NAME`; put text that begins with * in quotes".into()
        }
        (text, _) if text.contains("invalid type: enum") => {
            "a tag such as !int; write the value alone".into()
        }
        ("found unexpected end of stream", Some(begun)) if context.contains("quoted") => {
            return ("a quote that is never closed".into(), begun);
        }
        (text, Some(begun)) if begun.line != position.line => {
            let what = context.split(" at line ").next().unwrap_or(context);
            format!("{text}, while {what} that begins on line {}", begun.line)
        }
        (text, _) => text.into(),
    };
    (text, position)
}

/// Each key written twice in one mapping, by path; the path names the second.
pub(super) fn duplicates(node: &Node) -> Vec<KeyPath> {
    let mut found = vec![];
    collect_duplicates(node, &KeyPath::root(), &mut found);
    found
}

fn collect_duplicates(node: &Node, path: &KeyPath, found: &mut Vec<KeyPath>) {
    match node {
        Node::List(items) => {
            for (index, item) in items.iter().enumerate() {
                if matches!(item, Node::List(_) | Node::Map(_)) {
                    collect_duplicates(item, &path.item(index), found);
                }
            }
        }
        Node::Map(entries) => {
            let mut seen = std::collections::HashSet::new();
            for (key, value) in entries {
                if !seen.insert(key.as_str()) {
                    found.push(path.key(key));
                }
                if matches!(value, Node::List(_) | Node::Map(_)) {
                    collect_duplicates(value, &path.key(key), found);
                }
            }
        }
        Node::Null | Node::Bool(_) | Node::Integer(_) | Node::Float(_) | Node::Text(_) => {}
    }
}

/// Builds the tree, within a budget of values so that nested aliases end early.
#[derive(Clone, Copy)]
struct Tree<'a> {
    budget: &'a Cell<usize>,
    /// Whether it reads a key, which must be a scalar.
    is_key: bool,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let Some(left) = self.budget.get().checked_sub(1) else {
            return Err(de::Error::custom(format!("\u{1}more than {MAX_VALUES} values")));
        };
        self.budget.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain value, list or mapping")
    }
    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        if self.is_key { Err(E::custom("\u{1}an empty key")) } else { Ok(Node::Null) }
    }
    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }
    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Integer(value))
    }
    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        Ok(Node::Integer(i128::try_from(value).unwrap_or(i128::MAX)))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }
    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        if self.is_key {
            return Err(de::Error::custom("\u{1}a list as a key; put text with [ ] in quotes"));
        }
        let mut items = vec![];
        while let Some(item) = seq.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Node::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        if self.is_key {
            return Err(de::Error::custom("\u{1}a mapping as a key; put text with { } in quotes"));
        }
        let mut entries = vec![];
        while let Some(key) = map.next_key_seed(Self { is_key: true, ..self })? {
            let key = match key {
                Node::Text(text) => text,
                Node::Integer(number) => number.to_string(),
                Node::Bool(value) => value.to_string(),
                Node::Float(number) => number.to_string(),
                Node::Null | Node::List(_) | Node::Map(_) => String::new(),
            };
            entries.push((key, map.next_value_seed(self)?));
        }
        Ok(Node::Map(entries))
    }
}

/// Where the keys and values of a file stand.
#[derive(Debug, Default)]
pub(super) struct Places {
    keys: HashMap<KeyPath, Vec<Position>>,
    values: HashMap<KeyPath, Position>,
}

impl Places {
    /// Finds every place of a text that [`parse`] accepts.
    pub(super) fn of(text: &str) -> Self {
        let finder = Finder::default();
        let deserializer = serde_yaml::Deserializer::from_str(text);
        // Only a single scalar for a document is an error here, and it has no places.
        let _ = Find { finder: &finder, path: KeyPath::root() }.deserialize(deserializer);
        finder.places.into_inner()
    }

    /// Whether the text has this key.
    pub(super) fn has_key(&self, path: &KeyPath) -> bool {
        self.keys.contains_key(path)
    }

    /// Where a problem stands: its key or value, else the nearest thing around it.
    pub(super) fn find(&self, path: &KeyPath, mark: Mark) -> Position {
        let mut path = path.clone();
        let mut mark = mark;
        loop {
            let keys = self.keys.get(&path);
            let key = keys.and_then(|keys| keys.first()).copied();
            let value = self.values.get(&path).copied();
            let found = match mark {
                Mark::Key => key.or(value),
                Mark::Value => value.or(key),
                Mark::SecondKey => keys.and_then(|keys| keys.last()).copied(),
            };
            if let Some(found) = found {
                return found;
            }
            let Some(parent) = path.parent() else { return Position { line: 1, column: 1 } };
            path = parent;
            mark = Mark::Key;
        }
    }
}

#[derive(Default)]
struct Finder {
    places: RefCell<Places>,
    text: RefCell<String>,
}

/// Refuses every scalar, to learn its position; gives the position of the first inside a container.
struct Find<'a> {
    finder: &'a Finder,
    path: KeyPath,
}

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = Option<Position>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Find<'_> {
    fn refuse<E: de::Error>(&self, text: impl fmt::Display) -> Result<Option<Position>, E> {
        *self.finder.text.borrow_mut() = text.to_string();
        Err(E::custom(HERE))
    }

    fn child(&self, path: KeyPath) -> Self {
        Self { finder: self.finder, path }
    }
}

/// Where a scalar was refused; any other error ends the search.
fn place_of_refusal<E: fmt::Display>(error: E) -> Result<Position, E> {
    if error.to_string().contains(HERE) { Ok(position_in(&error)) } else { Err(error) }
}

fn position_in(error: &impl fmt::Display) -> Position {
    let text = error.to_string();
    let numbers = text.rsplit(" at line ").next().and_then(|tail| tail.split_once(" column "));
    let position = numbers
        .and_then(|(line, column)| Some(Position { line: line.parse().ok()?, column: column.parse().ok()? }));
    position.unwrap_or(Position { line: 1, column: 1 })
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = Option<Position>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }
    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        self.refuse("")
    }
    fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
        self.refuse("")
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
        self.refuse(value)
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        self.refuse(value)
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        self.refuse(value)
    }
    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Self::Value, E> {
        self.refuse(value)
    }
    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Self::Value, E> {
        self.refuse(value)
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
        self.refuse(value)
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
        self.refuse(value)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut first = None;
        for index in 0.. {
            let path = self.path.item(index);
            let position = match seq.next_element_seed(self.child(path.clone())) {
                Ok(None) => break,
                Ok(Some(position)) => position,
                Err(error) => Some(place_of_refusal(error)?),
            };
            if let Some(position) = position {
                self.finder.places.borrow_mut().values.insert(path, position);
                first.get_or_insert(position);
            }
        }
        Ok(first)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut first = None;
        loop {
            let Err(error) = map.next_key_seed(self.child(KeyPath::root())).map(|key| key.is_some()) else {
                return Ok(first);
            };
            let position = place_of_refusal(error)?;
            first.get_or_insert(position);
            let path = self.path.key(&self.finder.text.borrow());
            self.finder.places.borrow_mut().keys.entry(path.clone()).or_default().push(position);
            if let Err(error) = map.next_value_seed(self.child(path.clone())) {
                let position = place_of_refusal(error)?;
                self.finder.places.borrow_mut().values.insert(path, position);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order_of_keys() {
        let node = parse("b: 1\na: 2\n").unwrap();
        assert_eq!(node, Node::Map(vec![("b".into(), Node::Integer(1)), ("a".into(), Node::Integer(2))]));
    }

    #[test]
    fn finds_the_place_of_keys_values_and_items() {
        let text = "a: 1\nb:\n  - x\n  - {c: 2, d: [3, 4]}\ne: {}\n";
        let places = Places::of(text);
        let at = |path: &KeyPath, mark| {
            let position = places.find(path, mark);
            (position.line, position.column)
        };
        let b = KeyPath::root().key("b");
        assert_eq!(at(&KeyPath::root().key("a"), Mark::Key), (1, 1));
        assert_eq!(at(&KeyPath::root().key("a"), Mark::Value), (1, 4));
        assert_eq!(at(&b, Mark::Value), (2, 1));
        assert_eq!(at(&b.item(0), Mark::Value), (3, 5));
        assert_eq!(at(&b.item(1).key("d"), Mark::Key), (4, 12));
        assert_eq!(at(&b.item(1).key("d").item(1), Mark::Value), (4, 19));
        assert_eq!(at(&KeyPath::root().key("e").key("missing"), Mark::Value), (5, 1));
    }

    #[test]
    fn finds_both_places_of_a_duplicate() {
        let text = "a: 1\nb: 2\na: 3\n";
        let found = duplicates(&parse(text).unwrap());
        assert_eq!(found, vec![KeyPath::root().key("a")]);
        let places = Places::of(text);
        assert_eq!(places.find(&KeyPath::root().key("a"), Mark::Key).line, 1);
        assert_eq!(places.find(&KeyPath::root().key("a"), Mark::SecondKey).line, 3);
    }

    #[test]
    fn ends_early_on_an_alias_bomb() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let before = format!("*a{}", level - 1);
            text += &format!("a{level}: &a{level} [{}]\n", vec![before; 9].join(", "));
        }
        assert!(parse(&text).is_err());
    }

    #[test]
    fn refuses_a_value_that_contains_itself() {
        assert!(parse("a: &a [*a]\n").is_err());
    }

    #[test]
    fn refuses_deep_nesting_quickly() {
        assert!(parse(&"[".repeat(1 << 20)).is_err());
        assert!(parse(&"- ".repeat(1 << 16)).is_err());
    }
}
