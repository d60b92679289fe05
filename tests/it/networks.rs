//! Networks of the index beyond the oracle's rows: counts of PyTorch packages, and kernels of the network files that the Arm
//! measurements were made with.

use crate::oracle::{Loaded, csv, index, shared};
use crate::spaces::root;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::process::Command;

/// What `tests/python/counts.py` printed.
fn table() -> BTreeMap<(String, String), (u64, u64)> {
    let text = std::fs::read_to_string(root().join("tests/data/networks.csv")).unwrap();
    let number = |text: &str| text.parse().unwrap();
    csv(&text)
        .into_iter()
        .map(|r| {
            let key = (r["source"].clone(), r["name"].clone());
            (key, (number(&r["params"]), number(&r["macs"])))
        })
        .collect()
}

#[test]
fn networks_have_the_counts_of_their_packages() {
    let table = table();
    let mut loaded = Loaded::default();
    let mut names = HashSet::new();
    let oracle: Option<HashSet<_>> = shared().map(|shared| {
        let text = std::fs::read_to_string(shared.join("reference/oracle.csv")).unwrap();
        let key = |r: HashMap<String, String>| (r["source"].clone(), r["name"].clone());
        csv(&text).into_iter().map(key).collect()
    });
    let (mut held, mut wrong) = (0, Vec::new());
    for listed in index() {
        let key = (listed.source.clone(), listed.name.clone());
        assert!(names.insert(key.clone()), "{key:?} is listed twice");
        let Some(&(params, macs)) = table.get(&key) else {
            let elsewhere = key.0 == "ncnn" || oracle.as_ref().is_none_or(|o| o.contains(&key));
            assert!(elsewhere, "{key:?} has nothing to be held to");
            continue;
        };
        held += 1;
        let (t, _) = loaded.count(&listed.file, &listed.set);
        if (t.params, t.macs) != (params, macs) {
            let ours = (t.params, t.macs);
            wrong.push(format!("{key:?}: {:?}, ours {ours:?}", (params, macs)));
        }
    }
    assert_eq!(held, table.len(), "a network of the table is not listed");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_table_is_what_the_packages_count_to() {
    let Some(python) = std::env::var_os("BLOCKSMITH_PYTHON") else {
        println!("SKIPPED: BLOCKSMITH_PYTHON names no Python with the packages");
        return;
    };
    let table = table();
    let out = Command::new(python)
        .arg(root().join("tests/python/counts.py"))
        .args(
            table
                .keys()
                .map(|(source, name)| format!("{source},{name}")),
        )
        .output()
        .unwrap();
    let (text, notes) = (out.stdout, out.stderr);
    let text = String::from_utf8(text).unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&notes));
    for line in text.lines() {
        let fields: Vec<&str> = line.split(',').collect();
        let [source, name, params, macs] = fields[..] else {
            panic!("{line}");
        };
        let key = (source.to_owned(), name.to_owned());
        let counted = (params.parse().unwrap(), macs.parse().unwrap());
        assert_eq!(table[&key], counted, "{source} {name}");
    }
    println!("{} of {} counted again", text.lines().count(), table.len());
}

#[cfg(feature = "analysis")]
mod ncnn {
    use super::*;
    use blocksmith::base::table::Table;
    use blocksmith::ir::{Graph, Op};
    use std::collections::BTreeSet;

    /// A convolution or linear layer: widths, kernel, stride, groups, size of its output. A linear layer is a 1x1
    /// convolution of one pixel.
    type Kernel = [u32; 9];

    fn kernels_of_graph(graph: &Graph) -> Vec<Kernel> {
        let live = graph.live();
        let of = |id| {
            let input = graph.shape(*graph.inputs(id).first()?);
            let (h, w) = graph.shape(id).hw();
            match graph.node(id).op {
                Op::Conv(k) => {
                    let [kh, kw] = k.kernel_size;
                    let stride = if (h, w) == (1, 1) && (kh, kw) == (1, 1) {
                        [1, 1]
                    } else {
                        k.stride
                    };
                    let widths = [input.channels(), k.out_channels];
                    Some([
                        widths[0], widths[1], kh, kw, stride[0], stride[1], k.groups, h, w,
                    ])
                }
                Op::Linear(l) => {
                    let inputs = u32::try_from(input.elems()).ok()?;
                    Some([inputs, l.out_features, 1, 1, 1, 1, 1, 1, 1])
                }
                _ => None,
            }
        };
        let mut all: Vec<Kernel> = graph
            .ids()
            .filter(|id| live[id.index()])
            .filter_map(of)
            .collect();
        all.sort_unstable();
        all
    }

    fn kernels_of_table(table: &Table, network: &str) -> Vec<Kernel> {
        let ints = |column: &str| table.ints(column).unwrap();
        let at = |column: &str, row: usize| u32::try_from(ints(column)[row].unwrap()).unwrap();
        let mut all = Vec::new();
        for row in 0..table.rows() {
            if table.texts("network").unwrap()[row].as_deref() != Some(network) {
                continue;
            }
            match table.texts("op").unwrap()[row].as_deref() {
                Some("Convolution" | "ConvolutionDepthWise") => all.push([
                    at("cin", row),
                    at("cout", row),
                    at("kernel_h", row),
                    at("kernel_w", row),
                    at("stride_h", row),
                    at("stride_w", row),
                    at("groups", row).max(1),
                    at("hout", row),
                    at("wout", row),
                ]),
                Some("InnerProduct") => {
                    let inputs = at("cin", row) * at("hin", row) * at("win", row);
                    all.push([inputs, at("cout", row), 1, 1, 1, 1, 1, 1, 1]);
                }
                _ => {}
            }
        }
        all.sort_unstable();
        all
    }

    #[test]
    fn networks_have_the_kernels_of_the_files_that_were_measured() {
        let Some(shared) = shared() else { return };
        let path = shared.join("measurements/ncnn_graphs.parquet");
        let table = blocksmith::analysis::parquet::read(&path).unwrap();
        let mut loaded = Loaded::default();
        let mut wrong = Vec::new();
        let mut left: BTreeSet<String> = (table.texts("network").unwrap().iter())
            .flatten()
            .filter(|n| !n.ends_with("_int8") && !INEXPRESSIBLE.contains(&n.as_str()))
            .cloned()
            .collect();
        let held = left.len();
        for listed in index().iter().filter(|n| n.source == "ncnn") {
            let ours = kernels_of_graph(&loaded.lower(&listed.file, &listed.set));
            let theirs = kernels_of_table(&table, &listed.name);
            assert!(left.remove(&listed.name), "no network {}", listed.name);
            let missing = |a: &[Kernel], b: &[Kernel]| {
                let mut rest = b.to_vec();
                let mut left = a.to_vec();
                left.retain(|k| match rest.iter().position(|r| r == k) {
                    Some(i) => {
                        rest.swap_remove(i);
                        false
                    }
                    None => true,
                });
                left
            };
            let (surplus, lacking) = (missing(&ours, &theirs), missing(&theirs, &ours));
            if !surplus.is_empty() || !lacking.is_empty() {
                wrong.push(format!(
                    "{}: not in the file {surplus:?}, only there {lacking:?}",
                    listed.name
                ));
            }
        }
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
        assert!(left.is_empty(), "not listed: {left:?}");
        println!("{held} networks have the kernels of their files");
    }

    /// Why is in `docs/networks.md`.
    const INEXPRESSIBLE: [&str; 3] = ["mobilenet_yolo", "mobilenetv2_yolov3", "vision_transformer"];
}
