//! What `measure` tells a person.

use super::Args;
use crate::cli::failure::Result;
use crate::cli::out::{Out, mj, ms, or_dash, percent, table};
use crate::measure::suite::{GUIDELINES, Guideline, Line};
use crate::measure::{Context, Item, Record, Row};
use serde_json::json;

/// What is wrong with a run, on stderr.
pub fn warnings(rows: &[Row], items: &[Item], records: &[Record], replayed: usize, out: &Out) {
    if replayed > 0 {
        out.note(&format!("note: {replayed} windows were there already"));
    }
    for record in records {
        if let Record::Failed(failed) = record {
            let name = items.get(failed.item).map_or("", |i| i.name.as_str());
            out.error(&format!("error: {name} does not run: {}", failed.error));
        }
    }
    let flagged = |word: &str| {
        let has = |r: &&Row| {
            r.flags
                .as_deref()
                .is_some_and(|f| f.split(',').any(|f| f == word))
        };
        rows.iter().filter(has).count()
    };
    let all = rows.len();
    for (word, text) in [
        (
            "disturbed",
            "have no undisturbed runs to speak of: other processes had the processors",
        ),
        ("disagrees", "have no two windows that agree"),
        ("unsteady", "had not settled when their warm-up ended"),
    ] {
        let n = flagged(word);
        if n > 0 {
            out.note(&format!(
                "warning: {n} of {all} networks {text} (column `flags`)"
            ));
        }
    }
    let drift = rows.iter().find_map(|r| r.drift_share);
    if flagged("drift") > 0 {
        let share = drift.unwrap_or(0.0);
        let (size, word) = (
            percent(share.abs()),
            if share > 0.0 { "more" } else { "less" },
        );
        out.note(&format!(
            "warning: the first network took {size} % {word} time at the end of the run than at its start"
        ));
    }
}

/// The rows, and the tables of the guidelines where they were measured.
pub fn result(args: &Args, rows: &[Row], context: &Context, out: &mut Out) -> Result<()> {
    if out.is_json() {
        let file = args.out.display().to_string();
        out.json(&json!({"out": file, "run": context, "rows": rows}))?;
        return Ok(());
    }
    let mut text = vec![rows_text(rows)];
    if args.suite.iter().any(|s| s == "guidelines") {
        text.extend(GUIDELINES.iter().map(|g| guideline(g, rows)));
    }
    text.push(format!(
        "{} networks on {}, {} {}, {}, {} threads, batch {}, {}: {}",
        rows.len(),
        context.hardware.as_deref().unwrap_or(&context.device),
        context.runtime,
        context.runtime_version,
        context.precision,
        context.threads,
        context.batch,
        context.form,
        args.out.display()
    ));
    out.text(&text.join("\n\n"))?;
    Ok(())
}

fn rows_text(rows: &[Row]) -> String {
    let head = [
        "network", "ms", "p10", "p90", "runs", "left out", "windows", "agree %", "mJ", "flags",
    ];
    let line = |r: &Row| {
        vec![
            r.item.name.clone(),
            ms(r.latency_s),
            ms(r.spread.latency_p10_s),
            ms(r.spread.latency_p90_s),
            r.spread.runs.to_string(),
            r.spread.disturbed_runs.to_string(),
            r.rounds.to_string(),
            or_dash(r.agreement_share, percent),
            or_dash(r.energy_j, mj),
            r.flags.clone().unwrap_or_default(),
        ]
    };
    table(&head, &[0, 9], rows.iter().map(line))
}

/// A table of the paper: our figures, and relative to its first line ours beside the printed ones.
fn guideline(guideline: &Guideline, rows: &[Row]) -> String {
    let lines = (guideline.lines)();
    let measured = |line: &Line| -> Vec<Option<f64>> {
        let of = |choices: &serde_json::Value| {
            let choices = choices.to_string();
            let row = rows.iter().find(|r| {
                r.item.choices.as_deref() == Some(&choices)
                    && r.item.family.as_deref() == Some(guideline.name)
            });
            row.map(|r| match guideline.rate {
                true => 1.0 / r.latency_s,
                false => r.latency_s * 1e3,
            })
        };
        line.choices.iter().map(of).collect()
    };
    let ours: Vec<Vec<Option<f64>>> = lines.iter().map(measured).collect();
    let columns = guideline.columns.iter();
    let mut head = vec![String::new()];
    head.extend(columns.clone().map(|c| format!("here {c}")));
    head.extend(columns.clone().map(|c| format!("rel. {c}")));
    let has_arm = lines.iter().any(|l| !l.arm.is_empty());
    if has_arm {
        head.extend(columns.clone().map(|c| format!("Arm {c}")));
    }
    head.extend(columns.map(|c| format!("GPU {c}")));
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let relative = |x: Option<f64>, first: Option<f64>| match (x, first) {
        (Some(x), Some(first)) if first > 0.0 => format!("{:.2}", x / first),
        _ => "-".to_owned(),
    };
    let first = ours.first().cloned().unwrap_or_default();
    let printed = |line: &[f64], first: Option<&Vec<f64>>| -> Vec<String> {
        let first = |i: usize| first.and_then(|f| f.get(i)).copied();
        let cell = |(i, x): (usize, &f64)| relative(Some(*x), first(i));
        line.iter().enumerate().map(cell).collect()
    };
    let body = lines.iter().zip(&ours).map(|(line, own)| {
        let mut cells = vec![line.head.to_owned()];
        cells.extend(own.iter().map(|x| or_dash(*x, |x| format!("{x:.1}"))));
        let pairs = own.iter().zip(&first);
        cells.extend(pairs.map(|(x, f)| relative(*x, *f)));
        if has_arm {
            cells.extend(printed(&line.arm, lines.first().map(|l| &l.arm)));
        }
        cells.extend(printed(&line.gpu, lines.first().map(|l| &l.gpu)));
        cells
    });
    format!(
        "{}: {}\nhere: {}; relative to the first line: here, and as printed\n{}",
        guideline.name,
        guideline.title,
        if guideline.rate { "images/s" } else { "ms" },
        table(&head, &[0], body)
    )
}
