//! Receptive field: which input pixels can reach one output element.
//!
//! Along each axis a value carries the window of input pixels that its element 0 sees, `lo..=hi`, and how far the window
//! moves from one element to the next. A window op of kernel `k`, stride `s`, padding `p`, dilation `d` takes
//! `lo - p jump`, `hi + (d (k - 1) - p) jump`, `jump s`. Conventions:
//! - paths that join see the hull of their windows, the larger step counts;
//! - a global pool, a flatten of more than one pixel, a transposition of more than one row, and an operand that is broadcast along the axis see the whole
//!   input; the *sliding* field ignores that and follows windows only, as papers quote it for a feature map;
//! - padding counts as seen for the sliding field; the true field ends at the input's border;
//! - nearest upsampling divides the step; bilinear also sees one pixel more (where a path through an upsampling joins one
//!   around it, their windows may stand apart by less than one old step, which is not counted);
//! - zeros see nothing;
//! - with several inputs, pixels are those of whichever input a path starts from, and the largest input is the whole.

use crate::ir::ops::UpsampleMode;
use crate::ir::{Graph, Op, ValueId};

/// The window along one axis.
#[derive(Clone, Copy, Debug)]
struct Axis {
    lo: f64,
    hi: f64,
    jump: f64,
    whole: bool,
}

impl Axis {
    const PIXEL: Self = Self {
        lo: 0.0,
        hi: 0.0,
        jump: 1.0,
        whole: false,
    };
    /// Sees nothing.
    const NOTHING: Self = Self {
        lo: f64::INFINITY,
        hi: f64::NEG_INFINITY,
        jump: 0.0,
        whole: false,
    };

    fn window(self, k: u32, s: u32, p: u32, d: u32) -> Self {
        let reach = f64::from(d) * f64::from(k.saturating_sub(1));
        Self {
            lo: self.lo - f64::from(p) * self.jump,
            hi: self.hi + (reach - f64::from(p)) * self.jump,
            jump: self.jump * f64::from(s),
            ..self
        }
    }

    fn gathered(self, size: u32) -> Self {
        Self {
            whole: self.whole || (size > 1 && self.lo <= self.hi),
            ..self
        }
    }

    fn joined(self, other: Self) -> Self {
        Self {
            lo: self.lo.min(other.lo),
            hi: self.hi.max(other.hi),
            jump: self.jump.max(other.jump),
            whole: self.whole || other.whole,
        }
    }

    /// Pixels seen by windows alone. The cast saturates.
    fn sliding(self) -> u64 {
        if self.lo <= self.hi {
            ((self.hi - self.lo).ceil() + 1.0) as u64
        } else {
            0
        }
    }
}

/// The windows of one value, along height and width.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field([Axis; 2]);

impl Field {
    pub(super) const NOTHING: Self = Self([Axis::NOTHING; 2]);

    pub(super) fn joined(self, other: Self) -> Self {
        Self([self.0[0].joined(other.0[0]), self.0[1].joined(other.0[1])])
    }

    /// Pixels seen by windows alone, along height and width.
    pub(super) fn sliding(self) -> [u64; 2] {
        self.0.map(Axis::sliding)
    }

    /// Pixels of an input of this height and width that can matter.
    pub(super) fn within(self, extent: [u32; 2]) -> [u64; 2] {
        let one = |i: usize| {
            let (axis, all) = (self.0[i], u64::from(extent[i]));
            if axis.whole {
                all
            } else {
                axis.sliding().min(all)
            }
        };
        [one(0), one(1)]
    }
}

/// The field of each live node, by node. Returns height and width of the largest input.
pub(super) fn fields(graph: &Graph, last_use: &[u32], fields: &mut Vec<Field>) -> [u32; 2] {
    fields.clear();
    fields.reserve(graph.nodes().len());
    let mut extent = [0u32; 2];
    for (id, node) in graph.ids().zip(graph.nodes()) {
        if last_use[id.index()] == 0 {
            fields.push(Field::NOTHING);
            continue;
        }
        let inputs = graph.inputs(id);
        let first = inputs.first().map(|x| (fields[x.index()], graph.shape(*x)));
        let (Field([y, x]), from) = first.unwrap_or((Field([Axis::PIXEL; 2]), node.shape));
        let field = match &node.op {
            Op::Input { shape, .. } => {
                let (h, w) = shape.hw();
                extent = [extent[0].max(h), extent[1].max(w)];
                Field([Axis::PIXEL; 2])
            }
            Op::Conv(c) => windows([y, x], c.kernel_size, c.stride, c.padding, c.dilation),
            Op::MaxPool(p) => windows([y, x], p.kernel_size, p.stride, p.padding, [1; 2]),
            Op::AvgPool(p) => windows([y, x], p.kernel_size, p.stride, p.padding, [1; 2]),
            Op::AdaptiveAvgPool(p) if p.size != [1; 2] => {
                let ([kh, kw], (h, w)) = (p.window(from.hw()), from.hw());
                let pooled = |axis: Axis, k: u32, old: u32, new: u32| Axis {
                    jump: axis.jump * f64::from(old) / f64::from(new),
                    ..axis.window(k, 1, 0, 1)
                };
                Field([pooled(y, kh, h, p.size[0]), pooled(x, kw, w, p.size[1])])
            }
            Op::Pad(p) => {
                // element 0 lies before the old one
                let moved = |axis: Axis, before: u32| axis.window(1, 1, before, 1);
                Field([moved(y, p.rows[0]), moved(x, p.columns[0])])
            }
            Op::Transpose(_) => Field([y.gathered(from.hw().0), x]),
            Op::GlobalPool(_) | Op::AdaptiveAvgPool(_) | Op::Flatten(_) => {
                let (h, w) = from.hw();
                Field([y.gathered(h), x.gathered(w)])
            }
            Op::Upsample(up) => {
                let (h, w) = from.hw();
                let scaled = |axis: Axis, old: u32, new: u32| Axis {
                    hi: match up.mode {
                        UpsampleMode::Nearest => axis.hi,
                        UpsampleMode::Bilinear | UpsampleMode::BilinearCorners if old > 1 => {
                            axis.hi + axis.jump
                        }
                        UpsampleMode::Bilinear | UpsampleMode::BilinearCorners => axis.hi,
                    },
                    jump: axis.jump * f64::from(old) / f64::from(new),
                    ..axis
                };
                Field([scaled(y, h, up.size[0]), scaled(x, w, up.size[1])])
            }
            Op::Add(_) | Op::Mul(_) | Op::Concat(_) => {
                let (h, w) = node.shape.hw();
                let operand = |id: &ValueId| {
                    let (Field([y, x]), (sh, sw)) = (fields[id.index()], graph.shape(*id).hw());
                    let spread = |axis: Axis, old: u32, new: u32| {
                        axis.gathered(if old == new { 1 } else { new })
                    };
                    Field([spread(y, sh, h), spread(x, sw, w)])
                };
                inputs
                    .iter()
                    .map(operand)
                    .fold(Field::NOTHING, Field::joined)
            }
            Op::Zero => Field::NOTHING,
            Op::BatchNorm(_)
            | Op::LocalResponseNorm(_)
            | Op::L2Norm(_)
            | Op::Act(_)
            | Op::Linear(_)
            | Op::Slice(_)
            | Op::Shuffle(_)
            | Op::Gather(_)
            | Op::ChannelConv(_)
            | Op::Dropout(_) => Field([y, x]),
        };
        fields.push(field);
    }
    extent
}

fn windows([y, x]: [Axis; 2], k: [u32; 2], s: [u32; 2], p: [u32; 2], d: [u32; 2]) -> Field {
    Field([
        y.window(k[0], s[0], p[0], d[0]),
        x.window(k[1], s[1], p[1], d[1]),
    ])
}
