//! Parts of a net lowered apart: see [`Parts`](crate::blocks::Parts).

use super::{Done, Frame, Outcome, Scratch, Walk};
use crate::base::diag::Diagnostics;
use crate::blocks::args::Args;
use crate::blocks::lower::{Lower, LowerError};
use crate::blocks::parts::{Given, Listed, Part, Stretch, Surroundings};
use crate::blocks::program::Program;
use crate::blocks::scene::Scene;
use crate::blocks::values::Values;
use crate::ir::graph::GraphBuilder;
use crate::ir::ops::Op;
use crate::ir::{Graph, Shape, ValueId};
use crate::space::Assignment;
use crate::space::ast::{Origin, Source};

/// What a part of a net is given.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'s> {
    /// The shape of the value that goes in: the first node of the part's graph.
    pub shape: Shape,
    /// The network's input, where the part reads it too: the second node.
    pub image: Option<Shape>,
    /// Whether the value that goes in is the network's input.
    pub start: bool,
    /// What names mean there.
    pub scene: &'s Scene,
}

impl Program {
    /// The graph of a part of a net, without names: its only output is what it gives on.
    ///
    /// # Errors
    /// As [`lower`](Self::lower), though the message may lack what lies around the part.
    pub fn lower_part<'s, 'p>(
        &'p self,
        scratch: &'s mut Scratch,
        assignment: &Assignment,
        (part, stretch): (&Part<'p>, &Stretch<'p>),
        entry: Entry<'_>,
    ) -> Result<&'s Graph, Diagnostics> {
        let copies = &*part.place.copies;
        self.walk_part(scratch, assignment, copies, |walk| {
            let output = walk.stretch(stretch, &part.place, entry)?;
            Ok(Values::from_one(output))
        })?;
        Ok(&scratch.graph)
    }

    /// As [`lower_part`](Self::lower_part), of one op or block of the lists, with the parameters that the scene has
    /// resolved last; `None` where it cannot be.
    pub fn lower_listed<'s>(
        &self,
        scratch: &'s mut Scratch,
        listed: &Listed<'_>,
        entry: Entry<'_>,
    ) -> Option<&'s Graph> {
        let graph = std::mem::take(&mut scratch.graph);
        let prefix = std::mem::take(&mut scratch.prefix);
        let mut lower = Lower::new(GraphBuilder::reuse(graph, false), prefix);
        lower.inner = scratch.inner.take();
        let inputs = push_inputs(&mut lower, entry);
        let made = inputs.and_then(|inputs| {
            let args = Args::new(entry.scene.args());
            (listed.def.lower)(&mut lower, &args, of_given(&inputs, listed.given))
        });
        scratch.inner = lower.inner.take();
        let (builder, prefix) = lower.into_parts();
        scratch.prefix = prefix;
        scratch.graph = builder.finish(made.as_ref().map_or(&[], std::slice::from_ref));
        made.is_ok().then_some(&scratch.graph)
    }

    /// The shape of the only input.
    ///
    /// # Errors
    /// As [`lower`](Self::lower).
    pub fn input_shape(
        &self,
        scratch: &mut Scratch,
        assignment: &Assignment,
    ) -> Result<Shape, Diagnostics> {
        let mut shape = Shape::Flat { n: 0 };
        self.walk_part(scratch, assignment, &[], |walk| {
            let frame = walk.outermost(None)?;
            if let Some(input) = self.space.ast().inputs.first() {
                shape = walk.input(input, &frame)?;
            }
            Ok(Values::new())
        })?;
        Ok(shape)
    }

    fn walk_part<'p>(
        &'p self,
        scratch: &mut Scratch,
        assignment: &Assignment,
        copies: &[u32],
        walked: impl for<'w> FnOnce(&mut Walk<'p, 'w>) -> Outcome<Values>,
    ) -> Result<(), Diagnostics> {
        let graph = std::mem::take(&mut scratch.graph);
        let prefix = std::mem::take(&mut scratch.prefix);
        scratch.clear();
        scratch.copies.extend_from_slice(copies);
        let mut walk = Walk {
            program: self,
            assignment,
            lower: Lower::new(GraphBuilder::reuse(graph, false), prefix),
            scratch,
            depth: 0,
            explain: false,
            shipped: false,
        };
        let outputs = walked(&mut walk);
        let (builder, prefix) = walk.lower.into_parts();
        scratch.prefix = prefix;
        let (outputs, problem) = match outputs {
            Ok(outputs) => (outputs, Ok(())),
            Err(problem) => (Values::new(), Err(Diagnostics::from(*problem))),
        };
        scratch.graph = builder.finish(outputs.as_slice());
        problem
    }
}

impl<'p> Walk<'p, '_> {
    /// Nodes from a cut of a body to the next, or one copy of a node.
    fn stretch(
        &mut self,
        stretch: &Stretch<'p>,
        place: &Surroundings,
        entry: Entry<'_>,
    ) -> Outcome<ValueId> {
        self.depth = place.depth;
        let mut frame = self.outermost(place.i)?;
        let failed =
            |walk: &Self, error| walk.place(&frame, Origin(0)).block("input", None, &error);
        let inputs = push_inputs(&mut self.lower, entry).map_err(|e| failed(self, e))?;
        let [input, _] = inputs;
        if place.called {
            let (slots, i, block, size) = entry.scene.call();
            self.scratch.slots.clear();
            self.scratch.slots.extend_from_slice(slots);
            let size = match size {
                Some(shape) if shape != entry.shape => {
                    let size = self.lower.push("", Op::Input { index: 2, shape }, &[]);
                    size.map_err(|e| failed(self, e))?
                }
                _ => input,
            };
            frame = Frame {
                block,
                input: Some(size),
                i,
                ..frame
            };
        }
        let mut value = input;
        let given = of_given(&inputs, stretch.given);
        // what lies before the stretch is read through the cut only
        let before = Done::one(value);
        let reads = |source: &Source| match source {
            Source::Node(k) | Source::Copies(k) | Source::Copy(k, _) => *k as usize + 1,
            Source::Input(_) | Source::AllInputs => 0,
        };
        let nodes = stretch.nodes.get(stretch.first..).unwrap_or(&[]);
        let read = nodes
            .first()
            .and_then(|node| node.from.iter().map(reads).max());
        let before_count = stretch.first.max(read.unwrap_or(0));
        self.scratch.results.resize(before_count, before);
        for node in nodes {
            if stretch.one_copy {
                return self.one(node, given, &frame);
            }
            let done = self.node(node, given, 0, &frame)?;
            self.scratch.results.push(done);
            value = done.value;
        }
        Ok(value)
    }
}

/// The value that goes in, and the network's input.
fn push_inputs(lower: &mut Lower, entry: Entry<'_>) -> Result<[ValueId; 2], LowerError> {
    let shape = entry.shape;
    let index = u32::from(!entry.start);
    let input = lower.push("", Op::Input { index, shape }, &[])?;
    let image = match entry.image {
        Some(shape) if !entry.start => lower.push("", Op::Input { index: 0, shape }, &[])?,
        _ => input,
    };
    Ok([input, image])
}

fn of_given(inputs: &[ValueId; 2], given: Given) -> &[ValueId] {
    let [run, image] = inputs.each_ref().map(std::slice::from_ref);
    match given {
        Given::Run => run,
        Given::Both => inputs,
        Given::Image => image,
    }
}
