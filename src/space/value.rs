//! What a value of the document amounts to under an assignment. The hot path of sampling and lowering: no strings, no
//! allocation.

use super::Space;
use super::ast::{DecisionId, Hole, Val};
use super::decision::{Assignment, Domain, INACTIVE};
use crate::expr::{EvalError, Scalar, Scope};

/// Why a value of the document amounts to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Its expression has no value.
    #[error("{0}")]
    Eval(EvalError),
    /// The assignment gives its decision no value: it belongs to an option not taken, or to another space.
    #[error("its decision is not active")]
    Inactive(DecisionId),
    /// `each` has no item for this copy.
    #[error("\"each\" has {items} items, and this is copy {copy}")]
    NoItem {
        /// How many items there are.
        items: u32,
        /// The copy, from 0.
        copy: u32,
    },
    /// A list where one value is needed.
    #[error("a list stands where one value is needed")]
    List,
}

impl From<EvalError> for ValueError {
    fn from(error: EvalError) -> Self {
        Self::Eval(error)
    }
}

/// What values of a document are read with.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The document.
    pub space: &'a Space,
    /// A value for each decision.
    pub assignment: &'a Assignment,
    /// What names stand for at this place.
    pub scope: Scope<'a>,
    /// The copy of each varied repeat around this place, from the outside; inside a declared block those inside it.
    pub copies: &'a [u32],
}

impl Context<'_> {
    /// One value.
    ///
    /// # Errors
    /// See [`ValueError`]; a list is one too: take it apart first.
    pub fn scalar(&self, val: &Val) -> Result<Scalar, ValueError> {
        match val {
            Val::Lit(x) => Ok(*x),
            Val::Expr(expr) => Ok(expr.eval(&self.scope)?),
            Val::Hole(hole) => self.space.decided(*hole, &self.assignment.0, &self.scope),
            Val::Each { level, items } => self.scalar(self.item(*level, items)?),
            Val::List(_) => Err(ValueError::List),
        }
    }

    /// The value without its `each`: what stands there for this copy.
    ///
    /// # Errors
    /// Where `each` has no item for this copy.
    pub fn leaf<'v>(&self, val: &'v Val) -> Result<&'v Val, ValueError> {
        match val {
            Val::Each { level, items } => self.leaf(self.item(*level, items)?),
            other => Ok(other),
        }
    }

    /// Which option a choice of nodes takes.
    ///
    /// # Errors
    /// Where the choice is not active.
    pub fn option(&self, hole: &Hole) -> Result<u32, ValueError> {
        match hole {
            Hole::One(id) => self.assignment.get(*id).ok_or(ValueError::Inactive(*id)),
            Hole::Each { level, items } => self.option(self.item(*level, items)?),
        }
    }

    /// The item of an `each` of this level for the copy at hand.
    ///
    /// # Errors
    /// Where there is none.
    pub fn item<'v, T>(&self, level: u32, items: &'v [T]) -> Result<&'v T, ValueError> {
        let copy = self.copies.get(level as usize).copied().unwrap_or(u32::MAX);
        items.get(copy as usize).ok_or(ValueError::NoItem {
            items: items.len() as u32,
            copy,
        })
    }
}

impl Space {
    /// The value of a scalar decision.
    pub(super) fn decided(
        &self,
        hole: DecisionId,
        assignment: &[u32],
        scope: &Scope<'_>,
    ) -> Result<Scalar, ValueError> {
        let index = assignment
            .get(hole.0 as usize)
            .copied()
            .filter(|x| *x != INACTIVE);
        let (Some(index), Some(decision)) = (index, self.decisions.get(hole.0 as usize)) else {
            return Err(ValueError::Inactive(hole));
        };
        self.value_at(&decision.domain, index, scope)
            .ok_or(ValueError::Inactive(hole))?
    }

    /// The value at a position of a domain; `None` beyond it and of a choice of nodes.
    pub(super) fn value_at(
        &self,
        domain: &Domain,
        index: u32,
        scope: &Scope<'_>,
    ) -> Option<Result<Scalar, ValueError>> {
        if let Some(expr) = domain.expr(index) {
            return Some(expr.eval(scope).map_err(ValueError::Eval));
        }
        domain.literal(index).map(Ok)
    }

    /// The values of all variables, by slot.
    ///
    /// # Errors
    /// The slot of the first that has no value, and why.
    pub fn vars(
        &self,
        assignment: &Assignment,
        out: &mut Vec<Scalar>,
    ) -> Result<(), (u32, ValueError)> {
        self.vars_of(&assignment.0, out)
    }

    pub(super) fn vars_of(
        &self,
        assignment: &[u32],
        out: &mut Vec<Scalar>,
    ) -> Result<(), (u32, ValueError)> {
        self.vars_among(assignment, out, |_| true)
    }

    /// The values of some variables; of the others 0.
    pub(super) fn vars_among(
        &self,
        assignment: &[u32],
        out: &mut Vec<Scalar>,
        wanted: impl Fn(u32) -> bool,
    ) -> Result<(), (u32, ValueError)> {
        out.clear();
        out.resize(self.ast.vars.len(), Scalar::Int(0));
        for &slot in self.ast.var_order.iter().filter(|slot| wanted(**slot)) {
            let Some(var) = self.ast.vars.get(slot as usize) else {
                continue;
            };
            let scope = Scope::of(out);
            let value = match &var.val {
                Val::Lit(x) => Ok(*x),
                Val::Expr(expr) => expr.eval(&scope).map_err(ValueError::Eval),
                Val::Hole(hole) => self.decided(*hole, assignment, &scope),
                Val::Each { .. } | Val::List(_) => Err(ValueError::List),
            };
            let value = value.map_err(|e| (slot, e))?;
            if let Some(place) = out.get_mut(slot as usize) {
                *place = value;
            }
        }
        Ok(())
    }
}
