//! What the process takes of the machine's memory.

/// The most bytes that were resident at once so far; `None` where the system does not tell (it does on Linux).
pub fn peak_bytes() -> Option<u64> {
    peak_of(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// From the lines of `/proc/PID/status`: `VmHWM:      1234 kB`.
fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kilobytes = line.trim().strip_suffix("kB")?.trim_end();
    kilobytes.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_and_grows_with_what_is_touched() {
        let status = "Name:\tx\nVmPeak:\t  900 kB\nVmHWM:\t     512 kB\nVmRSS:\t 100 kB\n";
        assert_eq!(peak_of(status), Some(512 * 1024));
        assert_eq!(peak_of("VmHWM:\t many\n"), None);
        assert_eq!(peak_of(""), None);
        if cfg!(target_os = "linux") {
            let before = peak_bytes().unwrap();
            // kept from being optimised away
            let much = std::hint::black_box(vec![1u8; 256 << 20]);
            let after = peak_bytes().unwrap();
            assert!(after >= 256 << 20 && after >= before, "{before} {after}");
            drop(much);
        }
    }
}
