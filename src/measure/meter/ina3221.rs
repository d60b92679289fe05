//! INA3221 of NVIDIA Jetson boards: current and voltage of up to three rails a chip, in hwmon files.
//!
//! Rail names differ from board to board and hwmon numbers from boot to boot, so rails are found by their labels. A board
//! that labels its input (`VDD_IN`, `POM_5V_IN`) is measured there; on others the labelled rails are added up, and the
//! meter's name says which.

use super::polled::{Polled, PowerSource};
use super::{Absent, MeterDef, MeterError};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) static INA3221: MeterDef = MeterDef {
    name: "ina3221",
    cpu: true,
    gpu: true,
    open: |places| {
        let rails = Rails::open(&places.root)?;
        Ok(Box::new(Polled::start(rails, Duration::from_millis(10))))
    },
};

/// Labels of the rail that feeds the whole module.
const INPUTS: [&str; 3] = ["VDD_IN", "POM_5V_IN", "VIN"];

struct Rails(Vec<Rail>);

struct Rail {
    label: String,
    millivolts: PathBuf,
    milliamperes: PathBuf,
}

impl Rails {
    fn open(root: &Path) -> Result<Self, Absent> {
        let drivers = root.join("sys/bus/i2c/drivers");
        let mut rails = Vec::new();
        let mut chips = 0;
        for driver in folders(&drivers, "ina3221") {
            for chip in folders(&driver, "") {
                for monitor in folders(&chip.join("hwmon"), "hwmon") {
                    chips += 1;
                    rails.extend((1..=3).filter_map(|n| rail(&monitor, n)));
                }
            }
        }
        if rails.is_empty() {
            return Err(Absent(match chips {
                0 => "no INA3221 below /sys/bus/i2c/drivers".to_owned(),
                _ => "the INA3221 has no labelled rail with voltage and current".to_owned(),
            }));
        }
        if let Some(at) = rails
            .iter()
            .position(|r| INPUTS.contains(&r.label.as_str()))
        {
            rails = vec![rails.swap_remove(at)];
        }
        rails.sort_by(|a, b| a.label.cmp(&b.label));
        Ok(Self(rails))
    }
}

/// Folders inside `folder` whose names start with `prefix`, in order.
fn folders(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|e| e.file_name().to_string_lossy().starts_with(prefix))
        .map(|e| e.path())
        .filter(|p| p.is_dir())
        .collect();
    found.sort();
    found
}

fn rail(monitor: &Path, n: u32) -> Option<Rail> {
    let label = std::fs::read_to_string(monitor.join(format!("in{n}_label"))).ok()?;
    let label = label.trim().to_owned();
    let rail = Rail {
        millivolts: monitor.join(format!("in{n}_input")),
        milliamperes: monitor.join(format!("curr{n}_input")),
        label,
    };
    let wired =
        !rail.label.is_empty() && rail.label != "NC" && rail.label != "sum of shunt voltages";
    (wired && rail.millivolts.is_file() && rail.milliamperes.is_file()).then_some(rail)
}

impl PowerSource for Rails {
    fn name(&self) -> String {
        let labels: Vec<&str> = self.0.iter().map(|r| r.label.as_str()).collect();
        format!("ina3221:{}", labels.join("+"))
    }

    fn read_w(&mut self) -> Result<f64, MeterError> {
        let read = |path: &Path| -> Result<f64, MeterError> {
            let failed = |why: String| MeterError::Read(format!("{}: {why}", path.display()));
            let text = std::fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
            text.trim()
                .parse()
                .map_err(|_| failed("no number".to_owned()))
        };
        let mut power_w = 0.0;
        for rail in &self.0 {
            power_w += read(&rail.millivolts)? * 1e-3 * read(&rail.milliamperes)? * 1e-3;
        }
        Ok(power_w)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn board(root: &Path, driver: &str, number: u32, rails: &[(&str, &str, &str)]) {
        let monitor = root.join(format!(
            "sys/bus/i2c/drivers/{driver}/1-0040/hwmon/hwmon{number}"
        ));
        fs::create_dir_all(&monitor).unwrap();
        for (n, (label, mv, ma)) in (1..).zip(rails) {
            fs::write(monitor.join(format!("in{n}_label")), format!("{label}\n")).unwrap();
            fs::write(monitor.join(format!("in{n}_input")), mv).unwrap();
            fs::write(monitor.join(format!("curr{n}_input")), ma).unwrap();
        }
    }

    #[test]
    fn the_input_rail_is_the_whole_board() {
        let root = tempfile::tempdir().unwrap();
        let rails = [
            ("VDD_CPU_GPU_CV", "4900", "800"),
            ("VDD_IN", "5000\n", "1400\n"),
            ("VDD_SOC", "4900", "300"),
        ];
        board(root.path(), "ina3221", 7, &rails);
        let mut found = Rails::open(root.path()).unwrap();
        assert_eq!(found.name(), "ina3221:VDD_IN");
        assert!((found.read_w().unwrap() - 7.0).abs() < 1e-12);
    }

    #[test]
    fn without_one_the_rails_add_up_under_an_old_driver_name() {
        let root = tempfile::tempdir().unwrap();
        let rails = [
            ("VIN_SYS_5V0", "5000", "1000"),
            ("NC", "0", "9"),
            ("VDD_GPU_SOC", "12000", "500"),
        ];
        board(root.path(), "ina3221x", 0, &rails);
        let mut found = Rails::open(root.path()).unwrap();
        assert_eq!(found.name(), "ina3221:VDD_GPU_SOC+VIN_SYS_5V0");
        assert!((found.read_w().unwrap() - 11.0).abs() < 1e-12);
    }

    #[test]
    fn no_label_no_meter() {
        let root = tempfile::tempdir().unwrap();
        let why = |root: &Path| Rails::open(root).err().unwrap().to_string();
        assert!(why(root.path()).contains("no INA3221"));
        let monitor = root
            .path()
            .join("sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1");
        fs::create_dir_all(&monitor).unwrap();
        fs::write(monitor.join("in1_input"), "5000").unwrap();
        fs::write(monitor.join("curr1_input"), "100").unwrap();
        assert!(why(root.path()).contains("no labelled rail"));
    }
}
