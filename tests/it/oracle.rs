//! Counts of the published networks, exactly those that the reference implementations were counted to have.

use crate::spaces::{load, root};
use blocksmith::blocks::{Names, Program};
use blocksmith::cost::{Scratch, Totals};
use blocksmith::ir::{Graph, Shape};
use blocksmith::space::Space;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

/// The folder of reference tables; `None` with a printed line where there is none.
pub fn shared() -> Option<PathBuf> {
    let folder = std::env::var_os("BLOCKSMITH_SHARED")
        .map_or_else(|| root().join("../shared"), PathBuf::from);
    if folder.join("reference/oracle.csv").is_file() {
        return Some(folder);
    }
    println!("skipped: no reference tables in {}", folder.display());
    None
}

/// Rows of a CSV file with a header; fields may be quoted.
pub fn csv(text: &str) -> Vec<HashMap<String, String>> {
    let split = |line: &str| -> Vec<String> {
        let (mut fields, mut quoted) = (vec![String::new()], false);
        for c in line.chars() {
            match c {
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(String::new()),
                c => fields.last_mut().unwrap().push(c),
            }
        }
        fields
    };
    let mut lines = text.lines();
    let header = split(lines.next().unwrap());
    lines
        .map(|line| header.iter().cloned().zip(split(line)).collect())
        .collect()
}

/// Rows of the table of reference counts; none where it is not at hand.
#[cfg(feature = "cli")]
pub fn published() -> Vec<HashMap<String, String>> {
    let file = shared().map(|s| std::fs::read_to_string(s.join("reference/oracle.csv")).unwrap());
    file.map_or_else(Vec::new, |text| csv(&text))
}

/// One network of the index.
pub struct Listed {
    pub source: String,
    pub name: String,
    pub file: String,
    pub set: Value,
}

pub fn index() -> Vec<Listed> {
    let text = std::fs::read_to_string(root().join("search_spaces/reference/index.json")).unwrap();
    let list: Vec<Value> = serde_json::from_str(&text).unwrap();
    let text = |v: &Value, key: &str| v[key].as_str().unwrap().to_owned();
    list.iter()
        .map(|v| Listed {
            source: text(v, "source"),
            name: text(v, "name"),
            file: text(v, "file"),
            set: v["set"].clone(),
        })
        .collect()
}

/// Files of the index that have been read.
#[derive(Default)]
pub struct Loaded(BTreeMap<String, (Space, Program)>);

impl Loaded {
    pub fn lower(&mut self, file: &str, set: &Value) -> Graph {
        let path = root().join("search_spaces/reference").join(file);
        let (space, program) = self.0.entry(file.to_owned()).or_insert_with(|| load(&path));
        let assignment = space
            .assignment_from_json(set)
            .unwrap_or_else(|e| panic!("{file} {set}: {}", e.render(None)));
        let graph = program
            .lower(&assignment, Names::On)
            .unwrap_or_else(|e| panic!("{file} {set}: {}", e.render(None)));
        blocksmith::ir::verify::verify(&graph).unwrap();
        graph
    }

    pub fn count(&mut self, file: &str, set: &Value) -> (Totals, Shape) {
        let graph = self.lower(file, set);
        let totals = Totals::of(&graph, &mut Scratch::default()).unwrap();
        (totals, graph.shape(graph.outputs()[0]))
    }
}

#[test]
fn every_row_of_the_oracle_is_listed_and_has_its_counts() {
    let mut loaded = Loaded::default();
    let index = index();
    let counted: Vec<_> = index
        .iter()
        .map(|n| loaded.count(&n.file, &n.set))
        .collect();
    let Some(shared) = shared() else { return };
    let rows = csv(&std::fs::read_to_string(shared.join("reference/oracle.csv")).unwrap());
    assert_eq!(rows.len(), 138);
    let mut wrong = Vec::new();
    let mut held = 0;
    for row in &rows {
        let found = index
            .iter()
            .zip(&counted)
            .find(|(n, _)| row["source"] == n.source && row["name"] == n.name);
        let Some((listed, (t, out))) = found else {
            let name = (row["source"].as_str(), row["name"].as_str());
            wrong.push(format!("{} {} is not listed", name.0, name.1));
            continue;
        };
        held += 1;
        let shape = match *out {
            Shape::Flat { n } => format!("1x{n}"),
            Shape::Map { c, h, w } => format!("1x{c}x{h}x{w}"),
        };
        assert_eq!(row["output_shape"], shape, "{}", listed.name);
        for (column, got) in [
            ("params", t.params),
            ("macs_conv_linear", t.macs),
            ("macs_conv", t.macs_conv),
            ("macs_linear", t.macs_linear),
            ("conv_out_elems", t.conv_out_elems),
            ("conv_memory_access_elems", t.mem_access_elems),
            ("n_conv", t.n_conv),
            ("n_conv_depthwise", t.n_conv_depthwise),
            ("n_conv_grouped", t.n_conv_grouped),
            ("n_linear", t.n_linear),
            ("n_batchnorm", t.n_batchnorm),
            ("running_stat_elems", t.running_stat_elems),
        ] {
            if row[column] != got.to_string() {
                wrong.push(format!(
                    "{} {}: {column} {} of the oracle, {got} of ours",
                    listed.source, listed.name, row[column]
                ));
            }
        }
    }
    println!("{held} of {} networks of the oracle", rows.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Figures that stand in the papers' codes, so that something holds where the reference tables are not at hand:
/// parameters, multiply-adds of convolutions and classifier.
#[test]
fn golden_counts() {
    let mut loaded = Loaded::default();
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    for (file, set, params, macs) in [
        ("vovnet27_slim.json", "{}", 3_525_736, 2_176_695_296),
        (
            "vovnet.json",
            r#"{"model": "v27_slim", "identity": false, "gate": "none"}"#,
            3_525_736,
            2_176_695_296,
        ),
        (
            "vovnet.json",
            r#"{"model": "v39", "identity": false, "gate": "none"}"#,
            22_600_296,
            7_072_227_328,
        ),
        (
            "vovnet.json",
            r#"{"model": "v39", "identity": true, "gate": "last"}"#,
            24_568_936,
            7_074_193_408,
        ),
        (
            "shufflenet_v2.json",
            r#"{"model": "x0_5", "form": "torchvision", "bias": true}"#,
            1_366_792,
            40_476_448,
        ),
        (
            "shufflenet_v2.json",
            r#"{"model": "x1_0", "form": "torchvision", "bias": true}"#,
            2_278_604,
            144_907_992,
        ),
        (
            "shufflenet_v2.json",
            r#"{"model": "x1_0", "form": "official", "bias": false}"#,
            2_278_760,
            145_814_296,
        ),
        (
            "espnet_v2.json",
            r#"{"s": 1.0, "form": "official"}"#,
            1_670_072,
            86_744_404,
        ),
        (
            "regnetx.json",
            r#"{"model": "x002", "ghost": true}"#,
            1_825_440,
            130_922_824,
        ),
        (
            "regnetx.json",
            r#"{"model": "x032", "ghost": true}"#,
            10_511_000,
            1_801_746_240,
        ),
    ] {
        let (t, _) = loaded.count(file, &json(set));
        assert_eq!((t.params, t.macs), (params, macs), "{file} {set}");
    }
}

/// Cell 0 of NAS-Bench-201 on CIFAR-10 has 15.647 MMACs of convolutions and classifier; CIFAR-100 has 90 classes more.
#[test]
fn nasbench201_has_its_cells_and_their_size() {
    let (space, program) = load(&root().join("search_spaces/nasbench201.json"));
    assert_eq!((space.size().count, space.size().exact), (46_875.0, true));
    let edges = |ops: [&str; 6], task: &str| {
        let [e01, e02, e12, e03, e13, e23] = ops;
        serde_json::json!({"e01": e01, "e02": e02, "e12": e12, "e03": e03, "e13": e13, "e23": e23, "task": task})
    };
    let count = |json: &Value| {
        let a = space.assignment_from_json(json).unwrap();
        let graph = program.lower(&a, Names::On).unwrap();
        let t = Totals::of(&graph, &mut Scratch::default()).unwrap();
        (t, graph.shape(graph.outputs()[0]))
    };
    let (pool, conv1, conv3) = ("avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3");
    let skip = "skip_connect";
    // |avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|
    let zero = [pool, conv1, skip, conv1, skip, skip];
    let (t, out) = count(&edges(zero, "cifar100"));
    assert_eq!(out, Shape::Flat { n: 100 });
    let cifar10 = t.macs - 90 * 64;
    assert_eq!((cifar10 + 500) / 1000, 15_647, "{cifar10}");
    // By hand: stem 432; per stage 5 cells of 6 3x3 convolutions with norms; reductions; head.
    let all3 = [conv3; 6];
    let cells: u64 = [16u64, 32, 64]
        .iter()
        .map(|c| 30 * (9 * c * c + 2 * c))
        .sum();
    let reduction = |c: u64| c * 2 * c * 9 + 4 * c * c * 9 + 8 * c + 2 * c * c;
    let rest = |stem: u64, classes: u64| {
        stem * 16 * 9 + 32 + reduction(16) + reduction(32) + 128 + 65 * classes
    };
    for (task, channels, classes) in [("cifar100", 3, 100), ("ninapro", 1, 18), ("darcy", 1, 1)] {
        let (t, _) = count(&edges(all3, task));
        assert_eq!(t.params, cells + rest(channels, classes), "{task}");
    }
    // Without a path from input to output the classifier sees zeros.
    let (t, _) = count(&edges(["none"; 6], "darcy"));
    assert!(t.n_conv >= 1);
}
