//! The runtime that a command line asks for.

use super::{Args, FormArg, LayoutArg, PrecisionArg};
use crate::cli::failure::{Failure, Result};
#[cfg(feature = "onnxruntime")]
use crate::measure::onnxruntime::{OrtRuntime, OrtSetup};
use crate::measure::{Form, MemoryFormat, Precision, Runtime};
#[cfg(feature = "torch")]
use crate::measure::{TorchRuntime, TorchSetup, device_name};
#[cfg(feature = "torch")]
use crate::torch::{Device, parse_device};

/// Those that this program has, the usual one first.
pub const RUNTIMES: &[&str] = &[
    #[cfg(feature = "torch")]
    "torch",
    #[cfg(feature = "onnxruntime")]
    "onnxruntime",
];

/// A runtime, and what rows say of it.
pub struct Chosen {
    pub runtime: Box<dyn Runtime>,
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// The number of the GPU, where it is one.
    pub gpu: Option<u32>,
    pub precision: Precision,
    pub threads: u32,
    pub form: Form,
    pub memory_format: MemoryFormat,
    /// How waiting threads wait.
    pub spin: String,
}

/// `turns` are those that a waiting thread spins.
pub fn choose(args: &Args, turns: Option<u64>) -> Result<Chosen> {
    match args.runtime.as_str() {
        #[cfg(feature = "torch")]
        "torch" => torch(args, turns),
        #[cfg(feature = "onnxruntime")]
        "onnxruntime" => onnxruntime(args, turns),
        other => Err(Failure::Usage(format!("no runtime {other:?}"))),
    }
}

fn form(args: &Args) -> Form {
    match args.form {
        FormArg::Eager => Form::Eager,
        FormArg::Folded => Form::Folded,
        FormArg::Fused => Form::Fused,
        FormArg::Frozen => Form::Frozen,
    }
}

#[cfg(feature = "torch")]
fn torch(args: &Args, turns: Option<u64>) -> Result<Chosen> {
    if args.ort_lib.is_some() {
        return Err(Failure::Usage(
            "--ort-lib is for --runtime onnxruntime".to_owned(),
        ));
    }
    let device = parse_device(&args.device)?;
    let layout = args.memory_format.unwrap_or(match args.form {
        FormArg::Eager => LayoutArg::Nchw,
        FormArg::Folded | FormArg::Fused | FormArg::Frozen => LayoutArg::Nhwc,
    });
    let setup = TorchSetup {
        device,
        threads: Some(args.threads),
        batch: args.batch,
        precision: match args.precision {
            PrecisionArg::Fp32 => Precision::Fp32,
            PrecisionArg::Bf16 => Precision::Bf16,
            PrecisionArg::Fp16 => Precision::Fp16,
        },
        memory_format: match layout {
            LayoutArg::Nchw => MemoryFormat::Nchw,
            LayoutArg::Nhwc => MemoryFormat::Nhwc,
        },
        form: form(args),
    };
    Ok(Chosen {
        runtime: Box::new(TorchRuntime::new(setup)),
        device: device_name(device),
        gpu: match device {
            Device::Cuda(n) => u32::try_from(n).ok(),
            _ => None,
        },
        precision: setup.precision,
        threads: TorchRuntime::threads(),
        form: setup.form,
        memory_format: setup.memory_format,
        spin: super::process::word(turns),
    })
}

/// It has one number format, and lays feature maps out as it sees fit.
#[cfg(feature = "onnxruntime")]
fn onnxruntime(args: &Args, turns: Option<u64>) -> Result<Chosen> {
    let refuse = |what: &str| Err(Failure::Usage(format!("--runtime onnxruntime {what}")));
    if args.device != "cpu" {
        return refuse("runs on --device cpu");
    }
    if args.precision != PrecisionArg::Fp32 {
        return refuse("measures --precision fp32");
    }
    if matches!(args.form, FormArg::Fused | FormArg::Frozen) {
        return refuse("takes --form eager or folded; the others are forms of libtorch");
    }
    if args.memory_format == Some(LayoutArg::Nhwc) {
        return refuse("takes --memory-format nchw, and chooses its own layout inside");
    }
    // it spins or it does not; how long is its own affair
    let spin = turns != Some(0);
    let setup = OrtSetup {
        threads: args.threads,
        spin,
        batch: args.batch,
        form: form(args),
    };
    let runtime = OrtRuntime::open(args.ort_lib.as_deref(), setup);
    Ok(Chosen {
        runtime: Box::new(runtime.map_err(|e| Failure::Other(e.into()))?),
        device: args.device.clone(),
        gpu: None,
        precision: Precision::Fp32,
        threads: args.threads,
        form: form(args),
        memory_format: MemoryFormat::Nchw,
        spin: if spin { "on" } else { "off" }.to_owned(),
    })
}
