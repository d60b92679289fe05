//! Single operators: a designed sample over classes of kernels.
//!
//! Shares follow where nets spend their time and where a model fitted to fewer errs most: small and odd widths,
//! depthwise and grouped convolutions, maps that no longer fit a cache. The first places are of single operators of all
//! classes; those after them are of what such a sample told least of: PReLU on maps whose signs no processor
//! remembers, dilated depthwise and grouped 1x1 convolutions, wide linear layers, and short chains of kernels. The draw of
//! each place is its own stream, so that a longer list starts with the shorter one.

use super::item;
use crate::base::rng::{Rng, stream};
use crate::measure::Item;
use rand::RngExt;
use serde_json::{Value, json};

/// How an operator of a class is drawn; `None` where it came out too large.
enum Draw {
    Conv(Shape),
    /// One of these, alone on a map.
    Elementwise(&'static [&'static str]),
    /// One of these, of two maps.
    Join(&'static [&'static str]),
    Of(fn(&mut Rng) -> Option<Drawn>),
}

/// A document and its choices.
type Drawn = (&'static str, Value);

impl Draw {
    fn draw(&self, rng: &mut Rng) -> Option<Drawn> {
        match self {
            Draw::Conv(shape) => conv(rng, *shape),
            Draw::Elementwise(of) => elementwise(rng, of),
            Draw::Join(of) => join(rng, of),
            Draw::Of(draw) => draw(rng),
        }
    }
}

/// Places of [`CLASSES`]; those after them are of [`FURTHER`].
const FIRST: usize = 240;

/// Classes with their shares of the places after the first.
const FURTHER: &[(&str, u32, Draw)] = &[
    ("chain", 9, Draw::Of(chain)),
    ("prelu_wide", 3, Draw::Of(prelu_wide)),
    (
        "depthwise_dilated_s2",
        1,
        Draw::Conv(kernel([3, 3]).depthwise().strided().dilated()),
    ),
    (
        "depthwise_dilated_s1",
        2,
        Draw::Conv(kernel([3, 3]).depthwise().dilated()),
    ),
    ("grouped_pointwise", 3, Draw::Conv(kernel([1, 1]).grouped())),
    ("average", 2, Draw::Of(average)),
    ("upsample", 1, Draw::Of(upsample)),
    ("linear_wide", 1, Draw::Of(linear_wide)),
    ("gate_further", 1, Draw::Join(&["gate"])),
    ("join_further", 1, Draw::Join(&["add", "concat"])),
];

/// Classes with their shares.
const CLASSES: &[(&str, u32, Draw)] = &[
    ("pointwise", 9, Draw::Conv(kernel([1, 1]))),
    ("dense", 8, Draw::Conv(kernel([3, 3]))),
    ("dense_s2", 2, Draw::Conv(kernel([3, 3]).strided())),
    ("large", 2, Draw::Conv(kernel([5, 7]))),
    ("stem", 1, Draw::Of(stem)),
    ("dilated", 2, Draw::Conv(kernel([3, 3]).dilated())),
    ("grouped", 5, Draw::Conv(kernel([1, 3]).grouped())),
    ("depthwise", 6, Draw::Conv(kernel([3, 5]).depthwise())),
    (
        "depthwise_s2",
        2,
        Draw::Conv(kernel([3, 5]).depthwise().strided()),
    ),
    (
        "depthwise_dilated",
        1,
        Draw::Conv(kernel([3, 3]).depthwise().dilated()),
    ),
    ("linear", 2, Draw::Of(linear)),
    ("pool", 3, Draw::Of(pool)),
    (
        "act",
        4,
        Draw::Elementwise(&[
            "relu", "relu6", "prelu", "silu", "hswish", "sigmoid", "hsigmoid",
        ]),
    ),
    ("norm", 1, Draw::Elementwise(&["norm"])),
    (
        "join",
        3,
        Draw::Join(&["add", "add", "mul", "concat", "concat", "concat"]),
    ),
    ("gate", 1, Draw::Join(&["gate"])),
    ("layout", 2, Draw::Of(layout)),
];

/// Multiply-accumulates that one run of an operator may have: a second on the slowest device is enough.
const MAX_MACS: f64 = 6e8;
const MAX_ELEMS: f64 = 2e6;

#[derive(Clone, Copy)]
enum Groups {
    None,
    Some,
    All,
}

#[derive(Clone, Copy)]
struct Shape {
    kernel: [u32; 2],
    stride: u32,
    dilated: bool,
    groups: Groups,
}

/// Dense, of one of these sizes of kernel.
const fn kernel(kernel: [u32; 2]) -> Shape {
    Shape {
        kernel,
        stride: 1,
        dilated: false,
        groups: Groups::None,
    }
}

impl Shape {
    const fn strided(mut self) -> Self {
        self.stride = 2;
        self
    }

    const fn dilated(mut self) -> Self {
        self.dilated = true;
        self
    }

    const fn grouped(mut self) -> Self {
        self.groups = Groups::Some;
        self
    }

    const fn depthwise(mut self) -> Self {
        self.groups = Groups::All;
        self
    }
}

/// `count` operators, classes in proportion to their shares.
pub fn ops(folder: &str, count: usize, seed: u64) -> Vec<Item> {
    let mut items = places(folder, CLASSES, count.min(FIRST), seed);
    items.extend(places(folder, FURTHER, count.saturating_sub(FIRST), seed));
    items
}

fn places(folder: &str, classes: &[(&str, u32, Draw)], count: usize, seed: u64) -> Vec<Item> {
    let shares: u32 = classes.iter().map(|c| c.1).sum();
    let mut items = Vec::with_capacity(count);
    // one place of each class in turn, the class with the largest share left first
    let mut given = vec![0u32; classes.len()];
    for place in 0..count {
        let owed = |at: usize| {
            let share = f64::from(classes[at].1) / f64::from(shares);
            share * (place + 1) as f64 - f64::from(given[at])
        };
        let next = (0..classes.len()).max_by(|a, b| owed(*a).total_cmp(&owed(*b)));
        let Some((at, (class, _, draw))) = next.and_then(|at| Some((at, classes.get(at)?))) else {
            break;
        };
        let mut rng = stream(seed, class, u64::from(given[at]));
        given[at] += 1;
        // a draw that is too large is drawn again
        let drawn = (0..1000).find_map(|_| draw.draw(&mut rng));
        if let Some((file, choices)) = drawn {
            let name = format!("{class} {}", given[at]);
            items.push(item("ops", folder, file, class, name, choices));
        }
    }
    items
}

fn log_uniform(rng: &mut Rng, min: f64, max: f64) -> f64 {
    let at: f64 = rng.random_range(0.0..1.0);
    min * (max / min).powf(at)
}

/// Widths: most are multiples of 8, as designers take them, some of 4, some are odd.
fn width(rng: &mut Rng, min: f64, max: f64) -> u32 {
    let step = match rng.random_range(0..8u32) {
        0 => 1.0,
        1 | 2 => 4.0,
        _ => 8.0,
    };
    let width = (log_uniform(rng, min, max) / step).round().max(1.0) * step;
    width as u32
}

fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> Option<T> {
    let at = rng.random_range(0..of.len().max(1));
    of.get(at).copied()
}

/// Sides of maps: those of 224 and its halves more often than others.
fn side(rng: &mut Rng) -> u32 {
    const USUAL: [u32; 10] = [7, 7, 14, 14, 14, 28, 28, 56, 56, 112];
    match rng.random_range(0..3u32) {
        0 => log_uniform(rng, 4.0, 160.0).round() as u32,
        _ => pick(rng, &USUAL).unwrap_or(14),
    }
}

fn conv(rng: &mut Rng, shape: Shape) -> Option<Drawn> {
    let size = side(rng);
    let kernel_size = pick(rng, &shape.kernel)?;
    let dilation = if shape.dilated {
        pick(rng, &[2u32, 2, 3, 4])?
    } else {
        1
    };
    let (groups, in_width, out_width) = match shape.groups {
        Groups::None => (1, width(rng, 8.0, 1024.0), width(rng, 8.0, 1024.0)),
        Groups::All => (width(rng, 8.0, 1024.0), 1, 1),
        Groups::Some => {
            let groups = pick(rng, &[2u32, 3, 4, 8, 16, 32])?;
            let wide = log_uniform(rng, 4.0, 96.0).round() as u32;
            (groups, wide, wide)
        }
    };
    let out = f64::from(size.div_ceil(shape.stride));
    let [g, i, o] = [groups, in_width, out_width].map(f64::from);
    let taps = f64::from(kernel_size * kernel_size);
    let macs = out * out * taps * g * i * o;
    let elems = g * i * f64::from(size * size) + g * o * out * out;
    let sound = macs <= MAX_MACS && elems <= MAX_ELEMS && g * i * o * taps <= 8e6;
    sound.then(|| {
        let choices = json!({"groups": groups, "in_width": in_width, "out_width": out_width, "size": size,
            "kernel_size": kernel_size, "stride": shape.stride, "dilation": dilation});
        ("conv.json", choices)
    })
}

fn stem(rng: &mut Rng) -> Option<Drawn> {
    let choices = json!({"groups": 1, "in_width": 3, "out_width": width(rng, 16.0, 64.0),
        "size": pick(rng, &[96u32, 128, 160, 192, 224, 256])?, "kernel_size": pick(rng, &[3u32, 3, 7])?,
        "stride": 2, "dilation": 1});
    Some(("conv.json", choices))
}

fn linear(rng: &mut Rng) -> Option<Drawn> {
    let out_features = match rng.random_range(0..2u32) {
        0 => 1000,
        _ => width(rng, 10.0, 2048.0),
    };
    let in_features = width(rng, 16.0, 4096.0);
    Some((
        "linear.json",
        json!({"in_features": in_features, "out_features": out_features}),
    ))
}

/// A map that is neither tiny nor too large.
fn map(rng: &mut Rng) -> Option<(u32, u32)> {
    let (channels, size) = (width(rng, 8.0, 1024.0), side(rng));
    let elems = f64::from(channels) * f64::from(size * size);
    (elems <= MAX_ELEMS).then_some((channels, size))
}

fn pool(rng: &mut Rng) -> Option<Drawn> {
    let op = pick(
        rng,
        &[
            "max3s2", "max3s2", "max2s2", "avg3s2", "avg3s1", "global", "global",
        ],
    )?;
    let (channels, size) = map(rng)?;
    (size >= 4).then(|| {
        (
            "pool.json",
            json!({"channels": channels, "size": size, "op": op}),
        )
    })
}

fn elementwise(rng: &mut Rng, of: &[&'static str]) -> Option<Drawn> {
    let op = pick(rng, of)?;
    let (channels, size) = map(rng)?;
    Some((
        "elementwise.json",
        json!({"channels": channels, "size": size, "op": op}),
    ))
}

fn join(rng: &mut Rng, of: &[&'static str]) -> Option<Drawn> {
    let op = pick(rng, of)?;
    let (channels, size) = map(rng)?;
    Some((
        "join.json",
        json!({"channels": channels, "size": size, "op": op}),
    ))
}

fn layout(rng: &mut Rng) -> Option<Drawn> {
    let op = pick(rng, &["shuffle", "shuffle", "shuffle", "upsample"])?;
    let groups = pick(rng, &[2u32, 2, 3, 4, 8])?;
    let (channels, size) = map(rng)?;
    let width = (channels / groups).max(1);
    (size <= 80).then(|| {
        let choices = json!({"groups": groups, "width": width, "size": size, "op": op});
        ("layout.json", choices)
    })
}

/// A map beyond what branch predictors learn by heart in a loop: in a network the signs are new each time.
fn prelu_wide(rng: &mut Rng) -> Option<Drawn> {
    let (channels, size) = map(rng)?;
    let elems = f64::from(channels) * f64::from(size * size);
    (elems >= 1.5e5).then(|| {
        let choices = json!({"channels": channels, "size": size, "op": "prelu"});
        ("elementwise.json", choices)
    })
}

fn average(rng: &mut Rng) -> Option<Drawn> {
    let op = pick(rng, &["avg3s2", "avg3s2", "avg3s1"])?;
    let (channels, size) = map(rng)?;
    (size >= 4).then(|| {
        let choices = json!({"channels": channels, "size": size, "op": op});
        ("pool.json", choices)
    })
}

fn upsample(rng: &mut Rng) -> Option<Drawn> {
    let (groups, width) = (2, width(rng, 8.0, 256.0));
    let size = side(rng);
    let elems = f64::from(groups * width) * f64::from(4 * size * size);
    (elems <= MAX_ELEMS).then(|| {
        let choices = json!({"groups": groups, "width": width, "size": size, "op": "upsample"});
        ("layout.json", choices)
    })
}

/// Weights that no cache holds.
fn linear_wide(rng: &mut Rng) -> Option<Drawn> {
    let (from, to) = (width(rng, 2048.0, 16384.0), width(rng, 1024.0, 4096.0));
    let choices = json!({"in_features": from, "out_features": to});
    (f64::from(from) * f64::from(to) >= 8e6).then_some(("linear.json", choices))
}

fn chain(rng: &mut Rng) -> Option<Drawn> {
    let op = pick(
        rng,
        &[
            "pointwise",
            "dense",
            "separable",
            "residual",
            "prelu",
            "grouped",
            "split",
            "gather",
            "gate",
        ],
    )?;
    let channels = 4 * (log_uniform(rng, 16.0, 512.0) / 4.0).round() as u32;
    let size = side(rng);
    let elems = f64::from(channels) * f64::from(size * size);
    let pixels = f64::from(size * size);
    let dense = f64::from(channels) * f64::from(channels) * pixels;
    let macs = match op {
        "dense" | "gather" => 9.0 * dense,
        "prelu" => 9.0 * elems,
        "grouped" => dense / 4.0,
        _ => dense,
    };
    // PReLUs until the signs are too many to be learnt by heart, other kernels until maps no longer stay warm by chance
    let wanted = if op == "prelu" { 4e5 } else { 2e5 };
    let rows = (wanted / elems).ceil().clamp(3.0, 16.0);
    (rows * elems <= 4.0 * MAX_ELEMS && rows * macs <= MAX_MACS).then(|| {
        let choices = json!({"channels": channels, "size": size, "rows": rows as u32, "op": op});
        ("chain.json", choices)
    })
}
