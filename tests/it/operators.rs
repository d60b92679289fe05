//! Operator tables: small ones written here, and the public ones where they are at hand.

use crate::oracle::{Loaded, index};
use blocksmith::base::table::{Column, Table};
use blocksmith::calibrate::ops;
use blocksmith::device::{DeviceModel, Law, signature};
use blocksmith::fuse::{Kernel, KernelKind, Window, fuse};
use blocksmith::ir::Shape;

/// The columns of operator tables that hold whole numbers.
pub const NUMBERS: [&str; 17] = [
    "kh",
    "kw",
    "sh",
    "sw",
    "dh",
    "dw",
    "groups",
    "w",
    "macs",
    "cin",
    "hin",
    "win",
    "cout",
    "hout",
    "wout",
    "in_elems",
    "out_elems",
];

/// A depthwise 3x3 of stride 2, its norm, a relu6, a pool to one pixel and a classifier of 10, in the order of [`NUMBERS`].
const NET: [(&str, [i64; 17]); 5] = [
    (
        "convolution",
        [3, 3, 2, 2, 1, 1, 8, 72, 1152, 8, 8, 8, 8, 4, 4, 512, 128],
    ),
    (
        "native_batch_norm",
        [0, 0, 0, 0, 0, 0, 0, 32, 0, 8, 4, 4, 8, 4, 4, 128, 128],
    ),
    (
        "hardtanh_",
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 4, 4, 8, 4, 4, 128, 128],
    ),
    (
        "mean",
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 4, 4, 8, 1, 1, 128, 8],
    ),
    (
        "addmm",
        [0, 0, 0, 0, 0, 0, 0, 90, 80, 8, 1, 1, 10, 1, 1, 8, 10],
    ),
];

/// The table with `name` called so and each cell as `cell` has it.
fn table(cell: impl Fn(usize, &str, i64) -> Option<i64>, ops: &[&str]) -> Table {
    let mut table = Table::new("ops.parquet");
    let texts = |words: &[&str]| -> Column {
        let cells: Vec<_> = words.iter().map(|w| Some((*w).to_owned())).collect();
        cells.into()
    };
    table
        .push("network", texts(&vec!["tiny"; ops.len()]))
        .unwrap();
    table.push("op", texts(ops)).unwrap();
    for (i, name) in NUMBERS.into_iter().enumerate() {
        let cells = NET.iter().map(|r| r.1[i]).enumerate();
        let cells: Vec<_> = cells.map(|(row, x)| cell(row, name, x)).collect();
        table.push(name, cells).unwrap();
    }
    table
}

fn as_it_is(_: usize, _: &str, x: i64) -> Option<i64> {
    Some(x)
}

fn names() -> [&'static str; 5] {
    NET.map(|r| r.0)
}

fn told(table: &Table) -> String {
    ops::networks(table).unwrap_err().to_string()
}

#[test]
fn rows_become_kernels() {
    let networks = ops::networks(&table(as_it_is, &names())).unwrap();
    let kernels = &networks["tiny"];
    let kinds: Vec<KernelKind> = kernels.iter().map(|k| k.kind).collect();
    use KernelKind::*;
    assert_eq!(kinds, [Depthwise3x3Strided, Norm, Act, GlobalPool, Linear]);
    let map = |c, h, w| Shape::Map { c, h, w };
    let conv = Kernel {
        kind: Depthwise3x3Strided,
        input: map(8, 8, 8),
        output: map(8, 4, 4),
        window: Window {
            kernel_size: [3; 2],
            stride: [2; 2],
            dilation: [1; 2],
            groups: 8,
        },
        macs: 1152,
        elems_in: 512,
        elems_out: 128,
        weights: 72,
        act: None,
        fused_norm: false,
        fused_add: false,
    };
    assert_eq!(kernels[0], conv);
    assert_eq!((kernels[4].macs, kernels[4].weights), (80, 90));
    // names of ATen's dispatcher, of ncnn, and of this program
    let aten = [
        "aten::_convolution",
        "aten.native_batch_norm.default",
        "torch.ops.aten.hardtanh_.default",
        "aten::mean.dim",
        "aten::linear",
    ];
    let ncnn = [
        "ConvolutionDepthWise",
        "BatchNorm",
        "Clip",
        "Reduction",
        "InnerProduct",
    ];
    let ours = ["conv", "batch_norm", "relu6", "global_avg_pool", "linear"];
    for names in [aten, ncnn, ours] {
        let same = ops::networks(&table(as_it_is, &names)).unwrap();
        assert_eq!(same["tiny"], *kernels, "{names:?}");
    }
}

#[test]
fn what_has_no_kind_of_its_own_is_other_and_named() {
    let named = |op: &'static str| {
        let mut ops = names();
        ops[2] = op;
        let table = table(as_it_is, &ops);
        let kind = ops::networks(&table).map(|n| n["tiny"][2].kind);
        (kind, ops::strange(&table).unwrap())
    };
    for op in ["layer_norm", "aten::layer_norm", "native_layer_norm"] {
        let (kind, strange) = named(op);
        assert_eq!((kind.unwrap(), strange.len()), (KernelKind::LayerNorm, 0));
    }
    for op in ["softmax", "aten::softmax.int", "aten::_softmax"] {
        let (kind, strange) = named(op);
        assert_eq!((kind.unwrap(), strange.len()), (KernelKind::Other, 0));
    }
    let (kind, strange) = named("aten::fft_rfft2");
    assert_eq!(kind.unwrap(), KernelKind::Other);
    assert_eq!(strange.into_iter().collect::<Vec<_>>(), ["aten::fft_rfft2"]);
    // a name of nobody's may be a slip
    let (kind, strange) = named("fft_rfft2");
    assert!(kind.is_err() && strange.is_empty());
}

/// A norm of as many elements as the convolution after it has weights is a norm of those weights: no batch makes it longer.
#[test]
fn norms_of_weights_run_once() {
    let cell = |elems: i64| {
        move |row: usize, name: &str, x: i64| match (row, name) {
            (0, "cin" | "cout") => Some(8),
            (0, "hin" | "hout") => Some(9),
            (0, "in_elems" | "out_elems") => Some(elems),
            (0, "macs" | "w") => Some(0),
            (0, _) => Some(1),
            (1, _) => Some(NET[0].1[NUMBERS.iter().position(|n| *n == name).unwrap()]),
            _ => Some(x),
        }
    };
    let names = [&["native_batch_norm", "convolution"], &names()[2..]].concat();
    let norm = |elems| ops::networks(&table(cell(elems), &names)).unwrap()["tiny"][0];
    // 8 channels of 9 taps
    let of_weights = norm(72);
    assert_eq!(of_weights.kind, KernelKind::Norm);
    assert_eq!(
        (
            of_weights.elems_in,
            of_weights.elems_out,
            of_weights.weights
        ),
        (0, 0, 72)
    );
    let once = Law::TENSOR_CORES.work(&of_weights, 1.0, f64::INFINITY);
    assert_eq!(
        Law::TENSOR_CORES.work(&of_weights, 64.0, f64::INFINITY),
        once
    );
    assert_eq!((norm(73).elems_in, norm(73).elems_out), (73, 73));
}

/// What cannot be needed may be missing, whole numbers may be reals, and sizes tell networks apart.
#[test]
fn cells_that_are_not_needed_may_be_missing() {
    let whole = ops::networks(&table(as_it_is, &names())).unwrap();
    let only_needed = |row: usize, name: &str, x: i64| {
        let linear = row == 4;
        let always = ["in_elems", "out_elems", "cin", "cout"].contains(&name);
        let map = !linear && ["hin", "win", "hout", "wout"].contains(&name);
        let needed = row == 0 || always || map || (linear && ["w", "macs"].contains(&name));
        // the norm's weights count, too
        (needed || (row == 1 && name == "w")).then_some(x)
    };
    let bare = ops::networks(&table(only_needed, &names())).unwrap();
    assert_eq!(bare, whole);
    let mut sized = table(as_it_is, &names());
    let reals: Vec<_> = (0..5).map(|_| Some(224.0)).collect();
    sized.push("img_size", reals).unwrap();
    let sized = ops::networks(&sized).unwrap();
    assert_eq!(sized.keys().collect::<Vec<_>>(), ["tiny@224"]);
    assert_eq!(sized["tiny@224"], whole["tiny"]);
}

#[test]
fn what_is_wrong_is_told_with_row_and_column() {
    let with = |at: usize, column: &'static str, value: Option<i64>| {
        let cell = move |row: usize, name: &str, x: i64| {
            if (row, name) == (at, column) {
                value
            } else {
                Some(x)
            }
        };
        told(&table(cell, &names()))
    };
    let start = "table ops.parquet, column";
    let number = "holds nothing, expected a number";
    assert_eq!(
        with(0, "macs", None),
        format!("{start} \"macs\": row 0 {number}")
    );
    assert_eq!(
        with(0, "groups", None),
        format!("{start} \"groups\": row 0 {number}")
    );
    assert_eq!(
        with(2, "in_elems", None),
        format!("{start} \"in_elems\": row 2 {number}")
    );
    assert_eq!(
        with(4, "macs", None),
        format!("{start} \"macs\": row 4 {number}")
    );
    let length = "expected 1 or more, below 2^32";
    assert_eq!(
        with(0, "cin", Some(0)),
        format!("{start} \"cin\": row 0 holds 0, {length}")
    );
    assert_eq!(
        with(0, "hout", Some(1 << 40)),
        format!("{start} \"hout\": row 0 holds 1099511627776, {length}")
    );
    assert_eq!(
        with(3, "out_elems", Some(-8)),
        format!("{start} \"out_elems\": row 3 holds -8, expected 0 or more")
    );
    // twice the multiply-adds: somebody counted FLOPs
    assert_eq!(
        with(0, "macs", Some(2304)),
        format!(
            "{start} \"macs\": row 0 holds 2304, expected the 1152 multiply-adds of its shape, a multiply and an add once"
        )
    );
    // what cannot be together: by hand from 8 channels of 8 x 8, a depthwise 3x3 of stride 2 and a classifier of 10
    for (row, column, value, expected) in [
        (0, "groups", 3, "expected a divisor of cin, which is 8"),
        (0, "w", 1, "expected the 72 of its channels and window"),
        (0, "macs", 1 << 62, "expected less than 10^14"),
        (
            0,
            "macs",
            1153,
            "expected the 1152 multiply-adds of its shape",
        ),
        (
            0,
            "in_elems",
            1,
            "expected 512 or more, as its shape is 8 x 8 x 8",
        ),
        (
            0,
            "out_elems",
            7,
            "expected 128 or more, as its shape is 8 x 4 x 4",
        ),
        (
            2,
            "out_elems",
            7,
            "expected 128 or more, as its shape is 8 x 4 x 4",
        ),
        (
            4,
            "macs",
            81,
            "expected as many multiply-adds for each of the 10 elements written, of the 8 read at the most",
        ),
        (
            4,
            "macs",
            90,
            "expected as many multiply-adds for each of the 10 elements written, of the 8 read at the most",
        ),
        (
            4,
            "w",
            1,
            "expected the 80 multiply-adds over the rows that it multiplies",
        ),
    ] {
        let told = with(row, column, Some(value));
        let place = format!("{start} \"{column}\": row {row} holds {value}, {expected}");
        assert_eq!(told, place);
    }
    let mut ops = names();
    ops[3] = "hartanh";
    assert_eq!(
        told(&table(as_it_is, &ops)),
        format!(
            "{start} \"op\": row 3 holds \"hartanh\", expected an operator of ATen, of ncnn or of \
            `blocksmith blocks`, or \"other\" (did you mean \"hardtanh\"?)"
        )
    );
    let mut lacking = Table::new("ops.parquet");
    for (name, column) in table(as_it_is, &names()).columns() {
        match name {
            "dw" => {}
            "wout" => lacking.push(name, vec![1.0, 2.5, 1.0, 1.0, 1.0]).unwrap(),
            _ => lacking.push(name, column.clone()).unwrap(),
        }
    }
    assert!(told(&lacking).starts_with(&format!(
        "{start} \"dilation_w\": not there; the columns are network, op, kh,"
    )));
    lacking.push("dw", vec![1i64; 5]).unwrap();
    assert_eq!(
        told(&lacking),
        format!("{start} \"wout\": row 1 holds 2.5, expected a whole number")
    );
}

/// Three networks that share their rows but for one cell each.
#[test]
fn what_is_wrong_with_one_network_leaves_the_others() {
    let whole = ops::networks(&table(as_it_is, &names())).unwrap();
    let three = |change: &dyn Fn(usize, &str, i64) -> Option<i64>, op: Option<&str>| {
        let mut all = Table::new("ops.parquet");
        let cells = |part: usize| {
            let mut one = table(|row, name, x| change(5 * part + row, name, x), &names());
            if part == 1 {
                let mut ops = names().map(|n| Some(n.to_owned()));
                ops[2] = op.map(str::to_owned);
                let kept: Vec<_> = one
                    .columns()
                    .map(|(n, c)| (n.to_owned(), c.clone()))
                    .collect();
                one = Table::new("ops.parquet");
                for (name, cells) in kept {
                    let cells = if name == "op" {
                        ops.to_vec().into()
                    } else {
                        cells
                    };
                    one.push(name, cells).unwrap();
                }
            }
            one
        };
        let parts = cells(0).appended(&cells(1)).unwrap();
        let parts = parts.appended(&cells(2)).unwrap();
        for (name, column) in parts.columns() {
            let called = ["a", "b", "c"]
                .iter()
                .flat_map(|n| vec![(*n).to_owned(); 5]);
            match name {
                "network" => all.push(name, called.collect::<Vec<_>>()).unwrap(),
                _ => all.push(name, column.clone()).unwrap(),
            }
        }
        all
    };
    let sound = |_: usize, _: &str, x: i64| Some(x);
    let relu = Some("hardtanh_");
    let all = three(&sound, relu);
    let (kernels, faults) = ops::sound_networks(&all).unwrap();
    assert!(faults.is_empty());
    assert_eq!(kernels, ops::networks(&all).unwrap());
    assert_eq!(kernels.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    // an operator that is none, one that is not named, a count that cannot be; the second slip of one network is not told
    let slip = |row: usize, name: &str, x: i64| match (row, name) {
        (9, "macs") => Some(81),
        (10, "cin") => None,
        _ => Some(x),
    };
    let start = "table ops.parquet, column";
    let count = format!(
        "{start} \"macs\": row 9 holds 81, expected as many multiply-adds for each of the 10 elements written, of \
         the 8 read at the most"
    );
    let missing = format!("{start} \"cin\": row 10 holds nothing, expected a number");
    for (op, of_b) in [
        (relu, count.as_str()),
        (
            None,
            "table ops.parquet, column \"op\": row 7 holds nothing, expected the name of an operator",
        ),
        (
            Some("hartanh_"),
            "table ops.parquet, column \"op\": row 7 holds \"hartanh_\", expected an operator of ATen, of ncnn or of \
             `blocksmith blocks`, or \"other\" (did you mean \"hardtanh_\"?)",
        ),
    ] {
        let all = three(&slip, op);
        let (kernels, faults) = ops::sound_networks(&all).unwrap();
        assert_eq!(kernels.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(kernels["a"], whole["tiny"]);
        let faults: Vec<_> = faults.iter().map(|(n, e)| (&**n, e.to_string())).collect();
        assert_eq!(faults, [("b", of_b.to_owned()), ("c", missing.clone())]);
        // all or nothing: the first row that is wrong
        assert_eq!(told(&all), of_b);
    }
    // a row that does not say of which network it is may be of any
    let mut sized = three(&slip, relu);
    let sizes: Vec<_> = (0..15).map(|row| (row != 14).then_some(224i64)).collect();
    sized.push("img_size", sizes).unwrap();
    let error = ops::sound_networks(&sized).unwrap_err().to_string();
    let place = format!("{start} \"img_size\": row 14 holds nothing, expected a number");
    assert_eq!(error, place);
}

#[test]
fn every_op_of_the_program_is_an_operator() {
    use blocksmith::blocks::list;
    use blocksmith::space::signature::NodeKind;
    for op in list(NodeKind::Op) {
        let ops = [op.name; 5];
        let needed = |_: usize, name: &str, _: i64| {
            let row = NET[0].1;
            NUMBERS.iter().position(|n| *n == name).map(|i| row[i])
        };
        let read = ops::networks(&table(needed, &ops));
        assert!(read.is_ok(), "{}: {}", op.name, read.unwrap_err());
    }
}

/// Only classifiers were measured with ncnn, so its profiles know no cost of a linear layer at many positions.
#[test]
fn work_of_which_nothing_is_known_is_uncovered() {
    let model = DeviceModel::find("pi5-ncnn").unwrap();
    assert_eq!(model.profile().law, Law::NCNN);
    let linear = |positions: i64| {
        let cell = move |row: usize, name: &str, x: i64| {
            let scaled = row == 4 && ["macs", "in_elems", "out_elems"].contains(&name);
            Some(if scaled { positions * x } else { x })
        };
        let networks = ops::networks(&table(cell, &names())).unwrap();
        model.predict(&networks["tiny"], 1).unwrap()
    };
    let (classifier, many) = (linear(1), linear(100));
    assert_eq!(
        (classifier.uncovered.as_slice(), classifier.uncovered_share),
        (&[][..], 0.0)
    );
    assert_eq!(many.uncovered, [KernelKind::Linear]);
    // 8000 MACs and 1800 elements of the layer, 1152 and 640 + 2 * 256 + 136 of the rest
    let share = 9800.0 / (9800.0 + 1152.0 + 1288.0);
    assert!((many.uncovered_share - share).abs() < 1e-12);
    assert!(many.latency < classifier.latency);
}

/// Networks that a profile keeps as measured are found again when they come as documents.
#[test]
fn what_was_measured_is_found_by_our_networks() {
    let mut loaded = Loaded::default();
    let mut found = Vec::new();
    for (device, size, source) in [
        ("rtx4090-torch", "@224", ["timm", "torchvision"]),
        ("pi5-ncnn", "", ["ncnn", "ncnn"]),
    ] {
        let model = DeviceModel::find(device).unwrap();
        for listed in index() {
            if !source.contains(&listed.source.as_str()) {
                continue;
            }
            let name = format!("{}{size}", listed.name);
            let Some(known) = model.profile().known.iter().find(|k| k.network == name) else {
                continue;
            };
            let graph = loaded.lower(&listed.file, &listed.set);
            let kernels = fuse(&graph, model.rules()).list;
            if signature(&kernels) == known.signature {
                found.push(name);
            }
        }
    }
    for name in [
        "resnet50@224",
        "mobilenetv2_100@224",
        "seresnet50@224",
        "efficientnet_b0@224",
    ] {
        assert!(found.iter().any(|f| f == name), "{name}: {found:?}");
    }
    for name in [
        "resnet50",
        "mobilenet",
        "mobilenet_v2",
        "squeezenet",
        "alexnet",
        "resnet18",
    ] {
        assert!(found.iter().any(|f| f == name), "{name}: {found:?}");
    }
    println!("{found:?}");
}

/// Networks of ours against what was traced from the originals, or stands in ncnn's files.
#[cfg(feature = "analysis")]
mod public {
    use crate::oracle::{Loaded, index, shared};
    use blocksmith::analysis::parquet;
    use blocksmith::calibrate::ops;
    use blocksmith::fuse::{FuseRules, Kernel, fuse};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn networks(file: &str) -> Option<BTreeMap<String, Arc<[Kernel]>>> {
        let path = shared()?.join("measurements").join(file);
        Some(ops::networks(&parquet::read(&path).unwrap()).unwrap())
    }

    /// Kernels that one has more often than the other: kind, MACs, elements read and written.
    fn apart(ours: &[Kernel], theirs: &[Kernel]) -> Vec<(&'static str, u64, i64)> {
        let mut counts = BTreeMap::new();
        for (kernels, one) in [(ours, 1), (theirs, -1)] {
            for k in kernels {
                let key = (k.kind.name(), k.macs, k.elems_in, k.elems_out);
                *counts.entry(key).or_insert(0) += one;
            }
        }
        let apart = counts.into_iter().filter(|(_, n)| *n != 0);
        apart.map(|((kind, macs, ..), n)| (kind, macs, n)).collect()
    }

    #[test]
    fn pytorch_runs_the_kernels_that_ours_become() {
        let Some(tables) = networks("timm_graphs.parquet") else {
            return;
        };
        let (mut loaded, mut same) = (Loaded::default(), 0);
        for listed in index() {
            let theirs = tables.get(&format!("{}@224", listed.name));
            let ("timm" | "torchvision", Some(theirs)) = (listed.source.as_str(), theirs) else {
                continue;
            };
            let graph = loaded.lower(&listed.file, &listed.set);
            let apart = apart(&fuse(&graph, &FuseRules::eager()).list, theirs);
            let kinds: Vec<_> = apart.iter().map(|a| a.0).collect();
            match listed.name.as_str() {
                // timm joins the one input of each block's first layer, which copies it
                name if name.starts_with("densenet") => assert_eq!(kinds, ["concat"; 4]),
                // timm's classifier is convolutions
                name if name.starts_with("vgg") => {
                    assert!(
                        kinds.contains(&"linear") && kinds.contains(&"conv_other"),
                        "{name}"
                    );
                }
                // traced as reshapes and a one-dimensional convolution; ours are ops of their own
                "eca_vovnet39b" => assert!(kinds.iter().all(|k| matches!(
                    *k,
                    "mul" | "other" | "conv_other" | "conv_1x1" | "conv_first"
                ))),
                // the table has the elements after padding as read, too
                name if name.starts_with("tf_") => assert!(kinds.iter().all(|k| *k == "copy")),
                name => {
                    assert_eq!(apart, [], "{name}");
                    same += 1;
                }
            }
        }
        assert!(same >= 40, "{same}");
    }

    #[test]
    fn ncnn_files_have_the_kernels_that_ours_become() {
        let Some(tables) = networks("ncnn_graphs.parquet") else {
            return;
        };
        let mut loaded = Loaded::default();
        for name in [
            "squeezenet",
            "mobilenet",
            "mnasnet",
            "proxylessnasnet",
            "resnet50",
            "alexnet",
            "googlenet",
            "mobilenet_v2",
            "resnet18",
            "shufflenet",
        ] {
            let listed = index()
                .into_iter()
                .find(|l| l.source == "ncnn" && l.name == name)
                .unwrap();
            let graph = loaded.lower(&listed.file, &listed.set);
            let apart = apart(&fuse(&graph, &FuseRules::ncnn()).list, &tables[name]);
            // ncnn's files end in a softmax, our networks before it
            assert_eq!(apart, [("act_exp", 0, -1)], "{name}");
        }
    }
}
