//! What a person is told when a network cannot be made: the place of the document, the sum that fails, and where its
//! numbers came from. Off the hot path.

use super::check::{Literal, Misfit, misfit_problem, show};
use super::lower::LowerError;
use super::registry::BlockDef;
use super::walk::{MAX_DEPTH, MAX_STEPS};
use crate::base::diag::Diagnostic;
use crate::base::path::JsonPath;
use crate::expr::{Ref, Scalar, Scope};
use crate::ir::ShapeError;
use crate::space::ast::{Declared, Origin, Piece, Requirement, Val};
use crate::space::signature::ParamDef;
use crate::space::{Assignment, Context, Space, ValueError};

/// The most lines on where a number came from.
const MAX_LINES: usize = 6;

/// What is said of the place of a requirement.
const REQUIRED: &str = "required here";

/// A place of the document and what names mean there.
pub(super) struct Place<'a> {
    pub space: &'a Space,
    pub assignment: &'a Assignment,
    /// The declared block whose body this is.
    pub block: Option<usize>,
    pub scope: Scope<'a>,
    pub copies: &'a [u32],
    pub origin: Origin,
}

impl Place<'_> {
    fn path(&self) -> JsonPath {
        self.space.path(self.origin)
    }

    fn error(&self, message: impl Into<String>) -> Box<Diagnostic> {
        Box::new(Diagnostic::error(self.path(), message))
    }

    fn show(&self, value: Scalar) -> String {
        show(value, &self.space.ast().words)
    }

    /// A listed block cannot be made.
    pub fn block(
        &self,
        name: &str,
        param: Option<(&'static str, Option<&Val>)>,
        error: &LowerError,
    ) -> Box<Diagnostic> {
        if let super::lower::LowerErrorKind::Within(inner) = error.kind() {
            return self.within(name, param, inner);
        }
        let message = match error.kind() {
            super::lower::LowerErrorKind::Shape(shape) => shape.to_string(),
            kind => format!("{name} {kind}"),
        };
        let mut problem = Diagnostic::error(self.path(), message);
        let lines = match param {
            Some((key, Some(val))) => self.ancestry(key, val),
            _ => Vec::new(),
        };
        let mut notes: Vec<String> = error.kind().arithmetic().into_iter().collect();
        notes.extend(lines);
        // the sum and the first line of ancestry belong together
        let mut notes = notes.into_iter();
        let first: Vec<String> = notes.by_ref().take(2).collect();
        if !first.is_empty() {
            problem = problem.note(first.join("; "));
        }
        for note in notes {
            problem = problem.note(note);
        }
        if !error.at.is_empty() {
            problem = problem.note(format!("in node {}", error.at));
        }
        if error.is_too_many() {
            problem = problem.hint("fewer repeats, layers or branches make fewer nodes");
        }
        Box::new(problem)
    }

    /// A parameter of a listed block has a value that does not fit.
    pub fn misfit(
        &self,
        def: &BlockDef,
        param: &ParamDef,
        val: &Val,
        value: Literal,
        misfit: Misfit,
    ) -> Box<Diagnostic> {
        let value = match value {
            Literal::One(x) => self.show(x),
            Literal::Two(a, b) => format!("[{}, {}]", self.show(a), self.show(b)),
        };
        let problem = misfit_problem(self.path(), def, param, &value, misfit);
        let lines = self.ancestry(param.name, val);
        Box::new(lines.into_iter().fold(problem, Diagnostic::note))
    }

    /// A parameter of a declared block has a value that does not fit.
    pub fn declared(&self, param: &str, val: &Val, message: String) -> Box<Diagnostic> {
        let problem = Diagnostic::error(self.path(), message);
        let lines = self.ancestry(param, val);
        Box::new(lines.into_iter().fold(problem, Diagnostic::note))
    }

    /// What a declared block requires does not hold. The place is that of the node, the names are the block's.
    pub fn require(&self, name: &str, rule: &Requirement) -> Box<Diagnostic> {
        let expr = &rule.condition.expr;
        let mut problem = self
            .error(format!("block {name} requires {}", expr.text()))
            .related(self.space.path(rule.condition.origin), REQUIRED);
        let values = self.space.naming(expr, &self.scope, &self.names());
        if !values.is_empty() {
            problem = problem.note(format!("here {values}"));
        }
        if !rule.hint.is_empty() {
            let text = rule.hint.iter().map(|piece| match piece {
                Piece::Text(text) => text.to_string(),
                Piece::Expr(expr) => match expr.eval(&self.scope) {
                    Ok(value) => value.show(&self.space.ast().words),
                    Err(_) => "?".to_owned(),
                },
            });
            problem = problem.hint(text.collect::<String>());
        }
        Box::new(problem)
    }

    /// Something within a shipped block does not fit: told at the node that uses it.
    fn within(
        &self,
        name: &str,
        param: Option<(&'static str, Option<&Val>)>,
        inner: &Diagnostic,
    ) -> Box<Diagnostic> {
        let mut problem = Diagnostic::error(self.path(), inner.message.clone());
        if let Some((key, Some(val))) = param {
            problem.notes.extend(self.ancestry(key, val));
        }
        problem.notes.extend(inner.notes.iter().cloned());
        let short = |path: &JsonPath| {
            let path = path.to_string();
            path.strip_prefix("blocks.").unwrap_or(&path).to_owned()
        };
        let mut rule = &inner.path;
        for (path, what) in &inner.related {
            if what == REQUIRED {
                rule = path;
            } else {
                problem.notes.push(format!("{}: {what}", short(path)));
            }
        }
        problem.hints.extend(inner.hints.iter().cloned());
        let rule = short(rule);
        Box::new(problem.note(format!("within the shipped block {name}, at {rule}")))
    }

    /// A value cannot be told.
    pub fn value(&self, key: &str, error: ValueError) -> Box<Diagnostic> {
        Box::new(value_problem(self.space, self.path(), key, error))
    }

    /// A size of an input is no size.
    pub fn size(&self, value: Scalar) -> Box<Diagnostic> {
        self.error(format!(
            "an input has whole numbers from 1 as channels, height and width, got {}",
            self.show(value)
        ))
    }

    /// A repeat count is none.
    pub fn count(&self, val: &Val, value: Scalar, most: i64) -> Box<Diagnostic> {
        let problem = self.error(format!(
            "repeat takes a whole number from 0 to {most}, got {}",
            self.show(value)
        ));
        let lines = self.ancestry("repeat", val);
        Box::new(lines.into_iter().fold(*problem, Diagnostic::note))
    }

    /// A node has no input at all.
    pub fn no_input(&self) -> Box<Diagnostic> {
        let problem = self.error("this node has no input");
        Box::new(problem.hint("all copies of a node that is left out or repeated 0 times are none"))
    }

    /// A body has fewer inputs than a node names.
    pub fn missing_input(&self, k: u32, count: usize) -> Box<Diagnostic> {
        self.error(format!(
            "there is no input {k} here: this body has {count}, counted from 0"
        ))
    }

    /// A node has fewer results than are named.
    pub fn missing_result(&self, k: u32, count: u32) -> Box<Diagnostic> {
        self.error(format!(
            "there is no result {k}: that node has {count} here, counted from 0"
        ))
    }

    /// A node with `over` makes of one source what cannot have the weights of the first.
    pub fn over(&self, place: usize, error: &ShapeError) -> Box<Diagnostic> {
        let problem = self.error(format!(
            "source {place} cannot share the weights of source 0: {error}"
        ));
        Box::new(
            problem.hint("all sources need the same width; a node each has weights of its own"),
        )
    }

    /// An assignment of another space.
    pub fn no_option(&self, option: u32) -> Box<Diagnostic> {
        self.error(format!("the choice has no option {option}"))
    }

    pub fn too_deep(&self) -> Box<Diagnostic> {
        self.error(format!("bodies and blocks nest deeper than {MAX_DEPTH}"))
    }

    pub fn too_many(&self) -> Box<Diagnostic> {
        let problem = self.error(format!(
            "the network takes more than {MAX_STEPS} steps, or 64 MiB of names, to expand"
        ));
        Box::new(problem.hint("fewer repeats or shorter ids help"))
    }

    /// Where a value came from, a line a step.
    fn ancestry(&self, key: &str, val: &Val) -> Vec<String> {
        let mut lines = Vec::new();
        let mut refs = Vec::new();
        self.line(key, val, &mut lines, &mut refs);
        let mut next = 0;
        while let Some(&slot) = refs.get(next)
            && self.block.is_none()
            && lines.len() < MAX_LINES
        {
            if let Some(var) = self.space.ast().vars.get(slot as usize) {
                self.line(&var.name, &var.val, &mut lines, &mut refs);
            }
            next += 1;
        }
        lines
    }

    fn line(&self, key: &str, val: &Val, lines: &mut Vec<String>, refs: &mut Vec<u32>) {
        let context = self.context();
        lines.extend(self.space.ancestry(key, val, &context, &self.names()));
        let expr = match context.leaf(val) {
            Ok(Val::Expr(expr)) => &**expr,
            Ok(Val::Hole(hole)) => {
                let decision = self.space.decisions().get(hole.0 as usize);
                let index = self.assignment.get(*hole);
                match decision.zip(index).and_then(|(d, k)| d.domain().expr(k)) {
                    Some(expr) => expr,
                    None => return,
                }
            }
            _ => return,
        };
        for target in expr.refs() {
            if let Ref::Slot(slot) = target
                && !refs.contains(&slot)
            {
                refs.push(slot);
            }
        }
    }

    fn context(&self) -> Context<'_> {
        Context {
            space: self.space,
            assignment: self.assignment,
            scope: self.scope,
            copies: self.copies,
        }
    }

    /// Names of the slots at this place.
    fn names(&self) -> Vec<&str> {
        let block = self.block.and_then(|k| self.space.ast().blocks.get(k));
        match block {
            Some(block) => block.params.iter().map(|p| &*p.name).collect(),
            None => self.space.var_names(),
        }
    }
}

fn value_problem(space: &Space, path: JsonPath, key: &str, error: ValueError) -> Diagnostic {
    let problem = Diagnostic::error(path, format!("{key} has no value: {error}"));
    match error {
        ValueError::Inactive(id) => match space.decisions().get(id.0 as usize) {
            Some(decision) => problem.hint(format!("give decision {} a value", decision.id())),
            None => problem,
        },
        _ => problem,
    }
}

/// The arguments of a use of a declared block: ` with out_channels = 48, layers = 4`.
pub(super) fn arguments(space: &Space, block: &Declared, values: &[Scalar]) -> String {
    let words = &space.ast().words;
    let parts: Vec<String> = block
        .params
        .iter()
        .zip(values)
        .map(|(param, value)| format!("{} = {}", param.name, show(*value, words)))
        .collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(" with {}", parts.join(", "))
    }
}
