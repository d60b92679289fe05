//! Parts of a net lowered apart: see [`Parts`](crate::blocks::Parts).

use super::{Done, Frame, Outcome, Scratch, Walk};
use crate::base::diag::Diagnostics;
use crate::blocks::args::Args;
use crate::blocks::lower::Lower;
use crate::blocks::parts::{Listed, Part, Stretch, Surroundings};
use crate::blocks::program::Program;
use crate::blocks::scene::Scene;
use crate::blocks::values::Values;
use crate::ir::graph::GraphBuilder;
use crate::ir::ops::Op;
use crate::ir::{Graph, Shape, ValueId};
use crate::space::Assignment;
use crate::space::ast::{Origin, Source};

impl Program {
    /// The graph of a part of a net, without names: its input has this shape, its only output is what it gives on.
    ///
    /// # Errors
    /// As [`lower`](Self::lower), though the message may lack what lies around the part.
    pub fn lower_part<'s, 'p>(
        &'p self,
        scratch: &'s mut Scratch,
        assignment: &Assignment,
        (part, stretch): (&Part<'p>, &Stretch<'p>),
        (shape, scene): (Shape, &Scene),
    ) -> Result<&'s Graph, Diagnostics> {
        let copies = &*part.place.copies;
        self.walk_part(scratch, assignment, copies, |walk| {
            let output = walk.stretch(stretch, &part.place, (shape, scene))?;
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
        (shape, scene): (Shape, &Scene),
    ) -> Option<&'s Graph> {
        let graph = std::mem::take(&mut scratch.graph);
        let prefix = std::mem::take(&mut scratch.prefix);
        let mut lower = Lower::new(GraphBuilder::reuse(graph, false), prefix);
        lower.inner = scratch.inner.take();
        let input = Op::Input { index: 0, shape };
        let made = lower.push("", input, &[]).and_then(|input| {
            let args = Args::new(scene.args());
            (listed.def.lower)(&mut lower, &args, &[input])
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
        (shape, scene): (Shape, &Scene),
    ) -> Outcome<ValueId> {
        self.depth = place.depth;
        let mut frame = self.outermost(place.i)?;
        let input = self.push_input(0, shape, &frame)?;
        if place.called {
            let (slots, i, block, entry) = scene.call();
            self.scratch.slots.clear();
            self.scratch.slots.extend_from_slice(slots);
            let entry = match entry {
                Some(entry) if entry != shape => Some(self.push_input(1, entry, &frame)?),
                _ => Some(input),
            };
            frame = Frame {
                block,
                input: entry,
                i,
                ..frame
            };
        }
        let mut value = input;
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
                return self.one(node, &[input], &frame);
            }
            let done = self.node(node, &[input], 0, &frame)?;
            self.scratch.results.push(done);
            value = done.value;
        }
        Ok(value)
    }

    fn push_input(&mut self, index: u32, shape: Shape, frame: &Frame) -> Outcome<ValueId> {
        let input = Op::Input { index, shape };
        (self.lower.push("", input, &[]))
            .map_err(|error| self.place(frame, Origin(0)).block("input", None, &error))
    }
}
