//! The identity of a network, put together from those of its stretches.
//!
//! A *cut* is a value that everything before it must pass: what comes later reads nothing earlier but inputs of the
//! network, and no output lies before it. Inputs are known by their index wherever they are read. Cuts belong to the network, not to its spelling; between two of them lies a stretch, whose nodes are
//! numbered in the order in which a walk from the outputs finishes them. The identity of the network is the chain of
//! the identities of its stretches, so that a net made of known parts need not be walked again.

use super::graph::{Graph, ValueId};
use super::ops::Op;
use crate::base::hash::{Chain, Fingerprint};

const NEW: u32 = u32::MAX;
/// The number of all inputs of the network.
const INPUT: u32 = u32::MAX - 1;
/// Words that no op and no number begins with.
const SHARES: u64 = u64::MAX;
const INDEX: u64 = u64::MAX - 1;

/// Memory that [`Graph::chain`] works in, to be reused.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    /// By value: its number in the walk.
    number: Vec<u32>,
    order: Vec<ValueId>,
    /// Inputs of the network that the walk has met.
    inputs: Vec<ValueId>,
    /// By number: the last number that reads it.
    last_read: Vec<u32>,
    /// By value: the number of the first node that works with its parameters, where any are shared.
    user: Vec<u32>,
    walk: Vec<(ValueId, u32)>,
    bytes: Vec<u8>,
}

impl Graph {
    /// Identity of the network: ops and edges of the live part, without names. Two spellings of one net are one,
    /// whatever the order of their nodes.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint_with(&mut Scratch::default())
    }

    /// As [`fingerprint`](Self::fingerprint), in memory that is used again and again.
    pub fn fingerprint_with(&self, scratch: &mut Scratch) -> Fingerprint {
        let (rest, _) = self.chain(None, scratch);
        let Scratch {
            number,
            order,
            inputs,
            bytes,
            ..
        } = scratch;
        inputs.sort_unstable_by_key(|id| self.index(*id));
        let mut head = Chain::default();
        for input in inputs {
            head = head.then(of_input(&self.node(*input).op, bytes));
        }
        let last = order.len() as u64;
        let place = |output: &ValueId| match (number[output.index()], self.index(*output)) {
            (INPUT, Some(index)) => INDEX - u64::from(index),
            (number, _) => last - u64::from(number),
        };
        let places = self.outputs().iter().map(place);
        fingerprint(head.then(rest), places, bytes)
    }

    /// The chain of the identities of its stretches. Of a part of a network, `entry` is the cut before it, and no link
    /// of the chain; `false` where the network's walk would not meet it before all else of the part.
    pub fn chain(&self, entry: Option<ValueId>, scratch: &mut Scratch) -> (Chain, bool) {
        self.number(entry, scratch);
        let Scratch {
            number,
            order,
            last_read,
            user,
            bytes,
            ..
        } = scratch;
        user.clear();
        if self.has_sharers() {
            user.resize(self.nodes().len(), NEW);
        }
        let mut chain = Chain::default();
        // the first number of the stretch, less one: the cut that it starts from
        let (mut start, mut reach) = (NEW, 0);
        for (at, id) in (0u32..).zip(order.iter()) {
            let inputs = self.inputs(*id);
            let mut put = |word: u64| bytes.extend_from_slice(&word.to_le_bytes());
            self.node(*id).op.feed(&mut put);
            put(inputs.len() as u64);
            for input in inputs {
                match (number[input.index()], self.index(*input)) {
                    (INPUT, Some(index)) => [INDEX, index.into()].into_iter().for_each(&mut put),
                    (number, _) => put(u64::from(number.wrapping_sub(start))),
                }
            }
            if let Some(user) = user.get_mut(self.owner(*id).index())
                && self.node(*id).op.learns()
            {
                match *user {
                    NEW => *user = at,
                    // how far back, in words that no op begins with
                    first => [SHARES, u64::from(at - first)].into_iter().for_each(put),
                }
            }
            if reach <= at {
                if at > 0 || entry.is_none() {
                    chain = chain.then(Chain::of(Fingerprint::of(bytes)));
                }
                bytes.clear();
                start = at;
            }
            reach = reach.max(last_read[at as usize]);
        }
        if !bytes.is_empty() {
            chain = chain.then(Chain::of(Fingerprint::of(bytes)));
            bytes.clear();
        }
        (chain, entry.is_none() || order.first() == entry.as_ref())
    }

    /// The index of an input of the network.
    fn index(&self, id: ValueId) -> Option<u32> {
        match self.node(id).op {
            Op::Input { index, .. } => Some(index),
            _ => None,
        }
    }

    /// Numbers what the outputs need in the order in which a walk from them finishes it.
    fn number(&self, entry: Option<ValueId>, scratch: &mut Scratch) {
        let Scratch {
            number,
            order,
            last_read,
            walk,
            inputs: outside,
            bytes,
            ..
        } = scratch;
        outside.clear();
        number.clear();
        number.resize(self.nodes().len(), NEW);
        order.clear();
        last_read.clear();
        bytes.clear();
        let mut meet = |id: ValueId, number: &mut [u32], walk: &mut Vec<(ValueId, u32)>| {
            if number[id.index()] != NEW {
                return;
            }
            if self.index(id).is_some() && entry != Some(id) {
                number[id.index()] = INPUT;
                outside.push(id);
            } else {
                walk.push((id, 0));
            }
        };
        for output in self.outputs() {
            meet(*output, number, walk);
            // a node on the walk and which of its inputs comes next
            while let Some((id, place)) = walk.last_mut() {
                let (id, inputs) = (*id, self.inputs(*id));
                if let Some(input) = inputs.get(*place as usize) {
                    *place += 1;
                    meet(*input, number, walk);
                    continue;
                }
                walk.pop();
                let at = order.len() as u32;
                number[id.index()] = at;
                order.push(id);
                last_read.push(at);
                for input in inputs {
                    if let Some(read) = last_read.get_mut(number[input.index()] as usize) {
                        *read = at;
                    }
                }
            }
        }
        for output in self.outputs() {
            if let Some(read) = last_read.get_mut(number[output.index()] as usize) {
                *read = NEW;
            }
        }
    }
}

/// The identity of an input of the network.
pub fn of_input(op: &Op, bytes: &mut Vec<u8>) -> Chain {
    bytes.clear();
    op.feed(&mut |word: u64| bytes.extend_from_slice(&word.to_le_bytes()));
    Chain::of(Fingerprint::of(bytes))
}

/// The identity of a network of one output, its last value, from the chain of all its stretches.
pub fn of_chain(chain: Chain) -> Fingerprint {
    let one_from_the_end = Fingerprint::of(&1u64.to_le_bytes());
    chain.then(Chain::of(one_from_the_end)).finish()
}

/// `places`: how far from the end the outputs lie.
fn fingerprint(
    chain: Chain,
    places: impl Iterator<Item = u64>,
    bytes: &mut Vec<u8>,
) -> Fingerprint {
    bytes.clear();
    places.for_each(|place| bytes.extend_from_slice(&place.to_le_bytes()));
    chain.then(Chain::of(Fingerprint::of(bytes))).finish()
}
