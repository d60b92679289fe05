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

/// The shipped profiles. `blocksmith calibrate --public` writes their files.
pub static BUILT_IN: &[BuiltIn] = built_in![
    "pi5-litert",
    "pi5-onnx",
    "pi5-torchmobile",
    "pi5-ncnn",
    "pi5-ncnn-4t",
    "pi3-ncnn-4t",
    "pi-zero2w-ncnn-4t",
    "rk3399-ncnn-2t",
    "orangepi5-ncnn-4t",
    "jetson-orin-nano-ncnn",
    "snapdragon8gen2-ncnn-4t",
    "snapdragon810-ncnn",
    "khadas-vim3-ncnn-4t",
    "rtx3090-torch",
    "rtx4090-torch",
];
