//! Runnable nets against PyTorch's numbers, and against themselves where no other oracle is needed.

mod blocks;
mod files;
mod graphs;
mod net;
mod ops;
mod published;
mod variants;
mod weights;

use crate::python::{call, names_by_order, op, python, repo};
use crate::{naive, random};
use blocksmith::ir::ops::{
    Act, Add, BatchNorm, Concat, Conv, Dropout, Flatten, GlobalPool, Linear, Mul, PoolKind, Real,
    Shuffle, Slice, Upsample, UpsampleMode,
};
use blocksmith::ir::params::Role;
use blocksmith::ir::{Graph, GraphBuilder, Op, Shape, ValueId};
use blocksmith::torch::{
    Device, Net, Tensor, TorchErrorKind, parse_device, read_tensors, run, self_test, write_tensors,
};
use blocksmith::weights::{NameMap, Problem};
use proptest::prelude::*;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use tch::Kind;

/// Largest difference over largest value: what "relative error" means here.
fn relative_error(got: &Tensor, want: &Tensor) -> f64 {
    assert_eq!(got.size(), want.size());
    let (got, want) = (got.to_kind(Kind::Double), want.to_kind(Kind::Double));
    let worst = f64::try_from((&got - &want).abs().max()).unwrap();
    let scale = f64::try_from(want.abs().max()).unwrap();
    if worst == 0.0 { 0.0 } else { worst / scale }
}

/// A residual block, a gate, a split and a head: most ways in which values are shared and overwritten.
fn small_net() -> Graph {
    let mut b = GraphBuilder::new(true);
    let mut push =
        |op: Op, xs: &[ValueId], name: &str| b.push_named(op, xs, || name.to_owned()).unwrap();
    let shape = Shape::Map { c: 3, h: 9, w: 11 };
    let x = push(Op::Input { index: 0, shape }, &[], "input");
    let stem = push(Conv::same(8, 3, 2).into(), &[x], "stem.conv");
    let norm = push(BatchNorm::default().into(), &[stem], "stem.bn");
    let act = push(Act::Relu.into(), &[norm], "stem.act");
    let deep = push(
        Conv::same(8, 3, 1).grouped(8).biased().into(),
        &[act],
        "dw.conv",
    );
    let deep = push(BatchNorm { eps: Real(1e-3) }.into(), &[deep], "dw.bn");
    let sum = push(Add.into(), &[deep, act], "sum");
    let pool = push(
        GlobalPool {
            kind: PoolKind::Avg,
        }
        .into(),
        &[sum],
        "gate.pool",
    );
    let gate = push(Conv::same(8, 1, 1).biased().into(), &[pool], "gate.fc");
    let gate = push(Act::Hsigmoid.into(), &[gate], "gate.act");
    let gated = push(Mul.into(), &[sum, gate], "gated");
    let left = push(Slice { begin: 0, end: 4 }.into(), &[gated], "left");
    let right = push(Slice { begin: 4, end: 8 }.into(), &[gated], "right");
    let right = push(Act::Hswish.into(), &[right], "right.act");
    let both = push(Concat.into(), &[left, right], "both");
    let mixed = push(Shuffle { groups: 2 }.into(), &[both], "mixed");
    let prelu = push(Act::Prelu.into(), &[mixed], "prelu");
    // a pre-activation norm, which nothing can take in, and a dead branch that owns parameters
    let late = push(BatchNorm::default().into(), &[prelu], "late.bn");
    push(Conv::same(2, 1, 1).into(), &[late], "dead");
    let late = push(Act::Silu.into(), &[late], "late.act");
    let last = push(
        GlobalPool {
            kind: PoolKind::Max,
        }
        .into(),
        &[late],
        "pool",
    );
    let flat = push(Flatten.into(), &[last], "flat");
    let drop = push(Dropout { p: Real(0.2) }.into(), &[flat], "drop");
    let out = push(
        Linear {
            out_features: 5,
            bias: true,
        }
        .into(),
        &[drop],
        "fc",
    );
    b.finish(&[out, sum])
}

/// Writes random weights with running statistics that are not 0 and 1, and loads them.
fn scramble(net: &mut Net, dir: &Path) {
    let file = dir.join("scrambled.safetensors");
    tch::manual_seed(11);
    let fresh: Vec<(String, Tensor)> = net
        .state()
        .map(|(name, t)| {
            let draw = Tensor::rand(t.size(), (Kind::Float, Device::Cpu));
            let draw = match name.rsplit('.').next().unwrap() {
                "running_var" => draw + 0.5,
                _ => draw - 0.5,
            };
            (name.to_owned(), draw)
        })
        .collect();
    write_tensors(fresh.iter().map(|(n, t)| (n.as_str(), t)), &file).unwrap();
    net.load(&file, None).unwrap();
}

fn noise(size: &[i64]) -> Tensor {
    tch::manual_seed(5);
    Tensor::randn(size, (Kind::Float, Device::Cpu))
}
