//! An oracle: executes a graph with plain loops over single elements and counts what it does as it goes. It knows
//! nothing of the library's formulas: shapes come from windows that are slid until they no longer fit.

use blocksmith::ir::ops::{Act, PoolKind, UpsampleMode};
use blocksmith::ir::{Graph, Op, Shape, ValueId};
use std::collections::HashSet;

/// A value: channels of rows of pixels; a vector is channels of one pixel.
#[derive(Clone, Debug)]
pub struct Value {
    pub flat: bool,
    pub data: Vec<Vec<Vec<f64>>>,
}

/// What was done for one node.
#[derive(Default, Debug)]
pub struct Done {
    /// Keeps no record of what was touched, which takes most of the time.
    quiet: bool,
    pub macs: u64,
    pub other_ops: u64,
    pub read: HashSet<(usize, usize, usize, usize)>,
    pub learned: HashSet<(char, usize)>,
    pub statistics: HashSet<(char, usize)>,
}

pub struct Run {
    pub values: Vec<Option<Value>>,
    pub done: Vec<Done>,
}

impl Value {
    pub fn filled(shape: Shape, f: impl Fn(usize, usize, usize) -> f64) -> Self {
        let (h, w) = shape.hw();
        let row = |c: usize, y: usize| (0..w as usize).map(|x| f(c, y, x)).collect();
        let map = |c: usize| (0..h as usize).map(|y| row(c, y)).collect();
        Self {
            flat: matches!(shape, Shape::Flat { .. }),
            data: (0..shape.channels() as usize).map(map).collect(),
        }
    }

    pub fn dims(&self) -> (usize, usize, usize) {
        (self.data.len(), self.data[0].len(), self.data[0][0].len())
    }

    fn largest(&self) -> f64 {
        let numbers = self.data.iter().flatten().flatten();
        numbers.fold(0.0, |most, x| most.max(x.abs()))
    }

    pub fn shape(&self) -> Shape {
        let (c, h, w) = self.dims();
        if self.flat {
            assert_eq!((h, w), (1, 1));
            return Shape::Flat { n: c as u32 };
        }
        Shape::Map {
            c: c as u32,
            h: h as u32,
            w: w as u32,
        }
    }

    fn map(c: usize, h: usize, w: usize, mut f: impl FnMut(usize, usize, usize) -> f64) -> Self {
        let mut data = vec![vec![vec![0.0; w]; h]; c];
        for (ci, map) in data.iter_mut().enumerate() {
            for (y, row) in map.iter_mut().enumerate() {
                for (x, v) in row.iter_mut().enumerate() {
                    *v = f(ci, y, x);
                }
            }
        }
        Self { flat: false, data }
    }

    fn vector(mut self, flat: bool) -> Self {
        self.flat = flat;
        self
    }
}

/// First places of all windows along an axis, the padding counted negative. A window fits if it ends in the padded
/// input. In ceil mode one may stick out by less than a stride, if it starts before the input ends.
pub fn slide(size: u32, k: u32, s: u32, p: u32, d: u32, ceil: bool) -> Vec<i64> {
    let (size, k, s, p, d) = (size as i64, k as i64, s as i64, p as i64, d as i64);
    let mut starts = Vec::new();
    let mut start = -p;
    loop {
        let sticks_out = start + d * (k - 1) - (size + p - 1);
        let fits = sticks_out <= 0 || (ceil && sticks_out < s && start < size);
        if !fits {
            return starts;
        }
        starts.push(start);
        start += s;
    }
}

/// Weights: positive, so that nothing cancels, and all different.
pub fn weight(node: usize, kind: char, i: usize) -> f64 {
    let x = (node * 7919 + kind as usize * 104_729 + i * 31 + 17) % 1009;
    0.1 + x as f64 / 1009.0
}

/// Which of `channels` a gather picks for its channel `k`.
pub fn index(node: usize, channels: usize, k: usize) -> usize {
    (node * 5 + k * k + 3 * k) % channels
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn relu6(x: f64) -> f64 {
    x.clamp(0.0, 6.0)
}

/// Runs all nodes, dead ones too. `inputs` by input number.
pub fn run(graph: &Graph, inputs: &[Value]) -> Run {
    run_with(graph, inputs, false, 0.0)
}

/// The values alone. Sums are off by up to `noise` of the largest number, as they are where they are rounded.
pub fn values(graph: &Graph, inputs: &[Value], noise: f64) -> Vec<Option<Value>> {
    run_with(graph, inputs, true, noise).values
}

fn run_with(graph: &Graph, inputs: &[Value], quiet: bool, noise: f64) -> Run {
    let mut values: Vec<Option<Value>> = Vec::new();
    let mut done = Vec::new();
    for id in graph.ids() {
        let mut d = Done {
            quiet,
            ..Done::default()
        };
        let args: Vec<&Value> = graph
            .inputs(id)
            .iter()
            .map(|x| values[x.index()].as_ref().unwrap())
            .collect();
        let op = graph.node(id).op;
        let mut value = execute(graph.owner(id), &op, &args, inputs, &mut d);
        let sums = matches!(
            op,
            Op::Conv(_)
                | Op::Linear(_)
                | Op::ChannelConv(_)
                | Op::BatchNorm(_)
                | Op::AvgPool(_)
                | Op::AdaptiveAvgPool(_)
                | Op::GlobalPool(_)
                | Op::Upsample(_)
                | Op::Add(_)
        );
        if sums {
            // of what is summed too, as a sum may cancel
            let summed = args.iter().map(|x| x.largest());
            let most = noise * summed.fold(value.largest(), f64::max);
            let numbers = value.data.iter_mut().flatten().flatten();
            for (i, x) in numbers.enumerate() {
                *x += most * 2.0 * (weight(id.index(), 'n', i) - 0.6);
            }
        }
        values.push(Some(value));
        done.push(d);
    }
    Run { values, done }
}

/// `owner` is the node that owns the weights.
fn execute(owner: ValueId, op: &Op, args: &[&Value], inputs: &[Value], d: &mut Done) -> Value {
    let node = owner.index();
    let learned = |d: &mut Done, kind: char, i: usize| {
        if !d.quiet {
            d.learned.insert((kind, i));
        }
        weight(node, kind, i)
    };
    let read = |d: &mut Done, a: usize, c: usize, y: usize, x: usize| {
        if !d.quiet {
            d.read.insert((a, c, y, x));
        }
        args[a].data[c][y][x]
    };
    let size = |a: usize| args[a].dims();
    match op {
        Op::Input { index, .. } => inputs[*index as usize].clone(),
        Op::Conv(k) => {
            let (ci, h, w) = size(0);
            let (co, g) = (k.out_channels as usize, k.groups as usize);
            let axis = |i: usize, n: usize| {
                let (k, s, p, d) = (k.kernel_size[i], k.stride[i], k.padding[i], k.dilation[i]);
                slide(n as u32, k, s, p, d, false)
            };
            let (ys, xs) = (axis(0, h), axis(1, w));
            let [kh, kw] = k.kernel_size.map(|k| k as usize);
            Value::map(co, ys.len(), xs.len(), |o, oy, ox| {
                let mut sum = if k.bias { learned(d, 'b', o) } else { 0.0 };
                let group = o / (co / g);
                for c in 0..ci / g {
                    for ky in 0..kh {
                        for kx in 0..kw {
                            let t = learned(d, 'w', ((o * (ci / g) + c) * kh + ky) * kw + kx);
                            d.macs += 1;
                            let y = ys[oy] + (ky as i64) * i64::from(k.dilation[0]);
                            let x = xs[ox] + (kx as i64) * i64::from(k.dilation[1]);
                            if (0..h as i64).contains(&y) && (0..w as i64).contains(&x) {
                                let c = group * (ci / g) + c;
                                sum += t * read(d, 0, c, y as usize, x as usize);
                            }
                        }
                    }
                }
                sum
            })
        }
        Op::BatchNorm(bn) => {
            let (c, h, w) = size(0);
            let out = Value::map(c, h, w, |c, y, x| {
                d.statistics.insert(('m', c));
                d.statistics.insert(('v', c));
                let scale = learned(d, 'w', c) / (weight(node, 'v', c) + bn.eps.0).sqrt();
                let shift = learned(d, 'b', c) - scale * weight(node, 'm', c);
                d.other_ops += 2; // times scale, plus shift
                read(d, 0, c, y, x) * scale + shift
            });
            out.vector(args[0].flat)
        }
        Op::Act(act) => {
            let (c, h, w) = size(0);
            let out = Value::map(c, h, w, |c, y, x| {
                d.other_ops += 1;
                let v = read(d, 0, c, y, x);
                match act {
                    Act::Relu => v.max(0.0),
                    Act::Relu6 => relu6(v),
                    Act::Prelu => {
                        let a = learned(d, 'w', c);
                        if v > 0.0 { v } else { a * v }
                    }
                    Act::Silu => v * sigmoid(v),
                    Act::Hswish => v * relu6(v + 3.0) / 6.0,
                    Act::Sigmoid => sigmoid(v),
                    Act::Hsigmoid => relu6(v + 3.0) / 6.0,
                    Act::Clip01 => v.clamp(0.0, 1.0),
                    Act::LeakyRelu(a) => {
                        if v > 0.0 {
                            v
                        } else {
                            a.0 * v
                        }
                    }
                }
            });
            out.vector(args[0].flat)
        }
        Op::MaxPool(p) => {
            let (c, h, w) = size(0);
            let [kh, kw] = p.kernel_size.map(i64::from);
            let axis = |i: usize, n: usize| {
                let (k, s, pad) = (p.kernel_size[i], p.stride[i], p.padding[i]);
                slide(n as u32, k, s, pad, 1, p.ceil_mode)
            };
            let (ys, xs) = (axis(0, h), axis(1, w));
            Value::map(c, ys.len(), xs.len(), |c, oy, ox| {
                let mut most = f64::NEG_INFINITY;
                for y in ys[oy]..ys[oy] + kh {
                    for x in xs[ox]..xs[ox] + kw {
                        d.other_ops += 1;
                        if (0..h as i64).contains(&y) && (0..w as i64).contains(&x) {
                            most = most.max(read(d, 0, c, y as usize, x as usize));
                        }
                    }
                }
                most
            })
        }
        Op::AvgPool(p) => {
            let (c, h, w) = size(0);
            let [kh, kw] = p.kernel_size.map(i64::from);
            let axis = |i: usize, n: usize| {
                let (k, s, pad) = (p.kernel_size[i], p.stride[i], p.padding[i]);
                slide(n as u32, k, s, pad, 1, p.ceil_mode)
            };
            let (ys, xs) = (axis(0, h), axis(1, w));
            let [ph, pw] = p.padding.map(i64::from);
            Value::map(c, ys.len(), xs.len(), |c, oy, ox| {
                let (mut sum, mut inner, mut padded) = (0.0, 0, 0);
                for y in ys[oy]..ys[oy] + kh {
                    for x in xs[ox]..xs[ox] + kw {
                        d.other_ops += 1;
                        if y < h as i64 + ph && x < w as i64 + pw {
                            padded += 1;
                        }
                        if (0..h as i64).contains(&y) && (0..w as i64).contains(&x) {
                            inner += 1;
                            sum += read(d, 0, c, y as usize, x as usize);
                        }
                    }
                }
                sum / f64::from(if p.count_include_pad { padded } else { inner })
            })
        }
        Op::AdaptiveAvgPool(p) => {
            let (c, h, w) = size(0);
            let [nh, nw] = p.size.map(|n| n as usize);
            let window =
                |i: usize, old: usize, new: usize| i * old / new..((i + 1) * old).div_ceil(new);
            Value::map(c, nh, nw, |c, oy, ox| {
                let (mut sum, mut count) = (0.0, 0.0);
                for y in window(oy, h, nh) {
                    for x in window(ox, w, nw) {
                        d.other_ops += 1;
                        count += 1.0;
                        sum += read(d, 0, c, y, x);
                    }
                }
                sum / count
            })
        }
        Op::LocalResponseNorm(norm) => {
            let (c, h, w) = size(0);
            let (n, before) = (norm.size as usize, norm.size as usize / 2);
            Value::map(c, h, w, |i, y, x| {
                let mut sum = 0.0;
                for j in i..i + n {
                    d.other_ops += 1; // a product that is added up
                    if j >= before && j - before < c {
                        sum += read(d, 0, j - before, y, x).powi(2);
                    }
                }
                d.other_ops += 3; // scale and shift, power, quotient
                read(d, 0, i, y, x) / (norm.k.0 + norm.alpha.0 * sum / n as f64).powf(norm.beta.0)
            })
        }
        Op::L2Norm(norm) => {
            let (c, h, w) = size(0);
            Value::map(c, h, w, |i, y, x| {
                let square = |c: usize| args[0].data[c][y][x].powi(2);
                let length = (0..c).map(square).sum::<f64>().sqrt();
                d.other_ops += 4; // square, sum, quotient, product
                learned(d, 'w', i) * read(d, 0, i, y, x) / length.max(norm.eps.0)
            })
        }
        Op::GlobalPool(p) => {
            let (c, h, w) = size(0);
            Value::map(c, 1, 1, |c, _, _| {
                let mut all = Vec::new();
                for y in 0..h {
                    for x in 0..w {
                        d.other_ops += 1;
                        all.push(read(d, 0, c, y, x));
                    }
                }
                match p.kind {
                    PoolKind::Avg => all.iter().sum::<f64>() / all.len() as f64,
                    PoolKind::Max => all.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                }
            })
        }
        Op::Upsample(up) => {
            let (c, h, w) = size(0);
            let [nh, nw] = up.size.map(|n| n as usize);
            Value::map(c, nh, nw, |c, y, x| match up.mode {
                UpsampleMode::Nearest => read(d, 0, c, y * h / nh, x * w / nw),
                UpsampleMode::Bilinear | UpsampleMode::BilinearCorners => {
                    let source = |i: usize, old: usize, new: usize| {
                        let at = match up.mode {
                            UpsampleMode::BilinearCorners if new == 1 => 0.0,
                            UpsampleMode::BilinearCorners => {
                                i as f64 * (old - 1) as f64 / (new - 1) as f64
                            }
                            _ => (i as f64 + 0.5) * old as f64 / new as f64 - 0.5,
                        };
                        let at = at.max(0.0);
                        let low = (at as usize).min(old - 1);
                        (low, (low + 1).min(old - 1), at - low as f64)
                    };
                    let ((y0, y1, fy), (x0, x1, fx)) = (source(y, h, nh), source(x, w, nw));
                    let mut sum = 0.0;
                    for (n, (y, x, part)) in [
                        (y0, x0, (1.0 - fy) * (1.0 - fx)),
                        (y0, x1, (1.0 - fy) * fx),
                        (y1, x0, fy * (1.0 - fx)),
                        (y1, x1, fy * fx),
                    ]
                    .into_iter()
                    .enumerate()
                    {
                        d.other_ops += if n == 0 { 1 } else { 2 }; // a product; then sums too
                        sum += part * read(d, 0, c, y, x);
                    }
                    sum
                }
            })
        }
        Op::Linear(l) => {
            let (n, _, _) = size(0);
            Value::map(l.out_features as usize, 1, 1, |o, _, _| {
                let mut sum = if l.bias { learned(d, 'b', o) } else { 0.0 };
                for i in 0..n {
                    d.macs += 1;
                    sum += learned(d, 'w', o * n + i) * read(d, 0, i, 0, 0);
                }
                sum
            })
            .vector(true)
        }
        Op::Add(_) | Op::Mul(_) => {
            let dims: Vec<_> = (0..args.len()).map(size).collect();
            let largest = |f: fn(&(usize, usize, usize)) -> usize| dims.iter().map(f).max();
            let (c, h, w) = (largest(|d| d.0), largest(|d| d.1), largest(|d| d.2));
            Value::map(c.unwrap(), h.unwrap(), w.unwrap(), |c, y, x| {
                let mut acc = None;
                for (a, (ac, ah, aw)) in dims.iter().enumerate() {
                    let v = read(d, a, c % ac, y % ah, x % aw);
                    acc = Some(match (acc, op) {
                        (None, _) => v,
                        (Some(acc), Op::Add(_)) => acc + v,
                        (Some(acc), _) => acc * v,
                    });
                    d.other_ops += u64::from(a > 0);
                }
                acc.unwrap()
            })
            .vector(args.iter().all(|a| a.flat))
        }
        Op::Concat(_) => {
            let mut data = Vec::new();
            for a in 0..args.len() {
                let (c, h, w) = size(a);
                data.extend(Value::map(c, h, w, |c, y, x| read(d, a, c, y, x)).data);
            }
            Value {
                flat: args[0].flat,
                data,
            }
        }
        Op::Slice(s) => {
            let (_, h, w) = size(0);
            let begin = s.begin as usize;
            Value::map(s.end as usize - begin, h, w, |c, y, x| {
                read(d, 0, begin + c, y, x)
            })
            .vector(args.iter().all(|a| a.flat))
        }
        Op::Shuffle(s) => {
            let (c, h, w) = size(0);
            let (g, n) = (s.groups as usize, c / s.groups as usize);
            // as a matrix of g rows, read column by column
            let order: Vec<usize> = (0..n)
                .flat_map(|col| (0..g).map(move |row| row * n + col))
                .collect();
            Value::map(c, h, w, |c, y, x| read(d, 0, order[c], y, x))
        }
        Op::Gather(g) => {
            let (c, h, w) = size(0);
            Value::map(g.channels as usize, h, w, |k, y, x| {
                d.statistics.insert(('i', k));
                read(d, 0, index(node, c, k), y, x)
            })
            .vector(args[0].flat)
        }
        Op::ChannelConv(conv) => {
            let (c, h, w) = size(0);
            let taps = conv.kernel_size as usize;
            Value::map(c, h, w, |i, y, x| {
                let mut sum = 0.0;
                for j in 0..taps {
                    d.other_ops += 1;
                    let t = learned(d, 'w', j);
                    let at = (i + j).checked_sub((taps - 1) / 2);
                    if let Some(at) = at.filter(|at| *at < c) {
                        sum += t * read(d, 0, at, y, x);
                    }
                }
                sum
            })
        }
        Op::Transpose(_) => {
            let (c, h, w) = size(0);
            Value::map(h, c, w, |a, b, x| read(d, 0, b, a, x))
        }
        Op::Pad(p) => {
            let (c, h, w) = size(0);
            let sides = [p.channels, p.rows, p.columns].map(|s| s.map(|n| n as usize));
            let [[front, back], [top, bottom], [left, right]] = sides;
            let (nc, nh, nw) = (front + c + back, top + h + bottom, left + w + right);
            Value::map(nc, nh, nw, |i, y, x| {
                let inside = (front..front + c).contains(&i)
                    && (top..top + h).contains(&y)
                    && (left..left + w).contains(&x);
                if inside {
                    read(d, 0, i - front, y - top, x - left)
                } else {
                    0.0
                }
            })
        }
        Op::Flatten(_) => {
            let all = args[0].data.iter().flatten().flatten();
            Value {
                flat: true,
                data: all.map(|v| vec![vec![*v]]).collect(),
            }
        }
        Op::Dropout(_) => args[0].clone(),
        Op::Zero => {
            let (c, h, w) = size(0);
            Value::map(c, h, w, |_, _, _| 0.0).vector(args[0].flat)
        }
    }
}
