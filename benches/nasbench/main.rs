//! Evaluations to a share of the true hypervolume of NAS-Bench-201, for every algorithm: see `docs/search.md`.
//!
//!     cargo bench --no-default-features --features analysis --bench nasbench -- DIR [--seeds 20] [--cells FOLDER]
//!
//! DIR holds `nasbench201_archs.parquet`, `nasbench201_pi5.parquet` and `help_latency.parquet`. They are not part of the
//! project: without DIR nothing is run. FOLDER gets the cells as CSV, for `peers.py`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod replay;

use blocksmith::analysis::parquet;
use blocksmith::base::table::Table;
use replay::{Bench, Cell, Pair, Setting, report};
use std::collections::HashMap;
use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1).cloned()
    };
    let folder = arguments
        .first()
        .filter(|a| Path::new(a).join("nasbench201_archs.parquet").exists());
    let Some(folder) = folder else {
        println!("nasbench: skipped, for no folder with the tables was named");
        return;
    };
    let seeds = option("--seeds").map_or(20, |s| s.parse().unwrap());
    let cells = cells(Path::new(folder));
    println!(
        "{} of the 15,625 cells have an accuracy and measured costs",
        cells.len()
    );
    for classes in [true, false] {
        for (pair, predicted) in [(Pair::Pi, true), (Pair::Pi, false), (Pair::PiAndGpu, false)] {
            let setting = |budget| Setting {
                pair,
                predicted,
                classes,
                budget,
                seeds,
            };
            if let Some(folder) = option("--cells") {
                let name = format!("{pair:?}-{}.csv", if classes { "classes" } else { "cells" });
                let text = Bench::new(&cells, setting(1)).csv();
                std::fs::write(Path::new(&folder).join(name), text).unwrap();
            }
            report(&cells, setting(300), &["guided"]);
            if predicted || pair == Pair::PiAndGpu {
                let others = ["front", "nsga2", "evolution", "random"];
                report(&cells, setting(1500), &others);
            }
        }
    }
}

/// The values of a column by the cell's index, of the rows that are wanted.
fn by_cell(table: &Table, column: &str, wanted: impl Fn(usize) -> bool) -> HashMap<i64, f64> {
    let index = table.all_ints("arch_idx").unwrap();
    let values = table.reals(column).unwrap();
    let rows = (0..table.rows()).filter(|row| wanted(*row));
    rows.filter_map(|row| Some((index[row], values[row]?)))
        .collect()
}

fn cells(folder: &Path) -> Vec<Cell> {
    let read = |name: &str| parquet::read(&folder.join(name)).unwrap();
    let (archs, pi, gpu) = (
        read("nasbench201_archs.parquet"),
        read("nasbench201_pi5.parquet"),
        read("help_latency.parquet"),
    );
    let texts = |table: &Table, name: &str| -> Vec<String> {
        let texts = table.all_texts(name).unwrap();
        texts.iter().map(|t| (*t).to_owned()).collect()
    };
    let (device, framework, task) = (
        texts(&pi, "device"),
        texts(&pi, "framework"),
        texts(&pi, "task"),
    );
    let on_pi = |runtime: &'static str, column: &str| {
        by_cell(&pi, column, |row| {
            device[row] == "pi5" && framework[row] == runtime && task[row] == "cifar100"
        })
    };
    let (onnx_s, onnx_j) = (on_pi("onnx", "latency_ms"), on_pi("onnx", "energy_mj"));
    let litert_s = on_pi("litert", "latency_ms");
    let (space, device) = (texts(&gpu, "space"), texts(&gpu, "device"));
    let batch = gpu.all_ints("batch").unwrap();
    let gpu_s = by_cell(&gpu, "latency_ms", |row| {
        space[row] == "nasbench201" && device[row] == "NVIDIA RTX 2080 Ti" && batch[row] == 1
    });
    let accuracy = by_cell(&archs, "score_cifar100", |_| true);
    let classes = archs.all_ints("rep_arch_idx").unwrap();
    let (index, text) = (
        archs.all_ints("arch_idx").unwrap(),
        texts(&archs, "arch_str"),
    );
    let cell = |row: usize| {
        let (own, class) = (index[row], classes[row]);
        Some(Cell {
            text: text[row].clone(),
            class,
            accuracy: *accuracy.get(&own)?,
            onnx_s: onnx_s.get(&class)? * 1e-3,
            onnx_j: onnx_j.get(&class)? * 1e-3,
            litert_s: litert_s.get(&class)? * 1e-3,
            gpu_s: gpu_s.get(&own)? * 1e-3,
        })
    };
    (0..archs.rows()).filter_map(cell).collect()
}
