//! Networks of a usual size, built by hand.

use blocksmith::ir::ops::{Act, Add, BatchNorm, Conv, Flatten, GlobalPool, Linear, PoolKind};
use blocksmith::ir::{Graph, GraphBuilder, Op, Shape, ValueId};

struct Net {
    b: GraphBuilder,
    x: ValueId,
}

impl Net {
    fn push(&mut self, op: impl Into<Op>) {
        let number = self.b.len();
        let name = || format!("stage{}.unit{}.n{number}", number / 40, number / 8);
        self.x = self.b.push_named(op, &[self.x], name).unwrap();
    }

    fn conv(&mut self, conv: Conv, act: bool) {
        self.push(conv);
        self.push(BatchNorm::default());
        if act {
            self.push(Act::Relu6);
        }
    }
}

/// MobileNetV2 1.0 at 224 x 224.
pub fn mobilenet_v2(named: bool) -> Graph {
    let mut b = GraphBuilder::new(named);
    let shape = Shape::Map {
        c: 3,
        h: 224,
        w: 224,
    };
    let x = b
        .push_named(Op::Input { index: 0, shape }, &[], || "input".into())
        .unwrap();
    let mut net = Net { b, x };
    net.conv(Conv::same(32, 3, 2), true);
    for (expand, out, repeat, first) in [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ] {
        for i in 0..repeat {
            let (before, c) = (net.x, net.b.shape(net.x).channels());
            let (mid, stride) = (c * expand, if i == 0 { first } else { 1 });
            if expand > 1 {
                net.conv(Conv::same(mid, 1, 1), true);
            }
            net.conv(Conv::same(mid, 3, stride).grouped(mid), true);
            net.conv(Conv::same(out, 1, 1), false);
            if stride == 1 && c == out {
                let sum = net
                    .b
                    .push_named(Add, &[before, net.x], || format!("sum{out}.{i}"));
                net.x = sum.unwrap();
            }
        }
    }
    net.conv(Conv::same(1280, 1, 1), true);
    net.push(GlobalPool {
        kind: PoolKind::Avg,
    });
    net.push(Flatten);
    net.push(Linear {
        out_features: 1000,
        bias: true,
    });
    net.b.finish(&[net.x])
}
