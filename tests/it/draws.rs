//! Random uses of the listed ops and blocks within what they document, for tests with and without libtorch.

use blocksmith::base::rng::{Rng, stream};
use blocksmith::blocks::{self, BlockDef, Names};
use blocksmith::ir::Graph;
use blocksmith::space::Assignment;
use blocksmith::space::signature::{NodeKind, ParamKind};
use rand::RngExt;
use serde_json::{Map, Value, json};

/// Every op and every block, native and shipped.
pub fn listed() -> impl Iterator<Item = &'static BlockDef> {
    let blocks = blocks::list(NodeKind::Block).iter();
    blocks::list(NodeKind::Op).iter().chain(blocks).copied()
}

/// One node and what it is fed.
#[derive(Clone, Debug)]
pub struct Draw {
    pub input: [u32; 3],
    /// Whether a second value, the input at half its size, is at hand as well.
    two: bool,
    /// Whether the node is given a vector.
    flat: bool,
    pub node: Map<String, Value>,
}

const MAPS: [[u32; 2]; 7] = [[1, 1], [7, 7], [8, 8], [16, 16], [5, 9], [13, 2], [75, 97]];

/// Draw number `number` of an entry.
pub fn draw(def: &BlockDef, seed: u64, number: u64) -> Draw {
    let mut rng = stream(seed, def.name, number);
    let mut pick = |of: &[u32]| of[rng.random_range(0..of.len())];
    let c = pick(&[1, 2, 3, 4, 6, 8, 12, 16, 16, 18, 24, 32, 32, 48, 64]);
    let size = MAPS[pick(&[0, 1, 1, 2, 3, 3, 4, 5, 6]) as usize];
    let flat = takes_vector(def);
    let example: Value = serde_json::from_str(def.example).unwrap();
    let mut node = Map::new();
    let key = if def.kind == NodeKind::Op {
        "op"
    } else {
        "block"
    };
    node.insert(key.to_owned(), def.name.into());
    let mut two = false;
    match example.get("from") {
        Some(from) => {
            node.insert("from".to_owned(), from.clone());
        }
        // a second input where the entry says that it takes one
        None if def.shapes.contains("(and ") && rng.random_bool(0.5) => {
            two = true;
            node.insert("from".to_owned(), json!(["half", "in"]));
        }
        None => {}
    }
    for param in def.params {
        if param.required || rng.random_bool(0.6) {
            let value = value(param.name, param.kind, c, &mut rng);
            node.insert(param.name.to_owned(), value);
        }
    }
    Draw {
        input: [c, size[0], size[1]],
        two,
        flat,
        node,
    }
}

fn takes_vector(def: &BlockDef) -> bool {
    def.shapes.starts_with("[n]")
}

fn value(name: &str, kind: ParamKind, c: u32, rng: &mut Rng) -> Value {
    let c = i64::from(c);
    let width = ["channels", "features", "classes", "width"]
        .iter()
        .any(|end| name.ends_with(end));
    let mut whole = |min: i64, max: i64| {
        let x = if !width {
            min + [0, 0, 1, 1, 1, 2, 3, 3, 6][rng.random_range(0..9)]
        } else if rng.random_bool(0.25) {
            c
        } else {
            let near = [c / 2, 2 * c, 2 * c, c + 16, c + 16, c + 32, 3 * c];
            let plain = [1, 2, 7, 8, 8, 12, 16, 16, 24, 30, 32, 40, 48, 64, 64, 80];
            let k = rng.random_range(0..near.len() + plain.len());
            near.into_iter().chain(plain).nth(k).unwrap()
        };
        x.clamp(min, max)
    };
    match kind {
        ParamKind::Int { min, max } => whole(min, max).into(),
        ParamKind::Pair { min, max } => {
            let (a, b) = (whole(min, max), whole(min, max));
            if rng.random_bool(0.7) {
                a.into()
            } else {
                json!([a, b])
            }
        }
        ParamKind::Real { min, max } => {
            let (min, max) = (min.max(-4.0), max.min(4.0));
            json!(min + (max - min) * f64::from(rng.random_range(0..=8u32)) / 8.0)
        }
        ParamKind::Bool => rng.random_bool(0.5).into(),
        ParamKind::Word(of) => of[rng.random_range(0..of.len())].into(),
    }
}

impl Draw {
    /// The entry's own example, on the input that examples are written for.
    pub fn example(def: &BlockDef) -> Self {
        let node: Value = serde_json::from_str(def.example).unwrap();
        Self {
            flat: takes_vector(def),
            ..Self::of(&node, &json!([32, 16, 16]))
        }
    }

    /// A node that takes one map of this shape.
    pub fn of(node: &Value, input: &Value) -> Self {
        let axis = |k: usize| input[k].as_u64().unwrap() as u32;
        Self {
            input: [axis(0), axis(1), axis(2)],
            two: false,
            flat: false,
            node: node.as_object().unwrap().clone(),
        }
    }

    /// The document.
    pub fn text(&self) -> String {
        let mut net = Vec::new();
        if self.two {
            net.push(json!({"id": "half", "op": "max_pool", "kernel_size": 3, "stride": 2, "padding": 1}));
        }
        if self.flat {
            net.push(json!({"op": "global_avg_pool"}));
            net.push(json!({"op": "flatten"}));
        }
        let mut node = self.node.clone();
        node.insert("id".to_owned(), "it".into());
        net.push(node.into());
        // all of its results
        json!({"format": "blocksmith/1", "name": "draw", "input": self.input, "net": net, "outputs": ["it[*]"]})
            .to_string()
    }

    /// Where the node stands.
    pub fn path(&self) -> String {
        format!(
            "net[{}]",
            usize::from(self.two) + 2 * usize::from(self.flat)
        )
    }

    /// The network, or what is wrong with it.
    pub fn lower(&self) -> Result<Graph, blocksmith::base::diag::Diagnostics> {
        let (_, program) = blocks::load(&self.text())?;
        program.lower(&Assignment::empty(), Names::On)
    }

    /// Whether there is such a network; what would fit is not looked for.
    pub fn builds(&self) -> bool {
        let Ok((_, program)) = blocks::load(&self.text()) else {
            return false;
        };
        let mut scratch = blocks::Scratch::default();
        program
            .lower_into(&mut scratch, &Assignment::empty(), Names::Off)
            .is_ok()
    }

    /// The same with a value that a diagnostic told to fit; false where it is about no place of this node.
    pub fn set(&mut self, at: &str, value: &Value) -> bool {
        let whole = || value.as_u64().unwrap() as u32;
        match at {
            "in.c" => self.input[0] = whole(),
            // the second of two inputs is half the first
            "in.h" => self.input[1] = whole() * if self.two { 2 } else { 1 },
            "in.w" => self.input[2] = whole() * if self.two { 2 } else { 1 },
            _ => {
                let Some(name) = at.strip_prefix(&format!("{}.", self.path())) else {
                    return false;
                };
                if value.is_null() {
                    self.node.remove(name);
                } else {
                    self.node.insert(name.to_owned(), value.clone());
                }
            }
        }
        true
    }
}
