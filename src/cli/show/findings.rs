//! What guidelines find, as JSON and as text.

use crate::cli::out::{mj, ms, percent, scaled};
use crate::guidelines::{Change, Finding, GUIDELINES, Saving, Verdict};
use crate::ir::Op;
use crate::ir::ops::{Act, Conv};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// Characters of a line.
const WIDTH: usize = 100;

/// The most findings that are told in full.
const FULL: usize = 12;

/// The most runs of widths that a finding tells.
const WIDTHS: usize = 8;

/// As JSON: all of them, whatever they come to.
pub fn json(findings: &[Finding]) -> Value {
    let one = |f: &Finding| {
        let energy = |of: fn(&Saving) -> f64| f.energy.as_ref().map(of);
        let known = f.verdict != Verdict::Unknown;
        let time = |of: fn(&Saving) -> f64| known.then(|| of(&f.latency));
        let joules = |of: fn(&Saving) -> f64| energy(of).filter(|_| known);
        json!({
            "guideline": f.guideline.name, "title": f.guideline.title,
            "at": f.at, "nodes": f.nodes, "seen": f.seen, "remedy": f.done,
            "changes": f.changes.iter().map(change).collect::<Vec<_>>(),
            "verdict": f.verdict.name(),
            "latency_s": f.cost.latency, "energy_j": f.cost.energy,
            "macs": f.macs[0], "macs_remedied": f.macs[1],
            "latency_remedied_s": time(|s| s.after), "energy_remedied_j": joules(|s| s.after),
            "latency_saved_s": time(Saving::saved),
            "latency_saved_lo_s": time(Saving::lo), "latency_saved_hi_s": time(Saving::hi),
            "energy_saved_j": joules(Saving::saved),
            "energy_saved_lo_j": joules(Saving::lo), "energy_saved_hi_j": joules(Saving::hi),
        })
    };
    findings.iter().map(one).collect()
}

/// A node of the rewritten network, with the keys of a document: `op` and its parameters, `from`. What has other parameters
/// or reads something else has the old ones in `was`.
fn change(change: &Change) -> Value {
    match change {
        Change::Removed { node } => json!({"node": node, "change": "removed"}),
        Change::Node {
            node,
            op,
            inputs,
            was,
        } => {
            let of = |op: &Op, inputs: &[String]| {
                let mut keys = Map::from_iter([("op".to_owned(), json!(op.name()))]);
                keys.extend(parameters(op));
                keys.insert("from".to_owned(), json!(inputs));
                keys
            };
            let what = if was.is_some() { "changed" } else { "added" };
            let mut row = Map::from_iter([
                ("node".to_owned(), json!(node)),
                ("change".to_owned(), json!(what)),
            ]);
            let now = of(op, inputs);
            if let Some((old, read)) = was {
                let differs = |(key, value): &(String, Value)| now.get(key) != Some(value);
                let old: Map<String, Value> = of(old, read).into_iter().filter(differs).collect();
                row.insert("was".to_owned(), Value::Object(old));
            }
            row.extend(now);
            Value::Object(row)
        }
    }
}

/// The parameters of the ops that remedies make or change.
fn parameters(op: &Op) -> Map<String, Value> {
    let keys = match op {
        Op::Conv(Conv {
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
        }) => json!({
            "out_channels": out_channels, "kernel_size": kernel_size, "stride": stride, "padding": padding,
            "dilation": dilation, "groups": groups, "bias": bias,
        }),
        Op::Slice(slice) => json!({"begin": slice.begin, "end": slice.end}),
        Op::BatchNorm(norm) => json!({"eps": norm.eps.0}),
        Op::Act(Act::LeakyRelu(slope)) => json!({"negative_slope": slope.0}),
        _ => return Map::new(),
    };
    keys.as_object().cloned().unwrap_or_default()
}

/// For a person: what is worth it in full, the rest in a line each.
pub fn text(findings: &[Finding]) -> String {
    let mut text = String::from("  guidelines, and what the remedy would save\n");
    let of = |verdict| findings.iter().filter(move |f| f.verdict == verdict);
    let mut told = of(Verdict::Saves).peekable();
    if told.peek().is_none() {
        text.push_str("  no remedy saves more than the model's own error\n");
    }
    for finding in told.by_ref().take(FULL) {
        let _ = writeln!(text, "{}", full(finding));
    }
    let rest: Vec<&Finding> = told.collect();
    fold(&mut text, "more that save less", &rest, true);
    let within: Vec<&Finding> = of(Verdict::WithinError).collect();
    fold(&mut text, "within the model's own error", &within, true);
    let slower: Vec<&Finding> = of(Verdict::Costs).collect();
    fold(
        &mut text,
        "not worth it here, the remedy costs time",
        &slower,
        true,
    );
    let small: Vec<&Finding> = of(Verdict::Small).collect();
    fold(&mut text, "below 1 % either way", &small, false);
    let unknown: Vec<&Finding> = of(Verdict::Unknown).collect();
    fold(
        &mut text,
        "unknown, as the device lacks rates",
        &unknown,
        false,
    );
    text.trim_end().to_owned()
}

fn signed(show: fn(f64) -> String, value: f64) -> String {
    match value < 0.0 {
        true => format!("-{}", show(-value)),
        false => show(value),
    }
}

/// `0.116 ms (0.07 to 0.16)`.
fn saving(s: &Saving, show: fn(f64) -> String, unit: &str) -> String {
    let [mid, lo, hi] = [s.saved(), s.lo(), s.hi()].map(|x| signed(show, x));
    format!("{mid} {unit} ({lo} to {hi})")
}

/// A finding in full: where and what, then the remedy and what it saves.
fn full(f: &Finding) -> String {
    let what = format!("{} at {}: {}", f.guideline.title, f.at, f.seen);
    let mut done = format!("{}: saves {}", f.done, saving(&f.latency, ms, "ms"));
    let share = f.latency.saved() / f.latency.before.max(f64::MIN_POSITIVE);
    let _ = write!(done, ", {} %", percent(share));
    if let Some(energy) = &f.energy {
        let _ = write!(done, "; {}", saving(energy, mj, "mJ"));
    }
    let now = scaled(f.macs[0] as f64);
    if f.macs[0] == f.macs[1] {
        let _ = write!(done, "; MACs stay {now}");
    } else {
        let change = f.macs[1] as f64 / (f.macs[0] as f64).max(1.0) - 1.0;
        let _ = write!(done, "; MACs {now} {:+.2} %", 100.0 * change);
    }
    let mut text = format!("{}\n{}", wrap(f.guideline.name, &what), wrap("", &done));
    if let Some((shown, more)) = (!f.widths.is_empty()).then(|| widths(&f.widths)) {
        let _ = write!(text, "\n{}", wrap("", &format!("{shown}{more}")));
    }
    text
}

/// The first of the widths, and how many there are besides.
fn widths(all: &[String]) -> (String, String) {
    let shown = all.iter().take(WIDTHS).cloned().collect::<Vec<_>>();
    let more = match all.len().saturating_sub(WIDTHS) {
        0 => String::new(),
        n => format!("; {n} more in --format json"),
    };
    (shown.join("; "), more)
}

/// A line for findings that are not told in full; where a guideline has several, their range.
fn fold(text: &mut String, why: &str, findings: &[&Finding], figures: bool) {
    if findings.is_empty() {
        return;
    }
    let mut list = Vec::new();
    for guideline in GUIDELINES {
        let of: Vec<&&Finding> = findings
            .iter()
            .filter(|f| f.guideline.name == guideline.name)
            .collect();
        let saved = of.iter().map(|f| f.latency.saved());
        let (low, high) = saved.fold((f64::MAX, f64::MIN), |(l, h), s| (l.min(s), h.max(s)));
        let (low, high) = (signed(ms, low), signed(ms, high));
        let name = guideline.name;
        let place = |f: &Finding| {
            if f.at.is_empty() {
                String::new()
            } else {
                format!(" at {}", f.at)
            }
        };
        list.push(match of.as_slice() {
            [] => continue,
            [one] if figures => format!("{name}{} ({low} ms)", place(one)),
            [one] => format!("{name}{}", place(one)),
            several if figures => {
                format!("{name} in {} places ({low} to {high} ms)", several.len())
            }
            several => format!("{name} in {} places", several.len()),
        });
    }
    let _ = writeln!(text, "{}", wrap("", &format!("{why}: {}", list.join("; "))));
}

/// Words in lines below a margin.
fn wrap(margin: &str, words: &str) -> String {
    let mut lines = vec![format!("  {margin:<3}")];
    for word in words.replace(" %", "\u{a0}%").split(' ') {
        let room = lines.last().map_or(0, |l| l.chars().count()) + 1 + word.chars().count();
        if room > WIDTH {
            lines.push(" ".repeat(5));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n").replace('\u{a0}', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_sentences_are_wrapped_below_their_margin() {
        let text = wrap("G1", &"word ".repeat(40));
        assert!(text.lines().all(|l| l.chars().count() <= WIDTH), "{text}");
        assert!(text.starts_with("  G1  word"));
        assert!(
            text.lines().skip(1).all(|l| l.starts_with("      w")),
            "{text}"
        );
        let s = Saving {
            before: 2e-3,
            after: 3e-3,
            off: [5e-4; 2],
        };
        assert_eq!(saving(&s, ms, "ms"), "-1.00 ms (-1.50 to -0.500)");
    }
}
