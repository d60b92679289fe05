//! Searches as a whole: what they find, that threads do not matter, and that a killed one goes on as if nothing had been.

mod algorithms;
mod device;
mod fork;
mod journal;
mod kills;
mod misbehaving;
pub mod process;
mod resume;

use blocksmith::base::table::{Column, Table};
use blocksmith::blocks::{Program, load};
use blocksmith::device::DeviceModel;
use blocksmith::search::evaluate::Costs;
use blocksmith::search::folder::{self, Folder};
use blocksmith::search::journal::Start;
use blocksmith::search::objective::Problem;
use blocksmith::search::{Outcome, Progress, Run, Settings, Silent, Stop, Watch, metric, searcher};
use blocksmith::space::Space;
use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What a test searches.
struct Case {
    program: Program,
    devices: Vec<DeviceModel>,
    problem: Problem,
    settings: Settings,
}

impl Case {
    fn new(file: &str, algorithm: &str, budget: u64) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("search_spaces")
            .join(file);
        Self::of(&std::fs::read_to_string(path).unwrap(), algorithm, budget)
    }

    fn of(text: &str, algorithm: &str, budget: u64) -> Self {
        Self {
            program: load(text).map_err(|e| e.render(None)).unwrap().1,
            devices: vec![
                device::covering_all("swift", 1.0),
                device::covering_all("slow", 3.0),
            ],
            problem: Problem::default(),
            settings: Settings {
                algorithm: searcher(algorithm).unwrap(),
                seed: 7,
                budget: Some(budget),
                batch: Some(16),
                until_gain: None,
            },
        }
        .wanting(&["min latency_s@swift", "max params"], &[])
    }

    fn wanting(mut self, objectives: &[&str], limits: &[&str]) -> Self {
        let texts = |t: &[&str]| t.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let names: Vec<&str> = self.devices.iter().map(DeviceModel::name).collect();
        let known = metric::Known {
            devices: &names,
            device: None,
            evaluator: true,
        };
        self.problem = Problem::parse(&texts(objectives), &texts(limits), &[], &known).unwrap();
        self
    }

    fn space(&self) -> &Space {
        self.program.space()
    }

    fn run(&self, search: impl FnOnce(Run<'_>) -> Outcome) -> Outcome {
        let costs = Costs::new(&self.program, &self.devices);
        search(Run {
            costs: &costs,
            problem: &self.problem,
            settings: self.settings,
            evaluator: None,
            known: None,
            watch: &Silent,
            stop: &AtomicBool::new(false),
        })
    }

    fn search(&self) -> Outcome {
        self.run(|run| run.search(None).unwrap())
    }

    /// Searches in a folder, tables as CSV.
    fn search_in(&self, path: &Path, start: Start) -> Outcome {
        let folder = Folder::create(path, "csv").unwrap();
        self.run(|run| folder::search(&folder, start, run, &folder::csv).unwrap().0)
    }

    fn table(&self, outcome: &Outcome) -> Table {
        let (trials, metrics) = (&outcome.trials, &outcome.metrics);
        trials.table(self.space(), metrics, None, "trials").unwrap()
    }
}

/// Wants the search to end after so many tellings: batches, or answers of an evaluator.
struct EndAfter<'a>(AtomicUsize, &'a AtomicBool);

impl Watch for EndAfter<'_> {
    fn progress(&self, _: &Progress) {
        if self.0.fetch_sub(1, Ordering::Relaxed) <= 1 {
            self.1.store(true, Ordering::Relaxed);
        }
    }
}

/// Whole lines of a run's journal behind its header.
pub fn rows_written(folder: &Path) -> usize {
    let journal = std::fs::read(folder.join("journal.jsonl")).unwrap_or_default();
    journal
        .iter()
        .filter(|b| **b == b'\n')
        .count()
        .saturating_sub(1)
}

fn reals(table: &Table, name: &str) -> Vec<f64> {
    table.all_reals(name).unwrap()
}

#[test]
fn exhaustive_visits_each_assignment_once() {
    let case = Case::new("lite_osa.json", "exhaustive", 36);
    let outcome = case.search();
    assert_eq!(outcome.trials.len(), 36);
    let table = case.table(&outcome);
    // the product of the document's own holes, written out by hand
    let mut product = HashSet::new();
    for w in ["48", "64", "80"] {
        for mid in ["24", "32"] {
            for repeat in ["1", "2", "3"] {
                for gate in ["none", "ese"] {
                    product.insert([w, mid, repeat, gate].join(" "));
                }
            }
        }
    }
    let ids = ["w", "net[2].mid_channels", "net[2].repeat", "net[4].gate"];
    let text = |name: &str, row: usize| match table.column(name).unwrap() {
        Column::Int(v) => v[row].unwrap().to_string(),
        Column::Text(v) => v[row].clone().unwrap(),
        other => panic!("{name} is {}", other.kind()),
    };
    let visited: Vec<String> = (0..36)
        .map(|row| ids.map(|id| text(id, row)).join(" "))
        .collect();
    assert_eq!(visited.iter().cloned().collect::<HashSet<_>>(), product);

    let case = Case::new("lite_osa.json", "exhaustive", 35);
    let error = case.run_error();
    assert!(
        error.contains("36 assignments and the budget is 35"),
        "{error}"
    );
}

impl Case {
    fn run_error(&self) -> String {
        let mut text = String::new();
        self.run(|run| {
            text = run.search(None).unwrap_err().to_string();
            Case::new("lite_osa.json", "random", 0).search()
        });
        text
    }
}

#[test]
fn random_draws_nothing_twice_and_ends_when_it_has_seen_all() {
    let case = Case::new("lite_osa.json", "random", 1000);
    let outcome = case.search();
    assert_eq!(outcome.stop, Stop::Dry);
    let trials = &outcome.trials;
    let graphs: HashSet<_> = (0..trials.len()).map(|t| trials.fingerprint(t)).collect();
    assert_eq!(graphs.len(), trials.len());
    let all = Case::new("lite_osa.json", "exhaustive", 36).search();
    let distinct: HashSet<_> = (0..36).map(|t| all.trials.fingerprint(t)).collect();
    assert_eq!(graphs, distinct);
}

#[test]
fn threads_do_not_matter() {
    let case = Case::new("mixed_stages.json", "random", 200);
    let folders = [1, 2].map(|threads| {
        let folder = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| case.search_in(folder.path(), Start::New));
        folder
    });
    for file in ["trials.csv", "front.csv", "run.json", "journal.jsonl"] {
        let [a, b] = folders
            .each_ref()
            .map(|f| std::fs::read(f.path().join(file)).unwrap());
        assert!(a == b, "{file} differs");
        assert!(!a.is_empty());
    }
}

#[cfg(feature = "analysis")]
#[test]
fn parquet_is_the_same_on_any_thread_count() {
    use blocksmith::analysis::parquet;
    let case = Case::new("mixed_stages.json", "random", 100);
    let files = [1, 2].map(|threads| {
        let path = tempfile::tempdir().unwrap();
        let folder = Folder::create(path.path(), "parquet").unwrap();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            case.run(|run| {
                folder::search(&folder, Start::New, run, &parquet::write_parts)
                    .unwrap()
                    .0
            })
        });
        let table = parquet::read(&folder.trials()).unwrap();
        assert_eq!(table.rows(), 100);
        assert_eq!(table.ints("params").unwrap().len(), 100);
        std::fs::read(folder.trials()).unwrap()
    });
    assert!(files[0] == files[1]);
}

#[test]
fn another_seed_is_another_run() {
    let mut case = Case::new("mixed_stages.json", "random", 50);
    let a = case.table(&case.search());
    case.settings.seed = 8;
    assert_ne!(a, case.table(&case.search()));
}

#[test]
fn what_breaks_a_limit_is_not_on_the_front() {
    let free = Case::new("mixed_stages.json", "random", 300);
    let table = free.table(&free.search());
    let mut params = reals(&table, "params");
    let mut latency = reals(&table, "latency_s@slow");
    params.sort_by(f64::total_cmp);
    latency.sort_by(f64::total_cmp);
    let limits = [
        format!("params<={}", params[150]),
        format!("latency_s@slow<={}", latency[100]),
    ];
    let limits = limits.each_ref().map(String::as_str);
    let case = free.wanting(&["min latency_s@swift", "max params"], &limits);
    let outcome = case.search();
    let table = case.table(&outcome);
    let (params, latency) = (reals(&table, "params"), reals(&table, "latency_s@slow"));
    let swift = reals(&table, "latency_s@swift");
    let (max_params, max_latency) = (case.problem.limits[0].value, case.problem.limits[1].value);
    let feasible: Vec<usize> = (0..300)
        .filter(|&t| params[t] <= max_params && latency[t] <= max_latency)
        .collect();
    assert!(
        feasible.len() > 20 && feasible.len() <= 101,
        "{}",
        feasible.len()
    );
    let beaten = |t: usize| {
        feasible.iter().any(|&o| {
            swift[o] <= swift[t]
                && params[o] >= params[t]
                && (swift[o] < swift[t] || params[o] > params[t])
        })
    };
    let mut front: Vec<usize> = feasible.iter().copied().filter(|&t| !beaten(t)).collect();
    front.sort_by(|&a, &b| swift[a].total_cmp(&swift[b]));
    assert_eq!(outcome.front, front);
    assert_eq!(outcome.tally.feasible, feasible.len() as u64);
    let broke = |values: &[f64], max: f64| values.iter().filter(|x| **x > max).count() as u64;
    let expected = [broke(&params, max_params), broke(&latency, max_latency)];
    assert_eq!(outcome.tally.turned_down, expected);
    let flags = table.all_bools("feasible").unwrap();
    assert!((0..300).all(|t| flags[t] == feasible.contains(&t)));

    let case = case.wanting(&["min macs"], &["params<=1", "macs>=1"]);
    let outcome = case.search();
    assert!(outcome.front.is_empty());
    assert_eq!(outcome.tally.turned_down, [300, 0]);
}

#[test]
fn what_a_profile_does_not_cover_is_missing_and_never_on_the_front() {
    let mut case = Case::new("lite_osa.json", "exhaustive", 36);
    case.devices = vec![device::without_depthwise("partial")];
    let case = case.wanting(&["min latency_s@partial"], &[]);
    let outcome = case.search();
    let table = case.table(&outcome);
    // every net of the space has separable convolutions
    let latency = table.reals("latency_s@partial").unwrap();
    assert!(latency.iter().all(Option::is_none));
    assert!(outcome.front.is_empty());
    let name = |m: &metric::Metric| m.to_string() == "latency_s@partial";
    let place = outcome.metrics.iter().position(name);
    assert_eq!(outcome.tally.missing[place.unwrap()], 36);
    let costs = Costs::new(&case.program, &case.devices);
    let kinds = costs.uncovered(&outcome.trials.assignment(0).unwrap(), "partial");
    assert!(
        !kinds.is_empty() && kinds.iter().all(|k| k.name().contains("depthwise")),
        "{kinds:?}"
    );
}

#[test]
fn a_front_stands_alone() {
    let case = Case::new("mixed_stages.json", "random", 60);
    let folder = tempfile::tempdir().unwrap();
    let outcome = case.search_in(folder.path(), Start::New);
    assert!(outcome.front.len() > 1);
    let mut names: Vec<_> = std::fs::read_dir(folder.path().join("front"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    names.sort();
    assert_eq!(names.len(), outcome.front.len());
    for (path, &trial) in names.iter().zip(&outcome.front) {
        let text = std::fs::read_to_string(path).unwrap();
        let (arch, program) = blocksmith::blocks::load_arch(&text).unwrap();
        assert!(arch.space().decisions().is_empty());
        let empty = blocksmith::space::Assignment::empty();
        let graph = program
            .lower(&empty, blocksmith::blocks::Names::Off)
            .unwrap();
        assert_eq!(Some(graph.fingerprint()), outcome.trials.fingerprint(trial));
    }
}

#[test]
fn a_variable_may_have_the_name_of_a_column() {
    let text = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
        "vars": {"params": {"choice": [4, 8]}, "trial": {"choice": ["relu", "silu"]}},
        "net": [{"block": "conv_bn_act", "out_channels": "=params", "kernel_size": 3, "act": "=trial"}]}"#;
    let case = Case::of(text, "exhaustive", 4);
    let table = case.table(&case.search());
    assert_eq!(table.all_ints("decision:params").unwrap(), [4, 4, 8, 8]);
    let acts = table.all_texts("decision:trial").unwrap();
    assert_eq!(acts, ["relu", "silu", "relu", "silu"]);
    // 3 * 4 * 9 weights and 2 * 4 of the norm
    assert_eq!(table.all_ints("params").unwrap()[..2], [116, 116]);
}
