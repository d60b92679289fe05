//! A space with its nodes resolved against the lists of ops and blocks: what lowering walks.

use super::args::Arg;
use super::check::Checker;
use super::registry::BlockDef;
use crate::base::diag::Diagnostics;
use crate::expr::Word;
use crate::space::Space;
use crate::space::ast::{Condition, Hole, Origin, Repeat, Source, Val};

/// A space whose ops, blocks and parameters all exist and take the values that stand there. Immutable, so that threads
/// share it.
#[derive(Clone, Debug)]
pub struct Program {
    pub(super) space: Space,
    pub(super) blocks: Vec<Body>,
    pub(super) net: Body,
}

impl Program {
    /// Resolves every node.
    ///
    /// # Errors
    /// All unknown ops, blocks and keys, missing parameters, and literals (also those of choices) that do not fit.
    pub fn compile(space: &Space) -> Result<Self, Diagnostics> {
        let ast = space.ast();
        let mut checker = Checker::new(space);
        let blocks = ast
            .blocks
            .iter()
            .map(|block| {
                checker.declared(block);
                checker.body(&block.body)
            })
            .collect();
        let mut net = checker.body(&ast.net);
        checker.keep(&mut net.nodes, &ast.outputs);
        checker.problems.into_result(())?;
        Ok(Self {
            space: space.clone(),
            blocks,
            net,
        })
    }

    /// The space it was made from.
    pub fn space(&self) -> &Space {
        &self.space
    }
}

/// A chain of nodes.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub nodes: Vec<Node>,
}

/// One node of a body. See [`crate::space::ast::Node`] for what the fields mean.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub origin: Origin,
    pub name: Box<str>,
    pub from: Box<[Source]>,
    pub over: bool,
    pub from_origin: Origin,
    pub when: Option<Condition>,
    pub repeat: Option<Repeat>,
    /// Whether something names the results of this one by their places.
    pub keep_copies: bool,
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// An op or a block of the lists.
    Listed {
        def: &'static BlockDef,
        args: Box<[Slot]>,
    },
    /// A block of the document. `None` is the parameter's default.
    Declared {
        block: usize,
        args: Box<[Option<(Val, Origin)>]>,
    },
    /// Nodes in a chain.
    Body(Body),
    /// One of some nodes.
    Choice { hole: Hole, options: Box<[Node]> },
    /// In copy `k` of the varied repeat of this level, node `k`.
    Each { level: u32, nodes: Box<[Node]> },
}

/// The value of one parameter of a listed op or block.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// Known now, and where it is written; `None` for a default.
    Known(Arg, Option<Origin>),
    /// Known once expressions and decisions are.
    Open(Box<Open>),
}

#[derive(Clone, Debug)]
pub(super) struct Open {
    pub val: Val,
    pub origin: Origin,
    /// Of a word parameter: its words as this document numbers them; `None` for one that the document does not contain.
    pub words: Box<[Option<Word>]>,
}
