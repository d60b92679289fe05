//! What would fit: parameters of a failing node, and the width and size of its input, are changed until the node can be
//! made. So a suggestion has been tried before it is told. Off the hot path, and bounded.

/// Values tried in order of distance, on each side of what stands there: of a parameter to blame, and of any other.
const NEAR: [i64; 2] = [300, 40];

/// Rules met one after the other, at most.
const RULES: usize = 6;

/// Parameters that are changed together at most.
const TOGETHER: usize = 3;

/// Attempts at most.
const TRIES: usize = 20_000;

/// Nodes made at most.
const NODES: usize = 400_000;

/// The value of something that can be changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Setting {
    /// Left out, without a default.
    Unset,
    Int(i64),
    Real(f64),
    Bool(bool),
    /// Position among the words that it takes.
    Word(usize),
    Pair([i64; 2]),
}

/// Which values it takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Range {
    Int(i64, i64),
    Real(f64, f64),
    Bool,
    /// How many words there are.
    Word(usize),
    Pair(i64, i64),
}

/// Something that can be changed.
#[derive(Debug)]
pub(super) struct Knob {
    pub range: Range,
    pub now: Setting,
    /// Where counting starts for one that is left out.
    pub guess: i64,
    /// Whether leaving it out is a change too.
    pub optional: bool,
    /// Its default.
    pub usual: Option<Setting>,
}

/// Why an attempt failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// Which rule, without the numbers of this attempt.
    pub rule: String,
    /// The knob to blame.
    pub blamed: Option<usize>,
    /// Values of that knob that the rule itself names.
    pub named: Vec<i64>,
    /// Nodes made before it failed.
    pub nodes: usize,
}

/// Changes that together make the node possible: knobs and what to set them to.
pub(super) type Change = Vec<(usize, Setting)>;

/// Alternatives, best first; none where nothing near enough helps.
pub(super) fn search(
    knobs: &[Knob],
    failure: &Failure,
    attempt: &mut dyn FnMut(&[Setting]) -> Result<usize, Failure>,
) -> Vec<Change> {
    let mut search = Search {
        knobs,
        attempt,
        settings: knobs.iter().map(|k| k.now).collect(),
        met: Vec::new(),
        changed: Vec::new(),
        tries: 0,
        nodes: 0,
    };
    let found = search.solve(failure);
    if found.is_empty() {
        return search.try_defaults().into_iter().collect();
    }
    found
}

struct Search<'a> {
    knobs: &'a [Knob],
    attempt: &'a mut dyn FnMut(&[Setting]) -> Result<usize, Failure>,
    settings: Vec<Setting>,
    /// Rules that stood in the way so far.
    met: Vec<String>,
    /// Knobs that have been set so far.
    changed: Vec<usize>,
    tries: usize,
    nodes: usize,
}

/// What became of one side of a knob: the nearest value that fits, or the nearest that fails by another rule.
enum Side {
    Fits(Setting),
    Moves(Setting, Failure),
    Nothing,
}

impl Search<'_> {
    fn solve(&mut self, failure: &Failure) -> Vec<Change> {
        let blamed = failure.blamed;
        let others = (0..self.knobs.len()).filter(|k| Some(*k) != blamed);
        let mut order: Vec<usize> = blamed.into_iter().chain(others).collect();
        if self.changed.len() >= TOGETHER {
            order.retain(|k| self.changed.contains(k));
        }
        let mut moves = Vec::new();
        for &knob in &order {
            let mut found = Vec::new();
            for side in self.sides(knob, failure) {
                match side {
                    Side::Fits(setting) => found.push(vec![(knob, setting)]),
                    Side::Moves(setting, next) => moves.push((knob, setting, next)),
                    Side::Nothing => {}
                }
            }
            if !found.is_empty() {
                return found;
            }
        }
        if self.met.len() + 1 >= RULES {
            return Vec::new();
        }
        self.met.push(failure.rule.clone());
        let change = self.further(&order, moves, failure);
        self.met.pop();
        change.into_iter().collect()
    }

    /// What is left of going back to all defaults once everything that may stay as it was does.
    fn try_defaults(&mut self) -> Option<Change> {
        let before = self.settings.clone();
        for (setting, knob) in self.settings.iter_mut().zip(self.knobs) {
            *setting = match knob.usual {
                Some(usual) => usual,
                None if knob.optional => Setting::Unset,
                None => *setting,
            };
        }
        (self.tries, self.nodes) = (0, 0);
        if let Err(failure) = (self.attempt)(&self.settings) {
            for (knob, setting) in self.solve(&failure).into_iter().next()? {
                *self.settings.get_mut(knob)? = setting;
            }
        }
        for (knob, setting) in before.iter().enumerate() {
            let now = std::mem::replace(self.settings.get_mut(knob)?, *setting);
            if (self.attempt)(&self.settings).is_err() {
                *self.settings.get_mut(knob)? = now;
            }
        }
        let changed = |knob: &usize| self.settings.get(*knob) != before.get(*knob);
        let knobs = (0..self.settings.len()).filter(changed);
        let change: Change = knobs
            .filter_map(|k| Some((k, *self.settings.get(k)?)))
            .collect();
        (!change.is_empty()).then_some(change)
    }

    /// What helps after one of these, none of which helps by itself.
    fn further(
        &mut self,
        order: &[usize],
        moves: Vec<(usize, Setting, Failure)>,
        failure: &Failure,
    ) -> Option<Change> {
        for (knob, setting, next) in moves {
            if !self.met.contains(&next.rule)
                && let Some(change) = self.after(knob, setting, &next)
            {
                return Some(change);
            }
        }
        // the default of one may leave room for another
        for &knob in order {
            let usual = self.knobs.get(knob).and_then(|k| k.usual);
            if let Some(setting) = usual
                && self.settings.get(knob) != Some(&setting)
                && let Some(change) = self.after(knob, setting, failure)
            {
                return Some(change);
            }
        }
        None
    }

    /// What helps once this knob is set.
    fn after(&mut self, knob: usize, setting: Setting, failure: &Failure) -> Option<Change> {
        let before = std::mem::replace(self.settings.get_mut(knob)?, setting);
        let again = self.changed.contains(&knob);
        if !again {
            self.changed.push(knob);
        }
        let rest = self.solve(failure).into_iter().next();
        if !again {
            self.changed.pop();
        }
        *self.settings.get_mut(knob)? = before;
        let mut change = rest?;
        // a later change of the same knob takes the place of this one
        if change.iter().all(|(k, _)| *k != knob) {
            change.insert(0, (knob, setting));
        }
        Some(change)
    }

    fn sides(&mut self, knob: usize, failure: &Failure) -> Vec<Side> {
        let Some(&Knob {
            range,
            guess,
            optional,
            ..
        }) = self.knobs.get(knob)
        else {
            return Vec::new();
        };
        let now = self.settings.get(knob).copied().unwrap_or(Setting::Unset);
        let (named, near): (&[i64], i64) = match failure.blamed {
            Some(blamed) if blamed == knob => (&failure.named, NEAR[0]),
            _ => (&[], NEAR[1]),
        };
        let lists = match range {
            Range::Int(min, max) => {
                let (start, unset) = match now {
                    Setting::Int(x) => (x, None),
                    _ => (guess, Some(guess)),
                };
                let [below, above] = around(start, [min, max], named, near);
                let below = unset.into_iter().chain(below);
                [
                    below.map(Setting::Int).collect(),
                    above.into_iter().map(Setting::Int).collect::<Vec<_>>(),
                ]
            }
            Range::Pair(min, max) => {
                let [a, b] = match now {
                    Setting::Pair(pair) => pair,
                    _ => [guess; 2],
                };
                let [below, _] = around(a.max(b), [min, max], &[], near);
                let [_, above] = around(a.min(b), [min, max], &[], near);
                let below = below.iter().map(|x| [a.min(*x), b.min(*x)]);
                let above = above.iter().map(|x| [a.max(*x), b.max(*x)]);
                let unset = (now == Setting::Unset).then_some([guess; 2]);
                [
                    unset.into_iter().chain(below).map(Setting::Pair).collect(),
                    above.map(Setting::Pair).collect(),
                ]
            }
            Range::Real(min, max) => {
                let start = match now {
                    Setting::Real(x) => x,
                    _ => min.max(0.0),
                };
                // twentieths, nearest first
                let nearest = (start * 20.0).round() as i64;
                let real = |k: i64| k as f64 / 20.0;
                let within = |x: &f64| *x >= min && *x <= max;
                let below = (0..=20).map(|d| real(nearest - d)).filter(within);
                let above = (0..=20).map(|d| real(nearest + d)).filter(within);
                [
                    below.filter(|x| *x < start).map(Setting::Real).collect(),
                    above.filter(|x| *x > start).map(Setting::Real).collect(),
                ]
            }
            Range::Bool => [vec![Setting::Bool(now != Setting::Bool(true))], Vec::new()],
            Range::Word(count) => {
                let others = (0..count).map(Setting::Word).filter(|w| *w != now);
                [others.collect(), Vec::new()]
            }
        };
        let mut sides: Vec<Side> = lists.map(|list| self.first(knob, list, failure)).into();
        let fits = sides.iter().any(|side| matches!(side, Side::Fits(_)));
        if !fits && optional && now != Setting::Unset {
            sides.push(self.first(knob, vec![Setting::Unset], failure));
        }
        sides
    }

    /// The first of these that fits.
    fn first(&mut self, knob: usize, list: Vec<Setting>, failure: &Failure) -> Side {
        let now = self.settings.get(knob).copied().unwrap_or(Setting::Unset);
        let mut side = Side::Nothing;
        for setting in list {
            if self.tries >= TRIES || self.nodes >= NODES {
                break;
            }
            self.tries += 1;
            if let Some(place) = self.settings.get_mut(knob) {
                *place = setting;
            }
            match (self.attempt)(&self.settings) {
                Ok(nodes) => {
                    self.nodes += nodes;
                    side = Side::Fits(setting);
                    break;
                }
                Err(next) => {
                    self.nodes += next.nodes;
                    if matches!(side, Side::Nothing) && next.rule != failure.rule {
                        side = Side::Moves(setting, next);
                    }
                }
            }
        }
        if let Some(place) = self.settings.get_mut(knob) {
            *place = now;
        }
        side
    }
}

/// Whole numbers below and above `start`, nearest first: those named, then all that are near, then by doubling.
fn around(start: i64, [min, max]: [i64; 2], named: &[i64], near: i64) -> [Vec<i64>; 2] {
    let within = |x: &i64| *x >= min && *x <= max;
    let near = 1..=near;
    let doubled = || (1..24).map(|k| 1i64 << k);
    let below = named.iter().copied().filter(|x| *x < start);
    let below = below
        .chain(near.clone().map(|d| start - d))
        .chain(doubled().map(|k| start / k))
        .filter(within);
    let above = named.iter().copied().filter(|x| *x > start);
    let above = above
        .chain(near.map(|d| start + d))
        .chain(doubled().map(|k| start.saturating_mul(k)))
        .filter(within);
    [below.collect(), above.collect()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(now: i64) -> Knob {
        Knob {
            range: Range::Int(1, 1 << 20),
            now: Setting::Int(now),
            guess: 1,
            optional: false,
            usual: None,
        }
    }

    fn failure(rule: &str, blamed: usize) -> Failure {
        Failure {
            rule: rule.to_owned(),
            blamed: Some(blamed),
            named: Vec::new(),
            nodes: 1,
        }
    }

    /// `a` must be a multiple of `b` and above `c`.
    fn attempt(settings: &[Setting]) -> Result<usize, Failure> {
        let [Setting::Int(a), Setting::Int(b), Setting::Int(c)] = *settings else {
            panic!("{settings:?}")
        };
        match (a % b, a > c) {
            (0, true) => Ok(1),
            (0, false) => Err(failure("above", 2)),
            _ => Err(failure("multiple", 0)),
        }
    }

    #[test]
    fn the_nearest_on_both_sides_are_found() {
        let knobs = [int(50), int(8), int(3)];
        let found = search(&knobs, &failure("multiple", 0), &mut attempt);
        assert_eq!(
            found,
            [vec![(0, Setting::Int(48))], vec![(0, Setting::Int(56))]]
        );
    }

    #[test]
    fn two_rules_are_mended_together() {
        // 50 is no multiple, and below 60: a width that is both lies near, so one change does
        let knobs = [int(50), int(8), int(60)];
        let found = search(&knobs, &failure("multiple", 0), &mut attempt);
        assert_eq!(found, [vec![(0, Setting::Int(64))]]);
        // far away, so another parameter has to give way too
        let knobs = [int(50), int(8), int(100_000)];
        let found = search(&knobs, &failure("multiple", 0), &mut attempt);
        assert_eq!(found.len(), 1, "{found:?}");
        let mut settings = [50, 8, 100_000].map(Setting::Int);
        for (knob, setting) in &found[0] {
            settings[*knob] = *setting;
        }
        assert!(attempt(&settings).is_ok(), "{found:?}");
    }

    #[test]
    fn what_cannot_be_mended_ends() {
        let mut tries = 0;
        let knobs = [int(5), int(7), int(9)];
        let found = search(&knobs, &failure("never", 0), &mut |_| {
            tries += 1;
            Err(failure("never", 0))
        });
        assert!(found.is_empty());
        assert!(tries <= TRIES, "{tries}");
    }
}
