//! Numbers that tell networks apart: of the graph, and of the decisions.
//!
//! Of the graph only what lies on a way from an input to an output counts. Its features: how many ops there are of each
//! kind (convolutions by kernel size and grouping); the logarithms of its counts; and statistics of the paths through
//! it. For these the graph is cut where all paths meet, so that their number stays small, and the parts are added up: of
//! each kind of convolution and pooling the least, most and mean number along a path, and for each set of up to three
//! such kinds the number, least and most length of paths on which there is nothing else.
//!
//! Which features there are is settled by the first candidates: constant ones and copies are left out, the others are
//! scaled to variance 1 and divided by the root of their number.

use crate::blocks::{Names, Program};
use crate::ir::Graph;
use crate::ir::ops::Op;
use crate::search::metric::{COUNTS, Metric};
use crate::space::ast::DecisionId;
use crate::space::{Assignment, Decision, Domain, Space};
use rayon::prelude::*;
use std::collections::BTreeSet;

use super::gp::Row;

/// Kinds whose paths are looked at: those that vary most.
const PATH_KINDS: usize = 4;

/// The most features of either group.
const MOST: usize = 512;

/// Options of a choice that get a feature each; of larger ones only the first ones do.
const OPTIONS: u32 = 16;

/// A kind of op: its name, its kernel size, and 1 for depthwise, 2 for grouped.
type Kind = (&'static str, u32, u8);

fn kind(op: &Op, channels: u32) -> Kind {
    match op {
        Op::Conv(c) => {
            let grouping = match c.groups {
                1 => 0,
                g if g == channels => 1,
                _ => 2,
            };
            (op.name(), c.kernel_size[0].max(c.kernel_size[1]), grouping)
        }
        Op::MaxPool(p) => (op.name(), p.kernel_size[0].max(p.kernel_size[1]), 0),
        Op::AvgPool(p) => (op.name(), p.kernel_size[0].max(p.kernel_size[1]), 0),
        _ => (op.name(), 0, 0),
    }
}

fn has_paths(kind: &Kind) -> bool {
    matches!(kind.0, "conv" | "max_pool" | "avg_pool" | "channel_conv")
}

/// For each node whether it lies on a way from an input to an output that no zero cuts, and its kind.
fn kinds(graph: &Graph) -> Vec<Option<Kind>> {
    let mut reached = vec![false; graph.nodes().len()];
    for id in graph.ids() {
        reached[id.index()] = match graph.node(id).op {
            Op::Input { .. } => true,
            Op::Zero => false,
            _ => graph.inputs(id).iter().any(|i| reached[i.index()]),
        };
    }
    let mut needed = vec![false; graph.nodes().len()];
    for output in graph.outputs() {
        needed[output.index()] = true;
    }
    for id in graph.ids().rev() {
        if needed[id.index()] && reached[id.index()] {
            for input in graph.inputs(id) {
                needed[input.index()] = true;
            }
        }
    }
    let of = |id: crate::ir::ValueId| {
        let channels = (graph.inputs(id).first()).map_or(0, |i| graph.shape(*i).channels());
        (needed[id.index()] && reached[id.index()]).then(|| kind(&graph.node(id).op, channels))
    };
    graph.ids().map(of).collect()
}

/// What is known of the paths from where they last met to a node.
#[derive(Clone, Debug, PartialEq)]
struct Paths {
    count: f64,
    /// By kind, then of all kinds together: least, most, and sum over paths.
    least: Vec<f64>,
    most: Vec<f64>,
    sum: Vec<f64>,
    /// By set of kinds: number, least and most length of paths with nothing else.
    only: Vec<[f64; 3]>,
}

const NO_PATH: [f64; 3] = [0.0, f64::INFINITY, 0.0];

impl Paths {
    fn new(kinds: usize, sets: usize, count: f64) -> Self {
        let empty = count == 0.0;
        Self {
            count,
            least: vec![if empty { f64::INFINITY } else { 0.0 }; kinds + 1],
            most: vec![0.0; kinds + 1],
            sum: vec![0.0; kinds + 1],
            only: vec![if empty { NO_PATH } else { [1.0, 0.0, 0.0] }; sets],
        }
    }

    fn join(&mut self, other: &Self) {
        self.count += other.count;
        let each = |a: &mut [f64], b: &[f64], f: fn(f64, f64) -> f64| {
            a.iter_mut().zip(b).for_each(|(x, y)| *x = f(*x, *y));
        };
        each(&mut self.least, &other.least, f64::min);
        each(&mut self.most, &other.most, f64::max);
        each(&mut self.sum, &other.sum, |x, y| x + y);
        for (own, new) in self.only.iter_mut().zip(&other.only) {
            *own = [own[0] + new[0], own[1].min(new[1]), own[2].max(new[2])];
        }
    }

    /// All paths go through an op of kind `k` now.
    fn through(&mut self, k: usize, sets: &[Vec<usize>]) {
        let all = self.least.len() - 1;
        for place in [k, all] {
            self.least[place] += 1.0;
            self.most[place] += 1.0;
            self.sum[place] += self.count;
        }
        for (own, set) in self.only.iter_mut().zip(sets) {
            match set.contains(&k) && own[0] > 0.0 {
                true => *own = [own[0], own[1] + 1.0, own[2] + 1.0],
                false => *own = NO_PATH,
            }
        }
    }

    /// Adds the features of a part that ends here.
    fn add_to(&self, sums: &mut [f64]) {
        let longest = self.most.last().copied().unwrap_or(0.0);
        let by_kind = (self.least.iter().zip(&self.most).zip(&self.sum))
            .flat_map(|((least, most), sum)| [*least, *most, sum / self.count]);
        let by_set = self.only.iter().flat_map(|[count, least, most]| {
            // no such path counts as one that is longer than any
            let least = if *count > 0.0 { *least } else { longest + 1.0 };
            [count.ln_1p(), least, *most]
        });
        if self.count == 0.0 || (self.count == 1.0 && longest == 0.0) {
            return;
        }
        let all = std::iter::once(self.count.ln())
            .chain(by_kind)
            .chain(by_set);
        sums.iter_mut().zip(all).for_each(|(sum, x)| *sum += x);
    }
}

/// Which features there are.
#[derive(Debug)]
pub struct Features<'a> {
    space: &'a Space,
    program: &'a Program,
    kinds: Vec<Kind>,
    path_kinds: Vec<Kind>,
    sets: Vec<Vec<usize>>,
    codes: Vec<Code>,
    graph: Scaling,
    choices: Scaling,
    size: (f64, f64),
}

/// How a decision becomes features.
#[derive(Clone, Debug)]
struct Code {
    decision: DecisionId,
    /// True where its values are in an order.
    ordered: bool,
    options: u32,
}

impl Code {
    fn of(index: usize, decision: &Decision) -> Option<Self> {
        if decision.fixed().is_some() || decision.count() < 2 {
            return None;
        }
        let numbers = (0..decision.count().min(4096)).map(|k| {
            let literal = decision.domain().literal(k)?;
            literal.real()
        });
        let ordered = match decision.domain() {
            Domain::Ints { .. } | Domain::Reals { .. } => true,
            _ => {
                let numbers: Option<Vec<f64>> = numbers.collect();
                decision.count() > 2 && numbers.is_some_and(|n| n.is_sorted())
            }
        };
        Some(Self {
            decision: DecisionId(index as u32),
            ordered,
            options: decision.count(),
        })
    }

    fn write(&self, assignment: &Assignment, to: &mut Vec<f64>) {
        let value = assignment.get(self.decision);
        to.push(f64::from(u8::from(value.is_some())));
        match self.ordered {
            // one that is not there stands in the middle
            true => to.push(value.map_or(0.5, |v| f64::from(v) / f64::from(self.options - 1))),
            false => {
                let options = 0..self.options.min(OPTIONS);
                to.extend(options.map(|o| f64::from(u8::from(value == Some(o)))));
            }
        }
    }
}

/// Which raw features are kept, and how they are scaled.
#[derive(Debug, Default)]
struct Scaling(Vec<(usize, f64, f64)>);

impl Scaling {
    fn of(rows: &[Vec<f64>]) -> Self {
        let (n, width) = (rows.len() as f64, rows.first().map_or(0, Vec::len));
        let mut seen = BTreeSet::new();
        let mut kept = Vec::new();
        for k in 0..width {
            let mean = rows.iter().map(|r| r[k]).sum::<f64>() / n;
            let variance = rows.iter().map(|r| (r[k] - mean).powi(2)).sum::<f64>() / n;
            let spread = variance.sqrt();
            if spread <= 1e-9 * mean.abs().max(1.0) {
                continue;
            }
            // the same numbers but for scale and sign are the same feature
            let sign = rows
                .iter()
                .map(|r| r[k] - mean)
                .find(|x| x.abs() > 1e-6 * spread);
            let sign = sign.map_or(1.0, f64::signum);
            let shape: Vec<i64> = (rows.iter())
                .map(|r| ((r[k] - mean) / spread * sign * 1e6).round() as i64)
                .collect();
            if seen.insert(shape) {
                kept.push((k, mean, 1.0 / spread));
            }
        }
        kept.truncate(MOST);
        let root = (kept.len().max(1) as f64).sqrt();
        kept.iter_mut().for_each(|(_, _, scale)| *scale /= root);
        Self(kept)
    }

    fn apply(&self, raw: &[f64]) -> Vec<f64> {
        let scaled = self.0.iter().map(|(k, mean, scale)| {
            let x = raw.get(*k).copied().unwrap_or(*mean);
            (x - mean) * scale
        });
        scaled.collect()
    }
}

/// A candidate: its assignment, and its counts and predictions.
pub type Candidate<'c> = (&'c Assignment, &'c [f64]);

impl<'a> Features<'a> {
    /// The features that tell these candidates apart.
    pub fn new(program: &'a Program, sample: &[Candidate<'_>]) -> Self {
        let space = program.space();
        let found: Vec<Vec<Option<Kind>>> = sample
            .par_iter()
            .map(|(a, _)| {
                program
                    .lower(a, Names::Off)
                    .map_or_else(|_| Vec::new(), |g| kinds(&g))
            })
            .collect();
        let all: BTreeSet<Kind> = found.iter().flatten().flatten().copied().collect();
        let all: Vec<Kind> = all.into_iter().collect();
        let spread = |kind: &Kind| {
            let of = |net: &Vec<Option<Kind>>| {
                net.iter().flatten().filter(|k| *k == kind).count() as f64
            };
            let counts: Vec<f64> = found.iter().map(of).collect();
            let mean = counts.iter().sum::<f64>() / counts.len().max(1) as f64;
            let squares = counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>();
            squares / mean.max(1e-9)
        };
        let mut path_kinds: Vec<(f64, Kind)> = (all.iter().filter(|k| has_paths(k)))
            .map(|k| (spread(k), *k))
            .filter(|(spread, _)| *spread > 0.0)
            .collect();
        path_kinds.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        path_kinds.truncate(PATH_KINDS);
        let path_kinds: Vec<Kind> = path_kinds.into_iter().map(|(_, k)| k).collect();
        let bits = 0..1usize << path_kinds.len();
        let sets = bits
            .filter(|b| b.count_ones() <= 3)
            .map(|b| (0..path_kinds.len()).filter(|k| b >> k & 1 == 1).collect());
        let codes = space.decisions().iter().enumerate();
        let mut own = Self {
            space,
            program,
            kinds: all,
            sets: sets.collect(),
            path_kinds,
            codes: codes
                .filter_map(|(k, d)| Code::of(k, d))
                .take(MOST)
                .collect(),
            graph: Scaling::default(),
            choices: Scaling::default(),
            size: (0.0, 1.0),
        };
        let raw: Vec<(Vec<f64>, Vec<f64>)> = sample.par_iter().map(|c| own.raw(*c)).collect();
        let (graphs, choices): (Vec<_>, Vec<_>) = raw.into_iter().unzip();
        own.graph = Scaling::of(&graphs);
        own.choices = Scaling::of(&choices);
        let sizes: Vec<f64> = sample.iter().map(|(_, m)| size(m)).collect();
        let n = sizes.len().max(1) as f64;
        let mean = sizes.iter().sum::<f64>() / n;
        let variance = sizes.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / n;
        own.size = (
            mean,
            if variance > 1e-18 {
                variance.sqrt()
            } else {
                1.0
            },
        );
        own
    }

    /// The features of candidates.
    pub fn of(&self, candidates: &[Candidate<'_>]) -> Vec<Row> {
        let row = |c: &Candidate<'_>| {
            let (graph, choices) = self.raw(*c);
            Row {
                graph: self.graph.apply(&graph),
                choices: self.choices.apply(&choices),
                size: (size(c.1) - self.size.0) / self.size.1,
            }
        };
        candidates.par_iter().with_min_len(16).map(row).collect()
    }

    fn raw(&self, (assignment, metrics): Candidate<'_>) -> (Vec<f64>, Vec<f64>) {
        let mut graph = match self.program.lower(assignment, Names::Off) {
            Ok(graph) => self.of_graph(&graph),
            Err(_) => Vec::new(),
        };
        let counts = metrics.iter().take(COUNTS.len());
        graph.extend(counts.map(|x| x.max(0.0).ln_1p()));
        let mut choices = Vec::new();
        self.codes
            .iter()
            .for_each(|code| code.write(assignment, &mut choices));
        debug_assert_eq!(self.space.decisions().len(), assignment.positions().len());
        (graph, choices)
    }

    fn of_graph(&self, graph: &Graph) -> Vec<f64> {
        let kinds = kinds(graph);
        let mut counts = vec![0.0; self.kinds.len()];
        for kind in kinds.iter().flatten() {
            if let Ok(k) = self.kinds.binary_search(kind) {
                counts[k] += 1.0;
            }
        }
        let mut sums = vec![0.0; 1 + 3 * (self.path_kinds.len() + 1) + 3 * self.sets.len()];
        self.walk(graph, &kinds, &mut sums);
        counts.append(&mut sums);
        counts
    }

    /// Adds up the features of the parts between the nodes where all paths meet.
    fn walk(&self, graph: &Graph, kinds: &[Option<Kind>], sums: &mut [f64]) {
        let live = |id: &crate::ir::ValueId| kinds.get(id.index()).is_some_and(Option::is_some);
        let mut last_use: Vec<usize> = (0..kinds.len()).collect();
        for id in graph.ids().filter(live) {
            graph
                .inputs(id)
                .iter()
                .for_each(|i| last_use[i.index()] = id.index());
        }
        for output in graph.outputs() {
            last_use[output.index()] = kinds.len();
        }
        let (k, s) = (self.path_kinds.len(), self.sets.len());
        let mut at: Vec<Option<Paths>> = vec![None; kinds.len()];
        let mut open_until = 0;
        for id in graph.ids().filter(live) {
            let inputs = graph.inputs(id);
            let mut here = Paths::new(k, s, if inputs.is_empty() { 1.0 } else { 0.0 });
            for input in inputs {
                if let Some(Some(before)) = at.get(input.index()) {
                    here.join(before);
                }
            }
            let own = kinds.get(id.index()).copied().flatten();
            if let Some(kind) = self.path_kinds.iter().position(|p| Some(*p) == own) {
                here.through(kind, &self.sets);
            }
            let meets = open_until <= id.index();
            open_until = open_until.max(last_use[id.index()]);
            if meets {
                here.add_to(sums);
                here = Paths::new(k, s, 1.0);
            } else if graph.outputs().contains(&id) {
                here.add_to(sums);
            }
            at[id.index()] = Some(here);
        }
    }
}

fn size(metrics: &[f64]) -> f64 {
    let place = COUNTS.iter().position(|m| *m == Metric::Macs);
    let macs = place.and_then(|p| metrics.get(p)).copied();
    macs.unwrap_or(0.0).max(0.0).ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks;
    use crate::search::evaluate::Costs;

    fn raw(text: &str, of: impl Fn(&Features<'_>, Vec<f64>, usize)) {
        let program = blocks::load(text).map_err(|e| e.render(None)).unwrap().1;
        let costs = Costs::new(&program, &[]);
        let mut scratch = costs.scratch();
        let all: Vec<(Assignment, Box<[f64]>)> = (program.space().assignments())
            .map(|a| {
                let metrics = costs.of(&a, 0, &mut scratch).unwrap().1;
                (a, metrics)
            })
            .collect();
        let sample: Vec<Candidate<'_>> = all.iter().map(|(a, m)| (a, &**m)).collect();
        let features = Features::new(&program, &sample);
        for (k, candidate) in sample.iter().enumerate() {
            of(&features, features.raw(*candidate).0, k);
        }
    }

    /// Two ways from the input to the output: a convolution alone, or one or two convolutions, of which `zero` cuts
    /// the second way off where it is taken.
    const WAYS: &str = r#"{"format": "blocksmith/1", "input": [4, 8, 8],
        "vars": {"way": {"choice": ["one", "two", "none"]}},
        "net": [
            {"id": "start", "op": "conv", "out_channels": 4, "kernel_size": 5},
            {"id": "a", "op": "conv", "out_channels": 4, "kernel_size": 3, "from": "start"},
            {"id": "b", "op": "conv", "out_channels": 4, "kernel_size": 1, "from": "start"},
            {"id": "c", "op": "conv", "out_channels": 4, "kernel_size": 3, "when": "way == 'two'"},
            {"id": "d", "op": "zero", "when": "way == 'none'"},
            {"op": "add", "from": ["a", "d"]}]}"#;

    #[test]
    fn paths_by_hand() {
        raw(WAYS, |features, raw, k| {
            assert_eq!(features.path_kinds, [("conv", 1, 0), ("conv", 3, 0)]);
            let first = features.kinds.len();
            let count = |name: &str, size: u32| {
                raw[features
                    .kinds
                    .iter()
                    .position(|x| (x.0, x.1) == (name, size))
                    .unwrap()]
            };
            let paths = &raw[first..first + 10];
            // of both kinds and then of all convolutions but the first: least, most, mean
            let expected: [f64; 10] = match k {
                0 => [2f64.ln(), 0.0, 1.0, 0.5, 0.0, 1.0, 0.5, 1.0, 1.0, 1.0],
                1 => [2f64.ln(), 0.0, 1.0, 0.5, 1.0, 1.0, 1.0, 1.0, 2.0, 1.5],
                _ => [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
            };
            assert_eq!(paths, expected, "{k}");
            assert_eq!(count("conv", 1), [1.0, 1.0, 0.0][k]);
            assert_eq!(count("conv", 3), [1.0, 2.0, 1.0][k]);
        });
    }

    #[test]
    fn what_does_not_tell_apart_is_left_out() {
        // constant; a copy turned round; twice the first
        let rows: Vec<Vec<f64>> = [1.0, 2.0, 5.0]
            .map(|x| vec![x, 7.0, -x, 2.0 * x + 1.0, x * x])
            .into();
        let scaling = Scaling::of(&rows);
        assert_eq!(
            scaling.0.iter().map(|(k, ..)| *k).collect::<Vec<_>>(),
            [0, 4]
        );
        let scaled: Vec<Vec<f64>> = rows.iter().map(|r| scaling.apply(r)).collect();
        for k in 0..2 {
            let squares: f64 = scaled.iter().map(|r| r[k] * r[k]).sum();
            // variance 1, divided by the number of features
            assert!((squares / 3.0 - 0.5).abs() < 1e-12);
        }
    }
}
