//! What a device makes of a network, as JSON and as text.

use crate::base::units::{Joules, Seconds};
use crate::cli::failure::Result;
use crate::cli::files::device;
use crate::cli::out::{mj, ms, percent, scaled, table};
use crate::cost::Totals;
use crate::device::{DeviceModel, KernelCost, Prediction};
use crate::fuse::{Kernels, fuse};
use crate::guidelines::{self, Finding};
use crate::ir::Graph;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// One device's view of the network.
pub struct OnDevice {
    model: DeviceModel,
    kernels: Kernels,
    prediction: Prediction,
    batch: u32,
}

/// A figure between its ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Between {
    /// The lower end.
    pub lo: f64,
    /// The figure.
    pub mid: f64,
    /// The upper end; infinite where nobody knows one.
    pub hi: f64,
}

impl Between {
    fn times(self, factor: f64) -> Self {
        Self {
            lo: self.lo * factor,
            mid: self.mid * factor,
            hi: self.hi * factor,
        }
    }

    fn text(self, show: impl Fn(f64) -> String) -> String {
        format!("{} ({})", show(self.mid), self.ends(&show))
    }

    /// From where to where; `?` where no end is known.
    pub fn ends(self, show: impl Fn(f64) -> String) -> String {
        let hi = match self.hi.is_finite() {
            true => show(self.hi),
            false => "?".to_owned(),
        };
        format!("{}-{hi}", show(self.lo))
    }
}

impl OnDevice {
    /// Predicts a network's cost on the device of that name.
    pub fn predict(name: &str, graph: &Graph, batch: u32) -> Result<Self> {
        let model = device(name)?;
        let kernels = fuse(graph, model.rules());
        let prediction = model.predict(&kernels.list, batch)?;
        Ok(Self {
            model,
            kernels,
            prediction,
            batch,
        })
    }

    /// What guidelines find in the network on this device.
    pub fn findings(&self, graph: &Graph) -> Result<Vec<Finding>> {
        Ok(guidelines::find(graph, &self.model, self.batch)?)
    }

    /// The kernels that the network runs as here.
    pub fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// What each kernel costs.
    pub fn costs(&self) -> Result<Vec<KernelCost>> {
        Ok(self.model.explain(&self.kernels.list, self.batch)?)
    }

    /// Seconds and joules of one run of the batch; no joules where the device has no energy.
    pub fn middle(&self) -> (f64, Option<f64>) {
        (
            self.prediction.latency.0,
            self.prediction.energy.map(|e| e.0),
        )
    }

    /// The profile's name.
    pub fn name(&self) -> &str {
        self.model.name()
    }

    /// Seconds of one run of the batch.
    pub fn latency(&self) -> Between {
        let p = &self.prediction;
        let [lo, mid, hi] = [p.latency_lo, p.latency, p.latency_hi].map(|Seconds(s)| s);
        Between { lo, mid, hi }
    }

    /// Joules an image; `None` where the device has no energy.
    pub fn energy_per_image(&self) -> Option<Between> {
        let p = &self.prediction;
        let [lo, mid, hi] = [p.energy_lo?, p.energy?, p.energy_hi?].map(|Joules(j)| j);
        Some(Between { lo, mid, hi }.times(1.0 / f64::from(self.batch)))
    }

    /// Multiply-accumulates a second: those of the network over the time that it takes. `None` where some of its work
    /// is not in the time.
    ///
    /// # Source
    /// "GPU-computation efficiency" of VoVNet, arXiv 1904.09730, section 2; its FLOPs are multiply-accumulates.
    pub fn efficiency(&self, totals: &Totals) -> Option<Between> {
        let time = self.latency();
        if !self.prediction.uncovered.is_empty() || time.lo <= 0.0 {
            return None;
        }
        let macs = totals.macs as f64 * f64::from(self.batch);
        Some(Between {
            lo: macs / time.hi,
            mid: macs / time.mid,
            hi: macs / time.lo,
        })
    }

    /// Watts: energy over time. Without ends: the errors of the two are not independent.
    pub fn power(&self) -> Option<f64> {
        let time = self.latency().mid;
        let energy = self.energy_per_image()?.mid * f64::from(self.batch);
        (time > 0.0).then(|| energy / time)
    }

    /// The level that intervals cover, 0 to 1.
    pub fn level(&self) -> f64 {
        self.model.profile().interval.level
    }

    /// The work that the profile has no rates for; empty where it covers all.
    pub fn uncovered(&self) -> String {
        let kinds = self.prediction.uncovered.iter().map(|k| k.name());
        kinds.collect::<Vec<_>>().join(", ")
    }

    /// The prediction, with the profile's own errors beside it.
    pub fn json(&self, totals: &Totals) -> Value {
        let p = &self.prediction;
        let class = |(name, cost): &(&str, crate::device::Cost)| {
            let cost = json!({"latency_s": cost.latency, "energy_j": cost.energy});
            ((*name).to_owned(), cost)
        };
        let by_class: Map<String, Value> = p.by_class.named().iter().map(class).collect();
        let (energy, efficiency) = (self.energy_per_image(), self.efficiency(totals));
        let time = self.latency();
        let n = f64::from(self.batch);
        json!({
            "latency_s": p.latency, "latency_lo_s": p.latency_lo, "latency_hi_s": p.latency_hi,
            "energy_j": p.energy, "energy_lo_j": p.energy_lo, "energy_hi_j": p.energy_hi,
            "images_per_s": (time.mid > 0.0).then(|| n / time.mid),
            "energy_per_image_j": energy.map(|e| e.mid),
            "energy_per_image_lo_j": energy.map(|e| e.lo),
            "energy_per_image_hi_j": energy.map(|e| e.hi),
            "average_power_w": self.power(),
            "efficiency_macs_per_s": efficiency.map(|e| e.mid),
            "efficiency_lo_macs_per_s": efficiency.map(|e| e.lo),
            "efficiency_hi_macs_per_s": efficiency.map(|e| e.hi),
            "by_class": by_class,
            "uncovered": p.uncovered.iter().map(|k| k.name()).collect::<Vec<_>>(),
            "uncovered_share": p.uncovered_share,
            "transferred_share": p.transferred_share,
            "interval_level": self.level(),
            "held_out": self.model.profile().held_out,
        })
    }

    /// The prediction for a person.
    pub fn text(&self, totals: &Totals) -> String {
        let (p, profile) = (&self.prediction, self.model.profile());
        let mut text = format!("{}: {}\n", profile.name, profile.hardware);
        let mut line = |label: &str, value: &str, note: &str| {
            let value = format!("{value:<38}  {note}");
            let _ = writeln!(text, "  {label:<18}{}", value.trim_end());
        };
        line(
            "runtime",
            &match &profile.precision {
                Some(precision) => format!("{}, {precision}", profile.runtime),
                None => profile.runtime.clone(),
            },
            "",
        );
        let n = f64::from(self.batch);
        let time = self.latency();
        let error = |quantity| held_out(&self.model, quantity);
        let unit = match self.batch {
            1 => "ms".to_owned(),
            n => format!("ms a batch of {n}"),
        };
        let value = time.text(ms);
        line("latency", &format!("{value} {unit}"), &error("latency"));
        if self.batch > 1 {
            let rate = n / time.mid.max(f64::MIN_POSITIVE);
            let value = format!("{} ms", ms(time.mid / n));
            line("  an image", &value, &format!("{} images/s", scaled(rate)));
        }
        match self.energy_per_image() {
            None => line("energy", "not measured on this device", ""),
            Some(energy) => {
                let value = format!("{} mJ an image", energy.text(mj));
                line("energy", &value, &error("energy"));
            }
        }
        if let Some(power) = self.power() {
            line("average power", &format!("{} W", three(power)), "");
        }
        match self.efficiency(totals) {
            None => line("efficiency", "unknown: not all of the work is covered", ""),
            Some(e) => {
                let value = format!("{} GMAC/s", e.times(1e-9).text(three));
                let note = format!("{} GFLOP/s at two a MAC", three(2e-9 * e.mid));
                line("efficiency", &value, &note);
            }
        }
        let _ = writeln!(
            text,
            "  in brackets: the range that holds {:.0} %",
            self.level() * 100.0
        );
        if p.transferred_share > 0.0 {
            let _ = writeln!(
                text,
                "  {} % of the time is by rates carried over from a device of the same kind",
                percent(p.transferred_share)
            );
        }
        if !p.uncovered.is_empty() {
            let _ = writeln!(
                text,
                "  NOT COVERED: {} ({} % of the work), left out of the sums above, whose upper ends are unknown for that",
                self.uncovered(),
                percent(p.uncovered_share)
            );
        }
        let rows = p.by_class.named().map(|(name, cost)| {
            let name = match name {
                "element_wise" => "element-wise".to_owned(),
                name => name.replace('_', " "),
            };
            let energy = cost.energy.map(|e| e.0);
            self.row(&name, cost.latency.0, energy)
        });
        let mut head = vec!["  class of work", "ms", "%"];
        if profile.energy_constant_j.is_some() {
            head.push("mJ");
        }
        let _ = write!(text, "\n{}", table(&head, &[0], rows));
        text
    }

    fn row(&self, name: &str, time: f64, energy: Option<f64>) -> Vec<String> {
        let total = self.prediction.latency.0.max(f64::MIN_POSITIVE);
        let mut row = vec![format!("  {name}"), ms(time), percent(time / total)];
        row.extend(energy.map(mj));
        row
    }
}

/// Three significant digits or more.
pub fn three(x: f64) -> String {
    ms(x * 1e-3)
}

/// The profile's own error for a quantity, in words.
fn held_out(model: &DeviceModel, quantity: &str) -> String {
    let mut errors = model.profile().held_out.iter();
    let found = errors.find(|h| json!(h.quantity) == quantity);
    found.map_or_else(String::new, |h| {
        format!("mean error on networks held out: {} %", percent(h.mape))
    })
}
