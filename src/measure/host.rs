//! The machine that a row was measured on, as far as it tells.

use super::window::Timed;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What stays the same during a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Processor or board, in its own words.
    pub cpu: Option<String>,
    /// Processors that may be used.
    pub cpus: Option<u32>,
    /// How the clock is governed; null where the system does not tell (virtual machines).
    pub governor: Option<String>,
    /// Kernel and architecture.
    pub os: String,
}

/// What changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// Processes that want to run, mean over the last minute.
    pub load_1m: Option<f64>,
    /// Hottest processor sensor.
    pub temperature_c: Option<f64>,
}

/// Reads below a root folder, which tests put elsewhere.
#[derive(Clone, Debug)]
pub struct Sensors {
    root: PathBuf,
}

impl Sensors {
    /// `root` stands for `/`.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
        }
    }

    fn text(&self, path: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.root.join(path)).ok()?;
        // device trees end their strings with a zero
        let text = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The machine.
    pub fn host(&self) -> Host {
        let info = self.text("proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let mut lines = info.lines().filter_map(|l| l.split_once(':'));
            let found = lines.find(|(key, _)| key.trim() == name);
            found.map(|(_, value)| value.trim().to_owned())
        };
        // a board's own name says more than what Jetsons have as a model: "ARMv8 Processor rev 1 (v8l)"
        let cpu = self
            .text("proc/device-tree/model")
            .or_else(|| field("model name"))
            .or_else(|| field("Hardware"))
            .or_else(|| field("CPU part").map(|part| format!("Arm part {part}")));
        let kernel = self.text("proc/sys/kernel/osrelease");
        let cpus = std::thread::available_parallelism().ok();
        Host {
            cpu,
            cpus: cpus.and_then(|n| u32::try_from(n.get()).ok()),
            governor: self.text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            os: format!(
                "{} {}, {}",
                std::env::consts::OS,
                kernel.as_deref().unwrap_or("(release not told)"),
                std::env::consts::ARCH
            ),
        }
    }

    /// Load and heat now.
    pub fn moment(&self) -> Moment {
        let load = self.text("proc/loadavg");
        let load = load.and_then(|t| t.split_whitespace().next()?.parse().ok());
        Moment {
            load_1m: load,
            temperature_c: self.temperature_c(),
        }
    }

    fn temperature_c(&self) -> Option<f64> {
        let entries = std::fs::read_dir(self.root.join("sys/class/thermal")).ok()?;
        let names = entries.flatten().map(|e| e.file_name());
        let mut hottest: Option<f64> = None;
        for name in names {
            let name = name.to_string_lossy();
            let zone = format!("sys/class/thermal/{name}");
            let Some(kind) = self.text(&format!("{zone}/type")) else {
                continue;
            };
            let kind = kind.to_lowercase();
            if !["cpu", "soc", "x86_pkg", "pkg"]
                .iter()
                .any(|k| kind.contains(k))
            {
                continue;
            }
            let milli: Option<f64> = self
                .text(&format!("{zone}/temp"))
                .and_then(|t| t.parse().ok());
            if let Some(celsius) = milli.map(|m| m / 1000.0) {
                hottest = Some(hottest.map_or(celsius, |h| h.max(celsius)));
            }
        }
        hottest
    }

    /// Processors of the fastest kinds, as many kinds as `threads` takes; empty where all are alike or nothing is told.
    pub fn fastest_cpus(&self, threads: u32) -> Vec<usize> {
        let speed = |cpu: usize| -> Option<u64> {
            let folder = format!("sys/devices/system/cpu/cpu{cpu}");
            let capacity = self.text(&format!("{folder}/cpu_capacity"));
            let clock = || self.text(&format!("{folder}/cpufreq/cpuinfo_max_freq"));
            capacity.or_else(clock)?.parse().ok()
        };
        let mut cpus: Vec<(u64, usize)> = (0..4096)
            .map_while(|cpu| Some((speed(cpu)?, cpu)))
            .collect();
        cpus.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut chosen: Vec<usize> = Vec::new();
        for kind in cpus.chunk_by(|a, b| a.0 == b.0) {
            if chosen.len() >= threads as usize {
                break;
            }
            chosen.extend(kind.iter().map(|(_, cpu)| *cpu));
        }
        match chosen.len() == cpus.len() {
            true => Vec::new(),
            false => chosen,
        }
    }
}

/// Seconds since 1970 as date and time of day in UTC: `2026-01-31T08:00:00Z`.
pub fn utc(seconds: u64) -> String {
    let (days, second) = ((seconds / 86_400) as i64, seconds % 86_400);
    // the civil calendar from days, eras of 400 years from March of year 0
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z",
        second % 60
    )
}

/// Runs `work` once and times it. `alone` says that it has one thread: where that loses the processor meanwhile, the time
/// that it had it is nearer to what it takes undisturbed.
pub fn timed<T>(alone: bool, work: impl FnOnce() -> T) -> (T, Timed) {
    let before = switches();
    let had_s = alone.then(processor_s).flatten();
    let start = Instant::now();
    let made = work();
    let mut seconds = start.elapsed().as_secs_f64();
    let disturbed = switches() != before;
    if let (true, Some(had_s), Some(has_s)) = (disturbed, had_s, processor_s()) {
        seconds = seconds.min(has_s - had_s);
    }
    (made, Timed { seconds, disturbed })
}

/// Times that this process lost the processor to another, all threads together. Always 0 where the system does not count.
fn switches() -> u64 {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::resource::{UsageWho, getrusage};
        let usage = getrusage(UsageWho::RUSAGE_SELF);
        usage.map_or(0, |u| {
            u64::try_from(u.involuntary_context_switches()).unwrap_or(0)
        })
    }
    #[cfg(not(target_os = "linux"))]
    {
        0
    }
}

/// Processor time of this process, all threads together; `None` where the system does not tell.
fn processor_s() -> Option<f64> {
    #[cfg(target_os = "linux")]
    {
        use nix::time::{ClockId, clock_gettime};
        let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).ok()?;
        Some(std::time::Duration::from(time).as_secs_f64())
    }
    #[cfg(not(target_os = "linux"))]
    {
        None
    }
}

/// Keeps this process, and threads that it starts from now on, on these processors.
///
/// # Errors
/// Where the system refuses or has no such thing, in words.
pub fn pin(cpus: &[usize]) -> Result<(), String> {
    #[cfg(target_os = "linux")]
    {
        use nix::sched::{CpuSet, sched_setaffinity};
        use nix::unistd::Pid;
        let mut set = CpuSet::new();
        for cpu in cpus {
            set.set(*cpu)
                .map_err(|_| format!("there is no processor {cpu}"))?;
        }
        sched_setaffinity(Pid::from_raw(0), &set)
            .map_err(|e| format!("cannot keep to processors {cpus:?}: {}", e.desc()))
    }
    #[cfg(not(target_os = "linux"))]
    {
        Err(format!("cannot keep to processors {cpus:?} on this system"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_raspberry_pi_by_its_files() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        put(root, "proc/cpuinfo", "processor\t: 0\nCPU part\t: 0xd0b\n");
        put(
            root,
            "proc/device-tree/model",
            "Raspberry Pi 5 Model B Rev 1.0\0",
        );
        put(root, "proc/loadavg", "0.52 0.40 0.30 1/180 900\n");
        put(
            root,
            "sys/class/thermal/thermal_zone0/type",
            "cpu-thermal\n",
        );
        put(root, "sys/class/thermal/thermal_zone0/temp", "48250\n");
        put(root, "sys/class/thermal/thermal_zone1/type", "battery\n");
        put(root, "sys/class/thermal/thermal_zone1/temp", "90000\n");
        let governor = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
        put(root, governor, "ondemand\n");
        let sensors = Sensors::new(root);
        let host = sensors.host();
        assert_eq!(host.cpu.as_deref(), Some("Raspberry Pi 5 Model B Rev 1.0"));
        assert_eq!(host.governor.as_deref(), Some("ondemand"));
        let moment = sensors.moment();
        assert_eq!(moment.load_1m, Some(0.52));
        assert_eq!(moment.temperature_c, Some(48.25));
    }

    #[test]
    fn a_jetson_by_the_name_of_its_board() {
        let root = tempfile::tempdir().unwrap();
        let info = "processor\t: 0\nmodel name\t: ARMv8 Processor rev 1 (v8l)\nCPU part\t: 0xd42\n";
        put(root.path(), "proc/cpuinfo", info);
        let cpu = || Sensors::new(root.path()).host().cpu;
        assert_eq!(cpu().as_deref(), Some("ARMv8 Processor rev 1 (v8l)"));
        let board = "NVIDIA Jetson Orin Nano Developer Kit";
        put(root.path(), "proc/device-tree/model", &format!("{board}\0"));
        assert_eq!(cpu().as_deref(), Some(board));
    }

    /// Work takes processor time.
    #[cfg(target_os = "linux")]
    #[test]
    fn processor_time_passes_with_work() {
        let start = processor_s().unwrap();
        assert!(start > 0.0);
        let wall = std::time::Instant::now();
        let mut sum = 0u64;
        while processor_s().unwrap() - start < 0.01 {
            sum = sum.wrapping_add(std::hint::black_box(1));
        }
        assert!(sum > 0 && wall.elapsed().as_secs_f64() > 0.0);
    }

    #[test]
    fn nothing_told_is_null() {
        let root = tempfile::tempdir().unwrap();
        let sensors = Sensors::new(root.path());
        assert_eq!(sensors.moment(), Moment::default());
        assert_eq!(sensors.host().cpu, None);
    }

    #[test]
    fn big_cores_first() {
        let root = tempfile::tempdir().unwrap();
        let capacity = [414, 414, 1024, 1024];
        for (cpu, capacity) in capacity.iter().enumerate() {
            let path = format!("sys/devices/system/cpu/cpu{cpu}/cpu_capacity");
            put(root.path(), &path, &capacity.to_string());
        }
        let sensors = Sensors::new(root.path());
        assert_eq!(sensors.fastest_cpus(1), [2, 3]);
        assert_eq!(sensors.fastest_cpus(2), [2, 3]);
        // more threads than big cores: all, so nothing to choose
        assert!(sensors.fastest_cpus(3).is_empty());
    }

    /// Days that a calendar tells: leap day, end of a century that is no leap year, start of the epoch.
    #[test]
    fn dates() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(utc(4_107_542_399), "2100-02-28T23:59:59Z");
        assert_eq!(utc(4_107_542_400), "2100-03-01T00:00:00Z");
    }
}
