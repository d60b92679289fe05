//! A list of values that needs no heap while it is short.

use crate::ir::ValueId;

const SHORT: usize = 12;

/// Values to feed into one node.
#[derive(Debug)]
pub(super) struct Values {
    short: [ValueId; SHORT],
    count: usize,
    /// All values, once there are more than fit.
    long: Vec<ValueId>,
}

impl Values {
    /// None.
    pub fn new() -> Self {
        Self {
            short: [ValueId(0); SHORT],
            count: 0,
            long: Vec::new(),
        }
    }

    /// One.
    pub fn from_one(first: ValueId) -> Self {
        let mut values = Self::new();
        values.push(first);
        values
    }

    /// Adds one.
    pub fn push(&mut self, x: ValueId) {
        match self.short.get_mut(self.count) {
            Some(place) => *place = x,
            None => {
                if self.long.is_empty() {
                    self.long.extend_from_slice(&self.short);
                }
                self.long.push(x);
            }
        }
        self.count += 1;
    }

    /// Adds all of these.
    pub fn extend(&mut self, xs: &[ValueId]) {
        for x in xs {
            self.push(*x);
        }
    }

    /// All of them, in order.
    pub fn as_slice(&self) -> &[ValueId] {
        if self.long.is_empty() {
            self.short.get(..self.count).unwrap_or(&self.short)
        } else {
            &self.long
        }
    }

    /// Puts `x` in the first place.
    pub fn set_first(&mut self, x: ValueId) {
        let all = if self.long.is_empty() {
            self.short.as_mut_slice()
        } else {
            &mut self.long
        };
        if let Some(first) = all.first_mut() {
            *first = x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_past_the_short_form() {
        let mut values = Values::new();
        for k in 0..40 {
            assert_eq!(values.as_slice().len(), k as usize);
            values.push(ValueId(k));
        }
        values.set_first(ValueId(99));
        let mut wanted: Vec<_> = (0..40).map(ValueId).collect();
        wanted[0] = ValueId(99);
        assert_eq!(values.as_slice(), wanted);
    }
}
