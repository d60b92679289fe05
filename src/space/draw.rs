//! Draws in bulk: what [`Space::sample`] does, from tables.
//!
//! Whether variables have values and constraints are met depends on few decisions each; where those have few settings,
//! the answers for all of them stand in a table. What is not active is passed over as a whole.
//!
//! Invariant: the same numbers are asked of the stream in the same order, and the same draws come of it, as without
//! tables.

use super::Space;
use super::ast::Val;
use super::decision::{Assignment, Domain, INACTIVE, Law, Need, Step, Weights};
use super::sample::{Refusal, SampleError, Scratch, Tell};
use crate::base::rng::Rng;
use crate::expr::{Expr, Ref, Scope};
use rand::RngExt;

/// The most settings that a table has answers for.
const MOST_SETTINGS: usize = 1 << 12;

/// The memory of draws, to be used again for the next.
#[derive(Debug, Default)]
pub struct Draws {
    pub(super) scratch: Scratch,
}

/// A space made ready for draws.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Of the variables that may have no value, in the order of evaluation, and of the constraints; `None` where they
    /// depend on too much.
    checks: Option<Box<[Check]>>,
    /// Whether conditions of the net read variables.
    reads_vars: bool,
    moves: Box<[Move]>,
}

/// Whether a variable has a value, or a constraint is met.
#[derive(Clone, Debug)]
struct Check {
    /// The constraint; `None` of a variable.
    constraint: Option<u32>,
    /// Decisions, and what each counts in the number of a setting.
    reads: Box<[(u32, u32)]>,
    answers: Box<[Answer]>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Met,
    Unmet,
    /// There is no value.
    Unsound,
}

/// As [`Step`].
#[derive(Clone, Copy, Debug)]
enum Move {
    /// Settles whether a guard is met. What hangs on it comes next: where it is not met, the draw goes on at `next`.
    Guard {
        guard: u32,
        /// The guard above it, the choice and the option that it waits for.
        took: Option<(u32, u32, u32)>,
        next: u32,
    },
    /// Draws one of so many, each as often.
    Uniform { d: u32, guard: u32, count: u32 },
    /// Draws as the decision says.
    Decide { d: u32, guard: u32 },
}

impl Space {
    /// As [`sample`](Self::sample), into an assignment that is there already.
    ///
    /// # Errors
    /// As [`sample`](Self::sample).
    pub fn sample_into(
        &self,
        rng: &mut Rng,
        draws: &mut Draws,
        into: &mut Assignment,
    ) -> Result<(), SampleError> {
        into.0.clear();
        into.0.resize(self.decisions.len(), INACTIVE);
        self.draw(&mut into.0, &[], rng, &mut draws.scratch)
    }

    /// Draws all that nobody wishes, into values that are all inactive.
    pub(super) fn draw(
        &self,
        values: &mut [u32],
        wishes: &[Option<u32>],
        rng: &mut Rng,
        scratch: &mut Scratch,
    ) -> Result<(), SampleError> {
        let plan = self.plan();
        self.draw_vars(plan, values, wishes, rng, scratch, Tell::Why)
            .map_err(|unmet| self.told(&unmet, values, scratch))?;
        self.draw_rest(plan, values, wishes, rng, scratch)
    }

    pub(super) fn plan(&self) -> &Plan {
        self.plan.get_or_init(|| Plan::new(self))
    }

    /// Draws what comes after `vars`.
    pub(super) fn draw_rest(
        &self,
        plan: &Plan,
        values: &mut [u32],
        wishes: &[Option<u32>],
        rng: &mut Rng,
        scratch: &mut Scratch,
    ) -> Result<(), SampleError> {
        if plan.reads_vars && plan.checks.is_some() {
            // the draw was accepted, so they have values
            let _ = self.vars_of(values, &mut scratch.vars);
        }
        scratch.guards.clear();
        scratch.guards.resize(self.guards.len(), false);
        if let Some(root) = scratch.guards.first_mut() {
            *root = true;
        }
        let is_met = |guards: &[bool], g: u32| guards.get(g as usize).copied().unwrap_or(true);
        let mut at = 0;
        while let Some(step) = plan.moves.get(at) {
            at += 1;
            match *step {
                Move::Guard { guard, took, next } => {
                    let met = match took {
                        Some((parent, hole, option)) => {
                            is_met(&scratch.guards, parent)
                                && values.get(hole as usize) == Some(&option)
                        }
                        None => self.is_met(guard, values, scratch),
                    };
                    if met {
                        if let Some(place) = scratch.guards.get_mut(guard as usize) {
                            *place = true;
                        }
                    } else {
                        at = next as usize;
                    }
                }
                Move::Uniform { d, guard, count } => {
                    if is_met(&scratch.guards, guard) {
                        let value = match wishes.is_empty() {
                            true => rng.random_range(0..count),
                            false => self.pick(d, wishes, rng)?,
                        };
                        put(values, d, value);
                    }
                }
                Move::Decide { d, guard } => {
                    if is_met(&scratch.guards, guard) {
                        put(values, d, self.pick(d, wishes, rng)?);
                    }
                }
            }
        }
        Ok(())
    }

    /// Why the decisions of `vars` are turned down, if they are.
    pub(super) fn refused(
        &self,
        plan: &Plan,
        values: &[u32],
        scratch: &mut Scratch,
    ) -> Option<Refusal> {
        let Some(checks) = &plan.checks else {
            return self.refusal(values, scratch);
        };
        for check in checks {
            match (check.answer(values), check.constraint) {
                (Answer::Met, _) => {}
                (Answer::Unmet, Some(k)) => return Some(Refusal::Constraint(k)),
                // the evaluation says why
                _ => return self.refusal(values, scratch),
            }
        }
        None
    }
}

pub(super) fn put(values: &mut [u32], d: u32, value: u32) {
    if let Some(place) = values.get_mut(d as usize) {
        *place = value;
    }
}

impl Check {
    fn answer(&self, values: &[u32]) -> Answer {
        let setting = self.reads.iter().fold(0, |setting: usize, (d, weight)| {
            let value = values.get(*d as usize).copied().unwrap_or(0);
            setting.wrapping_add(*weight as usize * value as usize)
        });
        let answer = self.answers.get(setting);
        answer.copied().unwrap_or(Answer::Unsound)
    }
}

impl Plan {
    /// True where the values turn every draw down that differs from them in the `open` decisions alone.
    pub(super) fn is_hopeless(&self, values: &[u32], open: &[u32]) -> bool {
        let settled = |check: &Check| check.reads.iter().all(|(d, _)| !open.contains(d));
        let mut checks = self.checks.iter().flatten();
        checks.any(|check| settled(check) && check.answer(values) != Answer::Met)
    }

    fn new(space: &Space) -> Self {
        let domain = |d: u32| space.decisions.get(d as usize).map(|d| &*d.domain);
        let reads_vars = space.guards.iter().any(|guard| match &guard.need {
            Need::When { .. } => true,
            Need::Copies { count, .. } => match count {
                Val::Lit(_) => false,
                Val::Hole(hole) => domain(hole.0).is_none_or(may_fail),
                _ => true,
            },
            _ => false,
        });
        Self {
            checks: checks(space),
            reads_vars,
            moves: moves(space),
        }
    }
}

/// The steps, with what each passes over.
fn moves(space: &Space) -> Box<[Move]> {
    let parent = |g: u32| space.guards.get(g as usize).map_or(0, |guard| guard.parent);
    let guard_of = |d: u32| space.decisions.get(d as usize).map_or(0, |d| d.guard);
    // guards come after their parents
    let within = |mut g: u32, outer: u32| {
        while g > outer {
            g = parent(g);
        }
        g == outer
    };
    let moves = space.steps.iter().enumerate().map(|(k, step)| match *step {
        Step::Guard(guard) => {
            let rest = space.steps.get(k + 1..).unwrap_or(&[]);
            let hanging = rest.iter().take_while(|step| match **step {
                Step::Guard(g) => within(g, guard),
                Step::Decide(d) => within(guard_of(d), guard),
            });
            let next = (k + 1 + hanging.count()) as u32;
            let need = space.guards.get(guard as usize).map(|g| &g.need);
            let took = match need {
                Some(Need::Took { hole, option }) => Some((parent(guard), hole.0, *option)),
                _ => None,
            };
            Move::Guard { guard, took, next }
        }
        Step::Decide(d) => {
            let (guard, decision) = (guard_of(d), space.decisions.get(d as usize));
            let free = decision.filter(|d| d.fixed.is_none());
            match free.map(|d| (&*d.domain, d.count())) {
                Some((
                    Domain::Items {
                        weights: Weights(None),
                        ..
                    }
                    | Domain::Options {
                        weights: Weights(None),
                        ..
                    }
                    | Domain::Ints {
                        law: Law::Uniform, ..
                    }
                    | Domain::Reals {
                        law: Law::Uniform, ..
                    },
                    count @ 1..,
                )) => Move::Uniform { d, guard, count },
                _ => Move::Decide { d, guard },
            }
        }
    });
    moves.collect()
}

/// Tables of all that may turn a draw down; `None` where one would be too large.
fn checks(space: &Space) -> Option<Box<[Check]>> {
    let ast = &space.ast;
    let mut checks = Vec::new();
    for &slot in &ast.var_order {
        let var = ast.vars.get(slot as usize)?;
        let fails = match &var.val {
            Val::Lit(_) => false,
            Val::Hole(hole) => may_fail(&space.decisions.get(hole.0 as usize)?.domain),
            _ => true,
        };
        if fails {
            checks.push(check(space, Asked::Var(slot))?);
        }
    }
    for k in 0..ast.constraints.len() as u32 {
        checks.push(check(space, Asked::Constraint(k))?);
    }
    Some(checks.into())
}

/// Whether a value is more than a literal.
fn may_fail(domain: &Domain) -> bool {
    match domain {
        Domain::Items { items, .. } => items.iter().any(|item| !matches!(item.val, Val::Lit(_))),
        Domain::Options { .. } => true,
        Domain::Ints { .. } | Domain::Reals { .. } => false,
    }
}

#[derive(Clone, Copy)]
enum Asked {
    Var(u32),
    Constraint(u32),
}

fn check(space: &Space, asked: Asked) -> Option<Check> {
    let ast = &space.ast;
    let mut needed = vec![false; ast.vars.len()];
    let mark = |expr: &Expr, needed: &mut [bool]| {
        for target in expr.refs() {
            if let Ref::Slot(slot) = target
                && let Some(place) = needed.get_mut(slot as usize)
            {
                *place = true;
            }
        }
    };
    match asked {
        Asked::Var(slot) => *needed.get_mut(slot as usize)? = true,
        Asked::Constraint(k) => mark(&ast.constraints.get(k as usize)?.expr, &mut needed),
    }
    // those that others read come earlier in the order, so one pass from the back is enough
    let mut decisions = Vec::new();
    for &slot in ast.var_order.iter().rev() {
        if !*needed.get(slot as usize)? {
            continue;
        }
        match &ast.vars.get(slot as usize)?.val {
            Val::Expr(expr) => mark(expr, &mut needed),
            Val::Hole(hole) => {
                decisions.push(hole.0);
                let decision = space.decisions.get(hole.0 as usize)?;
                if let Domain::Items { items, .. } = &*decision.domain {
                    for item in items {
                        if let Val::Expr(expr) = &item.val {
                            mark(expr, &mut needed);
                        }
                    }
                }
            }
            _ => {}
        }
    }
    let count = |d: u32| space.decisions.get(d as usize).map_or(1, |d| d.count());
    let mut settings = 1usize;
    let mut reads = Vec::with_capacity(decisions.len());
    for d in decisions {
        reads.push((d, settings as u32));
        settings = settings.checked_mul(count(d) as usize)?;
        if settings > MOST_SETTINGS {
            return None;
        }
    }
    let mut values = vec![INACTIVE; space.var_decisions as usize];
    let mut vars = Vec::new();
    let answers = (0..settings).map(|setting| {
        for (d, weight) in &reads {
            let value = setting as u32 / weight % count(*d).max(1);
            put(&mut values, *d, value);
        }
        let known = space.vars_among(&values, &mut vars, |slot| {
            needed.get(slot as usize).copied().unwrap_or(false)
        });
        match (known, asked) {
            (Err(_), _) => Answer::Unsound,
            (Ok(()), Asked::Var(_)) => Answer::Met,
            (Ok(()), Asked::Constraint(k)) => {
                let constraint = ast.constraints.get(k as usize);
                match constraint.map(|c| c.expr.eval_bool(&Scope::of(&vars))) {
                    Some(Ok(true)) => Answer::Met,
                    Some(Ok(false)) => Answer::Unmet,
                    _ => Answer::Unsound,
                }
            }
        }
    });
    Some(Check {
        constraint: match asked {
            Asked::Var(_) => None,
            Asked::Constraint(k) => Some(k),
        },
        answers: answers.collect(),
        reads: reads.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::stream;

    /// The same draw by the rules as they are written, without a table.
    fn plain(space: &Space, wishes: &[Option<u32>], rng: &mut Rng) -> Option<Vec<u32>> {
        let (mut values, mut scratch) = (vec![INACTIVE; space.decisions.len()], Scratch::default());
        let is_settled = |d: usize| {
            let decision = &space.decisions[d];
            let wished = (wishes.get(d).copied().flatten()).is_some_and(|w| w < decision.count());
            decision.fixed.is_some() || decision.count() == 1 || wished
        };
        let settled = (0..space.var_decisions as usize).all(is_settled);
        for _ in 0..if settled { 1 } else { 1000 } {
            for d in 0..space.var_decisions {
                values[d as usize] = space.pick(d, wishes, rng).ok()?;
            }
            if space.refusal(&values, &mut scratch).is_none() {
                let pick = |_: &[u32], d| space.pick(d, wishes, rng);
                space.settle(&mut values, &mut scratch, pick).ok()?;
                return Some(values);
            }
        }
        None
    }

    fn check(name: &str, text: &str, draws: u64) -> usize {
        let Ok(space) = Space::parse(text) else {
            panic!("{name} is no space")
        };
        let first = space.decisions().iter().find(|d| d.count() > 1);
        let fixed = first.map(|d| space.fix_at(space.decision(d.id()).unwrap(), 1));
        let (mut made, mut memory, mut drawn) = (0, Draws::default(), Assignment::default());
        for space in [Some(space), fixed].iter().flatten() {
            for number in 0..draws {
                let wanted = plain(space, &[], &mut stream(3, "draw", number));
                let rng = &mut stream(3, "draw", number);
                let got = space.sample_into(rng, &mut memory, &mut drawn);
                assert_eq!(got.is_ok(), wanted.is_some(), "{name} {number}");
                if let Some(wanted) = wanted {
                    assert_eq!(drawn.0, wanted, "{name} {number}");
                    assert!(space.is_valid(&drawn), "{name} {number}");
                    made += 1;
                }
            }
        }
        made
    }

    /// Completes wishes for the most part, often such that no draw meets the constraints; gives how many could be.
    fn wish(space: &Space, count: u64) -> [usize; 2] {
        let mut made = [0; 2];
        let mut memory = Draws::default();
        for number in 0..count {
            let mut own = stream(4, "wishes", number);
            let part = own.random_range(0.5..1.2);
            let wishes: Vec<Option<u32>> = (space.decisions.iter())
                .map(|d| {
                    Some(own.random_range(0..d.count() + 1)).filter(|_| own.random::<f64>() < part)
                })
                .collect();
            let rngs = [(); 3].map(|()| stream(5, "draw", number));
            let [mut a, mut b, mut c] = rngs;
            let wanted = plain(space, &wishes, &mut a);
            let briefly = space.complete_briefly(&wishes, &mut b, &mut memory);
            let told = space.complete(&wishes, &mut c).ok();
            assert_eq!(briefly.map(|a| a.0), wanted, "{number}: {wishes:?}");
            assert_eq!(told.map(|a| a.0), wanted, "{number}: {wishes:?}");
            let next = [a, b, c].map(|mut rng| rng.random::<u64>());
            assert!(next.iter().all(|x| *x == next[0]), "{number}: {wishes:?}");
            made[usize::from(wanted.is_some())] += 1;
        }
        made
    }

    #[test]
    fn wishes_that_no_draw_can_meet_use_as_much_of_the_stream() {
        let shipped = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/search_spaces/mixed_stages.json"
        );
        let text = std::fs::read_to_string(shipped).unwrap();
        let space = Space::parse(&text).unwrap();
        let [never, made] = wish(&space, 400);
        assert!(never > 50 && made > 50, "{never} {made}");
        let fixed = space.fix_at(space.decision("w3").unwrap(), 2);
        let [never, made] = wish(&fixed, 200);
        assert!(never > 25 && made > 25, "{never} {made}");
        // a distribution, one value alone, values that do not exist, constraints on what is not drawn
        let text = r#"{"format": "blocksmith/1", "name": "t", "input": [3, 8, 8], "vars": {
            "a": {"choice": [0, 1, 2], "weights": [1, 2, 3]}, "b": {"choice": ["=div(6, a)", 7]}, "one": {"choice": [4]},
            "n": {"dist": {"kind": "normal", "mean": 8, "sigma": 4, "min": 2, "max": 14, "step": 2}}, "c": "=10 % (b - 3)"},
            "constraints": ["c > 0 || a == 1", "n > one", "n > 2 * a"], "net": [{"op": "relu"}]}"#;
        let [never, made] = wish(&Space::parse(text).unwrap(), 400);
        assert!(never > 50 && made > 50, "{never} {made}");
    }

    #[test]
    fn tables_draw_what_the_rules_say() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/search_spaces");
        let mut made = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "json") && !path.ends_with("schema.json") {
                let text = std::fs::read_to_string(&path).unwrap();
                made += check(&path.display().to_string(), &text, 300);
            }
        }
        assert!(made > 4000, "{made}");
        let space = |vars: &str, constraints: &str, net: &str| {
            format!(
                r#"{{"format": "blocksmith/1", "name": "t", "input": [3, 8, 8], "vars": {{{vars}}}, "constraints": [{constraints}], "net": [{net}]}}"#
            )
        };
        let relu = r#"{"op": "relu"}"#;
        // values that do not exist, which turn a draw down; a table that would be too large
        let vars = r#""a": {"choice": [0, 1, 2]}, "b": {"choice": ["=div(6, a)", 7]}, "c": "=10 % (b - 3)", "d": {"range": {"min": 1, "max": 90}}"#;
        let halves = space(vars, r#""c > 0 || a == 1", "d % 2 == a % 2""#, relu);
        assert!(check("halves", &halves, 400) > 700);
        let large =
            r#""a": {"range": {"min": 1, "max": 90}}, "b": {"range": {"min": 1, "max": 90}}"#;
        assert!(check("large", &space(large, r#""a < b""#, relu), 300) > 500);
        assert_eq!(
            check("never", &space(large, r#""a < b", "a > b""#, relu), 2),
            0
        );
        // options in options, varied copies under conditions, counts that are expressions
        let nested = r#"{"id": "n", "repeat": {"choice": [0, "=a", 3]}, "vary": true, "when": "a > 1", "choice": [
            {"as": "x", "op": "relu"},
            {"as": "y", "repeat": {"range": {"min": 1, "max": 2}}, "vary": true, "choice": [{"op": "relu"}, {"as": "p", "op": "dropout", "p": {"choice": [0.1, 0.2], "weights": [1, 3]}}]}]}, {"op": "relu", "repeat": {"choice": [1, 2]}}"#;
        let vars = r#""a": {"choice": [1, 2, 3]}"#;
        assert!(check("nested", &space(vars, "", nested), 400) > 700);
    }
}
