//! Device models: laws on synthetic data, the shipped profiles, and the refit from the public tables where they are.

use blocksmith::base::rng;
use blocksmith::base::stats::mape;
use blocksmith::blocks::{self, Names};
use blocksmith::calibrate::priors::{self, Work};
use blocksmith::calibrate::{self, Options, Sample, page};
use blocksmith::device::{
    BUILT_IN, DeviceErrorKind, DeviceModel, Law, PredictError, Profile, Quantity, signature,
};
use blocksmith::fuse::{Kernel, KernelKind, Window, fuse};
use blocksmith::ir::{Graph, Shape};
use rand::Rng as _;
use std::sync::Arc;

struct Draw(rng::Rng);

impl Draw {
    fn new(seed: u64) -> Self {
        Self(rng::stream(seed, "device tests", 0))
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0.next_u64() % n
    }
}

fn kernel(kind: KernelKind, c: u32, side: u32) -> Kernel {
    let map = Shape::Map {
        c,
        h: side,
        w: side,
    };
    let elems = map.elems();
    Kernel {
        kind,
        input: map,
        output: map,
        window: Window::default(),
        macs: elems * u64::from(c),
        elems_in: elems,
        elems_out: elems,
        weights: u64::from(c * c),
        act: None,
        fused_norm: false,
        fused_add: false,
    }
}

fn shipped() -> Vec<Profile> {
    let parse = |p: &blocksmith::device::BuiltIn| Profile::parse(p.text, p.name).unwrap();
    BUILT_IN.iter().map(parse).collect()
}

fn graph_of(file: &str, settings: &[(&str, &str)]) -> Graph {
    let path = format!("{}/search_spaces/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let (space, program) = blocks::load(&text).unwrap();
    let fixed = space.fix(settings).unwrap();
    let assignment = fixed.assignments().next().unwrap();
    program.lower(&assignment, Names::Off).unwrap()
}

#[test]
fn a_fit_finds_the_rates_that_made_the_data() {
    let mut truth = priors::RateTable::zero();
    truth.constant = 1e-4;
    let (conv, add) = (KernelKind::Conv1x1, KernelKind::Add);
    truth.rates[conv.index()][0] = 2e-10;
    truth.rates[conv.index()][6] = 9e-6;
    truth.rates[add.index()][2] = 3e-9;
    let mut draw = Draw::new(3);
    let mut samples = Vec::new();
    for i in 0..60 {
        let mut kernels = Vec::new();
        for _ in 0..1 + draw.below(9) {
            let (c, side) = (8 + draw.below(64) as u32, 4 + draw.below(24) as u32);
            kernels.push(kernel(conv, c, side));
            if draw.below(2) == 0 {
                let mut sum = kernel(add, c, side);
                sum.macs = 0;
                kernels.push(sum);
            }
        }
        let energy = truth
            .scaled(2.0)
            .cost(&Work::of(&kernels, 1, f64::INFINITY, &Law::PLAIN));
        samples.push(Sample {
            network: format!("n{i}"),
            group: format!("n{i}"),
            latency_s: truth.cost(&Work::of(&kernels, 1, f64::INFINITY, &Law::PLAIN)),
            energy_j: Some(energy),
            kernels: Arc::from(kernels),
            batch: 1,
        });
    }
    // the prior is wrong by factors, and has rates that the truth has not
    let mut prior = truth.scaled(7.0);
    prior.rates[conv.index()][0] *= 3.0;
    prior.rates[add.index()][6] = 1e-6;
    let options = Options {
        pull: 1e-12,
        kind_pull: 1e-12,
        ..Options::new(priors::Runtime {
            time: prior,
            power: priors::ONE_POWER,
        })
    };
    let fitted = calibrate::fit("synthetic", &samples, &options).unwrap();
    let near = |got: f64, want: f64| (got / want - 1.0).abs() < 1e-4;
    assert!(near(fitted.latency.rates[conv.index()][0], 2e-10));
    assert!(near(fitted.latency.rates[conv.index()][6], 9e-6));
    assert!(near(fitted.latency.rates[add.index()][2], 3e-9));
    assert!(near(fitted.latency.constant, 1e-4));
    assert!(fitted.latency.rates[add.index()][6] < 1e-9);
    let energy = fitted.energy.unwrap();
    assert!(near(energy.rates[add.index()][2], 6e-9));
    assert!(
        fitted
            .held_out
            .iter()
            .all(|h| h.mape < 1e-4 && h.groups == 60)
    );
    assert!(calibrate::fit("two", &samples[..2], &options).is_err());
}

/// Every network ends in the same sum, whose time a fit could as well give to the constant: it is guessed at, never nothing.
#[test]
fn no_kind_that_networks_have_is_free() {
    let (conv, add) = (KernelKind::Conv1x1, KernelKind::Add);
    let mut prior = priors::RateTable::zero();
    prior.constant = 1e-4;
    prior.rates[conv.index()][0] = 1e-10;
    prior.rates[add.index()][2] = 1e-9;
    let sample = |i: u32| {
        let kernels = vec![kernel(conv, 8 + i, 16), kernel(add, 8, 16)];
        Sample {
            network: format!("n{i}"),
            group: format!("n{i}"),
            // half of what is likely for the convolution, none for the sum
            latency_s: 1e-4 + 0.5e-10 * kernels[0].macs as f64,
            energy_j: None,
            kernels: Arc::from(kernels),
            batch: 1,
        }
    };
    let samples: Vec<Sample> = (0..40).map(sample).collect();
    let options = Options::new(priors::Runtime {
        time: prior,
        power: priors::ONE_POWER,
    });
    let fitted = calibrate::fit("synthetic", &samples, &options).unwrap();
    let rate = fitted.latency.rates[add.index()][2];
    assert!(rate > 0.0 && rate < 1e-9, "{rate}");
    for profile in shipped() {
        for (kind, rates) in &profile.kernels {
            let free = |r: [f64; 8]| r.iter().all(|r| *r == 0.0);
            let time = free(rates.latency_s.to_array());
            let energy = rates.energy_j.is_some_and(|e| free(e.to_array()));
            assert!(!time && !energy, "{} {}", profile.name, kind.name());
        }
    }
}

/// A MobileNetV3 of the once-for-all space has the interval of that space's held-out networks at each batch; ResNet-50 has not.
#[test]
fn networks_of_a_measured_space_have_its_interval() {
    let model = DeviceModel::find("v100-torch").unwrap();
    let region = &model.profile().regions[0];
    let half = |graph: &Graph, batch: u32| {
        let p = model
            .predict(&fuse(graph, model.rules()).list, batch)
            .unwrap();
        (p.latency_hi.0 / p.latency.0).ln()
    };
    let (space, program) =
        blocks::load(include_str!("../../search_spaces/ofa_mobilenet_v3.json")).unwrap();
    let mut within = 0;
    for number in 0..20 {
        let assignment = space.sample(&mut rng::stream(7, "region", number)).unwrap();
        let graph = program.lower(&assignment, Names::Off).unwrap();
        for (batch, wanted) in &region.half_log {
            within += u32::from((half(&graph, *batch) / wanted - 1.0).abs() < 1e-6);
        }
    }
    assert!(within > 40, "{within} of 60");
    let other = graph_of("reference/resnet.json", &[("model", "resnet50")]);
    assert!(half(&other, 64) > 5.0 * region.half_log[&64]);
}

#[test]
fn uncovered_is_reported_and_never_zero() {
    let mut profile = shipped().remove(0);
    profile.kernels.remove(&KernelKind::Shuffle);
    let model = DeviceModel::new(profile);
    let mut shuffle = kernel(KernelKind::Shuffle, 8, 8);
    shuffle.macs = 0;
    let kernels = [kernel(KernelKind::Conv1x1, 8, 8), shuffle, shuffle];
    let full = model.predict(&kernels, 1).unwrap();
    assert_eq!(full.uncovered, [KernelKind::Shuffle]);
    // by hand: the conv does 4096 MACs and moves 1024 elements, the shuffles move 2048
    assert!((full.uncovered_share - 2048.0 / 7168.0).abs() < 1e-12);
    let fast = model.predict_fast(&kernels, 1).unwrap();
    assert_eq!((fast.uncovered_kernels, fast.uncovered_macs), (2, 0));
    // nobody knows how long the shuffles take: time has a lower end alone, and JSON says null
    let covered = model.predict(&kernels[..1], 1).unwrap();
    assert_eq!(full.latency_lo, covered.latency_lo);
    assert!(covered.latency_hi.0.is_finite() && full.latency_hi.0 == f64::INFINITY);
    assert_eq!(full.energy_hi.unwrap().0, f64::INFINITY);
    assert_eq!(serde_json::json!(full.latency_hi), serde_json::Value::Null);
    assert_eq!(
        full.latency,
        model.predict(&kernels[..1], 1).unwrap().latency
    );
    let explained = model.explain(&kernels, 1).unwrap();
    assert!(explained[0].cost.is_some() && explained[1].cost.is_none());
    assert_eq!(model.predict(&kernels, 0), Err(PredictError::EmptyBatch));
}

#[test]
fn totals_agree_to_the_bit_and_classes_sum_up() {
    for profile in shipped() {
        let model = DeviceModel::new(profile);
        for (file, batch) in [("mixed_stages.json", 1), ("lite_osa.json", 7)] {
            let kernels = fuse(&graph_of(file, &[]), model.rules());
            let full = model.predict(&kernels.list, batch).unwrap();
            let fast = model.predict_fast(&kernels.list, batch).unwrap();
            assert_eq!(full.latency.0.to_bits(), fast.latency.0.to_bits());
            assert_eq!(full.energy, fast.energy);
            let classes = full.by_class.named();
            let sum: f64 = classes.iter().map(|(_, c)| c.latency.0).sum();
            assert!(
                (sum / full.latency.0 - 1.0).abs() < 1e-9,
                "{}",
                model.name()
            );
            let costs = model.explain(&kernels.list, batch).unwrap();
            let sum: f64 = costs
                .iter()
                .filter_map(|k| k.cost)
                .map(|c| c.latency.0)
                .sum();
            let total = full.latency.0 - model.profile().latency_constant_s;
            assert!((sum / total - 1.0).abs() < 1e-9, "{}", model.name());
            assert!(full.latency_lo.0 < full.latency.0 && full.latency.0 < full.latency_hi.0);
            let whole = full.energy.is_some();
            assert!(classes.iter().all(|(_, c)| c.energy.is_some() == whole));
        }
    }
}

#[test]
fn shipped_profiles_say_what_they_are_worth() {
    for profile in shipped() {
        let name = &profile.name;
        assert!(BUILT_IN.iter().any(|b| b.name == name));
        assert!(profile.provenance.rows > 0 && !profile.provenance.licence.is_empty());
        assert!(profile.interval.latency_log > 0.0, "{name}");
        let of = |q| profile.held_out.iter().find(|h| h.quantity == q);
        assert!(of(Quantity::Latency).is_some(), "{name}");
        let energy = profile.energy_constant_j.is_some();
        assert_eq!(of(Quantity::Energy).is_some(), energy, "{name}");
        assert_eq!(Profile::parse(&profile.to_json(), name).unwrap(), profile);
        assert_eq!(DeviceModel::find(name).unwrap().name(), name);
    }
}

#[test]
fn shipped_profiles_reach_the_bars() {
    // (profile, latency, energy) in percent: DESIGN, section 5
    for (name, latency, energy) in [
        ("pi5-litert", 2.5, Some(4.2)),
        ("pi5-onnx", 1.2, Some(3.8)),
        ("pi5-torchmobile", 3.0, Some(5.5)),
        ("rtx3090-torch", 11.0, None),
        ("rtx4090-torch", 11.0, None),
    ] {
        let model = DeviceModel::find(name).unwrap();
        let held = &model.profile().held_out;
        let of = |q| {
            held.iter()
                .find(|h| h.quantity == q)
                .map(|h| 100.0 * h.mape)
        };
        assert!(of(Quantity::Latency).unwrap() < latency, "{name}");
        assert_eq!(of(Quantity::Energy).is_some(), energy.is_some(), "{name}");
        assert!(
            of(Quantity::Energy).unwrap_or(0.0) < energy.unwrap_or(1.0),
            "{name}"
        );
        if name.starts_with("rtx") {
            assert!(held[0].tau.unwrap() > 0.93, "{name}: {:?}", held[0].tau);
        }
    }
}

#[test]
fn intervals_cover_what_they_say() {
    let mut boards = Vec::new();
    for profile in shipped() {
        assert_eq!(profile.interval.level, 0.8, "{}", profile.name);
        for held in &profile.held_out {
            let Some(covered) = held.coverage else {
                continue;
            };
            if held.rows < 100 {
                // of twenty networks one is five percent
                boards.push(covered);
            } else {
                assert!(
                    (0.75..=0.85).contains(&covered),
                    "{}: {held:?}",
                    profile.name
                );
            }
        }
    }
    assert!(boards.len() > 20);
    let mean = boards.iter().sum::<f64>() / boards.len() as f64;
    assert!((0.75..=0.85).contains(&mean), "{mean}");
}

#[test]
fn a_known_network_costs_what_was_measured() {
    let of = |name: &str| shipped().into_iter().find(|p| p.name == name).unwrap();
    let mut profile = of("pi5-onnx");
    let model = DeviceModel::new(profile.clone());
    let kernels = [
        kernel(KernelKind::Conv1x1, 8, 8),
        kernel(KernelKind::Conv3x3, 8, 8),
    ];
    let plain = model.predict(&kernels, 1).unwrap();
    profile.known.push(blocksmith::device::Known {
        network: "two".into(),
        signature: signature(&kernels),
        log_ratio: 3f64.ln(),
        half_log: Some(2.0 * profile.interval.latency_log),
    });
    let half = profile.interval.latency_log;
    let model = DeviceModel::new(Profile::parse(&profile.to_json(), "x").unwrap());
    let turned = [kernels[1], kernels[0]];
    let known = model.predict(&turned, 1).unwrap();
    assert!((known.latency.0 / plain.latency.0 - 3.0).abs() < 1e-9);
    assert_eq!(known.energy, plain.energy);
    // its own interval, widened by as much as the profile's would be
    profile.known.iter_mut().for_each(|k| k.half_log = None);
    let bare = DeviceModel::new(profile).predict(&turned, 1).unwrap();
    let width = |p: &blocksmith::device::Prediction| (p.latency_hi.0 / p.latency.0).ln();
    assert!((width(&known) - width(&bare) - half).abs() < 1e-9);
    let fast = model.predict_fast(&turned, 1).unwrap();
    assert_eq!(fast.latency.0.to_bits(), known.latency.0.to_bits());
    let classes: f64 = known
        .by_class
        .named()
        .iter()
        .map(|(_, c)| c.latency.0)
        .sum();
    assert!((classes / known.latency.0 - 1.0).abs() < 1e-9);
    // one kernel more is another network
    let more = [kernels[0], kernels[1], kernels[1]];
    let more = model.predict(&more, 1).unwrap().latency.0;
    assert!(more < 2.5 * plain.latency.0);
    // sums of parts find it too
    let mut sum = model.sum(&kernels[..1], 1);
    sum += model.sum(&kernels[1..], 1);
    assert_eq!(model.total(sum).latency, known.latency);
}

#[test]
fn wrong_units_are_pointed_out() {
    let init = shipped()
        .into_iter()
        .find(|p| p.name == "pi5-onnx")
        .unwrap();
    let model = DeviceModel::new(init.clone());
    let rows = |unit: f64| -> Vec<Sample> {
        let row = |i: u32| {
            let kernels = vec![kernel(KernelKind::Conv3x3, 8 * i, 16); 6];
            let seconds = 1.4 * model.predict(&kernels, 1).unwrap().latency.0;
            let name = format!("n{i}");
            calibrate::own_sample(&name, Arc::from(kernels), 1, seconds * unit, None)
        };
        (2..9).map(row).collect()
    };
    let fit = |samples: &[Sample]| {
        let about = calibrate::nasbench::about(&calibrate::nasbench::RUNTIMES[1]);
        let profile = calibrate::fit_own(about, samples, Some(&init), priors::onnx(), &[]).unwrap();
        let doubts = calibrate::doubts::doubts(&profile, samples, Some(&init));
        (profile, doubts)
    };
    let (profile, doubts) = fit(&rows(1.0));
    assert_eq!(doubts, [""; 0]);
    // seven rows 1.4 times as slow make a profile that is about as much slower everywhere
    let other = vec![kernel(KernelKind::Conv3x3, 48, 20); 4];
    let slow = DeviceModel::new(profile).predict(&other, 1).unwrap();
    let ratio = slow.latency.0 / model.predict(&other, 1).unwrap().latency.0;
    assert!((1.3..1.5).contains(&ratio), "{ratio}");
    let (_, doubts) = fit(&rows(1000.0));
    assert!(
        doubts.iter().any(|d| d.contains("in seconds")),
        "{doubts:?}"
    );
    let mut mixed = rows(1.0);
    mixed[3].latency_s *= 1000.0;
    let (_, doubts) = fit(&mixed);
    assert!(doubts.iter().any(|d| d.contains("n5")), "{doubts:?}");
}

#[test]
fn outside_what_was_fitted_intervals_widen() {
    let profile = shipped()
        .into_iter()
        .find(|p| p.name == "pi5-onnx")
        .unwrap();
    let model = DeviceModel::new(profile);
    let [short, long] = model.profile().latency_range_s.unwrap();
    let factor = |count: usize, c: u32| {
        let kernels = vec![kernel(KernelKind::Conv3x3, c, 16); count];
        let p = model.predict(&kernels, 1).unwrap();
        (p.latency.0, p.latency_hi.0 / p.latency.0)
    };
    let (time, narrow) = factor(40, 64);
    assert!((short..long).contains(&time), "{time}");
    // a network below the shortest, and one of kernels beyond the largest
    let (time, below) = factor(1, 8);
    assert!(time < short);
    let (_, beyond) = factor(4, 2048);
    assert!(below > narrow && beyond > narrow);
}

#[test]
fn the_mixed_space_is_covered_on_the_pi() {
    let text = include_str!("../../search_spaces/mixed_stages.json");
    let (space, program) = blocks::load(text).unwrap();
    let model = DeviceModel::find("pi5-onnx").unwrap();
    let mut draw = Draw::new(11);
    let all: Vec<_> = space.assignments().take(20_000).collect();
    for _ in 0..200 {
        let assignment = &all[draw.below(all.len() as u64) as usize];
        let graph = program.lower(assignment, Names::Off).unwrap();
        let kernels = fuse(&graph, model.rules());
        let full = model.predict(&kernels.list, 1).unwrap();
        assert_eq!((full.uncovered, full.uncovered_share), (vec![], 0.0));
        assert!((0.005..0.5).contains(&full.latency.0), "{:?}", full.latency);
        let watts = full.energy.unwrap().0 / full.latency.0;
        assert!((0.5..4.0).contains(&watts), "{watts} W");
    }
}

#[test]
fn documents_that_are_no_profiles_are_refused() {
    let text = shipped().remove(0).to_json();
    let kind = |text: &str| Profile::parse(text, "x").unwrap_err().kind;
    let unknown = text.replacen("\"name\"", "\"colour\": \"red\",\n  \"name\"", 1);
    assert!(matches!(kind(&unknown), DeviceErrorKind::Json { .. }));
    let format = text.replacen("blocksmith-device/1", "blocksmith-device/9", 1);
    assert!(matches!(kind(&format), DeviceErrorKind::Format { .. }));
    let negative = text.replacen("\"per_launch\": ", "\"per_launch\": -1", 1);
    assert!(matches!(kind(&negative), DeviceErrorKind::Number { .. }));
    assert!(matches!(kind("{"), DeviceErrorKind::Json { .. }));
    // figures that parse and mean nothing
    let changed = |change: fn(&mut Profile)| {
        let mut profile = shipped().remove(0);
        change(&mut profile);
        kind(&profile.to_json()).to_string()
    };
    for (change, told) in [
        (
            (|p| p.interval.level = 2.0) as fn(&mut Profile),
            "interval.level must be a share between 0 and 1, got 2",
        ),
        (
            |p| p.interval.latency_log = 1e6,
            "interval.latency_log must be a natural logarithm from 0 to 10, got 1000000",
        ),
        (
            |p| p.batch = [8, 1],
            "batch must be the smallest batch, at least 1, and the largest, got [8, 1]",
        ),
        (
            |p| p.batch = [0, 1],
            "batch must be the smallest batch, at least 1, and the largest, got [0, 1]",
        ),
        (
            |p| p.latency_range_s = Some([2.0, 1.0]),
            "latency_range_s must be the shortest time and the longest, got [2, 1]",
        ),
    ] {
        assert_eq!(changed(change), told);
    }
    let error = DeviceModel::find("pi6").unwrap_err();
    assert!(error.to_string().contains("pi5-onnx"), "{error}");
}

#[test]
fn the_page_is_current() {
    let page = page::render(&shipped());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/devices.md");
    if std::env::var_os("BLOCKSMITH_BLESS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        there == page,
        "docs/devices.md is old: run this test with BLOCKSMITH_BLESS=1"
    );
}

#[test]
fn errors_are_of_the_right_size() {
    assert_eq!(
        mape(&[(1.1, 1.0), (0.8, 1.0)]).map(|e| (e * 1e6).round()),
        Some(150_000.0)
    );
    let pairs = [(2.0, 1.0), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0)];
    let held = calibrate::fit::errors(&pairs, &["a", "b", "b", "b"], "by hand");
    assert_eq!(
        (held.mape, held.median_ape, held.within_10),
        (0.25, 0.0, 0.75)
    );
    assert_eq!((held.rows, held.groups), (4, 2));
    // group a weighs as much as the three rows of b: the median lies at the end of b, the 0.9 quantile in a
    let quantile = |level| calibrate::fit::group_quantile(&pairs, &["a", "b", "b", "b"], level);
    assert_eq!(quantile(0.5), 0.0);
    assert!((quantile(0.9) - f64::ln(2.0)).abs() < 1e-4);
}

#[cfg(feature = "analysis")]
mod refit {
    use blocksmith::analysis::parquet;
    use blocksmith::calibrate::peers;
    use blocksmith::calibrate::public::{self, Fits, Tables};
    use blocksmith::device::BUILT_IN;
    use std::path::PathBuf;

    /// Half a minute in a release build, so it is left to `--ignored`.
    #[test]
    #[ignore = "half a minute in a release build"]
    fn the_public_tables_give_the_shipped_files() {
        let shared = std::env::var_os("BLOCKSMITH_SHARED").map_or_else(
            || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")),
            PathBuf::from,
        );
        let folder = shared.join("measurements");
        if !folder.is_dir() {
            println!("skipped: no public tables beside the repository");
            return;
        }
        let read = |name: &str| parquet::read(&folder.join(format!("{name}.parquet")));
        let tables = Tables::read(read).unwrap();
        let profiles = public::all(&tables, &Fits::new(&tables).unwrap()).unwrap();
        let shared = public::peers(&tables).unwrap().to_json();
        let out = concat!(env!("CARGO_MANIFEST_DIR"), "/results/devices");
        if std::env::var_os("BLOCKSMITH_BLESS").is_some() {
            for profile in &profiles {
                let path = format!("{out}/{}.json", profile.name);
                std::fs::write(path, profile.to_json()).unwrap();
            }
            std::fs::write(format!("{out}/peers/ncnn.json"), shared).unwrap();
            return;
        }
        assert!(
            shared == peers::BUILT_IN,
            "what boards share differs from the refit"
        );
        let public = BUILT_IN.iter().filter(|b| !b.name.starts_with("x86-"));
        assert_eq!(profiles.len(), public.clone().count());
        for (profile, shipped) in profiles.iter().zip(public) {
            assert_eq!(profile.name, shipped.name);
            let same = profile.to_json() == shipped.text;
            assert!(same, "{} differs from the refit", shipped.name);
        }
    }
    /// What `scripts/refit-own` does, one profile after the other.
    #[test]
    fn own_rows_give_the_shipped_files() {
        let root = env!("CARGO_MANIFEST_DIR");
        let dir = tempfile::tempdir().unwrap();
        let own = BUILT_IN.iter().filter(|b| b.name.starts_with("x86-"));
        for shipped in own {
            let runtime = match shipped.name.contains("onnxruntime") {
                true => "onnx",
                false => "torch",
            };
            // the profile names the command, with the file's name
            let out = dir.path().join(format!("{}.json", shipped.name));
            let done = assert_cmd::Command::cargo_bin("blocksmith")
                .unwrap()
                .current_dir(root)
                .args(["calibrate", "--runtime", runtime, "--name", shipped.name])
                .arg("--measurements")
                .arg(format!("results/measurements/{}.parquet", shipped.name))
                .arg("--out")
                .arg(&out)
                .assert();
            done.success();
            let refit = std::fs::read_to_string(&out).unwrap();
            assert!(
                refit == shipped.text,
                "{} differs from the refit",
                shipped.name
            );
        }
    }
}
