//! Each op in operators of ONNX.

use super::Batch;
use super::error::{OnnxError, OnnxErrorKind};
use super::writer::{Attr, Writer, sizes};
use crate::ir::ops::{
    Act, AdaptiveAvgPool, AvgPool, ChannelConv, Gather, LocalResponseNorm, PoolKind, Shuffle,
    Upsample, UpsampleMode,
};
use crate::ir::{Op, Shape, ValueId};
use crate::weights::Values;

type Result<T = ()> = std::result::Result<T, OnnxError>;

fn wide(pair: [u32; 2]) -> Vec<i64> {
    pair.map(i64::from).to_vec()
}

/// `[top, left, bottom, right]`.
fn sides(before: [u32; 2], after: [u32; 2]) -> Attr<'static> {
    Attr::Ints("pads", [wide(before), wide(after)].concat())
}

/// Writes the node of a live op that is no input.
pub(super) fn node(w: &mut Writer, id: ValueId) -> Result {
    let graph = w.graph();
    let ids = graph.inputs(id);
    let xs: Vec<String> = ids.iter().map(|x| w.value(*x)).collect();
    // every op but an input has one
    let (Some(x), Some(&from)) = (xs.first(), ids.first()) else {
        return Ok(());
    };
    let (x, input, output) = (x.as_str(), graph.shape(from), graph.shape(id));
    let c = i64::from(input.channels());
    // one number a channel, to be spread over the map
    let channels = match input {
        Shape::Map { .. } => vec![c, 1, 1],
        Shape::Flat { .. } => vec![c],
    };
    match graph.node(id).op {
        Op::Input { .. } => {}
        Op::Conv(k) => {
            let [kh, kw] = k.kernel_size.map(i64::from);
            let out = i64::from(k.out_channels);
            let filters = w.param(id, 0, &[out, c / i64::from(k.groups.max(1)), kh, kw])?;
            let bias = if k.bias {
                w.param(id, 1, &[out])?
            } else {
                String::new()
            };
            let inputs = [x, &filters, &bias];
            let attrs = [
                Attr::Ints("kernel_shape", vec![kh, kw]),
                Attr::Ints("strides", wide(k.stride)),
                sides(k.padding, k.padding),
                Attr::Ints("dilations", wide(k.dilation)),
                Attr::Int("group", i64::from(k.groups)),
            ];
            w.last(id, "Conv", &inputs[..2 + usize::from(k.bias)], &attrs);
        }
        Op::BatchNorm(bn) => {
            let mut inputs = vec![x.to_owned()];
            for k in 0..4 {
                inputs.push(w.param(id, k, &[c])?);
            }
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            let eps = Attr::Float("epsilon", bn.eps.0);
            w.last(id, "BatchNormalization", &inputs, &[eps]);
        }
        Op::LocalResponseNorm(norm) => local_response_norm(w, id, norm, x, input),
        Op::L2Norm(norm) => {
            let axes = [Attr::Ints("axes", vec![1]), Attr::Int("keepdims", 1)];
            let length = w.step(id, "length", "ReduceL2", &[x], &axes);
            let least = w.real(norm.eps.0);
            let length = w.step(id, "divisor", "Max", &[&length, &least], &[]);
            let unit = w.step(id, "unit", "Div", &[x, &length], &[]);
            let factors = w.param(id, 0, &channels)?;
            w.last(id, "Mul", &[&unit, &factors], &[]);
        }
        Op::Act(act) => activation(w, id, act, x, &channels)?,
        Op::MaxPool(p) => {
            let after = match p.ceil_mode {
                true => reach(p.kernel_size, p.stride, p.padding, input, output),
                false => p.padding,
            };
            w.last(
                id,
                "MaxPool",
                &[x],
                &windows(p.kernel_size, p.stride, p.padding, after),
            );
        }
        Op::AvgPool(p) => avg_pool(w, id, p, x, input, output),
        Op::AdaptiveAvgPool(p) => adaptive(w, id, p, x, input)?,
        Op::GlobalPool(p) => {
            let kind = match p.kind {
                PoolKind::Avg => "GlobalAveragePool",
                PoolKind::Max => "GlobalMaxPool",
            };
            w.last(id, kind, &[x], &[]);
        }
        Op::Upsample(up) => upsample(w, id, up, x, input),
        Op::Linear(l) => {
            let out = i64::from(l.out_features);
            let matrix = w.param(id, 0, &[out, c])?;
            let bias = if l.bias {
                w.param(id, 1, &[out])?
            } else {
                String::new()
            };
            let inputs = [x, &matrix, &bias];
            let rows = Attr::Int("transB", 1);
            w.last(id, "Gemm", &inputs[..2 + usize::from(l.bias)], &[rows]);
        }
        Op::Add(_) => join(w, id, "Add", &xs),
        Op::Mul(_) => join(w, id, "Mul", &xs),
        Op::Concat(_) if xs.len() == 1 => w.last(id, "Identity", &[x], &[]),
        Op::Concat(_) => {
            let xs: Vec<&str> = xs.iter().map(String::as_str).collect();
            w.last(id, "Concat", &xs, &[Attr::Int("axis", 1)]);
        }
        Op::Slice(s) => {
            let [begin, end, axis] = [s.begin, s.end, 1].map(|n| w.ints(&[i64::from(n)]));
            w.last(id, "Slice", &[x, &begin, &end, &axis], &[]);
        }
        Op::Shuffle(s) => shuffle(w, id, s, x, input),
        Op::Transpose(_) => {
            w.last(
                id,
                "Transpose",
                &[x],
                &[Attr::Ints("perm", vec![0, 2, 1, 3])],
            );
        }
        Op::Pad(p) => {
            let at = |end: usize| [0, p.channels[end], p.rows[end], p.columns[end]];
            let pads = [at(0), at(1)].concat();
            let pads = w.ints(&pads.into_iter().map(i64::from).collect::<Vec<_>>());
            w.last(id, "Pad", &[x, &pads], &[Attr::Text("mode", "constant")]);
        }
        Op::Gather(g) => gather(w, id, g, x, input)?,
        Op::ChannelConv(conv) => channel_conv(w, id, conv, x, input)?,
        Op::Flatten(_) => w.last(id, "Flatten", &[x], &[Attr::Int("axis", 1)]),
        Op::Dropout(d) => {
            let share = w.real(d.p.0);
            w.last(id, "Dropout", &[x, &share], &[]);
        }
        Op::Zero => {
            let shape = w.step(id, "shape", "Shape", &[x], &[]);
            w.last(id, "ConstantOfShape", &[&shape], &[]);
        }
    }
    Ok(())
}

fn activation(w: &mut Writer, id: ValueId, act: Act, x: &str, channels: &[i64]) -> Result {
    let clip = |w: &mut Writer, most: f64| {
        let (low, high) = (w.real(0.0), w.real(most));
        w.last(id, "Clip", &[x, &low, &high], &[]);
    };
    // relu6(x + 3) / 6 is x / 6 + 1 / 2 within 0 and 1, as the operator has it
    let hard = [Attr::Float("alpha", 1.0 / 6.0), Attr::Float("beta", 0.5)];
    match act {
        Act::Relu => w.last(id, "Relu", &[x], &[]),
        Act::Relu6 => clip(w, 6.0),
        Act::Clip01 => clip(w, 1.0),
        Act::Prelu => {
            let slope = w.param(id, 0, channels)?;
            w.last(id, "PRelu", &[x, &slope], &[]);
        }
        Act::Silu => {
            let gate = w.step(id, "gate", "Sigmoid", &[x], &[]);
            w.last(id, "Mul", &[x, &gate], &[]);
        }
        Act::Hswish => w.last(id, "HardSwish", &[x], &[]),
        Act::Sigmoid => w.last(id, "Sigmoid", &[x], &[]),
        Act::Hsigmoid => w.last(id, "HardSigmoid", &[x], &hard),
        Act::LeakyRelu(slope) => {
            w.last(id, "LeakyRelu", &[x], &[Attr::Float("alpha", slope.0)]);
        }
    }
    Ok(())
}

/// The operator takes odd sizes only; an even window, of which PyTorch has the longer half before the channel, is a mean
/// along the channels of the squares.
fn local_response_norm(
    w: &mut Writer,
    id: ValueId,
    norm: LocalResponseNorm,
    x: &str,
    input: Shape,
) {
    let size = i64::from(norm.size);
    if norm.size % 2 == 1 {
        let attrs = [
            Attr::Int("size", size),
            Attr::Float("alpha", norm.alpha.0),
            Attr::Float("beta", norm.beta.0),
            Attr::Float("bias", norm.k.0),
        ];
        return w.last(id, "LRN", &[x], &attrs);
    }
    let squares = w.step(id, "squares", "Mul", &[x, x], &[]);
    let rows = channel_rows(w, id, &squares, input);
    let attrs = [
        Attr::Ints("kernel_shape", vec![size, 1]),
        Attr::Ints("pads", vec![size / 2, 0, (size - 1) / 2, 0]),
        Attr::Int("count_include_pad", 1),
    ];
    let mean = w.step(id, "mean", "AveragePool", &[&rows], &attrs);
    let shape = w.ints(&[vec![0], sizes(input)].concat());
    let mean = w.step(id, "map", "Reshape", &[&mean, &shape], &[]);
    let [alpha, k, beta] = [norm.alpha, norm.k, norm.beta].map(|r| w.real(r.0));
    let scaled = w.step(id, "scaled", "Mul", &[&mean, &alpha], &[]);
    let base = w.step(id, "base", "Add", &[&scaled, &k], &[]);
    let power = w.step(id, "power", "Pow", &[&base, &beta], &[]);
    w.last(id, "Div", &[x, &power], &[]);
}

/// `[n, c, h, w]` as one map of `c` rows, `[n, 1, c, h w]`.
fn channel_rows(w: &mut Writer, id: ValueId, x: &str, input: Shape) -> String {
    let shape = w.ints(&[0, 1, i64::from(input.channels()), -1]);
    w.step(id, "rows", "Reshape", &[x, &shape], &[])
}

fn windows(
    kernel: [u32; 2],
    stride: [u32; 2],
    before: [u32; 2],
    after: [u32; 2],
) -> [Attr<'static>; 3] {
    [
        Attr::Ints("kernel_shape", wide(kernel)),
        Attr::Ints("strides", wide(stride)),
        sides(before, after),
    ]
}

/// Padding below and to the right with which windows that are counted without rounding up are those of ceil mode, where
/// the last starts in the input or the padding before it. That is less than a window.
fn reach(
    kernel: [u32; 2],
    stride: [u32; 2],
    padding: [u32; 2],
    input: Shape,
    output: Shape,
) -> [u32; 2] {
    let ((h, w), (oh, ow)) = (input.hw(), output.hw());
    let axis = |i: usize, size: u32, out: u32| {
        let last = u64::from(out.saturating_sub(1)) * u64::from(stride[i]) + u64::from(kernel[i]);
        let there = u64::from(size) + u64::from(padding[i]);
        u32::try_from(last.saturating_sub(there)).unwrap_or(0)
    };
    [axis(0, h, oh), axis(1, w, ow)]
}

fn avg_pool(w: &mut Writer, id: ValueId, p: AvgPool, x: &str, input: Shape, output: Shape) {
    let (kernel, stride, padding) = (p.kernel_size, p.stride, p.padding);
    let after = match p.ceil_mode {
        true => reach(kernel, stride, padding, input, output),
        false => padding,
    };
    let counts = |yes: bool| Attr::Int("count_include_pad", i64::from(yes));
    let beyond = after[0] > padding[0] || after[1] > padding[1];
    if !(p.count_include_pad && beyond) {
        let [kernel, stride, pads] = windows(kernel, stride, padding, after);
        let attrs = [kernel, stride, pads, counts(p.count_include_pad)];
        return w.last(id, "AveragePool", &[x], &attrs);
    }
    // the padding proper counts, and what a window has beyond it does not: zeros first, then windows that do not count theirs
    let [ph, pw] = padding.map(i64::from);
    let padded = match padding {
        [0, 0] => x.to_owned(),
        _ => {
            let pads = w.ints(&[0, 0, ph, pw, 0, 0, ph, pw]);
            w.step(id, "padded", "Pad", &[x, &pads], &[])
        }
    };
    let left = [0, 1].map(|i| after[i].saturating_sub(padding[i]));
    let [kernel, stride, pads] = windows(kernel, stride, [0; 2], left);
    let attrs = [kernel, stride, pads, counts(false)];
    w.last(id, "AveragePool", &[&padded], &attrs);
}

/// A mean over rows and then over columns: windows of one size where that divides the map, a matrix of shares elsewhere.
fn adaptive(w: &mut Writer, id: ValueId, p: AdaptiveAvgPool, x: &str, input: Shape) -> Result {
    let (h, width) = input.hw();
    let [rows, columns] = p.size;
    if p.size == [1, 1] {
        w.last(id, "GlobalAveragePool", &[x], &[]);
        return Ok(());
    }
    if h % rows == 0 && width % columns == 0 {
        let kernel = [h / rows, width / columns];
        w.last(
            id,
            "AveragePool",
            &[x],
            &windows(kernel, kernel, [0; 2], [0; 2]),
        );
        return Ok(());
    }
    let share = |new: u32, old: u32, i: u32, at: u32| {
        let (new, old, i) = (u64::from(new), u64::from(old), u64::from(i));
        let window = i * old / new..((i + 1) * old).div_ceil(new);
        match window.contains(&u64::from(at)) {
            true => 1.0 / (window.end - window.start) as f32,
            false => 0.0,
        }
    };
    let down = w.reals(id, "rows", [rows, h], |i, at| share(rows, h, i, at))?;
    let along = w.reals(id, "columns", [width, columns], |at, i| {
        share(columns, width, i, at)
    })?;
    let x = w.step(id, "along", "MatMul", &[x, &along], &[]);
    w.last(id, "MatMul", &[&down, &x], &[]);
    Ok(())
}

/// Old pixels are found by ratios of sizes: the operator has the same rule where sizes are given, but for the nearest
/// pixel it divides by a rounded ratio, so that is left to it for whole factors alone.
fn upsample(w: &mut Writer, id: ValueId, up: Upsample, x: &str, input: Shape) {
    let (h, width) = input.hw();
    let [rows, columns] = up.size;
    let whole = rows % h == 0 && columns % width == 0;
    if up.mode == UpsampleMode::Nearest && !whole {
        let pick = |new: u32, old: u32| -> Vec<i64> {
            let at = |i: u32| u64::from(i) * u64::from(old) / u64::from(new);
            (0..new).map(|i| at(i) as i64).collect()
        };
        let (down, along) = (w.ints(&pick(rows, h)), w.ints(&pick(columns, width)));
        let picked = w.step(id, "rows", "Gather", &[x, &down], &[Attr::Int("axis", 2)]);
        return w.last(id, "Gather", &[&picked, &along], &[Attr::Int("axis", 3)]);
    }
    let size = wide(up.size);
    let sizes = match w.batch() {
        Batch::Fixed(n) => {
            let channels = i64::from(input.channels());
            w.ints(&[vec![i64::from(n), channels], size].concat())
        }
        Batch::Dynamic => {
            let ends = [Attr::Int("start", 0), Attr::Int("end", 2)];
            let front = w.step(id, "front", "Shape", &[x], &ends);
            let size = w.ints(&size);
            w.step(
                id,
                "sizes",
                "Concat",
                &[&front, &size],
                &[Attr::Int("axis", 0)],
            )
        }
    };
    let (mode, coordinates) = match up.mode {
        UpsampleMode::Nearest => ("nearest", "asymmetric"),
        UpsampleMode::Bilinear => ("linear", "half_pixel"),
        UpsampleMode::BilinearCorners => ("linear", "align_corners"),
    };
    let attrs = [
        Attr::Text("mode", mode),
        Attr::Text("coordinate_transformation_mode", coordinates),
        Attr::Text("nearest_mode", "floor"),
    ];
    w.last(id, "Resize", &[x, "", "", &sizes], &attrs);
}

/// Two at a time, from the left; a vector beside a map is one value a channel.
fn join(w: &mut Writer, id: ValueId, kind: &str, xs: &[String]) {
    let graph = w.graph();
    let is_flat = |x: &ValueId| matches!(graph.shape(*x), Shape::Flat { .. });
    let ids = graph.inputs(id);
    let mixed = !ids.iter().all(is_flat);
    let mut spread = Vec::with_capacity(xs.len());
    for (x, at) in xs.iter().zip(ids) {
        spread.push(match mixed && is_flat(at) {
            true => {
                let axes = w.ints(&[2, 3]);
                w.step(id, "spread", "Unsqueeze", &[x, &axes], &[])
            }
            false => x.clone(),
        });
    }
    let Some(([first, middle @ ..], last)) = spread.split_last().map(|(l, rest)| (rest, l)) else {
        return;
    };
    let mut sum = first.clone();
    for x in middle {
        sum = w.step(id, "part", kind, &[&sum, x], &[]);
    }
    w.last(id, kind, &[&sum, last], &[]);
}

fn shuffle(w: &mut Writer, id: ValueId, s: Shuffle, x: &str, input: Shape) {
    if s.groups <= 1 {
        return w.last(id, "Identity", &[x], &[]);
    }
    let (rows, columns) = input.hw();
    let [g, c, rows, columns] = [s.groups, input.channels(), rows, columns].map(i64::from);
    let apart = w.ints(&[0, g, c / g, rows, columns]);
    let apart = w.step(id, "apart", "Reshape", &[x, &apart], &[]);
    let swap = [Attr::Ints("perm", vec![0, 2, 1, 3, 4])];
    let swapped = w.step(id, "swapped", "Transpose", &[&apart], &swap);
    let shape = w.ints(&[0, c, rows, columns]);
    w.last(id, "Reshape", &[&swapped, &shape], &[]);
}

fn gather(w: &mut Writer, id: ValueId, g: Gather, x: &str, input: Shape) -> Result {
    let channels = input.channels();
    if let Some(Values::Index(index)) = w.numbers(id, 0) {
        let outside = |k: &&i64| !(0..i64::from(channels)).contains(*k);
        if let Some(&index) = index.iter().find(outside) {
            return Err(OnnxErrorKind::Index { index, channels }.into());
        }
    }
    let index = w.param(id, 0, &[i64::from(g.channels)])?;
    w.last(id, "Gather", &[x, &index], &[Attr::Int("axis", 1)]);
    Ok(())
}

/// The filter stands upright on a map whose rows are the channels.
fn channel_conv(w: &mut Writer, id: ValueId, conv: ChannelConv, x: &str, input: Shape) -> Result {
    let [before, after] = conv.reach();
    let size = [conv.kernel_size, 1];
    let filter = w.param(id, 0, &[1, 1, i64::from(conv.kernel_size), 1])?;
    let rows = channel_rows(w, id, x, input);
    let attrs = [
        Attr::Ints("kernel_shape", wide(size)),
        sides([before, 0], [after, 0]),
    ];
    let made = w.step(id, "filtered", "Conv", &[&rows, &filter], &attrs);
    let shape = w.ints(&[vec![0], sizes(input)].concat());
    w.last(id, "Reshape", &[&made, &shape], &[]);
    Ok(())
}
