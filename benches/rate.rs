//! Candidates a second, from the draw to latency and energy on two devices, over as many draws as a search makes.
//!
//! `cargo bench --no-default-features --bench rate [-- SPACE…]`; `RATE_DRAWS` says how many draws (a million), `RATE_THREADS`
//! on how many threads (1 and 2). What is counted: draws that meet the constraints (those that do not are drawn again, in
//! the same time), lowered, fused under both devices' rules, counted, identified, and predicted on both. Each row first
//! starts with nothing memorised (`cold`), then goes on with as many new draws (`warm`). No result is kept.
#![allow(clippy::unwrap_used, missing_docs)]

mod devices;

use blocksmith::base::rng;
use blocksmith::blocks;
use blocksmith::device::DeviceModel;
use blocksmith::search::evaluate::{Costs, Lease};
use blocksmith::space::{Assignment, Draws};
use rayon::prelude::*;
use std::collections::HashSet;
use std::time::Instant;

const SPACES: [&str; 10] = [
    "mixed_stages",
    "edge_eesp",
    "gpu_osa",
    "gpu_gghost",
    "arm_shuffle",
    "cifar_mixed",
    "lite_osa",
    "osa_vs_dense",
    "ghost_vs_gghost",
    "nasbench201",
];

/// Seconds that the threads of this process have run, where the system tells: on a busy machine a fairer measure.
fn cpu_s() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / 100.0)
}

fn main() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<usize>().ok();
    let (options, filters): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|a| a.starts_with("--"));
    // as a test it shows that it runs
    let most = match options.iter().any(|option| option == "--bench") {
        true => 1_000_000,
        false => 100,
    };
    let draws = number("RATE_DRAWS").unwrap_or(most);
    let threads = number("RATE_THREADS").map_or(vec![1, 2], |t| vec![t]);
    let asked = |space: &&str| filters.is_empty() || filters.iter().any(|f| space.contains(&**f));
    let spaces: Vec<&str> = SPACES.into_iter().filter(asked).collect();
    if spaces.is_empty() {
        return;
    }
    let pairs = [
        (
            "pi5-onnx rtx4090-torch",
            ["pi5-onnx", "rtx4090-torch"].map(|name| DeviceModel::find(name).unwrap()),
        ),
        ("made up", devices::devices()),
    ];
    println!("{draws} draws; candidates a second (by the clock; by a second of one processor)");
    println!(
        "{:<16}{:<23}{:>7} {:>20} {:>20} {:>9} {:>9} {:>7} {:>7} {:>9}",
        "space", "devices", "threads", "cold", "warm", "built", "distinct", "parts", "hits", "MB"
    );
    for space in spaces {
        let path = format!("{}/search_spaces/{space}.json", env!("CARGO_MANIFEST_DIR"));
        let program = blocks::load(&std::fs::read_to_string(path).unwrap())
            .unwrap()
            .1;
        let distinct = distinct(&program, &pairs[0].1, draws);
        for (names, devices) in &pairs {
            for &threads in &threads {
                let costs = Costs::new(&program, devices);
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .unwrap();
                let mut shown = Vec::new();
                let mut built = 0;
                for round in 0..2 {
                    let (from, cpu) = (Instant::now(), cpu_s());
                    built += pool.install(|| {
                        let draws = (round * draws..(round + 1) * draws)
                            .into_par_iter()
                            .with_min_len(1024);
                        let memory = || (costs.scratch(), Draws::default(), Assignment::default());
                        let one =
                            |(scratch, memory, drawn): &mut (Lease<'_>, Draws, Assignment),
                             number: usize| {
                                let rng = &mut rng::stream(1, "rate", number as u64);
                                let met = program.space().sample_into(rng, memory, drawn);
                                met.is_ok() && costs.of(drawn, 0, scratch).is_ok()
                            };
                        draws
                            .map_init(memory, |m, k| one(m, k))
                            .filter(|ok| *ok)
                            .count()
                    });
                    let wall = draws as f64 / from.elapsed().as_secs_f64();
                    let own = cpu.and_then(|cpu| Some(draws as f64 / (cpu_s()? - cpu)));
                    shown.push(format!(
                        "{:.0}k ({:.0}k)",
                        wall / 1e3,
                        own.unwrap_or(f64::NAN) / 1e3
                    ));
                }
                let held = costs.memorised();
                println!(
                    "{space:<16}{names:<23}{threads:>7} {:>20} {:>20} {:>8.1}% {:>8.1}% {:>7} {:>6.2}% {:>9.1}",
                    shown[0],
                    shown[1],
                    50.0 * built as f64 / draws as f64,
                    100.0 * distinct,
                    held.parts,
                    100.0 * held.found as f64 / (held.found + held.worked_out).max(1) as f64,
                    held.bytes as f64 / 1e6,
                );
            }
        }
    }
}

/// The share of draws that are networks which no draw before them was.
fn distinct(program: &blocks::Program, devices: &[DeviceModel], draws: usize) -> f64 {
    let costs = Costs::new(program, devices);
    let mut scratch = costs.scratch();
    let mut seen = HashSet::new();
    for number in 0..draws {
        if let Ok(drawn) = program
            .space()
            .sample(&mut rng::stream(1, "rate", number as u64))
            && let Ok((fingerprint, _)) = costs.of(&drawn, 0, &mut scratch)
        {
            seen.insert(fingerprint.0);
        }
    }
    seen.len() as f64 / draws as f64
}
