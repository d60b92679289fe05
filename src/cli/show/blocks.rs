//! Where time and energy go, block by block.

use super::device::OnDevice;
use crate::base::path::Segment;
use crate::cli::failure::Result;
use crate::cli::out::{mj, ms, percent, table};
use crate::cost::Counts;
use crate::ir::Graph;
use crate::space::Space;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The start of a node's name that is its block's name.
pub fn block_of(name: &str, depth: usize) -> &str {
    match name.match_indices('.').nth(depth.saturating_sub(1)) {
        Some((end, _)) => name.get(..end).unwrap_or(name),
        None => name,
    }
}

/// What each block of a document is, by the block's name: the built-in or declared block, or the op, that all its nodes
/// come from; `body` where they come from several.
pub fn kinds(space: &Space, graph: &Graph, depth: usize) -> BTreeMap<String, String> {
    let mut shared: BTreeMap<String, Vec<Segment>> = BTreeMap::new();
    for id in graph.ids() {
        let Some(origin) = graph.origin(id) else {
            continue;
        };
        let block = block_of(graph.name(id), depth);
        match shared.get_mut(block) {
            None => {
                shared.insert(block.to_owned(), origin.segments().to_vec());
            }
            Some(path) => {
                let other = origin.segments().iter();
                let same = path.iter().zip(other).take_while(|(a, b)| a == b).count();
                path.truncate(same);
            }
        }
    }
    let of = |(name, path): (String, Vec<Segment>)| (name, kind(space.json(), &path));
    shared.into_iter().map(of).collect()
}

/// What the innermost node at or around a place is.
fn kind(document: &Value, path: &[Segment]) -> String {
    if let [Segment::Key(blocks), Segment::Key(name), ..] = path
        && &**blocks == "blocks"
    {
        return name.to_string();
    }
    let mut value = document;
    let mut found = "body";
    for segment in path {
        let next = match segment {
            Segment::Key(key) => value.get(&**key),
            Segment::Index(index) => value.get(index),
        };
        let Some(next) = next else { break };
        value = next;
        if let Some(name) = ["block", "op"].iter().find_map(|key| value.get(key)) {
            found = name.as_str().unwrap_or(found);
        } else if value.is_object() {
            found = "body";
        }
    }
    match path.first() {
        Some(Segment::Key(key)) if &**key == "input" => "input".to_owned(),
        _ => found.to_owned(),
    }
}

/// One block's part of a network's cost.
struct Row {
    name: String,
    kind: String,
    kernels: usize,
    macs: u64,
    macs_share: f64,
    latency: f64,
    energy: f64,
}

/// The blocks of a network on a device, and what a run takes beside them.
pub struct Blocks {
    rows: Vec<Row>,
    latency: f64,
    energy: Option<f64>,
}

impl Blocks {
    /// The cost of each block; blocks go by the first `depth` parts of names.
    pub fn of(
        device: &OnDevice,
        graph: &Graph,
        counts: &Counts,
        kinds: &BTreeMap<String, String>,
        depth: usize,
    ) -> Result<Self> {
        let counted = counts.by_block(depth).into_iter().map(|b| Row {
            kind: kinds.get(&b.name).cloned().unwrap_or_default(),
            name: b.name,
            kernels: 0,
            macs: b.macs,
            macs_share: b.macs_share,
            latency: 0.0,
            energy: 0.0,
        });
        let mut rows: Vec<Row> = counted.collect();
        let mut place = BTreeMap::new();
        for (at, row) in rows.iter().enumerate() {
            place.insert(row.name.clone(), at);
        }
        for (cost, owner) in device.costs()?.iter().zip(&device.kernels().owners) {
            let at = place.get(block_of(graph.name(*owner), depth));
            let Some(row) = at.and_then(|at| rows.get_mut(*at)) else {
                continue;
            };
            row.kernels += 1;
            if let Some(cost) = cost.cost {
                row.latency += cost.latency.0;
                row.energy += cost.energy.map_or(0.0, |e| e.0);
            }
        }
        rows.retain(|row| row.kernels > 0 || row.macs > 0);
        let (latency, energy) = device.middle();
        Ok(Self {
            rows,
            latency,
            energy,
        })
    }

    /// As JSON: a row a block, in order.
    pub fn json(&self) -> Value {
        let share = |part: f64, all: f64| if all > 0.0 { part / all } else { 0.0 };
        let row = |b: &Row| {
            json!({
                "name": b.name, "block": b.kind, "kernels": b.kernels,
                "latency_s": b.latency, "latency_share": share(b.latency, self.latency),
                "energy_j": self.energy.map(|_| b.energy),
                "energy_share": self.energy.map(|all| share(b.energy, all)),
                "macs": b.macs, "macs_share": b.macs_share,
            })
        };
        self.rows.iter().map(row).collect()
    }

    /// For a person. What a run takes beside its kernels is the last row, where it is anything.
    pub fn text(&self) -> String {
        let mut head = vec!["  block", "", "kernels", "% of MACs", "ms", "%"];
        if self.energy.is_some() {
            head.extend(["mJ", "%"]);
        }
        let part = |part: f64, all: f64| percent(part / all.max(f64::MIN_POSITIVE));
        let costs = |latency: f64, energy: f64| {
            let mut cells = vec![ms(latency), part(latency, self.latency)];
            if let Some(all) = self.energy {
                cells.extend([mj(energy), part(energy, all)]);
            }
            cells
        };
        let mut rows: Vec<Vec<String>> = Vec::new();
        for b in &self.rows {
            let macs = match b.macs {
                0 => String::new(),
                _ => percent(b.macs_share),
            };
            let mut row = vec![
                format!("  {}", b.name),
                b.kind.clone(),
                b.kernels.to_string(),
                macs,
            ];
            row.extend(costs(b.latency, b.energy));
            rows.push(row);
        }
        let sum = |of: fn(&Row) -> f64| self.rows.iter().map(of).sum::<f64>();
        let rest = self.latency - sum(|b| b.latency);
        let joules = self.energy.map_or(0.0, |all| all - sum(|b| b.energy));
        if rest > 1e-6 * self.latency || joules > 1e-6 * self.energy.unwrap_or(f64::INFINITY) {
            let mut row = vec!["  (each run)".to_owned()];
            row.resize(4, String::new());
            row.extend(costs(rest.max(0.0), joules.max(0.0)));
            rows.push(row);
        }
        table(&head, &[0, 1], rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::path::JsonPath;

    #[test]
    fn blocks_are_what_the_document_calls_them() {
        let document = json!({"net": [
            {"block": "osa", "repeat": 2},
            {"id": "s", "choice": [{"body": [{"op": "conv"}, {"block": "mine"}]}]}]});
        let at = |path: JsonPath| kind(&document, path.segments());
        let net = JsonPath::root().key("net");
        assert_eq!(at(net.index(0)), "osa");
        assert_eq!(at(net.index(1)), "body");
        let inner = net.index(1).key("choice").index(0);
        assert_eq!(at(inner.clone()), "body");
        assert_eq!(at(inner.key("body").index(0)), "conv");
        let declared = JsonPath::root().key("blocks").key("mine").key("body");
        assert_eq!(at(declared.index(3)), "mine");
        assert_eq!(at(JsonPath::root().key("input")), "input");
        assert_eq!(block_of("a.b.c", 2), "a.b");
        assert_eq!(block_of("a", 2), "a");
    }
}
