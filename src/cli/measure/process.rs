//! What has to be settled before libtorch is loaded: how OpenMP's threads wait, and on which processors they run.
//!
//! libtorch is loaded with the program, and its OpenMP reads the environment then. So the program starts itself again
//! with the right environment, in the same process.

use super::Args;
use crate::cli::failure::{Failure, Result};
use crate::measure::host::{Sensors, pin};
use std::ffi::OsString;
use std::path::Path;

/// Marks the second start, and says how threads wait there.
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

/// Turns before a waiting thread sleeps, where the machine has no processor to spare: enough for the next operation to
/// find its threads awake more often than not, too few to take the processor from whoever has work.
const SPARING: u64 = 10_000;

/// How waiting threads wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spin {
    /// As the load of the machine asks for.
    Auto,
    /// Turns before a waiting thread sleeps; `None` is OpenMP's own number.
    Turns(Option<u64>),
}

/// `auto`, `default`, or a number of turns.
pub fn parse_spin(text: &str) -> std::result::Result<Spin, String> {
    match text {
        "auto" => Ok(Spin::Auto),
        "default" => Ok(Spin::Turns(None)),
        _ => text
            .parse()
            .map(|turns| Spin::Turns(Some(turns)))
            .map_err(|_| "expected a number of turns, `default` or `auto`".to_owned()),
    }
}

/// The turns of a run. What the first start of this program settled holds after the second, what a journal says holds for
/// the run that goes on with it; else OpenMP's own number where there is a processor for each thread beside what else runs.
pub fn turns(args: &Args, sensors: &Sensors, journal: &Path) -> Option<u64> {
    if let Spin::Turns(turns) = args.spin {
        return turns;
    }
    let settled = std::env::var(MARK).ok();
    let told = || args.resume.then(|| told_by(journal)).flatten();
    let earlier = settled.or_else(told).and_then(|t| parse_spin(&t).ok());
    if let Some(Spin::Turns(turns)) = earlier {
        return turns;
    }
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get());
    match sensors.moment().load_1m {
        Some(load) => spared(load, cpus, args.threads),
        None => Some(SPARING),
    }
}

/// OpenMP's own number where `threads` find processors of their own.
fn spared(load: f64, cpus: usize, threads: u32) -> Option<u64> {
    let free = cpus as f64 - load;
    // half a processor of load is the shell, the system and what ended a minute ago
    (free + 0.5 < f64::from(threads)).then_some(SPARING)
}

/// What the header of a journal says of it.
fn told_by(journal: &Path) -> Option<String> {
    let text = std::fs::read_to_string(journal).ok()?;
    let header: serde_json::Value = serde_json::from_str(text.lines().next()?).ok()?;
    header.get("spin")?.as_str().map(str::to_owned)
}

/// The word for it in rows.
pub fn word(turns: Option<u64>) -> String {
    turns.map_or("default".to_owned(), |turns| turns.to_string())
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
pub fn settle(args: &Args, cpus: &[usize], turns: Option<u64>) -> Result<Option<String>> {
    if !cpus.is_empty() {
        pin(cpus).map_err(|e| Failure::Usage(format!("--affinity: {e}")))?;
    }
    if args.runtime != "torch" {
        return Ok(None);
    }
    let wanted = environment(turns, args.threads);
    let fits = |(name, value): &(&str, String)| std::env::var(name).as_deref() == Ok(value);
    if wanted.iter().all(fits) {
        return Ok(None);
    }
    if std::env::var_os(MARK).is_some() {
        return Ok(Some(
            "note: the environment of OpenMP could not be set".to_owned(),
        ));
    }
    let again = again(&wanted, turns);
    Ok(Some(format!(
        "note: cannot start anew with the environment of OpenMP set ({again}); waiting threads may spin"
    )))
}

#[cfg(unix)]
fn again(wanted: &[(&'static str, String)], turns: Option<u64>) -> std::io::Error {
    use std::os::unix::process::CommandExt;
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    std::process::Command::new(program)
        .args(args)
        .envs(wanted.iter().map(|(name, value)| (name, value)))
        .env(MARK, word(turns))
        .exec()
}

#[cfg(not(unix))]
fn again(_: &[(&'static str, String)], _: Option<u64>) -> std::io::Error {
    std::io::ErrorKind::Unsupported.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_spin_where_each_has_a_processor() {
        // two threads on eight processors of which three are taken, on four of which three are, on an idle pair
        assert_eq!(spared(3.1, 8, 2), None);
        assert_eq!(spared(3.0, 4, 2), Some(SPARING));
        assert_eq!(spared(0.4, 2, 2), None);
        assert_eq!(spared(1.1, 2, 2), Some(SPARING));
        assert_eq!(parse_spin("auto"), Ok(Spin::Auto));
        assert_eq!(parse_spin(&word(None)), Ok(Spin::Turns(None)));
        assert_eq!(parse_spin(&word(Some(7))), Ok(Spin::Turns(Some(7))));
        assert!(parse_spin("often").is_err());
    }

    /// The header of a run that began on a quiet machine holds for the run that goes on with it.
    #[test]
    fn a_journal_tells_how_threads_waited() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        assert_eq!(told_by(&path), None);
        std::fs::write(&path, "{\"seq\":0,\"spin\":\"default\",\"crc\":\"0\"}\n{").unwrap();
        assert_eq!(told_by(&path).as_deref(), Some("default"));
    }

    #[test]
    fn processors_by_list_and_range() {
        assert_eq!(parse_cpus("0,2-4"), Ok(vec![0, 2, 3, 4]));
        for wrong in ["", "a", "3-1", "1-", "99999"] {
            assert!(parse_cpus(wrong).is_err(), "{wrong}");
        }
    }
}
