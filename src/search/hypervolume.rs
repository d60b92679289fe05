//! Exact hypervolume: the volume that some points dominate inside a reference point. Less is better.

use super::front::{Points, dominates, front};

/// The volume of what the points dominate and that dominates `reference`. Points that are not better than the reference
/// in every coordinate add nothing.
///
/// ```
/// use blocksmith::search::front::Points;
/// use blocksmith::search::hypervolume::hypervolume;
/// // two rectangles, 1 x 2 and 2 x 1, that share a square of 1
/// assert_eq!(hypervolume(Points::new(&[1.0, 0.0, 0.0, 1.0], 2), &[2.0, 2.0]), 3.0);
/// ```
///
/// # Source
/// Two dimensions: a sweep. Three: a sweep along the last with a staircase of the other two. More: exclusive volumes
/// point by point as in While, Bradstreet, Barone, "A fast way of calculating exact hypervolumes" (2012).
pub fn hypervolume(points: Points<'_>, reference: &[f64]) -> f64 {
    let inside: Vec<f64> = front(points)
        .into_iter()
        .map(|i| points.get(i))
        .filter(|p| p.iter().zip(reference).all(|(x, r)| x < r))
        .flatten()
        .copied()
        .collect();
    volume(Points::new(&inside, points.dim()), reference)
}

/// Of points in lexicographic order that do not dominate each other and lie inside.
fn volume(points: Points<'_>, reference: &[f64]) -> f64 {
    match (points.dim(), reference) {
        _ if points.is_empty() => 0.0,
        (1, [r]) => r - points.get(0).first().copied().unwrap_or(*r),
        (2, [rx, ry]) => {
            let mut stairs = Staircase::new(*rx, *ry);
            (0..points.len()).for_each(|i| {
                if let [x, y] = points.get(i) {
                    stairs.add(*x, *y);
                }
            });
            stairs.area
        }
        (3, [rx, ry, rz]) => by_slices(points, [*rx, *ry, *rz]),
        (_, reference) => by_exclusion(points, reference),
    }
}

/// The area that a growing set of points dominates in two dimensions.
struct Staircase {
    /// Steps, x ascending and y descending, between two guards at the reference.
    steps: Vec<(f64, f64)>,
    area: f64,
}

impl Staircase {
    fn new(rx: f64, ry: f64) -> Self {
        Self {
            steps: vec![(f64::NEG_INFINITY, ry), (rx, f64::NEG_INFINITY)],
            area: 0.0,
        }
    }

    fn add(&mut self, x: f64, y: f64) {
        let at = |steps: &[(f64, f64)], i: usize| steps.get(i).copied().unwrap_or((x, y));
        let first = self.steps.partition_point(|s| s.0 < x);
        let mut top = at(&self.steps, first.saturating_sub(1)).1;
        if top <= y || at(&self.steps, first) == (x, y) {
            return;
        }
        // from x rightwards until a step is lower than the new one: what lies between it and the old stairs is new
        let (mut left, mut next) = (x, first);
        while at(&self.steps, next).1 >= y {
            let (right, lower) = at(&self.steps, next);
            self.area += (right - left) * (top - y);
            (left, top) = (right, lower);
            next += 1;
        }
        self.area += (at(&self.steps, next).0 - left) * (top - y);
        self.steps.splice(first..next, [(x, y)]);
    }
}

fn by_slices(points: Points<'_>, [rx, ry, rz]: [f64; 3]) -> f64 {
    let mut order: Vec<[f64; 3]> = (0..points.len())
        .filter_map(|i| points.get(i).try_into().ok())
        .collect();
    order.sort_by(|a, b| a[2].total_cmp(&b[2]));
    let mut stairs = Staircase::new(rx, ry);
    let (mut sum, mut from) = (0.0, rz);
    for [x, y, z] in order {
        sum += stairs.area * (z - from).max(0.0);
        from = z;
        stairs.add(x, y);
    }
    sum + stairs.area * (rz - from).max(0.0)
}

fn by_exclusion(points: Points<'_>, reference: &[f64]) -> f64 {
    let dim = points.dim();
    let mut sum = 0.0;
    let mut limited = Vec::new();
    for i in 0..points.len() {
        let point = points.get(i);
        let own: f64 = point.iter().zip(reference).map(|(x, r)| r - x).product();
        // what later points share with this one: their worse corner with it
        limited.clear();
        for j in i + 1..points.len() {
            let other = points.get(j);
            debug_assert!(!dominates(other, point));
            limited.extend(point.iter().zip(other).map(|(a, b)| a.max(*b)));
        }
        sum += own - hypervolume(Points::new(&limited, dim), reference);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Counts the unit cells of a grid that some point dominates.
    fn by_cells(points: Points<'_>, reference: u32) -> f64 {
        let dim = points.dim() as u32;
        let cells = (0..reference.pow(dim)).filter(|cell| {
            let corner = |k: u32| f64::from(cell / reference.pow(k) % reference);
            (0..points.len()).any(|i| {
                let point = points.get(i);
                (0..dim).all(|k| point[k as usize] <= corner(k))
            })
        });
        cells.count() as f64
    }

    proptest! {
        #[test]
        fn equals_counted_cells(
            (dim, flat) in (1usize..=5).prop_flat_map(|dim| {
                let flat = prop::collection::vec((0u8..8).prop_map(f64::from), 0..dim * 12);
                (Just(dim), flat)
            })
        ) {
            let points = Points::new(&flat, dim);
            let reference = vec![6.0; dim];
            prop_assert_eq!(hypervolume(points, &reference), by_cells(points, 6));
        }

        #[test]
        fn general_equals_fast(flat in prop::collection::vec(0.0f64..1.0, 0..90)) {
            for dim in [2, 3] {
                let points = Points::new(&flat, dim);
                let reference = vec![0.9; dim];
                let fast = hypervolume(points, &reference);
                // a further coordinate of 0 inside 1 leaves the volume as it is
                let raised: Vec<f64> = (0..points.len())
                    .flat_map(|i| points.get(i).iter().copied().chain([0.0; 2]))
                    .collect();
                let mut wider = reference;
                wider.extend([1.0; 2]);
                let general = hypervolume(Points::new(&raised, dim + 2), &wider);
                prop_assert!((fast - general).abs() < 1e-12, "{} {}", fast, general);
            }
        }
    }

    #[test]
    fn known_values() {
        let of = |flat: &[f64], reference: &[f64]| {
            hypervolume(Points::new(flat, reference.len()), reference)
        };
        assert_eq!(of(&[], &[1.0, 1.0]), 0.0);
        assert_eq!(of(&[2.0, 0.0], &[1.0, 1.0]), 0.0);
        assert_eq!(of(&[0.25], &[1.0]), 0.75);
        // three boxes of 1 x 1 x 3 in a cube of 3 along the axes: 9 cells less two counted three times
        let flat = [0.0, 2.0, 2.0, 2.0, 0.0, 2.0, 2.0, 2.0, 0.0];
        assert_eq!(of(&flat, &[3.0; 3]), 7.0);
    }
}
