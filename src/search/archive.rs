//! The front of a run while it grows, and what is told of it on the way.

use super::front::{Points, compare, dominates};
use super::hypervolume::hypervolume;
use super::weigh::scores;

/// Trials that settle from where hypervolumes are measured, where nobody says so.
const FIRST: usize = 100;

/// Members that beat others of late: most newcomers are beaten by one of them.
const STRONG: usize = 8;

/// The most members, by dimension, whose hypervolume is quickly found.
const MOST: [(usize, usize); 3] = [(3, usize::MAX), (4, 128), (5, 32)];

/// The trials so far that none dominates, in lexicographic order of their goals, then of their numbers. Less is better.
#[derive(Clone, Debug)]
pub struct Archive {
    dim: usize,
    trials: Vec<usize>,
    goals: Vec<f64>,
    /// Goals of some strong members, one after the other.
    strong: Vec<f64>,
    count: usize,
    best: Vec<f64>,
    worst: Vec<f64>,
    /// By goal: from where on it is worth something, where that was given.
    references: Vec<Option<f64>>,
}

impl Archive {
    /// Still empty; of each goal the value from which on it is worth something, where there is one.
    pub fn new(references: Vec<Option<f64>>) -> Self {
        let dim = references.len();
        Self {
            dim,
            trials: Vec::new(),
            goals: Vec::new(),
            strong: Vec::new(),
            count: 0,
            best: vec![f64::INFINITY; dim],
            worst: vec![f64::NEG_INFINITY; dim],
            references,
        }
    }

    /// Takes in a trial that keeps within all limits and misses no goal. Numbers have to ascend.
    pub fn add(&mut self, trial: usize, goals: &[f64]) {
        self.count += 1;
        let first = self.count <= FIRST;
        let ends = self.best.iter_mut().zip(&mut self.worst);
        for ((best, worst), x) in ends.zip(goals) {
            *best = best.min(*x);
            *worst = if first { worst.max(*x) } else { *worst };
        }
        let strong = Points::new(&self.strong, self.dim);
        let beats = |k: &usize| dominates(strong.get(*k), goals);
        if let Some(k) = (0..strong.len()).find(beats) {
            // the strongest come first
            let from = k.saturating_sub(1) * self.dim;
            if let (Some(pair), 1..) = (self.strong.get_mut(from..(k + 1) * self.dim), k) {
                pair.rotate_left(self.dim);
            }
            return;
        }
        let members = Points::new(&self.goals, self.dim);
        let at = partition(members.len(), |i| compare(members.get(i), goals).is_le());
        // who dominates comes before in lexicographic order; in two dimensions the last of them has the least second
        let before = if self.dim <= 2 { at.min(1) } else { at };
        let beaten = (at - before..at)
            .rev()
            .find(|i| dominates(members.get(*i), goals));
        if let Some(by) = beaten {
            let from = by * self.dim;
            if self.strong.len() >= STRONG * self.dim {
                self.strong.truncate((STRONG - 1) * self.dim);
            }
            self.strong
                .extend_from_slice(self.goals.get(from..from + self.dim).unwrap_or_default());
            return;
        }
        let beats = |all: &[f64], i: usize| dominates(goals, Points::new(all, self.dim).get(i));
        let mut last = self.len();
        if self.dim <= 2 {
            // those that it beats lie together
            last = (at..last).find(|i| !beats(&self.goals, *i)).unwrap_or(last);
        }
        let mut kept = at;
        for i in at..last {
            if !beats(&self.goals, i) {
                self.trials.swap(kept, i);
                let from = i * self.dim;
                self.goals
                    .copy_within(from..from + self.dim, kept * self.dim);
                kept += 1;
            }
        }
        self.trials.drain(kept..last);
        self.goals.drain(kept * self.dim..last * self.dim);
        self.trials.insert(at, trial);
        self.goals
            .splice(at * self.dim..at * self.dim, goals.iter().copied());
    }

    /// How many are on the front.
    pub fn len(&self) -> usize {
        self.trials.len()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.trials.is_empty()
    }

    /// The numbers of those on the front. With weights the best scores first, and the scores.
    pub fn ranked(self, weights: &[f64]) -> (Vec<usize>, Vec<f64>) {
        if weights.is_empty() {
            return (self.trials, Vec::new());
        }
        let points: Vec<&[f64]> = self.goals.chunks_exact(self.dim.max(1)).collect();
        let scores = scores(&points, weights);
        let mut ranked: Vec<(f64, usize)> = scores.into_iter().zip(self.trials).collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        let scores = ranked.iter().map(|(score, _)| *score).collect();
        (ranked.iter().map(|(_, trial)| *trial).collect(), scores)
    }

    /// The best value of each goal.
    pub fn best(&self) -> &[f64] {
        &self.best
    }

    /// What the front dominates, as a part of the box between the best values so far and the reference point: the one
    /// given, or the worst values of the first hundred. `None` where the box is empty, or there are too many goals and
    /// members to say so quickly.
    pub fn hypervolume(&self) -> Option<f64> {
        let quick = |(dim, most): &(usize, usize)| self.dim <= *dim && self.len() <= *most;
        let given = self.references.iter().zip(&self.worst);
        let corner: Vec<f64> = given.map(|(r, worst)| r.unwrap_or(*worst)).collect();
        let sides = corner.iter().zip(&self.best).map(|(c, best)| c - best);
        let volume: f64 = sides.clone().product();
        let is_box = sides.clone().all(|side| side > 0.0) && volume.is_finite();
        if !is_box || !MOST.iter().any(quick) {
            return None;
        }
        // sides of one keep the product of small ones from vanishing
        let lengths: Vec<f64> = sides.collect();
        let scaled = self.goals.iter().enumerate().map(|(i, x)| {
            let k = i % self.dim;
            let (best, length) = (self.best.get(k), lengths.get(k));
            best.zip(length).map_or(f64::NAN, |(b, l)| (x - b) / l)
        });
        let scaled: Vec<f64> = scaled.collect();
        let reference = vec![1.0; self.dim];
        Some(hypervolume(Points::new(&scaled, self.dim), &reference))
    }
}

/// The first of so many places, in order, where `before` is false.
fn partition(count: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        match before(middle) {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::front::front;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn one_by_one_gives_the_front_of_all(
            (dim, flat) in (1usize..=4).prop_flat_map(|dim| {
                let flat = prop::collection::vec((0u8..7).prop_map(f64::from), 0..dim * 60);
                (Just(dim), flat)
            })
        ) {
            let points = Points::new(&flat, dim);
            let mut archive = Archive::new(vec![None; dim]);
            for i in 0..points.len() {
                archive.add(i, points.get(i));
                let so_far = Points::new(&flat[..(i + 1) * dim], dim);
                prop_assert_eq!(&archive.trials, &front(so_far));
                let goals: Vec<f64> =
                    archive.trials.iter().flat_map(|t| points.get(*t)).copied().collect();
                prop_assert_eq!(&archive.goals, &goals);
            }
        }
    }

    #[test]
    fn the_hypervolume_is_a_part_of_the_box() {
        let mut archive = Archive::new(vec![Some(3.0), Some(3.0)]);
        assert_eq!(archive.hypervolume(), None);
        archive.add(0, &[0.0, 2.0]);
        archive.add(1, &[2.0, 0.0]);
        // strips of 3 x 1 and 1 x 3 that share a cell, in a square of 9 cells
        let near = |archive: &Archive, x: f64| (archive.hypervolume().unwrap() - x).abs() < 1e-12;
        assert!(near(&archive, 5.0 / 9.0));
        archive.add(2, &[0.0, 0.0]);
        assert!(near(&archive, 1.0));
        assert_eq!((archive.len(), archive.best()), (1, &[0.0, 0.0][..]));
        // without a reference the worst of the first hundred is one
        let mut archive = Archive::new(vec![None, None]);
        archive.add(0, &[0.0, 4.0]);
        archive.add(1, &[4.0, 0.0]);
        archive.add(2, &[1.0, 1.0]);
        // 3 x 3 of the middle one; the others are on the edge
        assert!(near(&archive, 9.0 / 16.0));
        (3..200).for_each(|t| archive.add(t, &[9.0, 9.0]));
        // 8 x 8 of the middle one, and a strip of 1 x 5 of either other
        assert!(near(&archive, 74.0 / 81.0));
    }
}
