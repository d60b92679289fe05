//! Devices made up for tests: every unit of work costs something round.

use blocksmith::device::{
    DeviceModel, FORMAT, Interval, KindProfile, Law, Profile, Provenance, Rates, Support,
};
use blocksmith::fuse::{FuseRules, KernelKind};

fn model(name: &str, slow: f64, kinds: impl Iterator<Item = KernelKind>) -> DeviceModel {
    let rates = |scale: f64| Rates {
        per_mac: 1e-10 * scale,
        per_edge: 0.0,
        per_elem_in: 2e-10 * scale,
        per_elem_out: 3e-10 * scale,
        per_elem_spilled: 0.0,
        per_weight: 1e-10 * scale,
        per_launch: 5e-6 * scale,
        per_unpacked: 0.0,
    };
    DeviceModel::new(Profile {
        format: FORMAT.into(),
        name: name.into(),
        hardware: "made up".into(),
        runtime: "made up".into(),
        threads: Some(1),
        precision: Some("fp32".into()),
        batch: [1, 1],
        provenance: Provenance {
            ..Provenance::default()
        },
        held_out: Vec::new(),
        interval: Interval {
            level: 0.9,
            latency_log: 0.1,
            energy_log: Some(0.1),
            transferred_log: 0.0,
            far_log: 0.0,
        },
        fuse: FuseRules::onnx(),
        law: Law::PLAIN,
        effects: Default::default(),
        cache_elems: None,
        latency_constant_s: 1e-5,
        // the slower half of networks wait for the device, the others for the processor
        host_constant_s: Some(2e-5),
        energy_constant_j: Some(1e-5),
        latency_range_s: None,
        known: Vec::new(),
        regions: Vec::new(),
        kernels: kinds
            .map(|kind| {
                let rates = KindProfile {
                    support: Support::Fitted,
                    seen: None,
                    latency_s: rates(slow),
                    energy_j: Some(rates(2.0 / slow)),
                    host_s: 2e-5,
                };
                (kind, rates)
            })
            .collect(),
    })
}

/// Knows every kind of kernel.
pub fn covering_all(name: &str, slow: f64) -> DeviceModel {
    model(name, slow, KernelKind::ALL.iter().copied())
}

/// Has never seen a depthwise convolution.
pub fn without_depthwise(name: &str) -> DeviceModel {
    let seen = |k: &KernelKind| !k.name().contains("depthwise");
    model(name, 1.0, KernelKind::ALL.iter().copied().filter(seen))
}
