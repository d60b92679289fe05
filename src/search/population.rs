//! Members of a population, and which of them are better: by limits first, then by domination, then by room around them.

use super::front::{self, Points};
use super::judge::Judge;
use super::searcher::Trial;
use crate::space::Assignment;

/// One of a population.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The values of its decisions.
    pub assignment: Assignment,
    /// The objectives, less is better.
    pub goals: Box<[f64]>,
    /// By how much it breaks the limits; 0 where it keeps them, infinite where a metric is missing.
    pub violation: f64,
}

impl Member {
    /// Of a trial.
    pub fn new(trial: &Trial, judge: &Judge<'_>) -> Self {
        let missing = trial.goals.iter().any(|x| x.is_nan());
        Self {
            assignment: trial.assignment.clone(),
            goals: trial.goals.clone(),
            violation: match missing {
                true => f64::INFINITY,
                false => judge.violation(&trial.metrics, false),
            },
        }
    }
}

/// The rank of each member by constraint domination, 0 the best: those within the limits by non-dominated sorting, then
/// the others by how much they break them.
///
/// # Source
/// Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II" (2002), definition 1.
pub fn ranks(members: &[Member]) -> Vec<u32> {
    let dim = members.first().map_or(1, |m| m.goals.len());
    let kept = |m: &Member| match m.violation == 0.0 {
        true => m.goals.to_vec(),
        false => vec![f64::NAN; dim],
    };
    let flat: Vec<f64> = members.iter().flat_map(kept).collect();
    let sorted = front::ranks(Points::new(&flat, dim));
    let fronts = sorted.iter().flatten().max().map_or(0, |r| r + 1);
    let mut broken: Vec<f64> = (members.iter())
        .map(|m| m.violation)
        .filter(|v| *v != 0.0)
        .collect();
    broken.sort_by(f64::total_cmp);
    broken.dedup();
    let place = |v: f64| broken.partition_point(|b| *b < v) as u32;
    let pairs = sorted.iter().zip(members);
    pairs
        .map(|(rank, m)| rank.unwrap_or_else(|| fronts + place(m.violation)))
        .collect()
}

/// How good each member is, less is better: its place by rank, then by room around it among those of its rank. Equal
/// ones share a place.
pub fn worth(members: &[Member]) -> Vec<usize> {
    let ranks = ranks(members);
    let mut room = vec![0.0; members.len()];
    let dim = members.first().map_or(1, |m| m.goals.len());
    let flat: Vec<f64> = members.iter().flat_map(|m| m.goals.to_vec()).collect();
    let points = Points::new(&flat, dim);
    for rank in 0..ranks.iter().max().map_or(0, |r| r + 1) {
        let of_rank: Vec<usize> = (0..members.len()).filter(|m| ranks[*m] == rank).collect();
        let crowding = front::crowding(points, &of_rank);
        of_rank.iter().zip(crowding).for_each(|(m, c)| room[*m] = c);
    }
    let compare = |a: usize, b: usize| ranks[a].cmp(&ranks[b]).then(room[b].total_cmp(&room[a]));
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by(|&a, &b| compare(a, b));
    let mut places = vec![0; members.len()];
    for (i, &member) in order.iter().enumerate() {
        let before = i.checked_sub(1).map(|k| order[k]);
        places[member] = match before {
            Some(before) if compare(before, member).is_eq() => places[before],
            _ => i,
        };
    }
    places
}

/// Keeps the best `count`, best first; of equal ones those that came first.
pub fn best(members: &mut Vec<Member>, count: usize) {
    let worth = worth(members);
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|&m| (worth[m], m));
    order.truncate(count);
    *members = order.into_iter().map(|m| members[m].clone()).collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::front::dominates;
    use proptest::prelude::*;

    fn beats(a: &Member, b: &Member) -> bool {
        match (a.violation == 0.0, b.violation == 0.0) {
            (true, false) => true,
            (false, true) => false,
            (false, false) => a.violation < b.violation,
            (true, true) => dominates(&a.goals, &b.goals),
        }
    }

    fn some_members() -> impl Strategy<Value = Vec<Member>> {
        let member =
            (prop::collection::vec(0u8..5, 2), 0u8..4).prop_map(|(goals, broken)| Member {
                assignment: Assignment::empty(),
                goals: goals.into_iter().map(f64::from).collect(),
                violation: f64::from(broken.saturating_sub(1)),
            });
        prop::collection::vec(member, 0..40)
    }

    proptest! {
        /// Peels one front after the other off, straight from the definition of constraint domination.
        #[test]
        fn ranks_are_the_definition(members in some_members()) {
            let ranks = ranks(&members);
            let mut left: Vec<usize> = (0..members.len()).collect();
            for rank in 0.. {
                if left.is_empty() { break; }
                let beaten = |i: usize| left.iter().any(|&j| beats(&members[j], &members[i]));
                let (later, here): (Vec<usize>, Vec<usize>) = left.iter().partition(|&&i| beaten(i));
                prop_assert!(here.iter().all(|&i| ranks[i] == rank), "{ranks:?}");
                left = later;
            }
        }

        #[test]
        fn the_best_are_of_the_best_ranks(members in some_members(), count in 0usize..50) {
            let all = ranks(&members);
            let mut sorted = all.clone();
            sorted.sort_unstable();
            let mut kept = members.clone();
            best(&mut kept, count);
            prop_assert_eq!(kept.len(), count.min(members.len()));
            let rank = |m: &Member| all[members.iter().position(|x| x == m).unwrap()];
            let mut of_kept: Vec<u32> = kept.iter().map(rank).collect();
            prop_assert!(of_kept.is_sorted());
            of_kept.sort_unstable();
            prop_assert_eq!(&of_kept[..], &sorted[..kept.len()]);
        }
    }

    #[test]
    fn room_breaks_ties_by_hand() {
        // one front on a line: the ends first, then the one with more room
        let at = |x: f64| Member {
            assignment: Assignment::empty(),
            goals: [x, 10.0 - x].into(),
            violation: 0.0,
        };
        let members = [at(0.0), at(1.0), at(4.0), at(10.0)];
        assert_eq!(worth(&members), [0, 3, 2, 0]);
    }
}
