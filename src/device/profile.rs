//! The profile file.

use super::effects::Effects;
use super::error::{DeviceError, DeviceErrorKind};
use super::law::Law;
use super::region::Region;
use crate::fuse::{FuseRules, KernelKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The format that this release reads and writes.
pub const FORMAT: &str = "blocksmith-device/1";

/// A device, a runtime on it, and what kernels cost there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Always [`FORMAT`].
    pub format: String,
    /// The name that commands use.
    pub name: String,
    /// The hardware, as a person would say it.
    pub hardware: String,
    /// What runs the network.
    pub runtime: String,
    /// Threads it ran on; `null` where nobody says, and where that means nothing.
    pub threads: Option<u32>,
    /// Number format: `fp32`, `fp16`, `amp`, or `fp16 storage` and the like; `null` where nobody says.
    pub precision: Option<String>,
    /// Smallest and largest batch measured.
    pub batch: [u32; 2],
    /// Where the figures come from.
    pub provenance: Provenance,
    /// Errors on networks that the fit had not seen.
    pub held_out: Vec<HeldOut>,
    /// How wide a prediction is.
    pub interval: Interval,
    /// How the runtime fuses.
    pub fuse: FuseRules,
    /// What of a kernel's shape costs work; all off where the file does not say.
    #[serde(default)]
    pub law: Law,
    /// What of a kernel's shape costs single kinds more; left out where nothing does.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub effects: BTreeMap<KernelKind, Effects>,
    /// Elements of one kernel's inputs and outputs that its near caches hold; `null` where the fit does not tell.
    pub cache_elems: Option<f64>,
    /// Seconds a run takes beside its kernels.
    pub latency_constant_s: f64,
    /// Seconds the processor takes to issue a run beside its launches. It and the device work at the same time and the
    /// slower one decides; left out where the profile does not tell them apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_constant_s: Option<f64>,
    /// Joules a run takes beside its kernels; `null` where energy was not measured.
    pub energy_constant_j: Option<f64>,
    /// Shortest and longest time of one sample that the fit saw; `null` where the file does not say.
    #[serde(default)]
    pub latency_range_s: Option<[f64; 2]>,
    /// Rates by kernel kind. A kind that is not here is uncovered.
    pub kernels: BTreeMap<KernelKind, KindProfile>,
    /// Networks that were measured themselves, and how far the rates are off there.
    #[serde(default)]
    pub known: Vec<Known>,
    /// Spaces of which many networks were measured: their like have intervals of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Region>,
}

/// A network that was measured itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Its name.
    pub network: String,
    /// [`signature`](super::signature) of its kernels.
    pub signature: u64,
    /// Natural logarithm of its time over what the rates make of it, drawn towards 0 as far as the measurement is in doubt.
    pub log_ratio: f64,
    /// Half width of its own interval, a natural logarithm; left out where the profile's holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_log: Option<f64>,
}

/// Where a profile comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The table fitted.
    pub data: String,
    /// Who measured.
    pub origin: String,
    /// The licence that the origin states.
    pub licence: String,
    /// The command that fits it again; left out where nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refit: Option<String>,
    /// Version of the program that fitted it; left out where nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Date of the measurements, or of the newest of them; `null` where nobody says.
    pub date: Option<String>,
    /// Different networks fitted.
    pub networks: u32,
    /// Rows fitted.
    pub rows: u32,
    /// Groups that cross-validation never splits.
    pub groups: u32,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// What an error is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Of latency.
    Latency,
    /// Of energy.
    Energy,
}

/// Errors on rows that a fit had not seen, as fractions (0.05 is 5 %).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldOut {
    /// Of what.
    pub quantity: Quantity,
    /// What was fitted, what was held out.
    pub method: String,
    /// Rows predicted.
    pub rows: u32,
    /// Groups predicted.
    pub groups: u32,
    /// Mean absolute percentage error.
    pub mape: f64,
    /// Median absolute percentage error.
    pub median_ape: f64,
    /// Share of rows within 10 %.
    pub within_10: f64,
    /// Kendall's tau of predicted against measured; `null` where it has no value.
    pub tau: Option<f64>,
    /// Share of rows within an interval that they had no part in; `null` where it was not counted.
    #[serde(default)]
    pub coverage: Option<f64>,
    /// Width of that interval over its middle, on average.
    #[serde(default)]
    pub width: Option<f64>,
}

/// How wide a prediction is: natural logarithms of the factors around it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Share of held-out groups that the interval covers.
    pub level: f64,
    /// Half width for latency.
    pub latency_log: f64,
    /// Half width for energy.
    pub energy_log: Option<f64>,
    /// Added, times the share of the time that transferred rates predict.
    pub transferred_log: f64,
    /// Added, times the time-weighted logarithm of how far kernels lie outside what was seen.
    pub far_log: f64,
}

/// Whether rates were fitted or carried over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Support {
    /// Fitted on this device.
    Fitted,
    /// Rates of another device, scaled to this one: the rows here have the kind, but tell more of the others than of it.
    Adapted {
        /// From where.
        from: String,
    },
    /// Carried over from another device or kind.
    Transferred {
        /// From where.
        from: String,
        /// By which rule.
        rule: String,
    },
}

/// Rates of one kernel kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindProfile {
    /// Fitted or transferred.
    pub support: Support,
    /// What the fit saw; `null` where it saw none of the kind.
    pub seen: Option<Seen>,
    /// Seconds for each unit of work.
    pub latency_s: Rates,
    /// Joules for each unit of work; `null` where energy was not measured.
    pub energy_j: Option<Rates>,
    /// Seconds that the processor takes to issue a launch, while the device works; left out where it never is the slower.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub host_s: f64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // what serde calls
fn is_zero(seconds: &f64) -> bool {
    *seconds == 0.0
}

/// What a fit saw of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Networks that have the kind.
    pub networks: u32,
    /// Largest MACs of one kernel.
    pub max_macs: u64,
    /// Most elements that one kernel read and wrote.
    pub max_elems: u64,
}

/// Cost for each unit of work, in seconds or joules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// A multiply-accumulate.
    pub per_mac: f64,
    /// A multiply-accumulate (where there are none, an element written) of one output column: what the ends of rows cost.
    pub per_edge: f64,
    /// An element read.
    pub per_elem_in: f64,
    /// An element written.
    pub per_elem_out: f64,
    /// An element read or written beyond `cache_elems`, in addition.
    pub per_elem_spilled: f64,
    /// A weight, once a launch whatever the batch.
    pub per_weight: f64,
    /// A launch.
    pub per_launch: f64,
    /// A multiply-accumulate of channels that do not fill whole packs ([`Law::pack`]), in addition.
    #[serde(default)]
    pub per_unpacked: f64,
}

impl Rates {
    /// How many there are.
    pub const COUNT: usize = 8;

    /// Index of `per_mac` in [`to_array`](Self::to_array).
    pub const MAC: usize = 0;

    /// Index of `per_edge`.
    pub const EDGE: usize = 1;

    /// Index of `per_elem_in`.
    pub const IN: usize = 2;

    /// Index of `per_elem_out`.
    pub const OUT: usize = 3;

    /// Index of `per_elem_spilled` in [`to_array`](Self::to_array).
    pub const SPILLED: usize = 4;

    /// Index of `per_launch`.
    pub const LAUNCH: usize = 6;

    /// Index of `per_unpacked`.
    pub const UNPACKED: usize = 7;

    /// Their names, in the order of [`to_array`](Self::to_array).
    pub const NAMES: [&'static str; Self::COUNT] = [
        "per_mac",
        "per_edge",
        "per_elem_in",
        "per_elem_out",
        "per_elem_spilled",
        "per_weight",
        "per_launch",
        "per_unpacked",
    ];

    /// As a vector, to be multiplied with [`Law::work`].
    pub fn to_array(self) -> [f64; Self::COUNT] {
        [
            self.per_mac,
            self.per_edge,
            self.per_elem_in,
            self.per_elem_out,
            self.per_elem_spilled,
            self.per_weight,
            self.per_launch,
            self.per_unpacked,
        ]
    }

    /// From a vector.
    pub fn from_array(a: [f64; Self::COUNT]) -> Self {
        let [
            per_mac,
            per_edge,
            per_elem_in,
            per_elem_out,
            per_elem_spilled,
            per_weight,
            per_launch,
            per_unpacked,
        ] = a;
        Self {
            per_mac,
            per_edge,
            per_elem_in,
            per_elem_out,
            per_elem_spilled,
            per_weight,
            per_launch,
            per_unpacked,
        }
    }
}

impl Profile {
    /// A profile from its JSON. `at` names it in errors.
    ///
    /// # Errors
    /// Where the text is no profile of this format, or a number in it cannot be.
    pub fn parse(text: &str, at: &str) -> Result<Self, DeviceError> {
        let wrong = |kind| DeviceError {
            at: at.to_owned(),
            kind,
        };
        let profile: Profile =
            serde_json::from_str(text).map_err(|error| wrong(DeviceErrorKind::Json { error }))?;
        profile.check().map_err(wrong)?;
        Ok(profile)
    }

    /// The profile as the text of a file.
    pub fn to_json(&self) -> String {
        // a struct of strings, numbers and string-keyed maps always serialises
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Figures that have two ends.
    fn check_ranges(&self) -> Result<(), DeviceErrorKind> {
        let level = self.interval.level;
        if !(level > 0.0 && level < 1.0) {
            let expected = "a share between 0 and 1";
            return Err(out_of_range("interval.level", expected, level));
        }
        let [least, most] = self.batch;
        if least == 0 || least > most {
            let expected = "the smallest batch, at least 1, and the largest";
            return Err(out_of_range(
                "batch",
                expected,
                format!("[{least}, {most}]"),
            ));
        }
        if let Some([least, most]) = self.latency_range_s
            && least > most
        {
            let expected = "the shortest time and the longest";
            let got = format!("[{least}, {most}]");
            return Err(out_of_range("latency_range_s", expected, got));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), DeviceErrorKind> {
        if self.format != FORMAT {
            return Err(DeviceErrorKind::Format {
                expected: FORMAT,
                got: self.format.clone(),
            });
        }
        let number = |what: &str, got: f64| {
            if got.is_finite() && got >= 0.0 {
                Ok(())
            } else {
                let what = what.to_owned();
                Err(DeviceErrorKind::Number { what, got })
            }
        };
        number("latency_constant_s", self.latency_constant_s)?;
        number("host_constant_s", self.host_constant_s.unwrap_or(0.0))?;
        number("energy_constant_j", self.energy_constant_j.unwrap_or(0.0))?;
        number("cache_elems", self.cache_elems.unwrap_or(0.0))?;
        self.check_ranges()?;
        // a factor of e^10 says nothing
        let half = |what: &str, got: f64| match got.is_finite() && (0.0..=10.0).contains(&got) {
            true => Ok(()),
            false => Err(out_of_range(what, "a natural logarithm from 0 to 10", got)),
        };
        half("interval.latency_log", self.interval.latency_log)?;
        half(
            "interval.energy_log",
            self.interval.energy_log.unwrap_or(0.0),
        )?;
        half("interval.transferred_log", self.interval.transferred_log)?;
        half("interval.far_log", self.interval.far_log)?;
        let law = [self.law.half_in, self.law.half_out, self.law.half_pixels];
        for (what, got) in ["half_in", "half_out", "half_pixels"].iter().zip(law) {
            number(&format!("law.{what}"), got)?;
        }
        for (kind, effects) in &self.effects {
            for (what, got) in effects.numbers() {
                number(&format!("effects.{}.{what}", kind.name()), got)?;
            }
        }
        for got in self.latency_range_s.unwrap_or_default() {
            number("latency_range_s", got)?;
        }
        for known in &self.known {
            // of either sign, but a factor of e^10 is no correction
            number("known.log_ratio", 10.0 - known.log_ratio.abs())?;
            half("known.half_log", known.half_log.unwrap_or(0.0))?;
        }
        for log in self.regions.iter().flat_map(|r| r.half_log.values()) {
            half("regions.half_log", *log)?;
        }
        for (kind, rates) in &self.kernels {
            if self.energy_constant_j.is_some() && rates.energy_j.is_none() {
                let kind = kind.name();
                return Err(DeviceErrorKind::EnergyMissing { kind });
            }
            number(&format!("{}.host_s", kind.name()), rates.host_s)?;
            let energy = rates.energy_j.unwrap_or_default().to_array();
            let all = rates.latency_s.to_array().into_iter().chain(energy);
            for (name, rate) in Rates::NAMES.iter().cycle().zip(all) {
                number(&format!("{}.{name}", kind.name()), rate)?;
            }
        }
        Ok(())
    }
}

fn out_of_range(what: &str, expected: &'static str, got: impl ToString) -> DeviceErrorKind {
    DeviceErrorKind::Range {
        what: what.to_owned(),
        expected,
        got: got.to_string(),
    }
}
