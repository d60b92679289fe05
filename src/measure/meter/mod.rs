//! Sources of energy figures: a file a meter and a line in [`METERS`].
//!
//! A meter counts: readings differ by the energy between them. Where the hardware only tells power, a thread of ours adds
//! it up (see [`polled`]). A meter that is not there says why; nothing is ever estimated in its place.

mod ina3221;
#[cfg(feature = "nvml")]
mod nvml;
mod pmic;
pub mod polled;
mod rapl;

use std::path::PathBuf;

/// How finely a counter counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resolution {
    /// Smallest step.
    pub step_uj: u64,
    /// Time between two steps.
    pub period_s: f64,
}

/// A reading that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MeterError {
    /// The counter does not move.
    #[error("the counter does not move")]
    Still,
    /// The system or the driver refuses.
    #[error("{0}")]
    Read(String),
}

/// A counter of energy.
pub trait EnergyMeter {
    /// What it is and what it covers: `nvml`, `rapl:package-0`.
    fn name(&self) -> &str;
    /// How finely it counts.
    fn resolution(&self) -> Resolution;
    /// Microjoules since some fixed moment; never falls.
    ///
    /// # Errors
    /// Where the source cannot be read any more.
    fn read_uj(&mut self) -> Result<u64, MeterError>;
}

/// Why a meter is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Absent(pub String);

/// Where meters look.
#[derive(Clone, Debug)]
pub struct Places {
    /// What stands for `/`.
    pub root: PathBuf,
    /// NVML's library; the driver's own where it is left out.
    pub nvml: Option<PathBuf>,
    /// Number of the GPU to be measured; `None` measures the CPU.
    pub gpu: Option<u32>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/"),
            nvml: None,
            gpu: None,
        }
    }
}

/// A kind of meter.
pub struct MeterDef {
    /// Its name on the command line.
    pub name: &'static str,
    /// Whether it covers a CPU.
    pub cpu: bool,
    /// Whether it covers a GPU.
    pub gpu: bool,
    /// Opens it, or says why not.
    pub open: fn(&Places) -> Result<Box<dyn EnergyMeter>, Absent>,
}

/// All meters, the better ones first.
pub static METERS: &[&MeterDef] = &[
    #[cfg(feature = "nvml")]
    &nvml::NVML,
    &rapl::RAPL,
    &pmic::PMIC,
    &ina3221::INA3221,
];

/// The first meter that is there, or every reason why there is none. `name` narrows the choice to one kind.
///
/// # Errors
/// No meter.
pub fn find(places: &Places, name: Option<&str>) -> Result<Box<dyn EnergyMeter>, Absent> {
    let mut reasons = Vec::new();
    for def in METERS {
        let wanted = match (name, places.gpu) {
            (Some(name), _) => def.name == name,
            (None, Some(_)) => def.gpu,
            (None, None) => def.cpu,
        };
        if !wanted {
            continue;
        }
        match (def.open)(places) {
            Ok(meter) => return Ok(meter),
            Err(Absent(why)) => reasons.push(format!("{}: {why}", def.name)),
        }
    }
    Err(Absent(match reasons.is_empty() {
        true => "no meter of that name in this program".to_owned(),
        false => reasons.join("; "),
    }))
}

/// What the driver calls a GPU; `None` without NVML.
pub fn gpu_name(places: &Places, gpu: u32) -> Option<String> {
    #[cfg(feature = "nvml")]
    {
        nvml::gpu_name(places, gpu)
    }
    #[cfg(not(feature = "nvml"))]
    {
        let _ = (places, gpu);
        None
    }
}
