//! Feature pyramid.

use super::lower::{Lower, LowerError, LowerErrorKind};
use super::registry::{BlockDef, int, word};
use crate::ir::ValueId;
use crate::ir::ops::{Act, Add, Conv, MaxPool, Upsample, UpsampleMode};
use crate::space::signature::NodeKind;

pub(super) static DEF: BlockDef = BlockDef {
    name: "fpn",
    kind: NodeKind::Block,
    doc: "Feature pyramid over maps of a backbone, the finest first: every map gets the width out_channels and what the \
          coarser ones have seen. Its results x[0], x[1], ... are the maps, the finest first.",
    shapes: "[c_k, h_k, w_k] x n -> [out_channels, h_k, w_k] x n, and coarser maps as extra says",
    formula: "inner_n = W_n c_n; inner_k = W_k c_k + nearest upsampling of inner_{k+1} to the size of c_k; \
              p_k = 3x3 conv of inner_k; extra pool: p_{n+1} is p_n at every second pixel; extra p6p7: p_{n+1} = 3x3 conv \
              of stride 2 of p_n, p_{n+2} = 3x3 conv of stride 2 of relu(p_{n+1}). All convolutions have a bias.",
    source: "FPN, arXiv 1612.03144, section 3; as torchvision's FeaturePyramidNetwork with LastLevelMaxPool and \
             LastLevelP6P7 (on p_n: torchvision takes c_n instead where the widths differ, as RetinaNet's paper does)",
    params: &[
        int("out_channels", 1, "Channels of every map."),
        word(
            "extra",
            &["none", "pool", "p6p7"],
            "Coarser maps besides: none, one by subsampling, or two by convolutions.",
        ),
    ],
    lower: |l, args, inputs| {
        let (width, extra) = (args.int(0), args.word(1));
        let mut maps = Vec::with_capacity(inputs.len() + 2);
        let mut above = None;
        for (k, map) in inputs.iter().enumerate().rev() {
            let inner = lateral(l, k as u32, width, *map, above)?;
            let conv = Conv::same(width, 3, 1).biased();
            maps.push(l.scope("layer", |l| {
                l.item(k as u32, |l| l.push("", conv, &[inner]))
            })?);
            above = Some(inner);
        }
        maps.reverse();
        let Some(mut last) = maps.last().copied() else {
            let takes = "1 or more";
            return Err(LowerErrorKind::Inputs { takes, got: 0 }.into());
        };
        let down = Conv::same(width, 3, 2).biased();
        match extra {
            1 => {
                let pool = MaxPool {
                    kernel_size: [1; 2],
                    stride: [2; 2],
                    padding: [0; 2],
                    ceil_mode: false,
                };
                last = l.push("pool", pool, &[last])?;
                maps.push(last);
            }
            2 => {
                let p6 = l.push("p6", down, &[last])?;
                let act = l.push("p7_act", Act::Relu, &[p6])?;
                last = l.push("p7", down, &[act])?;
                maps.extend([p6, last]);
            }
            _ => {}
        }
        l.results(&maps);
        Ok(last)
    },
    example: r#"{"block": "fpn", "from": ["in", "in"], "out_channels": 64, "extra": "p6p7"}"#,
};

/// The map number `k` at the pyramid's width, with the one above added.
fn lateral(
    l: &mut Lower,
    k: u32,
    width: u32,
    map: ValueId,
    above: Option<ValueId>,
) -> Result<ValueId, LowerError> {
    let conv = Conv::same(width, 1, 1).biased();
    let inner = l.scope("inner", |l| l.item(k, |l| l.push("", conv, &[map])))?;
    let Some(above) = above else { return Ok(inner) };
    let up = Upsample {
        size: l.shape(map).hw().into(),
        mode: UpsampleMode::Nearest,
    };
    l.scope("top_down", |l| {
        l.item(k, |l| {
            let larger = l.push("up", up, &[above])?;
            l.push("sum", Add, &[inner, larger])
        })
    })
}
