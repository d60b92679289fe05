//! Rewrites a graph: other ops, nodes left out, a chain of ops in the place of many nodes.

use crate::ir::{Graph, GraphBuilder, Op, ShapeError, ValueId};
use std::collections::{BTreeMap, HashSet};

/// Changes to a graph.
///
/// Names, shared parameters and the order of what stays are kept; origins are not, as a document no longer says this.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// Ops in the place of others.
    pub ops: BTreeMap<ValueId, Op>,
    /// Inputs in the place of others.
    pub inputs: BTreeMap<ValueId, Vec<ValueId>>,
    /// Nodes left out: who read the first reads the second, which comes before it.
    pub gone: BTreeMap<ValueId, ValueId>,
    /// Nodes left out that nothing left in reads.
    pub dropped: HashSet<ValueId>,
    /// Ops in a row in the place of a node, on this input.
    pub chains: BTreeMap<ValueId, (ValueId, Vec<Op>)>,
}

/// A rewritten graph.
#[derive(Clone, Debug)]
pub struct Edited {
    /// The graph.
    pub graph: Graph,
    /// By node of the old graph: what its readers read now. `None` for what nothing reads.
    pub values: Vec<Option<ValueId>>,
}

impl Edited {
    /// What stands for a value of the old graph.
    pub fn value(&self, old: ValueId) -> Option<ValueId> {
        self.values.get(old.index()).copied().flatten()
    }
}

impl Edit {
    /// The graph with the changes; all shapes are inferred anew.
    ///
    /// # Errors
    /// Where an op no longer fits its inputs.
    pub fn apply(&self, graph: &Graph) -> Result<Edited, ShapeError> {
        let named = !graph.names().is_empty();
        let mut taken: HashSet<&str> = HashSet::new();
        if named {
            taken.extend(graph.names().iter().map(String::as_str));
        }
        let mut builder = GraphBuilder::new(named);
        let mut values: Vec<Option<ValueId>> = Vec::with_capacity(graph.nodes().len());
        let of = |values: &[Option<ValueId>], old: &ValueId| values.get(old.index()).copied()?;
        for id in graph.ids() {
            if self.dropped.contains(&id) {
                values.push(None);
                continue;
            }
            if let Some(source) = self.gone.get(&id) {
                let source = of(&values, source);
                values.push(source);
                continue;
            }
            let name = graph.name(id);
            if let Some((input, ops)) = self.chains.get(&id) {
                let mut at = of(&values, input);
                for (place, op) in ops.iter().enumerate() {
                    let Some(input) = at else { break };
                    // the last has the name of the node, so that outputs keep theirs
                    let own = match place + 1 == ops.len() {
                        true => name.to_owned(),
                        false => free_name(name, op, &taken),
                    };
                    at = Some(builder.push_named(*op, &[input], || own)?);
                }
                values.push(at);
                continue;
            }
            let inputs = self.inputs.get(&id).map_or(graph.inputs(id), Vec::as_slice);
            let read: Option<Vec<ValueId>> = inputs.iter().map(|x| of(&values, x)).collect();
            let Some(read) = read else {
                values.push(None); // its inputs are gone: nothing needed it either
                continue;
            };
            let op = self.ops.get(&id).copied().unwrap_or(graph.node(id).op);
            let made = builder.push_named(op, &read, || name.to_owned())?;
            if graph.is_sharer(id)
                && let Some(owner) = of(&values, &graph.owner(id))
            {
                builder.share(made, owner)?;
            }
            values.push(Some(made));
        }
        builder.label(
            graph.input_names().to_vec(),
            graph.output_names().to_vec(),
            Vec::new(),
        );
        let outputs = graph.outputs().iter().filter_map(|o| of(&values, o));
        let outputs: Vec<ValueId> = outputs.collect();
        let graph = builder.finish(&outputs);
        Ok(Edited { graph, values })
    }
}

fn free_name(node: &str, op: &Op, taken: &HashSet<&str>) -> String {
    let mut name = format!("{node}.{}", op.name());
    while taken.contains(name.as_str()) {
        name.push('_');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::ops::{Act, BatchNorm, Conv};
    use crate::ir::{text, verify};

    const NET: &str = "%0 input 4x8x8 : in\n\
        %1 conv 4x8x8 (%0) k3 p1 : a\n\
        %2 relu 4x8x8 (%1) : r\n\
        %3 conv 4x8x8 (%2) k3 p1 of%1 : b\n\
        %4 add 4x8x8 (%3 %2) : sum\n\
        output %4\n";

    #[test]
    fn nodes_go_change_and_are_replaced() {
        let graph = text::parse(NET).unwrap();
        let same = Edit::default().apply(&graph).unwrap();
        assert_eq!(same.graph.to_string(), graph.to_string());

        let mut edit = Edit::default();
        edit.gone.insert(ValueId(2), ValueId(1));
        let bare = edit.apply(&graph).unwrap();
        let wanted = "%0 input 4x8x8 : in\n%1 conv 4x8x8 (%0) k3 p1 : a\n\
            %2 conv 4x8x8 (%1) k3 p1 of%1 : b\n%3 add 4x8x8 (%2 %1) : sum\noutput %3\n";
        assert_eq!(bare.graph.to_string(), wanted);
        assert_eq!(bare.value(ValueId(2)), Some(ValueId(1)));

        let mut edit = Edit::default();
        edit.dropped.extend([ValueId(1), ValueId(2), ValueId(3)]);
        let ops = vec![
            Conv::same(6, 1, 1).into(),
            BatchNorm::default().into(),
            Act::Relu.into(),
        ];
        edit.chains.insert(ValueId(4), (ValueId(0), ops));
        let one = edit.apply(&graph).unwrap();
        let wanted = "%0 input 4x8x8 : in\n%1 conv 6x8x8 (%0) k1 : sum.conv\n\
            %2 batch_norm 6x8x8 (%1) : sum.batch_norm\n%3 relu 6x8x8 (%2) : sum\noutput %3\n";
        assert_eq!(one.graph.to_string(), wanted);
        verify(&one.graph).unwrap();

        let mut edit = Edit::default();
        edit.ops.insert(ValueId(1), Conv::same(6, 3, 1).into());
        assert!(edit.apply(&graph).is_err(), "shared weights no longer fit");
    }
}
