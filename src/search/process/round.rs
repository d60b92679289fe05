//! The questions of one batch and how far they are.

use crate::search::evaluate::{Answer, Asked};
use std::collections::VecDeque;
use std::time::Instant;

/// A question that has been asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub position: usize,
    pub since: Instant,
    pub alone: bool,
}

/// Some questions and how far they are, by their positions.
pub(super) struct Round<'r> {
    pub asked: &'r [Asked<'r>],
    pub waiting: VecDeque<usize>,
    /// Those that may have brought a process down.
    pub suspects: VecDeque<usize>,
    pub open: Vec<Open>,
    pub tries: Vec<u32>,
    /// Failures that are not yet told.
    pub held: Vec<(usize, String)>,
    pub done: Vec<(usize, Answer)>,
    pub stopping: bool,
}

impl<'r> Round<'r> {
    pub fn of(asked: &'r [Asked<'r>]) -> Self {
        Self {
            asked,
            waiting: (0..asked.len()).collect(),
            suspects: VecDeque::new(),
            open: Vec::new(),
            tries: vec![0; asked.len()],
            held: Vec::new(),
            done: Vec::new(),
            stopping: false,
        }
    }

    pub fn is_over(&self) -> bool {
        let more = !self.waiting.is_empty() || !self.suspects.is_empty();
        self.open.is_empty() && (self.stopping || !more)
    }

    /// What may be asked now, and whether alone.
    pub fn next(&mut self, in_flight: usize) -> Option<(usize, bool)> {
        if self.stopping || self.open.iter().any(|o| o.alone) {
            return None;
        }
        if self.suspects.is_empty() {
            let room = self.open.len() < in_flight.max(1);
            return match room {
                true => self.waiting.pop_front().map(|p| (p, false)),
                false => None,
            };
        }
        match self.open.is_empty() {
            true => self.suspects.pop_front().map(|p| (p, true)),
            false => None,
        }
    }

    pub fn trial(&self, position: usize) -> u64 {
        self.asked.get(position).map_or(u64::MAX, |a| a.trial)
    }

    /// Takes the question of that number off the open ones.
    pub fn close(&mut self, trial: u64) -> Option<usize> {
        let place = self
            .open
            .iter()
            .position(|o| self.trial(o.position) == trial)?;
        Some(self.open.remove(place).position)
    }

    /// What was held back is told after all.
    pub fn release(&mut self) {
        let held = std::mem::take(&mut self.held);
        let errors = held.into_iter().map(|(position, why)| (position, Err(why)));
        self.done.extend(errors);
    }
}
