//! Arguments of one node, checked: what a block's lowering reads.

use crate::ir::ops::Act;
use crate::space::signature::{Literal, ParamDef, ParamKind};

/// The value of one parameter. A tag of a whole word makes copies two moves; they are the bulk of reading arguments.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u64)]
pub enum Arg {
    /// Left out, and without a default.
    Unset,
    /// A whole number.
    Int(u32),
    /// A real number.
    Real(f64),
    /// True or false.
    Bool(bool),
    /// Position in the words of its [`ParamKind::Word`].
    Word(u8),
    /// One number for each axis.
    Pair([u32; 2]),
}

impl Arg {
    /// The value of a node that leaves the parameter out.
    pub(super) fn default_of(param: &ParamDef) -> Arg {
        match (param.default, param.kind) {
            (None, _) => Arg::Unset,
            (Some(Literal::Int(x)), ParamKind::Pair { .. }) => Arg::Pair([x as u32; 2]),
            (Some(Literal::Int(x)), ParamKind::Real { .. }) => Arg::Real(x as f64),
            (Some(Literal::Int(x)), _) => Arg::Int(x as u32),
            (Some(Literal::Real(x)), _) => Arg::Real(x),
            (Some(Literal::Bool(x)), _) => Arg::Bool(x),
            (Some(Literal::Word(x)), ParamKind::Word(of)) => {
                Arg::Word(of.iter().position(|w| *w == x).unwrap_or(0) as u8)
            }
            // an expression is worth something once the parameters before it are
            (Some(Literal::Word(_) | Literal::Expr(_)), _) => Arg::Unset,
        }
    }
}

/// The values of a node's parameters, by slot: the position in the block's `params`.
///
/// Kinds and ranges were checked before, so reading one cannot fail; the wrong reader for a slot gives zero, which the
/// block's own example would show.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a>(&'a [Arg]);

impl<'a> Args<'a> {
    pub(super) fn new(values: &'a [Arg]) -> Self {
        Self(values)
    }

    pub(super) fn get(&self, slot: usize) -> Arg {
        self.0.get(slot).copied().unwrap_or(Arg::Unset)
    }

    /// A whole number that is required or has a default.
    pub fn int(&self, slot: usize) -> u32 {
        self.int_opt(slot).unwrap_or(0)
    }

    /// A whole number that may be left out.
    pub fn int_opt(&self, slot: usize) -> Option<u32> {
        match self.get(slot) {
            Arg::Int(x) => Some(x),
            _ => None,
        }
    }

    /// A real number.
    pub fn real(&self, slot: usize) -> f64 {
        match self.get(slot) {
            Arg::Real(x) => x,
            Arg::Int(x) => f64::from(x),
            _ => 0.0,
        }
    }

    /// True or false.
    pub fn flag(&self, slot: usize) -> bool {
        self.get(slot) == Arg::Bool(true)
    }

    /// The position of a word among those that the parameter takes.
    pub fn word(&self, slot: usize) -> usize {
        match self.get(slot) {
            Arg::Word(x) => usize::from(x),
            _ => 0,
        }
    }

    /// A number for each axis that is required or has a default.
    pub fn pair(&self, slot: usize) -> [u32; 2] {
        self.pair_opt(slot).unwrap_or([0; 2])
    }

    /// A number for each axis that may be left out.
    pub fn pair_opt(&self, slot: usize) -> Option<[u32; 2]> {
        match self.get(slot) {
            Arg::Pair(x) => Some(x),
            _ => None,
        }
    }

    /// An activation, of a parameter that takes `ACTS`.
    pub fn act(&self, slot: usize) -> Option<Act> {
        Act::ALL.get(self.word(slot)).copied()
    }
}

/// The words of a parameter that names an activation, in the order of [`Act::ALL`], then `none`.
pub(super) const ACTS: &[&str] = &[
    "relu",
    "relu6",
    "prelu",
    "silu",
    "hswish",
    "sigmoid",
    "hsigmoid",
    "leaky_relu",
    "clip01",
    "none",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_activations_are_those_of_the_ops() {
        let names: Vec<_> = Act::ALL.iter().map(|a| a.name()).chain(["none"]).collect();
        assert_eq!(names, ACTS);
    }
}
