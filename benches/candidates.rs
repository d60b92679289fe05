//! Candidates of the mixed space, from the draw to the prediction on two devices that fuse differently.

use crate::devices::devices;
use blocksmith::blocks::{self, Names, Program};
use blocksmith::cost::{self, Totals};
use blocksmith::fuse;
use blocksmith::ir::Graph;
use blocksmith::search::evaluate::{Costs, Scratch};
use blocksmith::search::journal::Start;
use blocksmith::search::objective::Problem;
use blocksmith::search::{Run, Settings, Silent, metric, searcher};
use blocksmith::space::Assignment;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use rayon::prelude::*;
use std::sync::atomic::AtomicBool;

const SPACE: &str = include_str!("../search_spaces/mixed_stages.json");
const MANY: usize = 4096;

fn program() -> Program {
    blocks::load(SPACE).unwrap().1
}

fn draw(program: &Program, number: usize) -> Assignment {
    let mut rng = blocksmith::base::rng::stream(1, "bench", number as u64);
    program.space().sample(&mut rng).unwrap()
}

fn draws(program: &Program) -> Vec<Assignment> {
    (0..MANY).map(|k| draw(program, k)).collect()
}

/// All of it, on so many threads. No draw comes twice, as in a search: what is known of parts comes from other nets.
#[divan::bench(args = [("mixed_stages", 1), ("mixed_stages", 2), ("edge_eesp", 1), ("gpu_osa", 1), ("gpu_gghost", 1), ("arm_shuffle", 1)], sample_count = 50, sample_size = 1)]
fn costed(bencher: Bencher, (space, threads): (&str, usize)) {
    let path = format!("{}/search_spaces/{space}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let (program, devices) = (blocks::load(&text).unwrap().1, devices());
    let costs = Costs::new(&program, &devices);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    let mut round = 0;
    bencher.counter(ItemsCount::new(MANY)).bench_local(|| {
        round += 1;
        pool.install(|| {
            (round * MANY..(round + 1) * MANY)
                .into_par_iter()
                .with_min_len(64)
                .map_init(
                    || costs.scratch(),
                    |scratch, k| costs.of(&draw(&program, k), 0, scratch).is_ok(),
                )
                .filter(|ok| *ok)
                .count()
        })
    });
}

/// All of it, each net from its whole graph.
#[divan::bench(sample_count = 5)]
fn costed_whole(bencher: Bencher) {
    let (program, devices) = (program(), devices());
    let costs = Costs::new(&program, &devices);
    let mut scratch = Scratch::default();
    bencher.counter(ItemsCount::new(MANY)).bench_local(|| {
        (0..MANY)
            .filter(|k| costs.of_whole(&draw(&program, *k), 0, &mut scratch).is_ok())
            .count()
    });
}

/// A whole random search with its journal, on so many threads.
#[divan::bench(args = [1, 2], sample_count = 5)]
fn searched(bencher: Bencher, threads: usize) {
    let (program, devices) = (program(), devices());
    let costs = Costs::new(&program, &devices);
    let known = metric::Known {
        devices: &["a", "b"],
        device: None,
        evaluator: false,
    };
    let objectives = ["min latency_s@a".to_owned(), "min energy_j@b".to_owned()];
    let problem = Problem::parse(&objectives, &["params<=5M".to_owned()], &[], &known).unwrap();
    let settings = Settings {
        algorithm: searcher("random").unwrap(),
        seed: 1,
        budget: Some(4 * MANY as u64),
        batch: None,
        until_gain: None,
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal.jsonl");
    bencher.counter(ItemsCount::new(4 * MANY)).bench_local(|| {
        let _ = std::fs::remove_file(&journal);
        let run = Run {
            costs: &costs,
            problem: &problem,
            settings,
            evaluator: None,
            known: None,
            watch: &Silent,
            stop: &AtomicBool::new(false),
        };
        pool.install(|| {
            run.search(Some((&journal, Start::New)))
                .unwrap()
                .trials
                .len()
        })
    });
}

/// The draw alone.
#[divan::bench]
fn drawn(bencher: Bencher) {
    let program = program();
    bencher.counter(ItemsCount::new(MANY)).bench_local(|| {
        (0..MANY)
            .map(|k| draw(&program, k).active().count())
            .sum::<usize>()
    });
}

/// Lowering alone.
#[divan::bench]
fn lowered(bencher: Bencher) {
    let program = program();
    let draws = draws(&program);
    let mut scratch = blocks::Scratch::default();
    bencher.counter(ItemsCount::new(MANY)).bench_local(|| {
        let mut nodes = |a| {
            let graph = program.lower_into(&mut scratch, a, Names::Off);
            graph.map_or(0, |g| g.nodes().len())
        };
        black_box(&draws).iter().map(&mut nodes).sum::<usize>()
    });
}

/// One net in 16, ready to be judged.
fn graphs() -> Vec<Graph> {
    let program = program();
    let lower = |a: &Assignment| program.lower(a, Names::Off).ok();
    let drawn = draws(&program);
    drawn.iter().step_by(16).filter_map(lower).collect()
}

/// Fusing alone, for two runtimes.
#[divan::bench]
fn fused(bencher: Bencher) {
    let (graphs, devices) = (graphs(), devices());
    let (mut scratch, mut kernels) = (fuse::Scratch::default(), Vec::new());
    bencher
        .counter(ItemsCount::new(graphs.len()))
        .bench_local(|| {
            let mut sum = 0;
            for graph in black_box(&graphs) {
                for device in &devices {
                    fuse::fuse_into(graph, device.rules(), &mut scratch, &mut kernels);
                    sum += kernels.len();
                }
            }
            sum
        });
}

/// Predicting alone, on two devices.
#[divan::bench]
fn predicted(bencher: Bencher) {
    let (graphs, devices) = (graphs(), devices());
    let fused = |g: &Graph| devices.each_ref().map(|d| fuse::fuse(g, d.rules()).list);
    let kernels: Vec<_> = graphs.iter().map(fused).collect();
    bencher
        .counter(ItemsCount::new(graphs.len()))
        .bench_local(|| {
            let mut sum = 0.0;
            for kernels in black_box(&kernels) {
                for (device, kernels) in devices.iter().zip(kernels) {
                    sum += device.predict_fast(kernels, 1).unwrap().latency.0;
                }
            }
            sum
        });
}

/// Counting alone.
#[divan::bench]
fn counted(bencher: Bencher) {
    let graphs = graphs();
    let mut scratch = cost::Scratch::default();
    bencher
        .counter(ItemsCount::new(graphs.len()))
        .bench_local(|| {
            let mut count = |g| Totals::without_fields(g, &mut scratch).map_or(0, |t| t.params);
            black_box(&graphs).iter().map(&mut count).sum::<u64>()
        });
}

/// Fingerprints alone.
#[divan::bench]
fn identified(bencher: Bencher) {
    let graphs = graphs();
    bencher
        .counter(ItemsCount::new(graphs.len()))
        .bench_local(|| {
            let prints = black_box(&graphs).iter().map(|g| g.fingerprint().0);
            prints.fold(0, |a, b| a ^ b)
        });
}
