//! Searches of NAS-Bench-201 replayed on tables: how many evaluations a share of the true hypervolume takes.

use blocksmith::base::hash::Fingerprint;
use blocksmith::base::stats::quantile;
use blocksmith::blocks::{self, Program};
use blocksmith::device::{BUILT_IN, DeviceModel, Profile};
use blocksmith::search::evaluate::{Answer, Asked, Costs, Evaluate, key};
use blocksmith::search::front::{Points, front};
use blocksmith::search::hypervolume::hypervolume;
use blocksmith::search::metric::{Known, Metric};
use blocksmith::search::objective::Problem;
use blocksmith::search::{Outcome, Run, Settings, Silent, searcher};
use blocksmith::space::{Assignment, Space};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

const SPACE: &str = include_str!("../../search_spaces/nasbench201.json");

/// A cell whose accuracy is known, with what was measured.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Its string in the table.
    pub text: String,
    /// The isomorphic cell that was measured in its place.
    pub class: i64,
    /// In per cent.
    pub accuracy: f64,
    /// Pi 5, ONNX Runtime.
    pub onnx_s: f64,
    /// The same.
    pub onnx_j: f64,
    /// Pi 5, LiteRT.
    pub litert_s: f64,
    /// RTX 2080 Ti, batch 1.
    pub gpu_s: f64,
}

/// What is sought: accuracy, and two costs that disagree more or less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// Latency and energy on the Pi 5 with ONNX Runtime.
    Pi,
    /// Latency on the Pi 5 with LiteRT and on a GPU that is bound by launches.
    PiAndGpu,
}

/// How a benchmark is run.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// What is sought.
    pub pair: Pair,
    /// True where costs are predicted by the shipped profile; else those measured are known beforehand.
    pub predicted: bool,
    /// True where isomorphic cells count as one network, whose accuracy is their mean.
    pub classes: bool,
    /// The most evaluations.
    pub budget: u64,
    /// Runs.
    pub seeds: u64,
}

/// Identity, what the search knows, and the truth (accuracy, two costs).
type Told = (Fingerprint, Box<[f64]>, [f64; 3]);

/// The cells as a space.
pub struct Bench {
    program: Program,
    devices: Vec<DeviceModel>,
    problem: Problem,
    /// By the key of an assignment.
    cells: HashMap<u128, Told>,
    /// Ideal and nadir of the useful part of the front, and its volume.
    low: [f64; 3],
    high: [f64; 3],
    volume: f64,
    /// Networks, and those on the front.
    pub sizes: (usize, usize),
    /// How far predicted costs are off, median absolute percentage; 0 where they are the measured ones.
    pub off: [f64; 2],
}

/// The assignment that a cell's string stands for.
fn assignment(space: &Space, cell: &str) -> Option<Assignment> {
    let mut found = Map::new();
    for (node, part) in (1..).zip(cell.split('+')) {
        for (source, edge) in part.trim_matches('|').split('|').enumerate() {
            let (op, _) = edge.split_once('~')?;
            found.insert(format!("e{source}{node}"), Value::from(op));
        }
    }
    found.insert("task".to_owned(), Value::from("cifar100"));
    space.assignment_from_json(&Value::Object(found)).ok()
}

fn device(file: &str, name: &str) -> DeviceModel {
    let text = BUILT_IN.iter().find(|b| b.name == file).unwrap().text;
    let mut profile = Profile::parse(text, file).unwrap();
    profile.name = name.to_owned();
    DeviceModel::new(profile)
}

impl Bench {
    /// Of these cells.
    pub fn new(cells: &[Cell], setting: Setting) -> Self {
        let (space, program) = blocks::load(SPACE).map_err(|e| e.render(None)).unwrap();
        drop(space);
        let space = program.space().fix(&[("task", "cifar100")]).unwrap();
        let program = Program::compile(&space).unwrap();
        let (devices, costs) = match setting.pair {
            Pair::Pi => (
                vec![device("pi5-onnx", "pi5-onnx")],
                ["latency_s@pi5-onnx", "energy_j@pi5-onnx"],
            ),
            // the table of the GPU stands under another profile's name: there is none for it
            Pair::PiAndGpu => (
                vec![
                    device("pi5-litert", "pi5-litert"),
                    device("pi5-onnx", "rtx2080ti"),
                ],
                ["latency_s@pi5-litert", "latency_s@rtx2080ti"],
            ),
        };
        let objectives = [
            "max accuracy".to_owned(),
            format!("min {}", costs[0]),
            format!("min {}", costs[1]),
        ];
        let names: Vec<&str> = devices.iter().map(DeviceModel::name).collect();
        let known = Known {
            devices: &names,
            device: None,
            evaluator: true,
        };
        let problem = Problem::parse(&objectives, &[], &[], &known).unwrap();
        let mut bench = Self {
            program,
            devices,
            problem,
            cells: HashMap::new(),
            low: [0.0; 3],
            high: [0.0; 3],
            volume: 0.0,
            sizes: (0, 0),
            off: [0.0; 2],
        };
        bench.fill(cells, setting, costs);
        bench
    }

    fn fill(&mut self, cells: &[Cell], setting: Setting, names: [&str; 2]) {
        let costs = Costs::new(&self.program, &self.devices);
        let places = names.map(|n| {
            costs
                .metrics()
                .iter()
                .position(|m| m.to_string() == n)
                .unwrap()
        });
        let mut scratch = costs.scratch();
        // of a class the mean accuracy, and the costs of its first cell
        let mut classes: HashMap<i64, (f64, f64, &Cell)> = HashMap::new();
        for cell in cells {
            let sum = classes.entry(cell.class).or_insert((0.0, 0.0, cell));
            *sum = (sum.0 + cell.accuracy, sum.1 + 1.0, sum.2);
        }
        let mut found = HashMap::new();
        let mut off = [Vec::new(), Vec::new()];
        for cell in cells {
            let assignment = assignment(self.program.space(), &cell.text).unwrap();
            let own = key(&assignment, self.program.space());
            let (_, mut metrics) = costs.of(&assignment, 0, &mut scratch).unwrap();
            let (identity, accuracy, first) = match setting.classes {
                true => {
                    let (sum, count, first) = classes[&cell.class];
                    let identity = Fingerprint::of(&cell.class.to_le_bytes());
                    (identity, sum / count, first)
                }
                false => (Fingerprint::of(&own.to_le_bytes()), cell.accuracy, cell),
            };
            let measured = match setting.pair {
                Pair::Pi => [first.onnx_s, first.onnx_j],
                Pair::PiAndGpu => [first.litert_s, first.gpu_s],
            };
            for k in 0..2 {
                off[k].push(100.0 * (metrics[places[k]] / measured[k] - 1.0).abs());
                if !setting.predicted {
                    metrics[places[k]] = measured[k];
                }
            }
            let truth = [accuracy, measured[0], measured[1]];
            found.insert(own, (identity, metrics, truth));
        }
        if setting.predicted {
            self.off = off.map(|off| quantile(&off, 0.5).unwrap());
        }
        drop(scratch);
        self.cells = found;
        self.measure();
    }

    /// The true front: its useful part has at least half of the answers right.
    fn measure(&mut self) {
        let truth: Vec<[f64; 3]> = self
            .cells
            .values()
            .map(|(_, _, t)| [-t[0], t[1], t[2]])
            .collect();
        let flat = truth.concat();
        let members = front(Points::new(&flat, 3));
        let mut useful: Vec<[f64; 3]> = members
            .iter()
            .map(|m| truth[*m])
            .filter(|g| g[0] <= -50.0)
            .collect();
        useful.sort_by(|a, b| a.partial_cmp(b).unwrap());
        useful.dedup();
        for k in 0..3 {
            self.low[k] = useful.iter().map(|g| g[k]).fold(f64::INFINITY, f64::min);
            self.high[k] = useful
                .iter()
                .map(|g| g[k])
                .fold(f64::NEG_INFINITY, f64::max);
        }
        let networks: std::collections::HashSet<u128> =
            self.cells.values().map(|c| c.0.0).collect();
        self.sizes = (networks.len(), useful.len());
        self.volume = self.volume_of(truth.into_iter());
    }

    fn volume_of(&self, goals: impl Iterator<Item = [f64; 3]>) -> f64 {
        let scaled = goals.flat_map(|g| {
            let scale = |k: usize| (g[k] - self.low[k]) / (self.high[k] - self.low[k]);
            [scale(0), scale(1), scale(2)]
        });
        let flat: Vec<f64> = scaled.collect();
        hypervolume(Points::new(&flat, 3), &[1.1; 3])
    }

    /// The cells as CSV: network, edges, accuracy and the two costs.
    pub fn csv(&self) -> String {
        const EDGES: [&str; 6] = ["e01", "e02", "e12", "e03", "e13", "e23"];
        let mut rows: Vec<String> = Vec::new();
        for assignment in self.program.space().assignments() {
            let Some((network, _, truth)) = self.cells.get(&key(&assignment, self.program.space()))
            else {
                continue;
            };
            let choices = self.program.space().assignment_to_json(&assignment);
            let edges = EDGES
                .map(|e| choices[e].as_str().unwrap().to_owned())
                .join(",");
            let [accuracy, first, second] = truth;
            rows.push(format!("{network},{edges},{accuracy},{first},{second}\n"));
        }
        format!(
            "network,{},accuracy,cost1,cost2\n{}",
            EDGES.join(","),
            rows.concat()
        )
    }

    /// One run: the share of the true hypervolume after each evaluation, and the seconds that the search took.
    pub fn run(&self, algorithm: &str, seed: u64, budget: u64) -> (Vec<f64>, f64) {
        let table = self
            .cells
            .iter()
            .map(|(k, (f, m, _))| (*k, (*f, m.clone())));
        let costs = Costs::new(&self.program, &self.devices).only(table.collect());
        let mut lookup = Lookup {
            bench: self,
            metrics: [Metric::Other("accuracy".into())],
        };
        let settings = Settings {
            algorithm: searcher(algorithm).unwrap(),
            seed,
            budget: Some(budget),
            batch: None,
            until_gain: None,
        };
        let started = Instant::now();
        let outcome = Run {
            costs: &costs,
            problem: &self.problem,
            settings,
            evaluator: Some(&mut lookup),
            known: None,
            watch: &Silent,
            stop: &AtomicBool::new(false),
        }
        .search(None)
        .unwrap();
        let seconds = started.elapsed().as_secs_f64();
        (self.shares(&outcome), seconds)
    }

    fn shares(&self, outcome: &Outcome) -> Vec<f64> {
        let truth = |t: usize| {
            let assignment = outcome.trials.assignment(t).unwrap();
            let [accuracy, first, second] = self.cells[&key(&assignment, self.program.space())].2;
            [-accuracy, first, second]
        };
        let mut kept: Vec<[f64; 3]> = Vec::new();
        let mut share = 0.0;
        let each = (0..outcome.trials.len()).map(|t| {
            let new = truth(t);
            if !kept.iter().any(|k| (0..3).all(|i| k[i] <= new[i])) {
                kept.retain(|k| !(0..3).all(|i| new[i] <= k[i]));
                kept.push(new);
                share = self.volume_of(kept.iter().copied()) / self.volume;
            }
            share
        });
        each.collect()
    }
}

struct Lookup<'a> {
    bench: &'a Bench,
    metrics: [Metric; 1],
}

impl Evaluate for Lookup<'_> {
    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    fn evaluate(
        &mut self,
        asked: &[Asked<'_>],
        _: &AtomicBool,
        answer: &mut dyn FnMut(usize, Answer) -> bool,
    ) -> Result<(), String> {
        for (position, question) in asked.iter().enumerate() {
            let own = key(question.assignment, self.bench.program.space());
            let told = self.bench.cells.get(&own).map(|(_, _, t)| vec![t[0]]);
            if !answer(position, told.ok_or_else(|| "not in the table".to_owned())) {
                break;
            }
        }
        Ok(())
    }
}

/// `median [quartiles]` of the numbers of evaluations to a share; runs that do not come there count as infinite.
pub fn to_share(runs: &[Vec<f64>], share: f64) -> String {
    let count = |run: &Vec<f64>| {
        run.iter()
            .position(|s| *s >= share)
            .map_or(f64::INFINITY, |k| k as f64 + 1.0)
    };
    let counts: Vec<f64> = runs.iter().map(count).collect();
    let text = |q: f64| match quantile(&counts, q) {
        Some(x) if x.is_finite() => format!("{x:.0}"),
        _ => "-".to_owned(),
    };
    let missed = counts.iter().filter(|c| c.is_infinite()).count();
    format!(
        "{} [{}, {}], {missed} missed",
        text(0.5),
        text(0.25),
        text(0.75)
    )
}

/// Runs the algorithms and prints a row each.
pub fn report(cells: &[Cell], setting: Setting, algorithms: &[&str]) {
    let bench = Bench::new(cells, setting);
    println!(
        "{setting:?}: {} networks, {} on the useful front, predictions off by {:.2} % and {:.2} %",
        bench.sizes.0, bench.sizes.1, bench.off[0], bench.off[1]
    );
    println!(
        "| algorithm | to 95 % | to 99 % | share at 20 / 50 / 100 / 200 | s a run |\n|---|---|---|---|---|"
    );
    for name in algorithms {
        let runs: Vec<(Vec<f64>, f64)> = (0..setting.seeds)
            .map(|seed| bench.run(name, seed, setting.budget))
            .collect();
        let (shares, seconds): (Vec<Vec<f64>>, Vec<f64>) = runs.into_iter().unzip();
        let at = |n: usize| {
            let values: Vec<f64> = shares
                .iter()
                .filter_map(|s| s.get(n - 1).or(s.last()).copied())
                .collect();
            format!("{:.3}", quantile(&values, 0.5).unwrap_or(f64::NAN))
        };
        let median = quantile(&seconds, 0.5).unwrap_or(f64::NAN);
        println!(
            "| {name} | {} | {} | {} | {median:.2} |",
            to_share(&shares, 0.95),
            to_share(&shares, 0.99),
            [20, 50, 100, 200].map(at).join(" / ")
        );
    }
}
