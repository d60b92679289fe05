//! Tries out what would fit where a block cannot be made, and tells of it.

use super::super::args::{Arg, Args};
use super::super::lower::{Lower, LowerError, LowerErrorKind};
use super::super::registry::{BlockDef, MAX_INT};
use super::super::suggest::{Change, Failure, Knob, Range, Setting, search};
use super::{Frame, MAX_PARAMS, MAX_STEPS, Scratch, Walk};
use crate::base::diag::{Diagnostic, Fit};
use crate::base::path::JsonPath;
use crate::expr::{Ref, Scalar};
use crate::ir::graph::GraphBuilder;
use crate::ir::ops::Op;
use crate::ir::{Graph, Shape, ShapeError, ValueId};
use crate::space::ast::{Declared, DeclaredKind, Origin, Requirement, Val};
use crate::space::signature::{Literal, ParamKind};
use serde_json::{Value, json};

/// What a declared block's parameter is given, and where; `None` where its default holds.
type Given = Option<(Val, Origin)>;

/// Steps and nodes that one attempt may take.
const ATTEMPT: u32 = 20_000;

/// A listed op or block that could not be made.
pub(super) struct Listed<'a> {
    pub def: &'static BlockDef,
    pub values: &'a [Arg; MAX_PARAMS],
    pub inputs: &'a [ValueId],
}

impl<'p> Walk<'p, '_> {
    /// What would fit a listed op or block. `path` is where a parameter stands or would stand.
    pub(super) fn mend_listed(
        &self,
        node: &Listed<'_>,
        path: impl Fn(usize) -> JsonPath,
        error: &LowerError,
        problem: &mut Diagnostic,
    ) {
        let shapes = self.shapes(node.inputs);
        let Listed { def, values, .. } = *node;
        let width = shapes.first().map_or(1, |s| s.channels());
        let mut knobs: Vec<Knob> = def
            .params
            .iter()
            .zip(values)
            .map(|(param, value)| Knob {
                range: match param.kind {
                    ParamKind::Int { min, max } => Range::Int(min, max.min(MAX_INT)),
                    ParamKind::Pair { min, max } => Range::Pair(min, max.min(MAX_INT)),
                    ParamKind::Real { min, max } => Range::Real(min, max),
                    ParamKind::Bool => Range::Bool,
                    ParamKind::Word(of) => Range::Word(of.len()),
                },
                now: setting(*value),
                guess: guess(param.name, width),
                optional: !param.required && matches!(param.default, None | Some(Literal::Expr(_))),
                usual: Some(setting(Arg::default_of(param))).filter(|s| *s != Setting::Unset),
            })
            .collect();
        let own = knobs.len();
        knobs.extend(input_knobs(&shapes));
        let mut graph = Graph::default();
        let mut attempt = |settings: &[Setting]| {
            let builder = GraphBuilder::reuse(std::mem::take(&mut graph), false);
            let mut lower = Lower::new(builder, String::new());
            lower.steps = MAX_STEPS - ATTEMPT;
            let mut args = [Arg::Unset; MAX_PARAMS];
            for (arg, setting) in args.iter_mut().zip(settings.iter().take(own)) {
                *arg = argument(*setting);
            }
            let shapes = reshaped(&shapes, settings.get(own..).unwrap_or(&[]));
            let outcome = feed(&mut lower, node.inputs, &shapes)
                .and_then(|inputs| (def.lower)(&mut lower, &Args::new(&args), &inputs));
            let (builder, _) = lower.into_parts();
            let nodes = builder.len();
            graph = builder.finish(&[]);
            outcome
                .map(|_| nodes)
                .map_err(|error| failure(def, &error, nodes))
        };
        let found = search(&knobs, &failure(def, error, 0), &mut attempt);
        let own_words =
            matches!(error.kind(), LowerErrorKind::Within(inner) if !inner.hints.is_empty());
        let words = |knob: usize, word: usize| match def.params.get(knob).map(|p| p.kind) {
            Some(ParamKind::Word(of)) => of.get(word).copied().unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        let keys = |knob: usize| match def.params.get(knob) {
            Some(param) => Key::Param(param.name.to_owned(), path(knob)),
            None => Key::input(knob - own),
        };
        tell(problem, &found, own_words, keys, words);
    }

    /// What would fit a block of the document, by the parameters of its use. `origin` is that of the node.
    pub(super) fn mend_declared(
        &self,
        block: usize,
        inputs: &[ValueId],
        (values, args): (&[Scalar], &[Given]),
        origin: Origin,
        problem: &mut Diagnostic,
    ) {
        let program = self.program;
        let Some(declared) = program.space.ast().blocks.get(block) else {
            return;
        };
        let shapes = self.shapes(inputs);
        let width = shapes.first().map_or(1, |s| s.channels());
        let params = || declared.params.iter().zip(values);
        let mut knobs: Vec<Knob> = params()
            .map(|(param, value)| Knob {
                range: match &param.kind {
                    DeclaredKind::Int { min, max } => Range::Int(*min, (*max).min(MAX_INT)),
                    DeclaredKind::Real { min, max } => Range::Real(*min, *max),
                    DeclaredKind::Bool => Range::Bool,
                    DeclaredKind::Word { of } => Range::Word(of.len()),
                },
                now: match (&param.kind, value) {
                    (DeclaredKind::Word { of }, Scalar::Word(x)) => {
                        Setting::Word(of.iter().position(|w| w == x).unwrap_or(0))
                    }
                    (_, Scalar::Int(x)) => Setting::Int(*x),
                    (_, Scalar::Real(x)) => Setting::Real(*x),
                    (_, Scalar::Bool(x)) => Setting::Bool(*x),
                    (_, Scalar::Word(_)) => Setting::Unset,
                },
                guess: guess(&param.name, width),
                optional: false,
                usual: None,
            })
            .collect();
        let own = knobs.len();
        knobs.extend(input_knobs(&shapes));
        let mut memory = Scratch::default();
        let mut attempt = |settings: &[Setting]| {
            let builder = GraphBuilder::reuse(std::mem::take(&mut memory.graph), false);
            memory.clear();
            let scalars = declared.params.iter().zip(settings);
            memory
                .slots
                .extend(scalars.map(|(param, s)| scalar(&param.kind, *s)));
            let mut walk = Walk {
                program,
                assignment: self.assignment,
                lower: Lower::new(builder, String::new()),
                scratch: &mut memory,
                depth: self.depth,
                explain: false,
                shipped: self.shipped,
            };
            walk.lower.steps = MAX_STEPS - ATTEMPT;
            let shapes = reshaped(&shapes, settings.get(own..).unwrap_or(&[]));
            let outcome = match feed(&mut walk.lower, inputs, &shapes) {
                Ok(inputs) => {
                    let inner = Frame {
                        slots: 0,
                        block: Some(block),
                        input: inputs.first().copied(),
                        i: None,
                        copies: 0,
                    };
                    let done = walk.inside(block, &inputs, &inner, origin);
                    done.map(|_| ()).map_err(|problem| problem.message)
                }
                Err(error) => Err(error.kind().to_string()),
            };
            let (builder, _) = walk.lower.into_parts();
            let nodes = builder.len();
            memory.graph = builder.finish(&[]);
            outcome.map(|()| nodes).map_err(|message| Failure {
                rule: without_numbers(&message),
                blamed: None,
                named: Vec::new(),
                nodes,
            })
        };
        let first = Failure {
            rule: without_numbers(&problem.message),
            blamed: required(declared, &problem.message).and_then(blamed),
            named: Vec::new(),
            nodes: 0,
        };
        let found = search(&knobs, &first, &mut attempt);
        if found.is_empty() {
            return;
        }
        // what fits within the body gives way to what fits at its use
        if !problem.fits.is_empty() {
            problem.fits.clear();
            problem.hints.pop();
        }
        let own_words = required(declared, &problem.message).is_some_and(|r| !r.hint.is_empty());
        let words = |knob: usize, word: usize| match declared.params.get(knob).map(|p| &p.kind) {
            Some(DeclaredKind::Word { of }) => of
                .get(word)
                .map(|w| program.space.ast().words.text(*w).to_owned())
                .unwrap_or_default(),
            _ => String::new(),
        };
        let keys = |knob: usize| match declared.params.get(knob) {
            Some(param) => {
                let path = match args.get(knob) {
                    Some(Some((_, origin))) => program.space.path(*origin),
                    _ => program.space.path(origin).key(&param.name),
                };
                Key::Param(param.name.to_string(), path)
            }
            None => Key::input(knob - own),
        };
        tell(problem, &found, own_words, keys, words);
    }

    fn shapes(&self, inputs: &[ValueId]) -> Vec<Shape> {
        inputs.iter().map(|x| self.lower.shape(*x)).collect()
    }
}

/// The requirement that the message tells of.
fn required<'a>(declared: &'a Declared, message: &str) -> Option<&'a Requirement> {
    let rules = &declared.require;
    rules
        .iter()
        .find(|rule| message.ends_with(rule.condition.expr.text()))
}

/// The first parameter that a requirement names.
pub(super) fn blamed(rule: &Requirement) -> Option<usize> {
    let mut refs = rule.condition.expr.refs();
    refs.find_map(|target| match target {
        Ref::Slot(slot) => Some(slot as usize),
        _ => None,
    })
}

/// Width, and height and width of the map, of the first input.
fn input_knobs(shapes: &[Shape]) -> Vec<Knob> {
    let knob = |range, now| Knob {
        range,
        now,
        guess: 1,
        optional: false,
        usual: None,
    };
    let whole = |x: u32| i64::from(x);
    match shapes.first() {
        Some(Shape::Map { c, h, w }) => vec![
            knob(Range::Int(1, MAX_INT), Setting::Int(whole(*c))),
            knob(
                Range::Pair(1, MAX_INT),
                Setting::Pair([whole(*h), whole(*w)]),
            ),
        ],
        Some(Shape::Flat { n }) => vec![knob(Range::Int(1, MAX_INT), Setting::Int(whole(*n)))],
        None => Vec::new(),
    }
}

/// The inputs with the first one changed.
fn reshaped(shapes: &[Shape], settings: &[Setting]) -> Vec<Shape> {
    let mut shapes = shapes.to_vec();
    let size = |x: i64| u32::try_from(x).unwrap_or(1);
    if let Some(first) = shapes.first_mut() {
        for setting in settings {
            match (&mut *first, *setting) {
                (Shape::Map { c, .. }, Setting::Int(x)) => *c = size(x),
                (Shape::Flat { n }, Setting::Int(x)) => *n = size(x),
                (Shape::Map { h, w, .. }, Setting::Pair([a, b])) => {
                    (*h, *w) = (size(a), size(b));
                }
                _ => {}
            }
        }
    }
    shapes
}

/// Inputs of these shapes; those that are one value stay one.
fn feed(l: &mut Lower, ids: &[ValueId], shapes: &[Shape]) -> Result<Vec<ValueId>, LowerError> {
    let mut made: Vec<(ValueId, ValueId)> = Vec::new();
    for (index, (id, shape)) in (0u32..).zip(ids.iter().zip(shapes)) {
        if made.iter().all(|(before, _)| before != id) {
            let shape = *shape;
            made.push((*id, l.push("", Op::Input { index, shape }, &[])?));
        }
    }
    let find = |id: &ValueId| made.iter().find(|(before, _)| before == id);
    Ok(ids.iter().filter_map(find).map(|(_, now)| *now).collect())
}

fn guess(name: &str, width: u32) -> i64 {
    if is_width(name) { i64::from(width) } else { 2 }
}

fn is_width(name: &str) -> bool {
    name.ends_with("channels")
}

fn setting(arg: Arg) -> Setting {
    match arg {
        Arg::Unset => Setting::Unset,
        Arg::Int(x) => Setting::Int(i64::from(x)),
        Arg::Real(x) => Setting::Real(x),
        Arg::Bool(x) => Setting::Bool(x),
        Arg::Word(x) => Setting::Word(usize::from(x)),
        Arg::Pair(pair) => Setting::Pair(pair.map(i64::from)),
    }
}

fn argument(setting: Setting) -> Arg {
    let whole = |x: i64| u32::try_from(x).unwrap_or(0);
    match setting {
        Setting::Unset => Arg::Unset,
        Setting::Int(x) => Arg::Int(whole(x)),
        Setting::Real(x) => Arg::Real(x),
        Setting::Bool(x) => Arg::Bool(x),
        Setting::Word(x) => Arg::Word(u8::try_from(x).unwrap_or(0)),
        Setting::Pair(pair) => Arg::Pair(pair.map(whole)),
    }
}

fn scalar(kind: &DeclaredKind, setting: Setting) -> Scalar {
    match (kind, setting) {
        (DeclaredKind::Word { of }, Setting::Word(x)) => {
            of.get(x).map_or(Scalar::Int(0), |w| Scalar::Word(*w))
        }
        (_, Setting::Int(x)) => Scalar::Int(x),
        (_, Setting::Real(x)) => Scalar::Real(x),
        (_, Setting::Bool(x)) => Scalar::Bool(x),
        _ => Scalar::Int(0),
    }
}

/// What is wrong, and which parameter is to blame for it.
fn failure(def: &BlockDef, error: &LowerError, nodes: usize) -> Failure {
    let slot = |name: &str| def.params.iter().position(|p| p.name == name);
    let (blamed, named) = match error.kind() {
        LowerErrorKind::Shape(shape) => match *shape {
            ShapeError::Indivisible {
                what,
                by,
                value,
                divisor,
                ..
            } => match slot(what) {
                Some(blamed) => (Some(blamed), multiples(value, 0, divisor)),
                None => (slot(by), Vec::new()),
            },
            ShapeError::WindowTooLarge { .. } => (slot("kernel_size"), Vec::new()),
            ShapeError::PaddingTooLarge { .. } => (slot("padding"), Vec::new()),
            ShapeError::SliceRange { .. } => (slot("end"), Vec::new()),
            _ => (None, Vec::new()),
        },
        LowerErrorKind::Indivisible {
            value,
            base,
            divisor,
            ..
        } => (None, multiples(*value, *base, *divisor)),
        LowerErrorKind::Differs { expected: x, .. }
        | LowerErrorKind::TooSmall { least: x, .. }
        | LowerErrorKind::TooLarge { most: x, .. } => (None, vec![i64::from(*x)]),
        _ => (None, Vec::new()),
    };
    Failure {
        rule: without_numbers(&error.kind().to_string()),
        blamed: error.slot.or(blamed),
        named,
        nodes,
    }
}

/// The nearest of `base + k divisor` on both sides.
fn multiples(value: u32, base: u32, divisor: u32) -> Vec<i64> {
    let (value, base, divisor) = (i64::from(value), i64::from(base), i64::from(divisor.max(1)));
    let below = base + (value - base).max(0) / divisor * divisor;
    vec![below, below + divisor]
}

fn without_numbers(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// What a change is made to.
enum Key {
    /// A parameter: its name and place.
    Param(String, JsonPath),
    Width,
    Size,
}

impl Key {
    fn input(k: usize) -> Self {
        if k == 0 { Key::Width } else { Key::Size }
    }
}

/// Adds the changes to a problem: for programs, and, unless the block says the same in its own words, as a hint.
fn tell(
    problem: &mut Diagnostic,
    found: &[Change],
    own_words: bool,
    keys: impl Fn(usize) -> Key,
    words: impl Fn(usize, usize) -> String,
) {
    let value = |knob: usize, setting: Setting| match setting {
        Setting::Unset => Value::Null,
        Setting::Int(x) => x.into(),
        Setting::Real(x) => x.into(),
        Setting::Bool(x) => x.into(),
        Setting::Word(x) => words(knob, x).into(),
        Setting::Pair([a, b]) if a == b => a.into(),
        Setting::Pair(pair) => json!(pair),
    };
    for change in found {
        let mut fits = Vec::new();
        for (knob, setting) in change {
            match (keys(*knob), *setting) {
                (Key::Param(_, path), _) => {
                    fits.push(Fit::new(path.to_string(), value(*knob, *setting)));
                }
                (Key::Size, Setting::Pair([h, w])) => {
                    fits.push(Fit::new("in.h".to_owned(), h.into()));
                    fits.push(Fit::new("in.w".to_owned(), w.into()));
                }
                (_, setting) => fits.push(Fit::new("in.c".to_owned(), value(*knob, setting))),
            }
        }
        problem.fits.push(fits);
    }
    let told = |fit: &Fit| {
        let value = fit.value.to_string();
        problem.hints.iter().any(|hint| hint.contains(&value))
    };
    if own_words && problem.fits.iter().flatten().all(told) {
        return;
    }
    let one = |(knob, setting): &(usize, Setting)| match (keys(*knob), setting) {
        (Key::Param(name, _), Setting::Unset) => format!("leaving out {name:?}"),
        (Key::Param(name, _), _) => format!("{name:?}: {}", value(*knob, *setting)),
        (Key::Size, Setting::Pair([h, w])) => format!("an input of {h}x{w} pixels"),
        (_, setting) => format!("an input of {} channels", value(*knob, *setting)),
    };
    let hint = match found {
        [] => return,
        [change] => match change.as_slice() {
            [single @ (knob, Setting::Int(x))] => match keys(*knob) {
                Key::Param(name, _) if is_width(&name) => {
                    format!("the nearest width that fits is {x}")
                }
                Key::Param(name, _) => format!("the nearest {name} that fits is {x}"),
                _ => format!("{} fits", one(single)),
            },
            several => {
                let parts: Vec<String> = several.iter().map(one).collect();
                let verb = if parts.len() == 1 { "fits" } else { "fit" };
                format!("{} {verb}", parts.join(" together with "))
            }
        },
        several => {
            let values: Vec<String> = several
                .iter()
                .filter_map(|change| change.first())
                .map(|(knob, setting)| value(*knob, *setting).to_string())
                .collect();
            let values = values.join(" and ");
            let knob = several.first().and_then(|c| c.first()).map_or(0, |c| c.0);
            match keys(knob) {
                Key::Param(name, _) if is_width(&name) => {
                    format!("nearest widths that fit are {values}")
                }
                Key::Param(name, _) => format!("nearest values of {name} that fit are {values}"),
                Key::Width => format!("nearest widths of the input that fit are {values}"),
                Key::Size => format!("nearest sizes of the input that fit are {values}"),
            }
        }
    };
    problem.hints.push(hint);
}
