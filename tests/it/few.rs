//! Profiles from a handful of one's own rows beside a known device.

use blocksmith::calibrate::{self, Sample, priors};
use blocksmith::device::{DeviceModel, Profile, Support};
use blocksmith::fuse::{FuseRules, Kernel, fuse};
use blocksmith::ir::text;
use std::sync::Arc;

fn known() -> DeviceModel {
    DeviceModel::find("pi5-onnx").unwrap()
}

/// Convolutions of so many channels, by their windows; not one relu by itself.
fn network(channels: u32, windows: &[u32]) -> Vec<Kernel> {
    let mut net = format!("%0 input {channels}x28x28 : in\n");
    for (i, k) in (0..).zip(windows) {
        let (at, pad) = (i + 1, k / 2);
        net += &format!("%{at} conv {channels}x28x28 (%{i}) k{k} p{pad} : c{i}\n");
    }
    net += &format!("output %{}\n", windows.len());
    fuse(&text::parse(&net).unwrap(), &FuseRules::onnx()).list
}

/// What a device measures that takes twice the time and three times the energy of the known one at everything.
fn rows() -> Vec<Sample> {
    let known = known();
    let row = |i: u32| {
        let windows = [vec![3; 2 + i as usize], vec![1; 9 - i as usize]].concat();
        let kernels = network(16 * (1 + i % 3), &windows);
        let there = known.predict(&kernels, 1).unwrap();
        calibrate::own_sample(
            &format!("n{i}"),
            Arc::from(kernels),
            1,
            2.0 * there.latency.0,
            Some(3.0 * there.energy.unwrap().0),
        )
    };
    (0..7).map(row).collect()
}

fn fitted(samples: &[Sample]) -> Profile {
    let about = calibrate::nasbench::about(&calibrate::nasbench::RUNTIMES[1]);
    let init = known().profile().clone();
    calibrate::fit_own(about, samples, Some(&init), priors::onnx(), &[]).unwrap()
}

#[test]
fn no_kind_of_the_known_device_is_lost() {
    let (known, own) = (known(), fitted(&rows()));
    let model = DeviceModel::new(Profile::parse(&own.to_json(), "own").unwrap());
    for (kind, there) in &known.profile().kernels {
        let here = own.kernels.get(kind);
        let here = here.unwrap_or_else(|| panic!("{} is lost", kind.name()));
        let seen = here.seen.is_some();
        let transferred = matches!(here.support, Support::Transferred { .. });
        assert_eq!(seen, !transferred, "{}: {:?}", kind.name(), here.support);
        // all of it takes twice the time and three times the energy there
        let ratio =
            |here: [f64; 8], there: [f64; 8]| here.iter().sum::<f64>() / there.iter().sum::<f64>();
        let all = there.latency_s.to_array();
        if !seen && all.iter().any(|r| *r > 0.0) {
            let time = ratio(here.latency_s.to_array(), all);
            assert!((1.9..2.1).contains(&time), "{}: {time}", kind.name());
            let joules = [here, there].map(|k| k.energy_j.unwrap().to_array());
            let energy = ratio(joules[0], joules[1]);
            let there = joules[1].iter().sum::<f64>();
            assert!(
                (2.4..3.3).contains(&energy) || there == 0.0,
                "{}: {energy}",
                kind.name()
            );
        }
    }
    // work that the rows do not have is covered, and known to be less sure
    let net = "%0 input 32x28x28 : in\n%1 hswish 32x28x28 (%0) : a\n%2 shuffle 32x28x28 (%1) g2 : s\noutput %2\n";
    let strange = fuse(&text::parse(net).unwrap(), &FuseRules::onnx()).list;
    let of = |kernels: &[Kernel]| {
        let p = model.predict(kernels, 1).unwrap();
        assert_eq!(p.uncovered, []);
        p.latency_hi.0 / p.latency.0
    };
    assert!(of(&strange) > 1.4 * of(&network(32, &[3, 1, 3, 1, 3])));
}

#[test]
fn a_profile_says_what_it_started_from_and_what_its_rows_tell() {
    let own = fitted(&rows());
    let notes = &own.provenance.notes;
    assert!(
        notes.iter().any(|n| n.contains("started from pi5-onnx")),
        "{notes:?}"
    );
    // rows of two windows in many ratios tell these two apart
    use blocksmith::fuse::KernelKind::{Conv1x1, Conv3x3};
    assert_eq!(own.kernels[&Conv3x3].support, Support::Fitted);
    // where all rows are one network at several sizes, they do not
    let mut alike = rows();
    for (i, row) in (1..).zip(&mut alike) {
        row.kernels = Arc::from(network(16, &[3, 1].repeat(i)));
        row.latency_s = 2.0 * known().predict(&row.kernels, 1).unwrap().latency.0;
        row.energy_j = None;
    }
    let own = fitted(&alike);
    let adapted = Support::Adapted {
        from: "pi5-onnx".to_owned(),
    };
    assert_eq!(own.kernels[&Conv1x1].support, adapted);
}
