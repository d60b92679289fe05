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
pub static BUILT_IN: &[BuiltIn] = built_in!["pi5-onnx",];
