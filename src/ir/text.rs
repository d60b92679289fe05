//! The text form of a graph: one node a line, cheap to read, to compare and to write by hand in tests.
//!
//! ```text
//! %0 input 3x8x8 : input
//! %1 conv 8x4x4 (%0) k3 s2 p1 : stem.conv
//! %2 relu 8x4x4 (%1) : stem.act
//! output %2
//! ```
//!
//! A line is `%number op shape (inputs) attributes : name`. The shape gives `out_channels`, `out_features`, the size of an
//! upsampling or adaptive pool and the shape of an input; attributes at their defaults are left out:
//!
//! | written | means | for |
//! |---|---|---|
//! | `k3`, `k3x5` | kernel size; height x width | conv, pools |
//! | `s2` `p1` `d2` | stride (1), padding (0), dilation (1) | conv, pools without `d` |
//! | `g4` | groups (1) | conv, shuffle |
//! | `bias` | has a bias | conv, linear |
//! | `ceil` | rounds the output size up | pools |
//! | `inner` | the divisor leaves out padding | avg_pool |
//! | `bilinear` | instead of nearest | upsample |
//! | `corners` | bilinear, corner on corner | upsample |
//! | `k5` | taps of the filter | channel_conv |
//! | `h0x1` `w2` `c0x4` | zeros above and below, left and right, before and after the channels (0) | pad |
//! | `2..5` | channels 2, 3, 4 | slice |
//! | `eps0.001` | epsilon (1e-5; l2_norm: 1e-12) | batch_norm, l2_norm |
//! | `slope0.1` | slope below zero (0.01) | leaky_relu |
//! | `n5` `alpha0.0001` `beta0.75` `base1.0` | channels in the sum, its weight, exponent, what is added | local_response_norm |
//! | `rate0.2` | share dropped (0) | dropout |
//! | `i1` | number of the input (0) | input |
//! | `of%3` | has the parameters of node 3 | ops with parameters |
//!
//! Names are kept for all nodes or none; a name of other than letters, digits and `_.-` is a JSON string. `inputs a b`
//! names the inputs, `output %2 : name` the outputs. Blank lines and lines from `#` on are skipped. Origins are not in
//! the text.

use super::graph::{Graph, MAX_NODES, ValueId};
use super::ops::{
    Act, AdaptiveAvgPool, Add, AvgPool, BatchNorm, ChannelConv, Concat, Conv, Dropout, Flatten,
    Gather, GlobalPool, L2Norm, LEAKY_SLOPE, Linear, LocalResponseNorm, MaxPool, Mul, Op, Pad,
    PoolKind, Real, Shuffle, Slice, Transpose, Upsample, UpsampleMode,
};
use super::shape::Shape;
use super::verify::{Violation, verify};
use std::fmt::{self, Write};
use std::str::FromStr;

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.input_names().is_empty() {
            f.write_str("inputs")?;
            for name in self.input_names() {
                write!(f, " {}", Name(name))?;
            }
            f.write_char('\n')?;
        }
        for id in self.ids() {
            let node = self.node(id);
            write!(f, "%{} {} {}", id.0, node.op.name(), node.shape)?;
            if let [first, rest @ ..] = self.inputs(id) {
                write!(f, " (%{}", first.0)?;
                for input in rest {
                    write!(f, " %{}", input.0)?;
                }
                f.write_char(')')?;
            }
            write_attributes(f, &node.op)?;
            if self.is_sharer(id) {
                write!(f, " of%{}", self.owner(id).0)?;
            }
            if !self.names().is_empty() {
                write!(f, " : {}", Name(self.name(id)))?;
            }
            f.write_char('\n')?;
        }
        for (place, id) in self.outputs().iter().enumerate() {
            write!(f, "output %{}", id.0)?;
            if let Some(name) = self.output_names().get(place) {
                write!(f, " : {}", Name(name))?;
            }
            f.write_char('\n')?;
        }
        Ok(())
    }
}

struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if !self.0.is_empty() && self.0.chars().all(plain) {
            f.write_str(self.0)
        } else {
            f.write_str(&serde_json::Value::from(self.0).to_string())
        }
    }
}

fn write_pair(
    f: &mut fmt::Formatter<'_>,
    key: char,
    [a, b]: [u32; 2],
    default: u32,
) -> fmt::Result {
    match (a == b, a == default) {
        (true, true) => Ok(()),
        (true, false) => write!(f, " {key}{a}"),
        (false, _) => write!(f, " {key}{a}x{b}"),
    }
}

fn write_flag(f: &mut fmt::Formatter<'_>, flag: &str, set: bool) -> fmt::Result {
    if set { write!(f, " {flag}") } else { Ok(()) }
}

fn write_attributes(f: &mut fmt::Formatter<'_>, op: &Op) -> fmt::Result {
    match op {
        Op::Input { index: 0, .. } => Ok(()),
        Op::Input { index, .. } => write!(f, " i{index}"),
        Op::Conv(c) => {
            write_pair(f, 'k', c.kernel_size, 0)?;
            write_pair(f, 's', c.stride, 1)?;
            write_pair(f, 'p', c.padding, 0)?;
            write_pair(f, 'd', c.dilation, 1)?;
            write_pair(f, 'g', [c.groups; 2], 1)?;
            write_flag(f, "bias", c.bias)
        }
        Op::MaxPool(p) => {
            write_pair(f, 'k', p.kernel_size, 0)?;
            write_pair(f, 's', p.stride, 1)?;
            write_pair(f, 'p', p.padding, 0)?;
            write_flag(f, "ceil", p.ceil_mode)
        }
        Op::AvgPool(p) => {
            write_pair(f, 'k', p.kernel_size, 0)?;
            write_pair(f, 's', p.stride, 1)?;
            write_pair(f, 'p', p.padding, 0)?;
            write_flag(f, "ceil", p.ceil_mode)?;
            write_flag(f, "inner", !p.count_include_pad)
        }
        Op::BatchNorm(bn) if *bn == BatchNorm::default() => Ok(()),
        Op::BatchNorm(bn) => write!(f, " eps{:?}", bn.eps.0),
        Op::Dropout(d) if d.p == Real(0.0) => Ok(()),
        Op::Dropout(d) => write!(f, " rate{:?}", d.p.0),
        Op::L2Norm(n) if *n == L2Norm::default() => Ok(()),
        Op::L2Norm(n) => write!(f, " eps{:?}", n.eps.0),
        Op::LocalResponseNorm(n) => write!(
            f,
            " n{} alpha{:?} beta{:?} base{:?}",
            n.size, n.alpha.0, n.beta.0, n.k.0
        ),
        Op::Act(Act::LeakyRelu(slope)) if *slope != LEAKY_SLOPE => write!(f, " slope{:?}", slope.0),
        Op::Pad(p) => {
            write_pair(f, 'h', p.rows, 0)?;
            write_pair(f, 'w', p.columns, 0)?;
            write_pair(f, 'c', p.channels, 0)
        }
        Op::Upsample(up) => {
            write_flag(f, "bilinear", up.mode == UpsampleMode::Bilinear)?;
            write_flag(f, "corners", up.mode == UpsampleMode::BilinearCorners)
        }
        Op::Linear(l) => write_flag(f, "bias", l.bias),
        Op::Slice(s) => write!(f, " {}..{}", s.begin, s.end),
        Op::Shuffle(s) => write!(f, " g{}", s.groups),
        Op::ChannelConv(k) => write!(f, " k{}", k.kernel_size),
        Op::Act(_)
        | Op::AdaptiveAvgPool(_)
        | Op::GlobalPool(_)
        | Op::Add(_)
        | Op::Mul(_)
        | Op::Concat(_)
        | Op::Transpose(_)
        | Op::Gather(_)
        | Op::Flatten(_)
        | Op::Zero => Ok(()),
    }
}

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
#[non_exhaustive]
pub struct TextError {
    /// The line, from 1; for an invalid graph the last one.
    pub line: usize,
    /// What is wrong.
    pub kind: TextErrorKind,
}

/// Kinds of [`TextError`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextErrorKind {
    /// Something else was expected.
    #[error("expected {expected}, got \"{got}\"")]
    Expected {
        /// What was expected.
        expected: &'static str,
        /// The word that stands there.
        got: String,
    },
    /// No such op.
    #[error("no op is named \"{got}\"")]
    UnknownOp {
        /// The word that stands there.
        got: String,
    },
    /// An attribute that the op does not have, or that stands twice.
    #[error("{op} does not take \"{got}\" here")]
    Attribute {
        /// The op.
        op: String,
        /// The word that stands there.
        got: String,
    },
    /// Names for some, but not all.
    #[error("either all {what} have names or none")]
    SomeNames {
        /// What is named.
        what: &'static str,
    },
    /// The text is well formed, the graph is not.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Violation>),
}

/// Reads the text form; the graph is verified.
///
/// # Errors
/// The first line that is not well formed, or all violations of the graph.
pub fn parse(text: &str) -> Result<Graph, TextError> {
    let mut parts = Parts::default();
    let mut last = 0;
    for (line, content) in (1..).zip(text.lines()) {
        last = line;
        let content = content.trim();
        if !content.is_empty() && !content.starts_with('#') {
            parts
                .line(content)
                .map_err(|kind| TextError { line, kind })?;
        }
    }
    parts
        .finish()
        .map_err(|kind| TextError { line: last, kind })
}

#[derive(Default)]
struct Parts {
    graph: Graph,
    names: Vec<String>,
    outputs: Vec<ValueId>,
    input_names: Vec<String>,
    output_names: Vec<String>,
}

fn expected(expected: &'static str, got: &str) -> TextErrorKind {
    TextErrorKind::Expected {
        expected,
        got: got.chars().take(40).collect(),
    }
}

impl Parts {
    fn line(&mut self, line: &str) -> Result<(), TextErrorKind> {
        if let Some(names) = line.strip_prefix("inputs ") {
            self.input_names = parse_names(names)?;
            return Ok(());
        }
        let (head, name) = match line.split_once(" : ") {
            Some((head, name)) => (head, Some(parse_name(name.trim())?)),
            None => (line, None),
        };
        if let Some(value) = head.strip_prefix("output ") {
            self.outputs.push(parse_id(value.trim())?);
            self.output_names.extend(name);
            return Ok(());
        }
        let (head, inputs) = split_inputs(head)?;
        let mut words = head.split_whitespace();
        let mut next = |what| words.next().ok_or_else(|| expected(what, ""));
        let id = parse_id(next("a node number like %0")?)?;
        let count = self.graph.nodes().len();
        if id.index() != count || count >= MAX_NODES {
            return Err(expected("the next node number", &format!("%{}", id.0)));
        }
        let op = next("an op")?;
        let shape = parse_shape(next("a shape like 3x8x8")?)?;
        let mut attributes = Attributes(words.collect());
        let owner = attributes.number("of%");
        let op = parse_op(op, shape, &mut attributes)?;
        self.graph.push_unchecked(op, shape, &inputs);
        if let Some(owner) = owner {
            self.graph.share_unchecked(id, ValueId(owner));
        }
        self.names.extend(name);
        Ok(())
    }

    fn finish(self) -> Result<Graph, TextErrorKind> {
        let some = |names: &[String], of: usize| !names.is_empty() && names.len() != of;
        if some(&self.names, self.graph.nodes().len()) {
            return Err(TextErrorKind::SomeNames { what: "nodes" });
        }
        if some(&self.output_names, self.outputs.len()) {
            return Err(TextErrorKind::SomeNames { what: "outputs" });
        }
        let mut graph = self.graph;
        graph.set_names(self.names, self.input_names, self.output_names);
        graph.set_outputs(self.outputs);
        verify(&graph).map_err(TextErrorKind::Invalid)?;
        Ok(graph)
    }
}

/// The text without its parenthesis, and the inputs that stand in it.
fn split_inputs(head: &str) -> Result<(String, Vec<ValueId>), TextErrorKind> {
    let Some((before, rest)) = head.split_once('(') else {
        return Ok((head.to_owned(), Vec::new()));
    };
    let (inside, after) = rest
        .split_once(')')
        .ok_or_else(|| expected("a closing parenthesis", rest))?;
    let inputs = inside.split_whitespace().map(parse_id);
    Ok((
        format!("{before} {after}"),
        inputs.collect::<Result<_, _>>()?,
    ))
}

fn parse_id(word: &str) -> Result<ValueId, TextErrorKind> {
    let number = word.strip_prefix('%').and_then(|n| n.parse().ok());
    number
        .map(ValueId)
        .ok_or_else(|| expected("a node number like %0", word))
}

fn parse_name(text: &str) -> Result<String, TextErrorKind> {
    if text.starts_with('"') {
        serde_json::from_str(text).map_err(|_| expected("a name", text))
    } else if text.is_empty() || text.contains(char::is_whitespace) {
        Err(expected("a name", text))
    } else {
        Ok(text.to_owned())
    }
}

/// Names in a row: words and JSON strings.
fn parse_names(mut text: &str) -> Result<Vec<String>, TextErrorKind> {
    let mut names = Vec::new();
    loop {
        text = text.trim_start();
        if text.is_empty() {
            return Ok(names);
        }
        if text.starts_with('"') {
            let mut strings = serde_json::Deserializer::from_str(text).into_iter::<String>();
            let name = strings.next().and_then(Result::ok);
            names.push(name.ok_or_else(|| expected("a name", text))?);
            text = text.get(strings.byte_offset()..).unwrap_or_default();
        } else {
            let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            names.push(name.to_owned());
            text = rest;
        }
    }
}

fn parse_shape(word: &str) -> Result<Shape, TextErrorKind> {
    let numbers: Result<Vec<u32>, _> = word.split('x').map(u32::from_str).collect();
    match numbers.as_deref() {
        Ok([c, h, w]) => Ok(Shape::Map {
            c: *c,
            h: *h,
            w: *w,
        }),
        Ok([n]) => Ok(Shape::Flat { n: *n }),
        _ => Err(expected("a shape like 3x8x8 or 1000", word)),
    }
}

/// The attributes of a line that nobody has taken yet.
struct Attributes<'a>(Vec<&'a str>);

impl<'a> Attributes<'a> {
    fn take<T>(&mut self, read: impl Fn(&'a str) -> Option<T>) -> Option<T> {
        let (place, value) = (self.0.iter().enumerate())
            .find_map(|(place, word)| read(word).map(|value| (place, value)))?;
        self.0.remove(place);
        Some(value)
    }

    fn flag(&mut self, flag: &str) -> bool {
        self.take(|word| (word == flag).then_some(())).is_some()
    }

    fn number<T: FromStr>(&mut self, key: &str) -> Option<T> {
        self.take(|word| word.strip_prefix(key)?.parse().ok())
    }

    fn pair(&mut self, key: &str, default: u32) -> [u32; 2] {
        let read = |word: &str| {
            let value = word.strip_prefix(key)?;
            match value.split_once('x') {
                Some((a, b)) => Some([a.parse().ok()?, b.parse().ok()?]),
                None => value.parse().ok().map(|n| [n; 2]),
            }
        };
        self.take(read).unwrap_or([default; 2])
    }
}

fn parse_op(word: &str, shape: Shape, a: &mut Attributes<'_>) -> Result<Op, TextErrorKind> {
    let pool = |kind| Op::GlobalPool(GlobalPool { kind });
    let op = match word {
        "input" => Op::Input {
            index: a.number("i").unwrap_or(0),
            shape,
        },
        "conv" => Op::Conv(Conv {
            out_channels: shape.channels(),
            kernel_size: a.pair("k", 0),
            stride: a.pair("s", 1),
            padding: a.pair("p", 0),
            dilation: a.pair("d", 1),
            groups: a.number("g").unwrap_or(1),
            bias: a.flag("bias"),
        }),
        "batch_norm" => {
            let eps = a.number("eps").map(Real);
            Op::BatchNorm(eps.map_or_else(BatchNorm::default, |eps| BatchNorm { eps }))
        }
        "max_pool" => Op::MaxPool(MaxPool {
            kernel_size: a.pair("k", 0),
            stride: a.pair("s", 1),
            padding: a.pair("p", 0),
            ceil_mode: a.flag("ceil"),
        }),
        "avg_pool" => Op::AvgPool(AvgPool {
            kernel_size: a.pair("k", 0),
            stride: a.pair("s", 1),
            padding: a.pair("p", 0),
            ceil_mode: a.flag("ceil"),
            count_include_pad: !a.flag("inner"),
        }),
        "adaptive_avg_pool" => Op::AdaptiveAvgPool(AdaptiveAvgPool {
            size: shape.hw().into(),
        }),
        "global_avg_pool" => pool(PoolKind::Avg),
        "global_max_pool" => pool(PoolKind::Max),
        "upsample" => Op::Upsample(Upsample {
            size: shape.hw().into(),
            mode: if a.flag("bilinear") {
                UpsampleMode::Bilinear
            } else if a.flag("corners") {
                UpsampleMode::BilinearCorners
            } else {
                UpsampleMode::Nearest
            },
        }),
        "linear" => Op::Linear(Linear {
            out_features: shape.channels(),
            bias: a.flag("bias"),
        }),
        "add" => Add.into(),
        "mul" => Mul.into(),
        "concat" => Concat.into(),
        "slice" => {
            let read = |word: &str| {
                let (begin, end) = word.split_once("..")?;
                Some((begin.parse().ok()?, end.parse().ok()?))
            };
            let (begin, end) = a
                .take(read)
                .ok_or_else(|| expected("a range of channels like 2..5", ""))?;
            Op::Slice(Slice { begin, end })
        }
        "shuffle" => Op::Shuffle(Shuffle {
            groups: a.number("g").unwrap_or(1),
        }),
        "transpose" => Transpose.into(),
        "gather" => Op::Gather(Gather {
            channels: shape.channels(),
        }),
        "channel_conv" => Op::ChannelConv(ChannelConv {
            kernel_size: a.number("k").unwrap_or(0),
        }),
        "pad" => Op::Pad(Pad {
            rows: a.pair("h", 0),
            columns: a.pair("w", 0),
            channels: a.pair("c", 0),
        }),
        "local_response_norm" => {
            let size = a.number("n").unwrap_or(0);
            let mut real = |key| Real(a.number(key).unwrap_or(1.0));
            Op::LocalResponseNorm(LocalResponseNorm {
                size,
                alpha: real("alpha"),
                beta: real("beta"),
                k: real("base"),
            })
        }
        "l2_norm" => {
            let eps = a.number("eps").map(Real);
            Op::L2Norm(eps.map_or_else(L2Norm::default, |eps| L2Norm { eps }))
        }
        "leaky_relu" => Op::Act(Act::LeakyRelu(a.number("slope").map_or(LEAKY_SLOPE, Real))),
        "flatten" => Flatten.into(),
        "dropout" => Op::Dropout(Dropout {
            p: Real(a.number("rate").unwrap_or(0.0)),
        }),
        "zero" => Op::Zero,
        _ => match Act::from_name(word) {
            Some(act) => Op::Act(act),
            None => {
                return Err(TextErrorKind::UnknownOp {
                    got: word.chars().take(40).collect(),
                });
            }
        },
    };
    match a.0.first() {
        None => Ok(op),
        Some(rest) => Err(TextErrorKind::Attribute {
            op: word.to_owned(),
            got: rest.chars().take(40).collect(),
        }),
    }
}
