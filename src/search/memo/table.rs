//! Where costs of parts are kept. What the next look-up needs lies beside the key, so that only the sums wait for more
//! memory.

use super::super::evaluate::Counted;
use crate::base::hash::Chain;
use crate::device::Sum;

/// What is kept under a key.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    key: u128,
    /// The place of its figures.
    place: u32,
    /// The output's shape.
    pub shape: u32,
    /// The kernel before it, where it was worked out for one; its end, as far as it goes.
    pub open: u32,
    /// The context of what comes next.
    pub after: u16,
    pub ends: Ends,
}

/// How a part meets its neighbours: flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends(u16);

impl Ends {
    /// See [`crate::fuse::Ends`].
    pub const JOINS: Self = Self(1);
    /// See [`crate::fuse::Ends`].
    pub const THROUGH: Self = Self(2);
    /// See [`crate::fuse::Ends`].
    pub const ENTANGLED: Self = Self(4);
    /// It was worked out in a context: it saw the image.
    pub const SEES: Self = Self(8);
    /// It reads the image.
    pub const READS: Self = Self(16);

    pub fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    /// Sets a flag where this is true.
    pub fn or(&mut self, flag: Self, set: bool) {
        self.0 |= flag.0 * u16::from(set);
    }

    /// Sets a flag to this.
    pub fn set(&mut self, flag: Self, set: bool) {
        self.0 &= !flag.0;
        self.or(flag, set);
    }
}

impl Default for Ends {
    /// Those of no part at all.
    fn default() -> Self {
        Self::THROUGH
    }
}

/// What adds up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub counted: Counted,
    /// The peak where the image is needed later.
    pub held: u64,
    pub chain: Chain,
    /// Nodes, edges and visits.
    pub size: u32,
}

/// Slots by key, each with figures and a sum for each device.
#[derive(Debug)]
pub struct Table {
    /// A power of two of them, at most half of them taken.
    slots: Vec<Slot>,
    figures: Vec<Figures>,
    sums: Vec<Sum>,
    devices: usize,
}

/// No place of any figures.
const FREE: u32 = u32::MAX;

impl Slot {
    /// Of a part that ends in this shape, this open kernel and this context.
    pub fn new((shape, open, after): (u32, u32, u16), ends: Ends) -> Self {
        Self {
            key: 0,
            place: FREE,
            shape,
            open,
            after,
            ends,
        }
    }

    fn free() -> Self {
        Self::new((0, 0, 0), Ends::default())
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Table {
    /// Nothing kept, for so many devices.
    pub fn new(devices: usize) -> Self {
        Self {
            slots: vec![Slot::free(); 1 << 6],
            figures: Vec::new(),
            sums: Vec::new(),
            devices,
        }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.figures.len()
    }

    /// The memory that they take.
    pub fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
            + self.figures.capacity() * size_of::<Figures>()
            + self.sums.capacity() * size_of::<Sum>()
    }

    /// What is kept under a key.
    pub fn find(&self, key: u128) -> Option<&Slot> {
        let slot = self.slots.get(self.seat(key))?;
        (slot.place != FREE).then_some(slot)
    }

    /// The figures of a slot, and a sum for each device.
    pub fn figures(&self, slot: &Slot) -> Option<(&Figures, &[Sum])> {
        let place = slot.place as usize;
        let sums = self
            .sums
            .get(place * self.devices..(place + 1) * self.devices)?;
        Some((self.figures.get(place)?, sums))
    }

    /// Keeps something under a key that is not there yet.
    pub fn keep(&mut self, key: u128, slot: Slot, figures: Figures, sums: &[Sum]) {
        if 2 * self.figures.len() >= self.slots.len() {
            let twice = vec![Slot::free(); 2 * self.slots.len()];
            let old = std::mem::replace(&mut self.slots, twice);
            old.into_iter()
                .filter(|slot| slot.place != FREE)
                .for_each(|slot| self.put(slot));
        }
        let place = self.figures.len() as u32;
        self.figures.push(figures);
        self.sums.extend(
            sums.iter()
                .copied()
                .chain(std::iter::repeat(Sum::default()))
                .take(self.devices),
        );
        self.put(Slot { key, place, ..slot });
    }

    fn put(&mut self, slot: Slot) {
        let seat = self.seat(slot.key);
        if let Some(free) = self.slots.get_mut(seat) {
            *free = slot;
        }
    }

    /// Where a key is, or would be.
    fn seat(&self, key: u128) -> usize {
        let last = self.slots.len() - 1;
        let mut seat = mixed(key) as usize & last;
        // ends, as half of them are free
        while let Some(slot) = self.slots.get(seat) {
            if slot.key == key || slot.place == FREE {
                break;
            }
            seat = (seat + 1) & last;
        }
        seat
    }
}

/// Mixes the bits of a key.
fn mixed(key: u128) -> u64 {
    let (low, high) = (key as u64, (key >> 64) as u64);
    let product =
        u128::from(low ^ 0x9e37_79b9_7f4a_7c15) * u128::from(high ^ 0xd6e8_feb8_6659_fd93);
    let folded = (product as u64) ^ (product >> 64) as u64;
    folded.wrapping_mul(0xff51_afd7_ed55_8ccd) >> 20
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn keeps_what_it_was_given() {
        let (mut table, mut known) = (Table::new(1), HashMap::new());
        let mut state = 1u64;
        for k in 0..3000u32 {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            // many keys that differ in few bits, some that come again, and 0
            let key = u128::from(state >> 52) << 64 | u128::from(k & 3);
            let found = table.find(key).map(|slot| {
                (
                    slot.shape,
                    table.figures(slot).unwrap().0.held,
                    table.figures(slot).unwrap().1[0].time,
                )
            });
            assert_eq!(found, known.get(&key).copied(), "{key:x}");
            if found.is_none() {
                let figures = Figures {
                    held: u64::from(k) * 3,
                    ..Figures::default()
                };
                let sum = Sum {
                    time: u64::from(k) * 7,
                    ..Sum::default()
                };
                table.keep(key, Slot::new((k, 0, 0), Ends::default()), figures, &[sum]);
                known.insert(key, (k, u64::from(k) * 3, u64::from(k) * 7));
            }
        }
        assert_eq!(table.len(), known.len());
        assert!(known.len() > 1000 && known.len() < 3000);
    }
}
