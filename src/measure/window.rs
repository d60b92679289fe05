//! One measurement window: warm-up until the times are steady, then as many runs as the time allows, with the energy
//! counter read at both ends of the same runs.

use super::energy::{Gross, Pulse};
use super::meter::{EnergyMeter, MeterError};
use crate::base::stats::{median, quantile_sorted};
use serde::{Deserialize, Serialize};

/// How long to measure.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowOptions {
    /// At least this many timed runs, however long they take.
    pub min_runs: usize,
    /// At most this many timed runs.
    pub max_runs: usize,
    /// Timed runs stop after this long, once there are `min_runs`. Where too many of them were disturbed, they go on for
    /// as long again.
    pub budget_s: f64,
    /// Warm-up stops after this long even if the times still move.
    pub warm_up_s: f64,
}

impl Default for WindowOptions {
    fn default() -> Self {
        Self {
            min_runs: 10,
            max_runs: 1_000_000,
            budget_s: 2.0,
            warm_up_s: 1.0,
        }
    }
}

/// One run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timed {
    /// How long it took. Of a disturbed run of one thread: how long that thread had the processor.
    pub seconds: f64,
    /// Whether another process took the processor away meanwhile.
    pub disturbed: bool,
}

impl From<f64> for Timed {
    fn from(seconds: f64) -> Self {
        Self {
            seconds,
            disturbed: false,
        }
    }
}

/// Statistics of the timed runs: of the undisturbed ones where there are enough, else of all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Median time of a run.
    pub latency_s: f64,
    /// The fastest run.
    pub latency_min_s: f64,
    /// A tenth of the runs were faster.
    pub latency_p10_s: f64,
    /// A tenth of the runs were slower.
    pub latency_p90_s: f64,
    /// Median distance from the median.
    pub latency_mad_s: f64,
    /// Timed runs, disturbed ones included.
    pub runs: usize,
    /// Timed runs during which another process had the processor.
    pub disturbed_runs: usize,
    /// Whether the statistics are of the undisturbed runs alone.
    pub undisturbed: bool,
    /// Runs of the statistics further from the median than five times the median distance from it.
    pub outliers: usize,
    /// Runs before the timed ones.
    pub warm_up_runs: usize,
    /// Whether the times had settled when the warm-up ended.
    pub steady: bool,
    /// Median of the later half over median of the earlier half, less 1: what heat and neighbours did meanwhile.
    pub drift_share: f64,
}

/// What a window found.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Times.
    pub sampling: Sampling,
    /// Energy of the timed runs, idle included; why not, where the meter gave none. `None` without a meter.
    pub gross: Option<Result<Gross, MeterError>>,
}

/// Five undisturbed runs make a median that a neighbour cannot move.
const ENOUGH: usize = 5;

/// Times of `run` under the rules of `options`.
///
/// Warm-up: at least two groups of five runs, until the medians of the last two groups agree within 5 %, or `warm_up_s` is
/// over. `None` if `max_runs` is 0.
///
/// # Errors
/// The first error of `run`.
pub fn sample<E>(
    options: &WindowOptions,
    run: impl FnMut() -> Result<Timed, E>,
) -> Result<Option<Sampling>, E> {
    let found = window(options, None, &mut || 0.0, run)?;
    Ok(found.map(|w| w.sampling))
}

/// As [`sample`], with the energy of the timed runs by `meter`. `now_s` is the clock of the energy window; both ends lie
/// where the counter moves, so that its steps cost no accuracy.
///
/// # Errors
/// The first error of `run`. A meter that fails makes no error: the window says why it has no energy.
pub fn window<E>(
    options: &WindowOptions,
    meter: Option<&mut dyn EnergyMeter>,
    now_s: &mut dyn FnMut() -> f64,
    mut run: impl FnMut() -> Result<Timed, E>,
) -> Result<Option<Window>, E> {
    let (warm_up_runs, steady) = warm_up(options, &mut run)?;
    let mut pulse = match meter {
        None => None,
        Some(meter) => Some(Pulse::start(meter, now_s, &mut || {
            run().map(|t| t.seconds)
        })?),
    };
    let mut times: Vec<Timed> = Vec::new();
    let mut spent_s = 0.0;
    let mut clean = 0;
    loop {
        let enough = times.len() >= options.min_runs && spent_s >= options.budget_s;
        let calm = clean >= options.min_runs.max(ENOUGH) || spent_s >= 2.0 * options.budget_s;
        if times.len() >= options.max_runs || (enough && calm) {
            break;
        }
        let t = run()?;
        spent_s += t.seconds;
        clean += usize::from(!t.disturbed);
        times.push(t);
    }
    if let Some(pulse) = &mut pulse {
        pulse.count(times.len());
        pulse.stop(now_s, &mut || run().map(|t| t.seconds))?;
    }
    let sampling = statistics(&times, warm_up_runs, steady);
    Ok(sampling.map(|sampling| Window {
        sampling,
        gross: pulse.map(Pulse::finish),
    }))
}

/// Runs before the timed ones, and whether the times had settled.
fn warm_up<E>(
    options: &WindowOptions,
    run: &mut impl FnMut() -> Result<Timed, E>,
) -> Result<(usize, bool), E> {
    const GROUP: usize = 5;
    const STEADY_SHARE: f64 = 0.05;
    let mut warm: Vec<f64> = Vec::new();
    let mut warm_s = 0.0;
    let mut steady = false;
    while !steady && (warm.is_empty() || warm_s < options.warm_up_s) {
        let t = run()?.seconds;
        warm_s += t;
        warm.push(t);
        if let Some(at) = warm.len().checked_sub(2 * GROUP)
            && let (Some(a), Some(b)) = (median(&warm[at..at + GROUP]), median(&warm[at + GROUP..]))
        {
            steady = (b - a).abs() <= STEADY_SHARE * a;
        }
    }
    Ok((warm.len(), steady))
}

fn statistics(all: &[Timed], warm_up_runs: usize, steady: bool) -> Option<Sampling> {
    let calm = all.iter().filter(|t| !t.disturbed);
    let calm: Vec<f64> = calm.map(|t| t.seconds).collect();
    let disturbed_runs = all.len() - calm.len();
    let undisturbed = calm.len() >= ENOUGH || disturbed_runs == 0;
    let times = match undisturbed {
        true => calm,
        false => all.iter().map(|t| t.seconds).collect(),
    };
    let (early, late) = times.split_at(times.len() / 2);
    let drift_share = match (median(early), median(late)) {
        (Some(a), Some(b)) if a > 0.0 => b / a - 1.0,
        _ => 0.0,
    };
    let mut sorted = times;
    sorted.sort_by(f64::total_cmp);
    let latency_s = quantile_sorted(&sorted, 0.5)?;
    let distances: Vec<f64> = sorted.iter().map(|t| (t - latency_s).abs()).collect();
    let latency_mad_s = median(&distances)?;
    Some(Sampling {
        latency_s,
        latency_min_s: quantile_sorted(&sorted, 0.0)?,
        latency_p10_s: quantile_sorted(&sorted, 0.1)?,
        latency_p90_s: quantile_sorted(&sorted, 0.9)?,
        latency_mad_s,
        runs: all.len(),
        disturbed_runs,
        undisturbed,
        outliers: distances
            .iter()
            .filter(|d| **d > 5.0 * latency_mad_s)
            .count(),
        warm_up_runs,
        steady,
        drift_share,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scripted(times: &[f64], options: &WindowOptions) -> Sampling {
        let mut next = times.iter().copied().chain(std::iter::repeat(1.0));
        let found: Result<_, std::convert::Infallible> =
            sample(options, || Ok(next.next().unwrap().into()));
        found.unwrap().unwrap()
    }

    #[test]
    fn warms_up_until_steady() {
        let options = WindowOptions {
            warm_up_s: 1e9,
            min_runs: 5,
            budget_s: 0.0,
            ..WindowOptions::default()
        };
        // 8 slow runs: only at run 16 are the two groups of five both 1 s by their medians
        let slow = [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0];
        let found = scripted(&slow, &options);
        assert!(found.steady);
        assert_eq!(found.warm_up_runs, 16);
        assert_eq!((found.runs, found.latency_s), (5, 1.0));
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
        assert!((found.latency_mad_s - 0.1).abs() < 1e-12);
        assert_eq!(found.latency_min_s, 0.9);
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

    /// A neighbour who takes the processor in two runs of three triples their time; the median stays that of the others.
    #[test]
    fn disturbed_runs_are_counted_and_left_out() {
        let options = WindowOptions {
            warm_up_s: 0.0,
            min_runs: 10,
            budget_s: 20.0,
            ..WindowOptions::default()
        };
        let mut n = 0;
        let found: Result<_, std::convert::Infallible> = sample(&options, || {
            n += 1;
            let disturbed = n % 3 != 0;
            let seconds = if disturbed { 3.0 } else { 1.0 };
            Ok(Timed { seconds, disturbed })
        });
        let found = found.unwrap().unwrap();
        assert!(found.undisturbed);
        assert_eq!((found.latency_s, found.latency_p90_s), (1.0, 1.0));
        // the budget is doubled for the sake of undisturbed runs, no further: after one warm-up run 3 s and 1 s, five times
        // 7 s for three runs, and the run in which 40 s pass
        assert_eq!((found.runs, found.disturbed_runs), (18, 12));
    }

    #[test]
    fn without_undisturbed_runs_all_count_and_it_says_so() {
        let options = WindowOptions {
            warm_up_s: 0.0,
            min_runs: 4,
            budget_s: 1.0,
            ..WindowOptions::default()
        };
        let found: Result<_, std::convert::Infallible> = sample(&options, || {
            Ok(Timed {
                seconds: 2.0,
                disturbed: true,
            })
        });
        let found = found.unwrap().unwrap();
        assert_eq!(
            (found.undisturbed, found.runs, found.disturbed_runs),
            (false, 4, 4)
        );
        assert_eq!(found.latency_s, 2.0);
    }
}
