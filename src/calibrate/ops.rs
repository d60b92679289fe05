//! Operator tables as kernels: a row an operator, with shapes, as traced from a model or read from a network file.
//!
//! The rows are what the runtime runs, so nothing is fused here. Names of ncnn's layers, of ATen's operators and of this
//! program's ops are understood; what no kind of kernel describes is called `other`.
//!
//! Invariant: no cell is guessed. Where work, or the shape of a convolution, is missing, the table is refused.

use super::error::CalibrateError;
use crate::base::diag::nearest;
use crate::base::table::{Table, TableError};
use crate::fuse::{Kernel, KernelKind, Window};
use crate::ir::Shape;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Networks of an operator table by name; where the table has `img_size`, by `name@size`.
///
/// Needs columns `network` (or `model`), `op`, `macs`, `weights` (or `w`), `cin, hin, win, cout, hout, wout, in_elems,
/// out_elems, groups` and the window: `kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w` (or `kh, kw, sh, sw,
/// dh, dw`). Windows and groups are read for convolutions, MACs and weights for convolutions and linear layers; heights and
/// widths may be missing where there is no map.
///
/// # Errors
/// Where a column is not there or holds another type; where a cell is missing, cannot be, or names no operator.
pub fn networks(table: &Table) -> Result<BTreeMap<String, Arc<[Kernel]>>, CalibrateError> {
    let known: HashMap<&str, As> = OPERATORS.iter().copied().collect();
    let names = table.all_texts(either(table, "network", "model"))?;
    let ops = table.all_texts("op")?;
    let sizes = match table.get("img_size") {
        Some(_) => Some(Numbers::of(table, "img_size")?),
        None => None,
    };
    let pools = match table.get("pool_type") {
        Some(_) => Some(table.texts("pool_type")?),
        None => None,
    };
    let numbers = |long, short| Numbers::of(table, either(table, long, short));
    let columns = Columns {
        window: [
            numbers("kernel_h", "kh")?,
            numbers("kernel_w", "kw")?,
            numbers("stride_h", "sh")?,
            numbers("stride_w", "sw")?,
            numbers("dilation_h", "dh")?,
            numbers("dilation_w", "dw")?,
            numbers("groups", "groups")?,
        ],
        input: [
            numbers("cin", "cin")?,
            numbers("hin", "hin")?,
            numbers("win", "win")?,
        ],
        output: [
            numbers("cout", "cout")?,
            numbers("hout", "hout")?,
            numbers("wout", "wout")?,
        ],
        macs: numbers("macs", "macs")?,
        weights: numbers("weights", "w")?,
        read: numbers("in_elems", "in_elems")?,
        written: numbers("out_elems", "out_elems")?,
    };
    let mut networks: BTreeMap<String, Vec<Kernel>> = BTreeMap::new();
    for (row, (&name, &op)) in names.iter().zip(&ops).enumerate() {
        let name = match &sizes {
            Some(sizes) => Cow::Owned(format!("{name}@{}", sizes.at(row)?)),
            None => Cow::Borrowed(name),
        };
        let pool = pools.and_then(|p| p.get(row)).and_then(Option::as_deref);
        let taken = *known.get(op).ok_or_else(|| unknown(table, row, op))?;
        if !networks.contains_key(name.as_ref()) {
            networks.insert(name.clone().into_owned(), Vec::new());
        }
        if let (Some(mut kernel), Some(network)) = (
            columns.kernel(row, taken, pool)?,
            networks.get_mut(name.as_ref()),
        ) {
            let next = names.get(row + 1).zip(ops.get(row + 1));
            let conv =
                next.is_some_and(|(n, op)| *n == names[row] && known.get(op) == Some(&As::Conv));
            if kernel.kind == KernelKind::Norm && conv {
                columns.norm_of_weights(&mut kernel, row + 1)?;
            }
            network.push(kernel);
        }
    }
    let shared = networks.into_iter().map(|(name, k)| (name, Arc::from(k)));
    Ok(shared.collect())
}

/// The first name where there is such a column, else the second.
fn either(table: &Table, long: &'static str, short: &'static str) -> &'static str {
    if table.get(long).is_some() || table.get(short).is_none() {
        long
    } else {
        short
    }
}

fn unknown(table: &Table, row: usize, op: &str) -> TableError {
    let near = nearest(op, OPERATORS.iter().map(|o| o.0));
    let hint = near.map_or(String::new(), |near| format!(" (did you mean \"{near}\"?)"));
    let expected =
        format!("an operator of ATen, of ncnn or of `blocksmith blocks`, or \"other\"{hint}");
    table.wrong("op", row, &format!("\"{op}\""), &expected)
}

/// A column of counts.
struct Numbers<'a> {
    table: &'a Table,
    name: &'static str,
    cells: Cow<'a, [Option<i64>]>,
}

impl<'a> Numbers<'a> {
    fn of(table: &'a Table, name: &'static str) -> Result<Self, TableError> {
        let cells = table.wholes(name)?;
        Ok(Self { table, name, cells })
    }

    fn wrong(&self, row: usize, got: &str, expected: &str) -> TableError {
        self.table.wrong(self.name, row, got, expected)
    }

    /// The number, where there is one.
    fn get(&self, row: usize) -> Result<Option<u64>, TableError> {
        match self.cells.get(row).copied().flatten() {
            None => Ok(None),
            Some(x) => match u64::try_from(x) {
                Ok(x) => Ok(Some(x)),
                Err(_) => Err(self.wrong(row, &x.to_string(), "0 or more")),
            },
        }
    }

    /// The number, which has to be there.
    fn at(&self, row: usize) -> Result<u64, TableError> {
        let missing = || self.wrong(row, "nothing", "a number");
        self.get(row)?.ok_or_else(missing)
    }

    /// A length: at least 1.
    fn length(&self, row: usize) -> Result<u32, TableError> {
        let x = self.at(row)?;
        let length = u32::try_from(x).ok().filter(|&x| x > 0);
        length.ok_or_else(|| self.wrong(row, &x.to_string(), "1 or more, below 2^32"))
    }

    /// A length where there is one, else 1.
    fn length_or_one(&self, row: usize) -> Result<u32, TableError> {
        match self.get(row)? {
            None | Some(0) => Ok(1),
            Some(_) => self.length(row),
        }
    }
}

struct Columns<'a> {
    window: [Numbers<'a>; 7],
    input: [Numbers<'a>; 3],
    output: [Numbers<'a>; 3],
    macs: Numbers<'a>,
    weights: Numbers<'a>,
    read: Numbers<'a>,
    written: Numbers<'a>,
}

impl Columns<'_> {
    /// A norm right before a convolution, of as many elements as that has weights, one row of them a channel, normalises the
    /// weights: once a run, whatever the batch.
    fn norm_of_weights(&self, norm: &mut Kernel, conv: usize) -> Result<(), TableError> {
        let elems = norm.elems_out;
        let flat = norm.output.hw().1 == 1;
        if flat && self.weights.get(conv)? == Some(elems) {
            (norm.elems_in, norm.elems_out, norm.weights) = (0, 0, elems);
        }
        Ok(())
    }

    /// The kernel of a row; `None` where it costs nothing.
    fn kernel(
        &self,
        row: usize,
        taken: As,
        pool: Option<&str>,
    ) -> Result<Option<Kernel>, TableError> {
        let conv = matches!(taken, As::Conv | As::Deconv);
        if taken == As::Free {
            return Ok(None);
        }
        let [mut input, mut output] = [[1u32; 3]; 2];
        let [mut kh, mut kw, mut sh, mut sw, mut dh, mut dw, mut groups] = [1u32; 7];
        for (lengths, columns) in [(&mut input, &self.input), (&mut output, &self.output)] {
            for (length, column) in lengths.iter_mut().zip(columns) {
                *length = if conv {
                    column.length(row)?
                } else {
                    column.length_or_one(row)?
                };
            }
        }
        let cells = [
            &mut kh,
            &mut kw,
            &mut sh,
            &mut sw,
            &mut dh,
            &mut dw,
            &mut groups,
        ];
        for (cell, column) in cells.into_iter().zip(&self.window) {
            *cell = if conv {
                column.length(row)?
            } else {
                column.length_or_one(row)?
            };
        }
        let window = Window {
            kernel_size: [kh, kw],
            stride: [sh, sw],
            dilation: [dh, dw],
            groups,
        };
        let (read, written) = (self.read.at(row)?, self.written.at(row)?);
        let multiplies = conv || taken == As::Kind(KernelKind::Linear);
        let (macs, weights) = if multiplies {
            (self.macs.at(row)?, self.weights.at(row)?)
        } else {
            let or_none = |column: &Numbers| Ok::<_, TableError>(column.get(row)?.unwrap_or(0));
            (or_none(&self.macs)?, or_none(&self.weights)?)
        };
        if conv {
            let taps = u64::from((input[0] / groups).max(1)) * u64::from(kh) * u64::from(kw);
            let most = output.iter().fold(taps, |n, &x| n.saturating_mul(x.into()));
            if macs == most.saturating_mul(2) {
                let expected =
                    format!("the {most} multiply-adds of its shape, a multiply and an add once");
                return Err(self.macs.wrong(row, &macs.to_string(), &expected));
            }
        }
        let to_one = output[1..] == [1, 1] && input[1..] != [1, 1];
        let kind = match taken {
            As::Conv => KernelKind::of_conv(&window, input[0], output[0]),
            As::Deconv => KernelKind::DepthwiseOther,
            As::Pool if to_one => KernelKind::GlobalPool,
            As::Pool if pool == Some("avg") => KernelKind::AvgPool,
            As::Pool => KernelKind::MaxPool,
            As::Binary if read < 2 * written => KernelKind::Mul,
            As::Binary => KernelKind::Add,
            As::Adaptive if to_one => KernelKind::GlobalPool,
            As::Adaptive => KernelKind::AvgPool,
            As::Boxes => KernelKind::Other,
            As::Kind(kind) => kind,
            As::Free => return Ok(None),
        };
        let map = |[c, h, w]: [u32; 3]| Shape::Map { c, h, w };
        Ok(Some(Kernel {
            kind,
            input: map(input),
            output: map(output),
            window,
            macs,
            elems_in: match taken {
                _ if matches!(kind, KernelKind::Concat | KernelKind::Copy) => written,
                // made from shapes alone
                As::Boxes => 0,
                _ => read,
            },
            elems_out: written,
            weights,
            act: None,
            fused_norm: false,
            fused_add: false,
        }))
    }
}

/// What an operator is taken for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum As {
    /// A convolution; its window tells which.
    Conv,
    /// A depthwise convolution that enlarges.
    Deconv,
    /// ncnn's pooling; `pool_type` and the sizes tell which.
    Pool,
    /// A sum of two, or a product with one value a channel: the sizes tell which.
    Binary,
    /// An average pool to a size.
    Adaptive,
    /// Boxes of a detector.
    Boxes,
    /// A kernel of that kind.
    Kind(KernelKind),
    /// Costs nothing.
    Free,
}

/// Names of operators.
static OPERATORS: &[(&str, As)] = {
    use As::*;
    use KernelKind::*;
    &[
        ("Convolution", Conv),
        ("ConvolutionDepthWise", Conv),
        ("convolution", Conv),
        ("conv", Conv),
        ("conv2d", Conv),
        ("DeconvolutionDepthWise", Deconv),
        ("InnerProduct", Kind(Linear)),
        ("Gemm", Kind(Linear)),
        ("addmm", Kind(Linear)),
        ("mm", Kind(Linear)),
        ("bmm", Kind(Linear)),
        ("matmul", Kind(Linear)),
        ("linear", Kind(Linear)),
        ("Pooling", Pool),
        ("max_pool2d_with_indices", Kind(MaxPool)),
        ("max_pool2d", Kind(MaxPool)),
        ("max_pool", Kind(MaxPool)),
        ("avg_pool2d", Kind(AvgPool)),
        ("avg_pool", Kind(AvgPool)),
        ("adaptive_avg_pool", Adaptive),
        ("adaptive_avg_pool2d", Adaptive),
        ("_adaptive_avg_pool2d", Adaptive),
        ("mean", Kind(GlobalPool)),
        ("sum", Kind(GlobalPool)),
        ("var", Kind(GlobalPool)),
        ("Reduction", Kind(GlobalPool)),
        ("global_avg_pool", Kind(GlobalPool)),
        ("global_max_pool", Kind(GlobalPool)),
        ("BinaryOp", Binary),
        ("Eltwise", Binary),
        ("add", Kind(Add)),
        ("add_", Kind(Add)),
        ("sub", Kind(Add)),
        ("mul", Kind(Mul)),
        ("mul_", Kind(Mul)),
        ("div", Kind(Mul)),
        ("zero", Kind(Mul)),
        ("ReLU", Kind(Act)),
        ("PReLU", Kind(Act)),
        ("Clip", Kind(Act)),
        ("relu", Kind(Act)),
        ("relu_", Kind(Act)),
        ("relu6", Kind(Act)),
        ("prelu", Kind(Act)),
        ("_prelu_kernel", Kind(Act)),
        ("clip01", Kind(Act)),
        ("clamp", Kind(Act)),
        ("clamp_min", Kind(Act)),
        ("hardtanh", Kind(Act)),
        ("hardtanh_", Kind(Act)),
        ("leaky_relu", Kind(Act)),
        ("leaky_relu_", Kind(Act)),
        ("HardSwish", Kind(ActHard)),
        ("HardSigmoid", Kind(ActHard)),
        ("hardswish", Kind(ActHard)),
        ("hardswish_", Kind(ActHard)),
        ("hardsigmoid", Kind(ActHard)),
        ("hswish", Kind(ActHard)),
        ("hsigmoid", Kind(ActHard)),
        ("Swish", Kind(ActExp)),
        ("Sigmoid", Kind(ActExp)),
        ("GELU", Kind(ActExp)),
        ("Softmax", Kind(ActExp)),
        ("silu", Kind(ActExp)),
        ("silu_", Kind(ActExp)),
        ("sigmoid", Kind(ActExp)),
        ("sigmoid_", Kind(ActExp)),
        ("BatchNorm", Kind(Norm)),
        ("native_batch_norm", Kind(Norm)),
        ("batch_norm", Kind(Norm)),
        ("Concat", Kind(Concat)),
        ("cat", Kind(Concat)),
        ("stack", Kind(Concat)),
        ("concat", Kind(Concat)),
        ("Slice", Kind(Copy)),
        ("Crop", Kind(Copy)),
        ("Permute", Kind(Copy)),
        ("Padding", Kind(Copy)),
        ("clone", Kind(Copy)),
        ("constant_pad_nd", Kind(Copy)),
        ("reflection_pad2d", Kind(Copy)),
        ("slice", Kind(Copy)),
        ("pad", Kind(Copy)),
        ("transpose", Kind(Copy)),
        ("ShuffleChannel", Kind(Shuffle)),
        ("shuffle", Kind(Shuffle)),
        ("gather", Kind(Shuffle)),
        ("Interp", Kind(Upsample)),
        ("upsample_nearest2d", Kind(Upsample)),
        ("upsample_bilinear2d", Kind(Upsample)),
        ("upsample", Kind(Upsample)),
        ("PriorBox", Boxes),
        ("other", Kind(Other)),
        ("local_response_norm", Kind(Other)),
        ("l2_norm", Kind(Other)),
        ("channel_conv", Kind(Other)),
        ("LRN", Kind(Other)),
        ("LayerNorm", Kind(KernelKind::LayerNorm)),
        ("MultiHeadAttention", Kind(Other)),
        ("DetectionOutput", Kind(Other)),
        ("YoloDetectionOutput", Kind(Other)),
        ("Yolov3DetectionOutput", Kind(Other)),
        ("gelu", Kind(Other)),
        ("native_layer_norm", Kind(KernelKind::LayerNorm)),
        ("native_group_norm", Kind(KernelKind::LayerNorm)),
        ("_softmax", Kind(Other)),
        ("_safe_softmax", Kind(Other)),
        ("linalg_vector_norm", Kind(Other)),
        ("sqrt", Kind(Other)),
        ("rsqrt", Kind(Other)),
        ("pow", Kind(Other)),
        ("sin", Kind(Other)),
        ("cos", Kind(Other)),
        ("cumsum", Kind(Other)),
        ("index", Kind(Other)),
        ("bitwise_not", Kind(Other)),
        ("_to_copy", Kind(Other)),
        ("Split", Free),
        ("Input", Free),
        ("Flatten", Free),
        ("Reshape", Free),
        ("Noop", Free),
        ("MemoryData", Free),
        ("Dropout", Free),
        ("as_strided_", Free),
        ("input", Free),
        ("flatten", Free),
        ("dropout", Free),
        ("view", Free),
        ("list", Free),
    ]
};
