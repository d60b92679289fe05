//! The power chip of the Raspberry Pi 5, through `vcgencmd pmic_read_adc`.
//!
//! The sum of volts times amperes over the rails that tell both. The 5 V input tells its voltage only, so conversion
//! losses, USB and add-on boards are not in it. Older boards have no such chip.

use super::polled::{Polled, PowerSource};
use super::{Absent, MeterDef, MeterError};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

pub(super) static PMIC: MeterDef = MeterDef {
    name: "pmic",
    cpu: true,
    gpu: false,
    open: |_| {
        let rails = power(&ask()?).map_err(Absent)?;
        // each call starts a process and takes some milliseconds
        let source = Pmic { rails: rails.1 };
        Ok(Box::new(Polled::start(source, Duration::from_millis(100))))
    },
};

struct Pmic {
    rails: usize,
}

fn ask() -> Result<String, Absent> {
    let output = Command::new("vcgencmd").arg("pmic_read_adc").output();
    let output = output.map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Absent("no vcgencmd on PATH".to_owned()),
        _ => Absent(format!("cannot start vcgencmd: {e}")),
    })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() || text.contains("error=") {
        let said = text.trim();
        return Err(Absent(format!(
            "vcgencmd pmic_read_adc failed: {said} (only the Raspberry Pi 5 has it)"
        )));
    }
    Ok(text)
}

/// Watts, and the number of rails that they are the sum of. Lines read `VDD_CORE_A current(7)=1.5A`, in older firmware
/// `VDD_CORE current=1.5 A`, and likewise with `volt` and `V`.
fn power(text: &str) -> Result<(f64, usize), String> {
    let mut rails: BTreeMap<&str, [Option<f64>; 2]> = BTreeMap::new();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let unknown = || format!("cannot read this line of pmic_read_adc: {}", line.trim());
        let (left, value) = line.split_once('=').ok_or_else(unknown)?;
        let (name, quantity) = left
            .trim()
            .split_once(char::is_whitespace)
            .ok_or_else(unknown)?;
        let at = match quantity.trim() {
            q if q.starts_with("current") => 0,
            q if q.starts_with("volt") => 1,
            _ => return Err(unknown()),
        };
        let suffix = ["_A", "_V"][at];
        let rail = name.strip_suffix(suffix).unwrap_or(name);
        let number = value.trim().trim_end_matches(['A', 'V']).trim();
        let number: f64 = number.parse().map_err(|_| unknown())?;
        rails.entry(rail).or_default()[at] = Some(number);
    }
    let both = |[a, v]: &[Option<f64>; 2]| Some((*a)? * (*v)?);
    let powers: Vec<f64> = rails.values().filter_map(both).collect();
    match powers.is_empty() {
        true => Err("pmic_read_adc has no rail with both current and voltage".to_owned()),
        false => Ok((powers.iter().sum(), powers.len())),
    }
}

impl PowerSource for Pmic {
    fn name(&self) -> String {
        format!("pmic:{} rails", self.rails)
    }

    fn read_w(&mut self) -> Result<f64, MeterError> {
        let text = ask().map_err(|e| MeterError::Read(e.0))?;
        power(&text).map(|p| p.0).map_err(MeterError::Read)
    }
}

#[cfg(test)]
mod tests {
    use super::power;

    #[test]
    fn both_formats_give_the_same_power() {
        let new = " 3V3_SYS_A current(1)=0.10000000A\n VDD_CORE_A current(7)=2.00000000A\n 3V3_SYS_V volt(9)=3.30000000V\n VDD_CORE_V volt(15)=0.80000000V\n EXT5V_V volt(24)=5.15000000V\n BATT_V volt(25)=0.00000000V\n";
        let old = "3V3_SYS current=0.1 A\nVDD_CORE current=2.0 A\n3V3_SYS volt=3.3 V\nVDD_CORE volt=0.8 V\nEXT5V volt=5.15 V\n";
        for text in [new, old] {
            let (power_w, rails) = power(text).unwrap();
            // 0.1 A at 3.3 V and 2 A at 0.8 V; the input has no current
            assert!((power_w - 1.93).abs() < 1e-12, "{power_w}");
            assert_eq!(rails, 2);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(power("VDD_CORE_A current(7)=oops\n").is_err());
        assert!(
            power("EXT5V_V volt(24)=5.1V\n")
                .unwrap_err()
                .contains("both")
        );
    }
}
