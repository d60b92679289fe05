//! The widths of a network that can change, and what changes with each.
//!
//! Channels come in *parts*: the output of a convolution is one, a concatenation is those of its inputs in a row, a slice
//! is those that it takes (it cuts a part in two where it must), and what is added or multiplied has the same parts on both
//! sides. So a part is a width that can be given a new value, after which the whole network still fits together. Parts
//! that reach an input or output of the network, or an op that is tied to the number of channels, are *fixed*.
//!
//! Widths are found here at equal work: [`Widths::fit`] turns one knob until the multiply-accumulates are what they were.

use super::edit::Edit;
use crate::ir::ops::{Conv, Slice};
use crate::ir::{Graph, Op, Shape, ValueId};

/// A part of the channels, by number.
pub type Part = usize;

/// How far the work of a network with new widths may be from what it was.
const TOLERANCE: f64 = 0.01;

/// How often each width is offered a step up or down.
const PASSES: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Is {
    /// A part; `true` where it is fixed.
    Part(bool),
    /// Another name.
    Same(Part),
    /// Two parts in a row.
    Cut(Part, Part),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    width: u32,
    is: Is,
}

/// A layer's work: `factor * inputs * outputs`, widths summed over parts; no inputs are 1.
#[derive(Clone, Debug)]
struct Term {
    factor: f64,
    inputs: Vec<Part>,
    outputs: Vec<Part>,
}

/// The parts of a graph.
#[derive(Clone, Debug)]
pub struct Widths<'a> {
    graph: &'a Graph,
    entries: Vec<Entry>,
    /// By value.
    layouts: Vec<Vec<Part>>,
    terms: Vec<Term>,
    /// By part: groups that convolutions cut it into, and what its width must be a multiple of besides.
    steps: Vec<[u32; 2]>,
}

impl<'a> Widths<'a> {
    /// The parts of a graph.
    pub fn of(graph: &'a Graph) -> Self {
        let mut widths = Self {
            graph,
            entries: Vec::new(),
            layouts: Vec::with_capacity(graph.nodes().len()),
            terms: Vec::new(),
            steps: Vec::new(),
        };
        for id in graph.ids() {
            let layout = widths.layout(id);
            widths.layouts.push(layout);
            if graph.is_sharer(id) {
                widths.tie_shared(id);
            }
        }
        for output in graph.outputs() {
            widths.fix(&widths.parts(*output));
        }
        widths.count();
        widths
    }

    /// The parts of a value, in order.
    pub fn parts(&self, value: ValueId) -> Vec<Part> {
        self.layouts
            .get(value.index())
            .map_or(Vec::new(), |layout| self.resolve(layout))
    }

    /// The only part of a value, however often it stands there; `None` where there are several, or it is fixed.
    pub fn only_free(&self, value: ValueId) -> Option<Part> {
        let parts = self.parts(value);
        let first = *parts.first()?;
        (self.is_free(first) && parts.iter().all(|p| *p == first)).then_some(first)
    }

    /// Whether a part can have another width.
    pub fn is_free(&self, part: Part) -> bool {
        self.entries
            .get(part)
            .is_some_and(|e| matches!(e.is, Is::Part(false)))
    }

    /// Its width now.
    pub fn width(&self, part: Part) -> u32 {
        self.entries.get(part).map_or(0, |e| e.width)
    }

    fn new_part(&mut self, width: u32, fixed: bool) -> Part {
        let is = Is::Part(fixed);
        self.entries.push(Entry { width, is });
        self.entries.len() - 1
    }

    fn resolve(&self, layout: &[Part]) -> Vec<Part> {
        let mut found = Vec::with_capacity(layout.len());
        let mut open: Vec<Part> = layout.iter().rev().copied().collect();
        while let Some(part) = open.pop() {
            match self.entries.get(part).map(|e| e.is) {
                Some(Is::Same(other)) => open.push(other),
                Some(Is::Cut(first, second)) => open.extend([second, first]),
                Some(Is::Part(_)) | None => found.push(part),
            }
        }
        found
    }

    fn fix(&mut self, parts: &[Part]) {
        for part in parts {
            if let Some(entry) = self.entries.get_mut(*part)
                && let Is::Part(fixed) = &mut entry.is
            {
                *fixed = true;
            }
        }
    }

    /// Cuts a part after `width` channels, fewer than it has.
    fn cut(&mut self, part: Part, width: u32) {
        let Some(Entry {
            width: all,
            is: Is::Part(fixed),
        }) = self.entries.get(part).copied()
        else {
            return;
        };
        let first = self.new_part(width, fixed);
        let second = self.new_part(all - width, fixed);
        if let Some(entry) = self.entries.get_mut(part) {
            entry.is = Is::Cut(first, second);
        }
    }

    /// Makes two layouts of equally many channels one.
    fn tie(&mut self, left: &[Part], right: &[Part]) {
        loop {
            let (a, b) = (self.resolve(left), self.resolve(right));
            let Some((x, y)) = a.iter().zip(&b).find(|(x, y)| x != y) else {
                return;
            };
            let (x, y) = (*x, *y);
            let (wide, narrow) = (self.width(x), self.width(y));
            match wide.cmp(&narrow) {
                std::cmp::Ordering::Greater => self.cut(x, narrow),
                std::cmp::Ordering::Less => self.cut(y, wide),
                std::cmp::Ordering::Equal => {
                    if !self.is_free(y) {
                        self.fix(&[x]);
                    }
                    if let Some(entry) = self.entries.get_mut(y) {
                        entry.is = Is::Same(x);
                    }
                }
            }
        }
    }

    /// The parts of what a node makes.
    fn layout(&mut self, id: ValueId) -> Vec<Part> {
        let graph = self.graph;
        let node = graph.node(id);
        let inputs = graph.inputs(id);
        let made = node.shape.channels();
        let first = inputs.first().map_or(Vec::new(), |x| self.parts(*x));
        match &node.op {
            Op::Input { .. } => vec![self.new_part(made, true)],
            Op::Conv(conv) => {
                let c = graph.first_shape(id).channels();
                if !conv.is_depthwise(c) {
                    return vec![self.new_part(made, false)];
                }
                let times = (made / c.max(1)) as usize;
                let repeat = |part: &Part| std::iter::repeat_n(*part, times);
                first.iter().flat_map(repeat).collect()
            }
            Op::Linear(_) => vec![self.new_part(made, false)],
            Op::Add(_) | Op::Mul(_) => {
                let full = |x: &&ValueId| graph.shape(**x).channels() == made;
                let all: Vec<ValueId> = inputs.iter().filter(full).copied().collect();
                let Some((one, others)) = all.split_first() else {
                    self.fix(&first);
                    return vec![self.new_part(made, true)];
                };
                let one = self.parts(*one);
                for other in others {
                    let other = self.parts(*other);
                    self.tie(&one, &other);
                }
                self.resolve(&one)
            }
            Op::Concat(_) => inputs.iter().flat_map(|x| self.parts(*x)).collect(),
            Op::Slice(slice) => {
                self.cut_at(&first, slice.begin);
                self.cut_at(&first, slice.end);
                let all = self.resolve(&first);
                let mut at = 0;
                let inside = |part: &&Part| {
                    let begin = at;
                    at += self.width(**part);
                    begin >= slice.begin && begin < slice.end
                };
                all.iter().filter(inside).copied().collect()
            }
            Op::Flatten(_) if graph.first_shape(id).channels() == made => first,
            Op::Pad(pad) if pad.channels == [0; 2] => first,
            Op::Flatten(_) | Op::Pad(_) | Op::Transpose(_) | Op::Gather(_) => {
                self.fix(&first);
                vec![self.new_part(made, true)]
            }
            Op::BatchNorm(_)
            | Op::LocalResponseNorm(_)
            | Op::L2Norm(_)
            | Op::Act(_)
            | Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::AdaptiveAvgPool(_)
            | Op::GlobalPool(_)
            | Op::Upsample(_)
            | Op::Shuffle(_)
            | Op::ChannelConv(_)
            | Op::Dropout(_)
            | Op::Zero => first,
        }
    }

    /// Cuts a layout such that a part begins at this channel.
    fn cut_at(&mut self, layout: &[Part], channel: u32) {
        loop {
            let mut at = 0;
            let parts = self.resolve(layout);
            let over = parts.iter().find(|part| {
                let begin = at;
                at += self.width(**part);
                begin < channel && channel < at
            });
            let Some(part) = over else { return };
            let before = at - self.width(*part);
            self.cut(*part, channel - before);
        }
    }

    fn tie_shared(&mut self, id: ValueId) {
        let owner = self.graph.owner(id);
        let (one, other) = (self.parts(owner), self.parts(id));
        self.tie(&one, &other);
        let input = |of: ValueId| self.graph.inputs(of).first().map(|x| self.parts(*x));
        if let (Some(one), Some(other)) = (input(owner), input(id)) {
            self.tie(&one, &other);
        }
    }

    /// Collects the work of layers and what widths must be multiples of.
    fn count(&mut self) {
        let graph = self.graph;
        let live = graph.live();
        let mut steps = vec![[1; 2]; self.entries.len()];
        let mut multiple = |parts: &[Part], of: u32, kind: usize| {
            for part in parts {
                let times = parts.iter().filter(|p| *p == part).count() as u32;
                if let Some(step) = steps.get_mut(*part).and_then(|s| s.get_mut(kind)) {
                    *step = lcm(*step, of / gcd(of, times));
                }
            }
        };
        let mut terms = Vec::new();
        for id in graph.ids() {
            let input = graph.inputs(id).first().map(|x| self.parts(*x));
            let input = input.unwrap_or_default();
            let outputs = self.parts(id);
            let is_live = live.get(id.index()).copied().unwrap_or(false);
            let term = match graph.node(id).op {
                Op::Conv(conv) => {
                    let (h, w) = graph.shape(id).hw();
                    let taps = conv.kernel_size.map(f64::from);
                    let factor = f64::from(h) * f64::from(w) * taps[0] * taps[1];
                    if conv.is_depthwise(graph.first_shape(id).channels()) {
                        Term {
                            factor,
                            inputs: Vec::new(),
                            outputs,
                        }
                    } else {
                        if conv.groups > 1 {
                            multiple(&input, conv.groups, 0);
                            multiple(&outputs, conv.groups, 0);
                        }
                        let factor = factor / f64::from(conv.groups.max(1));
                        Term {
                            factor,
                            inputs: input,
                            outputs,
                        }
                    }
                }
                Op::Linear(_) => Term {
                    factor: 1.0,
                    inputs: input,
                    outputs,
                },
                Op::Shuffle(shuffle) => {
                    multiple(&input, shuffle.groups, 1);
                    continue;
                }
                _ => continue,
            };
            if is_live {
                terms.push(term);
            }
        }
        self.terms = terms;
        self.steps = steps;
    }

    /// Multiply-accumulates with these widths, by part.
    fn macs(&self, widths: &[f64]) -> f64 {
        let sum = |parts: &[Part]| -> f64 {
            parts
                .iter()
                .map(|p| widths.get(*p).copied().unwrap_or(0.0))
                .sum()
        };
        let of = |term: &Term| {
            let inputs = if term.inputs.is_empty() {
                1.0
            } else {
                sum(&term.inputs)
            };
            term.factor * inputs * sum(&term.outputs)
        };
        self.terms.iter().map(of).sum()
    }

    fn now(&self) -> Vec<f64> {
        self.entries.iter().map(|e| f64::from(e.width)).collect()
    }

    /// The graph in which the `free` parts have `width(part, knob)` channels, the knob turned such that the network has
    /// `macs` multiply-accumulates. Widths are rounded to what runtimes like (in each group multiples of 8, of 4 where
    /// they are below 64; or else at least as even as they were), and stepped up or down one by one until the work is as
    /// near as it gets.
    ///
    /// `None` where no knob from 1/64 to 64 has that work, or rounding leads too far from it.
    pub fn fit(&self, free: &[Part], width: impl Fn(Part, f64) -> f64, macs: u64) -> Option<Graph> {
        let target = macs as f64;
        let with = |knob: f64| {
            let mut widths = self.now();
            for part in free {
                if let Some(slot) = widths.get_mut(*part) {
                    *slot = width(*part, knob);
                }
            }
            widths
        };
        let (mut low, mut high) = (1.0f64 / 64.0, 64.0f64);
        if free.is_empty() || self.macs(&with(low)) > target || self.macs(&with(high)) < target {
            return None;
        }
        for _ in 0..60 {
            let middle = (low * high).sqrt();
            if self.macs(&with(middle)) > target {
                high = middle;
            } else {
                low = middle;
            }
        }
        let ideal = with(low);
        let liked: fn(f64, f64) -> f64 = |now, w| match w {
            w if w >= 64.0 => 8.0,
            w if w >= 8.0 => 4.0,
            _ => aligned(now),
        };
        let whole = self.round(&ideal, free, target, liked);
        let whole = whole.or_else(|| self.round(&ideal, free, target, |now, _| aligned(now)));
        self.rebuild(&whole?)
    }

    /// Whole widths near the ideal ones, whose work is the target's; `None` where it is too far off. A part's width is a
    /// multiple of what its groups ask for; in each group, of what `liked` makes of its width now and then.
    fn round(
        &self,
        ideal: &[f64],
        free: &[Part],
        target: f64,
        liked: fn(f64, f64) -> f64,
    ) -> Option<Vec<f64>> {
        let mut widths = ideal.to_vec();
        let mut left: Vec<(f64, Part, f64)> = Vec::new();
        for part in free {
            let wanted = ideal.get(*part).copied().unwrap_or(1.0);
            let [groups, besides] = self.steps.get(*part).copied().unwrap_or([1; 2]);
            let now = f64::from(self.width(*part)) / f64::from(groups);
            let each = liked(now, wanted / f64::from(groups)) as u32;
            let step = f64::from(lcm(groups.saturating_mul(each), besides));
            let whole = (wanted / step).floor().max(1.0) * step;
            if let Some(slot) = widths.get_mut(*part) {
                *slot = whole;
            }
            left.push(((wanted - whole) / step, *part, step));
        }
        // those that lost most first; the number decides between equals
        left.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut off = self.macs(&widths) - target;
        for (_, part, step) in std::iter::repeat_n(&left, PASSES).flatten() {
            let Some(before) = widths.get(*part).copied() else {
                continue;
            };
            let wanted = ideal.get(*part).copied().unwrap_or(before);
            for after in [before + step, before - step] {
                if after <= 0.0 || (after - wanted).abs() > 2.0 * step {
                    continue;
                }
                if let Some(w) = widths.get_mut(*part) {
                    *w = after;
                }
                let then = self.macs(&widths) - target;
                if then.abs() < off.abs() {
                    off = then;
                    break;
                }
                if let Some(w) = widths.get_mut(*part) {
                    *w = before;
                }
            }
        }
        (off.abs() <= TOLERANCE * target).then_some(widths)
    }

    fn rebuild(&self, widths: &[f64]) -> Option<Graph> {
        let graph = self.graph;
        let sum = |parts: &[Part]| -> u32 {
            let width = |p: &Part| widths.get(*p).copied().unwrap_or(0.0);
            parts.iter().map(width).sum::<f64>() as u32
        };
        let mut edit = Edit::default();
        for id in graph.ids() {
            let input = || {
                graph
                    .inputs(id)
                    .first()
                    .map(|x| self.parts(*x))
                    .unwrap_or_default()
            };
            let op = match graph.node(id).op {
                Op::Conv(conv) => {
                    let groups = match conv.is_depthwise(graph.first_shape(id).channels()) {
                        true => sum(&input()),
                        false => conv.groups,
                    };
                    let out_channels = sum(&self.parts(id));
                    Op::Conv(Conv {
                        out_channels,
                        groups,
                        ..conv
                    })
                }
                Op::Slice(slice) => {
                    let parts = input();
                    let place = |channel: u32| {
                        let mut at = 0;
                        let before = |part: &&Part| {
                            let begin = at;
                            at += self.width(**part);
                            begin < channel
                        };
                        let before: Vec<Part> = parts.iter().take_while(before).copied().collect();
                        sum(&before)
                    };
                    Op::Slice(Slice {
                        begin: place(slice.begin),
                        end: place(slice.end),
                    })
                }
                _ => continue,
            };
            if op != graph.node(id).op {
                edit.ops.insert(id, op);
            }
        }
        let new = edit.apply(graph).ok()?.graph;
        // a check of the bookkeeping: what goes in and comes out is what it was
        let shapes =
            |g: &Graph| -> Vec<Shape> { g.outputs().iter().map(|o| g.shape(*o)).collect() };
        (shapes(&new) == shapes(graph)).then_some(new)
    }
}

/// The largest of 4, 2 and 1 that divides a width. What was even stays so, small as it may get: its neighbours in a
/// concatenation count on it.
fn aligned(width: f64) -> f64 {
    let even = [4.0, 2.0].into_iter().find(|n| width % n == 0.0);
    even.unwrap_or(1.0)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

fn lcm(a: u32, b: u32) -> u32 {
    (a / gcd(a, b)).saturating_mul(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::text;

    /// The unit of ShuffleNetV2, with a squeeze-and-excitation gate on its branch: the slice cuts what comes in into
    /// halves, one of which passes through.
    const UNIT: &str = "%0 input 3x8x8 : in\n%1 conv 16x8x8 (%0) k1 : stem\n\
        %2 slice 8x8x8 (%1) 0..8 : left\n%3 slice 8x8x8 (%1) 8..16 : right\n\
        %4 conv 8x8x8 (%3) k1 : a\n%5 conv 8x8x8 (%4) k3 p1 g8 : dw\n\
        %6 global_avg_pool 8x1x1 (%5) : pool\n%7 conv 2x1x1 (%6) k1 : squeeze\n%8 conv 8x1x1 (%7) k1 : expand\n\
        %9 mul 8x8x8 (%5 %8) : gate\n%10 concat 16x8x8 (%2 %9) : cat\n%11 shuffle 16x8x8 (%10) g2 : mix\n\
        %12 conv 16x8x8 (%11) k1 : last\n%13 add 16x8x8 (%12 %10) : sum\n%14 global_avg_pool 16x1x1 (%13) : gap\n\
        %15 flatten 16 (%14) : flat\n%16 linear 5 (%15) : fc\noutput %16\n";

    #[test]
    fn parts_follow_channels_through_slices_sums_and_gates() {
        let graph = text::parse(UNIT).unwrap();
        let widths = Widths::of(&graph);
        let parts = |id: u32| widths.parts(ValueId(id));
        let (left, right) = (parts(2), parts(3));
        assert_eq!(parts(1), [left.clone(), right].concat());
        assert_eq!(parts(5), parts(4), "depthwise keeps");
        assert_eq!(parts(8), parts(5), "a gate is as wide as what it gates");
        assert_eq!(parts(13), [left, parts(5)].concat(), "a sum ties");
        assert_eq!(parts(12), parts(13));
        assert!(widths.only_free(ValueId(0)).is_none(), "the image is fixed");
        assert!(
            widths.only_free(ValueId(16)).is_none(),
            "the output is fixed"
        );
        assert!(widths.only_free(ValueId(12)).is_none(), "two parts");
        assert!(widths.only_free(ValueId(7)).is_some());
    }

    #[test]
    fn the_rest_of_a_network_follows_a_part() {
        let graph = text::parse(UNIT).unwrap();
        let widths = Widths::of(&graph);
        let branch = widths.only_free(ValueId(4)).unwrap();
        // by hand: the branch is 12 wide where it was 8; 64 pixels, and 1 for the gate and the classifier
        let [c, b] = [8, 12];
        let work = 64 * (3 * 16 + c * b + 9 * b + (c + b) * (c + b)) + 2 * 2 * b + 5 * (c + b);
        let wider = widths.fit(&[branch], |_, knob| 8.0 * knob, work).unwrap();
        let wanted = UNIT
            .replace("%4 conv 8x8x8", "%4 conv 12x8x8")
            .replace(
                "%5 conv 8x8x8 (%4) k3 p1 g8",
                "%5 conv 12x8x8 (%4) k3 p1 g12",
            )
            .replace("%6 global_avg_pool 8", "%6 global_avg_pool 12")
            .replace("%8 conv 8", "%8 conv 12")
            .replace("%9 mul 8", "%9 mul 12")
            .replace("%10 concat 16", "%10 concat 20")
            .replace("%11 shuffle 16", "%11 shuffle 20")
            .replace("%12 conv 16", "%12 conv 20")
            .replace("%13 add 16", "%13 add 20")
            .replace("%14 global_avg_pool 16", "%14 global_avg_pool 20")
            .replace("%15 flatten 16", "%15 flatten 20");
        assert_eq!(wider.to_string(), text::parse(&wanted).unwrap().to_string());
        assert!(
            widths.fit(&[branch], |_, knob| 8.0 * knob, 10).is_none(),
            "too little work"
        );
        assert!(widths.fit(&[], |_, knob| knob, work).is_none());
    }
}
