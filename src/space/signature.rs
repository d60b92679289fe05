//! What a block or an op takes: the tables that the floor above fills in, one entry a block, and that the JSON Schema
//! and the documentation are written from.

/// The default of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Literal {
    /// A whole number.
    Int(i64),
    /// A real number.
    Real(f64),
    /// True or false.
    Bool(bool),
    /// One of an enumeration.
    Word(&'static str),
    /// An expression over the parameters before and the input, with its `=`.
    Expr(&'static str),
}

/// Which values a parameter takes; both ends are included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ParamKind {
    /// A whole number.
    Int {
        /// Smallest.
        min: i64,
        /// Largest; `i64::MAX` where there is no limit.
        max: i64,
    },
    /// A real number; a whole one is taken as well.
    Real {
        /// Smallest; `f64::NEG_INFINITY` where there is no limit.
        min: f64,
        /// Largest; `f64::INFINITY` where there is no limit.
        max: f64,
    },
    /// True or false.
    Bool,
    /// One of these.
    Word(&'static [&'static str]),
    /// A whole number for both axes, or `[vertical, horizontal]`, as in `kernel_size`.
    Pair {
        /// Smallest.
        min: i64,
        /// Largest; `i64::MAX` where there is no limit.
        max: i64,
    },
}

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParamDef {
    /// The key in the JSON.
    pub name: &'static str,
    /// Which values it takes.
    pub kind: ParamKind,
    /// True where a node without it is an error.
    pub required: bool,
    /// The value of a node without it. `None` with `required` false: what happens then is told in `doc`.
    pub default: Option<Literal>,
    /// What it is, in one line.
    pub doc: &'static str,
}

/// The key under which a node names what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// `{"op": …}`.
    Op,
    /// `{"block": …}`.
    Block,
}

/// What a block or an op takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signature {
    /// The word after `op` or `block`.
    pub name: &'static str,
    /// Which of the two.
    pub kind: NodeKind,
    /// What it is, in one line.
    pub doc: &'static str,
    /// Its parameters, required ones first.
    pub params: &'static [ParamDef],
}
