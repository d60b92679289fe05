//! The table of a run's trials, made a part at a time.

use super::metric::Metric;
use super::trials::Trials;
use crate::base::hash::Fingerprint;
use crate::base::parts::Parts;
use crate::base::table::{Column, Table, TableError};
use crate::expr::{Scalar, Scope};
use crate::space::ast::DecisionId;
use crate::space::{Domain, Space};
use rayon::prelude::*;
use std::ops::BitOr;

/// Literals of a domain that are looked through for the type of its column.
const LITERALS: u32 = 10_000;

/// Trials that a thread looks through in one go.
const LOOKED: usize = 4096;

/// The columns of trials: `trial`, `fingerprint`, one a decision named by its id with resolved values, one a metric,
/// `feasible`, and where an evaluator failed `error`. A decision whose id is also the name of another column stands as
/// `decision:ID`. What a column holds is settled by all trials, so that all parts and the front have the same columns.
pub struct Sheet<'a> {
    trials: &'a Trials,
    space: &'a Space,
    columns: Vec<(String, Source<'a>)>,
}

/// Where a column comes from.
#[derive(Clone, Copy)]
enum Source<'a> {
    Number,
    Print,
    Decision(DecisionId, &'a Domain, Kind),
    Metric { place: usize, whole: bool },
    Feasible,
    Error,
}

impl<'a> Sheet<'a> {
    /// Of all trials.
    pub fn new(trials: &'a Trials, space: &'a Space, metrics: &'a [Metric]) -> Self {
        let metrics: Vec<(String, Source<'a>)> = (metrics.iter().enumerate())
            .map(|(place, metric)| {
                let whole = metric.is_whole();
                (metric.to_string(), Source::Metric { place, whole })
            })
            .collect();
        let own = [("trial", Source::Number), ("fingerprint", Source::Print)];
        let end = [("feasible", Source::Feasible), ("error", Source::Error)];
        let is_taken = |id: &str| {
            let own = own.iter().chain(&end).any(|(name, _)| *name == id);
            own || metrics.iter().any(|(name, _)| name == id)
        };
        let decisions = (space.decisions().iter().enumerate()).map(|(d, decision)| {
            let (id, name) = (DecisionId(d as u32), decision.id());
            let kind = kinds(trials, space, id, decision.domain()).narrowest();
            let name = match is_taken(name) {
                true => format!("decision:{name}"),
                false => name.to_owned(),
            };
            (name, Source::Decision(id, decision.domain(), kind))
        });
        let named = |(name, source): (&str, Source<'a>)| (name.to_owned(), source);
        let mut columns: Vec<(String, Source<'a>)> = own.into_iter().map(named).collect();
        columns.extend(decisions);
        columns.extend(metrics.iter().cloned());
        let end = end.into_iter().take(1 + usize::from(trials.any_error()));
        columns.extend(end.map(named));
        Self {
            trials,
            space,
            columns,
        }
    }

    /// All trials, or those of `rows`, to be written.
    pub fn parts(&'a self, rows: Option<&'a [usize]>, name: &'a str) -> Parts<'a> {
        let count = rows.map_or(self.trials.len(), <[usize]>::len);
        Parts::new(count, move |range| match rows {
            Some(rows) => self.table(rows.get(range).unwrap_or_default(), name),
            None => self.table(&range.collect::<Vec<_>>(), name),
        })
    }

    /// The table of some trials.
    ///
    /// # Errors
    /// Two metrics of the same name.
    pub fn table(&self, trials: &[usize], name: &str) -> Result<Table, TableError> {
        let columns = self.columns.par_iter();
        let columns: Vec<Column> = columns.map(|(_, s)| self.column(*s, trials)).collect();
        let mut table = Table::new(name);
        for ((name, _), column) in self.columns.iter().zip(columns) {
            table.push(name.clone(), column)?;
        }
        Ok(table)
    }

    fn column(&self, source: Source<'a>, rows: &[usize]) -> Column {
        let trials = self.trials;
        match source {
            Source::Number => Column::Int(rows.iter().map(|t| Some(*t as i64)).collect()),
            Source::Print => {
                let text = |t: &usize| trials.fingerprint(*t).map(Fingerprint::to_text);
                Column::Text(rows.iter().map(text).collect())
            }
            Source::Decision(id, domain, kind) => {
                let mut values = Values::new(trials, self.space, id, domain);
                let cells = rows.iter().map(|t| values.of(*t));
                match kind {
                    Kind::Int => Column::Int(cells.map(|c| c?.int()).collect()),
                    Kind::Real => Column::Real(cells.map(|c| c?.real()).collect()),
                    Kind::Bool => Column::Bool(cells.map(|c| c?.bool()).collect()),
                    Kind::Text => Column::Text(cells.map(|c| Some(c?.text())).collect()),
                }
            }
            Source::Metric { place, whole } => {
                let values = rows.iter().map(|t| trials.metrics(*t).get(place).copied());
                let values = values.map(|x| x.filter(|x| !x.is_nan()));
                match whole {
                    true => Column::Int(values.map(|x| x.map(|x| x as i64)).collect()),
                    false => Column::Real(values.collect()),
                }
            }
            Source::Feasible => Column::Bool(rows.iter().map(|t| trials.is_feasible(*t)).collect()),
            Source::Error => {
                let error = |t: &usize| trials.error(*t).map(str::to_owned);
                Column::Text(rows.iter().map(error).collect())
            }
        }
    }
}

/// Which kinds of values the column of a decision has. Literals that were not drawn have a say too, so that runs of one
/// space agree.
fn kinds(trials: &Trials, space: &Space, id: DecisionId, domain: &Domain) -> Kinds {
    let literals = (0..domain.count().min(LITERALS)).filter_map(|k| domain.literal(k));
    let known = literals.fold(Kinds::default(), |k, x| k | Kinds::of(Cell::of(x, space)));
    let Domain::Items { items, .. } = domain else {
        let text = matches!(domain, Domain::Options { .. });
        return known | Kinds { text, ..known };
    };
    // what expressions give depends on the assignment
    let all = 0..items.len() as u32;
    if all.end <= LITERALS && all.clone().all(|k| domain.expr(k).is_none()) {
        return known;
    }
    let starts = (0..trials.len()).into_par_iter().step_by(LOOKED);
    let seen = starts.map(|start| {
        let mut values = Values::new(trials, space, id, domain);
        let rows = start..trials.len().min(start + LOOKED);
        let cells = rows.filter_map(|t| values.of(t));
        cells.fold(Kinds::default(), |k, x| k | Kinds::of(x))
    });
    known | seen.reduce(Kinds::default, Kinds::bitor)
}

/// The resolved values of one decision.
struct Values<'a> {
    trials: &'a Trials,
    space: &'a Space,
    id: DecisionId,
    domain: &'a Domain,
    vars: Vec<Scalar>,
}

impl<'a> Values<'a> {
    fn new(trials: &'a Trials, space: &'a Space, id: DecisionId, domain: &'a Domain) -> Self {
        Self {
            trials,
            space,
            id,
            domain,
            vars: Vec::new(),
        }
    }

    /// That of a trial; `None` where the decision is inactive.
    fn of(&mut self, trial: usize) -> Option<Cell<'a>> {
        let index = self.trials.position(trial, self.id)?;
        match self.domain {
            Domain::Options { labels, .. } => {
                return labels.get(index as usize).map(|l| Cell::Text(l));
            }
            Domain::Items { items, .. } => {
                if let Some(expr) = self.domain.expr(index) {
                    if items.get(index as usize)?.by_text {
                        return Some(Cell::Expr(expr.text()));
                    }
                    let assignment = self.trials.assignment(trial)?;
                    self.space.vars(&assignment, &mut self.vars).ok()?;
                    let value = expr.eval(&Scope::of(&self.vars)).ok()?;
                    return Some(Cell::of(value, self.space));
                }
            }
            Domain::Ints { .. } | Domain::Reals { .. } => {}
        }
        self.domain.literal(index).map(|x| Cell::of(x, self.space))
    }
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

    fn int(self) -> Option<i64> {
        match self {
            Self::Int(x) => Some(x),
            _ => None,
        }
    }

    fn real(self) -> Option<f64> {
        match self {
            Self::Int(x) => Some(x as f64),
            Self::Real(x) => Some(x),
            _ => None,
        }
    }

    fn bool(self) -> Option<bool> {
        match self {
            Self::Bool(x) => Some(x),
            _ => None,
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

/// The type of a column.
#[derive(Clone, Copy)]
enum Kind {
    Int,
    Real,
    Bool,
    Text,
}

/// Which kinds of values a column has.
#[derive(Clone, Copy, Default)]
struct Kinds {
    int: bool,
    real: bool,
    bool: bool,
    text: bool,
}

impl Kinds {
    fn of(cell: Cell<'_>) -> Self {
        let mut kinds = Self::default();
        match cell {
            Cell::Int(_) => kinds.int = true,
            Cell::Real(_) => kinds.real = true,
            Cell::Bool(_) => kinds.bool = true,
            Cell::Text(_) | Cell::Expr(_) => kinds.text = true,
        }
        kinds
    }

    /// The narrowest type that holds all.
    fn narrowest(self) -> Kind {
        match (self.int, self.real, self.bool, self.text) {
            (true, false, false, false) => Kind::Int,
            (_, true, false, false) => Kind::Real,
            (false, false, true, false) => Kind::Bool,
            _ => Kind::Text,
        }
    }
}

impl BitOr for Kinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            int: self.int || other.int,
            real: self.real || other.real,
            bool: self.bool || other.bool,
            text: self.text || other.text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::Fingerprint;
    use crate::search::Trial;

    const SPACE: &str = r#"{ "format": "blocksmith/1", "name": "columns", "input": [3, 8, 8],
      "vars": {
        "a": {"choice": [1, 2, 3]},
        "half": {"choice": ["=a * 2", "=a / 2"]},
        "mixed": {"choice": [1, "same"]},
        "flag": {"choice": [true, false]},
        "trial": {"range": {"min": 8, "max": 16, "step": 8}} },
      "net": [
        {"op": "conv", "out_channels": "=trial", "kernel_size": 1},
        {"id": "end", "choice": [
          {"op": "relu"},
          {"as": "pool", "op": "max_pool", "kernel_size": {"choice": [2, 3]}, "stride": 2}]} ] }"#;

    /// All assignments, in the order of the document's holes.
    fn all() -> (Space, Trials) {
        let space = Space::parse(SPACE).unwrap();
        let mut trials = Trials::new(1, 1);
        for (number, assignment) in space.assignments().enumerate() {
            trials.push(Trial {
                number: number as u64,
                assignment,
                fingerprint: Fingerprint(number as u128),
                metrics: [if number == 5 { f64::NAN } else { number as f64 }].into(),
                goals: [0.0].into(),
                feasible: number.is_multiple_of(2),
                error: (number == 7).then(|| "why".into()),
            });
        }
        (space, trials)
    }

    /// What a row has to hold, by the names of the columns.
    fn expected(space: &Space, trials: &Trials, trial: usize) -> Vec<(&'static str, String)> {
        let position = |d: u32| trials.position(trial, DecisionId(d));
        let ids: Vec<&str> = space.decisions().iter().map(|d| d.id()).collect();
        let of = |id: &str| position(ids.iter().position(|x| *x == id).unwrap() as u32);
        let a = f64::from(of("a").unwrap() + 1);
        let half = [a * 2.0, a / 2.0][of("half").unwrap() as usize];
        let pool = of("end").unwrap() == 1;
        let kernel = ids.iter().find(|id| id.contains("kernel_size")).unwrap();
        let kernel = of(kernel).map(|k| ["2", "3"][k as usize].to_owned());
        assert_eq!(kernel.is_some(), pool);
        vec![
            ("trial", trial.to_string()),
            ("fingerprint", format!("{trial:032x}")),
            ("a", a.to_string()),
            ("half", half.to_string()),
            (
                "mixed",
                ["1", "same"][of("mixed").unwrap() as usize].to_owned(),
            ),
            ("flag", (of("flag") == Some(0)).to_string()),
            (
                "decision:trial",
                (8 * (1 + of("trial").unwrap())).to_string(),
            ),
            ("end", if pool { "pool" } else { "relu" }.to_owned()),
            ("kernel", kernel.unwrap_or_default()),
            (
                "params",
                if trial == 5 {
                    String::new()
                } else {
                    trial.to_string()
                },
            ),
            ("feasible", trial.is_multiple_of(2).to_string()),
            ("error", if trial == 7 { "why" } else { "" }.to_owned()),
        ]
    }

    #[test]
    fn every_cell_is_what_the_document_says() {
        let (space, trials) = all();
        // 3 a, 2 halves, 2 mixed, 2 flags, 2 widths; one end, or two kernels of the other
        assert_eq!(trials.len(), 3 * 2 * 2 * 2 * 2 * 3);
        let metrics = [Metric::Params];
        let table = trials.table(&space, &metrics, None, "t").unwrap();
        let mut csv = Vec::new();
        table.write_csv(&mut csv).unwrap();
        let csv = String::from_utf8(csv).unwrap();
        let mut lines = csv.lines();
        let names: Vec<&str> = lines.next().unwrap().split(',').collect();
        for (trial, line) in lines.enumerate() {
            let expected = expected(&space, &trials, trial);
            assert_eq!(expected.len(), names.len());
            for ((cell, name), (of, expected)) in line.split(',').zip(&names).zip(expected) {
                assert!(name.contains(of), "{name} is not {of}");
                assert_eq!(cell, expected, "{name} of {trial}");
            }
        }
        let kinds: Vec<&str> = table.columns().map(|(_, c)| c.kind()).collect();
        let (int, real, bool, text) = ("int", "real", "bool", "text");
        let expected = [
            int, text, int, real, text, bool, int, text, int, int, bool, text,
        ];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn parts_and_fronts_have_the_columns_of_all() {
        let (space, trials) = all();
        let metrics = [Metric::Params];
        let whole = trials.table(&space, &metrics, None, "t").unwrap();
        let sheet = Sheet::new(&trials, &space, &metrics);
        let parts = sheet.parts(None, "t");
        for length in [1, 7, 1000] {
            let mut from = 0;
            for rows in parts.ranges(length) {
                let part = parts.part(rows.clone()).unwrap();
                assert_eq!(part, whole.take(&rows.clone().collect::<Vec<_>>()));
                from += rows.len();
            }
            assert_eq!(from, trials.len());
        }
        // whole numbers alone, but of a column that has others elsewhere
        let rows = [4, 0, 2];
        let front = trials.table(&space, &metrics, Some(&rows), "t").unwrap();
        assert_eq!(front, whole.take(&rows));
        assert_eq!(front.get("half").map(Column::kind), Some("real"));
        let none = trials.table(&space, &metrics, Some(&[]), "t").unwrap();
        assert_eq!(none, whole.take(&[]));
    }
}
