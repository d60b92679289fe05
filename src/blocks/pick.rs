//! One of several inputs.

use super::lower::{LowerError, LowerErrorKind};
use super::registry::{BlockDef, int, or};
use crate::space::signature::NodeKind;

pub(super) static DEF: BlockDef = BlockDef {
    name: "pick",
    kind: NodeKind::Block,
    doc: "Passes one of its inputs through and makes no node: a place where an expression or a decision says what goes on.",
    shapes: "[c, h, w], ... -> that of the input",
    formula: "x_index, counted from 0. What the other inputs are made of still counts as parameters unless something else \
              uses it",
    source: "Ours.",
    params: &[or(int("index", 0, "Which input."), 0)],
    lower: |_, args, inputs| {
        let index = args.int(0);
        inputs.get(index as usize).copied().ok_or_else(|| {
            let last = (inputs.len() as u32).saturating_sub(1);
            let kind = LowerErrorKind::TooLarge {
                what: "an index among its inputs",
                most: last,
                got: index,
            };
            LowerError::from(kind).on(0)
        })
    },
    example: r#"{"block": "pick"}"#,
};
