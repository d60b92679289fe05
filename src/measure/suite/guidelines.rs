//! The experiments behind ShuffleNetV2's guidelines and VoVNet's bottleneck ablation, with the figures that were printed.
//!
//! Source: ShuffleNetV2 (arXiv 1807.11164), Tables 1 to 4; VoVNet (arXiv 1904.09730), Table 3.

use super::item;
use crate::measure::Item;
use serde_json::{Value, json};

/// One line of a table: nets that differ in size only.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its head.
    pub head: &'static str,
    /// Decisions of the net in each column.
    pub choices: Vec<Value>,
    /// Figures printed for a GPU, in the same columns.
    pub gpu: Vec<f64>,
    /// Figures printed for Arm.
    pub arm: Vec<f64>,
}

/// One table.
#[derive(Clone, Debug)]
pub struct Guideline {
    /// Short name.
    pub name: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// File under `search_spaces/guidelines/`.
    pub file: &'static str,
    /// Heads of the columns.
    pub columns: &'static [&'static str],
    /// Unit of the printed figures.
    pub unit: &'static str,
    /// Whether more is better.
    pub rate: bool,
    /// The lines; the first is what the others are compared with.
    pub lines: fn() -> Vec<Line>,
}

/// All tables. The nets are those of the paper's Arm column, which a CPU runs in reasonable time.
pub static GUIDELINES: &[Guideline] = &[
    Guideline {
        name: "G1",
        title: "equal channel widths (c1:c2)",
        file: "g1_widths.json",
        columns: &["x1", "x2", "x4"],
        unit: "images/s (GPU: batches/s of nets four times as wide)",
        rate: true,
        lines: g1,
    },
    Guideline {
        name: "G2",
        title: "groups",
        file: "g2_groups.json",
        columns: &["x1", "x2", "x4"],
        unit: "images/s (GPU: batches/s of nets twice as wide)",
        rate: true,
        lines: g2,
    },
    Guideline {
        name: "G3",
        title: "fragments",
        file: "g3_fragments.json",
        columns: &["c=64", "c=128", "c=256"],
        unit: "images/s (GPU: batches/s of nets twice as wide)",
        rate: true,
        lines: g3,
    },
    Guideline {
        name: "G4",
        title: "element-wise work",
        file: "g4_elementwise.json",
        columns: &["c=32", "c=64", "c=128"],
        unit: "images/s (GPU: batches/s)",
        rate: true,
        lines: g4,
    },
    Guideline {
        name: "OSA",
        title: "bottlenecks in VoVNet-27-slim",
        file: "osa_bottleneck.json",
        columns: &["300x300"],
        unit: "ms (whole detector on a TITAN X Pascal)",
        rate: false,
        lines: osa,
    },
];

fn scaled(head: &'static str, of: impl Fn(u32) -> Value, gpu: [f64; 3], arm: [f64; 3]) -> Line {
    Line {
        head,
        choices: [1, 2, 4].map(of).to_vec(),
        gpu: gpu.to_vec(),
        arm: arm.to_vec(),
    }
}

fn g1() -> Vec<Line> {
    let line = |head, ratio: u32, gpu, arm| {
        scaled(
            head,
            |scale| json!({"on": "arm", "ratio": ratio, "scale": scale}),
            gpu,
            arm,
        )
    };
    vec![
        line("1:1", 1, [1480.0, 723.0, 232.0], [76.2, 21.7, 5.3]),
        line("1:2", 2, [1296.0, 586.0, 206.0], [72.9, 20.5, 5.1]),
        line("1:6", 6, [876.0, 489.0, 189.0], [69.1, 17.9, 4.6]),
        line("1:12", 12, [748.0, 392.0, 163.0], [57.6, 15.1, 4.4]),
    ]
}

fn g2() -> Vec<Line> {
    let line = |head, groups: u32, gpu, arm| {
        scaled(
            head,
            |scale| json!({"on": "arm", "groups": groups, "scale": scale}),
            gpu,
            arm,
        )
    };
    vec![
        line("g = 1", 1, [2451.0, 1289.0, 437.0], [40.0, 10.2, 2.3]),
        line("g = 2", 2, [1725.0, 873.0, 341.0], [35.0, 9.5, 2.2]),
        line("g = 4", 4, [1026.0, 644.0, 338.0], [32.9, 8.7, 2.1]),
        line("g = 8", 8, [634.0, 445.0, 230.0], [27.8, 7.5, 1.8]),
    ]
}

fn g3() -> Vec<Line> {
    let line = |head, fragments: u32, parallel: bool, gpu, arm| {
        let of = |scale| json!({"c": 64 * scale, "fragments": fragments, "parallel": parallel});
        scaled(head, of, gpu, arm)
    };
    vec![
        line(
            "1 fragment",
            1,
            false,
            [2446.0, 1274.0, 434.0],
            [40.2, 10.1, 2.3],
        ),
        line(
            "2 in series",
            2,
            false,
            [1790.0, 909.0, 336.0],
            [38.6, 10.1, 2.2],
        ),
        line(
            "4 in series",
            4,
            false,
            [752.0, 745.0, 349.0],
            [38.4, 10.1, 2.3],
        ),
        line(
            "2 in parallel",
            2,
            true,
            [1537.0, 803.0, 320.0],
            [33.4, 9.1, 2.2],
        ),
        line(
            "4 in parallel",
            4,
            true,
            [691.0, 572.0, 292.0],
            [35.0, 8.4, 2.1],
        ),
    ]
}

fn g4() -> Vec<Line> {
    let line = |head, relu: bool, shortcut: bool, gpu, arm| {
        let of = |scale| json!({"c": 32 * scale, "relu": relu, "shortcut": shortcut});
        scaled(head, of, gpu, arm)
    };
    vec![
        line(
            "ReLU and shortcut",
            true,
            true,
            [2427.0, 2066.0, 1436.0],
            [56.7, 16.9, 5.0],
        ),
        line(
            "ReLU",
            true,
            false,
            [2647.0, 2256.0, 1735.0],
            [61.9, 18.8, 5.2],
        ),
        line(
            "shortcut",
            false,
            true,
            [2672.0, 2121.0, 1458.0],
            [57.3, 18.2, 5.1],
        ),
        line(
            "neither",
            false,
            false,
            [2842.0, 2376.0, 1782.0],
            [66.3, 20.2, 5.4],
        ),
    ]
}

fn osa() -> Vec<Line> {
    let line = |head, bottleneck: bool, gpu: f64| Line {
        head,
        choices: vec![json!({"bottleneck": bottleneck})],
        gpu: vec![gpu],
        arm: Vec::new(),
    };
    vec![line("without", false, 14.0), line("with", true, 18.0)]
}

/// All nets of all tables, table by table, line by line.
pub fn guidelines(folder: &str) -> Vec<Item> {
    let mut items = Vec::new();
    for table in GUIDELINES {
        for line in (table.lines)() {
            for (choices, column) in line.choices.iter().zip(table.columns) {
                let name = format!("{} {} {column}", table.name, line.head);
                let item = item(
                    "guidelines",
                    folder,
                    table.file,
                    table.name,
                    name,
                    choices.clone(),
                );
                items.push(item);
            }
        }
    }
    items
}
