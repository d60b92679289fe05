//! What a candidate is expected to add to the hypervolume of the front.
//!
//! Goals are scaled so that the reference point is 1 in each and less is better. Predicted goals of a candidate are what
//! they are; told ones are a normal distribution of the bent metric. With one told goal the expectation is a sum over
//! levels of that goal: the chance that the candidate is better than the level, times the volume of the predicted goals
//! that it wins among those of the front that are as good as the level. Levels end where a member of the front stands, so
//! that is exact but for how fine the levels are. With
//! more told goals it is a mean over draws, the same ones for all candidates.
//!
//! # Source
//! Emmerich, Giannakoglou, Naujoks, "Single- and multiobjective evolutionary optimization assisted by Gaussian random
//! field metamodels" (2006), the expected hypervolume improvement.

use super::dense::normal_cdf;
use super::target::Target;
use crate::search::front::{Points, front};
use crate::search::hypervolume::hypervolume;

/// Levels of the told goal.
const LEVELS: usize = 50;

/// A told goal: where it stands among the goals, how it is bent, and the scale that makes the reference 1.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its place among the goals.
    pub goal: usize,
    /// How the process sees the goal turned so that more is better.
    pub target: Target,
    /// The scaled goal is `1 - (x - reference) / range`, `x` the goal turned so that more is better.
    pub reference: f64,
    /// See `reference`.
    pub range: f64,
}

impl Told {
    /// The scaled goal.
    pub fn scale(&self, x: f64) -> f64 {
        1.0 - (x - self.reference) / self.range
    }
}

/// Mean and standard deviation of the bent value of each told goal.
pub type Belief<'b> = &'b [(f64, f64)];

/// What is won by adding to a front.
#[derive(Clone, Debug)]
pub struct Gain {
    dim: usize,
    told: Vec<Told>,
    /// Places of the predicted goals.
    predicted: Vec<usize>,
    /// Scaled goals of the front, one after the other.
    front: Vec<f64>,
    levels: Vec<Level>,
    /// Standard normal draws, one for each told goal.
    draws: Vec<Vec<f64>>,
}

/// A level of the only told goal.
#[derive(Clone, Debug)]
struct Level {
    /// The bent value.
    bent: f64,
    scaled: f64,
    thickness: f64,
    /// Predicted goals of members of the front that are as good, none dominated.
    better: Vec<f64>,
}

impl Gain {
    /// Of goals of which some are told; `draws` (each of as many normal numbers as there are told goals) are needed with
    /// more than one.
    pub fn new(dim: usize, told: Vec<Told>, draws: Vec<Vec<f64>>) -> Self {
        let is_told = |k: &usize| told.iter().any(|t| t.goal == *k);
        let levels = match &told[..] {
            [only] => (0..LEVELS).map(|l| Level::new(only, l)).collect(),
            _ => Vec::new(),
        };
        Self {
            dim,
            predicted: (0..dim).filter(|k| !is_told(k)).collect(),
            told,
            front: Vec::new(),
            levels,
            draws,
        }
    }

    /// Adds a member to the front, by its scaled goals.
    pub fn add(&mut self, goals: &[f64]) {
        if goals.iter().any(|x| x.is_nan() || *x >= 1.0) {
            return;
        }
        self.front.extend_from_slice(goals);
        let points = Points::new(&self.front, self.dim);
        let kept = front(points);
        self.front = kept.iter().flat_map(|i| points.get(*i)).copied().collect();
        let [only] = &self.told[..] else { return };
        let cost: Vec<f64> = self.predicted.iter().map(|k| goals[*k]).collect();
        let dim = cost.len();
        let told = goals[only.goal];
        let inside = |l: &Level| (l.scaled - told).abs() < 0.499 * l.thickness;
        if let Some(at) = self.levels.iter().position(inside) {
            let (worse, better) = self.levels[at].split(only, told);
            self.levels[at] = worse;
            self.levels.insert(at + 1, better);
        }
        for level in &mut self.levels {
            if dim > 0 && told <= level.scaled {
                level.better.extend_from_slice(&cost);
                let points = Points::new(&level.better, dim);
                let kept = front(points);
                level.better = kept.iter().flat_map(|i| points.get(*i)).copied().collect();
            }
        }
    }

    /// The scaled value of a told goal, turned so that more is better.
    pub fn scale(&self, goal: usize, x: f64) -> f64 {
        let told = self.told.iter().find(|t| t.goal == goal);
        told.map_or(f64::NAN, |t| t.scale(x))
    }

    /// The front's volume.
    pub fn volume(&self) -> f64 {
        hypervolume(Points::new(&self.front, self.dim), &vec![1.0; self.dim])
    }

    /// The expected gain of a candidate; of `goals`, those that are told are not read.
    pub fn expected(&self, goals: &[f64], belief: Belief<'_>) -> f64 {
        if self
            .predicted
            .iter()
            .any(|k| goals[*k] >= 1.0 || goals[*k].is_nan())
        {
            return 0.0;
        }
        match (&self.told[..], belief) {
            ([only], [(mean, deviation)]) => self.by_levels(only, goals, *mean, *deviation),
            _ => self.by_draws(goals, belief),
        }
    }

    fn by_levels(&self, only: &Told, goals: &[f64], mean: f64, deviation: f64) -> f64 {
        let cost: Vec<f64> = self.predicted.iter().map(|k| goals[*k]).collect();
        let best = self.best_of(only);
        let mut sum = 0.0;
        for level in &self.levels {
            let chance = normal_cdf((mean - level.bent) / deviation);
            // better levels are less likely still
            if chance < 1e-9 {
                break;
            }
            let volume = match cost.len() {
                // alone it must beat the best: the part of the level that is beyond it
                0 => ((best - level.scaled) / level.thickness + 0.5).clamp(0.0, 1.0),
                dim => won(&cost, Points::new(&level.better, dim)),
            };
            sum += chance * level.thickness * volume;
        }
        sum
    }

    fn best_of(&self, only: &Told) -> f64 {
        let goals = self.front.chunks(self.dim).map(|g| g[only.goal]);
        goals.fold(1.0, f64::min)
    }

    fn by_draws(&self, goals: &[f64], belief: Belief<'_>) -> f64 {
        let mut point = goals.to_vec();
        let front = Points::new(&self.front, self.dim);
        if self.told.is_empty() {
            return won(&point, front);
        }
        let each = self.draws.iter().map(|draw| {
            let pairs = self.told.iter().zip(belief).zip(draw);
            for ((told, (mean, deviation)), normal) in pairs {
                point[told.goal] = told.scale(told.target.back(mean + deviation * normal));
            }
            match point.iter().all(|x| *x < 1.0) {
                true => won(&point, front),
                false => 0.0,
            }
        });
        each.sum::<f64>() / self.draws.len().max(1) as f64
    }

    /// True where a candidate adds nothing even if all told goals come out so good; then its gain need not be worked out.
    pub fn is_beaten(&self, goals: &[f64], belief: Belief<'_>, deviations: f64) -> bool {
        let mut point = goals.to_vec();
        for (told, (mean, deviation)) in self.told.iter().zip(belief) {
            point[told.goal] = told.scale(told.target.back(mean + deviations * deviation));
        }
        if point.iter().any(|x| *x >= 1.0) {
            return true;
        }
        let mut members = self.front.chunks(self.dim);
        members.any(|m| m.iter().zip(&point).all(|(a, b)| a <= b))
    }
}

impl Level {
    fn new(only: &Told, number: usize) -> Self {
        let top = only
            .target
            .ceiling()
            .max(only.reference + 1e-9 * only.range);
        let step = (top - only.reference) / LEVELS as f64;
        let x = only.reference + step * (number as f64 + 0.5);
        Self::at(only, only.scale(x), step / only.range)
    }

    fn at(only: &Told, scaled: f64, thickness: f64) -> Self {
        let x = only.reference + (1.0 - scaled) * only.range;
        Self {
            bent: only.target.of(x),
            scaled,
            thickness,
            better: Vec::new(),
        }
    }

    /// The parts below and above a member of the front: late in a search many of them lie in one level.
    fn split(&self, only: &Told, told: f64) -> (Self, Self) {
        let (low, high) = (
            self.scaled + 0.5 * self.thickness,
            self.scaled - 0.5 * self.thickness,
        );
        let part = |from: f64, to: f64| Self {
            better: self.better.clone(),
            ..Self::at(only, 0.5 * (from + to), from - to)
        };
        (part(low, told), part(told, high))
    }
}

/// The volume inside 1 that a point dominates and none of the others, which do not dominate each other and are in
/// lexicographic order.
fn won(point: &[f64], others: Points<'_>) -> f64 {
    match *point {
        [x] => {
            let best = (0..others.len())
                .map(|i| others.get(i)[0])
                .fold(1.0, f64::min);
            (best - x).max(0.0)
        }
        [x, y] => {
            // from left to right below the stairs
            let (mut from, mut top, mut area) = (x, 1.0, 0.0);
            for i in 0..others.len() {
                let [right, lower] = *others.get(i) else {
                    continue;
                };
                if right > from {
                    if top <= y {
                        break;
                    }
                    area += (right.min(1.0) - from) * (top - y);
                    from = right;
                }
                top = f64::min(top, lower);
            }
            if top > y && from < 1.0 {
                area += (1.0 - from) * (top - y);
            }
            area
        }
        _ => {
            let dim = point.len();
            let own: f64 = point.iter().map(|x| 1.0 - x).product();
            let limited: Vec<f64> = (0..others.len())
                .flat_map(|i| others.get(i).iter().zip(point).map(|(a, b)| a.max(*b)))
                .collect();
            own - hypervolume(Points::new(&limited, dim), &vec![1.0; dim])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng;
    use proptest::prelude::*;
    use rand_distr::{Distribution, StandardNormal};

    fn gain(dim: usize, told: usize, front: &[f64]) -> Gain {
        let target = Target::new(&[0.1, 0.3, 0.5, 0.6, 0.9]).unwrap();
        let told = (0..told).map(|goal| Told {
            goal,
            target,
            reference: 0.2,
            range: 0.8,
        });
        let mut rng = rng::stream(3, "draws", 0);
        let told: Vec<Told> = told.collect();
        let draw = |_| {
            told.iter()
                .map(|_| StandardNormal.sample(&mut rng))
                .collect()
        };
        let draws = (0..4000).map(draw).collect();
        let mut gain = Gain::new(dim, told, draws);
        front.chunks_exact(dim).for_each(|g| gain.add(g));
        gain
    }

    /// The same by drawing the told goals and taking differences of volumes.
    fn by_chance(gain: &Gain, goals: &[f64], belief: Belief<'_>) -> f64 {
        let mut rng = rng::stream(9, "check", 0);
        let before = gain.volume();
        let n = 20_000;
        let mut sum = 0.0;
        for _ in 0..n {
            let mut point = goals.to_vec();
            for (told, (mean, deviation)) in gain.told.iter().zip(belief) {
                let normal: f64 = StandardNormal.sample(&mut rng);
                point[told.goal] = told.scale(told.target.back(mean + deviation * normal));
            }
            let mut all = gain.front.clone();
            all.extend(point);
            sum += hypervolume(Points::new(&all, gain.dim), &vec![1.0; gain.dim]) - before;
        }
        sum / f64::from(n)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn expected_gain_is_the_mean_of_drawn_gains(
            (dim, told) in (1usize..=4).prop_flat_map(|dim| (Just(dim), 1..=dim.min(2))),
            flat in prop::collection::vec(0.05f64..0.95, 0..24),
            goals in prop::collection::vec(0.05f64..0.9, 4),
            belief in prop::collection::vec((-1.0f64..1.0, 0.2f64..1.0), 2),
        ) {
            let gain = gain(dim, told, &flat[..flat.len() / dim * dim]);
            let (goals, belief) = (&goals[..dim], &belief[..told]);
            let (fast, slow) = (gain.expected(goals, belief), by_chance(&gain, goals, belief));
            // the noise of 20,000 draws, the levels, and with two told goals the noise of 4,000 draws
            let room = 0.002 + 0.05 * slow + if told > 1 { 0.006 } else { 0.0 };
            prop_assert!((fast - slow).abs() < room, "{fast} {slow}");
        }

        #[test]
        fn what_is_won_is_the_difference_of_volumes(
            (dim, flat) in (1usize..=4).prop_flat_map(|dim| {
                (Just(dim), prop::collection::vec((0u8..12).prop_map(|x| f64::from(x) / 10.0), dim..dim * 12))
            })
        ) {
            let (point, rest) = flat.split_at(dim);
            prop_assume!(point.iter().all(|x| *x < 1.0));
            let points = Points::new(rest, dim);
            let others: Vec<f64> = front(points).iter().flat_map(|i| points.get(*i)).copied().collect();
            let reference = vec![1.0; dim];
            let mut all = others.clone();
            all.extend_from_slice(point);
            let volume = |flat: &[f64]| hypervolume(Points::new(flat, dim), &reference);
            let fast = won(point, Points::new(&others, dim));
            prop_assert!((fast - (volume(&all) - volume(&others))).abs() < 1e-12);
        }
    }

    #[test]
    fn what_cannot_win_is_beaten() {
        let gain = gain(2, 1, &[0.1, 0.1]);
        assert!(gain.is_beaten(&[0.0, 0.5], &[(-1.0, 0.1)], 3.0));
        assert!(!gain.is_beaten(&[0.0, 0.05], &[(0.0, 0.1)], 3.0));
        assert!(gain.is_beaten(&[0.0, 1.0], &[(0.0, 0.1)], 3.0));
        assert_eq!(gain.expected(&[0.0, 1.5], &[(0.0, 0.1)]), 0.0);
    }
}
