//! Raspberry Pi 5 profiles from the measured NAS-Bench-201 cells.

use super::error::CalibrateError;
use super::fit::{Fitted, Options, errors, fit, powered, solve};
use super::priors::{self, Work};
use super::public::About;
use super::sample::Sample;
use crate::base::table::Table;
use crate::blocks::{self, Names};
use crate::device::{HeldOut, Law, Provenance, Quantity};
use crate::fuse::{FuseRules, KernelKind, fuse};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Elements of fp32 that a Cortex-A76's 512 KiB second-level cache holds.
pub const A76_CACHE_ELEMS: f64 = 131_072.0;

/// The shipped space of the cells.
const SPACE: &str = include_str!("../../search_spaces/nasbench201.json");

/// What a runtime is called in the table and in profiles.
#[derive(Clone, Copy, Debug)]
pub struct Runtime {
    /// In the table.
    pub framework: &'static str,
    /// The profile.
    pub profile: &'static str,
    /// For people.
    pub title: &'static str,
    /// How it fuses.
    pub rules: fn() -> FuseRules,
    /// Its rates before any data.
    pub prior: fn() -> priors::Runtime,
}

/// The runtimes of the table.
pub const RUNTIMES: [Runtime; 3] = [
    Runtime {
        framework: "litert",
        profile: "pi5-litert",
        title: "LiteRT (TensorFlow Lite) with XNNPACK",
        rules: FuseRules::litert,
        prior: priors::litert,
    },
    Runtime {
        framework: "onnx",
        profile: "pi5-onnx",
        title: "ONNX Runtime, CPU",
        rules: FuseRules::onnx,
        prior: priors::onnx,
    },
    Runtime {
        framework: "torchmobile",
        profile: "pi5-torchmobile",
        title: "PyTorch Mobile, optimised TorchScript",
        rules: FuseRules::torchmobile,
        prior: priors::torchmobile,
    },
];

/// The measured cells of one runtime on the Pi: only cells that were run themselves, and only those whose output depends
/// on the input (converters fold the others away). The second value is each sample's task.
///
/// # Errors
/// Where a column or cell of the tables is missing or a cell's string cannot be read.
pub fn samples(
    archs: &Table,
    rows: &Table,
    framework: &str,
    rules: &FuseRules,
) -> Result<Vec<(Sample, String)>, CalibrateError> {
    let index = archs.all_ints("arch_idx")?;
    let measured = archs.all_bools("measured_pi5")?;
    let constant = archs.all_bools("output_is_constant")?;
    let usable: BTreeSet<i64> = (index.iter().zip(&measured).zip(&constant))
        .filter(|((_, measured), constant)| **measured && !**constant)
        .map(|((i, _), _)| *i)
        .collect();
    let arch = rows.all_ints("arch_idx")?;
    let text = rows.all_texts("arch_str")?;
    let (device, of) = (rows.all_texts("device")?, rows.all_texts("framework")?);
    let task = rows.all_texts("task")?;
    let latency = rows.all_reals("latency_ms")?;
    let energy = rows.reals("energy_mj")?;
    let wrong = |network: &str, why: String| CalibrateError::Network {
        network: network.to_owned(),
        why,
    };
    let (space, program) = blocks::load(SPACE).map_err(|e| wrong("space", e.to_string()))?;
    let mut samples = Vec::new();
    for row in 0..rows.rows() {
        if device[row] != "pi5" || of[row] != framework || !usable.contains(&arch[row]) {
            continue;
        }
        let name = format!("{} {}", arch[row], task[row]);
        let choices = choices(text[row], task[row])
            .ok_or_else(|| wrong(&name, format!("not a cell of six edges: {}", text[row])))?;
        let graph = space
            .assignment_from_json(&choices)
            .and_then(|assignment| program.lower(&assignment, Names::Off))
            .map_err(|e| wrong(&name, e.to_string()))?;
        samples.push((
            Sample {
                network: name,
                group: format!("{:05}", arch[row]),
                kernels: Arc::from(fuse(&graph, rules).list),
                batch: 1,
                latency_s: latency[row] * 1e-3,
                energy_j: energy[row].map(|e| e * 1e-3),
            },
            task[row].to_owned(),
        ));
    }
    Ok(samples)
}

/// The choices of the shipped space that a cell's string and a task stand for; edges by target node, then source node.
pub(super) fn choices(cell: &str, task: &str) -> Option<Value> {
    let mut found = Map::new();
    for (node, part) in (1..).zip(cell.split('+')) {
        for (source, edge) in part.trim_matches('|').split('|').enumerate() {
            let (op, from) = edge.split_once('~')?;
            if from.parse() != Ok(source) || source >= node {
                return None;
            }
            found.insert(format!("e{source}{node}"), Value::from(op));
        }
    }
    (found.len() == 6).then(|| {
        found.insert("task".to_owned(), Value::from(task));
        Value::Object(found)
    })
}

/// How a runtime on the Pi is fitted.
pub fn options(runtime: &Runtime) -> Options {
    Options {
        // stem and reductions are the same in every cell: alone they could take any share of the constant
        tied: vec![
            (KernelKind::ConvFirst, KernelKind::Conv3x3),
            (KernelKind::Conv3x3Strided, KernelKind::Conv3x3),
        ],
        cache_elems: Some(A76_CACHE_ELEMS),
        pull: 0.02,
        huber: 0.03,
        method: "cells held out in 10 parts, all tasks of a cell together".to_owned(),
        ..Options::new((runtime.prior)())
    }
}

/// The fit of one runtime, with the errors of carrying it from one input size to the others added.
///
/// # Errors
/// As [`samples`].
pub fn fit_runtime(
    archs: &Table,
    rows: &Table,
    runtime: &Runtime,
) -> Result<Fitted, CalibrateError> {
    let samples = samples(archs, rows, runtime.framework, &(runtime.rules)())?;
    let options = options(runtime);
    let all: Vec<Sample> = samples.iter().map(|s| s.0.clone()).collect();
    let mut fitted = fit(runtime.profile, &all, &options)?;
    let mut tasks: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    for (sample, task) in &samples {
        tasks.entry(task).or_default().push(sample);
    }
    for source in tasks.keys() {
        for (target, tested) in tasks.iter().filter(|(t, _)| t != &source) {
            let method = format!("fitted on {source}, tested on {target}");
            let held = across(&method, &tasks[source], tested, &options);
            fitted.held_out.extend(held);
        }
    }
    Ok(fitted)
}

/// What the profile of a runtime says of itself, but for its provenance.
pub fn about(runtime: &Runtime) -> About<'static> {
    About {
        name: runtime.profile,
        hardware: "Raspberry Pi 5 (Cortex-A76 2.4 GHz), 1 thread",
        runtime: runtime.title,
        threads: Some(1),
        precision: Some("fp32"),
        rules: (runtime.rules)(),
        law: Law::PLAIN,
        cache_elems: Some(A76_CACHE_ELEMS),
        provenance: Provenance::default(),
    }
}

/// Fitted on some samples, tested on others.
pub fn across(
    method: &str,
    fitted: &[&Sample],
    tested: &[&Sample],
    options: &Options,
) -> Vec<HeldOut> {
    let cache = options.cache_elems.unwrap_or(f64::INFINITY);
    let work = |s: &&Sample| Work::of(&s.kernels, s.batch, cache, &options.law);
    let (works, test_works): (Vec<Work>, Vec<Work>) = (
        fitted.iter().map(work).collect(),
        tested.iter().map(work).collect(),
    );
    let groups: Vec<&str> = tested.iter().map(|s| s.group.as_str()).collect();
    let times: Vec<f64> = fitted.iter().map(|s| s.latency_s).collect();
    let latency = solve(&works, &times, |_| true, &options.prior, options);
    let predicted = test_works.iter().map(|w| latency.cost(w));
    let pairs: Vec<(f64, f64)> = predicted.zip(tested.iter().map(|s| s.latency_s)).collect();
    let mut found = vec![errors(&pairs, &groups, method)];
    let energies: Option<Vec<f64>> = fitted.iter().map(|s| s.energy_j).collect();
    let truths: Option<Vec<f64>> = tested.iter().map(|s| s.energy_j).collect();
    if let (Some(energies), Some(truths)) = (energies, truths) {
        let prior = powered(&latency, options);
        let energy = solve(&works, &energies, |_| true, &prior, options);
        let predicted = test_works.iter().map(|w| energy.cost(w));
        let pairs: Vec<(f64, f64)> = predicted.zip(truths).collect();
        found.push(HeldOut {
            quantity: Quantity::Energy,
            ..errors(&pairs, &groups, method)
        });
    }
    found
}
