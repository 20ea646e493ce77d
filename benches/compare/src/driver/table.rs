//! The table: per load and figure the median of each contestant, its spread, and its ratio to the first.

use super::loads::Load;
use super::measure::Record;

/// Markdown, with what must be said about the runs below it.
pub fn render(records: &[Record], loads: &[Load], names: &[String]) -> String {
    let ratios: Vec<String> = names[1..].iter().map(|name| format!("{name} ÷ {}", names[0])).collect();
    let head: Vec<&str> =
        ["load", "figure"].into_iter().chain(names.iter().chain(&ratios).map(String::as_str)).collect();
    let mut out = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for load in loads {
        for figure in load.figures() {
            let of = |name: &String| values(records, load.name, name, figure);
            if names.iter().all(|name| of(name).is_empty()) {
                continue;
            }
            let mut cells = vec![load.name.to_owned(), (*figure).to_owned()];
            cells.extend(names.iter().map(|name| {
                let mark = if disturbed(records, load.name, name) { " \\*" } else { "" };
                cell(&of(name).iter().map(|value| value.1).collect::<Vec<_>>()) + mark
            }));
            cells.extend(names[1..].iter().map(|name| ratio(&of(&names[0]), &of(name))));
            out.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
    }
    out.push_str(&failovers(records, names));
    out.push_str(&remarks(records));
    out
}

/// Repetition and value of each run that has the figure.
fn values(records: &[Record], load: &str, name: &str, figure: &str) -> Vec<(u32, f64)> {
    let runs = records.iter().filter(|record| record.load == load && record.contestant == name);
    runs.filter_map(|record| Some((record.repetition, *record.figures.get(figure)?))).collect()
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some((low + high) / 2.0)
}

fn cell(values: &[f64]) -> String {
    let Some(median) = median(values) else { return "–".to_owned() };
    let (least, most) =
        values.iter().fold((f64::MAX, f64::MIN), |(low, high), &value| (low.min(value), high.max(value)));
    if least == most {
        number(median)
    } else {
        format!("{} ({}–{})", number(median), number(least), number(most))
    }
}

/// The median of the ratios within each repetition, so that drift of the machine falls out.
fn ratio(reference: &[(u32, f64)], other: &[(u32, f64)]) -> String {
    let pairs = other.iter().filter_map(|(repetition, value)| {
        let base = reference.iter().find(|base| base.0 == *repetition && base.1 != 0.0)?;
        Some(value / base.1)
    });
    median(&pairs.collect::<Vec<_>>()).map_or("–".to_owned(), |ratio| format!("{ratio:.2}"))
}

fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ if value == 0.0 => "0".to_owned(),
        _ => format!("{value:.2}"),
    }
}

/// Half of the calls of fo503_* fail over once: twice the difference to ok2_* is the price of one.
fn failovers(records: &[Record], names: &[String]) -> String {
    let mut out = String::new();
    for kind in ["sat64", "r1000"] {
        for name in names {
            let plain = values(records, &format!("ok2_{kind}"), name, "cpu_us");
            let failing = values(records, &format!("fo503_{kind}"), name, "cpu_us");
            let pairs = failing.iter().filter_map(|(repetition, value)| {
                let base = plain.iter().find(|base| base.0 == *repetition)?;
                Some(2.0 * (value - base.1))
            });
            let pairs: Vec<f64> = pairs.collect();
            if !pairs.is_empty() {
                out.push_str(&format!("\nCPU per failover, {kind}, {name}: {} µs", cell(&pairs)));
            }
        }
    }
    if out.is_empty() { out } else { format!("{out}\n(two loads compared: only good with --interleave)\n") }
}

fn disturbed(records: &[Record], load: &str, name: &str) -> bool {
    records
        .iter()
        .any(|record| record.load == load && record.contestant == name && record.disturbed.is_some())
}

fn remarks(records: &[Record]) -> String {
    let mut out = String::new();
    let disturbed = records.iter().filter(|record| record.disturbed.is_some()).count();
    if disturbed > 0 {
        let all = records.len();
        out.push_str(&format!(
            "\n- \\* others took processor time in {disturbed} of {all} runs; results.json says how much"
        ));
    }
    for record in records {
        let run = format!("{} {} #{}", record.load, record.contestant, record.repetition);
        if let Some(error) = &record.error {
            out.push_str(&format!("\n- **no figures**: {run}: {error}"));
        }
        let full = |name| record.figures.get(name).is_some_and(|share| *share > 0.97);
        if record.disturbed.is_none() && full("generator_busy") && !full("cpu_util") {
            out.push_str(&format!(
                "\n- the generator was the limit: {run}: calls/s are a lower bound, CPU per call is the figure"
            ));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::loads;

    fn record(contestant: &str, load: &str, repetition: u32, cpu_us: f64) -> Record {
        let figures = [("cpu_us", cpu_us)].into_iter().collect();
        Record { contestant: contestant.into(), load: load.into(), repetition, figures, ..Record::default() }
    }

    #[test]
    fn a_row_has_medians_spread_and_the_ratio_within_repetitions() {
        let mut records = Vec::new();
        for (repetition, base) in [(1, 100.0), (2, 200.0), (3, 60.0)] {
            records.push(record("a", "sat64", repetition, base));
            records.push(record("b", "sat64", repetition, base / 2.0));
        }
        let table = render(&records, &loads::find("sat64").unwrap(), &["a".into(), "b".into()]);
        assert!(table.contains("| sat64 | cpu_us | 100 (60.0–200) | 50.0 (30.0–100) | 0.50 |"), "{table}");
        assert!(!table.contains("answer_p50"), "{table}");
    }

    #[test]
    fn a_failover_costs_twice_the_paired_difference() {
        let records = [record("a", "ok2_sat64", 1, 50.0), record("a", "fo503_sat64", 1, 57.5)];
        let table = render(&records, &loads::find("fo503_sat64").unwrap(), &["a".into()]);
        assert!(table.contains("CPU per failover, sat64, a: 15.0 µs"), "{table}");
    }

    #[test]
    fn a_run_that_was_disturbed_or_failed_is_named() {
        let mut records = [record("a", "sat64", 1, 0.5), record("a", "sat64", 2, 0.5)];
        records[0].disturbed = Some("others".into());
        records[1].error = Some("it died".into());
        let table = render(&records, &loads::find("sat64").unwrap(), &["a".into()]);
        assert!(
            table.contains("| 0.50 \\* |")
                && table.contains("in 1 of 2 runs")
                && table.contains("sat64 a #2: it died"),
            "{table}"
        );
    }
}
