//! Devices that cover every kind of kernel, and fuse differently.

use blocksmith::device::{BUILT_IN, DeviceModel, KindProfile, Profile, Rates, Support};
use blocksmith::fuse::{FuseRules, KernelKind};

/// A device that covers every kind of kernel, so that none is skipped.
fn device(name: &str, rules: FuseRules) -> DeviceModel {
    let mut profile = Profile::parse(BUILT_IN[0].text, name).unwrap();
    let rates = Rates::from_array([1e-10, 0.0, 2e-10, 3e-10, 0.0, 1e-10, 5e-6, 0.0]);
    profile.name = name.into();
    profile.fuse = rules;
    profile.energy_constant_j = Some(1e-5);
    let kind = |kind: &KernelKind| {
        let rates = KindProfile {
            support: Support::Fitted,
            seen: None,
            latency_s: rates,
            energy_j: Some(rates),
            host_s: 0.0,
        };
        (*kind, rates)
    };
    profile.kernels = KernelKind::ALL.iter().map(kind).collect();
    DeviceModel::new(profile)
}

/// Two of them.
pub fn devices() -> [DeviceModel; 2] {
    [
        device("a", FuseRules::onnx()),
        device("b", FuseRules::ncnn()),
    ]
}
