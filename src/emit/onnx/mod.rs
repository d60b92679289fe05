//! ONNX files, written by hand: no framework, no protocol compiler.
//!
//! Invariants: the operator set is [`OPSET`] and the IR version [`IR_VERSION`], old enough for what people have deployed;
//! a node goes by our node's name, a parameter by its `state_dict` key; inputs are `input`, `input1` and so on, outputs
//! `output`, `output1`, as everywhere; every value carries its shape; dead nodes and their parameters are left out.
//! What an ONNX operator does otherwise than PyTorch (rounding up in pools, even windows, resizing by ratios that no
//! float has) is spelt in operators that do it exactly; nothing is approximated.

mod error;
mod model;
mod ops;
mod proto;
mod writer;

pub use error::{OnnxError, OnnxErrorKind};
pub use model::Model;

use crate::ir::{Graph, Op};
use crate::weights::Weights;
use writer::Writer;

/// The operator set that models are written for: ONNX 1.12, ONNX Runtime 1.12 and later.
pub const OPSET: i64 = 17;

/// The version of the file's form that belongs to it.
pub const IR_VERSION: i64 = 8;

/// The first axis of every input and output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// So many samples, known to the runtime beforehand.
    Fixed(u32),
    /// As many as are given; the axis is named `batch`.
    Dynamic,
}

/// How a model is written.
#[derive(Clone, Debug)]
pub struct Options {
    /// Samples in the batch.
    pub batch: Batch,
    /// The name of the graph.
    pub name: String,
    /// Notes that go with the model, as keys and values.
    pub metadata: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch: Batch::Fixed(1),
            name: "net".to_owned(),
            metadata: Vec::new(),
        }
    }
}

/// The ONNX model of a graph with its weights, which are in the order of
/// [`Graph::parameters`](crate::ir::Graph::parameters).
///
/// ```
/// use blocksmith::emit::onnx::{Options, model};
/// use blocksmith::ir::{GraphBuilder, Op, Shape, ops::Conv};
/// use blocksmith::weights::Weights;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(true);
/// let shape = Shape::Map { c: 3, h: 8, w: 8 };
/// let x = b.push(Op::Input { index: 0, shape }, &[])?;
/// let y = b.push_named(Conv::same(4, 3, 2), &[x], || "stem".to_owned())?;
/// let graph = b.finish(&[y]);
/// let weights = Weights::initial(&graph, 0)?;
/// let model = model(&graph, &weights, &Options::default())?;
/// assert_eq!((model.nodes(), model.parameters()), (1, 4 * 3 * 3 * 3));
/// let bytes = model.to_bytes()?;
/// assert_eq!(bytes[..2], [0x08, 8]); // IR version 8
/// # Ok(()) }
/// ```
///
/// # Errors
/// Where the weights are not those of the graph, or an op needs a table beyond reason.
pub fn model<'a>(
    graph: &'a Graph,
    weights: &'a Weights,
    options: &Options,
) -> Result<Model<'a>, OnnxError> {
    let params = graph.parameters();
    let given = weights.0.len();
    if given != params.len() {
        return Err(OnnxErrorKind::Values {
            name: "the net".to_owned(),
            expected: params.len() as u64,
            got: given,
        }
        .into());
    }
    let live = graph.live();
    let mut writer = Writer::new(graph, &live, &params, &weights.0, options.batch);
    for id in graph.ids().filter(|id| live[id.index()]) {
        if !matches!(graph.node(id).op, Op::Input { .. }) {
            let written = ops::node(&mut writer, id);
            written.map_err(|e| e.at(writer.node_name(id)))?;
        }
    }
    Ok(writer.finish(options))
}
