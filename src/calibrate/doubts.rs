//! What a person should look at before believing a profile of their own.

use super::sample::Sample;
use crate::base::diag::first_few;
use crate::base::stats::median;
use crate::device::{DeviceModel, Profile, Quantity, signature};
use std::collections::BTreeMap;

/// A factor of four, as a logarithm: devices that are compared are nearer than that, or nothing can be said.
const NEAR: f64 = 2.0 * std::f64::consts::LN_2;

/// What in these measurements no device can have done: a person should look before believing the profile.
pub fn doubts(profile: &Profile, samples: &[Sample], init: Option<&Profile>) -> Vec<String> {
    let mut doubts = Vec::new();
    let macs = |s: &Sample| s.kernels.iter().map(|k| k.macs as f64).sum::<f64>();
    let speed = |s: &Sample| macs(s) * f64::from(s.batch) / s.latency_s;
    let speeds: Vec<f64> = samples
        .iter()
        .filter(|s| macs(s) > 0.0)
        .map(speed)
        .collect();
    if let Some(speed) = median(&speeds)
        && !(5e7..=1e15).contains(&speed)
    {
        doubts.push(format!(
            "the middle row does {speed:.1e} multiply-accumulates a second, and no device that runs such networks is like that: is latency_s in seconds, for the whole batch?"
        ));
    }
    let watts = samples
        .iter()
        .filter_map(|s| Some(s.energy_j? / s.latency_s));
    if let Some(watts) = median(&watts.collect::<Vec<f64>>())
        && !(0.02..=2000.0).contains(&watts)
    {
        doubts.push(format!(
            "the rows draw {watts:.1e} W in the middle: is energy_j in joules, for the whole batch?"
        ));
    }
    let model = init.map(|i| DeviceModel::new(i.clone()));
    let ratio = |model: &DeviceModel, s: &Sample| {
        let fast = model.predict_fast(&s.kernels, s.batch).ok()?;
        Some(s.latency_s / fast.latency.0)
    };
    if let (Some(init), Some(model)) = (init, &model) {
        let ratios: Vec<f64> = samples.iter().filter_map(|s| ratio(model, s)).collect();
        if let Some(r) = median(&ratios)
            && !(0.005..=200.0).contains(&r)
        {
            doubts.push(format!(
                "the rows take {r:.3} times as long as on {}: is latency_s in seconds?",
                init.name
            ));
        }
    }
    let own = DeviceModel::new(Profile {
        known: Vec::new(),
        ..profile.clone()
    });
    let far = |s: &&Sample| ratio(&own, s).is_some_and(|r| !(0.1..=10.0).contains(&r));
    let far: Vec<&str> = samples
        .iter()
        .filter(far)
        .map(|s| s.network.as_str())
        .collect();
    if !far.is_empty() && far.len() * 2 < samples.len() {
        doubts.push(format!(
            "{} of {} rows are more than ten times off what the others make of them, as {}: are all in one unit?",
            far.len(),
            samples.len(),
            far.first().copied().unwrap_or_default()
        ));
    }
    doubts.extend(contradictions(samples));
    doubts.extend(batches(samples));
    if let (Some(init), Some(model)) = (init, &model) {
        doubts.extend(one_for_all(samples, model));
        doubts.extend(unlike(profile, init));
    }
    doubts
}

/// Rows of one network at one batch whose times differ by more than runs of one setting do.
fn contradictions(samples: &[Sample]) -> Option<String> {
    const SAME: f64 = 1.25;
    let mut times: BTreeMap<(&str, u64, u32), [f64; 2]> = BTreeMap::new();
    for s in samples {
        let key = (s.network.as_str(), signature(&s.kernels), s.batch);
        let [least, most] = times.entry(key).or_insert([s.latency_s; 2]);
        (*least, *most) = (least.min(s.latency_s), most.max(s.latency_s));
    }
    let apart = times
        .iter()
        .filter(|(_, [least, most])| most / least > SAME);
    let mut apart: Vec<_> = apart.map(|(k, [least, most])| (most / least, k)).collect();
    apart.sort_by(|a, b| b.0.total_cmp(&a.0));
    let of = |(ratio, (name, _, batch)): &(f64, &(&str, u64, u32))| {
        format!("{name} at batch {batch}, {ratio:.1} times apart")
    };
    let names: Vec<String> = apart.iter().map(of).collect();
    (!names.is_empty()).then(|| {
        format!(
            "rows of the same network and batch disagree: {}; one profile is one setting, and all of them are fitted",
            first_few(&names)
        )
    })
}

/// Networks that take less time for more samples.
fn batches(samples: &[Sample]) -> Option<String> {
    const LESS: f64 = 0.9;
    let mut times: BTreeMap<(&str, u64), BTreeMap<u32, f64>> = BTreeMap::new();
    for s in samples {
        let of = times
            .entry((s.network.as_str(), signature(&s.kernels)))
            .or_default();
        let least = of.entry(s.batch).or_insert(s.latency_s);
        *least = least.min(s.latency_s);
    }
    let shrinks = times.iter().filter_map(|((name, _), of)| {
        let mut pairs = of.iter().zip(of.iter().skip(1));
        let ((few, _), (many, _)) = pairs.find(|((_, few), (_, many))| **many < LESS * **few)?;
        Some(format!("{name} at batch {many} than at {few}"))
    });
    let names: Vec<String> = shrinks.collect();
    (!names.is_empty()).then(|| {
        format!(
            "more samples take less time: {}; latency_s is of the whole batch, in seconds",
            first_few(&names)
        )
    })
}

/// Rows that are as much faster than the known device as their batch is large: times of one sample, most likely.
fn one_for_all(samples: &[Sample], model: &DeviceModel) -> Option<String> {
    let over = |s: &Sample, batch: u32| {
        let fast = model.predict_fast(&s.kernels, batch).ok()?;
        Some((s.latency_s / fast.latency.0).ln())
    };
    let many: Vec<&Sample> = samples.iter().filter(|s| s.batch >= 4).collect();
    let middle = |of: &dyn Fn(&Sample) -> Option<f64>| {
        median(&many.iter().filter_map(|s| of(s)).collect::<Vec<_>>())
    };
    let whole = middle(&|s| over(s, s.batch))?;
    let single = middle(&|s| over(s, 1))?;
    // as one sample they are near the known device, as batches far below it
    (whole < -NEAR && single.abs() < 0.5 * whole.abs()).then(|| {
        format!(
            "the rows at batch {} and more take {:.3} times as long as on {}, but {:.2} times what one sample takes there: is latency_s of the whole batch?",
            many.iter().map(|s| s.batch).min().unwrap_or(0),
            whole.exp(),
            model.name(),
            single.exp()
        )
    })
}

/// A device that the known one says less of than profiles usually say of networks they never saw.
fn unlike(profile: &Profile, init: &Profile) -> Option<String> {
    const USUAL: f64 = 0.06;
    let of = |p: &Profile| {
        let time = p.held_out.iter().find(|h| h.quantity == Quantity::Latency);
        time.map(|h| h.mape)
    };
    let (off, usual) = (of(profile)?, of(init)?.max(USUAL));
    (off > 2.0 * usual).then(|| {
        format!(
            "networks held out of these rows are off by {:.0} %, where {} is by {:.0}: the device, its runtime or the rows are unlike it. Intervals are as wide as that says; more rows, or a profile nearer to the device, help",
            100.0 * off,
            init.name,
            100.0 * usual
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{batches, contradictions, one_for_all, unlike};
    use crate::calibrate::few::own_sample;
    use crate::calibrate::sample::Sample;
    use crate::device::{BUILT_IN, DeviceModel, Profile};
    use crate::fuse::fuse;
    use crate::ir::text;
    use std::sync::Arc;

    fn model() -> DeviceModel {
        DeviceModel::find("rtx3090-torch").unwrap()
    }

    /// A convolution of so many channels; its time is what is asked for times what the known GPU takes for `like` samples.
    fn row(channels: u32, batch: u32, like: u32, times: f64) -> Sample {
        let net = format!(
            "%0 input {channels}x56x56 : in\n%1 conv {channels}x56x56 (%0) k3 p1 : a\noutput %1\n"
        );
        let model = model();
        let kernels = fuse(&text::parse(&net).unwrap(), model.rules()).list;
        let time = model.predict_fast(&kernels, like).unwrap().latency.0;
        own_sample(
            &format!("net{channels}"),
            Arc::from(kernels),
            batch,
            times * time,
            None,
        )
    }

    #[test]
    fn rows_that_disagree_are_named() {
        let alike = [row(64, 1, 1, 1.0), row(64, 1, 1, 1.2), row(128, 1, 1, 9.0)];
        assert_eq!(contradictions(&alike), None);
        let apart = [row(64, 1, 1, 1.0), row(64, 1, 1, 3.0), row(64, 8, 8, 9.0)];
        let doubt = contradictions(&apart).unwrap();
        assert!(
            doubt.contains("net64 at batch 1, 3.0 times apart"),
            "{doubt}"
        );
    }

    #[test]
    fn more_samples_take_no_less_time() {
        assert_eq!(batches(&[row(64, 1, 1, 1.0), row(64, 32, 1, 1.0)]), None);
        let doubt = batches(&[row(64, 1, 1, 1.0), row(64, 32, 1, 0.5)]).unwrap();
        assert!(doubt.contains("net64 at batch 32 than at 1"), "{doubt}");
    }

    #[test]
    fn times_of_one_sample_are_not_those_of_a_batch() {
        let rows = |like: u32, times: f64| -> Vec<Sample> {
            [256, 512, 1024].map(|c| row(c, 32, like, times)).to_vec()
        };
        assert_eq!(one_for_all(&rows(32, 1.3), &model()), None);
        // a GPU three times as fast is a GPU
        assert_eq!(one_for_all(&rows(32, 0.33), &model()), None);
        let doubt = one_for_all(&rows(1, 1.3), &model()).unwrap();
        assert!(
            doubt.contains("whole batch") && doubt.contains("batch 32"),
            "{doubt}"
        );
    }

    #[test]
    fn errors_far_above_the_usual_are_said() {
        let shipped = BUILT_IN.iter().find(|b| b.name == "pi5-ncnn").unwrap();
        let init = Profile::parse(shipped.text, shipped.name).unwrap();
        let mut own = init.clone();
        assert_eq!(unlike(&own, &init), None);
        own.held_out[0].mape = 0.77;
        let doubt = unlike(&own, &init).unwrap();
        assert!(
            doubt.contains("77 %") && doubt.contains("pi5-ncnn"),
            "{doubt}"
        );
    }
}
