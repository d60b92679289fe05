//! Operator tables as kernels: a row an operator, with shapes, as traced from a model or read from a network file.
//!
//! The rows are what the runtime runs, so nothing is fused here. Names of ncnn's layers, of ATen's operators and of this
//! program's ops are all understood.

use super::error::CalibrateError;
use crate::base::table::Table;
use crate::fuse::{Kernel, KernelKind, Window};
use crate::ir::Shape;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Networks of an operator table by name; where the table has `img_size`, by `name@size`.
///
/// Needs columns `network` (or `model`), `op`, `macs, cin, hin, win, cout, hout, wout, in_elems, out_elems`, and for
/// convolutions `groups` and the window (`kernel_h`, `stride_h`, `dilation_h` and so on, or `kh, sh, dh`).
///
/// # Errors
/// Where a column is not there or holds another type.
pub fn networks(table: &Table) -> Result<BTreeMap<String, Arc<[Kernel]>>, CalibrateError> {
    let name = if table.get("network").is_some() {
        "network"
    } else {
        "model"
    };
    let names = table.all_texts(name)?;
    let ops = table.all_texts("op")?;
    let sizes = match table.get("img_size") {
        Some(_) => Some(table.all_ints("img_size")?),
        None => None,
    };
    let pools = match table.get("pool_type") {
        Some(_) => Some(table.texts("pool_type")?),
        None => None,
    };
    let column = |long: &str, short: &str| -> Result<Vec<u64>, CalibrateError> {
        let name = if table.get(long).is_some() {
            long
        } else {
            short
        };
        let cells = table.ints(name)?;
        let number = |x: &Option<i64>| x.and_then(|x| u64::try_from(x).ok()).unwrap_or(0);
        Ok(cells.iter().map(number).collect())
    };
    let window = [
        column("kernel_h", "kh")?,
        column("kernel_w", "kw")?,
        column("stride_h", "sh")?,
        column("stride_w", "sw")?,
        column("dilation_h", "dh")?,
        column("dilation_w", "dw")?,
        column("groups", "groups")?,
    ];
    let input = [column("cin", "")?, column("hin", "")?, column("win", "")?];
    let output = [
        column("cout", "")?,
        column("hout", "")?,
        column("wout", "")?,
    ];
    let (macs, weights) = (column("macs", "")?, column("weights", "w")?);
    let (read, written) = (column("in_elems", "")?, column("out_elems", "")?);
    let mut networks: BTreeMap<String, Vec<Kernel>> = BTreeMap::new();
    for row in 0..table.rows() {
        let name = match &sizes {
            Some(sizes) => format!("{}@{}", names[row], sizes[row]),
            None => names[row].to_owned(),
        };
        let network = networks.entry(name).or_default();
        let at = |column: &Vec<u64>| u32::try_from(column[row]).unwrap_or(u32::MAX);
        let one = |column: &Vec<u64>| at(column).max(1);
        let [kh, kw, sh, sw, dh, dw, groups] = window.each_ref().map(one);
        let window = Window {
            kernel_size: [kh, kw],
            stride: [sh, sw],
            dilation: [dh, dw],
            groups,
        };
        let shape = |s: &[Vec<u64>; 3]| {
            let [c, h, w] = s.each_ref().map(at);
            Shape::Map { c, h, w }
        };
        let (input, output) = (shape(&input), shape(&output));
        let pool = pools.and_then(|p| p[row].as_deref());
        let facts = Facts {
            window: &window,
            input,
            output,
            pool,
            gate: read[row] < 2 * written[row],
        };
        let Some(kind) = kind(ops[row], &facts) else {
            continue;
        };
        let moves = matches!(kind, KernelKind::Concat | KernelKind::Copy);
        network.push(Kernel {
            kind,
            input,
            output,
            window,
            macs: macs[row],
            elems_in: match ops[row] {
                _ if moves => written[row],
                // boxes are made from shapes alone
                "PriorBox" => 0,
                _ => read[row],
            },
            elems_out: written[row],
            weights: weights[row],
            act: None,
            fused_norm: false,
            fused_add: false,
        });
    }
    let shared = networks.into_iter().map(|(name, k)| (name, Arc::from(k)));
    Ok(shared.collect())
}

struct Facts<'a> {
    window: &'a Window,
    input: Shape,
    output: Shape,
    pool: Option<&'a str>,
    gate: bool,
}

/// The kind of an operator; `None` where it costs nothing.
fn kind(op: &str, facts: &Facts) -> Option<KernelKind> {
    use KernelKind::*;
    let to_one = facts.output.hw() == (1, 1) && facts.input.hw() != (1, 1);
    Some(match op {
        "Convolution" | "ConvolutionDepthWise" | "convolution" | "conv" => KernelKind::of_conv(
            facts.window,
            facts.input.channels(),
            facts.output.channels(),
        ),
        "DeconvolutionDepthWise" => DepthwiseOther,
        "InnerProduct" | "Gemm" | "addmm" | "mm" | "bmm" | "linear" => Linear,
        "Pooling" if to_one => GlobalPool,
        "Pooling" if facts.pool == Some("avg") => AvgPool,
        "Pooling" | "max_pool2d_with_indices" | "max_pool" => MaxPool,
        "avg_pool2d" | "avg_pool" | "adaptive_avg_pool" => AvgPool,
        "mean" | "sum" | "var" | "Reduction" | "global_avg_pool" | "global_max_pool" => GlobalPool,
        "BinaryOp" | "Eltwise" if facts.gate => Mul,
        "BinaryOp" | "Eltwise" | "add" | "add_" => Add,
        "mul" | "div" => Mul,
        "ReLU" | "relu" | "relu_" | "hardtanh" | "hardtanh_" | "leaky_relu" | "leaky_relu_"
        | "clamp_min" | "relu6" | "prelu" => Act,
        "HardSwish" | "HardSigmoid" | "hardswish_" | "hardsigmoid" | "hswish" | "hsigmoid" => {
            ActHard
        }
        "Swish" | "Sigmoid" | "GELU" | "Softmax" | "silu" | "silu_" | "sigmoid" => ActExp,
        "BatchNorm" | "native_batch_norm" | "batch_norm" => Norm,
        "Concat" | "cat" | "stack" | "concat" => Concat,
        "Slice" | "Crop" | "Permute" | "Padding" | "clone" | "constant_pad_nd"
        | "reflection_pad2d" | "slice" | "pad" | "transpose" => Copy,
        "ShuffleChannel" | "shuffle" => Shuffle,
        "Interp" | "upsample_nearest2d" | "upsample" => Upsample,
        "Split" | "Input" | "Flatten" | "Reshape" | "Noop" | "MemoryData" | "Dropout"
        | "as_strided_" | "input" | "flatten" | "dropout" => return None,
        _ => Other,
    })
}
