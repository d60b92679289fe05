//! Networks side by side, each against the first.

use super::device::{Between, OnDevice, three};
use super::{Args, Network, counts};
use crate::base::diag::{Diagnostic, nearest};
use crate::base::path::JsonPath;
use crate::cli::failure::{Exit, Failure, Result};
use crate::cli::files::{self, Loaded};
use crate::cli::out::{Out, grouped, mj, ms, scaled, table};
use crate::cost::Totals;
use crate::space::ast::DecisionId;
use serde_json::{Map, Value, json};

/// The most values that are put side by side.
const MAX_COLUMNS: u32 = 64;

/// Characters that a line of the table has at most, where its columns are not wider by themselves.
const WIDTH: usize = 110;

/// A network in a column.
struct Column {
    label: String,
    file: String,
    net: Network,
}

/// The values of one decision side by side.
pub fn decision(args: &Args, loaded: &Loaded, id: &str, out: &mut Out) -> Result {
    let space = &loaded.space;
    let invalid = |d: Diagnostic| Failure::invalid(&loaded.file, d.into());
    let Some(decision) = space.decision(id) else {
        let known = space.decisions().iter().map(|d| d.id());
        let problem = Diagnostic::error(JsonPath::root(), format!("no decision {id:?}"));
        return Err(invalid(match nearest(id, known.take(1000)) {
            Some(near) => problem.hint(format!("did you mean {near:?}?")),
            None => problem,
        }));
    };
    let count = match space.decisions().get(decision.0 as usize) {
        Some(d) if d.fixed().is_some() => {
            return Err(Failure::Usage(format!(
                "--compare {id}: it is fixed with --set"
            )));
        }
        Some(d) if d.count() > MAX_COLUMNS => {
            return Err(Failure::Usage(format!(
                "--compare {id}: it has {} values, and at most {MAX_COLUMNS} are put side by side",
                d.count()
            )));
        }
        found => found.map_or(0, |d| d.count()),
    };
    let mut columns = Vec::new();
    for index in 0..count {
        match option(args, loaded, decision, index)? {
            Some(column) => columns.push(column),
            None => out.note(&format!(
                "note: the constraints turn down value {} of {count} of {id}",
                index + 1
            )),
        }
    }
    if columns.is_empty() {
        return Err(files::none(&loaded.file));
    }
    write(args, &columns, Some((space.name(), id)), out)
}

fn option(
    args: &Args,
    loaded: &Loaded,
    decision: DecisionId,
    index: u32,
) -> Result<Option<Column>> {
    let space = loaded.space.fix_at(decision, index);
    let Some(assignment) = files::the_only(&loaded.file, &space)? else {
        return Ok(None);
    };
    let id = space.decisions().get(decision.0 as usize);
    let id = id.map_or("", |d| d.id());
    if assignment.get(decision).is_none() {
        return Err(Failure::Usage(format!(
            "--compare {id}: it belongs to an option or a copy that is not taken"
        )));
    }
    let label = match &space.assignment_to_json(&assignment)[id] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let graph = files::lower(loaded, &assignment)?;
    Ok(Some(Column {
        label,
        file: loaded.file.clone(),
        net: Network::of(space.name(), graph, args)?,
    }))
}

/// Documents side by side; each `--set` must be of at least one.
pub fn documents(
    args: &Args,
    loaded: Vec<Loaded>,
    pairs: &[(&str, &str)],
    out: &mut Out,
) -> Result {
    let has = |l: &Loaded, id: &str| l.space.decision(id).is_some();
    if let Some((id, _)) = pairs
        .iter()
        .find(|(id, _)| !loaded.iter().any(|l| has(l, id)))
    {
        return Err(Failure::Usage(format!(
            "--set {id}: none of the files has this decision"
        )));
    }
    let mut columns: Vec<Column> = Vec::new();
    for document in loaded {
        let own: Vec<(&str, &str)> = pairs
            .iter()
            .copied()
            .filter(|(id, _)| has(&document, id))
            .collect();
        let document = document.fix(&own)?;
        let assignment = files::the_only(&document.file, &document.space)?
            .ok_or_else(|| files::none(&document.file))?;
        let graph = files::lower(&document, &assignment)?;
        columns.push(Column {
            label: document.space.name().to_owned(),
            net: Network::of(document.space.name(), graph, args)?,
            file: document.file,
        });
    }
    let named: Vec<String> = columns.iter().map(|c| c.label.clone()).collect();
    for column in &mut columns {
        let alike = named.iter().filter(|n| **n == column.label).count();
        if alike > 1 || column.label.is_empty() {
            column.label = column.file.clone();
        }
    }
    write(args, &columns, None, out)
}

/// One figure of a network.
struct Figure {
    /// Its name in JSON.
    key: &'static str,
    /// Its name for a person.
    label: &'static str,
    value: Option<f64>,
    text: String,
}

/// The figures of a network, device by device; those of no device come first.
fn figures(net: &Network) -> Vec<(Option<&str>, Vec<Figure>)> {
    let t = &net.counts.totals;
    let count = |key, label, n: u64| Figure {
        key,
        label,
        value: Some(n as f64),
        text: grouped(n),
    };
    let bound = net.counts.bounds.mem_access_bound_elems;
    let above = (bound > 0.0).then(|| t.mem_access_elems as f64 / bound);
    let peak = counts::peak_bytes(&net.counts);
    let counted = vec![
        count("params", "parameters", t.params),
        count("macs", "MACs", t.macs),
        count("mem_access_elems", "memory access", t.mem_access_elems),
        count(
            "mem_access_bound_elems",
            "  its lower bound",
            bound.round() as u64,
        ),
        Figure {
            key: "mem_access_over_bound",
            label: "  times its bound",
            value: above,
            text: above.map_or_else(dash, |x| format!("{x:.2}")),
        },
        count("conv_out_elems", "conv outputs", t.conv_out_elems),
        Figure {
            text: format!("{}B", scaled(peak as f64)),
            ..count("peak_activation_bytes", "peak activations", peak)
        },
        count("n_conv", "convolutions", t.n_conv),
    ];
    let mut all = vec![(None, counted)];
    for device in &net.devices {
        all.push((Some(device.name()), predicted(device, t)));
    }
    all
}

/// What a device makes of a network. A figure that leaves work out is marked.
fn predicted(device: &OnDevice, totals: &Totals) -> Vec<Figure> {
    let mark = |text: String| match device.uncovered().is_empty() {
        true => text,
        false => format!(">{text}"),
    };
    let row = |key, label, value: Option<f64>, show: &dyn Fn(f64) -> String| Figure {
        key,
        label,
        value,
        text: value.map_or_else(dash, show),
    };
    let ends = |b: Between| Figure {
        key: "",
        label: "    from-to",
        value: None,
        text: b.ends(ms),
    };
    let time = device.latency();
    let latency = Some(time.mid);
    let mut rows = vec![
        row("latency_s", "  latency, ms", latency, &|s| mark(ms(s))),
        ends(time),
    ];
    if let Some(energy) = device.energy_per_image() {
        let key = "energy_per_image_j";
        let joules = Some(energy.mid);
        rows.push(row(key, "  energy an image, mJ", joules, &|j| mark(mj(j))));
        rows.push(ends(energy));
        let key = "average_power_w";
        rows.push(row(key, "  average power, W", device.power(), &three));
    }
    let efficiency = device.efficiency(totals).map(|e| e.mid);
    let giga = |x: f64| three(x * 1e-9);
    let key = "efficiency_macs_per_s";
    rows.push(row(key, "  efficiency, GMAC/s", efficiency, &giga));
    rows
}

fn dash() -> String {
    "-".to_owned()
}

fn ratio(value: Option<f64>, first: Option<f64>) -> Option<f64> {
    let (value, first) = (value?, first?);
    (first != 0.0).then(|| value / first)
}

fn write(args: &Args, columns: &[Column], of: Option<(&str, &str)>, out: &mut Out) -> Result {
    if out.is_json() {
        let networks: Vec<Value> = columns.iter().map(|c| json_of(args, columns, c)).collect();
        let document = json!({
            "space": of.map(|(space, _)| space), "compare": of.map(|(_, id)| id), "batch": args.batch,
            "networks": networks,
        });
        out.json(&document)?;
    } else {
        out.text(&text_of(args, columns, of))?;
    }
    Ok(Exit::Ok)
}

fn json_of(args: &Args, columns: &[Column], column: &Column) -> Value {
    let mut document = column.net.json(args.batch);
    document["label"] = json!(column.label);
    document["file"] = json!(column.file);
    let first = columns.first().map_or_else(Vec::new, |c| figures(&c.net));
    let (mut ratios, mut devices) = (Map::new(), Map::new());
    for ((device, rows), (_, firsts)) in figures(&column.net).iter().zip(&first) {
        let ratio_of = |(row, first): (&Figure, &Figure)| {
            (row.key.to_owned(), json!(ratio(row.value, first.value)))
        };
        let pairs = rows.iter().zip(firsts).filter(|(r, _)| !r.key.is_empty());
        let pairs = pairs.map(ratio_of);
        match device {
            None => ratios.extend(pairs),
            Some(name) => {
                devices.insert((*name).to_owned(), Value::Object(pairs.collect()));
            }
        }
    }
    ratios.insert("devices".into(), Value::Object(devices));
    document["ratio_to_first"] = Value::Object(ratios);
    document
}

/// A column of the table: what stands above it, and a text a row.
type Texts = (String, Vec<String>);

fn text_of(args: &Args, columns: &[Column], of: Option<(&str, &str)>) -> String {
    let all: Vec<Vec<(Option<&str>, Vec<Figure>)>> =
        columns.iter().map(|c| figures(&c.net)).collect();
    let Some(first) = all.first() else {
        return String::new();
    };
    let mut labels = Vec::new();
    for (device, rows) in first {
        if let Some(device) = device {
            labels.push(match args.batch {
                1 => (*device).to_owned(),
                n => format!("{device}, batch {n}"),
            });
        }
        labels.extend(rows.iter().map(|r| r.label.to_owned()));
    }
    let column = |groups: &[(Option<&str>, Vec<Figure>)], is_first: bool| -> [Vec<String>; 2] {
        let (mut values, mut ratios) = (Vec::new(), Vec::new());
        for ((device, rows), (_, firsts)) in groups.iter().zip(first) {
            if device.is_some() {
                values.push(String::new());
                ratios.push(String::new());
            }
            for (row, first) in rows.iter().zip(firsts) {
                values.push(row.text.clone());
                let ratio = ratio(row.value, first.value).filter(|_| !is_first);
                ratios.push(ratio.map_or_else(String::new, |x| format!("x{x:.2}")));
            }
        }
        [values, ratios]
    };
    let mut blocks: Vec<Vec<Texts>> = Vec::new();
    let mut used = usize::MAX;
    let head = of.map_or("", |(_, id)| id);
    let wide = |texts: &[String]| texts.iter().map(|t| t.chars().count()).max().unwrap_or(0);
    let label_width = wide(&labels).max(head.chars().count());
    for (k, (groups, c)) in all.iter().zip(columns).enumerate() {
        let [values, ratios] = column(groups, k == 0);
        let mut pair = vec![(c.label.clone(), values)];
        if k > 0 {
            pair.push((String::new(), ratios));
        }
        let width: usize = pair
            .iter()
            .map(|(h, t)| 2 + wide(t).max(h.chars().count()))
            .sum();
        if used.saturating_add(width) > WIDTH {
            blocks.push(Vec::new());
            used = label_width;
        }
        used += width;
        if let Some(block) = blocks.last_mut() {
            block.extend(pair);
        }
    }
    let tables = blocks.iter().map(|block| {
        let heads = std::iter::once(head).chain(block.iter().map(|(h, _)| h.as_str()));
        let rows = labels.iter().enumerate().map(|(i, label)| {
            let cells = block.iter().filter_map(|(_, t)| t.get(i).cloned());
            std::iter::once(label.clone()).chain(cells).collect()
        });
        table(&heads.collect::<Vec<_>>(), &[0], rows)
    });
    let mut parts: Vec<String> = of.map(|(space, _)| space.to_owned()).into_iter().collect();
    parts.extend(tables);
    parts.extend(notes(columns));
    parts.join("\n\n")
}

/// What must be known to read the table.
fn notes(columns: &[Column]) -> Option<String> {
    let mut notes = Vec::new();
    if let [first, _, ..] = columns {
        notes.push(format!("x: times the figure of {}", first.label));
    }
    let devices = || columns.iter().flat_map(|c| &c.net.devices);
    if let Some(device) = devices().next() {
        let level = device.level() * 100.0;
        notes.push(format!("from-to: the range that holds {level:.0} %"));
    }
    let mut uncovered: Vec<String> = devices()
        .filter(|d| !d.uncovered().is_empty())
        .map(|d| format!("> {} has no rates for {}", d.name(), d.uncovered()))
        .collect();
    uncovered.sort();
    uncovered.dedup();
    notes.extend(uncovered);
    (!notes.is_empty()).then(|| notes.join("\n"))
}
