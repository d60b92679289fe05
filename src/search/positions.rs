//! Assignments by the million, in rows of as few bytes as the largest position needs.

use crate::space::Assignment;
use crate::space::ast::DecisionId;

/// Stands for no value, as in [`Assignment::positions`]; cut to fewer bytes it is the largest number there too.
const NONE: u32 = u32::MAX;

/// The assignments of one space, a row each.
#[derive(Clone, Debug, Default)]
pub struct Positions {
    /// Decisions of the space.
    width: usize,
    rows: usize,
    cells: Cells,
}

/// All rows, one after the other. The largest number of a type stands for no value.
#[derive(Clone, Debug)]
enum Cells {
    Byte(Vec<u8>),
    Short(Vec<u16>),
    Full(Vec<u32>),
}

impl Default for Cells {
    fn default() -> Self {
        Self::Byte(Vec::new())
    }
}

impl Positions {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Adds an assignment; all have to be of one space.
    pub fn push(&mut self, assignment: &Assignment) {
        let positions = assignment.positions();
        if self.rows == 0 {
            self.width = positions.len();
        }
        debug_assert_eq!(self.width, positions.len());
        let largest = positions.iter().map(|x| x.wrapping_add(1)).max();
        // one more than the largest position: no value makes 0
        self.cells.hold(largest.unwrap_or(0));
        match &mut self.cells {
            Cells::Byte(cells) => cells.extend(positions.iter().map(|x| *x as u8)),
            Cells::Short(cells) => cells.extend(positions.iter().map(|x| *x as u16)),
            Cells::Full(cells) => cells.extend_from_slice(positions),
        }
        self.rows += 1;
    }

    /// The position that a decision has in a row; `None` where it is inactive, or there is no such row.
    pub fn at(&self, row: usize, decision: DecisionId) -> Option<u32> {
        let decision = decision.0 as usize;
        if decision >= self.width {
            return None;
        }
        let at = row * self.width + decision;
        match &self.cells {
            Cells::Byte(cells) => wide(*cells.get(at)?),
            Cells::Short(cells) => wide(*cells.get(at)?),
            Cells::Full(cells) => cells.get(at).copied().filter(|x| *x != NONE),
        }
    }

    /// The assignment of a row.
    pub fn get(&self, row: usize) -> Option<Assignment> {
        let row_of = |d| self.at(row, DecisionId(d)).unwrap_or(NONE);
        let decisions = 0..self.width as u32;
        (row < self.rows).then(|| Assignment::from_positions(decisions.map(row_of)))
    }
}

/// A position that was cut; `None` for no value.
fn wide<T: Copy + Into<u32> + TryFrom<u32>>(cell: T) -> Option<u32> {
    let next: u32 = cell.into().wrapping_add(1);
    // what does not fit any more stands for no value
    T::try_from(next).is_ok().then(|| cell.into())
}

impl Cells {
    /// Makes room for positions below `end`.
    fn hold(&mut self, end: u32) {
        let fits = match self {
            Self::Byte(_) => end <= u32::from(u8::MAX),
            Self::Short(_) => end <= u32::from(u16::MAX),
            Self::Full(_) => true,
        };
        if fits {
            return;
        }
        let full: Vec<u32> = match self {
            Self::Byte(cells) => cells.iter().map(|x| wide(*x).unwrap_or(NONE)).collect(),
            Self::Short(cells) => cells.iter().map(|x| wide(*x).unwrap_or(NONE)).collect(),
            Self::Full(cells) => std::mem::take(cells),
        };
        *self = match end <= u32::from(u16::MAX) {
            true => Self::Short(full.iter().map(|x| *x as u16).collect()),
            false => Self::Full(full),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position() -> impl Strategy<Value = u32> {
        let edges = [0, 253, 254, 255, 256, 65_533, 65_534, 65_535, 65_536];
        let end = prop_oneof![Just(200u32), Just(256), Just(65_536), Just(u32::MAX)];
        prop_oneof![
            end.prop_flat_map(|end| 0..end),
            prop::sample::select(edges.to_vec()),
            Just(u32::MAX - 1),
            Just(NONE),
        ]
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            rows in (0usize..5).prop_flat_map(|width| {
                // narrow ones first, so that rows are there when others need more bytes
                let narrow = prop::collection::vec(prop::collection::vec(0u32..9, width), 0..3);
                let any = prop::collection::vec(prop::collection::vec(position(), width), 0..6);
                (narrow, any).prop_map(|(narrow, any)| [narrow, any].concat())
            })
        ) {
            let mut positions = Positions::default();
            for row in &rows {
                positions.push(&Assignment::from_positions(row.iter().copied()));
            }
            prop_assert_eq!(positions.len(), rows.len());
            for (i, row) in rows.iter().enumerate() {
                let expected = Assignment::from_positions(row.iter().copied());
                prop_assert_eq!(positions.get(i), Some(expected));
                for (d, x) in row.iter().enumerate() {
                    let expected = Some(*x).filter(|x| *x != NONE);
                    prop_assert_eq!(positions.at(i, DecisionId(d as u32)), expected);
                }
                prop_assert_eq!(positions.at(i, DecisionId(row.len() as u32)), None);
            }
            prop_assert_eq!(positions.get(rows.len()), None);
            prop_assert_eq!(positions.at(rows.len(), DecisionId(0)), None);
        }
    }

    #[test]
    fn small_numbers_take_a_byte() {
        let bytes = |positions: &Positions| match &positions.cells {
            Cells::Byte(cells) => cells.len(),
            Cells::Short(cells) => 2 * cells.len(),
            Cells::Full(cells) => 4 * cells.len(),
        };
        let mut positions = Positions::default();
        positions.push(&Assignment::from_positions([254, NONE]));
        assert_eq!(bytes(&positions), 2);
        positions.push(&Assignment::from_positions([255, NONE]));
        assert_eq!(bytes(&positions), 8);
        positions.push(&Assignment::from_positions([65_535, 0]));
        assert_eq!(bytes(&positions), 24);
    }
}
