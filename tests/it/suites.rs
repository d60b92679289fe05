//! What `measure --suite` measures: nets that exist, and the figures that they stand beside.

use super::spaces::{load, root};
use blocksmith::blocks::Names;
use blocksmith::fuse::{FuseRules, KernelKind, fuse};
use blocksmith::ir::Graph;
use blocksmith::measure::Item;
use blocksmith::measure::suite::{GUIDELINES, guidelines, listed, ops, reference};
use std::collections::{BTreeMap, BTreeSet};

/// The graphs of items whose spaces lie under the project's folder.
fn graphs(items: &[Item]) -> Vec<Graph> {
    let mut read = BTreeMap::new();
    let mut graphs = Vec::new();
    for item in items {
        let file = item.space.as_deref().unwrap();
        let (space, program) = read
            .entry(file.to_owned())
            .or_insert_with(|| load(&root().join(file)));
        let choices = serde_json::from_str(item.choices.as_deref().unwrap()).unwrap();
        let told = |e: blocksmith::base::diag::Diagnostics| {
            format!("{}: {}", item.name, e.render(Some(file)))
        };
        let assignment = space.assignment_from_json(&choices).map_err(told).unwrap();
        graphs.push(
            program
                .lower(&assignment, Names::Off)
                .map_err(told)
                .unwrap(),
        );
    }
    graphs
}

#[test]
fn operators_cover_the_kernels_of_networks() {
    let items = ops("search_spaces/ops", 240, 1);
    assert_eq!(items.len(), 240);
    let mut kinds = BTreeSet::new();
    for (graph, item) in graphs(&items).iter().zip(&items) {
        let kernels = fuse(graph, &FuseRules::torch()).list;
        assert!(!kernels.is_empty(), "{}", item.name);
        // an op in a row of its own kind, so that a time has one kind to blame
        assert!(
            kernels.iter().all(|k| k.kind == kernels[0].kind),
            "{}",
            item.name
        );
        kinds.insert(kernels[0].kind.index());
        assert!(kernels.iter().map(|k| k.macs).sum::<u64>() <= 700_000_000);
    }
    // what the reference networks up to 2 GMACs run, all told, but for kinds that no suite of single ops can have
    let text = std::fs::read_to_string(root().join("search_spaces/reference/index.json")).unwrap();
    let references = reference("search_spaces/reference", &listed(&text).unwrap());
    let mut missing = BTreeSet::new();
    for graph in graphs(&references) {
        for kernel in fuse(&graph, &FuseRules::torch()).list {
            if !kinds.contains(&kernel.kind.index()) {
                missing.insert(format!("{:?}", kernel.kind));
            }
        }
    }
    assert!(
        missing.len() <= 4,
        "networks run what no operator of the suite is: {missing:?}"
    );
    assert!(kinds.contains(&KernelKind::Conv3x3.index()));
}

/// What comes after the 240: chains, and single operators that the 240 have few of.
#[test]
fn further_operators_are_sound_and_tell_of_prelu_and_chains() {
    let items = ops("search_spaces/ops", 320, 1);
    assert_eq!(items[..240], ops("search_spaces/ops", 240, 1));
    let further = &items[240..];
    assert_eq!(further.len(), 80);
    let (mut prelu, mut dilated, mut chains) = (0, 0, BTreeSet::new());
    for (graph, item) in graphs(further).iter().zip(further) {
        let kernels = fuse(graph, &FuseRules::torch()).list;
        assert!(kernels.iter().map(|k| k.macs).sum::<u64>() <= 700_000_000);
        let chain = item.family.as_deref() == Some("chain");
        let alike = kernels.iter().all(|k| k.kind == kernels[0].kind);
        if chain {
            assert!(kernels.len() >= 3, "{}", item.name);
            chains.insert(
                kernels
                    .iter()
                    .map(|k| k.kind.name())
                    .collect::<BTreeSet<_>>(),
            );
        } else {
            assert!(alike, "{}", item.name);
        }
        let signs: u64 = (kernels.iter())
            .filter(|k| k.kind == KernelKind::Act && k.weights > 0)
            .map(|k| k.elems_in)
            .sum();
        // fewer signs than this a processor may learn by heart when it sees them again and again
        prelu += usize::from(signs >= 150_000);
        let apart = |k: &blocksmith::fuse::Kernel| {
            k.kind == KernelKind::DepthwiseOther && k.window.dilation != [1; 2]
        };
        dilated += usize::from(kernels.iter().all(apart));
    }
    assert!(prelu >= 10 && dilated >= 8, "{prelu} {dilated}");
    assert!(chains.len() >= 6, "{chains:?}");
}

#[test]
fn a_longer_list_starts_with_the_shorter_and_a_seed_matters() {
    let list = |n, seed| ops("f", n, seed);
    assert_eq!(list(200, 1)[..100], list(100, 1));
    assert_ne!(list(100, 1), list(100, 2));
}

#[test]
fn guidelines_hold_work_equal_where_the_paper_does() {
    let items = guidelines("search_spaces/guidelines");
    let graphs = graphs(&items);
    let macs = |graph: &Graph| {
        let kernels = fuse(graph, &FuseRules::torch()).list;
        kernels.iter().map(|k| k.macs).sum::<u64>() as f64
    };
    let work: BTreeMap<&str, f64> = items
        .iter()
        .map(|i| &*i.name)
        .zip(graphs.iter().map(macs))
        .collect();
    // ten blocks of two convolutions of 1024 weights over 56 x 56 pixels, by hand; x4 has 16 times as many weights
    assert_eq!(work["G1 1:1 x1"], 10.0 * 2.0 * 1024.0 * 3136.0);
    assert_eq!(work["G1 1:1 x4"], 16.0 * work["G1 1:1 x1"]);
    for (line, first) in [
        ("G1 1:12 x1", "G1 1:1 x1"),
        ("G2 g = 8 x2", "G2 g = 1 x2"),
        ("G3 4 in parallel c=64", "G3 1 fragment c=64"),
    ] {
        let ratio = work[line] / work[first];
        assert!((0.9..1.1).contains(&ratio), "{line}: {ratio}");
    }
    assert!(work["OSA with 300x300"] < work["OSA without 300x300"]);
}

/// The printed figures against the table of published facts, in its order: three for a GPU, three for Arm, line by line.
#[test]
fn the_printed_figures_are_those_published() {
    let shared =
        std::env::var("BLOCKSMITH_SHARED").map_or_else(|_| root().join("../shared"), Into::into);
    let Ok(text) = std::fs::read_to_string(shared.join("reference/published.csv")) else {
        eprintln!("skipped: no table of published figures");
        return;
    };
    for table in GUIDELINES.iter().filter(|g| g.rate) {
        let wanted: Vec<f64> = text
            .lines()
            .filter(|l| {
                l.contains("1807.11164")
                    && l.trim_start_matches('"')
                        .starts_with(&format!("{} ", table.name))
            })
            .map(|line| {
                // the name is the only field before the value that may have commas, and has quotes then
                let rest = line
                    .strip_prefix('"')
                    .map_or(line, |l| l.split_once('"').unwrap().1);
                rest.split(',').nth(3).unwrap().parse().unwrap()
            })
            .collect();
        let lines = (table.lines)();
        let ours: Vec<f64> = lines
            .iter()
            .flat_map(|l| [l.gpu.clone(), l.arm.clone()].concat())
            .collect();
        assert_eq!(ours, wanted, "{}", table.name);
    }
}
