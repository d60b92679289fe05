//! The shipped profiles, one line each.

/// A profile that is part of the program.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn {
    /// Its name.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$(BuiltIn { name: $name, text: include_str!(concat!("../../results/devices/", $name, ".json")) }),*]
    };
}

/// The shipped profiles. `blocksmith calibrate --public` writes their files, `scripts/refit-own` those of `x86-*`.
pub static BUILT_IN: &[BuiltIn] = built_in![
    "pi5-litert",
    "pi5-onnx",
    "pi5-torchmobile",
    "pi5-ncnn",
    "pi5-ncnn-4t",
    "pi3-ncnn",
    "pi3-ncnn-4t",
    "pi-zero2w-ncnn-4t",
    "arduino-uno-q-ncnn-4t",
    "orangepi-zero2-ncnn-4t",
    "radxa-zero3w-ncnn-4t",
    "rock3a-ncnn",
    "rock3a-ncnn-4t",
    "avaota-t527-ncnn-4t",
    "snapdragon810-ncnn",
    "rk3399-ncnn-2t",
    "orangepi4-ncnn-2t",
    "khadas-vim3-ncnn",
    "khadas-vim3-ncnn-4t",
    "snapdragon660-ncnn",
    "snapdragon835-ncnn",
    "orangepi5-ncnn-4t",
    "rk3588-little-ncnn",
    "snapdragon765g-ncnn-4t",
    "jetson-tx2nx-ncnn",
    "jetson-xavier-ncnn",
    "jetson-agx-orin-ncnn",
    "jetson-orin-nano-ncnn",
    "snapdragon8gen2-ncnn",
    "snapdragon8gen2-ncnn-4t",
    "orion-o6-ncnn",
    "snapdragon625-paddle",
    "rk3399-paddle",
    "snapdragon835-paddle",
    "snapdragon845-paddle",
    "snapdragon855-paddle",
    "snapdragon865-paddle",
    "kirin980-paddle",
    "kirin990-paddle",
    "pixel3-litert",
    "essential-ph1-torchmobile",
    "samsung-a50-torchmobile",
    "xeon-4114-torch",
    "xeon-4210r-torch",
    "jetson-tx2nx-vulkan",
    "pi5-vulkan",
    "rk3399-vulkan",
    "khadas-vim3-vulkan",
    "snapdragon765g-vulkan",
    "rtx3090-torch",
    "rtx3090-torch-nhwc",
    "rtx4090-torch",
    "rtx4090-torch-nhwc",
    "rtx4090-torch-compiled",
    "gtx1080ti-torch",
    "rtx2080ti-torch",
    "titanx-torch",
    "titanxp-torch",
    "v100-torch",
    "x86-torch",
    "x86-torch-2t",
    "x86-torch-bf16",
    "x86-torch-bf16-2t",
    "x86-onnxruntime",
    "x86-onnxruntime-2t",
];
