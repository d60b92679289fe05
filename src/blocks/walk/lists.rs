//! Nodes with several results: copies of a repeat, sources of one with `over`, blocks that give several. Results that
//! something names by their places lie side by side among the kept values.
//!
//! A body and a choice have the results of the node that they end in, if that has several and is not repeated.

use super::{Done, Frame, List, Outcome, Walk};
use crate::base::diag::Diagnostic;
use crate::base::path::JsonPath;
use crate::blocks::program::Node;
use crate::blocks::values::Values;
use crate::ir::ValueId;
use crate::space::ast::Source;

impl<'p> Walk<'p, '_> {
    /// The values of a list.
    pub(super) fn listed(&self, list: List) -> &[ValueId] {
        let range = list.first as usize..(list.first + list.count) as usize;
        self.scratch.kept.get(range).unwrap_or(&[])
    }

    /// Adds a result to the list, where something names it by its place.
    pub(super) fn keep(&mut self, node: &Node, value: ValueId, mut list: List) -> Done {
        if node.keep_copies {
            if list.count == 0 {
                list.first = self.scratch.kept.len() as u32;
            }
            self.scratch.kept.push(value);
            list.count += 1;
        }
        Done { value, list }
    }

    /// Keeps the several results that a block has told of.
    pub(super) fn take_results(&mut self) {
        let first = self.scratch.kept.len() as u32;
        let count = self.lower.results.len() as u32;
        self.scratch.kept.append(&mut self.lower.results);
        self.scratch.list = List { first, count };
    }

    /// Forgets what was kept from `mark` on, but for the list of the last node.
    pub(super) fn settle(&mut self, mark: usize) {
        let kept = &mut self.scratch.kept;
        let List { first, count } = self.scratch.list;
        let range = first as usize..(first + count) as usize;
        if count == 0 || range.end > kept.len() || range.start < mark {
            kept.truncate(mark);
            self.scratch.list = List::default();
            return;
        }
        kept.copy_within(range, mark);
        kept.truncate(mark + count as usize);
        self.scratch.list.first = mark as u32;
    }

    /// A node applied to each of its sources, with the weights of the first.
    pub(super) fn over(
        &mut self,
        node: &'p Node,
        sources: &[ValueId],
        frame: &Frame,
    ) -> Outcome<Done> {
        let kept = self.scratch.kept.len();
        let start = self.lower.builder.len();
        let (mut last, mut own) = (None, start..start);
        for (place, source) in (0u32..).zip(sources) {
            let again = self.lower.builder.len();
            self.scratch.list = List::default();
            let mark = self.lower.enter_place(&node.name, place);
            let value = self.one(node, &[*source], frame)?;
            self.lower.leave(mark);
            if self.scratch.list.count == 0 {
                self.scratch.kept.push(value);
            }
            if place == 0 {
                own.end = self.lower.builder.len();
            } else {
                let shared = self.lower.builder.share_all(own.clone(), again);
                shared.map_err(|error| {
                    self.place(frame, node.from_origin)
                        .over(place as usize, &error)
                })?;
            }
            last = Some(value);
        }
        let list = List {
            first: kept as u32,
            count: (self.scratch.kept.len() - kept) as u32,
        };
        self.scratch.list = list;
        match last {
            Some(value) => Ok(Done { value, list }),
            None => Err(self.place(frame, node.origin).no_input()),
        }
    }

    /// The outputs of the net, whose results begin at `base`, and their names where names are kept.
    pub(super) fn outputs(&mut self, base: usize) -> Outcome<Values> {
        let program = self.program;
        let sources = &program.space.ast().outputs;
        let named = self.lower.builder.is_named();
        let mut outputs = Values::new();
        for (at, source) in sources.iter().enumerate() {
            let (Source::Node(k) | Source::Copies(k) | Source::Copy(k, _)) = *source else {
                continue;
            };
            let found = self.scratch.results.get(base + k as usize).copied();
            let (Some(done), Some(node)) = (found, program.net.nodes.get(k as usize)) else {
                continue;
            };
            let (values, first) = match *source {
                Source::Copies(_) => (self.listed(done.list), 0),
                Source::Copy(_, place) => {
                    let value = self.listed(done.list).get(place as usize);
                    (value.map_or(&[] as &[ValueId], std::slice::from_ref), place)
                }
                _ => (std::slice::from_ref(&done.value), 0),
            };
            if values.is_empty() {
                let path = JsonPath::root().key("outputs").index(at);
                let message = match *source {
                    Source::Copy(_, place) => format!(
                        "there is no result {place}: {:?} has {} here, counted from 0",
                        node.name, done.list.count
                    ),
                    _ => format!("{:?} has no results here", node.name),
                };
                return Err(Box::new(Diagnostic::error(path, message)));
            }
            outputs.extend(values);
            if named {
                let plain = matches!(source, Source::Node(_));
                let names = (first..).take(values.len()).map(|place| {
                    if !plain {
                        format!("{}[{place}]", node.name)
                    } else if sources.len() == 1 && node.name.parse::<u32>().is_ok() {
                        "output".to_owned()
                    } else {
                        node.name.to_string()
                    }
                });
                self.scratch.output_names.extend(names.collect::<Vec<_>>());
            }
        }
        Ok(outputs)
    }
}
