//! Many nets, in rounds.

use super::energy::{Gross, Idle, idle};
use super::host::{Moment, Sensors};
use super::meter::EnergyMeter;
use super::runtime::{Runtime, RuntimeError};
use super::window::{Sampling, WindowOptions, window};
use crate::base::rng::stream;
use crate::ir::Graph;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

/// A net to measure, named as `predict` and `calibrate` name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// For people.
    pub name: String,
    /// Path of an arch.
    pub arch: Option<String>,
    /// Path of a space.
    pub space: Option<String>,
    /// JSON object of its decisions.
    pub choices: Option<String>,
    /// The suite that it belongs to.
    pub suite: Option<String>,
    /// Nets of one family go together when an error on unseen nets is asked for.
    pub family: Option<String>,
}

/// How to go about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Seed of the order.
    pub seed: u64,
    /// Windows of each net, spread over the run.
    pub rounds: u32,
    /// Nets whose best two windows disagree get more, up to this many.
    pub max_rounds: u32,
    /// The best two windows agree within this share.
    pub tolerance: f64,
    /// Each window.
    pub window: WindowOptions,
    /// Idle windows, where there is a meter.
    pub idle_s: f64,
    /// Windows between two idle windows.
    pub idle_every: usize,
}

/// One window of one net.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowRecord {
    /// Which net.
    pub item: usize,
    /// Which round; the first net's check at the end has a round of its own.
    pub round: u32,
    /// Whether it is that check.
    pub check: bool,
    /// Process that measured it, counted from 0: idle windows of another process do not count.
    pub process: u32,
    /// End, in seconds since 1970.
    pub at_unix_s: u64,
    /// Times.
    pub sampling: Sampling,
    /// Energy, idle included.
    pub gross: Option<Gross>,
    /// Why the meter gave none.
    pub meter_error: Option<String>,
    /// Load and heat at the end.
    pub moment: Moment,
}

/// One idle window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdleRecord {
    /// As of windows.
    pub process: u32,
    /// What it found; `None` where the meter failed.
    pub idle: Option<Idle>,
}

/// A net that does not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Which net.
    pub item: usize,
    /// Why.
    pub error: String,
}

/// What a session finds, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A window of a net.
    Window(WindowRecord),
    /// An idle window.
    Idle(IdleRecord),
    /// A net that does not run.
    Failed(Failed),
}

/// Everything that a session needs.
pub struct Session<'a> {
    /// The nets.
    pub items: &'a [Item],
    /// How.
    pub plan: &'a Plan,
    /// What runs them.
    pub runtime: &'a mut dyn Runtime,
    /// What counts energy, if anything does.
    pub meter: Option<&'a mut dyn EnergyMeter>,
    /// Load and heat.
    pub sensors: &'a Sensors,
    /// Set from outside to end after the window in hand.
    pub stop: &'a AtomicBool,
    /// Seconds on a clock that only goes forward.
    pub now_s: &'a mut dyn FnMut() -> f64,
    /// Waits.
    pub sleep_s: &'a mut dyn FnMut(f64),
    /// The graph of a net.
    pub graph: &'a mut dyn FnMut(usize) -> Result<Graph, RuntimeError>,
    /// Takes each new record, and says whether to go on.
    pub keep: &'a mut dyn FnMut(&Record) -> bool,
    /// Told before each window: windows done, windows planned so far, and the net's name.
    pub progress: &'a mut dyn FnMut(u64, u64, &str),
}

/// The order of a round.
pub(super) fn order(seed: u64, round: u32, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut stream(seed, "measure order", u64::from(round)));
    order
}

/// Medians of the windows of a net, in order of time.
fn medians(records: &[Record], item: usize) -> Vec<f64> {
    let mut found = Vec::new();
    for record in records {
        if let Record::Window(w) = record
            && w.item == item
        {
            found.push(w.sampling.latency_s);
        }
    }
    found
}

/// How far the second-best window is above the best; `None` with fewer than two.
pub(super) fn agreement(medians: &[f64]) -> Option<f64> {
    let mut sorted = medians.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.as_slice() {
        [best, second, ..] => Some(second / best - 1.0),
        _ => None,
    }
}

impl Session<'_> {
    /// Measures what `records` lacks, and adds to it. True when all is done, false when it was told to stop.
    pub fn run(&mut self, records: &mut Vec<Record>) -> bool {
        let process = 1 + records.iter().map(process_of).max().unwrap_or(-1);
        let process = u32::try_from(process).unwrap_or(0);
        let mut since_idle: Option<usize> = None;
        let finished = self.rounds(records, process, &mut since_idle);
        if since_idle.is_some_and(|n| n > 0) {
            // closes the last windows, also of a run that is told to stop
            self.idle(records, process);
        }
        finished
    }

    fn rounds(
        &mut self,
        records: &mut Vec<Record>,
        process: u32,
        since_idle: &mut Option<usize>,
    ) -> bool {
        let count = self.items.len();
        let done: BTreeSet<(usize, u32)> = records.iter().filter_map(key).collect();
        let mut failed: BTreeSet<usize> = records.iter().filter_map(failure).collect();
        for round in 0..self.plan.max_rounds.max(self.plan.rounds) {
            let mut todo = order(self.plan.seed, round, count);
            todo.retain(|item| !failed.contains(item));
            if round >= self.plan.rounds {
                todo.retain(|item| {
                    let agree = agreement(&medians(records, *item));
                    done.contains(&(*item, round))
                        || agree.is_none_or(|share| share > self.plan.tolerance)
                });
            }
            todo.retain(|item| !done.contains(&(*item, round)));
            let later = u64::from(self.plan.rounds.saturating_sub(round + 1));
            let live = (count - failed.len()) as u64;
            for (at, item) in todo.iter().enumerate() {
                let so_far = records.iter().filter_map(key).count() as u64;
                let left = (todo.len() - at) as u64 + later * live;
                if !self.one(
                    records,
                    (*item, round, false),
                    process,
                    since_idle,
                    [so_far, left],
                ) {
                    return false;
                }
                if records.last().and_then(failure) == Some(*item) {
                    failed.insert(*item);
                }
            }
        }
        // the first net once more, against what it took at first
        let first = order(self.plan.seed, 0, count)
            .into_iter()
            .find(|item| !failed.contains(item));
        let checked = records
            .iter()
            .any(|r| matches!(r, Record::Window(w) if w.check));
        match first {
            Some(item) if !checked => {
                let so_far = records.iter().filter_map(key).count() as u64;
                let round = self.plan.max_rounds.max(self.plan.rounds);
                self.one(
                    records,
                    (item, round, true),
                    process,
                    since_idle,
                    [so_far, 1],
                )
            }
            _ => true,
        }
    }

    /// One window. False where the session is to end; what was measured is kept then.
    fn one(
        &mut self,
        records: &mut Vec<Record>,
        (item, round, check): (usize, u32, bool),
        process: u32,
        since_idle: &mut Option<usize>,
        [so_far, left]: [u64; 2],
    ) -> bool {
        if self.stop.load(Ordering::SeqCst) {
            return false;
        }
        let name = self.items.get(item).map_or("", |i| i.name.as_str());
        (self.progress)(so_far, so_far + left, name);
        if self.meter.is_some() && since_idle.is_none_or(|n| n >= self.plan.idle_every.max(1)) {
            if !self.idle(records, process) {
                return false;
            }
            *since_idle = Some(0);
        }
        let measured = self.measure(item);
        let record = match measured {
            Err(error) => Record::Failed(Failed {
                item,
                error: error.to_string(),
            }),
            Ok(None) => return true,
            Ok(Some(found)) => {
                let (gross, meter_error) = match found.gross {
                    None => (None, None),
                    Some(Ok(gross)) => (Some(gross), None),
                    Some(Err(error)) => (None, Some(error.to_string())),
                };
                let now = std::time::SystemTime::now();
                let since = now.duration_since(std::time::UNIX_EPOCH);
                Record::Window(WindowRecord {
                    item,
                    round,
                    check,
                    process,
                    at_unix_s: since.map_or(0, |t| t.as_secs()),
                    sampling: found.sampling,
                    gross,
                    meter_error,
                    moment: self.sensors.moment(),
                })
            }
        };
        *since_idle = since_idle.map(|n| n + 1);
        self.add(records, record)
    }

    fn measure(&mut self, item: usize) -> Result<Option<super::window::Window>, RuntimeError> {
        let graph = (self.graph)(item)?;
        let mut net = self.runtime.load(&graph)?;
        let meter: Option<&mut dyn EnergyMeter> = match &mut self.meter {
            Some(meter) => Some(&mut **meter),
            None => None,
        };
        window(&self.plan.window, meter, self.now_s, || net.run())
    }

    fn idle(&mut self, records: &mut Vec<Record>, process: u32) -> bool {
        let Some(meter) = &mut self.meter else {
            return true;
        };
        // what runs last takes a while to leave the power reading
        (self.sleep_s)(self.plan.idle_s / 5.0);
        let found = idle(&mut **meter, self.plan.idle_s, self.now_s, self.sleep_s);
        let idle = found.ok();
        self.add(records, Record::Idle(IdleRecord { process, idle }))
    }

    fn add(&mut self, records: &mut Vec<Record>, record: Record) -> bool {
        let go_on = (self.keep)(&record);
        records.push(record);
        go_on
    }
}

fn process_of(record: &Record) -> i64 {
    match record {
        Record::Window(w) => i64::from(w.process),
        Record::Idle(i) => i64::from(i.process),
        Record::Failed(_) => -1,
    }
}

fn key(record: &Record) -> Option<(usize, u32)> {
    match record {
        Record::Window(w) => Some((w.item, w.round)),
        _ => None,
    }
}

fn failure(record: &Record) -> Option<usize> {
    match record {
        Record::Failed(f) => Some(f.item),
        _ => None,
    }
}

/// Windows of each net, those of the check left out.
pub(super) fn windows(records: &[Record]) -> BTreeMap<usize, Vec<(usize, &WindowRecord)>> {
    let mut found: BTreeMap<usize, Vec<(usize, &WindowRecord)>> = BTreeMap::new();
    for (at, record) in records.iter().enumerate() {
        if let Record::Window(w) = record {
            found.entry(w.item).or_default().push((at, w));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{GraphBuilder, Op, Shape};
    use crate::measure::{Context, Loaded, Timed, rows};
    use std::cell::RefCell;
    use std::path::Path;
    use std::rc::Rc;

    /// Net n takes n + 1 ms in its quietest window; `noise` says what a window adds.
    struct Scripted {
        windows: Rc<RefCell<Vec<usize>>>,
        noise: fn(usize, usize) -> f64,
        fails: Option<usize>,
    }

    struct Net(f64);

    impl Loaded for Net {
        fn run(&mut self) -> Result<Timed, RuntimeError> {
            Ok(self.0.into())
        }
    }

    impl Runtime for Scripted {
        fn name(&self) -> &'static str {
            "scripted"
        }
        fn version(&self) -> String {
            "1".to_owned()
        }
        fn load(&mut self, graph: &Graph) -> Result<Box<dyn Loaded>, RuntimeError> {
            // the graph of net n has n + 1 channels
            let net = graph.shape(graph.outputs()[0]).channels() as usize - 1;
            if self.fails == Some(net) {
                return Err(RuntimeError::new("out of memory"));
            }
            let mut windows = self.windows.borrow_mut();
            let before = windows.iter().filter(|n| **n == net).count();
            windows.push(net);
            let noise = (self.noise)(net, before);
            Ok(Box::new(Net(1e-3 * (net + 1) as f64 * (1.0 + noise))))
        }
    }

    fn graph(n: usize) -> Graph {
        let mut builder = GraphBuilder::new(true);
        let shape = Shape::Map {
            c: n as u32 + 1,
            h: 1,
            w: 1,
        };
        let x = builder.push(Op::Input { index: 0, shape }, &[]).unwrap();
        builder.finish(&[x])
    }

    fn plan() -> Plan {
        Plan {
            seed: 3,
            rounds: 2,
            max_rounds: 5,
            tolerance: 0.02,
            window: WindowOptions {
                budget_s: 0.0,
                ..WindowOptions::default()
            },
            idle_s: 1.0,
            idle_every: 1,
        }
    }

    fn items(n: usize) -> Vec<Item> {
        let item = |i: usize| Item {
            name: format!("net {i}"),
            ..Item::default()
        };
        (0..n).map(item).collect()
    }

    /// Runs a session that is told to stop after `limit` new windows; gives the windows it measured, by net.
    fn session(
        records: &mut Vec<Record>,
        noise: fn(usize, usize) -> f64,
        fails: Option<usize>,
        limit: usize,
    ) -> (bool, Vec<usize>) {
        let windows = Rc::new(RefCell::new(Vec::new()));
        let mut runtime = Scripted {
            windows: windows.clone(),
            noise,
            fails,
        };
        let stop = AtomicBool::new(false);
        let mut kept = 0;
        let finished = Session {
            items: &items(6),
            plan: &plan(),
            runtime: &mut runtime,
            meter: None,
            sensors: &Sensors::new(Path::new("/nowhere")),
            stop: &stop,
            now_s: &mut || 0.0,
            sleep_s: &mut |_| {},
            graph: &mut |n| Ok(graph(n)),
            keep: &mut |_| {
                kept += 1;
                stop.store(kept >= limit, Ordering::SeqCst);
                true
            },
            progress: &mut |_, _, _| {},
        }
        .run(records);
        let windows = windows.borrow().clone();
        (finished, windows)
    }

    #[test]
    fn each_round_has_an_order_of_its_own_and_the_first_comes_again() {
        let mut records = Vec::new();
        let (finished, windows) = session(&mut records, |_, _| 0.0, None, usize::MAX);
        assert!(finished);
        assert_eq!(windows.len(), 13);
        let (first, second) = (&windows[..6], &windows[6..12]);
        assert_ne!(first, second);
        assert_ne!(first, [0, 1, 2, 3, 4, 5]);
        for round in [first, second] {
            let mut sorted = round.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4, 5]);
        }
        assert_eq!(windows[12], windows[0]);
    }

    /// The second and third windows of net 4 are half as slow again; only the fourth agrees with the first.
    #[test]
    fn nets_whose_windows_disagree_get_more_and_the_quietest_stands() {
        let noise = |net, before| match (net, before) {
            (4, 1 | 2) => 0.5,
            _ => 0.0,
        };
        let mut records = Vec::new();
        let (_, windows) = session(&mut records, noise, None, usize::MAX);
        let of = |net| windows.iter().filter(|n| **n == net).count();
        let checked = windows[0];
        assert_eq!(of(4) - usize::from(checked == 4), 4);
        assert_eq!(of(2) - usize::from(checked == 2), 2);
        let rows = rows(&items(6), &records, 0.02, &Context::default());
        for (n, row) in rows.iter().enumerate() {
            assert!((row.latency_s - 1e-3 * (n + 1) as f64).abs() < 1e-12);
            assert_eq!(row.flags, None, "{row:?}");
            assert_eq!(row.drift_share, Some(0.0));
        }
    }

    /// All windows of a net differ: it gets as many as there may be, and the row says so. The last window is slower by a
    /// tenth for all nets, which the check finds.
    #[test]
    fn what_never_agrees_and_what_drifts_is_flagged() {
        let noise = |net: usize, before: usize| match (net, before) {
            (1, n) => 0.1 * n as f64,
            (_, 2) => 0.1,
            _ => 0.0,
        };
        let mut records = Vec::new();
        let (_, windows) = session(&mut records, noise, None, usize::MAX);
        let rows = rows(&items(6), &records, 0.02, &Context::default());
        assert_eq!(rows[1].rounds, 5 + u32::from(windows[0] == 1));
        assert!(rows[1].flags.as_deref().unwrap().contains("disagrees"));
        let first = windows[0];
        assert_ne!(first, 1, "the seed was chosen so");
        assert_eq!(rows[first].flags.as_deref(), Some("drift"));
        assert!((rows[0].drift_share.unwrap() - 0.1).abs() < 1e-9);
    }

    #[test]
    fn stopped_anywhere_and_resumed_it_measures_the_same_windows_once() {
        let mut whole = Vec::new();
        let (_, wanted) = session(&mut whole, |_, _| 0.0, None, usize::MAX);
        for limit in 1..13 {
            let mut records = Vec::new();
            let (finished, first) = session(&mut records, |_, _| 0.0, None, limit);
            assert!(!finished && first.len() == limit);
            let (finished, second) = session(&mut records, |_, _| 0.0, None, usize::MAX);
            assert!(finished);
            assert_eq!([first, second].concat(), wanted);
        }
    }

    #[test]
    fn a_net_that_does_not_run_costs_its_own_row_only() {
        let mut records = Vec::new();
        let (finished, windows) = session(&mut records, |_, _| 0.0, Some(2), usize::MAX);
        assert!(finished && !windows.contains(&2));
        let failures: Vec<&Record> = (records.iter())
            .filter(|r| matches!(r, Record::Failed(_)))
            .collect();
        assert_eq!(failures.len(), 1);
        let rows = rows(&items(6), &records, 0.02, &Context::default());
        assert_eq!(rows.len(), 5);
        assert!(rows.iter().all(|r| r.item.name != "net 2"));
    }
}
