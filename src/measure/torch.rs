//! Nets on libtorch.

use super::host::timed;
use super::runtime::{Form, Loaded, MemoryFormat, Precision, Runtime, RuntimeError};
use super::window::{Sampling, Timed, WindowOptions, sample};
use crate::ir::{Graph, Shape};
use crate::torch::{Device, Frozen, Fused, Net, Tensor, TorchError, libtorch_version};
use rand_distr::{Distribution, StandardNormal};
use tch::Kind;

/// How libtorch runs nets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TorchSetup {
    /// Where.
    pub device: Device,
    /// Threads of one operation; `None` leaves libtorch's own number.
    pub threads: Option<u32>,
    /// Samples in the batch.
    pub batch: u32,
    /// Number format.
    pub precision: Precision,
    /// Layout of feature maps.
    pub memory_format: MemoryFormat,
    /// Form of the net.
    pub form: Form,
}

impl Default for TorchSetup {
    fn default() -> Self {
        Self {
            device: Device::Cpu,
            threads: None,
            batch: 1,
            precision: Precision::Fp32,
            memory_format: MemoryFormat::Nhwc,
            form: Form::Folded,
        }
    }
}

/// libtorch as a runtime.
#[derive(Debug)]
pub struct TorchRuntime {
    setup: TorchSetup,
}

impl TorchRuntime {
    /// Sets libtorch's thread count for the whole process, and lets cuDNN try its algorithms out.
    pub fn new(setup: TorchSetup) -> Self {
        if let Some(threads) = setup.threads {
            tch::set_num_threads(i32::try_from(threads.max(1)).unwrap_or(i32::MAX));
        }
        if let Device::Cuda(_) = setup.device {
            tch::Cuda::cudnn_set_benchmark(true);
        }
        Self { setup }
    }

    /// Threads of one operation.
    pub fn threads() -> u32 {
        tch::get_num_threads().unsigned_abs()
    }

    /// A net in the form of the setup, with its input.
    fn prepare(&self, net: &Net) -> Result<Prepared, TorchError> {
        let setup = &self.setup;
        let nhwc = setup.memory_format == MemoryFormat::Nhwc;
        let net = match setup.form {
            Form::Eager => net.laid_out(nhwc)?,
            Form::Folded | Form::Fused | Form::Frozen => net.optimized_with(nhwc)?,
        };
        let kind = match setup.precision {
            Precision::Fp32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
            Precision::Fp16 => Kind::Half,
        };
        let net = net.to_kind(kind)?;
        let inputs = net.prepare(&random_inputs(&net, setup.batch)?)?;
        let device = net.device();
        let runs = match setup.form {
            Form::Frozen => Runs::Frozen(net.frozen(&inputs)?),
            Form::Fused => Runs::Fused(Box::new(net.fused(setup.batch)?)),
            Form::Eager | Form::Folded => Runs::Net(Box::new(net)),
        };
        Ok(Prepared {
            runs,
            inputs,
            device,
            alone: device == Device::Cpu && TorchRuntime::threads() == 1,
        })
    }
}

impl Runtime for TorchRuntime {
    fn name(&self) -> &'static str {
        "torch"
    }

    fn version(&self) -> String {
        libtorch_version().to_owned()
    }

    fn load(&mut self, graph: &Graph) -> Result<Box<dyn Loaded>, RuntimeError> {
        let net = Net::build(graph, self.setup.device, 0).map_err(RuntimeError::new)?;
        let ready = self.prepare(&net).map_err(RuntimeError::new)?;
        Ok(Box::new(ready))
    }
}

enum Runs {
    Net(Box<Net>),
    Fused(Box<Fused>),
    Frozen(Frozen),
}

struct Prepared {
    runs: Runs,
    inputs: Vec<Tensor>,
    device: Device,
    /// Whether one thread of the CPU does all the work.
    alone: bool,
}

impl Prepared {
    fn time(&self) -> Result<Timed, TorchError> {
        // work on a GPU is only queued by the call: wait for it on both sides of the clock
        let wait = || {
            if let Device::Cuda(n) = self.device {
                tch::Cuda::synchronize(n as i64);
            }
        };
        wait();
        let (outputs, timed) = timed(self.alone, || {
            let outputs = match &self.runs {
                Runs::Net(net) => net.forward(&self.inputs),
                Runs::Fused(net) => net.forward(&self.inputs),
                Runs::Frozen(module) => module.forward(&self.inputs),
            };
            wait();
            outputs
        });
        outputs?;
        Ok(timed)
    }
}

impl Loaded for Prepared {
    fn run(&mut self) -> Result<Timed, RuntimeError> {
        self.time().map_err(RuntimeError::new)
    }
}

/// One row of a table of measurements of nets at hand.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Measurement {
    /// Device of the net, `cpu` or `cuda:0`.
    pub device: String,
    /// What ran it.
    pub runtime: &'static str,
    /// Precision of weights and values.
    pub precision: &'static str,
    /// Threads of one operation.
    pub threads: u32,
    /// Samples in the batch; `latency_s` is for all of them together.
    pub batch: u32,
    /// Form of the net.
    pub form: &'static str,
    /// Times.
    #[serde(flatten)]
    pub sampling: Sampling,
    /// Energy of a run; null without a meter.
    pub energy_j: Option<f64>,
    /// Name of the energy meter; null without one.
    pub meter: Option<String>,
    /// libtorch's version.
    pub runtime_version: &'static str,
}

/// Time of one forward pass of `net` on its own device, on fixed random input. `None` if no run was asked for.
///
/// Sets libtorch's thread count for the whole process where `setup` names one, so one measurement at a time.
///
/// # Errors
/// Where the net does not run.
pub fn measure_net(
    net: &Net,
    setup: TorchSetup,
    options: &WindowOptions,
) -> Result<Option<Measurement>, TorchError> {
    let setup = TorchSetup {
        device: net.device(),
        ..setup
    };
    let runtime = TorchRuntime::new(setup);
    let ready = runtime.prepare(net)?;
    let sampling = sample(options, || ready.time())?;
    Ok(sampling.map(|sampling| Measurement {
        device: device_name(setup.device),
        runtime: "torch",
        precision: setup.precision.name(),
        threads: TorchRuntime::threads(),
        batch: setup.batch,
        form: setup.form.name(),
        sampling,
        energy_j: None,
        meter: None,
        runtime_version: libtorch_version(),
    }))
}

/// `cpu` or `cuda:0`.
pub fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(n) => format!("cuda:{n}"),
        _ => "cpu".to_owned(),
    }
}

/// Standard normal inputs from a fixed stream, on the net's device.
fn random_inputs(net: &Net, batch: u32) -> Result<Vec<Tensor>, TorchError> {
    let mut inputs = Vec::new();
    for (i, shape) in (0u64..).zip(net.input_shapes()) {
        let mut rng = crate::base::rng::stream(0, "measure input", i);
        let values: Vec<f32> = (0..shape.elems() * u64::from(batch))
            .map(|_| StandardNormal.sample(&mut rng))
            .collect();
        let (h, w) = shape.hw();
        let size = [batch, shape.channels(), h, w].map(i64::from);
        let size = match shape {
            Shape::Map { .. } => &size[..],
            Shape::Flat { .. } => &size[..2],
        };
        inputs.push(
            Tensor::f_from_slice(&values)?
                .f_reshape(size)?
                .f_to_device(net.device())?,
        );
    }
    Ok(inputs)
}
