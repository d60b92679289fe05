//! A checked document: names resolved, expressions compiled, holes numbered. What lowering reads.
//!
//! Invariants:
//! - A [`Source`] names an earlier node of the same body, so a body is in topological order.
//! - Declared blocks do not use each other in a circle.
//! - Every [`Origin`], [`Word`], [`DecisionId`] and slot is in range of its table in the same [`Ast`].
//! - An [`Val::Each`] has one item for each copy that its varied repeat can have at most.
//!
//! Scopes. Slots of an expression are positions in [`Ast::vars`] at the top level and in [`Declared::params`] inside a
//! declared block. `i` is the copy number of the innermost enclosing repeat (the node's own repeat included, but for
//! `when` and `repeat` themselves, which belong to the node as a whole). `in.c in.h in.w` are those of the declared
//! block's first input inside a declared block; at the top level they stand only in `args` and mean the first input of
//! that node (of that copy).

use crate::base::path::JsonPath;
use crate::expr::{Expr, Scalar, Word, Words};

/// A place in the document: a position in [`Ast::origins`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(pub u32);

/// A position in the list of decisions of the space, and in an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DecisionId(pub u32);

/// The document, checked.
#[derive(Clone, Debug)]
pub struct Ast {
    /// `name`, or `net` where there is none.
    pub name: Box<str>,
    /// Named inputs in order; a plain `[c, h, w]` is one input named `in`.
    pub inputs: Vec<Input>,
    /// `vars`, in the order of the document; the position is the slot in expressions.
    pub vars: Vec<Var>,
    /// Slots of `vars` such that each comes after those that it reads.
    pub var_order: Vec<u32>,
    /// `constraints`, over vars.
    pub constraints: Vec<Condition>,
    /// `budgets`: metric and its largest value.
    pub budgets: Vec<(Box<str>, f64)>,
    /// Declared blocks, in the order of the document.
    pub blocks: Vec<Declared>,
    /// The net.
    pub net: Body,
    /// What of `net` is its outputs: what `outputs` names, else the last node.
    pub outputs: Vec<Source>,
    /// Texts of all words, keys and names of ops and blocks.
    pub words: Words,
    /// Paths of all places that an [`Origin`] can name.
    pub origins: Vec<JsonPath>,
}

/// One input of the net.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name.
    pub name: Box<str>,
    /// Channels, height, width, over vars.
    pub shape: [Val; 3],
    /// Where it stands.
    pub origin: Origin,
}

/// One of `vars`.
#[derive(Clone, Debug)]
pub struct Var {
    /// Its name.
    pub name: Box<str>,
    /// Its value, over other vars: `Lit`, `Expr` or `Hole`.
    pub val: Val,
    /// Where the value stands.
    pub origin: Origin,
}

/// An expression that is true or false, and where it stands.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The expression.
    pub expr: Expr,
    /// Where it stands.
    pub origin: Origin,
}

/// A chain of nodes: a net, a `body`, or the body of a declared block. Its result is its last node.
#[derive(Clone, Debug)]
pub struct Body {
    /// At least one.
    pub nodes: Vec<Node>,
    /// Where the list stands.
    pub origin: Origin,
}

/// Where a node's input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Input `k` of the body (`in` is 0, `in[k]`, or a named input of the net). An inner body may have fewer: whoever
    /// lowers it checks.
    Input(u32),
    /// All inputs of the body (`in[*]`): what the first node takes where it names nothing.
    AllInputs,
    /// The result of an earlier node of this body (the last where it has several, as of a repeated one). A node that names nothing has the
    /// node before here.
    Node(u32),
    /// All results of an earlier node of this body, in order (`x[*]`): of all copies of a repeated one, of all sources
    /// of one with `over`, of a block that has several or of what a body ends in. Else the one result; none where its
    /// `when` is false or its `repeat` is 0.
    Copies(u32),
    /// Of these, the one at this place (`x[1]`).
    Copy(u32, u32),
}

/// One node of a body.
#[derive(Clone, Debug)]
pub struct Node {
    /// The node object.
    pub origin: Origin,
    /// Its name in the names of parameters: its `id`, else its position in the body.
    pub name: Box<str>,
    /// Its `id`.
    pub id: Option<Box<str>>,
    /// Its inputs, at least one.
    pub from: Vec<Source>,
    /// Whether the node is applied to each of them by itself, with one set of weights (`"over"` in the place of
    /// `"from"`). Such a node has no `repeat`.
    pub over: bool,
    /// Where `from` stands; the node where it has none.
    pub from_origin: Origin,
    /// Where false, the node passes its first input through, whatever its `repeat`.
    pub when: Option<Condition>,
    /// Copies in a chain: each copy's first input is the copy before, its other inputs are the same for all.
    pub repeat: Option<Repeat>,
    /// What it is.
    pub kind: Kind,
}

/// Copies of a node in a chain.
#[derive(Clone, Debug)]
pub struct Repeat {
    /// How many: a whole number from 0 (passes the first input through).
    pub count: Val,
    /// Where the count stands.
    pub origin: Origin,
    /// Of a varied repeat (`"vary": true`): its level and its largest count. Whoever walks copy `k` of it puts `k` at
    /// that level of the copies that [`Val::Each`] and [`Kind::Each`] are read with. Levels count varied repeats from
    /// the outside, from 0 in the net and from 0 again in each declared block.
    pub vary: Option<Vary>,
}

/// A varied repeat: each copy has its own holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vary {
    /// How many varied repeats stand around this one.
    pub level: u32,
    /// The most copies there can be.
    pub max: u32,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// `{"op": …}`; whether there is such an op is for the floor above to know.
    Op {
        /// The word after `op`.
        op: Word,
        /// Its parameters, in the order of the document.
        args: Vec<Arg>,
    },
    /// `{"block": …}` that the document does not declare; whether it is built in is for the floor above to know.
    Block {
        /// The word after `block`.
        block: Word,
        /// Its parameters, in the order of the document.
        args: Vec<Arg>,
    },
    /// `{"block": …}` that the document declares. That the literal arguments are right is already checked; others are
    /// to be checked with [`Param::check`] once they have a value.
    Declared {
        /// Position in [`Ast::blocks`].
        block: u32,
        /// One for each parameter of the block, in its order; `None` where the default holds.
        args: Vec<Option<Arg>>,
    },
    /// `{"body": […]}`: its inputs are those of the node.
    Body(Body),
    /// `{"choice": […]}`: one of some nodes. Lowers like a body with that one node in it.
    Choice {
        /// Which one.
        hole: Hole,
        /// The options, in the order of the document.
        options: Vec<ChoiceOption>,
    },
    /// `{"each": […]}`: in copy `k` of the varied repeat of this level, node `k`. Stands in bound documents only. The
    /// node itself has neither `when` nor `repeat` nor `from` of its own (`from` is then the default): each item has.
    Each {
        /// Which of the enclosing varied repeats.
        level: u32,
        /// One node for each copy. An item's sources are those of a node at this place in the body.
        nodes: Vec<Node>,
    },
}

/// One option of a choice of nodes.
#[derive(Clone, Debug)]
pub struct ChoiceOption {
    /// What assignments call it: `as`, else the name of its block or op; with `@index` where two would be equal.
    pub label: Box<str>,
    /// The node. Its sources are those of the only node of a body whose inputs are the choice's.
    pub node: Node,
}

/// A parameter of a node.
#[derive(Clone, Debug)]
pub struct Arg {
    /// The key.
    pub key: Word,
    /// The value.
    pub val: Val,
    /// Where the value stands.
    pub origin: Origin,
}

/// A value in the document.
#[derive(Clone, Debug)]
pub enum Val {
    /// A literal.
    Lit(Scalar),
    /// An expression in the scope of its place.
    Expr(Box<Expr>),
    /// A decision.
    Hole(DecisionId),
    /// In copy `k` of the varied repeat of this level, item `k`: `{"each": […]}` in a bound document, and every hole
    /// under a varied repeat. Items may be `Each` of a deeper level.
    Each {
        /// Which of the enclosing varied repeats.
        level: u32,
        /// One for each copy.
        items: Vec<Val>,
    },
    /// `[3, 1]`: scalars of any form.
    List(Vec<Val>),
}

/// Which decision an option of a choice of nodes is taken by.
#[derive(Clone, Debug)]
pub enum Hole {
    /// One decision.
    One(DecisionId),
    /// In copy `k` of the varied repeat of this level, hole `k`.
    Each {
        /// Which of the enclosing varied repeats.
        level: u32,
        /// One for each copy.
        items: Vec<Hole>,
    },
}

/// A block declared in the document.
#[derive(Clone, Debug)]
pub struct Declared {
    /// Its name. The floor above refuses names of built-in blocks.
    pub name: Box<str>,
    /// What it is, for people.
    pub doc: Option<Box<str>>,
    /// Its parameters; the position is the slot in the expressions of `require` and `body`.
    pub params: Vec<Param>,
    /// What must hold of parameters and input.
    pub require: Vec<Requirement>,
    /// Its nodes; the block's inputs are the body's.
    pub body: Body,
    /// Where it is declared.
    pub origin: Origin,
}

/// What must hold of a use of a declared block.
#[derive(Clone, Debug)]
pub struct Requirement {
    /// The condition, over parameters and input.
    pub condition: Condition,
    /// What would fit, in pieces; none where the document says nothing.
    pub hint: Vec<Piece>,
}

/// A part of a text.
#[derive(Clone, Debug)]
pub enum Piece {
    /// As it is.
    Text(Box<str>),
    /// Its value.
    Expr(Expr),
}

/// The value of a parameter that a node leaves out.
#[derive(Clone, Debug)]
pub enum Fallback {
    /// A literal, as the parameter takes it.
    Lit(Scalar),
    /// An expression over the parameters before it and the input.
    Expr(Box<Expr>),
}

/// A parameter of a declared block.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its name.
    pub name: Box<str>,
    /// What values it takes.
    pub kind: DeclaredKind,
    /// The value of a node without it; `None` where it must be given.
    pub default: Option<Fallback>,
    /// What it is, for people.
    pub doc: Option<Box<str>>,
    /// Where it is declared.
    pub origin: Origin,
}

/// Which values a parameter of a declared block takes; ends included.
#[derive(Clone, Debug, PartialEq)]
pub enum DeclaredKind {
    /// A whole number.
    Int {
        /// Smallest; `i64::MIN` where the document names none.
        min: i64,
        /// Largest; `i64::MAX` where the document names none.
        max: i64,
    },
    /// A real number; whole ones are turned into reals.
    Real {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
    /// True or false.
    Bool,
    /// One of these.
    Word {
        /// At least one.
        of: Vec<Word>,
    },
}

/// Why a value does not fit a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// Another kind of value; a real where a whole number must stand, for one.
    Kind,
    /// Below `min`.
    Below,
    /// Above `max`.
    Above,
    /// Not among `of`.
    NotOf,
}

impl Param {
    /// The value as this parameter takes it (whole numbers become reals in a real parameter).
    ///
    /// # Errors
    /// Why it does not fit.
    pub fn check(&self, value: Scalar) -> Result<Scalar, Misfit> {
        match (&self.kind, value) {
            (DeclaredKind::Int { min, .. }, Scalar::Int(x)) if x < *min => Err(Misfit::Below),
            (DeclaredKind::Int { max, .. }, Scalar::Int(x)) if x > *max => Err(Misfit::Above),
            (DeclaredKind::Int { .. }, Scalar::Int(_)) | (DeclaredKind::Bool, Scalar::Bool(_)) => {
                Ok(value)
            }
            (DeclaredKind::Real { min, max }, Scalar::Int(_) | Scalar::Real(_)) => {
                let x = value.real().ok_or(Misfit::Kind)?;
                match x {
                    x if x < *min => Err(Misfit::Below),
                    x if x > *max => Err(Misfit::Above),
                    x => Ok(Scalar::Real(x)),
                }
            }
            (DeclaredKind::Word { of }, Scalar::Word(x)) if of.contains(&x) => Ok(value),
            (DeclaredKind::Word { .. }, Scalar::Word(_)) => Err(Misfit::NotOf),
            _ => Err(Misfit::Kind),
        }
    }
}
