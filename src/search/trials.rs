//! All trials of a run, in columns: a million of them must fit into memory.

use super::front::{self, Points};
use super::metric::Metric;
use super::searcher::Trial;
use crate::base::hash::Fingerprint;
use crate::base::table::{Column, Table, TableError};
use crate::expr::{Scalar, Scope};
use crate::space::ast::DecisionId;
use crate::space::{Assignment, Domain, Space};
use rayon::prelude::*;

/// All trials, in the order of their numbers, without a gap from 0.
#[derive(Clone, Debug, Default)]
pub struct Trials {
    assignments: Vec<Assignment>,
    fingerprints: Vec<Fingerprint>,
    feasible: Vec<bool>,
    metrics: Vec<f64>,
    metric_count: usize,
    goals: Vec<f64>,
    goal_count: usize,
    errors: Vec<(usize, Box<str>)>,
}

impl Trials {
    /// None yet, of so many metrics and objectives.
    pub fn new(metric_count: usize, goal_count: usize) -> Self {
        Self {
            metric_count,
            goal_count,
            ..Self::default()
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.assignments.len()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.assignments.is_empty()
    }

    /// Adds the next one.
    pub fn push(&mut self, trial: Trial) {
        if let Some(error) = trial.error {
            self.errors.push((self.len(), error));
        }
        self.fingerprints.push(trial.fingerprint);
        self.feasible.push(trial.feasible);
        self.metrics.extend_from_slice(&trial.metrics);
        self.goals.extend_from_slice(&trial.goals);
        self.assignments.push(trial.assignment);
    }

    /// The assignment of a trial.
    pub fn assignment(&self, trial: usize) -> Option<&Assignment> {
        self.assignments.get(trial)
    }

    /// The identity of a trial's graph.
    pub fn fingerprint(&self, trial: usize) -> Option<Fingerprint> {
        self.fingerprints.get(trial).copied()
    }

    /// The metrics of a trial, NaN where one is missing; empty where there is no such trial.
    pub fn metrics(&self, trial: usize) -> &[f64] {
        let first = trial * self.metric_count;
        (self.metrics.get(first..first + self.metric_count)).unwrap_or_default()
    }

    /// How many keep within all limits and miss no objective.
    pub fn feasible_count(&self) -> usize {
        self.eligible().len()
    }

    /// The front of the feasible trials, in lexicographic order of the objectives, then of the numbers.
    pub fn front(&self) -> Vec<usize> {
        self.choose(front::front)
    }

    /// The best `count` of the feasible trials: see [`front::best`].
    pub fn best(&self, count: usize) -> Vec<usize> {
        self.choose(|points| front::best(points, count))
    }

    fn choose(&self, choice: impl Fn(Points<'_>) -> Vec<usize>) -> Vec<usize> {
        let eligible = self.eligible();
        let dim = self.goal_count;
        let goals: Vec<f64> = eligible
            .iter()
            .flat_map(|t| self.goals_of(*t))
            .copied()
            .collect();
        let chosen = choice(Points::new(&goals, dim));
        chosen
            .iter()
            .filter_map(|&i| eligible.get(i).copied())
            .collect()
    }

    fn eligible(&self) -> Vec<usize> {
        let counts = |t: &usize| {
            self.feasible.get(*t) == Some(&true) && self.goals_of(*t).iter().all(|x| !x.is_nan())
        };
        (0..self.len()).filter(counts).collect()
    }

    fn goals_of(&self, trial: usize) -> &[f64] {
        let first = trial * self.goal_count;
        (self.goals.get(first..first + self.goal_count)).unwrap_or_default()
    }

    /// The table of some trials, or of all: `trial`, `fingerprint`, a column a decision named by its id with resolved
    /// values, a column a metric, `feasible`, and where an evaluator failed `error`. A decision whose id is also the
    /// name of another column stands as `decision:ID`.
    ///
    /// # Errors
    /// Two metrics of the same name.
    pub fn table(
        &self,
        space: &Space,
        metrics: &[Metric],
        rows: Option<&[usize]>,
        name: &str,
    ) -> Result<Table, TableError> {
        let all: Vec<usize>;
        let rows = match rows {
            Some(rows) => rows,
            None => {
                all = (0..self.len()).collect();
                &all
            }
        };
        let mut table = Table::new(name);
        table.push("trial", rows.iter().map(|&t| t as i64).collect::<Vec<_>>())?;
        let fingerprint = |t: &usize| self.fingerprints.get(*t).map(ToString::to_string);
        table.push(
            "fingerprint",
            rows.iter().map(fingerprint).collect::<Vec<_>>(),
        )?;
        let taken: Vec<String> = ["trial", "fingerprint", "feasible", "error"]
            .into_iter()
            .map(str::to_owned)
            .chain(metrics.iter().map(ToString::to_string))
            .collect();
        let decisions = space.decisions();
        let columns: Vec<Column> = (0..decisions.len() as u32)
            .into_par_iter()
            .map(|d| self.decision(space, DecisionId(d), rows))
            .collect();
        for (decision, column) in decisions.iter().zip(columns) {
            let id = decision.id();
            let name = match taken.iter().any(|t| t == id) {
                true => format!("decision:{id}"),
                false => id.to_owned(),
            };
            table.push(name, column)?;
        }
        for (m, metric) in metrics.iter().enumerate() {
            let values = rows.iter().map(|&t| self.metrics(t).get(m).copied());
            let values = values.map(|x| x.filter(|x| !x.is_nan()));
            let column: Column = match metric.is_whole() {
                true => values
                    .map(|x| x.map(|x| x as i64))
                    .collect::<Vec<_>>()
                    .into(),
                false => values.collect::<Vec<_>>().into(),
            };
            table.push(metric.to_string(), column)?;
        }
        let feasible = |t: &usize| self.feasible.get(*t).copied();
        table.push("feasible", rows.iter().map(feasible).collect::<Vec<_>>())?;
        if !self.errors.is_empty() {
            let error = |t: &usize| {
                let place = self.errors.binary_search_by_key(t, |(t, _)| *t).ok()?;
                self.errors.get(place).map(|(_, e)| e.to_string())
            };
            table.push("error", rows.iter().map(error).collect::<Vec<_>>())?;
        }
        Ok(table)
    }

    /// One decision's values.
    fn decision(&self, space: &Space, id: DecisionId, rows: &[usize]) -> Column {
        let Some(decision) = space.decisions().get(id.0 as usize) else {
            return Column::Text(vec![None; rows.len()]);
        };
        let domain = decision.domain();
        let mut vars = Vec::new();
        let mut cells = Vec::with_capacity(rows.len());
        for &trial in rows {
            let chosen = self.assignments.get(trial);
            let cell = chosen.and_then(|a| {
                let index = a.get(id)?;
                value(space, domain, index, a, &mut vars)
            });
            cells.push(cell);
        }
        // literals that were not drawn have a say in the type too, so that runs of one space agree
        let literals = (0..domain.count().min(10_000)).filter_map(|k| domain.literal(k));
        let mut kinds = Kinds::default();
        literals.for_each(|x| kinds.see(&Cell::of(x, space)));
        cells.iter().flatten().for_each(|x| kinds.see(x));
        kinds.column(cells)
    }
}

/// The resolved value at a position of a domain.
fn value<'a>(
    space: &'a Space,
    domain: &'a Domain,
    index: u32,
    assignment: &Assignment,
    vars: &mut Vec<Scalar>,
) -> Option<Cell<'a>> {
    match domain {
        Domain::Options { labels, .. } => {
            return labels.get(index as usize).map(|l| Cell::Text(l));
        }
        Domain::Items { items, .. } => {
            let item = items.get(index as usize)?;
            if let Some(expr) = domain.expr(index) {
                if item.by_text {
                    return Some(Cell::Expr(expr.text()));
                }
                space.vars(assignment, vars).ok()?;
                let value = expr.eval(&Scope::of(vars)).ok()?;
                return Some(Cell::of(value, space));
            }
        }
        Domain::Ints { .. } | Domain::Reals { .. } => {}
    }
    domain.literal(index).map(|x| Cell::of(x, space))
}

#[derive(Clone, Copy)]
enum Cell<'a> {
    Int(i64),
    Real(f64),
    Bool(bool),
    Text(&'a str),
    Expr(&'a str),
}

impl<'a> Cell<'a> {
    fn of(value: Scalar, space: &'a Space) -> Self {
        match value {
            Scalar::Int(x) => Self::Int(x),
            Scalar::Real(x) => Self::Real(x),
            Scalar::Bool(x) => Self::Bool(x),
            Scalar::Word(x) => Self::Text(space.ast().words.text(x)),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Int(x) => x.to_string(),
            Self::Real(x) => x.to_string(),
            Self::Bool(x) => x.to_string(),
            Self::Text(x) => x.to_owned(),
            Self::Expr(x) => format!("={x}"),
        }
    }
}

/// Which kinds of values a column has.
#[derive(Default)]
struct Kinds {
    int: bool,
    real: bool,
    bool: bool,
    text: bool,
}

impl Kinds {
    fn see(&mut self, cell: &Cell<'_>) {
        match cell {
            Cell::Int(_) => self.int = true,
            Cell::Real(_) => self.real = true,
            Cell::Bool(_) => self.bool = true,
            Cell::Text(_) | Cell::Expr(_) => self.text = true,
        }
    }

    /// The narrowest type that holds all.
    fn column(&self, cells: Vec<Option<Cell<'_>>>) -> Column {
        fn each<'a, T>(
            cells: Vec<Option<Cell<'a>>>,
            turn: impl Fn(Cell<'a>) -> Option<T>,
        ) -> Vec<Option<T>> {
            cells.into_iter().map(|c| c.and_then(&turn)).collect()
        }
        match (self.int, self.real, self.bool, self.text) {
            (true, false, false, false) => Column::Int(each(cells, |c| match c {
                Cell::Int(x) => Some(x),
                _ => None,
            })),
            (_, true, false, false) => Column::Real(each(cells, |c| match c {
                Cell::Int(x) => Some(x as f64),
                Cell::Real(x) => Some(x),
                _ => None,
            })),
            (false, false, true, false) => Column::Bool(each(cells, |c| match c {
                Cell::Bool(x) => Some(x),
                _ => None,
            })),
            _ => Column::Text(each(cells, |c| Some(c.text()))),
        }
    }
}
