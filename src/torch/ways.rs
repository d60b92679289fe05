//! Ways to do a node on a CPU beside libtorch's usual one. All of them give the same but for rounding; which is the fastest
//! depends on shape, threads and processor.

use super::error::TorchError;
use super::script::{Kernel, Text};
use crate::ir::Op;
use crate::ir::ops::{Act, Conv, PoolKind};
use tch::{Kind, Tensor};

/// One way.
#[derive(Debug)]
pub(super) enum Way {
    /// A kernel that TorchScript alone reaches.
    Script(Kernel),
    /// A mean as one window of average pooling, which leaves out what a general reduction has to find out.
    Mean([i64; 2]),
}

impl Way {
    pub(super) fn run(&self, x: &Tensor) -> Result<Tensor, TorchError> {
        match self {
            Way::Script(kernel) => kernel.run(x),
            Way::Mean(window) => {
                let none: Option<i64> = None;
                Ok(x.f_avg_pool2d(window, window, [0, 0], false, true, none)?)
            }
        }
    }
}

/// A node with the activation after it, as it runs.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) op: Op,
    /// The activation that it takes in.
    pub(super) act: Option<Act>,
    /// Of its input.
    pub(super) size: Vec<i64>,
    pub(super) kind: Kind,
    /// See [`Step`](super::plan::Step).
    pub(super) leaves_map: bool,
}

impl Site {
    /// Its ways. A kernel that refuses such a node is no way.
    pub(super) fn ways(&self, params: &[Tensor]) -> Vec<Way> {
        let (texts, mean) = match (self.op, self.size.as_slice()) {
            (Op::Conv(conv), _) => (self.conv(conv), None),
            (Op::Linear(_), _) => (self.linear(), None),
            (Op::GlobalPool(pool), [_, _, h, w]) if pool.kind == PoolKind::Avg => {
                (Vec::new(), Some(Way::Mean([*h, *w])))
            }
            _ => (Vec::new(), None),
        };
        let kernels = texts.iter().filter_map(|t| Kernel::new(t, params).ok());
        kernels.map(Way::Script).chain(mean).collect()
    }

    fn conv(&self, conv: Conv) -> Vec<Text> {
        let Conv {
            padding,
            stride,
            dilation,
            groups,
            ..
        } = conv;
        let (attr, scalars) = onednn_act(self.act);
        let onednn = Text {
            ready_type: "Tensor",
            ready: format!(
                "torch.mkldnn_reorder_conv2d_weight(torch.to_mkldnn(w), {padding:?}, {stride:?}, {dilation:?}, {groups}, {:?})",
                self.size
            ),
            run: format!(
                "    s = annotate(List[Optional[number]], [{scalars}])
    y = ops.mkldnn._convolution_pointwise(x, a, b, {padding:?}, {stride:?}, {dilation:?}, {groups}, \"{attr}\", s, \"\")
"
            ),
        };
        let mut texts = match self.leaves_map {
            true => Vec::new(),
            false => vec![onednn],
        };
        if self.kind == Kind::Float {
            let (bounds, after) = xnnpack_act(self.act);
            texts.push(Text {
                ready_type: "__torch__.torch.classes.xnnpack.Conv2dOpContext",
                ready: format!(
                    "ops.prepacked.conv2d_clamp_prepack(w, b, {stride:?}, {padding:?}, {dilation:?}, {groups}, {bounds})"
                ),
                run: format!("    y0 = ops.prepacked.conv2d_clamp_run(x, a)\n    y = {after}\n"),
            });
        }
        texts
    }

    fn linear(&self) -> Vec<Text> {
        if self.kind != Kind::Float {
            return Vec::new();
        }
        vec![Text {
            ready_type: "__torch__.torch.classes.xnnpack.LinearOpContext",
            ready: "ops.prepacked.linear_clamp_prepack(w, b, None, None)".to_owned(),
            run: "    y = ops.prepacked.linear_clamp_run(x, a)\n".to_owned(),
        }]
    }
}

/// oneDNN's name of an activation, and its numbers.
fn onednn_act(act: Option<Act>) -> (&'static str, String) {
    match act {
        Some(Act::Relu) => ("relu", String::new()),
        Some(Act::Relu6) => ("hardtanh", "0., 6.".to_owned()),
        Some(Act::Clip01) => ("hardtanh", "0., 1.".to_owned()),
        Some(Act::Silu) => ("swish", String::new()),
        Some(Act::Hswish) => ("hardswish", String::new()),
        Some(Act::Sigmoid) => ("sigmoid", String::new()),
        Some(Act::Hsigmoid) => ("hardsigmoid", String::new()),
        Some(Act::LeakyRelu(slope)) => ("leaky_relu", format!("{:?}", slope.0)),
        // it has a parameter, so no site takes it in
        None | Some(Act::Prelu) => ("none", String::new()),
    }
}

/// XNNPACK clamps: the bounds, and the activation of `y0` where it is more than that.
fn xnnpack_act(act: Option<Act>) -> (&'static str, String) {
    let bounds = match act {
        Some(Act::Relu) => "0., None",
        Some(Act::Relu6) => "0., 6.",
        Some(Act::Clip01) => "0., 1.",
        _ => return ("None, None", in_place(act)),
    };
    (bounds, "y0".to_owned())
}

/// An activation over `y0` itself.
fn in_place(act: Option<Act>) -> String {
    match act {
        Some(Act::Relu) => "torch.relu_(y0)".to_owned(),
        Some(Act::Relu6) => "torch.hardtanh_(y0, 0., 6.)".to_owned(),
        Some(Act::Clip01) => "torch.hardtanh_(y0, 0., 1.)".to_owned(),
        Some(Act::Silu) => "torch.silu_(y0)".to_owned(),
        Some(Act::Hswish) => "torch.hardswish_(y0)".to_owned(),
        Some(Act::Sigmoid) => "torch.sigmoid_(y0)".to_owned(),
        Some(Act::Hsigmoid) => "torch.hardsigmoid_(y0)".to_owned(),
        Some(Act::LeakyRelu(slope)) => format!("torch.leaky_relu_(y0, {:?})", slope.0),
        None | Some(Act::Prelu) => "y0".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::ops::{GlobalPool, Linear};
    use crate::torch::net::nhwc;
    use crate::torch::plan::act_in_place;
    use tch::Device;

    fn draw(size: &[i64]) -> Tensor {
        Tensor::f_randn(size, (Kind::Float, Device::Cpu)).unwrap()
    }

    /// Of an input like `x`.
    fn site(op: Op, act: Option<Act>, x: &Tensor) -> Site {
        Site {
            op,
            act,
            size: x.size(),
            kind: x.kind(),
            leaves_map: false,
        }
    }

    fn check(site: &Site, params: &[Tensor], x: &Tensor, want: &Tensor, ways: usize) {
        let found = site.ways(params);
        // the wheels of other processors lack some
        assert!(
            found.len() == ways || !cfg!(target_arch = "x86_64"),
            "{site:?}"
        );
        for way in found {
            // twice: what a kernel keeps must not change it
            for _ in 0..2 {
                let got = way.run(x).unwrap();
                assert_eq!(got.size(), want.size(), "{site:?}");
                let off = f64::try_from((&got - want).abs().max()).unwrap();
                // at most 512 products of standard normal numbers, rounded to 24 bits
                assert!(off < 2e-4, "{site:?} {way:?}: {off:e}");
            }
        }
    }

    /// Each way against libtorch's own operations.
    #[test]
    fn ways_do_what_operations_do() {
        let _guard = tch::no_grad_guard();
        let acts = Act::ALL.into_iter().filter(|a| *a != Act::Prelu);
        let acts = std::iter::once(None).chain(acts.map(Some));
        for (i, act) in acts.enumerate() {
            for kernel in [1, 3, 5] {
                let mut conv = Conv::same(12, kernel, 1 + i as u32 % 2);
                conv.groups = [1, 4][i % 2];
                conv.dilation = [1 + i as u32 % 3; 2];
                conv.bias = i % 3 != 0;
                let x = nhwc(&draw(&[2, 8, 19, 17])).unwrap();
                let k = i64::from(kernel);
                let mut params = vec![draw(&[12, 8 / i64::from(conv.groups), k, k])];
                params.extend(conv.bias.then(|| draw(&[12])));
                let [padding, stride, dilation] =
                    [conv.padding, conv.stride, conv.dilation].map(|p| p.map(i64::from));
                let groups = i64::from(conv.groups);
                let y = x.f_conv2d(&params[0], params.get(1), stride, padding, dilation, groups);
                let want = match act {
                    Some(act) => act_in_place(act, y.unwrap(), &[]).unwrap(),
                    None => y.unwrap(),
                };
                check(&site(conv.into(), act, &x), &params, &x, &want, 2);
            }
        }
        for bias in [false, true] {
            let (x, mut params) = (draw(&[3, 512]), vec![draw(&[7, 512])]);
            params.extend(bias.then(|| draw(&[7])));
            let op = Linear {
                out_features: 7,
                bias,
            }
            .into();
            let want = x.f_linear(&params[0], params.get(1)).unwrap();
            check(&site(op, None, &x), &params, &x, &want, 1);
        }
        let x = nhwc(&draw(&[2, 5, 9, 7])).unwrap();
        let op = GlobalPool {
            kind: PoolKind::Avg,
        }
        .into();
        let want = x.mean_dim([2, 3].as_slice(), true, None);
        check(&site(op, None, &x), &[], &x, &want, 1);
    }

    /// Half precision has fewer ways, none of them wrong.
    #[test]
    fn what_takes_no_halves_is_no_way() {
        let _guard = tch::no_grad_guard();
        let conv = Conv::same(8, 1, 1);
        let half = |t: Tensor| t.to_kind(Kind::BFloat16);
        let (x, w) = (half(draw(&[1, 8, 5, 3])), half(draw(&[8, 8, 1, 1])));
        let want =
            x.to_kind(Kind::Float)
                .conv2d(&w.to_kind(Kind::Float), None::<Tensor>, 1, 0, 1, 1);
        for way in site(conv.into(), None, &x).ways(&[w]) {
            let Ok(got) = way.run(&nhwc(&x).unwrap()) else {
                continue;
            };
            let off = f64::try_from((got.to_kind(Kind::Float) - &want).abs().max()).unwrap();
            // sums of eight products about 3 in size, rounded to 8 bits
            assert!(off < 0.1, "{way:?}: {off:e}");
        }
    }
}
