//! `devices`: the shipped profiles, and what this machine offers.

use super::failure::{Exit, Result};
use super::files::device;
use super::out::{Out, or_dash, percent, table};
use crate::device::{BUILT_IN, DeviceModel, Profile, Quantity};
use serde_json::json;

/// Lists device profiles with their held-out errors, or everything about one.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One device: a name, or a profile file.
    name: Option<String>,
    /// Runs a convolution through libtorch, compares it with known numbers, and prints versions and threads.
    #[arg(long, conflicts_with = "name")]
    self_test: bool,
}

pub fn run(args: &Args, out: &mut Out) -> Result {
    if args.self_test {
        return self_test(out);
    }
    match &args.name {
        Some(name) => one(name, out),
        None => all(out),
    }
}

#[cfg(feature = "torch")]
fn self_test(out: &mut Out) -> Result {
    let report = crate::torch::self_test()?;
    if out.is_json() {
        out.json(&json!(report))?;
    } else {
        out.text(&report.to_string())?;
    }
    Ok(Exit::Ok)
}

#[cfg(not(feature = "torch"))]
fn self_test(_: &mut Out) -> Result {
    Err(super::failure::Failure::Usage(
        "this program was built without libtorch (feature `torch`)".to_owned(),
    ))
}

fn one(name: &str, out: &mut Out) -> Result {
    let model = device(name)?;
    let profile = model.profile();
    if out.is_json() {
        out.json(&json!(profile))?;
        return Ok(Exit::Ok);
    }
    let p = &profile.provenance;
    let mut text = format!("{}\n", profile.name);
    let mut line = |label: &str, value: String| text.push_str(&format!("  {label:<10} {value}\n"));
    line("hardware", profile.hardware.clone());
    let batch = match profile.batch {
        [one, same] if one == same => format!("batch {one}"),
        [least, most] => format!("batch {least} to {most}"),
    };
    let runtime = &profile.runtime;
    let precision = profile.precision.as_deref();
    let precision = precision.unwrap_or("precision not stated");
    let threads = profile.threads.map(|n| many(n as usize, "thread"));
    let threads = threads.unwrap_or_else(|| "threads not stated".to_owned());
    line(
        "runtime",
        format!("{runtime}, {precision}, {threads}, {batch}"),
    );
    let counts = [
        (p.networks, "network"),
        (p.rows, "row"),
        (p.groups, "group"),
    ];
    let [networks, rows, groups] = counts.map(|(n, what)| many(n as usize, what));
    let data = &p.data;
    line(
        "data",
        format!("{data}: {rows} of {networks}, in {groups} that no test splits"),
    );
    line("origin", p.origin.clone());
    line("licence", p.licence.clone());
    let or_not = |text: &Option<String>| text.clone().unwrap_or_else(|| "not stated".to_owned());
    line("date", or_not(&p.date));
    let program = p.program.as_ref().map(|v| format!(" (blocksmith {v})"));
    line(
        "refit",
        format!("{}{}", or_not(&p.refit), program.unwrap_or_default()),
    );
    line("interval", interval(profile));
    let known: Vec<&str> = profile.known.iter().map(|k| k.network.as_str()).collect();
    if !known.is_empty() {
        let more = if known.len() > SHOWN { ", ..." } else { "" };
        let some = known
            .iter()
            .take(SHOWN)
            .copied()
            .collect::<Vec<_>>()
            .join(", ");
        let what = format!("{}: {some}{more}", many(known.len(), "network"));
        line("known", what);
    }
    for note in &p.notes {
        text.push_str(&format!("  note       {note}\n"));
    }
    text.push('\n');
    text.push_str(&held_out(profile));
    let rows = profile.kernels.iter().map(|(kind, k)| {
        let support = match &k.support {
            crate::device::Support::Fitted => "fitted".to_owned(),
            crate::device::Support::Adapted { from } => {
                format!("adapted from {from}: the rows tell little of it")
            }
            crate::device::Support::Transferred { from, rule } => {
                format!("transferred from {from}: {rule}")
            }
        };
        vec![format!("  {}", kind.name()), support]
    });
    text.push_str("\n\n");
    text.push_str(&table(&["  kernel", "rates"], &[0, 1], rows));
    out.text(&text)?;
    Ok(Exit::Ok)
}

/// Known networks that are listed by name.
const SHOWN: usize = 12;

/// `1 thread`, `2 threads`.
fn many(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// How wide predictions are, and how often that held where it was counted.
fn interval(profile: &Profile) -> String {
    let i = &profile.interval;
    let times = |log: f64| format!("{:.3}", log.exp());
    let mut text = format!(
        "{} % within a factor of {}",
        percent(i.level),
        times(i.latency_log)
    );
    if let Some(log) = i.energy_log {
        text.push_str(&format!(", energy {}", times(log)));
    }
    let counted = profile.held_out.iter().filter_map(|h| h.coverage);
    let counted: Vec<String> = counted.map(percent).collect();
    match counted.as_slice() {
        [] => text.push_str("; its coverage was not counted"),
        all => text.push_str(&format!(
            "; of rows held out it covered {} %",
            all.join(" and ")
        )),
    }
    text
}

fn all(out: &mut Out) -> Result {
    let mut models = Vec::new();
    for entry in BUILT_IN {
        models.push(DeviceModel::find(entry.name)?);
    }
    if out.is_json() {
        let rows = models.iter().map(|m| {
            let p = m.profile();
            json!({
                "name": p.name, "hardware": p.hardware, "runtime": p.runtime, "threads": p.threads,
                "precision": p.precision, "energy": p.energy_constant_j.is_some(), "held_out": p.held_out,
            })
        });
        out.json(&json!({"devices": rows.collect::<Vec<_>>()}))?;
        return Ok(Exit::Ok);
    }
    let rows = models.iter().map(|m| {
        let p = m.profile();
        let error = |q: Quantity| {
            let found = p.held_out.iter().find(|h| h.quantity == q).map(|h| h.mape);
            or_dash(found, percent)
        };
        vec![
            p.name.clone(),
            p.hardware.clone(),
            p.runtime.clone(),
            p.threads.map_or_else(|| "-".to_owned(), |t| t.to_string()),
            p.precision.clone().unwrap_or_else(|| "-".to_owned()),
            error(Quantity::Latency),
            error(Quantity::Energy),
            p.provenance.networks.to_string(),
        ]
    });
    let head = [
        "device",
        "hardware",
        "runtime",
        "threads",
        "precision",
        "latency error %",
        "energy error %",
        "networks",
    ];
    out.text(&table(&head, &[0, 1, 2, 4], rows))?;
    out.note("\nErrors are mean absolute percentage errors on networks never fitted; `blocksmith devices NAME` says how.");
    Ok(Exit::Ok)
}

/// Errors on networks held out of the fit, as a table.
pub fn held_out(profile: &Profile) -> String {
    let rows = profile.held_out.iter().map(|h| {
        let quantity = match h.quantity {
            Quantity::Latency => "latency",
            Quantity::Energy => "energy",
        };
        let tau = or_dash(h.tau, |t| format!("{t:.3}"));
        vec![
            format!("  {quantity}"),
            h.method.clone(),
            h.rows.to_string(),
            percent(h.mape),
            percent(h.median_ape),
            percent(h.within_10),
            tau,
        ]
    });
    let head = [
        "  held-out error",
        "method",
        "rows",
        "MAPE %",
        "median %",
        "within 10 %",
        "tau",
    ];
    table(&head, &[0, 1], rows)
}
