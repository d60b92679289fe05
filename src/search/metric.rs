//! What is known of a network as one number, under the names that tables and commands use.

use crate::base::diag::{Diagnostic, nearest};
use crate::base::path::JsonPath;
use crate::device::{MAX_BATCH, split_batch};
use std::fmt;

/// One number of a network.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// Learnable scalars.
    Params,
    /// Multiply-accumulates of convolutions and linear layers.
    Macs,
    /// Elements of the outputs of all convolutions.
    ConvOutElems,
    /// Elements that the convolutions read, write and weigh with.
    MemAccessElems,
    /// Bytes of activations at the worst moment, 4 an element.
    PeakActivationBytes,
    /// Predicted seconds of one run on this device: of one sample, or of a batch where the device is `NAME:BATCH`.
    Latency(Box<str>),
    /// Predicted joules, as the seconds.
    Energy(Box<str>),
    /// What an evaluator calls by this name.
    Other(Box<str>),
}

/// The metrics that belong to the network alone.
pub const COUNTS: [Metric; 5] = [
    Metric::Params,
    Metric::Macs,
    Metric::ConvOutElems,
    Metric::MemAccessElems,
    Metric::PeakActivationBytes,
];

/// What a metric is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// Joules.
    Joules,
    /// Whatever the evaluator says.
    Own,
}

impl Unit {
    /// Suffixes and what they multiply by. Case matters: `m` is a thousandth, `M` a million.
    pub fn suffixes(self) -> &'static [(&'static str, f64)] {
        match self {
            Self::Count => &[("k", 1e3), ("K", 1e3), ("M", 1e6), ("G", 1e9)],
            Self::Bytes => &[
                ("B", 1.0),
                ("kB", 1e3),
                ("MB", 1e6),
                ("GB", 1e9),
                ("KiB", 1024.0),
                ("MiB", 1_048_576.0),
                ("GiB", 1_073_741_824.0),
            ],
            Self::Seconds => &[("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("µs", 1e-6)],
            Self::Joules => &[("J", 1.0), ("mJ", 1e-3), ("uJ", 1e-6), ("µJ", 1e-6)],
            Self::Own => &[("%", 0.01)],
        }
    }
}

/// What names may refer to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// Device profiles.
    pub devices: &'a [&'a str],
    /// The device that `latency_s` without `@` means; `None` where it has to be named.
    pub device: Option<&'a str>,
    /// True where an evaluator answers, so that any other plain name may be one of its metrics.
    pub evaluator: bool,
}

impl Metric {
    /// The metric of that name.
    ///
    /// # Errors
    /// An unknown metric or device, with the nearest name.
    pub fn parse(text: &str, known: &Known<'_>) -> Result<Self, Box<Diagnostic>> {
        let error = |message| Box::new(Diagnostic::error(JsonPath::root(), message));
        let (name, device) = match text.split_once('@') {
            Some((name, device)) => (name, Some(device)),
            None => (text, None),
        };
        let on: fn(Box<str>) -> Self = match name {
            "latency_s" => Self::Latency,
            "energy_j" => Self::Energy,
            _ => {
                let count = COUNTS.iter().find(|m| m.name() == name);
                return match (count, device) {
                    (Some(metric), None) => Ok(metric.clone()),
                    (Some(_), Some(_)) => Err(Box::new(
                        error(format!("\"{name}\" is the same on every device"))
                            .hint(format!("write \"{name}\"")),
                    )),
                    (None, _) if known.evaluator && is_name(text) => Ok(Self::Other(text.into())),
                    (None, _) => Err(unknown(text, name, device, known)),
                };
            }
        };
        let device = match (device, known.device) {
            (Some(device), _) => device,
            (None, Some(device)) => device,
            (None, None) => {
                let names = some_of(known.devices);
                return Err(Box::new(
                    error(format!("\"{name}\" needs a device"))
                        .hint(format!("write \"{name}@DEVICE\"; known are {names}")),
                ));
            }
        };
        if known.devices.contains(&device) {
            return Ok(on(device.into()));
        }
        // one name for one thing: batches of 1 have none, 064 is 64
        match split_batch(device) {
            Some((name, 1)) if known.devices.contains(&name) => return Ok(on(name.into())),
            Some((name, batch)) if known.devices.contains(&name) => {
                return Ok(on(format!("{name}:{batch}").into()));
            }
            _ => {}
        }
        // a known device with what is no batch behind it
        if let Some((name, batch)) = device.rsplit_once(':')
            && known.devices.contains(&name)
        {
            return Err(Box::new(
                error(format!("\"{batch}\" is no batch of {name}"))
                    .hint(format!("a batch is a whole number from 1 to {MAX_BATCH}")),
            ));
        }
        let mut problem = *error(format!("there is no device \"{device}\""));
        problem = match nearest(device, known.devices.iter().copied()) {
            Some(near) => problem.hint(format!("did you mean \"{name}@{near}\"?")),
            None => problem.hint(format!("known are {}", some_of(known.devices))),
        };
        Err(Box::new(problem))
    }

    /// The name without the device.
    pub fn name(&self) -> &str {
        match self {
            Self::Params => "params",
            Self::Macs => "macs",
            Self::ConvOutElems => "conv_out_elems",
            Self::MemAccessElems => "mem_access_elems",
            Self::PeakActivationBytes => "peak_activation_bytes",
            Self::Latency(_) => "latency_s",
            Self::Energy(_) => "energy_j",
            Self::Other(name) => name,
        }
    }

    /// The device that it is predicted for.
    pub fn device(&self) -> Option<&str> {
        match self {
            Self::Latency(device) | Self::Energy(device) => Some(device),
            _ => None,
        }
    }

    /// What it is counted in.
    pub fn unit(&self) -> Unit {
        match self {
            Self::Params | Self::Macs | Self::ConvOutElems | Self::MemAccessElems => Unit::Count,
            Self::PeakActivationBytes => Unit::Bytes,
            Self::Latency(_) => Unit::Seconds,
            Self::Energy(_) => Unit::Joules,
            Self::Other(_) => Unit::Own,
        }
    }

    /// True where its values are whole numbers.
    pub fn is_whole(&self) -> bool {
        matches!(self.unit(), Unit::Count | Unit::Bytes)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self.device() {
            Some(device) => write!(f, "@{device}"),
            None => Ok(()),
        }
    }
}

/// The first of many names, and where the others are listed.
fn some_of(names: &[&str]) -> String {
    const SHOWN: usize = 6;
    match names.split_at_checked(SHOWN) {
        Some((first, rest)) if rest.len() > 1 => {
            let (first, more) = (first.join(", "), rest.len());
            format!("{first} and {more} more, which `blocksmith devices` lists")
        }
        _ => names.join(", "),
    }
}

/// True for what an evaluator may call a metric.
fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@');
    text.chars().next().is_some_and(char::is_alphabetic) && text.chars().all(plain)
}

fn unknown(text: &str, name: &str, device: Option<&str>, known: &Known<'_>) -> Box<Diagnostic> {
    let problem = Diagnostic::error(JsonPath::root(), format!("there is no metric \"{text}\""));
    let names = COUNTS.iter().map(Metric::name);
    let problem = match nearest(name, names.chain(["latency_s", "energy_j"])) {
        Some(near @ ("latency_s" | "energy_j")) => {
            let device = device.or(known.device).unwrap_or("DEVICE");
            problem.hint(format!("did you mean \"{near}@{device}\"?"))
        }
        Some(near) => problem.hint(format!("did you mean \"{near}\"?")),
        None => {
            let names: Vec<&str> = COUNTS.iter().map(Metric::name).collect();
            problem.hint(format!(
                "known are {}, latency_s@DEVICE, energy_j@DEVICE; others come from an evaluator",
                names.join(", ")
            ))
        }
    };
    Box::new(problem)
}
