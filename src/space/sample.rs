//! Drawing assignments: bounded, and telling which constraint is to blame where nothing fits.

use super::Space;
use super::ast::{DecisionId, Val};
use super::decision::{Assignment, INACTIVE, MAX_REDRAWS, Need, Step};
use super::draw::{Draws, Plan, put};
use super::value::ValueError;
use crate::base::diag::Diagnostic;
use crate::base::path::JsonPath;
use crate::base::rng::Rng;
use crate::expr::{Scalar, Scope};

/// The most draws until one meets the constraints.
pub const MAX_TRIES: u32 = 1000;

/// Why there is no sample.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct SampleError(Box<DiagnosticText>);

#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", .0.render(None))]
struct DiagnosticText(Diagnostic);

impl SampleError {
    fn new(diagnostic: Diagnostic) -> Self {
        Self(Box::new(DiagnosticText(diagnostic)))
    }

    /// What to tell the person, with the place to blame.
    pub fn diagnostic(&self) -> &Diagnostic {
        &self.0.0
    }
}

/// Memory that draws share.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub vars: Vec<Scalar>,
    pub guards: Vec<bool>,
    /// Decisions of `vars` that are neither fixed nor wished.
    open: Vec<u32>,
}

/// Whether somebody will be told why there is no sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    Why,
    Nothing,
}

/// Why there is no sample, not yet in words.
#[derive(Debug)]
pub(super) enum Unmet {
    /// The distribution of this decision gave no value.
    Draw(u32),
    /// The constraints turned so many draws down.
    Constraints {
        tries: u32,
        refusals: Vec<(Refusal, u32)>,
    },
}

/// What turned a draw down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Refusal {
    /// This constraint is false.
    Constraint(u32),
    /// This constraint has no value.
    Unsound(u32, ValueError),
    /// This variable has no value.
    Var(u32, ValueError),
}

impl Space {
    /// An assignment drawn from the space as its weights and distributions say, among those that meet the
    /// constraints.
    ///
    /// # Errors
    /// After [`MAX_TRIES`] draws that the constraints turned down, and where a distribution gives no value inside its
    /// ends.
    pub fn sample(&self, rng: &mut Rng) -> Result<Assignment, SampleError> {
        self.complete(&[], rng)
    }

    /// An assignment with the values of a wish list (in the order of the decisions; a short list wishes nothing of the
    /// rest) where they are active and exist, and drawn ones elsewhere. This is what mutation and crossover need: wish
    /// the values to keep.
    ///
    /// # Errors
    /// As [`Space::sample`]. Where the wishes settle all variables, one draw that is turned down is enough.
    pub fn complete(
        &self,
        wishes: &[Option<u32>],
        rng: &mut Rng,
    ) -> Result<Assignment, SampleError> {
        let mut values = vec![INACTIVE; self.decisions.len()];
        self.draw(&mut values, wishes, rng, &mut Scratch::default())?;
        Ok(Assignment(values))
    }

    /// As [`complete`](Self::complete), and as much of the stream is used, but nobody is told why there is none: sooner
    /// done where the wishes alone break a constraint.
    pub fn complete_briefly(
        &self,
        wishes: &[Option<u32>],
        rng: &mut Rng,
        draws: &mut Draws,
    ) -> Option<Assignment> {
        let mut values = vec![INACTIVE; self.decisions.len()];
        let plan = self.plan();
        let scratch = &mut draws.scratch;
        self.draw_vars(plan, &mut values, wishes, rng, scratch, Tell::Nothing)
            .ok()?;
        self.draw_rest(plan, &mut values, wishes, rng, scratch)
            .ok()?;
        Some(Assignment(values))
    }

    /// The wished, fixed or drawn value of one decision.
    pub(super) fn pick(
        &self,
        d: u32,
        wishes: &[Option<u32>],
        rng: &mut Rng,
    ) -> Result<u32, SampleError> {
        if let Some(value) = self.settled(d, wishes) {
            return Ok(value);
        }
        let decision = self.decisions.get(d as usize);
        let drawn = decision.and_then(|decision| decision.domain.draw(rng));
        drawn.ok_or_else(|| self.no_draw(d))
    }

    /// Draws the decisions of `vars` until the constraints are met.
    pub(super) fn draw_vars(
        &self,
        plan: &Plan,
        values: &mut [u32],
        wishes: &[Option<u32>],
        rng: &mut Rng,
        scratch: &mut Scratch,
        tell: Tell,
    ) -> Result<(), Unmet> {
        let mut open = std::mem::take(&mut scratch.open);
        open.clear();
        for d in 0..self.var_decisions {
            match self.settled(d, wishes) {
                Some(value) => put(values, d, value),
                None => open.push(d),
            }
        }
        let drawn = self.draw_open(plan, values, &open, rng, scratch, tell);
        scratch.open = open;
        drawn
    }

    /// The value that a decision has whatever is drawn.
    fn settled(&self, d: u32, wishes: &[Option<u32>]) -> Option<u32> {
        let Some(decision) = self.decisions.get(d as usize) else {
            return Some(INACTIVE);
        };
        let wish = wishes.get(d as usize).copied().flatten();
        let wish = wish.filter(|w| *w < decision.count());
        decision.fixed.or(wish)
    }

    fn draw_open(
        &self,
        plan: &Plan,
        values: &mut [u32],
        open: &[u32],
        rng: &mut Rng,
        scratch: &mut Scratch,
        tell: Tell,
    ) -> Result<(), Unmet> {
        let decision = |d: u32| self.decisions.get(d as usize);
        let is_free = |d: &u32| decision(*d).is_some_and(|d| d.count() > 1);
        let tries = match open.iter().any(is_free) {
            true => MAX_TRIES,
            false => 1,
        };
        let mut refusals: Vec<(Refusal, u32)> = Vec::new();
        for k in 0..tries {
            for &d in open {
                let value = decision(d).and_then(|decision| decision.domain.draw(rng));
                put(values, d, value.ok_or(Unmet::Draw(d))?);
            }
            let Some(refusal) = self.refused(plan, values, scratch) else {
                return Ok(());
            };
            if k == 0 && tell == Tell::Nothing && plan.is_hopeless(values, open) {
                // all that is left to do is to use the stream
                self.pass(tries - 1, open, rng)?;
                return Err(Unmet::Constraints { tries, refusals });
            }
            match refusals.iter_mut().find(|(r, _)| same_culprit(*r, refusal)) {
                Some((_, times)) => *times += 1,
                None => refusals.push((refusal, 1)),
            }
        }
        Err(Unmet::Constraints { tries, refusals })
    }

    /// Draws decisions so many times, and keeps nothing.
    fn pass(&self, times: u32, open: &[u32], rng: &mut Rng) -> Result<(), Unmet> {
        let pass = |d: u32, draws: u32, rng: &mut Rng| {
            let decision = self.decisions.get(d as usize);
            let passed = decision.is_some_and(|decision| decision.domain.pass(draws, rng));
            passed.then_some(()).ok_or(Unmet::Draw(d))
        };
        match open {
            // one after the other is much faster
            &[only] => pass(only, times, rng),
            _ => (0..times).try_for_each(|_| open.iter().try_for_each(|d| pass(*d, 1, rng))),
        }
    }

    /// The error for a draw that came to nothing; `values` are those of its last try.
    pub(super) fn told(&self, unmet: &Unmet, values: &[u32], scratch: &mut Scratch) -> SampleError {
        match unmet {
            Unmet::Draw(d) => self.no_draw(*d),
            Unmet::Constraints { tries, refusals } => {
                let _ = self.vars_of(values, &mut scratch.vars);
                SampleError::new(self.blame(*tries, refusals, &scratch.vars))
            }
        }
    }

    fn no_draw(&self, d: u32) -> SampleError {
        let text =
            format!("no draw of the distribution fell inside its ends in {MAX_REDRAWS} tries");
        let origin = self.decisions.get(d as usize).map(|d| self.path(d.origin));
        SampleError::new(Diagnostic::error(
            origin.unwrap_or_else(JsonPath::root),
            text,
        ))
    }

    /// Evaluates variables and constraints.
    pub(super) fn refusal(&self, values: &[u32], scratch: &mut Scratch) -> Option<Refusal> {
        if let Err((slot, error)) = self.vars_of(values, &mut scratch.vars) {
            return Some(Refusal::Var(slot, error));
        }
        let scope = Scope::of(&scratch.vars);
        self.ast
            .constraints
            .iter()
            .enumerate()
            .find_map(|(k, c)| match c.expr.eval_bool(&scope) {
                Ok(true) => None,
                Ok(false) => Some(Refusal::Constraint(k as u32)),
                Err(error) => Some(Refusal::Unsound(k as u32, ValueError::Eval(error))),
            })
    }

    /// Walks the decisions after those of `vars`: settles guards, and asks `pick` for a value of each active one.
    pub(super) fn settle<E>(
        &self,
        values: &mut [u32],
        scratch: &mut Scratch,
        mut pick: impl FnMut(&[u32], u32) -> Result<u32, E>,
    ) -> Result<(), E> {
        scratch.guards.clear();
        scratch.guards.resize(self.guards.len(), true);
        for step in &self.steps {
            match *step {
                Step::Guard(g) => {
                    let met = self.is_met(g, values, scratch);
                    if let Some(place) = scratch.guards.get_mut(g as usize) {
                        *place = met;
                    }
                }
                Step::Decide(d) => {
                    let guard = self.decisions.get(d as usize).map_or(0, |d| d.guard);
                    let active = scratch.guards.get(guard as usize).copied().unwrap_or(true);
                    let value = if active { pick(values, d)? } else { INACTIVE };
                    if let Some(place) = values.get_mut(d as usize) {
                        *place = value;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a guard is met, given those before it. A condition that has no value counts as met: whoever lowers the
    /// net says what is wrong with it.
    pub(super) fn is_met(&self, guard: u32, values: &[u32], scratch: &Scratch) -> bool {
        let Some(guard) = self.guards.get(guard as usize) else {
            return true;
        };
        let met = |g: u32| scratch.guards.get(g as usize).copied().unwrap_or(true);
        if !met(guard.parent) {
            return false;
        }
        let scope = |i| Scope {
            i,
            ..Scope::of(&scratch.vars)
        };
        match &guard.need {
            Need::Nothing => true,
            Need::Took { hole, option } => values.get(hole.0 as usize) == Some(option),
            Need::When { expr, i } => expr.eval_bool(&scope(*i)).unwrap_or(true),
            Need::Any(uses) => uses.iter().any(|g| met(*g)),
            Need::Copies { count, above, i } => {
                let count = match count {
                    Val::Lit(x) => Ok(*x),
                    Val::Expr(expr) => expr.eval(&scope(*i)).map_err(ValueError::Eval),
                    Val::Hole(hole) => self.decided(*hole, values, &scope(*i)),
                    Val::Each { .. } | Val::List(_) => Err(ValueError::List),
                };
                count
                    .ok()
                    .and_then(Scalar::int)
                    .is_none_or(|count| count > i64::from(*above))
            }
        }
    }

    /// What to tell of draws that were all turned down; `vars` are those of the last.
    pub(super) fn blame(
        &self,
        tries: u32,
        refusals: &[(Refusal, u32)],
        vars: &[Scalar],
    ) -> Diagnostic {
        let Some((worst, times)) = refusals.iter().max_by_key(|(_, times)| *times) else {
            return Diagnostic::error(JsonPath::root(), "no sample met the constraints");
        };
        let (path, text) = self.culprit(*worst);
        if tries == 1 {
            let named = |k: u32| {
                let constraint = self.ast.constraints.get(k as usize);
                constraint.map_or_else(String::new, |c| self.with_vars(&c.expr, vars))
            };
            return match worst {
                Refusal::Constraint(k) => {
                    let note = format!("{text} is false{}", named(*k));
                    Diagnostic::error(path, "a constraint is not met").note(note)
                }
                Refusal::Unsound(k, error) => {
                    let message = format!("the constraint has no value: {error}");
                    Diagnostic::error(path, message).note(format!("it is {text}{}", named(*k)))
                }
                Refusal::Var(slot, error) => self.var_problem(*slot, *error),
            };
        }
        let message = format!("no sample met the constraints in {tries} tries");
        let mut diagnostic =
            Diagnostic::error(path, message).note(format!("{text} turned down {times} of them"));
        if let Refusal::Unsound(_, error) | Refusal::Var(_, error) = worst {
            diagnostic = diagnostic.note(format!("it had no value: {error}"));
        }
        for (refusal, times) in refusals.iter().filter(|(r, _)| r != worst) {
            let (path, text) = self.culprit(*refusal);
            diagnostic = diagnostic.related(path, format!("{text} turned down {times}"));
        }
        diagnostic
    }

    /// Where a refusal comes from, and its text.
    fn culprit(&self, refusal: Refusal) -> (JsonPath, String) {
        match refusal {
            Refusal::Constraint(k) | Refusal::Unsound(k, _) => {
                match self.ast.constraints.get(k as usize) {
                    Some(c) => (self.path(c.origin), format!("{:?}", c.expr.text())),
                    None => Default::default(),
                }
            }
            Refusal::Var(slot, _) => match self.ast.vars.get(slot as usize) {
                Some(var) => (self.path(var.origin), format!("{:?}", &*var.name)),
                None => Default::default(),
            },
        }
    }

    /// True where the assignment has a value for each active decision and for no others, all of them in their domains,
    /// and the constraints are met.
    pub fn is_valid(&self, assignment: &Assignment) -> bool {
        let mut values = assignment.0.clone();
        if values.len() != self.decisions.len() {
            return false;
        }
        let inside = |d: u32| {
            let value = assignment.get(DecisionId(d));
            let decision = self.decisions.get(d as usize);
            value
                .zip(decision)
                .is_some_and(|(v, d)| v < d.count() && d.fixed.is_none_or(|f| f == v))
        };
        let mut scratch = Scratch::default();
        if !(0..self.var_decisions).all(inside) || self.refusal(&values, &mut scratch).is_some() {
            return false;
        }
        let walked = self.settle(&mut values, &mut scratch, |_, d| {
            if inside(d) {
                Ok(assignment.0.get(d as usize).copied().unwrap_or(INACTIVE))
            } else {
                Err(())
            }
        });
        walked.is_ok() && values == assignment.0
    }
}

/// True for refusals by the same constraint or variable.
fn same_culprit(a: Refusal, b: Refusal) -> bool {
    use Refusal as R;
    match (a, b) {
        (R::Constraint(a), R::Constraint(b)) | (R::Unsound(a, _), R::Unsound(b, _)) => a == b,
        (R::Var(a, _), R::Var(b, _)) => a == b,
        _ => false,
    }
}
