//! The graph and its builder.

use super::ops::Op;
use super::shape::{Shape, ShapeError};
use crate::base::path::JsonPath;
use std::ops::Range;

/// A value of a graph: the output of the node with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

impl ValueId {
    /// As an index into side tables.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A network may not have more nodes than this.
pub const MAX_NODES: usize = 200_000;

/// One node: an op, the shape of its output, and its inputs (see [`Graph::inputs`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// The shape of its output.
    pub shape: Shape,
    first_input: u32,
    input_count: u32,
    /// The node whose parameters it has; [`OWN`] where they are its own.
    shares: u32,
    /// Which document node asked for it: what [`Graph::origin`] looks up.
    pub origin: u32,
}

const OWN: u32 = u32::MAX;

/// A network: nodes in topological order, and which of them are outputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    nodes: Vec<Node>,
    edges: Vec<ValueId>,
    outputs: Vec<ValueId>,
    names: Vec<String>,
    input_names: Vec<String>,
    output_names: Vec<String>,
    origins: Vec<JsonPath>,
    /// Nodes with the parameters of another.
    sharers: u32,
}

impl Graph {
    /// The nodes, in topological order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Ids of all nodes, in topological order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = ValueId> + ExactSizeIterator + use<> {
        (0..self.nodes.len() as u32).map(ValueId)
    }

    /// The node that makes `id`. Ids come from this graph, so it is there.
    pub fn node(&self, id: ValueId) -> &Node {
        &self.nodes[id.index()]
    }

    /// The shape of `id`.
    pub fn shape(&self, id: ValueId) -> Shape {
        self.node(id).shape
    }

    /// The inputs of the node that makes `id`.
    pub fn inputs(&self, id: ValueId) -> &[ValueId] {
        let node = self.node(id);
        let first = node.first_input as usize;
        &self.edges[first..first + node.input_count as usize]
    }

    /// Inputs of all nodes together.
    pub fn edge_count(&self) -> usize {
        self.edges.len()
    }

    /// The node that owns the parameters of `id`: `id` itself, but where it shares those of an earlier node.
    pub fn owner(&self, id: ValueId) -> ValueId {
        match self.node(id).shares {
            OWN => id,
            owner => ValueId(owner),
        }
    }

    /// True where `id` has the parameters of another node.
    pub fn is_sharer(&self, id: ValueId) -> bool {
        self.node(id).shares != OWN
    }

    /// True where any node has the parameters of another.
    pub fn has_sharers(&self) -> bool {
        self.sharers > 0
    }

    /// The shape of the first input of the node that makes `id`; its own where it has none.
    pub fn first_shape(&self, id: ValueId) -> Shape {
        let first = self.inputs(id).first();
        first.map_or(self.shape(id), |x| self.shape(*x))
    }

    /// Whether `id` can work with the parameters of `owner`.
    pub(super) fn fits_weights(&self, id: ValueId, owner: ValueId) -> bool {
        let (op, other) = (&self.node(id).op, &self.node(owner).op);
        op.fits_weights_of(self.first_shape(id), other, self.first_shape(owner))
    }

    /// The outputs, in the order of the document.
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }

    /// The node's name, the prefix of its `state_dict` keys; `""` where the graph was built without names.
    pub fn name(&self, id: ValueId) -> &str {
        self.names.get(id.index()).map_or("", String::as_str)
    }

    /// Names of all nodes, by number; empty where the graph was built without names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Input nodes.
    pub fn input_count(&self) -> usize {
        let is_input = |node: &&Node| matches!(node.op, Op::Input { .. });
        self.nodes.iter().filter(is_input).count()
    }

    /// Shapes of one sample of the inputs, by input index.
    pub fn input_shapes(&self) -> Vec<Shape> {
        let mut inputs: Vec<(u32, Shape)> = (self.nodes.iter())
            .filter_map(|node| match node.op {
                Op::Input { index, shape } => Some((index, shape)),
                _ => None,
            })
            .collect();
        inputs.sort_unstable_by_key(|(index, _)| *index);
        inputs.into_iter().map(|(_, shape)| shape).collect()
    }

    /// Names of the inputs, by input index; empty where the graph was built without names.
    pub fn input_names(&self) -> &[String] {
        &self.input_names
    }

    /// Names of the outputs, in their order; empty where the graph was built without names.
    pub fn output_names(&self) -> &[String] {
        &self.output_names
    }

    /// Where in the document the node comes from, where the graph was built with names.
    pub fn origin(&self, id: ValueId) -> Option<&JsonPath> {
        self.origins.get(self.node(id).origin as usize)
    }

    pub(super) fn origin_count(&self) -> usize {
        self.origins.len()
    }

    /// Appends a node as it is told; for readers, which verify the whole.
    pub(super) fn push_unchecked(&mut self, op: Op, shape: Shape, inputs: &[ValueId]) {
        let first_input = self.edges.len() as u32;
        self.edges.extend_from_slice(inputs);
        self.nodes.push(Node {
            op,
            shape,
            first_input,
            input_count: inputs.len() as u32,
            shares: OWN,
            origin: 0,
        });
    }

    /// Gives a node the parameters of another, as it is told; for readers, which verify the whole.
    pub(super) fn share_unchecked(&mut self, id: ValueId, owner: ValueId) {
        if let Some(node) = self.nodes.get_mut(id.index()) {
            self.sharers += u32::from(node.shares == OWN);
            node.shares = owner.0;
        }
    }

    pub(super) fn set_names(
        &mut self,
        nodes: Vec<String>,
        inputs: Vec<String>,
        outputs: Vec<String>,
    ) {
        self.names = nodes;
        self.input_names = inputs;
        self.output_names = outputs;
    }

    pub(super) fn set_outputs(&mut self, outputs: Vec<ValueId>) {
        self.outputs = outputs;
    }

    /// For each node whether an output needs it. Dead nodes keep their parameters (published counts have such nets)
    /// but never run.
    pub fn live(&self) -> Vec<bool> {
        let mut live = vec![false; self.nodes.len()];
        self.mark_live(&mut live);
        live
    }

    /// As [`live`](Self::live), into a buffer that is reused.
    pub fn mark_live(&self, live: &mut Vec<bool>) {
        live.clear();
        live.resize(self.nodes.len(), false);
        for output in &self.outputs {
            live[output.index()] = true;
        }
        for id in self.ids().rev() {
            if live[id.index()] {
                for input in self.inputs(id) {
                    live[input.index()] = true;
                }
            }
        }
    }
}

/// Builds a graph node by node; each push infers the shape at once.
///
/// A builder made by [`reuse`](Self::reuse) keeps the old graph's memory, so a search that builds many graphs
/// allocates once.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    graph: Graph,
    named: bool,
    shapes: Vec<Shape>,
    /// Origin given to the next nodes.
    pub origin: u32,
}

impl GraphBuilder {
    /// An empty graph. Names cost time: `named` only where somebody reads them.
    pub fn new(named: bool) -> Self {
        Self {
            named,
            ..Self::default()
        }
    }

    /// An empty graph in the memory of another.
    pub fn reuse(mut graph: Graph, named: bool) -> Self {
        graph.nodes.clear();
        graph.edges.clear();
        graph.outputs.clear();
        graph.names.clear();
        graph.input_names.clear();
        graph.output_names.clear();
        graph.origins.clear();
        graph.sharers = 0;
        Self {
            graph,
            named,
            ..Self::default()
        }
    }

    /// Whether names are kept.
    pub fn is_named(&self) -> bool {
        self.named
    }

    /// Adds a node. `name` is called only where names are kept.
    ///
    /// # Errors
    /// Where the op does not fit its inputs, or the graph grows past [`MAX_NODES`].
    pub fn push_named(
        &mut self,
        op: impl Into<Op>,
        inputs: &[ValueId],
        name: impl FnOnce() -> String,
    ) -> Result<ValueId, ShapeError> {
        let op = op.into();
        let mut shapes = std::mem::take(&mut self.shapes);
        shapes.clear();
        shapes.extend(inputs.iter().map(|id| self.graph.shape(*id)));
        let shape = op.infer(&shapes);
        self.shapes = shapes;
        let shape = shape?;
        if self.graph.nodes.len() >= MAX_NODES
            || self.graph.edges.len() + inputs.len() > 16 * MAX_NODES
        {
            return Err(ShapeError::TooManyNodes { limit: MAX_NODES });
        }
        let id = ValueId(self.graph.nodes.len() as u32);
        let first_input = self.graph.edges.len() as u32;
        self.graph.edges.extend_from_slice(inputs);
        let input_count = inputs.len() as u32;
        self.graph.nodes.push(Node {
            op,
            shape,
            first_input,
            input_count,
            shares: OWN,
            origin: self.origin,
        });
        if self.named {
            self.graph.names.push(name());
        }
        Ok(id)
    }

    /// Adds a node without a name of its own.
    ///
    /// # Errors
    /// As [`push_named`](Self::push_named).
    pub fn push(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId, ShapeError> {
        self.push_named(op, inputs, String::new)
    }

    /// Gives `id` the parameters of `owner`, or of the node whose parameters that one has.
    ///
    /// # Errors
    /// Where they do not fit, or `owner` does not come before `id`.
    pub fn share(&mut self, id: ValueId, owner: ValueId) -> Result<(), ShapeError> {
        let graph = &mut self.graph;
        let owner = graph.owner(owner);
        if owner >= id || !graph.fits_weights(id, owner) {
            return Err(ShapeError::OtherWeights {
                op: graph.node(owner).op.name(),
                first: graph.first_shape(owner),
                other: graph.node(id).op.name(),
                again: graph.first_shape(id),
            });
        }
        graph.share_unchecked(id, owner);
        Ok(())
    }

    /// Gives the nodes from `again` on the parameters of those in `first`: the first that learns those of the first that
    /// learns there, and so on.
    ///
    /// # Errors
    /// Where they do not fit, or there are more of one than of the other.
    pub fn share_all(&mut self, first: Range<usize>, again: usize) -> Result<(), ShapeError> {
        let end = self.len();
        let learner = |graph: &Graph, from: usize, to: usize| {
            (from..to).find(|at| graph.nodes.get(*at).is_some_and(|n| n.op.learns()))
        };
        let (mut left, mut right) = (first.start, again);
        loop {
            let next = learner(&self.graph, left, first.end).zip(learner(&self.graph, right, end));
            let Some((owner, id)) = next else { break };
            self.share(ValueId(id as u32), ValueId(owner as u32))?;
            (left, right) = (owner + 1, id + 1);
        }
        let alone = learner(&self.graph, left, first.end).or(learner(&self.graph, right, end));
        match alone {
            None => Ok(()),
            Some(at) => Err(ShapeError::LoneWeights {
                op: self.graph.node(ValueId(at as u32)).op.name(),
            }),
        }
    }

    /// The shape of a value pushed before.
    pub fn shape(&self, id: ValueId) -> Shape {
        self.graph.shape(id)
    }

    /// Nodes so far.
    pub fn len(&self) -> usize {
        self.graph.nodes.len()
    }

    /// True before the first push.
    pub fn is_empty(&self) -> bool {
        self.graph.nodes.is_empty()
    }

    /// Names of inputs and outputs and the table of origins, where names are kept.
    pub fn label(&mut self, inputs: Vec<String>, outputs: Vec<String>, origins: Vec<JsonPath>) {
        self.graph.input_names = inputs;
        self.graph.output_names = outputs;
        self.graph.origins = origins;
    }

    /// The graph with these outputs.
    pub fn finish(mut self, outputs: &[ValueId]) -> Graph {
        self.graph.outputs.extend_from_slice(outputs);
        self.graph
    }
}
