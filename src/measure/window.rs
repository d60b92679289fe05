//! One measurement window: warm-up until the times are steady, then as many runs as the time allows.

use crate::base::stats::{median, quantile_sorted};
use crate::torch::{Device, Net, Tensor, TorchError, libtorch_version};
use rand_distr::{Distribution, StandardNormal};
use std::time::{Duration, Instant};

/// How to measure.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowOptions {
    /// Threads of one operation; `None` leaves libtorch's own number.
    pub threads: Option<u32>,
    /// Samples in the batch.
    pub batch: u32,
    /// At least this many timed runs, however long they take.
    pub min_runs: usize,
    /// At most this many timed runs.
    pub max_runs: usize,
    /// Timed runs stop after this long, once there are `min_runs`.
    pub budget_s: f64,
    /// Warm-up stops after this long even if the times still move.
    pub warm_up_s: f64,
    /// Whether to measure the net's deployed form (see [`Net::optimized`]).
    pub optimized: bool,
}

impl Default for WindowOptions {
    fn default() -> Self {
        Self {
            threads: None,
            batch: 1,
            min_runs: 10,
            max_runs: 1000,
            budget_s: 2.0,
            warm_up_s: 1.0,
            optimized: true,
        }
    }
}

/// Statistics of the timed runs.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Sampling {
    /// Median time of a run.
    pub latency_s: f64,
    /// A tenth of the runs were faster.
    pub latency_p10_s: f64,
    /// A tenth of the runs were slower.
    pub latency_p90_s: f64,
    /// Timed runs.
    pub runs: usize,
    /// Timed runs further from the median than five times the median distance from it.
    pub outliers: usize,
    /// Runs before the timed ones.
    pub warm_up_runs: usize,
    /// Whether the times had settled when the warm-up ended.
    pub steady: bool,
    /// Median of the later half over median of the earlier half, less 1: what heat and neighbours did meanwhile.
    pub drift_share: f64,
}

/// One row of a table of measurements.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Measurement {
    /// Device of the net, `cpu` or `cuda:0`.
    pub device: String,
    /// What ran it.
    pub runtime: &'static str,
    /// Precision of weights and values.
    pub precision: &'static str,
    /// Threads of one operation.
    pub threads: u32,
    /// Samples in the batch; `latency_s` is for all of them together.
    pub batch: u32,
    /// Whether this is the net's deployed form.
    pub optimized: bool,
    /// Times.
    #[serde(flatten)]
    pub sampling: Sampling,
    /// Energy of a run; null without a meter.
    pub energy_j: Option<f64>,
    /// Name of the energy meter; null without one.
    pub meter: Option<String>,
    /// libtorch's version.
    pub runtime_version: &'static str,
}

/// Times of `run` (in seconds, as it returns them) under the rules of `options`.
///
/// Warm-up: at least two groups of five runs, until the medians of the last two groups agree within 5 %, or `warm_up_s` is
/// over. `None` if `max_runs` is 0.
///
/// # Errors
/// The first error of `run`.
pub fn sample<E>(
    options: &WindowOptions,
    mut run: impl FnMut() -> Result<f64, E>,
) -> Result<Option<Sampling>, E> {
    const GROUP: usize = 5;
    const STEADY_SHARE: f64 = 0.05;
    let mut warm: Vec<f64> = Vec::new();
    let mut warm_s = 0.0;
    let mut steady = false;
    while !steady && (warm.is_empty() || warm_s < options.warm_up_s) {
        let t = run()?;
        warm_s += t;
        warm.push(t);
        if let Some(at) = warm.len().checked_sub(2 * GROUP)
            && let (Some(a), Some(b)) = (median(&warm[at..at + GROUP]), median(&warm[at + GROUP..]))
        {
            steady = (b - a).abs() <= STEADY_SHARE * a;
        }
    }
    let mut times = Vec::new();
    let mut spent_s = 0.0;
    while times.len() < options.max_runs
        && (times.len() < options.min_runs || spent_s < options.budget_s)
    {
        let t = run()?;
        spent_s += t;
        times.push(t);
    }
    let (early, late) = times.split_at(times.len() / 2);
    let drift_share = match (median(early), median(late)) {
        (Some(a), Some(b)) if a > 0.0 => b / a - 1.0,
        _ => 0.0,
    };
    let mut sorted = times;
    sorted.sort_by(f64::total_cmp);
    let (Some(latency_s), Some(latency_p10_s), Some(latency_p90_s)) = (
        quantile_sorted(&sorted, 0.5),
        quantile_sorted(&sorted, 0.1),
        quantile_sorted(&sorted, 0.9),
    ) else {
        return Ok(None);
    };
    let distances: Vec<f64> = sorted.iter().map(|t| (t - latency_s).abs()).collect();
    let limit = 5.0 * median(&distances).unwrap_or(0.0);
    Ok(Some(Sampling {
        latency_s,
        latency_p10_s,
        latency_p90_s,
        runs: sorted.len(),
        outliers: distances.iter().filter(|d| **d > limit).count(),
        warm_up_runs: warm.len(),
        steady,
        drift_share,
    }))
}

/// Time of one forward pass of `net` on its device, on fixed random input.
///
/// Sets libtorch's thread count for the whole process where `options` names one, so one measurement at a time.
///
/// # Errors
/// Where the net does not run.
pub fn measure_net(net: &Net, options: &WindowOptions) -> Result<Option<Measurement>, TorchError> {
    if let Some(threads) = options.threads {
        tch::set_num_threads(i32::try_from(threads.max(1)).unwrap_or(i32::MAX));
    }
    let folded = match options.optimized {
        true => Some(net.optimized()?),
        false => None,
    };
    let net = folded.as_ref().unwrap_or(net);
    let inputs = random_inputs(net, options.batch)?;
    let sampling = sample(options, || {
        Ok::<f64, TorchError>(time_once(net, &inputs)?.as_secs_f64())
    })?;
    Ok(sampling.map(|sampling| Measurement {
        device: match net.device() {
            Device::Cuda(n) => format!("cuda:{n}"),
            _ => "cpu".to_owned(),
        },
        runtime: "torch",
        precision: "fp32",
        threads: tch::get_num_threads().unsigned_abs(),
        batch: options.batch,
        optimized: options.optimized,
        sampling,
        energy_j: None,
        meter: None,
        runtime_version: libtorch_version(),
    }))
}

fn time_once(net: &Net, inputs: &[Tensor]) -> Result<Duration, TorchError> {
    // work on a GPU is only queued by the call: wait for it on both sides of the clock
    let wait = || {
        if let Device::Cuda(n) = net.device() {
            tch::Cuda::synchronize(n as i64);
        }
    };
    wait();
    let start = Instant::now();
    let outputs = net.forward(inputs)?;
    wait();
    let time = start.elapsed();
    drop(outputs);
    Ok(time)
}

/// Standard normal inputs from a fixed stream, on the net's device.
fn random_inputs(net: &Net, batch: u32) -> Result<Vec<Tensor>, TorchError> {
    let mut inputs = Vec::new();
    for (i, shape) in (0u64..).zip(net.input_shapes()) {
        let mut rng = crate::base::rng::stream(0, "measure input", i);
        let values: Vec<f32> = (0..shape.elems() * u64::from(batch))
            .map(|_| StandardNormal.sample(&mut rng))
            .collect();
        let (h, w) = shape.hw();
        let size = [batch, shape.channels(), h, w].map(i64::from);
        let size = match shape {
            crate::ir::Shape::Map { .. } => &size[..],
            crate::ir::Shape::Flat { .. } => &size[..2],
        };
        inputs.push(
            Tensor::f_from_slice(&values)?
                .f_reshape(size)?
                .f_to_device(net.device())?,
        );
    }
    Ok(inputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scripted(times: &[f64], options: &WindowOptions) -> Sampling {
        let mut next = times.iter().copied().chain(std::iter::repeat(1.0));
        let found: Result<_, std::convert::Infallible> =
            sample(options, || Ok(next.next().unwrap()));
        found.unwrap().unwrap()
    }

    #[test]
    fn warms_up_until_steady() {
        let options = WindowOptions {
            warm_up_s: 1e9,
            min_runs: 4,
            budget_s: 0.0,
            ..WindowOptions::default()
        };
        // 8 slow runs: only at run 16 are the two groups of five both 1 s by their medians
        let slow = [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0];
        let found = scripted(&slow, &options);
        assert!(found.steady);
        assert_eq!(found.warm_up_runs, 16);
        assert_eq!((found.runs, found.latency_s), (4, 1.0));
    }

    #[test]
    fn gives_up_warming_and_says_so() {
        let options = WindowOptions {
            warm_up_s: 30.0,
            min_runs: 2,
            budget_s: 0.0,
            ..WindowOptions::default()
        };
        let found = scripted(&[16.0, 16.0, 16.0, 4.0], &options);
        assert!(!found.steady);
        assert_eq!((found.warm_up_runs, found.runs), (2, 2));
        assert_eq!(found.drift_share, 4.0 / 16.0 - 1.0);
    }

    #[test]
    fn counts_outliers_and_keeps_the_median() {
        let options = WindowOptions {
            warm_up_s: 0.0,
            min_runs: 5,
            budget_s: 0.0,
            ..WindowOptions::default()
        };
        let found = scripted(&[1.0, 1.0, 1.1, 0.9, 1.2, 50.0], &options);
        assert_eq!((found.outliers, found.latency_s), (1, 1.1));
        assert!((found.latency_p10_s - 0.94).abs() < 1e-12);
    }

    #[test]
    fn stops_at_the_budget_and_at_the_most_runs() {
        let options = WindowOptions {
            warm_up_s: 0.0,
            min_runs: 1,
            budget_s: 7.5,
            ..WindowOptions::default()
        };
        assert_eq!(scripted(&[], &options).runs, 8);
        let few = WindowOptions {
            max_runs: 3,
            ..options
        };
        assert_eq!(scripted(&[], &few).runs, 3);
    }
}
