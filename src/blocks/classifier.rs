//! The usual head of a classification network.

use super::lower::one;
use super::registry::{BlockDef, flag, int, real};
use crate::ir::ops::{Dropout, Flatten, Linear, Real};
use crate::space::signature::NodeKind;

pub(super) static DEF: BlockDef = BlockDef {
    name: "classifier",
    kind: NodeKind::Block,
    doc: "Global average pool and a fully connected layer.",
    shapes: "[c, h, w] -> [classes]",
    formula: "W dropout(flatten(gap(x))) + b",
    source: "Common to all the reference codes. ShuffleNet-Series has no bias; ESPNetv2 and GhostX-RegNet drop 0.2.",
    params: &[
        int("classes", 1, "Length of the result."),
        real(
            "dropout",
            (0.0, 1.0),
            0.0,
            "Share dropped in training; with 0 there is no dropout node.",
        ),
        flag(
            "bias",
            true,
            "Whether the fully connected layer has a bias.",
        ),
    ],
    lower: |l, args, inputs| {
        let x = l.global_avg("pool", one(inputs)?)?;
        let mut x = l.push("flatten", Flatten, &[x])?;
        let p = args.real(1);
        if p > 0.0 {
            x = l.push("dropout", Dropout { p: Real(p) }, &[x])?;
        }
        let linear = Linear {
            out_features: args.int(0),
            bias: args.flag(2),
        };
        l.push("fc", linear, &[x])
    },
    example: r#"{"block": "classifier", "classes": 10, "dropout": 0.2}"#,
};
