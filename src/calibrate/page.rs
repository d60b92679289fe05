//! The page of shipped profiles, `docs/devices.md`, made from the profiles.

use crate::device::{HeldOut, Profile, Quantity, Support};
use std::collections::BTreeMap;
use std::fmt::Write as _;

const HEAD: &str = "\
# Device profiles

Generated from `results/devices/*.json`; a test holds it current. `blocksmith calibrate --public DIR --out results/devices`
fits all but `x86-*` again from the public tables, byte for byte; with `--report` it also predicts every split of the table in
[figures.md](figures.md) and prints that. `scripts/refit-own` fits `x86-*` again from this project's own rows in
`results/measurements`, byte for byte too.

A profile says what kernels cost on one device under one runtime. `blocksmith devices` lists them, `--device NAME` uses
one, `--device FILE` uses your own.

## How a profile is made

1. A network becomes kernels, one launch each, by the runtime's own rules: what it folds, what rides along, what it runs
   although a person would not (ONNX Runtime and TorchScript compute the all-zero edges of NAS-Bench-201, LiteRT does
   not; all three run equal relus of one value once). The measurements decided these rules.
2. A kernel's cost is linear in its work: MACs, MACs of one output column (ends of rows), elements read and written,
   those beyond the near caches, weights, and launches. Each kind of kernel has its own rates; none is below 0.
3. Work depends on shape as the runtime has it (`law` in the profile). In ncnn a dense 3x3 convolution multiplies Winograd
   tiles, whole ones only, so that a 7x7 map gains 3 times where a 56x56 map gains 4.4 times; its weights grow with the
   tiles; channels that are no multiple of four pay extra; few channels and few pixels run slowly; a grouped
   convolution runs group after group. On GPUs in half precision dense convolutions of 16 channels run at half speed, channels
   that are no multiple of 16 pay extra, grouped convolutions of such widths most of all, and layer norms pay for every row.
4. Rates are fitted to the relative error of whole networks. Where networks tell little, rates follow what is likely: of
   the Pi's runtimes each has its own (how much the ends of rows cost, what spills), which were chosen with all three input sizes of
   the developers' cells in view. First each kind gets a factor, then each rate; far-off rows count less. No kind is free: one
   that always comes with others and would be left without any time (the linear layer that every cell ends in) costs
   what a device with the same core says, or else a part of what is likely, and counts as transferred.
5. Boards and GPUs have few networks or few kinds of them, so they are fitted together: the logarithm of a rate is the
   device's speed, plus what is common to all, plus three directions in which devices differ, plus a little of its own.
6. PyTorch issues launches one by one while a GPU works them off, so the profiles from the HELP tables have two sides, and the
   slower one is the time: seconds to issue a launch (`host_s`) and to run it. At batch 1 issuing decides, at batch 64 the
   kernels do. Both sides of five GPUs are fitted at once, then each GPU by itself around that.
7. A phone with five networks (Paddle-Lite) is looked for among the boards under ncnn, beside the one with the same core.
8. Where single operators were measured beside networks (`x86-*`, and with `calibrate` any device of yours), rates are hardly
   pulled towards what is likely, and kinds have effects of their own (`effects` in the profile): few channels or pixels,
   whole vectors of channels, packs, steps, dilation, inputs that libtorch thinks too small for oneDNN, a launch a group, PReLU.
   An effect is kept where operators are predicted better from each other with it; networks have no say in that.
9. Groups of networks are held out in turn. Their errors are the figures below, and the 80 % quantile of their log errors
   is the interval around a prediction. A board's own twenty errors are joined by those of all boards, weighing as much.
   *covers* is the share of held-out rows inside an interval that they had no part in, *width* its width over its middle.
   Profiles from the HELP tables also know where the networks of each space lie (`regions`: kernels of each kind, MACs, elements
   moved). A network that lies there has the interval of others of that space at that batch, any other the one of spaces left out.

Energy is fitted like time, starting from the rates of time at one power for each sort of work; it is never time times a
constant.

## Networks that were measured

Profiles of boards and GPUs keep how far off the rates are on each network that was fitted (`known`). Exactly such a network
is predicted by what was measured, any other by the rates alone. With `calibrate --init` this carries over, where `--ops` has
the operators of such networks:

- beside one known GPU, the ratio of times follows from what a network makes of that GPU (multiply-accumulates, elements and
  launches a second, how much of what it moves convolutions move): a Gaussian process over the measured ones. After 20
  networks others are off by 3.6 to 4.8 %, where rates moved by the same 20 were off by 4.6 to 6.0;
- on a board under ncnn, times follow from how networks go together over 112 tables (`results/devices/peers/ncnn.json`: the
  conditional mean of a Gaussian, with what doublings of threads change). `calibrate --suggest 6 --init PROFILE` names the
  networks to measure: the others are then off by 8.4 %, after six drawn at random by 10.5.

Networks predicted so have intervals of their own: as wide as the measured ones, each predicted from the others, bear out. Where
the new device is of another kind than the known ones (compiled beside eager, RISC-V beside Arm) they widen with that, and
`calibrate` warns. Kinds of kernels that the rows do not have are transferred, none is dropped; kinds that they have but tell
little of are marked `adapted`.

## Transferred and uncovered

The Pi 5 cells have no depthwise, grouped or dilated convolution, no concatenation, no shuffle. Their rates come from ncnn
on the same core: the cost of a kind relative to an anchor kind (dense 1x1 convolution; relu) is taken to be
the same in both runtimes. Energy of such a kind is its time at the power of its anchor. The rule was tried on the kinds
that both have; the profile says by how much it misses, and the interval widens by that, times the transferred share of
the time. Kernels beyond the largest that the fit saw, a network shorter or longer than all it saw and a batch outside those
measured widen it too: by a tenth for each factor e, a rule of thumb.

A kind with no rates at all is *uncovered*: named, with its share of the work, never counted as zero without a word; time
and energy then have a lower end alone (`latency_hi_s` is null), for nothing says how long it takes. So is a linear layer
at many positions (of a transformer) and attention where only classifiers were measured, one multiply-add a weight.

Networks may also be given as [operator tables](operators.md).
";

/// The page.
pub fn render(profiles: &[Profile]) -> String {
    let mut page = HEAD.to_owned();
    let quantity = |title: &str, wanted: Quantity, page: &mut String| {
        let _ = writeln!(page, "\n## {title}\n");
        page.push_str("| profile | hardware | runtime | rows / groups | MAPE | median | within 10 % | tau | 80 % interval | covers | width |\n|---|---|---|---|---|---|---|---|---|---|---|\n");
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
                "| `{}` | {} | {} | {} / {} | {} | {width} | {} | {} |",
                profile.name,
                profile.hardware,
                profile.runtime,
                first.rows,
                first.groups,
                figures(first),
                share(first.coverage),
                share(first.width),
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
            profile
                .precision
                .as_deref()
                .unwrap_or("precision not stated"),
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
        let mut carried: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (kind, rates) in &profile.kernels {
            if let Support::Transferred { from, .. } = &rates.support {
                carried.entry(from).or_default().push(kind.name());
            }
        }
        if !profile.known.is_empty() {
            let _ = writeln!(page, "- keeps {} networks as measured", profile.known.len());
        }
        for (from, kinds) in carried {
            let _ = writeln!(page, "- transferred from {from}: {}", kinds.join(", "));
        }
    }
    page
}

fn share(part: Option<f64>) -> String {
    part.map_or("-".to_owned(), |p| format!("{:.0} %", 100.0 * p))
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
