//! Where a value came from, in words: `out_channels is "=3*w2" with w2 = 24`.

use super::Space;
use super::ast::{DeclaredKind, Misfit, Param, Val};
use super::value::Context;
use crate::base::diag::Diagnostic;
use crate::expr::{Expr, Ref, Scalar, Words};

/// Why a value does not fit a parameter.
pub(super) fn misfit(words: &Words, param: &Param, value: Scalar, misfit: Misfit) -> String {
    let (name, shown) = (&*param.name, value.show(words));
    match (misfit, &param.kind) {
        (Misfit::Below, DeclaredKind::Int { min, .. }) => {
            format!("{name:?} is at least {min}, not {shown}")
        }
        (Misfit::Below, DeclaredKind::Real { min, .. }) => {
            format!("{name:?} is at least {min}, not {shown}")
        }
        (Misfit::Above, DeclaredKind::Int { max, .. }) => {
            format!("{name:?} is at most {max}, not {shown}")
        }
        (Misfit::Above, DeclaredKind::Real { max, .. }) => {
            format!("{name:?} is at most {max}, not {shown}")
        }
        (Misfit::NotOf, DeclaredKind::Word { of }) => {
            let of: Vec<&str> = of.iter().map(|w| words.text(*w)).collect();
            format!("{name:?} is one of {}, not {shown}", of.join(", "))
        }
        (_, kind) => {
            let expected = match kind {
                DeclaredKind::Int { .. } => "a whole number",
                DeclaredKind::Real { .. } => "a number",
                DeclaredKind::Bool => "true or false",
                DeclaredKind::Word { .. } => "a word",
            };
            format!("{name:?} is {expected}, not {} {shown}", value.kind())
        }
    }
}

impl Space {
    /// Why a value does not fit a parameter of a declared block, in words.
    pub fn misfit(&self, param: &Param, value: Scalar, why: Misfit) -> String {
        misfit(&self.ast.words, param, value, why)
    }

    /// ` with w2 = 24, i = 0`: what an expression over variables names, or nothing.
    pub(super) fn with_vars(&self, expr: &Expr, vars: &[Scalar]) -> String {
        let names: Vec<&str> = self.ast.vars.iter().map(|v| &*v.name).collect();
        with(&self.ast.words, expr, &crate::expr::Scope::of(vars), &names)
    }

    /// Where a value came from: `out_channels is "=3*w2" with w2 = 24`. `names` are those of the slots: of variables,
    /// or of the parameters of the declared block. `None` for a literal: it stands there for all to see.
    pub fn ancestry(
        &self,
        key: &str,
        val: &Val,
        at: &Context<'_>,
        names: &[&str],
    ) -> Option<String> {
        let words = &self.ast.words;
        match at.leaf(val).ok()? {
            Val::Expr(expr) => Some(format!(
                "{key} is \"={}\"{}",
                expr.text(),
                with(words, expr, &at.scope, names)
            )),
            Val::Hole(hole) => {
                let decision = self.decisions.get(hole.0 as usize)?;
                let index = at.assignment.get(*hole)?;
                let drawn = match (decision.domain.expr(index), decision.domain.literal(index)) {
                    (Some(expr), _) => format!(
                        "\"={}\"{}",
                        expr.text(),
                        with(words, expr, &at.scope, names)
                    ),
                    (None, Some(value)) => value.show(words),
                    (None, None) => return None,
                };
                Some(format!("{key} is {drawn}, drawn for {}", decision.id()))
            }
            _ => None,
        }
    }

    /// `w2 = 24, in.c = 64`: what an expression names.
    pub fn naming(&self, expr: &Expr, scope: &crate::expr::Scope<'_>, names: &[&str]) -> String {
        let with = with(&self.ast.words, expr, scope, names);
        with.strip_prefix(" with ").unwrap_or(&with).to_owned()
    }

    /// The names of variables, by slot.
    pub fn var_names(&self) -> Vec<&str> {
        self.ast.vars.iter().map(|v| &*v.name).collect()
    }

    /// What to tell of a variable that has no value, see [`Space::vars`].
    pub fn var_problem(&self, slot: u32, error: super::ValueError) -> Diagnostic {
        let (name, origin) = match self.ast.vars.get(slot as usize) {
            Some(var) => (&*var.name, self.path(var.origin)),
            None => ("", crate::base::path::JsonPath::root()),
        };
        Diagnostic::error(origin, format!("variable {name:?} has no value: {error}"))
    }
}

/// ` with w2 = 24, in.c = 64`: the values of what an expression names.
fn with(words: &Words, expr: &Expr, scope: &crate::expr::Scope<'_>, names: &[&str]) -> String {
    let mut seen: Vec<Ref> = Vec::new();
    let mut parts = Vec::new();
    for target in expr.refs() {
        if seen.contains(&target) {
            continue;
        }
        seen.push(target);
        let (name, value) = match target {
            Ref::Slot(slot) => (
                names.get(slot as usize).copied(),
                scope.slots.get(slot as usize).copied(),
            ),
            Ref::I => (Some("i"), scope.i.map(Scalar::Int)),
            Ref::In(axis) => {
                let name = ["in.c", "in.h", "in.w"].get(usize::from(axis)).copied();
                (
                    name,
                    scope
                        .input
                        .and_then(|s| s.get(usize::from(axis)).copied())
                        .map(Scalar::Int),
                )
            }
        };
        if let (Some(name), Some(value)) = (name, value) {
            parts.push(format!("{name} = {}", value.show(words)));
        }
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!(" with {}", parts.join(", "))
    }
}
