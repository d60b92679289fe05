//! What has to be settled before libtorch is loaded: how OpenMP's threads wait, and on which processors they run.
//!
//! libtorch is loaded with the program, and its OpenMP reads the environment then. So the program starts itself again
//! with the right environment, in the same process.

use super::Args;
use crate::cli::failure::{Failure, Result};
use crate::measure::host::{Sensors, pin};
use std::ffi::OsString;

/// Marks the second start.
const MARK: &str = "BLOCKSMITH_MEASURING";

/// The environment of `spin` turns before a waiting thread sleeps; `None` leaves everything to OpenMP.
fn environment(spin: Option<u64>, threads: u32) -> Vec<(&'static str, String)> {
    let mut set = vec![
        ("OMP_NUM_THREADS", threads.to_string()),
        ("OMP_DYNAMIC", "FALSE".to_owned()),
    ];
    if let Some(turns) = spin {
        // GNU's and LLVM's OpenMP; the latter counts in milliseconds
        set.push(("GOMP_SPINCOUNT", turns.to_string()));
        set.push((
            "KMP_BLOCKTIME",
            if turns == 0 { "0" } else { "1" }.to_owned(),
        ));
        if turns == 0 {
            set.push(("OMP_WAIT_POLICY", "PASSIVE".to_owned()));
        }
    }
    set
}

/// Turns before a waiting thread sleeps; `None` is OpenMP's own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spin(pub Option<u64>);

/// `default`, or a number of turns.
pub fn parse_spin(text: &str) -> std::result::Result<Spin, String> {
    match text {
        "default" => Ok(Spin(None)),
        _ => text
            .parse()
            .map(|turns| Spin(Some(turns)))
            .map_err(|_| "expected a number of turns, or `default`".to_owned()),
    }
}

/// Processors of `0,2-3`.
pub fn parse_cpus(text: &str) -> std::result::Result<Vec<usize>, String> {
    let number = |t: &str| t.trim().parse::<usize>().ok().filter(|n| *n < 4096);
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let range = part.split_once('-').unwrap_or((part, part));
        match (number(range.0), number(range.1)) {
            (Some(from), Some(to)) if from <= to => cpus.extend(from..=to),
            _ => return Err(format!("\"{part}\" is no processor and no range of them")),
        }
    }
    Ok(cpus)
}

/// The processors to keep to; empty for all.
pub fn cpus(args: &Args, sensors: &Sensors) -> Result<Vec<usize>> {
    match args.affinity.as_str() {
        "none" => Ok(Vec::new()),
        "auto" => Ok(sensors.fastest_cpus(args.threads)),
        list => parse_cpus(list).map_err(|e| Failure::Usage(format!("--affinity: {e}"))),
    }
}

/// Settles affinity and environment, and starts the program again where the environment is not as it must be. Returns in
/// the process that measures; gives a remark where the program could not be started again. Only libtorch's threads are
/// OpenMP's.
pub fn settle(args: &Args, cpus: &[usize]) -> Result<Option<String>> {
    if !cpus.is_empty() {
        pin(cpus).map_err(|e| Failure::Usage(format!("--affinity: {e}")))?;
    }
    if args.runtime != "torch" {
        return Ok(None);
    }
    let wanted = environment(args.spin.0, args.threads);
    let fits = |(name, value): &(&str, String)| std::env::var(name).as_deref() == Ok(value);
    if wanted.iter().all(fits) {
        return Ok(None);
    }
    if std::env::var_os(MARK).is_some() {
        return Ok(Some(
            "note: the environment of OpenMP could not be set".to_owned(),
        ));
    }
    let again = again(&wanted);
    Ok(Some(format!(
        "note: cannot start anew with the environment of OpenMP set ({again}); waiting threads may spin"
    )))
}

#[cfg(unix)]
fn again(wanted: &[(&'static str, String)]) -> std::io::Error {
    use std::os::unix::process::CommandExt;
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    std::process::Command::new(program)
        .args(args)
        .envs(wanted.iter().map(|(name, value)| (name, value)))
        .env(MARK, "1")
        .exec()
}

#[cfg(not(unix))]
fn again(_: &[(&'static str, String)]) -> std::io::Error {
    std::io::ErrorKind::Unsupported.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_by_list_and_range() {
        assert_eq!(parse_cpus("0,2-4"), Ok(vec![0, 2, 3, 4]));
        for wrong in ["", "a", "3-1", "1-", "99999"] {
            assert!(parse_cpus(wrong).is_err(), "{wrong}");
        }
    }
}
