//! The page of shipped profiles, `docs/devices.md`, made from the profiles.

use crate::device::{HeldOut, Profile, Quantity, Support};
use std::fmt::Write as _;

const HEAD: &str = "\
# Device profiles

Generated from `results/devices/*.json` by `blocksmith calibrate --public`; a test holds it current.

A profile says what kernels cost on one device under one runtime. `blocksmith devices` lists them, `--device NAME` uses
one, `--device FILE` uses your own.

## How a profile is made

1. A network becomes kernels, one launch each, by the runtime's own rules: what it folds, what rides along, what it runs
   although a person would not (ONNX Runtime and TorchScript compute the all-zero edges of NAS-Bench-201, LiteRT does
   not; all three run equal relus of one value once). The measurements decided these rules.
2. A kernel's cost is linear in its work: MACs, MACs of one output column (ends of rows), elements read and written,
   those beyond the near caches, weights, and one launch. Each kind of kernel has its own rates; none is below 0.
3. Rates are fitted to the relative error of whole networks, pulled gently towards likely rates where the data cannot
   tell; rows far off count less.
4. Groups of networks are held out in turn. Their errors are the figures below, and the 90 % quantile of their log errors
   (each group weighing the same) is the interval around a prediction.

Energy is fitted the same way, starting from the rates of time at one power.

## Transferred and uncovered

The Pi 5 cells have no depthwise, grouped or dilated convolution, no concatenation, no shuffle. Their rates come from ncnn
on the same core: the cost of a kind relative to an anchor kind (dense 1x1 convolution; relu) is taken to be
the same in both runtimes. Energy of such a kind is its time at the power of its anchor. ncnn computes in fp16 there, so
this is a rule of thumb that no table has checked: a profile marks these kinds `transferred`, and the interval widens by
up to a factor of 1.65 with their share of the time. It also widens where kernels lie beyond the largest that the fit saw,
or the batch outside those measured.

A kind with no rates at all is *uncovered*: named, with its share of the work, never counted as zero without a word.
";

/// The page.
pub fn render(profiles: &[Profile]) -> String {
    let mut page = HEAD.to_owned();
    let quantity = |title: &str, wanted: Quantity, page: &mut String| {
        let _ = writeln!(page, "\n## {title}\n");
        page.push_str("| profile | hardware | runtime | rows / groups | MAPE | median | within 10 % | tau | 90 % interval |\n|---|---|---|---|---|---|---|---|---|\n");
        for profile in profiles {
            let Some(first) = profile.held_out.iter().find(|h| h.quantity == wanted) else {
                continue;
            };
            let log = match wanted {
                Quantity::Latency => Some(profile.interval.latency_log),
                Quantity::Energy => profile.interval.energy_log,
            };
            let width = log.map_or("-".to_owned(), |l| format!("x {:.2}", l.exp()));
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {} / {} | {} | {width} |",
                profile.name,
                profile.hardware,
                profile.runtime,
                first.rows,
                first.groups,
                figures(first),
            );
        }
    };
    quantity(
        "Latency of networks that the fit had not seen",
        Quantity::Latency,
        &mut page,
    );
    quantity(
        "Energy of networks that the fit had not seen",
        Quantity::Energy,
        &mut page,
    );
    page.push_str("\n## From one input size to another\n\n| profile | of | test | MAPE | median | within 10 % | tau |\n|---|---|---|---|---|---|---|\n");
    for profile in profiles {
        let across = |h: &&HeldOut| h.method.starts_with("fitted on");
        for held in profile.held_out.iter().filter(across) {
            let of = match held.quantity {
                Quantity::Latency => "latency",
                Quantity::Energy => "energy",
            };
            let (name, method) = (&profile.name, &held.method);
            let _ = writeln!(page, "| `{name}` | {of} | {method} | {} |", figures(held));
        }
    }
    page.push_str("\n## Where each comes from\n");
    for profile in profiles {
        let from = &profile.provenance;
        let _ = writeln!(
            page,
            "\n**`{}`**: {}, {}, {}. {} rows of {} networks from {} ({}; licence: {}; {}). Held out: {}.",
            profile.name,
            profile.hardware,
            profile.runtime,
            profile.precision,
            from.rows,
            from.networks,
            from.data,
            from.origin,
            from.licence,
            from.date.as_deref().unwrap_or("no date stated"),
            profile
                .held_out
                .first()
                .map_or("nothing", |h| h.method.as_str()),
        );
        for note in &from.notes {
            let _ = writeln!(page, "- {note}");
        }
        let carried = profile
            .kernels
            .iter()
            .filter_map(|(kind, p)| match &p.support {
                Support::Fitted => None,
                Support::Transferred { from, .. } => Some(format!("{} ({from})", kind.name())),
            });
        let carried: Vec<String> = carried.collect();
        if !carried.is_empty() {
            let _ = writeln!(page, "- transferred: {}", carried.join(", "));
        }
    }
    page
}

fn figures(held: &HeldOut) -> String {
    let percent = |x: f64| format!("{:.1} %", 100.0 * x);
    format!(
        "{} | {} | {:.0} % | {}",
        percent(held.mape),
        percent(held.median_ape),
        100.0 * held.within_10,
        held.tau.map_or("-".to_owned(), |t| format!("{t:.3}")),
    )
}
