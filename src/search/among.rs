//! A search that is limited to the networks of a table: nothing else is ever proposed.

use super::evaluate::key;
use crate::base::hash::{Fingerprint, Keys};
use crate::base::rng::Rng;
use crate::base::table::{Column, Table};
use crate::space::ast::DecisionId;
use crate::space::{Assignment, Decision, Space};
use rand::RngExt;
use serde_json::Value;

/// The assignments of a table's rows, each once, in the order of the rows.
#[derive(Clone, Debug)]
pub struct Members {
    list: Vec<Assignment>,
    keys: Keys,
    identity: Fingerprint,
    /// Rows that are no assignment of the space, and why the first of them is not.
    pub foreign: (usize, Option<String>),
}

/// Why a table limits nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AmongError {
    /// A decision that is open has no column.
    #[error("{table} has no column for {}; a table that limits a search has one for each open decision", .missing.join(", "))]
    Columns {
        /// The table.
        table: String,
        /// Ids of the decisions.
        missing: Vec<String>,
    },
    /// No row is an assignment.
    #[error("{table} has no row that is a network of the space{}", .first.as_ref().map(|why| format!("; {why}")).unwrap_or_default())]
    Nobody {
        /// The table.
        table: String,
        /// What is wrong with the first row.
        first: Option<String>,
    },
}

impl Members {
    /// Of a table with a column a decision, named by its id or as `decision:ID`, as the tables of a run have them. An empty
    /// cell is a decision that is not active; a decision that is fixed needs no column.
    ///
    /// # Errors
    /// See [`AmongError`].
    pub fn of(table: &Table, space: &Space) -> Result<Self, AmongError> {
        let name = table.name().to_owned();
        let column = |d: &Decision| {
            let own = table.get(&format!("decision:{}", d.id()));
            own.or_else(|| table.get(d.id()))
        };
        let decisions = space.decisions();
        let missing = decisions
            .iter()
            .filter(|d| d.fixed().is_none() && d.count() > 1 && column(d).is_none());
        let missing: Vec<String> = missing.map(|d| d.id().to_owned()).collect();
        if !missing.is_empty() {
            return Err(AmongError::Columns {
                table: name,
                missing,
            });
        }
        let columns: Vec<(&Decision, Option<&Column>)> =
            decisions.iter().map(|d| (d, column(d))).collect();
        let (mut list, mut keys, mut foreign) = (Vec::new(), Keys::default(), (0, None));
        for row in 0..table.rows() {
            match assignment(space, &columns, row) {
                Ok(member) => {
                    if keys.insert(key(&member, space)) {
                        list.push(member);
                    }
                }
                Err(why) => {
                    foreign.0 += 1;
                    foreign.1.get_or_insert_with(|| format!("row {row}: {why}"));
                }
            }
        }
        if list.is_empty() {
            return Err(AmongError::Nobody {
                table: name,
                first: foreign.1,
            });
        }
        let all: Vec<u8> = list
            .iter()
            .flat_map(|a| key(a, space).to_le_bytes())
            .collect();
        Ok(Self {
            list,
            keys,
            identity: Fingerprint::of(&all),
            foreign,
        })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// True where there are none; never of a table.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them.
    pub fn list(&self) -> &[Assignment] {
        &self.list
    }

    /// Whether the assignment with this [`key`] is one.
    pub fn contains(&self, key: u128) -> bool {
        self.keys.contains(&key)
    }

    /// Any of them, each as likely as any other.
    pub fn draw(&self, rng: &mut Rng) -> Option<&Assignment> {
        match self.list.len() {
            0 => None,
            n => self.list.get(rng.random_range(0..n)),
        }
    }

    /// The same for the same members in the same order.
    pub fn identity(&self) -> Fingerprint {
        self.identity
    }
}

/// A row's assignment, or what is wrong with it.
fn assignment(
    space: &Space,
    columns: &[(&Decision, Option<&Column>)],
    row: usize,
) -> Result<Assignment, String> {
    let read = |plain: bool| {
        let cells = columns.iter().filter_map(|(decision, column)| {
            let value = cell((*column)?, row, plain)?;
            Some((decision.id().to_owned(), value))
        });
        space.assignment_from_json(&Value::Object(cells.collect()))
    };
    // a column of words and numbers has all of them as words
    let found = read(true).or_else(|problems| read(false).map_err(|_| problems));
    let found = found.map_err(|problems| {
        let first = problems.iter().next();
        first.map(|p| p.message.clone()).unwrap_or_default()
    })?;
    for ((decision, _), id) in columns.iter().zip(0..) {
        let (value, fixed) = (found.get(DecisionId(id)), decision.fixed());
        if value.is_some() && fixed.is_some() && value != fixed {
            return Err(format!("{:?} is fixed to another value", decision.id()));
        }
    }
    Ok(found)
}

fn cell(column: &Column, row: usize, plain: bool) -> Option<Value> {
    match column {
        Column::Int(cells) => (*cells.get(row)?).map(Value::from),
        Column::Real(cells) => {
            (*cells.get(row)?).map(|x| match x.fract() == 0.0 && x.abs() < 9e15 {
                // what some tools make of whole numbers where cells are missing
                true if !plain => Value::from(x as i64),
                _ => Value::from(x),
            })
        }
        Column::Bool(cells) => (*cells.get(row)?).map(Value::from),
        Column::Text(cells) => cells.get(row)?.as_ref().map(|text| number(text, plain)),
    }
}

/// A word, or the number or truth value that it spells.
fn number(text: &str, plain: bool) -> Value {
    let spelt = serde_json::from_str(text).ok();
    let spelt = spelt.filter(|v: &Value| !plain && (v.is_number() || v.is_boolean()));
    spelt.unwrap_or_else(|| Value::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: &str = r#"{"format": "blocksmith/1", "input": [4, 8, 8],
        "vars": {"w": {"choice": [8, 16, 32]}, "kind": {"choice": ["plain", "none"]}},
        "net": [
            {"op": "conv", "out_channels": "=w", "kernel_size": 3},
            {"id": "end", "choice": [
                {"as": "wide", "op": "conv", "out_channels": 8, "kernel_size": {"choice": [1, 3]}},
                {"as": "nothing", "op": "identity"}]}]}"#;

    fn table(columns: &[(&str, Column)]) -> Table {
        let mut table = Table::new("t");
        for (name, cells) in columns {
            table.push(*name, cells.clone()).unwrap();
        }
        table
    }

    fn texts(cells: &[Option<&str>]) -> Column {
        Column::Text(cells.iter().map(|c| c.map(str::to_owned)).collect())
    }

    #[test]
    fn rows_are_assignments_however_their_cells_are_typed() {
        let space = Space::parse(SPACE).unwrap();
        let ids: Vec<&str> = space.decisions().iter().map(Decision::id).collect();
        let inner = *ids.iter().find(|id| id.contains("kernel_size")).unwrap();
        let kinds = texts(&[
            Some("plain"),
            Some("none"),
            Some("plain"),
            Some("plain"),
            Some("odd"),
        ]);
        let ends = texts(&[
            Some("wide"),
            Some("nothing"),
            Some("wide"),
            Some("nothing"),
            Some("wide"),
        ]);
        let typed = table(&[
            (
                "w",
                Column::Int(vec![Some(8), Some(16), Some(8), Some(9), Some(8)]),
            ),
            ("decision:kind", kinds.clone()),
            ("kind", Column::Int(vec![Some(7); 5])),
            ("end", ends.clone()),
            (
                inner,
                Column::Real(vec![Some(3.0), None, Some(3.0), None, Some(1.0)]),
            ),
        ]);
        let spelt = table(&[
            (
                "w",
                texts(&[Some("8"), Some("16"), Some("8"), Some("9"), Some("8")]),
            ),
            ("kind", kinds),
            ("end", ends),
            (inner, texts(&[Some("3"), None, Some("3"), None, Some("1")])),
        ]);
        for table in [typed, spelt] {
            let members = Members::of(&table, &space).unwrap();
            let found: Vec<String> = (members.list().iter())
                .map(|a| space.assignment_to_json(a).to_string())
                .collect();
            let first = format!(r#"{{"w":8,"kind":"plain","end":"wide","{inner}":3}}"#);
            assert_eq!(
                found,
                [
                    first,
                    r#"{"w":16,"kind":"none","end":"nothing"}"#.to_owned()
                ]
            );
            // the third row is the first again, 9 is no width, odd is no kind
            assert_eq!(members.foreign.0, 2);
            assert!(members.foreign.1.as_deref().unwrap().starts_with("row 3: "));
        }
    }

    #[test]
    fn what_is_fixed_needs_no_column_and_what_is_open_does() {
        let space = Space::parse(SPACE).unwrap();
        let widths = table(&[("w", Column::Int(vec![Some(8), Some(32)]))]);
        match Members::of(&widths, &space) {
            Err(AmongError::Columns { missing, .. }) => assert_eq!(missing.len(), 3),
            other => panic!("{other:?}"),
        }
        let mut ids = space.decisions().iter().map(|d| d.id().to_owned());
        let inner = ids.find(|id| id.contains("kernel_size")).unwrap();
        // the last of these is not active
        let pairs = [("kind", "none"), ("end", "nothing"), (&*inner, "3")];
        let space = space.fix(&pairs).unwrap();
        let members = Members::of(&widths, &space).unwrap();
        assert_eq!((members.len(), members.foreign.0), (2, 0));
        // a row that says otherwise is none of these
        let both = table(&[
            ("w", Column::Int(vec![Some(8), Some(32)])),
            ("kind", texts(&[Some("plain"), Some("none")])),
        ]);
        let members = Members::of(&both, &space).unwrap();
        assert_eq!((members.len(), members.foreign.0), (1, 1));
        let none = table(&[("w", Column::Int(vec![Some(9)]))]);
        assert!(matches!(
            Members::of(&none, &space),
            Err(AmongError::Nobody { .. })
        ));
    }
}
