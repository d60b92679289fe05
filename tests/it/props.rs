//! Every listed op and block on random parameters within what it documents: it is built and counted rightly, or the
//! answer says what would fit, and that is so.

use crate::draws::{Draw, draw, listed};
use crate::naive;
use blocksmith::base::diag::Diagnostics;
use blocksmith::blocks::BlockDef;
use blocksmith::cost::{Scratch, Totals};
use blocksmith::ir::{Graph, Op, verify};
use blocksmith::space::signature::ParamKind;
use rayon::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;

/// Draws of each entry.
const DRAWS: u64 = 80;

/// The least share of draws of any entry that must be built.
const LEAST: f64 = 0.1;

/// Parameters, multiply-adds, convolutions and elements of their outputs, by windows that are slid until they end.
fn recount(graph: &Graph) -> [u64; 4] {
    let mut sums = [0; 4];
    let live = graph.live();
    for id in graph.ids() {
        let inputs = graph.inputs(id);
        let of = inputs.first().map(|x| graph.shape(*x));
        let (c, (h, w)) = of.map_or((0, (0, 0)), |s| (u64::from(s.channels()), s.hw()));
        let [params, macs, conv, out] = match graph.node(id).op {
            Op::Conv(k) => {
                let axis = |i: usize, n: u32| {
                    let (k, s, p, d) = (k.kernel_size[i], k.stride[i], k.padding[i], k.dilation[i]);
                    naive::slide(n, k, s, p, d, false).len() as u64
                };
                let pixels = axis(0, h) * axis(1, w);
                let filters = u64::from(k.out_channels);
                let taps: u64 = k.kernel_size.map(u64::from).iter().product();
                let weights = filters * (c / u64::from(k.groups)) * taps;
                let bias = if k.bias { filters } else { 0 };
                [weights + bias, weights * pixels, 1, filters * pixels]
            }
            Op::Linear(l) => {
                let weights = c * u64::from(l.out_features);
                let bias = if l.bias { u64::from(l.out_features) } else { 0 };
                [weights + bias, weights, 0, 0]
            }
            Op::BatchNorm(_) => [2 * c, 0, 0, 0],
            Op::Act(blocksmith::ir::ops::Act::Prelu) | Op::L2Norm(_) => [c, 0, 0, 0],
            Op::ChannelConv(k) => [u64::from(k.kernel_size), 0, 0, 0],
            _ => [0; 4],
        };
        sums[0] += params;
        if live[id.index()] {
            sums[1] += macs;
            sums[2] += conv;
            sums[3] += out;
        }
    }
    sums
}

fn totals(graph: &Graph) -> Totals {
    Totals::of(graph, &mut Scratch::default()).unwrap()
}

fn check_counts(draw: &Draw, graph: &Graph) {
    verify::verify(graph).unwrap_or_else(|e| panic!("{draw:?}: {e:?}"));
    let t = totals(graph);
    assert_eq!(
        [t.params, t.macs, t.n_conv, t.conv_out_elems],
        recount(graph),
        "{draw:?}"
    );
    let elems: u64 = graph.ids().map(|id| graph.shape(id).elems()).sum();
    if t.macs + elems > 60_000 {
        return;
    }
    // small enough to run
    let run = naive::run(graph, &crate::graph::inputs_of(graph, |_, _, _| 1.0));
    for (id, value) in graph.ids().zip(&run.values) {
        assert_eq!(value.as_ref().unwrap().shape(), graph.shape(id), "{draw:?}");
    }
    let live = graph.live();
    let done = |f: &dyn Fn(&naive::Done) -> u64| {
        let live = graph.ids().filter(|id| live[id.index()]);
        live.map(|id| f(&run.done[id.index()])).sum::<u64>()
    };
    let learned: usize = run.done.iter().map(|d| d.learned.len()).sum();
    assert_eq!(learned as u64, t.params, "{draw:?}");
    assert_eq!(done(&|d| d.macs), t.macs, "{draw:?}");
}

/// What is told of a draw that cannot be built names a rule and a way out, and the way out leads out: the draws that it
/// leads to are built and counted rightly.
fn check_told(draw: &Draw, problems: &Diagnostics) -> Vec<Draw> {
    assert_eq!(problems.len(), 1, "{draw:?}: {problems}");
    let problem = problems.iter().next().unwrap();
    assert!(
        problem.path.to_string().starts_with(&draw.path()),
        "{draw:?}: {problem:?}"
    );
    assert!(problem.message.len() > 15, "{draw:?}: {problem:?}");
    assert!(
        !problem.message.contains("invalid"),
        "{draw:?}: {problem:?}"
    );
    assert!(
        !problem.fits.is_empty() && !problem.hints.is_empty(),
        "{draw:?} is left without a way out:\n{problems}"
    );
    let mut all = Vec::new();
    for change in &problem.fits {
        let mut mended = draw.clone();
        for fit in change {
            assert!(mended.set(&fit.at, &fit.value), "{draw:?}: {fit:?}");
        }
        match mended.lower() {
            Ok(graph) => check_counts(&mended, &graph),
            Err(still) => {
                panic!("{draw:?} with {change:?} is still wrong:\n{still}\nafter\n{problems}")
            }
        }
        // the hint says in words what the list says for programs
        for fit in change {
            let value = match &fit.value {
                Value::Null => "leaving out".to_owned(),
                value => value.to_string(),
            };
            assert!(
                problem.hints.iter().any(|h| h.contains(&value)),
                "{problem:?}"
            );
        }
        all.push(mended);
    }
    all
}

/// Words and flags that a draw uses.
fn switches<'a>(def: &'a BlockDef, draw: &Draw) -> impl Iterator<Item = (&'a str, String)> {
    let used = |name: &str| draw.node.get(name).map(Value::to_string);
    let found: Vec<_> = def
        .params
        .iter()
        .filter(|p| matches!(p.kind, ParamKind::Word(_) | ParamKind::Bool))
        .filter_map(|p| Some((p.name, used(p.name)?)))
        .collect();
    found.into_iter()
}

/// Whether some draw with this word or flag can be built.
fn built_with(def: &BlockDef, name: &str, value: &str) -> bool {
    let value: Value = serde_json::from_str(value).unwrap();
    (0..10 * DRAWS).any(|number| {
        let mut draw = draw(def, 2, number);
        draw.node.insert(name.to_owned(), value.clone());
        draw.builds()
    })
}

#[test]
fn every_example_is_built_and_counted() {
    for def in listed() {
        let draw = Draw::example(def);
        let graph = draw.lower().unwrap_or_else(|e| panic!("{}: {e}", def.name));
        check_counts(&draw, &graph);
    }
}

#[test]
fn every_draw_is_built_and_counted_or_told_what_would_fit() {
    let poor = |def: &'static BlockDef| {
        let mut poor = Vec::new();
        let (mut built, mut seen) = (0, BTreeSet::new());
        for number in 0..DRAWS {
            let draw = draw(def, 1, number);
            match draw.lower() {
                Ok(graph) => {
                    built += 1;
                    seen.extend(switches(def, &draw));
                    check_counts(&draw, &graph);
                }
                Err(problems) => {
                    for mended in check_told(&draw, &problems) {
                        seen.extend(switches(def, &mended));
                    }
                }
            }
        }
        let share = f64::from(built) / DRAWS as f64;
        println!(
            "{}: {:.0} % of the draws are built",
            def.name,
            100.0 * share
        );
        if share < LEAST {
            poor.push(format!("{}: {share}", def.name));
        }
        // no word and no flag may be for show
        for param in def.params {
            let values: Vec<String> = match param.kind {
                ParamKind::Bool => vec!["true".to_owned(), "false".to_owned()],
                ParamKind::Word(of) => of.iter().map(|w| format!("{w:?}")).collect(),
                _ => Vec::new(),
            };
            for value in values {
                let seen = seen.contains(&(param.name, value.clone()));
                if !seen && !built_with(def, param.name, &value) {
                    poor.push(format!("{}: no draw with {} {value}", def.name, param.name));
                }
            }
        }
        poor
    };
    let listed: Vec<_> = listed().collect();
    let poor: Vec<String> = listed.into_par_iter().flat_map_iter(poor).collect();
    assert!(poor.is_empty(), "{}", poor.join("\n"));
}
