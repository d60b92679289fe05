//! What a block sees while it becomes nodes, and how it says that it cannot.

use super::walk::Scratch;
use crate::base::diag::Diagnostic;
use crate::ir::graph::{GraphBuilder, MAX_NODES};
use crate::ir::ops::{Act, BatchNorm, Conv, GlobalPool, PoolKind};
use crate::ir::{Op, Shape, ShapeError, ValueId};

/// The graph under construction, and the name that the next node's name starts with.
#[derive(Debug, Default)]
pub struct Lower {
    pub(super) builder: GraphBuilder,
    prefix: String,
    /// What the walk over shipped blocks works in.
    pub(super) inner: Option<Box<Scratch>>,
    /// Nodes of documents visited so far.
    pub(super) steps: u32,
    /// Bytes of names so far.
    pub(super) name_bytes: usize,
    /// The results of a block that has several.
    pub(super) results: Vec<ValueId>,
}

impl Lower {
    pub(super) fn new(builder: GraphBuilder, mut prefix: String) -> Self {
        prefix.clear();
        Self {
            builder,
            prefix,
            ..Self::default()
        }
    }

    pub(super) fn into_parts(self) -> (GraphBuilder, String) {
        (self.builder, self.prefix)
    }

    /// Adds a node named `name` below the present scope; `""` names it as the scope itself.
    ///
    /// # Errors
    /// Where the op does not fit its inputs.
    pub fn push(
        &mut self,
        name: &str,
        op: impl Into<Op>,
        inputs: &[ValueId],
    ) -> Result<ValueId, LowerError> {
        let Self {
            builder, prefix, ..
        } = self;
        builder
            .push_named(op, inputs, || join(prefix, name))
            .map_err(|shape| LowerError {
                at: join(prefix, name).into(),
                ..LowerErrorKind::Shape(shape).into()
            })
    }

    /// Runs `f` with names below `name`.
    pub fn scope<R>(&mut self, name: &str, f: impl FnOnce(&mut Self) -> R) -> R {
        if !self.builder.is_named() || name.is_empty() {
            return f(self);
        }
        let mark = self.enter(name, None);
        let result = f(self);
        self.leave(mark);
        result
    }

    /// Runs `f` with names below the number `index`.
    pub fn item<R>(&mut self, index: u32, f: impl FnOnce(&mut Self) -> R) -> R {
        if !self.builder.is_named() {
            return f(self);
        }
        self.scope(&index.to_string(), f)
    }

    /// Puts names below `name` (and the copy `index`) until [`leave`](Self::leave) is told the mark.
    pub(super) fn enter(&mut self, name: &str, index: Option<u32>) -> usize {
        let mark = self.prefix.len();
        if self.builder.is_named() {
            if mark > 0 {
                self.prefix.push('.');
            }
            self.prefix.push_str(name);
            if let Some(index) = index {
                self.prefix.push('.');
                self.prefix.push_str(&index.to_string());
            }
        }
        mark
    }

    /// As [`enter`](Self::enter), for a node that is applied to several sources: those after the first go by their
    /// place, as in `x[1]`.
    pub(super) fn enter_place(&mut self, name: &str, place: u32) -> usize {
        let mark = self.enter(name, None);
        if place > 0 && self.builder.is_named() {
            self.prefix.push('[');
            self.prefix.push_str(&place.to_string());
            self.prefix.push(']');
        }
        mark
    }

    /// Bytes of the name that nodes pushed now start with.
    pub(super) fn name_len(&self) -> usize {
        self.prefix.len()
    }

    /// Ends what [`enter`](Self::enter) began.
    pub(super) fn leave(&mut self, mark: usize) {
        self.prefix.truncate(mark);
    }

    /// Says that the block has several results, which `x[0]`, `x[1]` and so on name; what it returns is the last.
    pub fn results(&mut self, values: &[ValueId]) {
        self.results.clear();
        self.results.extend_from_slice(values);
    }

    /// The shape of a value.
    pub fn shape(&self, x: ValueId) -> Shape {
        self.builder.shape(x)
    }

    /// Channels of a feature map, or the length of a vector.
    pub fn channels(&self, x: ValueId) -> u32 {
        self.builder.shape(x).channels()
    }

    /// Convolution, batch norm and activation, named `name.conv`, `name.bn`, `name.act`.
    ///
    /// # Errors
    /// Where the convolution does not fit.
    pub fn conv_bn(
        &mut self,
        name: &str,
        conv: Conv,
        act: Option<Act>,
        x: ValueId,
    ) -> Result<ValueId, LowerError> {
        self.conv_norm(name, conv, BatchNorm::default(), act, x)
    }

    /// The same with a norm of its own.
    ///
    /// # Errors
    /// Where the convolution does not fit.
    pub fn conv_norm(
        &mut self,
        name: &str,
        conv: Conv,
        norm: BatchNorm,
        act: Option<Act>,
        x: ValueId,
    ) -> Result<ValueId, LowerError> {
        self.scope(name, |l| {
            let x = l.push("conv", conv, &[x])?;
            let x = l.push("bn", norm, &[x])?;
            match act {
                Some(act) => l.push("act", act, &[x]),
                None => Ok(x),
            }
        })
    }

    /// Each channel's mean over the map.
    ///
    /// # Errors
    /// Where `x` is no map.
    pub fn global_avg(&mut self, name: &str, x: ValueId) -> Result<ValueId, LowerError> {
        let pool = GlobalPool {
            kind: PoolKind::Avg,
        };
        self.push(name, pool, &[x])
    }
}

fn join(prefix: &str, name: &str) -> String {
    match (prefix, name) {
        (prefix, "") => prefix.to_owned(),
        ("", name) => name.to_owned(),
        (prefix, name) => format!("{prefix}.{name}"),
    }
}

/// The only input of a block that takes one.
///
/// # Errors
/// Where there are none or several.
pub fn one(inputs: &[ValueId]) -> Result<ValueId, LowerError> {
    match inputs {
        [x] => Ok(*x),
        _ => Err(LowerErrorKind::Inputs {
            takes: "1",
            got: inputs.len(),
        }
        .into()),
    }
}

/// Why a block cannot become nodes, and which parameter is to blame.
#[derive(Debug)]
pub struct LowerError {
    pub(super) kind: Box<LowerErrorKind>,
    /// Slot of the parameter to blame; `None` blames the node.
    pub(super) slot: Option<usize>,
    /// Name of the inner node that failed, where names are kept.
    pub(super) at: Box<str>,
}

impl LowerError {
    /// The same error, blamed on the parameter in this slot.
    #[must_use]
    pub fn on(self, slot: usize) -> Self {
        Self {
            slot: Some(slot),
            ..self
        }
    }

    /// Why.
    pub fn kind(&self) -> &LowerErrorKind {
        &self.kind
    }

    /// Whether the network as a whole grew too large.
    pub(super) fn is_too_many(&self) -> bool {
        let kind = LowerErrorKind::Shape(ShapeError::TooManyNodes { limit: MAX_NODES });
        *self.kind == kind
    }
}

impl From<LowerErrorKind> for LowerError {
    fn from(kind: LowerErrorKind) -> Self {
        Self {
            kind: Box::new(kind),
            slot: None,
            at: Box::default(),
        }
    }
}

/// Why a block cannot become nodes. Messages follow the block's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LowerErrorKind {
    /// An op does not fit its inputs.
    #[error("{0}")]
    Shape(ShapeError),
    /// Wrong number of inputs.
    #[error("takes {takes} inputs, got {got}")]
    Inputs {
        /// How many it takes.
        takes: &'static str,
        /// How many it was given.
        got: usize,
    },
    /// A width must be a multiple of something, perhaps after `base` is taken away.
    #[error("needs {what} divisible by {by}")]
    Indivisible {
        /// What must be divisible.
        what: &'static str,
        /// By what, in words.
        by: &'static str,
        /// The width.
        value: u32,
        /// What is taken away before dividing.
        base: u32,
        /// The divisor's value.
        divisor: u32,
    },
    /// A number that must have one value has another.
    #[error("needs {what} of {expected}, got {got}")]
    Differs {
        /// Which number, and why.
        what: &'static str,
        /// What it must be.
        expected: u32,
        /// What it is.
        got: u32,
    },
    /// A number is too small.
    #[error("needs {what} of at least {least}, got {got}")]
    TooSmall {
        /// Which number, and why.
        what: &'static str,
        /// The smallest that fits.
        least: u32,
        /// What it is.
        got: u32,
    },
    /// A number is too large.
    #[error("needs {what} of at most {most}, got {got}")]
    TooLarge {
        /// Which number, and why.
        what: &'static str,
        /// The largest that fits.
        most: u32,
        /// What it is.
        got: u32,
    },
    /// Two parameters that exclude each other, or one of which must be given.
    #[error("{0}")]
    Conflict(&'static str),
    /// Something within a shipped block; the place is one of that block.
    #[error("{}", .0.message)]
    Within(Box<Diagnostic>),
}

/// `Ok` where `value - base` is a positive multiple of `divisor`.
///
/// # Errors
/// [`LowerErrorKind::Indivisible`], blamed on `slot`.
pub fn divisible(
    slot: Option<usize>,
    (what, value): (&'static str, u32),
    base: u32,
    (by, divisor): (&'static str, u32),
) -> Result<(), LowerError> {
    match value.checked_sub(base) {
        Some(rest) if rest > 0 && divisor > 0 && rest % divisor == 0 => Ok(()),
        _ => Err(LowerError {
            slot,
            ..LowerErrorKind::Indivisible {
                what,
                by,
                value,
                base,
                divisor,
            }
            .into()
        }),
    }
}

impl LowerErrorKind {
    /// The sum that shows it: `72 % 16 is 8`.
    pub(super) fn arithmetic(&self) -> Option<String> {
        match *self {
            Self::Indivisible {
                value,
                base: 0,
                divisor,
                ..
            } if divisor > 0 => Some(format!("{value} % {divisor} is {}", value % divisor)),
            Self::Indivisible {
                value,
                base,
                divisor,
                ..
            } if divisor > 0 && value > base => Some(format!(
                "({value} - {base}) % {divisor} is {}",
                (value - base) % divisor
            )),
            Self::Indivisible { value, base, .. } => Some(format!("{value} is not above {base}")),
            _ => None,
        }
    }
}
