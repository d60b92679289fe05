//! The passes: what is constant, what is needed, what joins which kernel.

use super::kernel::{Kernel, KernelKind, Window};
use super::rules::{FuseRules, ZeroRule};
use crate::ir::ops::{Act, Op};
use crate::ir::{Graph, Shape, ValueId};

/// What a value depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// On an input.
    Dynamic,
    /// On nothing, and all zero.
    Zero,
    /// On nothing.
    Constant,
}

/// How far a kernel has come; a later op joins only if its own step is later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Step {
    Anchor,
    Normed,
    Added,
    Closed,
}

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct State {
    /// The value that this one is another name of; itself where it is none.
    source: u32,
    /// Needed values that read it, and outputs that are it.
    uses: u32,
    /// The kernel that ends in it.
    kernel: u32,
    /// Last node seen that reads this value and could have an equal twin; `next` chains them.
    readers: u32,
    next: u32,
    flow: Flow,
    needed: bool,
    step: Step,
}

/// Working memory of [`fuse_into`], to be reused.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    states: Vec<State>,
    owners: Vec<ValueId>,
}

/// A kernel that ends in a value, and may still take in an op that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Open {
    /// As far as it goes now.
    pub kernel: Kernel,
    step: Step,
}

/// How a part of a network meets its neighbours: see [`Scratch::ends`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Whether an op of it would join an open kernel before it.
    pub joins: bool,
    /// Whether its output is another name of its input.
    pub through: bool,
    /// Whether what comes later could change what becomes of it, or the other way round.
    pub entangled: bool,
    /// The kernel that a later op could join.
    pub open: Option<Open>,
}

impl Scratch {
    /// The ends of the graph fused last, into `kernels`; it has one input, its first node, and one output.
    pub fn ends(&self, graph: &Graph, kernels: &[Kernel]) -> Ends {
        let state = |id: ValueId| self.states.get(id.index());
        let (Some(first), Some(output)) = (self.states.first(), graph.outputs().first()) else {
            return Ends::default();
        };
        let needed = |id: ValueId| state(id).is_some_and(|s| s.needed && s.source == id.0);
        let joiner = |id: ValueId| {
            let op = &graph.node(id).op;
            matches!(op, Op::BatchNorm(_) | Op::Act(_) | Op::Add(_))
                && needed(id)
                && (graph.inputs(id).iter()).any(|x| state(*x).is_some_and(|s| s.source == 0))
        };
        let last = state(*output).and_then(|s| state(ValueId(s.source)).map(|of| (s, of)));
        let through = last.is_some_and(|(s, _)| s.source == 0 && s.flow == Flow::Dynamic);
        // an equal twin may stand among nodes that nobody needs
        let idle = || {
            graph.ids().any(|id| {
                !matches!(graph.node(id).op, Op::Input { .. })
                    && state(id).is_some_and(|s| s.source == id.0 && !s.needed)
            })
        };
        let entangled =
            last.is_none_or(|(s, _)| s.flow != Flow::Dynamic || (s.source != output.0 && idle()));
        let open = last
            .filter(|(_, of)| !through && of.step < Step::Closed)
            .and_then(|(_, of)| {
                let kernel = *kernels.get(of.kernel as usize)?;
                Some(Open {
                    kernel,
                    step: of.step,
                })
            });
        Ends {
            joins: first.uses == 1 && graph.ids().any(joiner),
            through,
            entangled,
            open,
        }
    }
}

impl Scratch {
    /// For the graph fused last, in a part of a network: its nodes that merge with equal ones of other parts, as they
    /// work on `shared`, a value that other parts read too, or on such nodes. Each comes with the place of its kernel
    /// (none where it takes none), its node and the node it works on (none for `shared`). Where the output is one of
    /// these or `shared` itself, that cannot be told apart, and there is no answer.
    pub fn merging(
        &self,
        graph: &Graph,
        rules: &FuseRules,
        shared: ValueId,
    ) -> Option<Vec<Merging>> {
        let mut found: Vec<Merging> = Vec::new();
        if !rules.merge_equal {
            return Some(found);
        }
        let known = |found: &[Merging], source: u32| {
            source == shared.0 || found.iter().any(|m| m.node.0 == source)
        };
        for id in graph.ids() {
            let (state, first) = (self.states.get(id.index())?, graph.inputs(id).first());
            let on = first.and_then(|x| self.states.get(x.index()));
            let on = on.map(|state| ValueId(state.source));
            if let Some(on) = on
                && state.flow == Flow::Dynamic
                && state.source == id.0
                && state.needed
                && may_merge(&graph.node(id).op)
                && known(&found, on.0)
            {
                found.push(Merging {
                    kernel: (state.kernel != NONE).then_some(state.kernel),
                    node: id,
                    on: (on != shared).then_some(on),
                });
            }
        }
        let output = graph.outputs().first()?;
        let last = self.states.get(output.index())?;
        (*output == shared || !known(&found, last.source)).then_some(found)
    }
}

/// See [`Scratch::merging`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merging {
    /// Its kernel.
    pub kernel: Option<u32>,
    /// The node.
    pub node: ValueId,
    /// The node before it.
    pub on: Option<ValueId>,
}

/// What became of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is part of the kernel of that index (the last one, where a sum of many takes several).
    Kernel(u32),
    /// It costs nothing: an input, a view, or an op that changes nothing.
    Free,
    /// It does not depend on an input, and is computed once.
    Constant,
    /// No output needs it.
    Dead,
}

/// The kernels of a graph, and which node went where.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kernels {
    /// In order of execution.
    pub list: Vec<Kernel>,
    /// By node of the graph.
    pub places: Vec<Place>,
    /// By kernel: the node that it was started for.
    pub owners: Vec<ValueId>,
}

impl Kernels {
    /// The nodes in kernel `index`, in order.
    pub fn nodes(&self, index: usize) -> Vec<ValueId> {
        let mut nodes: Vec<ValueId> = (0u32..)
            .zip(&self.places)
            .filter(|(_, place)| matches!(place, Place::Kernel(k) if *k as usize == index))
            .map(|(id, _)| ValueId(id))
            .collect();
        if let Some(owner) = self.owners.get(index)
            && !nodes.contains(owner)
        {
            nodes.insert(0, *owner);
        }
        nodes
    }
}

/// The kernels that `graph` runs as under `rules`, with the side tables that explain them.
pub fn fuse(graph: &Graph, rules: &FuseRules) -> Kernels {
    let mut scratch = Scratch::default();
    let mut list = Vec::new();
    fuse_into(graph, rules, &mut scratch, &mut list);
    let states = &scratch.states;
    let places = graph
        .ids()
        .map(|id| {
            let state = &states[id.index()];
            let source = &states[state.source as usize];
            let renames = matches!(
                graph.node(id).op,
                Op::Flatten(_)
                    | Op::Dropout(_)
                    | Op::Transpose(_)
                    | Op::Add(_)
                    | Op::Concat(_)
                    | Op::Input { .. }
            );
            match state.flow {
                Flow::Zero | Flow::Constant => Place::Constant,
                Flow::Dynamic if !source.needed => Place::Dead,
                Flow::Dynamic if state.source != id.0 && renames => Place::Free,
                Flow::Dynamic if source.kernel == NONE => Place::Free,
                Flow::Dynamic => Place::Kernel(source.kernel),
            }
        })
        .collect();
    Kernels {
        list,
        places,
        owners: scratch.owners,
    }
}

/// As [`fuse`], but into buffers that are reused, and without side tables.
pub fn fuse_into(
    graph: &Graph,
    rules: &FuseRules,
    scratch: &mut Scratch,
    kernels: &mut Vec<Kernel>,
) {
    fuse_after(graph, rules, None, scratch, kernels);
}

/// As [`fuse_into`], for a part of a network whose input a kernel before it ends in: that kernel comes first in the
/// list, with what joined it.
pub fn fuse_after(
    graph: &Graph,
    rules: &FuseRules,
    before: Option<&Open>,
    scratch: &mut Scratch,
    kernels: &mut Vec<Kernel>,
) {
    kernels.clear();
    scratch.owners.clear();
    trace_constants(graph, rules, &mut scratch.states);
    trace_needs(graph, &mut scratch.states);
    if let (Some(before), Some(input)) = (before, scratch.states.first_mut()) {
        input.kernel = 0;
        input.step = before.step;
        kernels.push(before.kernel);
        scratch.owners.push(ValueId(0));
    }
    let mut fusion = Fusion {
        graph,
        rules,
        states: &mut scratch.states,
        owners: &mut scratch.owners,
        kernels,
    };
    for id in graph.ids() {
        let state = &fusion.states[id.index()];
        if state.needed && state.source == id.0 {
            fusion.place(id);
        }
    }
}

/// Finds what does not depend on an input, and which values are other names of earlier ones.
fn trace_constants(graph: &Graph, rules: &FuseRules, states: &mut Vec<State>) {
    states.clear();
    for id in graph.ids() {
        let node = graph.node(id);
        let inputs = graph.inputs(id);
        let first = inputs.first().map(|i| states[i.index()]);
        let flow = flow(&node.op, inputs, states, rules.zero);
        let mut state = State {
            source: id.0,
            uses: 0,
            kernel: NONE,
            readers: NONE,
            next: NONE,
            flow,
            needed: false,
            step: Step::Closed,
        };
        if flow == Flow::Dynamic
            && let Some(first) = first
        {
            match node.op {
                Op::Flatten(_) | Op::Dropout(_) => state.source = first.source,
                Op::Concat(_) if inputs.len() == 1 => state.source = first.source,
                Op::Transpose(t) if t.moves_nothing(graph.shape(inputs[0])) => {
                    state.source = first.source;
                }
                Op::Add(_) => {
                    let mut rest = inputs
                        .iter()
                        .filter(|i| states[i.index()].flow != Flow::Zero);
                    if let (Some(only), None) = (rest.next(), rest.next())
                        && graph.shape(*only) == node.shape
                    {
                        state.source = states[only.index()].source;
                    }
                }
                op if rules.merge_equal && may_merge(&op) => {
                    let origin = first.source as usize;
                    let mut twin = states[origin].readers;
                    while twin != NONE && graph.node(ValueId(twin)).op != op {
                        twin = states[twin as usize].next;
                    }
                    if twin == NONE {
                        state.next = states[origin].readers;
                        states[origin].readers = id.0;
                    } else {
                        state.source = twin;
                    }
                }
                _ => {}
            }
        }
        states.push(state);
    }
}

/// Whether two of this op on one value are one.
fn may_merge(op: &Op) -> bool {
    match op {
        Op::Act(act) => *act != Act::Prelu,
        Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::AdaptiveAvgPool(_)
        | Op::GlobalPool(_)
        | Op::LocalResponseNorm(_)
        | Op::Upsample(_)
        | Op::Slice(_)
        | Op::Shuffle(_)
        | Op::Transpose(_)
        | Op::Pad(_)
        | Op::Zero => true,
        Op::Input { .. }
        | Op::Conv(_)
        | Op::BatchNorm(_)
        | Op::L2Norm(_)
        | Op::Gather(_)
        | Op::ChannelConv(_)
        | Op::Linear(_)
        | Op::Add(_)
        | Op::Mul(_)
        | Op::Concat(_)
        | Op::Flatten(_)
        | Op::Dropout(_) => false,
    }
}

fn flow(op: &Op, inputs: &[ValueId], states: &[State], rule: ZeroRule) -> Flow {
    let of = |i: &ValueId| states[i.index()].flow;
    let all = |flow: Flow| inputs.iter().all(|i| of(i) == flow);
    let any = |flow: Flow| inputs.iter().any(|i| of(i) == flow);
    // what an op that maps zeros to `zeros_to` makes of its inputs
    let mapped = |zeros_to: Flow| match () {
        () if any(Flow::Dynamic) => Flow::Dynamic,
        () if all(Flow::Zero) => zeros_to,
        () => Flow::Constant,
    };
    match op {
        Op::Input { .. } => Flow::Dynamic,
        Op::Zero if rule == ZeroRule::Computed => Flow::Dynamic,
        Op::Zero => Flow::Zero,
        Op::Conv(_) | Op::Linear(_) if rule == ZeroRule::Kept => Flow::Dynamic,
        Op::Conv(conv) if conv.bias => mapped(Flow::Constant),
        Op::Linear(linear) if linear.bias => mapped(Flow::Constant),
        // 0 / 0 where nothing is added to the divisor
        Op::BatchNorm(_) | Op::LocalResponseNorm(_) | Op::L2Norm(_) => mapped(Flow::Constant),
        Op::Act(Act::Sigmoid | Act::Hsigmoid) => mapped(Flow::Constant),
        Op::Mul(_) if any(Flow::Zero) => Flow::Zero,
        Op::Conv(_)
        | Op::Linear(_)
        | Op::Act(_)
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::AdaptiveAvgPool(_)
        | Op::GlobalPool(_)
        | Op::Upsample(_)
        | Op::Add(_)
        | Op::Mul(_)
        | Op::Concat(_)
        | Op::Slice(_)
        | Op::Shuffle(_)
        | Op::Transpose(_)
        | Op::Pad(_)
        | Op::Gather(_)
        | Op::ChannelConv(_)
        | Op::Flatten(_)
        | Op::Dropout(_) => mapped(Flow::Zero),
    }
}

/// Marks what the outputs need, and counts readers.
fn trace_needs(graph: &Graph, states: &mut [State]) {
    let need = |states: &mut [State], value: ValueId| {
        let state = states[value.index()];
        if state.flow == Flow::Dynamic {
            let source = &mut states[state.source as usize];
            source.needed = true;
            source.uses += 1;
        }
    };
    for output in graph.outputs() {
        need(states, *output);
    }
    for id in graph.ids().rev() {
        let state = states[id.index()];
        if state.needed && state.source == id.0 {
            for input in graph.inputs(id) {
                need(states, *input);
            }
        }
    }
}

struct Fusion<'a> {
    graph: &'a Graph,
    rules: &'a FuseRules,
    states: &'a mut [State],
    owners: &'a mut Vec<ValueId>,
    kernels: &'a mut Vec<Kernel>,
}

impl Fusion<'_> {
    fn place(&mut self, id: ValueId) {
        let node = self.graph.node(id);
        let input = self.graph.inputs(id).first().copied();
        let Some(first) = input else { return };
        let from = self.graph.shape(first);
        let params = node.op.params(from);
        match node.op {
            Op::Input { .. } | Op::Flatten(_) | Op::Dropout(_) => {}
            Op::Zero => self.start(id, KernelKind::Mul, Step::Closed, |_| {}),
            Op::Conv(conv) => {
                let window = Window::from(&conv);
                let kind = KernelKind::of_conv(&window, from.channels(), conv.out_channels);
                let macs = node.op.work(&[from], node.shape).macs;
                self.start(id, kind, Step::Anchor, |k| {
                    k.window = window;
                    k.macs = macs;
                });
            }
            Op::Linear(_) => {
                let macs = node.op.work(&[from], node.shape).macs;
                self.start(id, KernelKind::Linear, Step::Anchor, |k| k.macs = macs);
            }
            Op::BatchNorm(_) => {
                if let Some(kernel) = self.join(first, id, Step::Normed, self.rules.conv_norm) {
                    kernel.fused_norm = true;
                    kernel.weights += params;
                } else {
                    self.start(id, KernelKind::Norm, Step::Normed, |_| {});
                }
            }
            Op::Act(act) => {
                let allowed = match self.kind_of(first) {
                    Some(KernelKind::Norm) => self.rules.norm_act,
                    Some(KernelKind::Add | KernelKind::Mul) => self.rules.add_act,
                    _ => self.rules.conv_act,
                };
                if let Some(kernel) = self.join(first, id, Step::Closed, allowed.has(act)) {
                    kernel.act = Some(act);
                    kernel.weights += params;
                } else {
                    self.start(id, KernelKind::of_act(act), Step::Closed, |_| {});
                }
            }
            Op::MaxPool(pool) => self.start(id, KernelKind::MaxPool, Step::Closed, |k| {
                k.window = pool_window(pool.kernel_size, pool.stride);
            }),
            Op::AvgPool(pool) => self.start(id, KernelKind::AvgPool, Step::Closed, |k| {
                k.window = pool_window(pool.kernel_size, pool.stride);
            }),
            Op::AdaptiveAvgPool(p) if p.size == [1; 2] => {
                self.start(id, KernelKind::GlobalPool, Step::Closed, |_| {});
            }
            Op::AdaptiveAvgPool(p) => self.start(id, KernelKind::AvgPool, Step::Closed, |k| {
                let (h, w) = from.hw();
                let stride = [h / p.size[0].max(1), w / p.size[1].max(1)];
                k.window = pool_window(p.window(from.hw()), stride.map(|s| s.max(1)));
            }),
            Op::GlobalPool(_) => self.start(id, KernelKind::GlobalPool, Step::Closed, |_| {}),
            Op::LocalResponseNorm(_) | Op::L2Norm(_) | Op::ChannelConv(_) => {
                self.start(id, KernelKind::Other, Step::Closed, |_| {});
            }
            Op::Transpose(_) | Op::Pad(_) => self.start(id, KernelKind::Copy, Step::Closed, |_| {}),
            Op::Upsample(_) => self.start(id, KernelKind::Upsample, Step::Closed, |_| {}),
            Op::Add(_) => self.place_sum(id, KernelKind::Add),
            Op::Mul(_) => self.place_sum(id, KernelKind::Mul),
            Op::Concat(_) => self.start(id, KernelKind::Concat, Step::Closed, |k| {
                k.elems_in = k.elems_out;
            }),
            Op::Slice(_) if self.rules.slice_free => {}
            Op::Slice(_) => self.start(id, KernelKind::Copy, Step::Closed, |k| {
                k.elems_in = k.elems_out;
            }),
            Op::Shuffle(_) => self.start(id, KernelKind::Shuffle, Step::Closed, |_| {}),
            Op::Gather(_) => self.start(id, KernelKind::Shuffle, Step::Closed, |k| {
                k.elems_in = k.elems_out;
            }),
        }
    }

    /// A sum or product of n operands is n - 1 kernels of two.
    fn place_sum(&mut self, id: ValueId, kind: KernelKind) {
        let graph = self.graph;
        let shape = graph.shape(id);
        let out = shape.elems();
        let (mut count, mut total, mut host) = (0usize, 0u64, None);
        for input in graph.inputs(id) {
            if self.states[input.index()].flow == Flow::Zero {
                continue;
            }
            count += 1;
            total += graph.shape(*input).elems();
            let joins = kind == KernelKind::Add && self.rules.conv_add;
            if graph.shape(*input) == shape && self.may_join(*input, Step::Added, joins).is_some() {
                host = host.max(Some(*input));
            }
        }
        if count < 2 {
            // one operand left, and broadcast
            self.start(id, KernelKind::Copy, Step::Closed, |_| {});
            return;
        }
        let mut pairs = count - 1;
        if let Some(host) = host
            && let Some(kernel) = self.join(host, id, Step::Added, true)
        {
            kernel.fused_add = true;
            kernel.elems_in += out;
            pairs -= 1;
        }
        let read = if count == 2 { total } else { 2 * out };
        for _ in 0..pairs {
            self.start(id, kind, Step::Added, |k| k.elems_in = read);
        }
    }

    /// Opens a kernel that ends in `id`.
    fn start(&mut self, id: ValueId, kind: KernelKind, step: Step, fill: impl FnOnce(&mut Kernel)) {
        let node = self.graph.node(id);
        let input = self
            .graph
            .inputs(id)
            .first()
            .map_or(node.shape, |i| self.graph.shape(*i));
        let mut kernel = Kernel {
            kind,
            input,
            output: node.shape,
            window: Window::default(),
            macs: 0,
            elems_in: input.elems(),
            elems_out: node.shape.elems(),
            weights: node.op.params(input),
            act: None,
            fused_norm: false,
            fused_add: false,
        };
        fill(&mut kernel);
        let state = &mut self.states[id.index()];
        state.kernel = self.kernels.len() as u32;
        state.step = step;
        self.kernels.push(kernel);
        self.owners.push(id);
    }

    fn kind_of(&self, value: ValueId) -> Option<KernelKind> {
        let source = self.states[value.index()].source;
        let kernel = self.states[source as usize].kernel;
        self.kernels.get(kernel as usize).map(|k| k.kind)
    }

    /// The kernel that ends in `value`, where an op of this step may still join it.
    fn may_join(&self, value: ValueId, step: Step, allowed: bool) -> Option<u32> {
        let source = self.states[value.index()].source;
        let state = &self.states[source as usize];
        // a rename between producer and consumer (flatten, dropout) does not hinder, a second reader does
        (allowed && state.kernel != NONE && state.uses == 1 && state.step < step)
            .then_some(state.kernel)
    }

    /// Makes `id` the new end of the kernel that makes `value`, where the rules allow.
    fn join(
        &mut self,
        value: ValueId,
        id: ValueId,
        step: Step,
        allowed: bool,
    ) -> Option<&mut Kernel> {
        let kernel = self.may_join(value, step, allowed)?;
        let state = &mut self.states[id.index()];
        state.kernel = kernel;
        state.step = step;
        let shape: Shape = self.graph.shape(id);
        let kernel = self.kernels.get_mut(kernel as usize)?;
        kernel.output = shape;
        kernel.elems_out = shape.elems();
        Some(kernel)
    }
}

fn pool_window(kernel_size: [u32; 2], stride: [u32; 2]) -> Window {
    Window {
        kernel_size,
        stride,
        ..Window::default()
    }
}
