//! The identity of a network, put together from those of its stretches.
//!
//! A *cut* is a value that everything before it must pass: what comes later reads nothing earlier, and no output lies
//! before it. Cuts belong to the network, not to its spelling; between two of them lies a stretch, whose nodes are
//! numbered in the order in which a walk from the outputs finishes them. The identity of the network is the chain of
//! the identities of its stretches, so that a net made of known parts need not be walked again.

use super::graph::{Graph, ValueId};
use crate::base::hash::{Chain, Fingerprint};

const NEW: u32 = u32::MAX;
const SHARES: u64 = u64::MAX;

/// Memory that [`Graph::chain`] works in, to be reused.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    /// By value: its number in the walk.
    number: Vec<u32>,
    order: Vec<ValueId>,
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
        let (head, rest) = self.chain(scratch);
        let last = scratch.order.len() as u64;
        let number = |output: &ValueId| u64::from(scratch.number[output.index()]);
        let places = self.outputs().iter().map(|output| last - number(output));
        fingerprint(head.then(rest), places, &mut scratch.bytes)
    }

    /// The identity of its first stretch (the input, where there is one input only), and the chain of all others.
    pub fn chain(&self, scratch: &mut Scratch) -> (Chain, Chain) {
        self.number(scratch);
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
        let (mut head, mut rest) = (None, Chain::default());
        // the first number of the stretch, less one: the cut that it starts from
        let (mut start, mut reach) = (NEW, 0);
        for (at, id) in (0u32..).zip(order.iter()) {
            let inputs = self.inputs(*id);
            let mut put = |word: u64| bytes.extend_from_slice(&word.to_le_bytes());
            self.node(*id).op.feed(&mut put);
            put(inputs.len() as u64);
            for input in inputs {
                put(u64::from(number[input.index()].wrapping_sub(start)));
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
                let link = Chain::of(Fingerprint::of(bytes));
                bytes.clear();
                start = at;
                if head.is_none() {
                    head = Some(link);
                } else {
                    rest = rest.then(link);
                }
            }
            reach = reach.max(last_read[at as usize]);
        }
        if !bytes.is_empty() {
            let link = Chain::of(Fingerprint::of(bytes));
            match head {
                None => head = Some(link),
                Some(_) => rest = rest.then(link),
            }
        }
        (head.unwrap_or_default(), rest)
    }

    /// Numbers what the outputs need in the order in which a walk from them finishes it.
    fn number(&self, scratch: &mut Scratch) {
        let Scratch {
            number,
            order,
            last_read,
            walk,
            bytes,
            ..
        } = scratch;
        number.clear();
        number.resize(self.nodes().len(), NEW);
        order.clear();
        last_read.clear();
        bytes.clear();
        for output in self.outputs() {
            if number[output.index()] == NEW {
                walk.push((*output, 0));
            }
            // a node on the walk and which of its inputs comes next
            while let Some((id, place)) = walk.last_mut() {
                let (id, inputs) = (*id, self.inputs(*id));
                if let Some(input) = inputs.get(*place as usize) {
                    *place += 1;
                    if number[input.index()] == NEW {
                        walk.push((*input, 0));
                    }
                    continue;
                }
                walk.pop();
                let at = order.len() as u32;
                number[id.index()] = at;
                order.push(id);
                last_read.push(at);
                for input in inputs {
                    last_read[number[input.index()] as usize] = at;
                }
            }
        }
        for output in self.outputs() {
            last_read[number[output.index()] as usize] = NEW;
        }
    }
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
