//! Energy of a window: from tick to tick of the counter, less what the device takes idle, or no figure at all.
//!
//! Invariants: a figure rests on ten ticks of the counter or more, on idle windows on both sides that agree within 5 %,
//! and is more than that above idle. Whatever fails says why.

use super::meter::{EnergyMeter, MeterError};
use serde::{Deserialize, Serialize};

/// Fewer ticks of the counter than this are no measurement.
pub const MIN_TICKS: f64 = 10.0;
/// A window of this many ticks is long enough.
pub const GOOD_TICKS: f64 = 20.0;
/// Idle windows on the two sides may differ by this share.
pub const IDLE_DRIFT: f64 = 0.05;

/// Energy of a number of runs, idle included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gross {
    /// What the counter says.
    pub energy_j: f64,
    /// How long.
    pub window_s: f64,
    /// Runs meanwhile.
    pub runs: usize,
    /// Ticks of the counter: steps in time or in energy, whichever are fewer.
    pub ticks: f64,
}

/// What the device takes when nothing runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Idle {
    /// Mean power.
    pub power_w: f64,
    /// How long.
    pub window_s: f64,
    /// Ticks of the counter.
    pub ticks: f64,
}

/// Energy of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Energy {
    /// Above idle.
    pub energy_j: f64,
    /// Idle included.
    pub gross_j: f64,
    /// Idle power that was taken off.
    pub idle_w: f64,
}

/// Why there is no figure.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The counter hardly moved.
    #[error("window of {window_s:.2} s has {ticks:.1} ticks of the counter, fewer than 10")]
    TooShort {
        /// The window.
        window_s: f64,
        /// Its ticks.
        ticks: f64,
    },
    /// There is no idle window on one side.
    #[error("no idle window {0} it")]
    NoIdle(&'static str),
    /// Idle power changed.
    #[error("idle power went from {before_w:.2} W to {after_w:.2} W, more than 5 %")]
    IdleDrift {
        /// Before the window.
        before_w: f64,
        /// After it.
        after_w: f64,
    },
    /// Running took hardly more than idling.
    #[error("{gross_w:.2} W while running is not 5 % above {idle_w:.2} W idle")]
    NotAboveIdle {
        /// Power of the window.
        gross_w: f64,
        /// Idle power.
        idle_w: f64,
    },
}

/// Energy of one run above idle.
///
/// # Errors
/// See [`Refusal`].
pub fn above_idle(
    gross: &Gross,
    before: Option<&Idle>,
    after: Option<&Idle>,
) -> Result<Energy, Refusal> {
    if gross.ticks < MIN_TICKS || gross.runs == 0 {
        return Err(Refusal::TooShort {
            window_s: gross.window_s,
            ticks: gross.ticks,
        });
    }
    let before = before.ok_or(Refusal::NoIdle("before"))?;
    let after = after.ok_or(Refusal::NoIdle("after"))?;
    for idle in [before, after] {
        if idle.ticks < MIN_TICKS {
            return Err(Refusal::TooShort {
                window_s: idle.window_s,
                ticks: idle.ticks,
            });
        }
    }
    let (before_w, after_w) = (before.power_w, after.power_w);
    if (after_w - before_w).abs() > IDLE_DRIFT * before_w.min(after_w) {
        return Err(Refusal::IdleDrift { before_w, after_w });
    }
    let idle_w = (before_w + after_w) / 2.0;
    let above_j = gross.energy_j - idle_w * gross.window_s;
    if above_j <= IDLE_DRIFT * idle_w * gross.window_s {
        return Err(Refusal::NotAboveIdle {
            gross_w: gross.energy_j / gross.window_s,
            idle_w,
        });
    }
    let runs = gross.runs as f64;
    Ok(Energy {
        energy_j: above_j / runs,
        gross_j: gross.energy_j / runs,
        idle_w,
    })
}

/// Mean power while nothing runs, over at least `seconds`, from tick to tick.
///
/// # Errors
/// What the meter says; a counter that stands still.
pub fn idle(
    meter: &mut dyn EnergyMeter,
    seconds: f64,
    now_s: &mut dyn FnMut() -> f64,
    sleep_s: &mut dyn FnMut(f64),
) -> Result<Idle, MeterError> {
    let nap = (meter.resolution().period_s / 20.0).clamp(1e-4, 0.05);
    let mut wait = || {
        sleep_s(nap);
        Ok::<f64, std::convert::Infallible>(nap)
    };
    let mut pulse = match Pulse::start(meter, now_s, &mut wait) {
        Ok(pulse) => pulse,
        Err(never) => match never {},
    };
    sleep_s(seconds);
    let mut wait = || {
        sleep_s(nap);
        Ok::<f64, std::convert::Infallible>(nap)
    };
    match pulse.stop(now_s, &mut wait) {
        Ok(()) => {}
        Err(never) => match never {},
    }
    let gross = pulse.finish()?;
    Ok(Idle {
        power_w: gross.energy_j / gross.window_s,
        window_s: gross.window_s,
        ticks: gross.ticks,
    })
}

/// A window between two ticks of the counter. The device goes on with its work until the tick comes.
pub(super) struct Pulse<'a> {
    meter: &'a mut dyn EnergyMeter,
    start: Result<(f64, u64), MeterError>,
    end: Option<Result<(f64, u64), MeterError>>,
    runs: usize,
}

impl<'a> Pulse<'a> {
    /// Runs until the counter moves.
    pub(super) fn start<E>(
        meter: &'a mut dyn EnergyMeter,
        now_s: &mut dyn FnMut() -> f64,
        run: &mut dyn FnMut() -> Result<f64, E>,
    ) -> Result<Self, E> {
        let (start, _) = tick(meter, now_s, run)?;
        Ok(Self {
            meter,
            start,
            end: None,
            runs: 0,
        })
    }

    pub(super) fn count(&mut self, runs: usize) {
        self.runs += runs;
    }

    /// Runs until the counter moves again.
    pub(super) fn stop<E>(
        &mut self,
        now_s: &mut dyn FnMut() -> f64,
        run: &mut dyn FnMut() -> Result<f64, E>,
    ) -> Result<(), E> {
        if self.start.is_ok() {
            let (end, runs) = tick(self.meter, now_s, run)?;
            self.runs += runs;
            self.end = Some(end);
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Gross, MeterError> {
        let (from_s, from_uj) = self.start?;
        let (to_s, to_uj) = self.end.unwrap_or(Err(MeterError::Still))?;
        let resolution = self.meter.resolution();
        let (window_s, uj) = (to_s - from_s, to_uj.saturating_sub(from_uj));
        let steps = uj as f64 / resolution.step_uj.max(1) as f64;
        Ok(Gross {
            energy_j: uj as f64 * 1e-6,
            window_s,
            runs: self.runs,
            ticks: steps.min(window_s / resolution.period_s),
        })
    }
}

/// The moment and the reading at which the counter moves, and the runs until then.
#[allow(clippy::type_complexity)]
fn tick<E>(
    meter: &mut dyn EnergyMeter,
    now_s: &mut dyn FnMut() -> f64,
    run: &mut dyn FnMut() -> Result<f64, E>,
) -> Result<(Result<(f64, u64), MeterError>, usize), E> {
    // a counter that does not move within this many periods stands still
    const PERIODS: f64 = 20.0;
    let first = match meter.read_uj() {
        Ok(first) => first,
        Err(error) => return Ok((Err(error), 0)),
    };
    let limit_s = PERIODS * meter.resolution().period_s;
    let (mut waited_s, mut runs) = (0.0, 0);
    loop {
        waited_s += run()?;
        runs += 1;
        match meter.read_uj() {
            Err(error) => return Ok((Err(error), runs)),
            Ok(reading) if reading != first => return Ok((Ok((now_s(), reading)), runs)),
            Ok(_) if waited_s > limit_s => return Ok((Err(MeterError::Still), runs)),
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::meter::Resolution;
    use crate::measure::{WindowOptions, window};
    use std::cell::Cell;
    use std::convert::Infallible;
    use std::rc::Rc;

    /// A GPU on a scripted clock: 50 W idle, 150 W while something runs, a counter that moves every 100 ms.
    #[derive(Clone, Default)]
    struct World {
        now_s: Rc<Cell<f64>>,
        energy_j: Rc<Cell<f64>>,
        shown_uj: Rc<Cell<u64>>,
    }

    impl World {
        fn pass(&self, seconds: f64, power_w: f64) {
            // in millisecond steps, so that the counter shows what was true at its last tick
            let mut left = seconds;
            while left > 1e-12 {
                let step = left.min(1e-3);
                let ticks = |t: f64| (t / 0.1 + 1e-9).floor();
                let before = ticks(self.now_s.get());
                self.now_s.set(self.now_s.get() + step);
                self.energy_j.set(self.energy_j.get() + step * power_w);
                if ticks(self.now_s.get()) > before {
                    self.shown_uj.set((self.energy_j.get() * 1e6) as u64);
                }
                left -= step;
            }
        }

        fn measure(&self, run_s: f64, options: &WindowOptions) -> Result<Gross, MeterError> {
            let mut meter = self.clone();
            let mut now = || self.now_s.get();
            let found = window(options, Some(&mut meter), &mut now, || {
                self.pass(run_s, 150.0);
                Ok::<_, Infallible>(run_s.into())
            });
            found.unwrap().unwrap().gross.unwrap()
        }

        fn idle(&self, seconds: f64) -> Idle {
            let mut sleep = |s: f64| self.pass(s, 50.0);
            let mut meter = self.clone();
            let mut now = || self.now_s.get();
            idle(&mut meter, seconds, &mut now, &mut sleep).unwrap()
        }
    }

    impl EnergyMeter for World {
        fn name(&self) -> &str {
            "scripted"
        }
        fn resolution(&self) -> Resolution {
            Resolution {
                step_uj: 1000,
                period_s: 0.1,
            }
        }
        fn read_uj(&mut self) -> Result<u64, MeterError> {
            Ok(self.shown_uj.get())
        }
    }

    fn seconds(budget_s: f64) -> WindowOptions {
        WindowOptions {
            min_runs: 1,
            budget_s,
            warm_up_s: 0.05,
            ..WindowOptions::default()
        }
    }

    /// Without the ticks the same counter would say 30 J for 37.5 J, or nothing at all (see the note on short windows).
    #[test]
    fn from_tick_to_tick_the_steps_cost_nothing() {
        let world = World::default();
        world.pass(0.033, 50.0);
        let before = world.idle(2.0);
        assert!((before.power_w - 50.0).abs() < 0.2, "{before:?}");
        let gross = world.measure(0.007, &seconds(2.0)).unwrap();
        let after = world.idle(2.0);
        // 100 W above idle for 7 ms
        let energy = above_idle(&gross, Some(&before), Some(&after)).unwrap();
        assert!((energy.energy_j / 0.7 - 1.0).abs() < 0.02, "{energy:?}");
        assert!((energy.gross_j / 1.05 - 1.0).abs() < 0.02, "{energy:?}");
        assert!((energy.idle_w - 50.0).abs() < 0.2);
    }

    #[test]
    fn a_window_of_few_ticks_is_refused() {
        let world = World::default();
        let before = world.idle(2.0);
        let gross = world.measure(0.005, &seconds(0.5)).unwrap();
        let after = world.idle(2.0);
        assert!(gross.ticks < 10.0, "{gross:?}");
        let refusal = above_idle(&gross, Some(&before), Some(&after)).unwrap_err();
        assert!(matches!(refusal, Refusal::TooShort { .. }));
        assert!(refusal.to_string().contains("fewer than 10"), "{refusal}");
    }

    fn gross() -> Gross {
        Gross {
            energy_j: 300.0,
            window_s: 2.0,
            runs: 100,
            ticks: 20.0,
        }
    }

    fn at(power_w: f64) -> Idle {
        Idle {
            power_w,
            window_s: 5.0,
            ticks: 50.0,
        }
    }

    #[test]
    fn idle_on_both_sides_that_agrees_or_no_figure() {
        let told = |before: Option<f64>, after: Option<f64>| {
            above_idle(&gross(), before.map(at).as_ref(), after.map(at).as_ref())
        };
        // 300 J less 2 s of 50 W, over 100 runs
        assert!((told(Some(49.0), Some(51.0)).unwrap().energy_j - 2.0).abs() < 1e-12);
        assert_eq!(told(None, Some(50.0)), Err(Refusal::NoIdle("before")));
        assert_eq!(told(Some(50.0), None), Err(Refusal::NoIdle("after")));
        let (before_w, after_w) = (50.0, 53.0);
        assert_eq!(
            told(Some(50.0), Some(53.0)),
            Err(Refusal::IdleDrift { before_w, after_w })
        );
        assert!(matches!(
            told(Some(160.0), Some(160.0)),
            Err(Refusal::NotAboveIdle { .. })
        ));
        let short = Idle {
            ticks: 3.0,
            ..at(50.0)
        };
        let refusal = above_idle(&gross(), Some(&short), Some(&at(50.0)));
        assert!(matches!(refusal, Err(Refusal::TooShort { .. })));
    }

    #[test]
    fn a_counter_that_stands_still_is_told() {
        struct Stuck;
        impl EnergyMeter for Stuck {
            fn name(&self) -> &str {
                "stuck"
            }
            fn resolution(&self) -> Resolution {
                Resolution {
                    step_uj: 1,
                    period_s: 0.1,
                }
            }
            fn read_uj(&mut self) -> Result<u64, MeterError> {
                Ok(7)
            }
        }
        let mut now_s = 0.0;
        let found = window(&seconds(0.1), Some(&mut Stuck), &mut || 0.0, || {
            now_s += 0.01;
            Ok::<_, Infallible>(0.01.into())
        });
        let window = found.unwrap().unwrap();
        assert_eq!(window.gross, Some(Err(MeterError::Still)));
        // the times are there all the same, after 2 s of waiting for the counter
        assert_eq!(window.sampling.latency_s, 0.01);
        assert!((2.0..3.0).contains(&now_s), "{now_s}");
    }
}
