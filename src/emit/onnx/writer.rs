//! A graph in the making: names of values, initializers, nodes.

use super::error::{OnnxError, OnnxErrorKind};
use super::model::{Data, Model, Tensor};
use super::proto::Message;
use super::{Batch, Options};
use crate::ir::params::Param;
use crate::ir::{Graph, Op, Shape, ValueId};
use crate::weights::Values;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

/// An attribute of a node.
pub(super) enum Attr<'a> {
    Int(&'a str, i64),
    Float(&'a str, f64),
    Ints(&'a str, Vec<i64>),
    Text(&'a str, &'a str),
}

impl Attr<'_> {
    fn message(&self) -> Message {
        // AttributeProto: name 1, f 2, i 3, s 4, ints 8, type 20
        let mut m = Message::default();
        match self {
            Attr::Int(name, value) => {
                m.text(1, name);
                m.int(3, *value);
                m.int(20, 2);
            }
            Attr::Float(name, value) => {
                m.text(1, name);
                m.float(2, *value as f32);
                m.int(20, 1);
            }
            Attr::Ints(name, values) => {
                m.text(1, name);
                values.iter().for_each(|value| m.int(8, *value));
                m.int(20, 7);
            }
            Attr::Text(name, value) => {
                m.text(1, name);
                m.text(4, value);
                m.int(20, 3);
            }
        }
        m
    }
}

/// `input`, `input1`, `input2`…
fn numbered(what: &str, i: usize) -> String {
    match i {
        0 => what.to_owned(),
        _ => format!("{what}{i}"),
    }
}

/// A name that nobody has: the one wished for, or that with a number.
fn unused(names: &mut HashSet<String>, wish: String) -> String {
    let mut name = wish.clone();
    for number in 2u64.. {
        if names.insert(name.clone()) {
            break;
        }
        name = format!("{wish}/{number}");
    }
    name
}

pub(super) struct Writer<'a> {
    graph: &'a Graph,
    params: Vec<Param>,
    values: &'a [Values],
    batch: Batch,
    /// By node: the first of its parameters.
    first: BTreeMap<ValueId, usize>,
    /// Names that are taken.
    taken: HashSet<String>,
    /// By node: the name of its value; none where it is dead.
    names: Vec<String>,
    node_names: Vec<String>,
    /// By parameter and shape: its initializer.
    placed: BTreeMap<(usize, Vec<i64>), String>,
    /// Tables by their contents.
    shapes: BTreeMap<Vec<i64>, String>,
    /// The same of single numbers, by their bits.
    scalars: BTreeMap<u64, String>,
    tensors: Vec<Tensor<'a>>,
    nodes: Message,
    node_count: usize,
    values_info: Message,
    inputs: Message,
    outputs: Message,
    learnable: u64,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        graph: &'a Graph,
        live: &[bool],
        params: &[Param],
        values: &'a [Values],
        batch: Batch,
    ) -> Self {
        let mut first = BTreeMap::new();
        for (at, param) in params.iter().enumerate() {
            first.entry(param.node).or_insert(at);
        }
        let mut writer = Self {
            graph,
            params: params.to_vec(),
            values,
            batch,
            first,
            taken: HashSet::new(),
            names: vec![String::new(); graph.nodes().len()],
            node_names: vec![String::new(); graph.nodes().len()],
            placed: BTreeMap::new(),
            shapes: BTreeMap::new(),
            scalars: BTreeMap::new(),
            tensors: Vec::new(),
            nodes: Message::default(),
            node_count: 0,
            values_info: Message::default(),
            inputs: Message::default(),
            outputs: Message::default(),
            learnable: 0,
        };
        writer.name_values(live);
        writer
    }

    /// Inputs and outputs have their names first, then parameters, then what is between.
    fn name_values(&mut self, live: &[bool]) {
        let graph = self.graph;
        let mut inputs: Vec<(u32, ValueId)> = graph
            .ids()
            .filter_map(|id| match graph.node(id).op {
                Op::Input { index, .. } => Some((index, id)),
                _ => None,
            })
            .collect();
        inputs.sort_unstable();
        for (at, (_, id)) in inputs.iter().enumerate() {
            let name = unused(&mut self.taken, numbered("input", at));
            let doc = graph.input_names().get(at);
            let info = self.info(&name, graph.shape(*id), doc.map(String::as_str));
            self.inputs.message(11, &info);
            self.names[id.index()] = name;
        }
        for (at, id) in graph.outputs().iter().enumerate() {
            let name = unused(&mut self.taken, numbered("output", at));
            let doc = graph.output_names().get(at).map(String::as_str);
            let doc = doc.or(Some(graph.name(*id))).filter(|d| !d.is_empty());
            let info = self.info(&name, graph.shape(*id), doc);
            self.outputs.message(12, &info);
            let free = self.names[id.index()].is_empty();
            if free {
                self.names[id.index()] = name;
            }
        }
        for param in &self.params {
            self.taken.insert(param.name.clone());
        }
        let mut node_names = HashSet::new();
        for id in graph.ids().filter(|id| live[id.index()]) {
            let name = match graph.name(id) {
                "" => id.0.to_string(),
                name => name.to_owned(),
            };
            self.node_names[id.index()] = unused(&mut node_names, name);
            if self.names[id.index()].is_empty() {
                let wish = self.node_names[id.index()].clone();
                let name = unused(&mut self.taken, wish);
                let info = self.info(&name, graph.shape(id), None);
                self.values_info.message(13, &info);
                self.names[id.index()] = name;
            }
        }
    }

    /// ValueInfoProto: name 1, type 2, doc_string 3; TypeProto: tensor_type 1; its elem_type 1, shape 2; dim 1;
    /// dim_value 1, dim_param 2.
    fn info(&self, name: &str, shape: Shape, doc: Option<&str>) -> Message {
        let mut axes = Message::default();
        let mut axis = Message::default();
        match self.batch {
            Batch::Fixed(n) => axis.int(1, i64::from(n)),
            Batch::Dynamic => axis.text(2, "batch"),
        }
        axes.message(1, &axis);
        for size in sizes(shape) {
            let mut axis = Message::default();
            axis.int(1, size);
            axes.message(1, &axis);
        }
        let mut tensor = Message::default();
        tensor.int(1, 1);
        tensor.message(2, &axes);
        let mut kind = Message::default();
        kind.message(1, &tensor);
        let mut info = Message::default();
        info.text(1, name);
        info.message(2, &kind);
        if let Some(doc) = doc {
            info.text(3, doc);
        }
        info
    }

    pub(super) fn graph(&self) -> &'a Graph {
        self.graph
    }

    pub(super) fn batch(&self) -> Batch {
        self.batch
    }

    /// The name of a value.
    pub(super) fn value(&self, id: ValueId) -> String {
        self.names[id.index()].clone()
    }

    pub(super) fn node_name(&self, id: ValueId) -> &str {
        &self.node_names[id.index()]
    }

    fn push(&mut self, name: &str, kind: &str, inputs: &[&str], output: &str, attrs: &[Attr]) {
        // NodeProto: input 1, output 2, name 3, op_type 4, attribute 5
        let mut node = Message::default();
        inputs.iter().for_each(|input| node.text(1, input));
        node.text(2, output);
        node.text(3, name);
        node.text(4, kind);
        for attr in attrs {
            node.message(5, &attr.message());
        }
        self.nodes.message(1, &node);
        self.node_count += 1;
    }

    /// The node that makes the value of `id`.
    pub(super) fn last(&mut self, id: ValueId, kind: &str, inputs: &[&str], attrs: &[Attr]) {
        let (name, output) = (self.node_names[id.index()].clone(), self.value(id));
        self.push(&name, kind, inputs, &output, attrs);
    }

    /// A node on the way to it; gives the name of its value.
    pub(super) fn step(
        &mut self,
        id: ValueId,
        what: &str,
        kind: &str,
        inputs: &[&str],
        attrs: &[Attr],
    ) -> String {
        let wish = format!("{}/{what}", self.node_names[id.index()]);
        let output = unused(&mut self.taken, wish);
        self.push(&output, kind, inputs, &output, attrs);
        output
    }

    /// The initializer of parameter number `k` of the op of `id`, as `[dims]`.
    pub(super) fn param(
        &mut self,
        id: ValueId,
        k: usize,
        dims: &[i64],
    ) -> Result<String, OnnxError> {
        let owner = self.graph.owner(id);
        // every op that asks has parameters
        let at = self.first.get(&owner).copied().unwrap_or(0) + k;
        if let Some(name) = self.placed.get(&(at, dims.to_vec())) {
            return Ok(name.clone());
        }
        let (name, elems) = match self.params.get(at) {
            Some(param) => (param.name.clone(), param.elems()),
            None => (String::new(), 0),
        };
        let (data, got) = match self.values.get(at) {
            Some(Values::Real(values)) => (Data::Reals(Cow::Borrowed(values)), values.len()),
            Some(Values::Index(values)) => (Data::Ints(Cow::Borrowed(values)), values.len()),
            None => (Data::Reals(Cow::Owned(Vec::new())), 0),
        };
        if got as u64 != elems {
            let expected = elems;
            return Err(OnnxErrorKind::Values {
                name,
                expected,
                got,
            }
            .into());
        }
        let again = self.placed.keys().any(|(other, _)| *other == at);
        let name = match again {
            true => unused(&mut self.taken, name),
            false => {
                if self.params.get(at).is_some_and(|p| p.role.is_learnable()) {
                    self.learnable += elems;
                }
                name
            }
        };
        self.placed.insert((at, dims.to_vec()), name.clone());
        self.tensor(name.clone(), dims.to_vec(), data);
        Ok(name)
    }

    /// The numbers of parameter `k` of the op of `id`.
    pub(super) fn numbers(&self, id: ValueId, k: usize) -> Option<&'a Values> {
        let owner = self.graph.owner(id);
        self.values.get(self.first.get(&owner)? + k)
    }

    /// A table of whole numbers; equal ones are one.
    pub(super) fn ints(&mut self, values: &[i64]) -> String {
        if let Some(name) = self.shapes.get(values) {
            return name.clone();
        }
        let shown: Vec<String> = values.iter().take(8).map(i64::to_string).collect();
        let wish = format!("/ints_{}", shown.join("_"));
        let name = unused(&mut self.taken, wish);
        self.shapes.insert(values.to_vec(), name.clone());
        let data = Data::Ints(Cow::Owned(values.to_vec()));
        self.tensor(name.clone(), vec![values.len() as i64], data);
        name
    }

    /// A number.
    pub(super) fn real(&mut self, value: f64) -> String {
        if let Some(name) = self.scalars.get(&value.to_bits()) {
            return name.clone();
        }
        let name = unused(&mut self.taken, format!("/real_{value}"));
        self.scalars.insert(value.to_bits(), name.clone());
        let data = Data::Reals(Cow::Owned(vec![value as f32]));
        self.tensor(name.clone(), Vec::new(), data);
        name
    }

    /// A table of reals for the node `id`.
    pub(super) fn reals(
        &mut self,
        id: ValueId,
        what: &str,
        dims: [u32; 2],
        of: impl Fn(u32, u32) -> f32,
    ) -> Result<String, OnnxError> {
        let elems = u64::from(dims[0]) * u64::from(dims[1]);
        const MOST: u64 = 1 << 26;
        if elems > MOST {
            return Err(OnnxErrorKind::Table { elems, most: MOST }.into());
        }
        let values = (0..dims[0]).flat_map(|r| (0..dims[1]).map(move |c| (r, c)));
        let values = values.map(|(r, c)| of(r, c)).collect();
        let wish = format!("{}/{what}", self.node_names[id.index()]);
        let name = unused(&mut self.taken, wish);
        let dims = dims.map(i64::from).to_vec();
        self.tensor(name.clone(), dims, Data::Reals(Cow::Owned(values)));
        Ok(name)
    }

    fn tensor(&mut self, name: String, dims: Vec<i64>, data: Data<'a>) {
        self.tensors.push(Tensor { name, dims, data });
    }

    /// The model, with a node for each output that is an input or another output too.
    pub(super) fn finish(mut self, options: &Options) -> Model<'a> {
        for (at, id) in self.graph.outputs().iter().enumerate() {
            // output names were the first but for the inputs', so each has its own
            let (from, to) = (self.value(*id), numbered("output", at));
            if from != to {
                self.push(&to, "Identity", &[&from], &to, &[]);
            }
        }
        // GraphProto: node 1, name 2, input 11, output 12, value_info 13
        let mut graph = self.nodes;
        graph.text(2, &options.name);
        graph.join(self.inputs);
        graph.join(self.outputs);
        graph.join(self.values_info);
        Model {
            graph,
            tensors: self.tensors,
            metadata: options.metadata.clone(),
            nodes: self.node_count,
            learnable: self.learnable,
        }
    }
}

/// One sample's shape.
pub(super) fn sizes(shape: Shape) -> Vec<i64> {
    match shape {
        Shape::Map { c, h, w } => [c, h, w].map(i64::from).to_vec(),
        Shape::Flat { n } => vec![i64::from(n)],
    }
}
