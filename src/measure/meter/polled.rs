//! Power that has to be added up: a thread reads it again and again and keeps the sum.

use super::{EnergyMeter, MeterError, Resolution};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A source that tells power.
pub trait PowerSource: Send {
    /// What it is and what it covers.
    fn name(&self) -> String;
    /// Watts now.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn read_w(&mut self) -> Result<f64, MeterError>;
}

/// Energy as the area under power readings, straight lines between them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Area {
    last: Option<(f64, f64)>,
    energy_j: f64,
}

impl Area {
    /// Adds a reading.
    pub fn add(&mut self, at_s: f64, power_w: f64) {
        if let Some((before_s, before_w)) = self.last {
            self.energy_j += (at_s - before_s).max(0.0) * (before_w + power_w) / 2.0;
        }
        self.last = Some((at_s, power_w));
    }

    /// Energy up to the last reading.
    pub fn energy_j(&self) -> f64 {
        self.energy_j
    }
}

/// A power source as a counter. The thread ends with it.
pub struct Polled {
    name: String,
    period: Duration,
    total_uj: Arc<AtomicU64>,
    failed: Arc<Mutex<Option<MeterError>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Polled {
    /// Reads `source` every `period`.
    pub fn start(mut source: impl PowerSource + 'static, period: Duration) -> Self {
        let name = source.name();
        let total_uj = Arc::new(AtomicU64::new(0));
        let failed = Arc::new(Mutex::new(None));
        let stop = Arc::new(AtomicBool::new(false));
        let (total, fault, end) = (total_uj.clone(), failed.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let start = Instant::now();
            let mut area = Area::default();
            while !end.load(Ordering::Relaxed) {
                // the reading stands for the middle of the time that it took
                let before = start.elapsed();
                match source.read_w() {
                    Ok(power_w) => {
                        let middle = (before + start.elapsed()) / 2;
                        area.add(middle.as_secs_f64(), power_w);
                        total.store((area.energy_j() * 1e6) as u64, Ordering::Release);
                    }
                    Err(error) => {
                        *fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        return;
                    }
                }
                std::thread::sleep(period.saturating_sub(start.elapsed() - before));
            }
        });
        Self {
            name,
            period,
            total_uj,
            failed,
            stop,
            thread: Some(thread),
        }
    }
}

impl EnergyMeter for Polled {
    fn name(&self) -> &str {
        &self.name
    }

    fn resolution(&self) -> Resolution {
        Resolution {
            step_uj: 1,
            period_s: self.period.as_secs_f64(),
        }
    }

    fn read_uj(&mut self) -> Result<u64, MeterError> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match failed.as_ref() {
            Some(error) => Err(error.clone()),
            None => Ok(self.total_uj.load(Ordering::Acquire)),
        }
    }
}

impl Drop for Polled {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_under_a_ramp() {
        let mut area = Area::default();
        // 2 W to 6 W over 4 s, then 6 W for 1 s: 16 J and 6 J
        for (at, power) in [(10.0, 2.0), (12.0, 4.0), (14.0, 6.0), (15.0, 6.0)] {
            area.add(at, power);
        }
        assert_eq!(area.energy_j(), 22.0);
    }

    struct Fails(u32);

    impl PowerSource for Fails {
        fn name(&self) -> String {
            "fails".to_owned()
        }
        fn read_w(&mut self) -> Result<f64, MeterError> {
            self.0 += 1;
            match self.0 {
                1..3 => Ok(5.0),
                _ => Err(MeterError::Read("gone".to_owned())),
            }
        }
    }

    #[test]
    fn a_source_that_goes_away_is_told() {
        let mut meter = Polled::start(Fails(0), Duration::from_millis(1));
        let deadline = Instant::now() + Duration::from_secs(20);
        while meter.read_uj().is_ok() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(meter.read_uj(), Err(MeterError::Read("gone".to_owned())));
    }
}
