//! What the tests against Python share: the ops of `tests/data/ops.json`, names in the order of a forward pass, and how
//! a script is called.

use blocksmith::ir::ops::{
    Act, AdaptiveAvgPool, Add, AvgPool, BatchNorm, ChannelConv, Concat, Conv, Dropout, Flatten,
    Gather, GlobalPool, L2Norm, Linear, LocalResponseNorm, MaxPool, Mul, Pad, PoolKind, Real,
    Shuffle, Slice, Transpose, Upsample, UpsampleMode,
};
use blocksmith::ir::{Graph, Op};
use blocksmith::weights::NameMap;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

pub fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A Python that has these packages, or a line that says it is missing.
pub fn python(packages: &str) -> Option<String> {
    let python = std::env::var("BLOCKSMITH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let probe = Command::new(&python)
        .args(["-c", &format!("import {packages}")])
        .output();
    if probe.is_ok_and(|o| o.status.success()) {
        return Some(python);
    }
    println!("SKIPPED: {python} lacks one of {packages} (BLOCKSMITH_PYTHON names another)");
    None
}

pub fn call(python: &str, script: &str, args: &[&str]) -> String {
    let out = Command::new(python)
        .arg(repo("tests/python").join(script))
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{script} {args:?}: {text}");
    String::from_utf8(out.stdout).unwrap()
}

/// Our parameter names to theirs: both in the order in which a forward pass uses them, those that it never uses after.
pub fn names_by_order(graph: &Graph, order: &Value) -> NameMap {
    let live = graph.live();
    let params = graph.parameters();
    let mut map = BTreeMap::new();
    for (key, want) in [("live", true), ("dead", false)] {
        let ours = params.iter().filter(|p| live[p.node.index()] == want);
        let ours: Vec<&str> = ours.map(|p| p.name.as_str()).collect();
        let theirs = order[key].as_array().unwrap();
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            map.insert(ours.to_owned(), theirs.as_str().unwrap().to_owned());
        }
    }
    map.into()
}

/// An op as the tables of PyTorch's numbers have it.
pub fn op(json: &Value) -> Op {
    let int = |key: &str| u32::try_from(json[key].as_u64().unwrap()).unwrap();
    let flag = |key: &str| json[key].as_bool().unwrap();
    let real = |key: &str| Real(json[key].as_f64().unwrap());
    let pair = |key: &str| [0, 1].map(|i| u32::try_from(json[key][i].as_u64().unwrap()).unwrap());
    let kernel = || (pair("kernel_size"), pair("stride"), pair("padding"));
    let global = |kind| Op::GlobalPool(GlobalPool { kind });
    match json["op"].as_str().unwrap() {
        "conv" => {
            let (kernel_size, stride, padding) = kernel();
            Op::Conv(Conv {
                out_channels: int("out_channels"),
                kernel_size,
                stride,
                padding,
                dilation: pair("dilation"),
                groups: int("groups"),
                bias: flag("bias"),
            })
        }
        "max_pool" => {
            let (kernel_size, stride, padding) = kernel();
            let ceil_mode = flag("ceil_mode");
            Op::MaxPool(MaxPool {
                kernel_size,
                stride,
                padding,
                ceil_mode,
            })
        }
        "avg_pool" => {
            let (kernel_size, stride, padding) = kernel();
            Op::AvgPool(AvgPool {
                kernel_size,
                stride,
                padding,
                ceil_mode: flag("ceil_mode"),
                count_include_pad: flag("count_include_pad"),
            })
        }
        "global_avg_pool" => global(PoolKind::Avg),
        "global_max_pool" => global(PoolKind::Max),
        "batch_norm" => BatchNorm { eps: real("eps") }.into(),
        "upsample" => {
            let mode = match json["mode"].as_str().unwrap() {
                "nearest" => UpsampleMode::Nearest,
                _ if flag("align_corners") => UpsampleMode::BilinearCorners,
                _ => UpsampleMode::Bilinear,
            };
            Upsample {
                size: pair("size"),
                mode,
            }
            .into()
        }
        "linear" => Linear {
            out_features: int("out_features"),
            bias: flag("bias"),
        }
        .into(),
        "add" => Add.into(),
        "mul" => Mul.into(),
        "concat" => Concat.into(),
        "slice" => Slice {
            begin: int("begin"),
            end: int("end"),
        }
        .into(),
        "shuffle" => Shuffle {
            groups: int("groups"),
        }
        .into(),
        "transpose" => Transpose.into(),
        "gather" => Gather {
            channels: int("channels"),
        }
        .into(),
        "channel_conv" => ChannelConv {
            kernel_size: int("kernel_size"),
        }
        .into(),
        "pad" => Op::Pad(Pad {
            channels: [int("front"), int("back")],
            rows: [int("top"), int("bottom")],
            columns: [int("left"), int("right")],
        }),
        "adaptive_avg_pool" => AdaptiveAvgPool { size: pair("size") }.into(),
        "local_response_norm" => LocalResponseNorm {
            size: int("size"),
            alpha: real("alpha"),
            beta: real("beta"),
            k: real("k"),
        }
        .into(),
        "l2_norm" => L2Norm { eps: real("eps") }.into(),
        "leaky_relu" => Act::LeakyRelu(real("negative_slope")).into(),
        "flatten" => Flatten.into(),
        "dropout" => Dropout { p: real("p") }.into(),
        "zero" => Op::Zero,
        act => Act::from_name(act).unwrap().into(),
    }
}
