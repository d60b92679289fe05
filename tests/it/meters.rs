//! Energy meters against fakes: a stub of NVML's library behind the real crate, a tree of files for RAPL and the Jetson.

use blocksmith::measure::meter::{METERS, Places, find};
use std::fs;

/// Each meter is in the list once and says why it is not there on an empty machine.
#[test]
fn what_is_not_there_is_told_by_name() {
    let root = tempfile::tempdir().unwrap();
    let places = |gpu| Places {
        root: root.path().to_owned(),
        nvml: Some(root.path().join("libno.so")),
        gpu,
    };
    for def in METERS.iter().filter(|d| d.name != "pmic") {
        let gpu = (!def.cpu).then_some(0);
        let why = find(&places(gpu), Some(def.name)).err().unwrap().0;
        assert!(
            why.starts_with(def.name) && why.len() > def.name.len() + 5,
            "{why}"
        );
    }
    let why = find(&places(None), None).err().unwrap().0;
    assert!(why.contains("rapl: ") && why.contains("pmic: "), "{why}");
    assert!(
        !why.contains("nvml"),
        "a GPU's counter says nothing of a CPU: {why}"
    );
}

#[test]
fn the_first_meter_that_is_there_is_taken() {
    let root = tempfile::tempdir().unwrap();
    let monitor = root
        .path()
        .join("sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3");
    fs::create_dir_all(&monitor).unwrap();
    for (file, text) in [
        ("in1_label", "VDD_IN"),
        ("in1_input", "5000"),
        ("curr1_input", "2000"),
    ] {
        fs::write(monitor.join(file), text).unwrap();
    }
    let places = Places {
        root: root.path().to_owned(),
        nvml: Some(root.path().join("libno.so")),
        gpu: Some(0),
    };
    // a Jetson's GPU has no NVML counter, but its board has rails
    let mut meter = find(&places, None).unwrap();
    assert_eq!(meter.name(), "ina3221:VDD_IN");
    let start = std::time::Instant::now();
    let mut joules = 0.0;
    while joules == 0.0 && start.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        joules = meter.read_uj().unwrap() as f64 * 1e-6;
    }
    // 10 W; the last reading may be a while old on a busy machine, but none is ahead of the clock
    let seconds = start.elapsed().as_secs_f64();
    assert!(
        joules > 0.0 && joules <= 10.0 * seconds + 0.5,
        "{joules} J in {seconds} s"
    );
}

/// The C side of a GPU: 150 W, millijoules that move every 100 ms, on a clock that a file holds in milliseconds.
#[cfg(all(feature = "nvml", unix))]
const STUB: &str = r#"
#include <stdio.h>
#include <stdlib.h>
static unsigned long long now(void) {
    FILE *f = fopen(CLOCK, "r");
    unsigned long long ms = 0;
    if (f) { if (fscanf(f, "%llu", &ms) != 1) ms = 0; fclose(f); }
    return ms;
}
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    if (index > 1) return 2;
    *device = (void *)(unsigned long)(index + 1);
    return 0;
}
#ifndef NO_COUNTER
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj) {
    if (device == (void *)2) return 3; /* not supported, as with MIG */
    *mj = now() / 100 * 100 * 150;
    return 0;
}
#endif
"#;

#[cfg(all(feature = "nvml", unix))]
fn stub(folder: &std::path::Path, name: &str, flags: &[&str]) -> Option<std::path::PathBuf> {
    let source = folder.join(format!("{name}.c"));
    fs::write(&source, STUB).unwrap();
    let library = folder.join(format!("lib{name}.so"));
    let clock = format!("-DCLOCK=\"{}\"", folder.join("clock").display());
    let built = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg(clock)
        .args(flags)
        .status();
    match built {
        Ok(status) if status.success() => Some(library),
        _ => {
            eprintln!("skipped: no C compiler for the stub of NVML");
            None
        }
    }
}

#[cfg(all(feature = "nvml", unix))]
#[test]
fn nvml_counts_through_the_real_crate() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = stub(folder.path(), "nvml", &[]) else {
        return;
    };
    let clock = |ms: u64| fs::write(folder.path().join("clock"), ms.to_string()).unwrap();
    let places = |gpu| Places {
        nvml: Some(library.clone()),
        gpu: Some(gpu),
        ..Places::default()
    };
    clock(1000);
    let mut meter = find(&places(0), Some("nvml")).unwrap();
    assert_eq!(meter.name(), "nvml");
    let start = meter.read_uj().unwrap();
    let mut after = |ms: u64| {
        clock(1000 + ms);
        (meter.read_uj().unwrap() - start) / 1000
    };
    // millijoules that the counter shows: nothing of 0.75 J, 30 J of 37.5 J, all of 150 J
    assert_eq!(after(5), 0);
    assert_eq!(after(250), 30_000);
    assert_eq!(after(1000), 150_000);
    let why = find(&places(1), Some("nvml")).err().unwrap().0;
    assert!(why.contains("no total energy counter"), "{why}");
    let why = find(&places(7), Some("nvml")).err().unwrap().0;
    assert!(why.contains("nvml: "), "{why}");
}

/// An old driver lacks the symbol: that is no meter, not a crash.
#[cfg(all(feature = "nvml", unix))]
#[test]
fn an_nvml_without_the_counter_is_no_meter() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = stub(folder.path(), "old", &["-DNO_COUNTER"]) else {
        return;
    };
    let places = Places {
        nvml: Some(library),
        gpu: Some(0),
        ..Places::default()
    };
    let why = find(&places, Some("nvml")).err().unwrap().0;
    assert!(why.contains("no total energy counter"), "{why}");
}
