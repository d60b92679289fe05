//! The folded net as a CPU runs it fastest: where that pays, filters laid out once as oneDNN wants them and activations
//! inside the convolutions before them.
//!
//! libtorch has such convolutions (`mkldnn::_convolution_pointwise`) where only TorchScript reaches them. So the
//! convolutions of a net become methods of a small module, which is written here as the archive that libtorch loads.

use super::error::{TorchError, TorchErrorKind};
use super::net::{Net, nhwc};
use super::plan::{Step, act_in_place};
use crate::ir::ops::{Act, Conv};
use crate::ir::{Graph, Op};
use std::fmt::Write as _;
use std::ops::Range;
use std::time::Instant;
use tch::{CModule, Device, Kind, Tensor};

/// A net in that form. It takes the batch that it was made for.
#[derive(Debug)]
pub struct Fused {
    net: Net,
    joined: Joined,
}

/// Convolutions that run as methods of a module.
#[derive(Debug)]
pub(super) struct Joined {
    module: CModule,
    /// By node: its method.
    methods: Vec<Option<String>>,
    /// By node: whether the convolution before it does it.
    done: Vec<bool>,
}

impl Net {
    /// The same function with activations inside convolutions where that is faster, which is tried out, for batches of
    /// `batch`. The net must be [`optimized`](Net::optimized) and on a CPU.
    ///
    /// # Errors
    /// Where libtorch refuses, or was built without oneDNN.
    pub fn fused(mut self, batch: u32) -> Result<Fused, TorchError> {
        if self.device() != Device::Cpu || !self.channels_last {
            let text = "only channels-last nets on a CPU can be fused".to_owned();
            return Err(TorchErrorKind::Libtorch(text).into());
        }
        let _guard = tch::no_grad_guard();
        let acts = acts_after(&self.graph);
        let (mut code, mut found) = (CLASS.to_owned(), Vec::new());
        for step in self.plan.steps() {
            let at = step.node.index();
            let Op::Conv(conv) = self.graph.node(step.node).op else {
                continue;
            };
            // filters that several convolutions share stay as all of them can take them
            let shares = |s: &&Step| s.params == step.params;
            if self.plan.steps().iter().filter(shares).count() > 1 {
                continue;
            }
            let Some(input) = self.graph.inputs(step.node).first() else {
                continue;
            };
            let shape = self.graph.shape(*input);
            let (h, w) = shape.hw();
            let act = acts.get(at).copied().flatten();
            let candidate = Candidate {
                node: at,
                params: step.params.clone(),
                conv,
                act,
                size: [batch, shape.channels(), h, w].map(i64::from),
                method: format!("conv{at}"),
            };
            method(&mut code, &candidate);
            found.push(candidate);
        }
        let module = CModule::load_data(&mut archive(&code).as_slice())?;
        let nodes = self.graph.nodes().len();
        let mut joined = Joined {
            module,
            methods: vec![None; nodes],
            done: vec![false; nodes],
        };
        for candidate in found {
            let own = self.tensors.get(candidate.params.clone()).unwrap_or(&[]);
            let Some(packed) = candidate.faster(own, self.kind, &joined.module)? else {
                continue;
            };
            self.tensors[candidate.params.start] = packed;
            joined.methods[candidate.node] = Some(candidate.method);
            if let Some((act, _)) = candidate.act {
                joined.done[act] = true;
            }
        }
        Ok(Fused { net: self, joined })
    }
}

/// A convolution that may run as a method.
struct Candidate {
    node: usize,
    params: Range<usize>,
    conv: Conv,
    /// The activation after it.
    act: Option<(usize, Act)>,
    /// Of its input.
    size: [i64; 4],
    method: String,
}

impl Candidate {
    /// Its filters as oneDNN wants them, where it is faster with them. A call of oneDNN has its price, and libtorch does
    /// without it where a plain matrix product will do; which is better depends on shape, threads and processor.
    fn faster(
        &self,
        params: &[Tensor],
        kind: Kind,
        module: &CModule,
    ) -> Result<Option<Tensor>, TorchError> {
        let Some(weight) = params.first() else {
            return Ok(None);
        };
        let conv = self.conv;
        let [padding, stride, dilation] =
            [conv.padding, conv.stride, conv.dilation].map(|p| p.map(i64::from));
        let groups = i64::from(conv.groups);
        let packed = (weight.f_to_mkldnn(kind)?).f_mkldnn_reorder_conv2d_weight(
            padding,
            stride,
            dilation,
            groups,
            self.size.as_slice(),
        )?;
        let x = nhwc(&Tensor::f_ones(self.size, (kind, Device::Cpu))?)?;
        let plain = || -> Result<Tensor, TorchError> {
            let y = x.f_conv2d(weight, params.get(1), stride, padding, dilation, groups)?;
            match self.act {
                Some((_, act)) => act_in_place(act, y, &[]),
                None => Ok(y),
            }
        };
        let args: Vec<&Tensor> = [&x, &packed].into_iter().chain(params.get(1)).collect();
        let joined =
            || -> Result<Tensor, TorchError> { Ok(module.method_ts(&self.method, &args)?) };
        let ways: [&dyn Fn() -> Result<Tensor, TorchError>; 2] = [&plain, &joined];
        let mut best = [f64::INFINITY; 2];
        for _ in 0..TRIES {
            for (best, run) in best.iter_mut().zip(ways) {
                let start = Instant::now();
                drop(run()?);
                *best = start.elapsed().as_secs_f64().min(*best);
            }
        }
        Ok((best[1] < best[0]).then_some(packed))
    }
}

/// Runs of each way to do a convolution, the first of which are warm-up.
const TRIES: usize = 8;

impl Fused {
    /// Runs it, as [`Net::forward`] does.
    ///
    /// # Errors
    /// Where the inputs do not fit, or libtorch refuses.
    pub fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, TorchError> {
        let _guard = tch::no_grad_guard();
        self.net.forward_with(inputs, Some(&self.joined))
    }
}

impl Joined {
    /// What a step gives where it is one of these; `None` where it runs like any other.
    pub(super) fn run(
        &self,
        graph: &Graph,
        step: &Step,
        params: &[Tensor],
        values: &mut [Option<Tensor>],
    ) -> Option<Result<Tensor, TorchError>> {
        let at = step.node.index();
        let input = graph.inputs(step.node).first()?.index();
        if self.done.get(at) == Some(&true) {
            return values.get_mut(input)?.take().map(Ok);
        }
        let method = self.methods.get(at)?.as_ref()?;
        let x = values.get(input)?.as_ref()?;
        let args: Vec<&Tensor> = std::iter::once(x).chain(params).collect();
        Some(self.module.method_ts(method, &args).map_err(Into::into))
    }
}

/// For each node the activation that alone reads it and that a convolution can take in: its node and itself.
fn acts_after(graph: &Graph) -> Vec<Option<(usize, Act)>> {
    let live = graph.live();
    let mut uses = vec![0usize; graph.nodes().len()];
    let mut acts = vec![None; graph.nodes().len()];
    for output in graph.outputs() {
        uses[output.index()] += 1;
    }
    for id in graph.ids().filter(|id| live[id.index()]) {
        for input in graph.inputs(id) {
            uses[input.index()] += 1;
        }
        if let (Op::Act(act), Some(input)) = (graph.node(id).op, graph.inputs(id).first())
            && act != Act::Prelu
        {
            acts[input.index()] = Some((id.index(), act));
        }
    }
    for (act, uses) in acts.iter_mut().zip(uses) {
        if uses != 1 {
            *act = None;
        }
    }
    acts
}

const CLASS: &str = "class Net(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
";

fn method(code: &mut String, of: &Candidate) {
    let name = &of.method;
    let (attr, scalars) = match of.act.map(|(_, act)| act) {
        None => ("none", String::new()),
        Some(Act::Relu) => ("relu", String::new()),
        Some(Act::Relu6) => ("hardtanh", "0., 6.".to_owned()),
        Some(Act::Clip01) => ("hardtanh", "0., 1.".to_owned()),
        Some(Act::Silu) => ("swish", String::new()),
        Some(Act::Hswish) => ("hardswish", String::new()),
        Some(Act::Sigmoid) => ("sigmoid", String::new()),
        Some(Act::Hsigmoid) => ("hardsigmoid", String::new()),
        Some(Act::LeakyRelu(slope)) => ("leaky_relu", format!("{:?}", slope.0)),
        // it has a parameter; acts_after leaves it out
        Some(Act::Prelu) => ("none", String::new()),
    };
    let (takes, given) = match of.params.len() > 1 {
        true => (",\n    b: Tensor", "b"),
        false => ("", "None"),
    };
    let Conv {
        padding,
        stride,
        dilation,
        groups,
        ..
    } = of.conv;
    // writing to a string does not fail
    let _ = write!(
        code,
        "  def {name}(self: __torch__.Net,
    x: Tensor,
    w: Tensor{takes}) -> Tensor:
    s = annotate(List[Optional[number]], [{scalars}])
    y = ops.mkldnn._convolution_pointwise(x, w, {given}, {padding:?}, {stride:?}, {dilation:?}, {groups}, \"{attr}\", s, \"\")
    return y
"
    );
}

/// The module as libtorch reads it: a zip file, nothing compressed, of code, an object without attributes of its own, and no
/// constants.
fn archive(code: &str) -> Vec<u8> {
    // pickle, protocol 2: an object of the class with training = False
    let object = b"\x80\x02c__torch__\nNet\nq\x00)\x81}(X\x08\x00\x00\x00trainingq\x01\x89ubq\x02.";
    let files: [(&str, &[u8]); 4] = [
        ("net/data.pkl", object),
        ("net/code/__torch__.py", code.as_bytes()),
        ("net/constants.pkl", b"\x80\x02)."),
        ("net/version", b"3\n"),
    ];
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let offset = bytes.len() as u32;
        let size = (content.len() as u32).to_le_bytes();
        // version 2.0, no flags, stored, first of January 1980
        let mut facts = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        facts.extend(crc32fast::hash(content).to_le_bytes());
        facts.extend([size, size].concat());
        facts.extend([(name.len() as u16).to_le_bytes(), [0, 0]].concat());
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&facts);
        bytes.extend(name.as_bytes());
        bytes.extend(content);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&facts);
        // no comment, first disk, no attributes
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = (bytes.len() as u32).to_le_bytes();
    let length = (directory.len() as u32).to_le_bytes();
    let count = (files.len() as u16).to_le_bytes();
    bytes.extend(directory);
    bytes.extend(b"PK\x05\x06\x00\x00\x00\x00");
    bytes.extend([count, count].concat());
    bytes.extend([length, start].concat());
    bytes.extend([0, 0]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each method against libtorch's own operations.
    #[test]
    fn methods_do_what_operations_do() {
        let acts = Act::ALL.into_iter().filter(|a| *a != Act::Prelu);
        let acts: Vec<Option<Act>> = std::iter::once(None).chain(acts.map(Some)).collect();
        let mut candidates = Vec::new();
        for (i, act) in acts.iter().enumerate() {
            let mut conv = Conv::same(12, 3, 1 + i as u32 % 2);
            conv.groups = [1, 4][i % 2];
            conv.dilation = [1 + i as u32 % 3; 2];
            candidates.push(Candidate {
                node: i,
                params: 0..1 + i % 2,
                conv,
                act: act.map(|act| (i + 1, act)),
                size: [2, 8, 9, 7],
                method: format!("conv{i}"),
            });
        }
        let mut code = CLASS.to_owned();
        for candidate in &candidates {
            method(&mut code, candidate);
        }
        let module = CModule::load_data(&mut archive(&code).as_slice()).unwrap();
        let draw = |size: &[i64]| Tensor::f_randn(size, (Kind::Float, Device::Cpu)).unwrap();
        for of in &candidates {
            let conv = of.conv;
            let groups = i64::from(conv.groups);
            let (x, weight) = (draw(&of.size), draw(&[12, 8 / groups, 3, 3]));
            let bias = (of.params.len() > 1).then(|| draw(&[12]));
            let [padding, stride, dilation] =
                [conv.padding, conv.stride, conv.dilation].map(|p| p.map(i64::from));
            let y = x
                .f_conv2d(&weight, bias.as_ref(), stride, padding, dilation, groups)
                .unwrap();
            let want = match of.act {
                Some((_, act)) => act_in_place(act, y, &[]).unwrap(),
                None => y,
            };
            let packed = (weight.f_to_mkldnn(Kind::Float).unwrap())
                .f_mkldnn_reorder_conv2d_weight(
                    padding,
                    stride,
                    dilation,
                    groups,
                    of.size.as_slice(),
                )
                .unwrap();
            let x = nhwc(&x).unwrap();
            let args: Vec<&Tensor> = [&x, &packed].into_iter().chain(&bias).collect();
            let got = module.method_ts(&of.method, &args).unwrap();
            let off = f64::try_from((&got - &want).abs().max()).unwrap();
            // 72 products of standard normal numbers, rounded to 24 bits
            assert!(off < 1e-4, "{:?}: {off:e}", of.act);
        }
    }
}
