//! An activation by name.

use super::args::ACTS;
use super::lower::one;
use super::registry::{BlockDef, word};
use crate::space::signature::NodeKind;

pub(super) static DEF: BlockDef = BlockDef {
    name: "activation",
    kind: NodeKind::Block,
    doc: "An activation given as a parameter, for blocks that leave it to their user.",
    shapes: "[c, h, w] -> [c, h, w]",
    formula: "act(x); none makes no node and passes x through",
    source: "The ops of these names.",
    params: &[word("act", ACTS, "Which one.")],
    lower: |l, args, inputs| {
        let x = one(inputs)?;
        match args.act(0) {
            Some(act) => l.push("", act, &[x]),
            None => Ok(x),
        }
    },
    example: r#"{"block": "activation", "act": "hswish"}"#,
};
