//! Non-dominated points, ranks and crowding. Less is better in every coordinate; a point with a missing coordinate (NaN)
//! belongs to no front. No result depends on the order of the points, but that equal points keep theirs.

use std::cmp::Ordering;

/// Points of equal dimension, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    flat: &'a [f64],
    dim: usize,
}

impl<'a> Points<'a> {
    /// Points of `dim` coordinates each; an incomplete last one is left out.
    pub fn new(flat: &'a [f64], dim: usize) -> Self {
        Self {
            flat,
            dim: dim.max(1),
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.flat.len() / self.dim
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of coordinates.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Point `index`; empty where there is none.
    pub fn get(&self, index: usize) -> &'a [f64] {
        let first = index.saturating_mul(self.dim);
        self.flat.get(first..first + self.dim).unwrap_or_default()
    }

    /// Indices of all points without a missing coordinate, in lexicographic order, equal ones in theirs.
    fn sorted(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.len())
            .filter(|&i| self.get(i).iter().all(|x| !x.is_nan()))
            .collect();
        order.sort_by(|&a, &b| compare(self.get(a), self.get(b)).then(a.cmp(&b)));
        order
    }
}

/// Lexicographic order.
pub(super) fn compare(a: &[f64], b: &[f64]) -> Ordering {
    let pairs = a.iter().zip(b);
    // + 0.0 makes the two zeros one
    let mut orders = pairs.map(|(x, y)| (x + 0.0).total_cmp(&(y + 0.0)));
    orders.find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

/// True where `a` is at least as good everywhere and better somewhere.
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    let pairs = || a.iter().zip(b);
    pairs().all(|(x, y)| x <= y) && pairs().any(|(x, y)| x < y)
}

/// The points that none dominates, in lexicographic order (best first coordinate first). Of equal ones all are there.
pub fn front(points: Points<'_>) -> Vec<usize> {
    let order = points.sorted();
    let mut found: Vec<usize> = Vec::new();
    let mut best_second = f64::INFINITY;
    for i in order {
        let point = points.get(i);
        // Who comes later in lexicographic order never dominates who comes before.
        let beaten = match (points.dim(), found.last()) {
            // in two dimensions the last found has the smallest second coordinate so far
            (2, Some(&last)) => {
                let second = point.get(1).copied().unwrap_or(f64::NAN);
                second > best_second || dominates(points.get(last), point)
            }
            _ => found.iter().rev().any(|&f| dominates(points.get(f), point)),
        };
        if !beaten {
            best_second = best_second.min(point.get(1).copied().unwrap_or(f64::INFINITY));
            found.push(i);
        }
    }
    found
}

/// Non-dominated sorting: the rank of each point, 0 for the front, 1 for the front of the rest, and so on; `None` for
/// a point with a missing coordinate.
///
/// # Source
/// Zhang et al., "An efficient approach to nondominated sorting" (2015): points in lexicographic order, each put into
/// the first front that holds nothing better.
pub fn ranks(points: Points<'_>) -> Vec<Option<u32>> {
    let mut fronts: Vec<Vec<usize>> = Vec::new();
    let mut ranks = vec![None; points.len()];
    for i in points.sorted() {
        let point = points.get(i);
        let beaten =
            |front: &Vec<usize>| front.iter().rev().any(|&f| dominates(points.get(f), point));
        // each front that beats the point makes all before it beat it too
        let rank = fronts.partition_point(beaten);
        match fronts.get_mut(rank) {
            Some(front) => front.push(i),
            None => fronts.push(vec![i]),
        }
        if let Some(place) = ranks.get_mut(i) {
            *place = Some(rank as u32);
        }
    }
    ranks
}

/// Crowding distance of each of `members`: how far apart its neighbours along each coordinate are, in parts of the
/// coordinate's extent, summed; infinite at the ends. A coordinate in which all are equal tells nobody apart. Points that
/// are equal in a coordinate share the larger gap, so that the order of the members does not matter.
///
/// # Source
/// Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II" (2002), section III B.
pub fn crowding(points: Points<'_>, members: &[usize]) -> Vec<f64> {
    let mut distance = vec![0.0; members.len()];
    for k in 0..points.dim() {
        let at = |m: usize| {
            let point = members.get(m).map_or(&[][..], |&i| points.get(i));
            point.get(k).copied().unwrap_or(f64::NAN)
        };
        let mut values: Vec<f64> = (0..members.len()).map(at).filter(|x| !x.is_nan()).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let (low, high) = match values[..] {
            [low, .., high] => (low, high),
            _ => continue,
        };
        for (m, sum) in distance.iter_mut().enumerate() {
            let place = values.partition_point(|x| *x < at(m));
            let before = place.checked_sub(1).and_then(|p| values.get(p));
            *sum += match (before, values.get(place + 1)) {
                (Some(before), Some(after)) => (after - before) / (high - low),
                _ => f64::INFINITY,
            };
        }
    }
    distance
}

/// The best `count` points: front by front; of the front that does not fit whole, those with most room around them.
/// In lexicographic order within each front.
pub fn best(points: Points<'_>, count: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..points.len()).collect();
    let mut taken = vec![false; points.len()];
    let mut found = Vec::new();
    while found.len() < count {
        let flat: Vec<f64> = left.iter().flat_map(|&i| points.get(i)).copied().collect();
        let here = front(Points::new(&flat, points.dim()));
        let mut here: Vec<usize> = here.iter().filter_map(|&i| left.get(i).copied()).collect();
        if here.is_empty() {
            break;
        }
        here.iter().for_each(|&i| taken[i] = true);
        left.retain(|&i| !taken[i]);
        let room = count - found.len();
        if here.len() > room {
            thin(points, &mut here, room);
        }
        found.append(&mut here);
    }
    found
}

/// Keeps `room` of `members`: those with most room around them, the ends first.
fn thin(points: Points<'_>, members: &mut Vec<usize>, room: usize) {
    let distance = crowding(points, members);
    let mut order: Vec<usize> = (0..members.len()).collect();
    let at = |m: usize| distance.get(m).copied().unwrap_or(0.0);
    order.sort_by(|&a, &b| at(b).total_cmp(&at(a)).then(a.cmp(&b)));
    order.truncate(room);
    order.sort_unstable();
    *members = order
        .iter()
        .filter_map(|&m| members.get(m).copied())
        .collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Straight from the definition.
    fn by_definition(points: Points<'_>) -> Vec<usize> {
        let beaten = |i: usize| (0..points.len()).any(|j| dominates(points.get(j), points.get(i)));
        (0..points.len()).filter(|&i| !beaten(i)).collect()
    }

    /// Small whole coordinates, so that ties and equal points are common.
    fn some_points() -> impl Strategy<Value = (usize, Vec<f64>)> {
        (1usize..=4).prop_flat_map(|dim| {
            let flat = prop::collection::vec((0u8..6).prop_map(f64::from), 0..dim * 40);
            (Just(dim), flat)
        })
    }

    proptest! {
        #[test]
        fn front_is_the_definition((dim, flat) in some_points()) {
            let points = Points::new(&flat, dim);
            let mut fast = front(points);
            prop_assert!(fast.windows(2).all(|w| compare(points.get(w[0]), points.get(w[1])).is_le()));
            fast.sort_unstable();
            prop_assert_eq!(fast, by_definition(points));
        }

        #[test]
        fn ranks_peel_fronts((dim, flat) in some_points()) {
            let points = Points::new(&flat, dim);
            let ranks = ranks(points);
            let mut left: Vec<usize> = (0..points.len()).collect();
            for rank in 0.. {
                if left.is_empty() { break; }
                let flat: Vec<f64> = left.iter().flat_map(|&i| points.get(i)).copied().collect();
                let here: Vec<usize> =
                    by_definition(Points::new(&flat, dim)).iter().map(|&i| left[i]).collect();
                prop_assert!(here.iter().all(|&i| ranks[i] == Some(rank)));
                left.retain(|i| !here.contains(i));
            }
        }

        #[test]
        fn order_does_not_matter((dim, flat) in some_points(), turn in 0usize..40) {
            let points = Points::new(&flat, dim);
            let n = points.len();
            let order: Vec<usize> = (0..n).map(|i| (i + turn) % n).collect();
            let turned: Vec<f64> = order.iter().flat_map(|&i| points.get(i)).copied().collect();
            let turned = Points::new(&turned, dim);
            let values = |p: Points<'_>, list: Vec<usize>| -> Vec<Vec<f64>> {
                list.into_iter().map(|i| p.get(i).to_vec()).collect()
            };
            prop_assert_eq!(values(points, front(points)), values(turned, front(turned)));
            let all: Vec<usize> = (0..n).collect();
            let (a, b) = (crowding(points, &all), crowding(turned, &all));
            prop_assert!(order.iter().enumerate().all(|(new, &old)| a[old] == b[new]));
        }

        #[test]
        fn best_takes_front_by_front((dim, flat) in some_points(), count in 0usize..50) {
            let points = Points::new(&flat, dim);
            let ranks = ranks(points);
            let found = best(points, count);
            prop_assert_eq!(found.len(), count.min(points.len()));
            let worst = found.iter().map(|&i| ranks[i]).max();
            let missed = (0..points.len()).filter(|i| !found.contains(i)).map(|i| ranks[i]).min();
            prop_assert!(worst.zip(missed).is_none_or(|(w, m)| w <= m));
        }
    }

    #[test]
    fn a_missing_coordinate_is_never_best() {
        let flat = [0.0, f64::NAN, 1.0, 1.0, -1.0, f64::NAN];
        let points = Points::new(&flat, 2);
        assert_eq!(front(points), [1]);
        assert_eq!(ranks(points), [None, Some(0), None]);
        assert_eq!(best(points, 3), [1]);
    }

    #[test]
    fn crowding_by_hand() {
        // extents 4 and 4; the middle point's neighbours span 4 of 4 and 4 of 4, the second's 2 of 4 and 3 of 4
        let flat = [0.0, 4.0, 1.0, 2.0, 2.0, 1.0, 4.0, 0.0];
        let distance = crowding(Points::new(&flat, 2), &[0, 1, 2, 3]);
        assert_eq!(distance[1], 2.0 / 4.0 + 3.0 / 4.0);
        assert_eq!(distance[2], 3.0 / 4.0 + 2.0 / 4.0);
        assert!(distance[0].is_infinite() && distance[3].is_infinite());
        // a third coordinate that all share changes nothing
        let flat = [0.0, 4.0, 7.0, 1.0, 2.0, 7.0, 2.0, 1.0, 7.0, 4.0, 0.0, 7.0];
        let points = Points::new(&flat, 3);
        assert_eq!(crowding(points, &[0, 1, 2, 3]), distance);
        assert_eq!(best(points, 3), [0, 1, 3]);
    }
}
