//! The last changes of state of all destinations together, for `sipwarden list --changes`.

use super::term::{self, Cell, Style, Tone};
use crate::admin::destinations::{ChangeView, Listing};

/// How many changes are shown.
const MAX: usize = 200;

/// The last changes, oldest first.
pub fn lines(style: Style, listing: &Listing) -> Vec<String> {
    let mut changes: Vec<(&ChangeView, &str, &str)> = Vec::new();
    for set in &listing.sets {
        for destination in &set.destinations {
            changes.extend(
                destination.changes.iter().map(|change| (change, set.name.as_str(), destination.id.as_str())),
            );
        }
    }
    // Times are of one form and one length, so that their texts sort as they do.
    changes.sort_by(|(a, ..), (b, ..)| a.at.cmp(&b.at));
    let shown = changes.split_at(changes.len().saturating_sub(MAX)).1;
    if shown.is_empty() {
        return vec!["no changes".to_owned()];
    }
    let head = ["TIME", "SET", "DESTINATION", "FROM", "TO", "WHY"];
    let mut rows = vec![head.map(|name| Cell::text(name).in_tone(Tone::Faint)).to_vec()];
    rows.extend(shown.iter().map(|(change, set, destination)| {
        let why = match &change.outcome {
            Some(outcome) => format!("{} ({outcome})", change.reason),
            None => change.reason.clone(),
        };
        vec![
            Cell::text(&change.at),
            Cell::text(*set),
            Cell::text(*destination),
            Cell::text(&change.from).in_tone(Tone::of_state(&change.from)),
            Cell::text(&change.to).in_tone(Tone::of_state(&change.to)),
            Cell::text(why),
        ]
    }));
    term::table(style, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::destinations::SetView;
    use crate::cli::list::tests::destination;

    fn listing(times: &[&str]) -> Listing {
        let set = |name: &str, times: &[&str]| {
            let mut one = destination(name, "down", 3);
            let change = one.changes.remove(0);
            one.changes =
                times.iter().map(|at| ChangeView { at: (*at).to_owned(), ..change.clone() }).collect();
            SetView {
                name: format!("set-{name}"),
                algorithm: "hash".to_owned(),
                all_down: false,
                destinations: vec![one],
            }
        };
        let (first, second) = times.split_at(times.len() / 2);
        Listing { sets: vec![set("a", first), set("b", second)] }
    }

    #[test]
    fn changes_of_all_destinations_stand_in_order_of_time() {
        let (early, late) = ("2026-01-01T00:00:00.000Z", "2026-01-01T00:00:05.000Z");
        assert_eq!(
            lines(Style::plain(), &listing(&[late, early])),
            [
                "  TIME                      SET    DESTINATION  FROM     TO    WHY",
                "  2026-01-01T00:00:00.000Z  set-b  b            unknown  down  probe (timeout)",
                "  2026-01-01T00:00:05.000Z  set-a  a            unknown  down  probe (timeout)",
            ]
        );
        assert_eq!(lines(Style::plain(), &listing(&[])), ["no changes"]);
    }

    #[test]
    fn the_last_two_hundred_are_shown() {
        let times: Vec<String> = (0..300).map(|n| format!("2026-01-01T00:00:00.{n:03}Z")).collect();
        let lines = lines(Style::plain(), &listing(&times.iter().map(String::as_str).collect::<Vec<_>>()));
        assert_eq!(lines.len(), MAX + 1);
        assert!(lines[1].contains(".100Z") && lines[MAX].contains(".299Z"), "{lines:?}");
    }
}
