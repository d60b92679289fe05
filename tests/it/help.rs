//! The spaces of the HELP tables: their networks have the sizes of independent PyTorch builds.

use crate::spaces::{load, root};
use blocksmith::blocks::Names;
use blocksmith::calibrate::help::{fbnet_choices, ofa_choices};
use blocksmith::cost::{Scratch, Totals};
use serde_json::Value;

fn counts(file: &str, choices: &Value) -> (u64, u64) {
    let (space, program) = load(&root().join("search_spaces").join(file));
    let assignment = space.assignment_from_json(choices).unwrap();
    let graph = program.lower(&assignment, Names::On).unwrap();
    let t = Totals::of(&graph, &mut Scratch::default()).unwrap();
    (t.params, t.macs)
}

/// Counted by hooks on modules written after the once-for-all release (`OFAMobileNetV3`), not after the document.
#[test]
fn once_for_all_networks_have_their_size() {
    let equal = |k: i64, e: i64, d: i64| {
        serde_json::json!({"ks": vec![k; 20], "e": vec![e; 20], "d": vec![d; 5]}).to_string()
    };
    let mixed = r#"{"ks": [7, 3, 5, 3, 3, 7, 3, 7, 3, 7, 3, 7, 3, 7, 7, 3, 5, 5, 7, 3],
        "e": [4, 6, 3, 4, 4, 4, 4, 6, 3, 6, 6, 4, 4, 6, 6, 4, 3, 6, 6, 4], "d": [2, 3, 4, 3, 4]}"#;
    for (code, side, width, wanted) in [
        (equal(3, 3, 2), 128, 1.0, (3_410_792, 41_476_224)),
        (equal(7, 6, 4), 224, 1.2, (10_701_632, 843_101_040)),
        (mixed.to_owned(), 136, 1.0, (6_166_880, 129_940_136)),
        (mixed.to_owned(), 136, 1.2, (8_563_984, 194_332_104)),
    ] {
        let choices = ofa_choices(&code, side, width).unwrap();
        assert_eq!(
            counts("ofa_mobilenet_v3.json", &choices),
            wanted,
            "{side} {width}"
        );
    }
    assert!(ofa_choices(&equal(3, 3, 2).replace("[2", "[9, 2"), 128, 1.0).is_none());
}

/// Counted the same way, after the description of HW-NAS-Bench's FBNet.
#[test]
fn fbnets_have_their_size() {
    let names = [
        "k3_e1", "k3_e1_g2", "k3_e3", "k3_e6", "k5_e1", "k5_e1_g2", "k5_e3", "k5_e6", "skip",
    ];
    let mixed: Vec<&str> = names.iter().copied().cycle().take(22).collect();
    for (code, wanted) in [
        (vec!["skip"; 22], (780_660, 11_608_960)),
        (vec!["k3_e1_g2"; 22], (940_084, 21_051_008)),
        (vec!["k5_e6"; 22], (3_749_652, 160_926_080)),
        (mixed, (2_048_740, 70_314_496)),
    ] {
        let code = serde_json::to_string(&code).unwrap();
        let choices = fbnet_choices(&code).unwrap();
        assert_eq!(counts("fbnet_cifar.json", &choices), wanted, "{code}");
    }
    assert!(fbnet_choices(r#"["skip"]"#).is_none());
    assert!(fbnet_choices("{}").is_none());
}

/// Issuing takes 100 us and 40 us a launch, the device 5 us and 1 ns an element, so n additions of 10,000 elements and 20,000
/// read are 100 + 40 n against 5 + 30 n.
#[test]
fn the_slower_side_decides() {
    use blocksmith::device::{BUILT_IN, DeviceModel, KindProfile, Profile, Rates, Support};
    use blocksmith::fuse::{Kernel, KernelKind, Window};
    use blocksmith::ir::Shape;
    let mut profile = Profile::parse(BUILT_IN[0].text, "test").unwrap();
    profile.energy_constant_j = None;
    profile.cache_elems = None;
    profile.latency_constant_s = 5e-6;
    profile.host_constant_s = Some(1e-4);
    let rates = KindProfile {
        support: Support::Fitted,
        seen: None,
        latency_s: Rates {
            per_elem_in: 1e-9,
            per_elem_out: 1e-9,
            ..Rates::default()
        },
        energy_j: None,
        host_s: 4e-5,
    };
    profile.kernels = [(KernelKind::Add, rates)].into();
    let again = Profile::parse(&profile.to_json(), "again").unwrap();
    assert_eq!(again, profile);
    let model = DeviceModel::new(again);
    let map = Shape::Map {
        c: 1,
        h: 100,
        w: 100,
    };
    let add = Kernel {
        kind: KernelKind::Add,
        input: map,
        output: map,
        window: Window::default(),
        macs: 0,
        elems_in: 20_000,
        elems_out: 10_000,
        weights: 0,
        act: None,
        fused_norm: false,
        fused_add: false,
    };
    for (n, batch, wanted) in [(3, 1, 220e-6), (3, 4, 365e-6), (1, 100, 3005e-6)] {
        let kernels = vec![add; n];
        let all = model.predict(&kernels, batch).unwrap();
        assert!(
            (all.latency.0 / wanted - 1.0).abs() < 1e-9,
            "{n} {batch} {all:?}"
        );
        let busy = 30e-6 * n as f64 * f64::from(batch);
        let classes = all.by_class;
        assert!((classes.element_wise.latency.0 / busy - 1.0).abs() < 1e-9);
        // the rest is waiting
        assert!((classes.overhead.latency.0 / (wanted - busy) - 1.0).abs() < 1e-9);
        let each = model.explain(&kernels, batch).unwrap();
        let sum: f64 = each.iter().map(|k| k.cost.unwrap().latency.0).sum();
        assert!((sum / (wanted - 5e-6) - 1.0).abs() < 1e-9);
    }
}

fn ofa(side: i64) -> blocksmith::ir::Graph {
    let code = r#"{"ks": [3,3,3,3, 5,5,5,5, 7,7,7,7, 3,3,3,3, 5,5,5,5],
        "e": [3,3,3,3, 4,4,4,4, 6,6,6,6, 3,3,3,3, 4,4,4,4], "d": [2, 3, 4, 3, 2]}"#;
    let (space, program) = load(&root().join("search_spaces/ofa_mobilenet_v3.json"));
    let choices = ofa_choices(code, side, 1.2).unwrap();
    let assignment = space.assignment_from_json(&choices).unwrap();
    program.lower(&assignment, Names::Off).unwrap()
}

/// As the tables' origin says of these GPUs: at batch 1 the time follows the number of operators, not the work.
#[test]
fn one_image_costs_launches_and_a_batch_costs_work() {
    use blocksmith::device::DeviceModel;
    use blocksmith::fuse::fuse;
    for name in ["rtx2080ti-torch", "titanxp-torch", "v100-torch"] {
        let model = DeviceModel::find(name).unwrap();
        let time = |side: i64, batch: u32| {
            let kernels = fuse(&ofa(side), model.rules());
            model.predict(&kernels.list, batch).unwrap().latency.0
        };
        assert!((time(224, 1) / time(128, 1) - 1.0).abs() < 0.01, "{name}");
        assert!(time(224, 64) / time(128, 64) > 1.8, "{name}");
        assert!(
            (2.0..20.0).contains(&(1e3 * time(128, 1))),
            "{name}: {}",
            time(128, 1)
        );
    }
}

/// Every chip's printed table has the same order.
#[test]
fn phones_order_networks_as_printed() {
    use blocksmith::device::{BUILT_IN, DeviceModel};
    use blocksmith::fuse::fuse;
    let order = [
        ("mobilenet_v3", vec![("model", "small")]),
        ("mobilenet_v3", vec![("model", "large")]),
        ("mobilenet_v2", vec![("w", "1.0"), ("form", "torchvision")]),
        ("mobilenet_v1", vec![("w", "1.0"), ("act", "relu")]),
        (
            "resnet",
            vec![
                ("model", "resnet50"),
                ("stride_in_1x1", "false"),
                ("se", "false"),
            ],
        ),
    ];
    let chips = BUILT_IN.iter().filter(|b| b.name.ends_with("-paddle"));
    let mut count = 0;
    for chip in chips {
        let model = DeviceModel::find(chip.name).unwrap();
        let time = |(file, set): &(&str, Vec<(&str, &str)>)| {
            let path = format!("search_spaces/reference/{file}.json");
            let (space, program) = load(&root().join(path));
            let fixed = space.fix(set).unwrap();
            let graph = program
                .lower(&fixed.assignments().next().unwrap(), Names::Off)
                .unwrap();
            let kernels = fuse(&graph, model.rules());
            model.predict_fast(&kernels.list, 1).unwrap().latency.0
        };
        let times: Vec<f64> = order.iter().map(time).collect();
        assert!(times.is_sorted(), "{}: {times:?}", chip.name);
        count += 1;
    }
    assert_eq!(count, 8);
}

/// A GPU that is 1.5 times as fast as a known one in its kernels and 0.8 times in issuing, but for depthwise convolutions, is
/// found from twenty networks at one batch.
#[test]
fn a_gpu_is_placed_beside_a_known_one() {
    use blocksmith::base::rng;
    use blocksmith::calibrate::{few, public::About};
    use blocksmith::device::{DeviceModel, Profile, Provenance};
    use blocksmith::fuse::{KernelKind, fuse};
    use std::sync::Arc;
    let known = DeviceModel::find("v100-torch").unwrap().profile().clone();
    let mut truth = known.clone();
    let faster = |x: &mut f64, by: f64| *x /= by;
    for (kind, rates) in &mut truth.kernels {
        faster(&mut rates.host_s, 0.8);
        let slow = *kind == KernelKind::Depthwise3x3 || *kind == KernelKind::DepthwiseOther;
        let by = if slow { 1.1 } else { 1.5 };
        let all = rates.latency_s.to_array().map(|r| r / by);
        rates.latency_s = blocksmith::device::Rates::from_array(all);
    }
    truth.host_constant_s = truth.host_constant_s.map(|c| c / 0.8);
    let truth = DeviceModel::new(truth);
    let (space, program) = load(&root().join("search_spaces/ofa_mobilenet_v3.json"));
    let sample = |i: u64| {
        let draw = space
            .sample(&mut rng::stream(5, "ofa networks", i))
            .unwrap();
        let graph = program.lower(&draw, Names::Off).unwrap();
        let kernels: Arc<[_]> = Arc::from(fuse(&graph, truth.rules()).list);
        let time = truth.predict_fast(&kernels, 64).unwrap().latency.0;
        few::own_sample(&i.to_string(), kernels, 64, time, None)
    };
    let shots: Vec<_> = (0..20).map(sample).collect();
    let about = About {
        name: "new",
        hardware: "new",
        runtime: "PyTorch",
        threads: None,
        precision: Some("fp32"),
        rules: known.fuse,
        law: known.law,
        cache_elems: None,
        provenance: Provenance::default(),
    };
    let runtime = blocksmith::calibrate::priors::cpu();
    let profile: Profile = few::fit_own(about, &shots, Some(&known), runtime, &[]).unwrap();
    assert!(profile.host_constant_s.is_some());
    assert_eq!(
        profile.kernels.keys().collect::<Vec<_>>(),
        known.kernels.keys().collect::<Vec<_>>()
    );
    let found = DeviceModel::new(profile);
    let mut misses: Vec<f64> = (100..150)
        .map(sample)
        .map(|s| {
            let p = found.predict_fast(&s.kernels, 64).unwrap().latency.0;
            (p / s.latency_s - 1.0).abs()
        })
        .collect();
    misses.sort_by(f64::total_cmp);
    assert!(misses[25] < 0.01, "{misses:?}");
    assert!(misses[45] < 0.03, "{misses:?}");
}
