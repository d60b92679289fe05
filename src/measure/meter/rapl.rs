//! RAPL of Intel and AMD processors, through the kernel's powercap files.

use super::{Absent, EnergyMeter, MeterDef, MeterError, Resolution};
use std::io;
use std::path::{Path, PathBuf};

pub(super) static RAPL: MeterDef = MeterDef {
    name: "rapl",
    cpu: true,
    gpu: false,
    open: |places| Ok(Box::new(Rapl::open(&places.root, read)?)),
};

type Read = fn(&Path) -> io::Result<String>;

fn read(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
}

/// The sum of all packages and, where the kernel shows it, of their memory. `psys` covers the packages and is left out.
struct Rapl {
    name: String,
    domains: Vec<Domain>,
    read: Read,
    total_uj: u64,
}

struct Domain {
    file: PathBuf,
    /// Where the counter starts again from 0.
    range_uj: u64,
    last_uj: u64,
}

impl Rapl {
    fn open(root: &Path, read: Read) -> Result<Self, Absent> {
        let folder = root.join("sys/class/powercap");
        let entries = std::fs::read_dir(&folder)
            .map_err(|_| Absent("no /sys/class/powercap here (a container or virtual machine, or no such processor)".to_owned()))?;
        let mut found: Vec<(String, PathBuf)> = entries
            .filter_map(Result::ok)
            .map(|e| (e.file_name().to_string_lossy().into_owned(), e.path()))
            .filter(|(name, _)| name.starts_with("intel-rapl:"))
            .collect();
        found.sort();
        let mut domains = Vec::new();
        let mut names = Vec::new();
        for (entry, path) in found {
            let Ok(name) = read(&path.join("name")) else {
                continue;
            };
            let name = name.trim().to_owned();
            let inner = entry.matches(':').count() > 1;
            if !(name.starts_with("package") && !inner || name == "dram" && inner) {
                continue;
            }
            let file = path.join("energy_uj");
            let last_uj = number(read, &file).map_err(|error| {
                Absent(match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        "permission denied: the counter is for root since Linux 5.10; run as root, or give the group read access to energy_uj".to_owned()
                    }
                    _ => format!("cannot read {name}: {error}"),
                })
            })?;
            let range_uj = number(read, &path.join("max_energy_range_uj"))
                .map_err(|e| Absent(format!("cannot read where {name} wraps: {e}")))?;
            names.push(name);
            domains.push(Domain {
                file,
                range_uj,
                last_uj,
            });
        }
        if domains.is_empty() {
            return Err(Absent("powercap has no package domain".to_owned()));
        }
        Ok(Self {
            name: format!("rapl:{}", names.join("+")),
            domains,
            read,
            total_uj: 0,
        })
    }
}

fn number(read: Read, path: &Path) -> io::Result<u64> {
    let text = read(path)?;
    text.trim().parse().map_err(io::Error::other)
}

impl EnergyMeter for Rapl {
    fn name(&self) -> &str {
        &self.name
    }

    fn resolution(&self) -> Resolution {
        // one energy unit of most processors; updated about every millisecond
        Resolution {
            step_uj: 61,
            period_s: 1e-3,
        }
    }

    fn read_uj(&mut self) -> Result<u64, MeterError> {
        for domain in &mut self.domains {
            let now = number(self.read, &domain.file)
                .map_err(|e| MeterError::Read(format!("rapl: {e}")))?;
            self.total_uj += match now.checked_sub(domain.last_uj) {
                Some(step) => step,
                None => domain.range_uj.saturating_sub(domain.last_uj) + now,
            };
            domain.last_uj = now;
        }
        Ok(self.total_uj)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn domain(root: &Path, entry: &str, name: &str, energy: &str, range: &str) {
        let folder = root.join("sys/class/powercap").join(entry);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("name"), format!("{name}\n")).unwrap();
        fs::write(folder.join("energy_uj"), energy).unwrap();
        fs::write(folder.join("max_energy_range_uj"), range).unwrap();
    }

    fn set(root: &Path, entry: &str, energy: &str) {
        let file = root
            .join("sys/class/powercap")
            .join(entry)
            .join("energy_uj");
        fs::write(file, energy).unwrap();
    }

    #[test]
    fn packages_and_memory_add_up_and_the_rest_stays_out() {
        let root = tempfile::tempdir().unwrap();
        domain(root.path(), "intel-rapl:0", "package-0", "100\n", "1000\n");
        domain(root.path(), "intel-rapl:0:0", "core", "40\n", "1000\n");
        domain(root.path(), "intel-rapl:0:1", "dram", "7\n", "1000\n");
        domain(root.path(), "intel-rapl:1", "psys", "500\n", "1000\n");
        let mut meter = Rapl::open(root.path(), read).unwrap();
        assert_eq!(meter.name(), "rapl:package-0+dram");
        let start = meter.read_uj().unwrap();
        set(root.path(), "intel-rapl:0", "130\n");
        set(root.path(), "intel-rapl:0:0", "60\n");
        set(root.path(), "intel-rapl:0:1", "9\n");
        set(root.path(), "intel-rapl:1", "600\n");
        assert_eq!(meter.read_uj().unwrap() - start, 32);
    }

    #[test]
    fn the_counter_wraps() {
        let root = tempfile::tempdir().unwrap();
        domain(
            root.path(),
            "intel-rapl:0",
            "package-0",
            "262143000000",
            "262143328850",
        );
        let mut meter = Rapl::open(root.path(), read).unwrap();
        let start = meter.read_uj().unwrap();
        set(root.path(), "intel-rapl:0", "1150");
        // 328,850 up to the end of the range and 1,150 from 0
        assert_eq!(meter.read_uj().unwrap() - start, 330_000);
    }

    #[test]
    fn denied_is_not_absent() {
        let root = tempfile::tempdir().unwrap();
        domain(root.path(), "intel-rapl:0", "package-0", "1", "10");
        // root ignores mode bits, so the refusal is put in by hand
        let denied: Read = |path| match path.ends_with("energy_uj") {
            true => Err(io::ErrorKind::PermissionDenied.into()),
            false => read(path),
        };
        let why = Rapl::open(root.path(), denied).err().unwrap().to_string();
        assert!(
            why.contains("permission denied") && why.contains("Linux 5.10"),
            "{why}"
        );
        let empty = tempfile::tempdir().unwrap();
        let why = Rapl::open(empty.path(), read).err().unwrap().to_string();
        assert!(why.contains("no /sys/class/powercap"), "{why}");
    }
}
