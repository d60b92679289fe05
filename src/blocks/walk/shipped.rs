//! Blocks of a program within a network that something else makes: how shipped blocks are lowered. Also what declared
//! blocks of any program are entered by: defaults and requirements.

use super::{Frame, Outcome, Walk};
use crate::base::diag::Diagnostic;
use crate::blocks::args::{Arg, Args};
use crate::blocks::lower::{Lower, LowerError, LowerErrorKind};
use crate::blocks::program::Program;
use crate::expr::Scalar;
use crate::ir::ValueId;
use crate::space::Assignment;
use crate::space::ast::{Declared, DeclaredKind, Fallback, Origin, Param, Val};

/// Lowers a block of a program that has nothing to decide, as part of a network that something else makes.
///
/// # Errors
/// What does not fit, at the place of that program.
pub(in crate::blocks) fn shipped(
    (program, assignment): (&Program, &Assignment),
    block: usize,
    l: &mut Lower,
    args: &Args<'_>,
    inputs: &[ValueId],
) -> Result<ValueId, LowerError> {
    let mut scratch = l.inner.take().unwrap_or_default();
    scratch.clear();
    let mut walk = Walk {
        program,
        assignment,
        lower: std::mem::take(l),
        scratch: &mut scratch,
        depth: 0,
        explain: false,
        shipped: true,
    };
    let result = walk.root(block, args, inputs);
    let list = walk.scratch.list;
    *l = std::mem::take(&mut walk.lower);
    let range = list.first as usize..(list.first + list.count) as usize;
    l.results(scratch.kept.get(range).unwrap_or(&[]));
    l.inner = Some(scratch);
    result
}

impl Walk<'_, '_> {
    /// The value of a parameter that is left out. Those before it have theirs.
    pub(super) fn fallback(&self, param: &Param, inner: &Frame, origin: Origin) -> Outcome<Scalar> {
        match &param.default {
            Some(Fallback::Lit(x)) => Ok(*x),
            Some(Fallback::Expr(expr)) => {
                let scope = self.context(inner, None).scope;
                let value = expr
                    .eval(&scope)
                    .map_err(|error| self.place(inner, origin).value(&param.name, error.into()))?;
                param.check(value).map_err(|misfit| {
                    let message = self.program.space.misfit(param, value, misfit);
                    let val = Val::Expr(expr.clone());
                    self.place(inner, origin)
                        .declared(&param.name, &val, message)
                })
            }
            // the language gives every parameter without a default an argument
            None => Ok(Scalar::Int(0)),
        }
    }

    /// What a declared block requires holds; else the parameter to blame, and the problem.
    pub(super) fn require(
        &self,
        declared: &Declared,
        inner: &Frame,
        origin: Origin,
    ) -> Result<(), (Option<usize>, Box<Diagnostic>)> {
        for rule in &declared.require {
            let scope = self.context(inner, None).scope;
            let expr = &rule.condition.expr;
            match expr.eval_bool(&scope) {
                Ok(true) => {}
                Ok(false) => {
                    let slot = super::trial::blamed(rule);
                    let place = self.place(inner, origin);
                    return Err((slot, place.require(&declared.name, rule)));
                }
                Err(error) => {
                    let place = self.place(inner, rule.condition.origin);
                    return Err((None, place.value("require", error.into())));
                }
            }
        }
        Ok(())
    }

    /// A block of this program, with the arguments of a node of another.
    fn root(
        &mut self,
        block: usize,
        args: &Args<'_>,
        inputs: &[ValueId],
    ) -> Result<ValueId, LowerError> {
        let program = self.program;
        let (Some(declared), Some(body)) = (
            program.space.ast().blocks.get(block),
            program.blocks.get(block),
        ) else {
            return Err(LowerErrorKind::Conflict("is not among the shipped blocks").into());
        };
        let inner = Frame {
            slots: 0,
            block: Some(block),
            input: inputs.first().copied(),
            i: None,
            copies: 0,
        };
        let told = |slot, problem: Box<Diagnostic>| LowerError {
            slot,
            ..LowerErrorKind::Within(problem).into()
        };
        for (slot, param) in declared.params.iter().enumerate() {
            let value = match (args.get(slot), &param.kind) {
                (Arg::Int(x), _) => Scalar::Int(i64::from(x)),
                (Arg::Real(x), _) => Scalar::Real(x),
                (Arg::Bool(x), _) => Scalar::Bool(x),
                (Arg::Word(k), DeclaredKind::Word { of }) => match of.get(usize::from(k)) {
                    Some(word) => Scalar::Word(*word),
                    None => Scalar::Int(0),
                },
                (Arg::Unset | Arg::Word(_) | Arg::Pair(_), _) => self
                    .fallback(param, &inner, declared.origin)
                    .map_err(|problem| told(Some(slot), problem))?,
            };
            self.scratch.slots.push(value);
        }
        self.require(declared, &inner, declared.origin)
            .map_err(|(slot, problem)| told(slot, problem))?;
        self.body(body, inputs, &inner, declared.origin)
            .map_err(|problem| told(None, problem))
    }
}
