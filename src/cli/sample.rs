//! `sample`: distinct archs of a space.

use super::draws::distinct;
use super::failure::{Exit, Failure, Result};
use super::files::load;
use super::out::Out;
use super::progress::bar;
use crate::base::file::write_atomically;
use anyhow::Context;
use clap::builder::RangedU64ValueParser;
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;

/// Writes N distinct networks of a space, each as an arch that stands alone.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The space.
    space: PathBuf,
    /// How many.
    #[arg(short = 'n', value_name = "N", default_value_t = 1, value_parser = at_least_one())]
    count: usize,
    /// Seed of the draws: the same seed gives the same networks.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Folder for the archs; made if it is not there.
    #[arg(long)]
    out: PathBuf,
    /// Fixes a decision before drawing.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    sets: Vec<String>,
}

fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

pub fn run(args: &Args, out: &mut Out) -> Result {
    let loaded = load(&args.space, &args.sets)?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot make the folder {}", args.out.display()))?;
    let invalid = |d| Failure::invalid(&loaded.file, loaded.space.locate(d));
    let progress = bar(out, args.count as u64, "sampling");
    let width = args.count.saturating_sub(1).to_string().len().max(4);
    let mut written = Vec::new();
    distinct(
        &loaded,
        args.count,
        args.seed,
        out,
        |assignment, fingerprint| {
            let arch = loaded.space.bind(assignment).map_err(invalid)?;
            let path = args.out.join(format!(
                "{}_{:0width$}.json",
                file_name(loaded.space.name()),
                written.len()
            ));
            write_atomically(&path, |file| file.write_all(arch.to_text().as_bytes()))?;
            written.push(json!({
                "file": path.display().to_string(),
                "fingerprint": fingerprint,
                "assignment": loaded.space.assignment_to_json(assignment),
            }));
            progress.inc(1);
            Ok(())
        },
    )?;
    progress.finish_and_clear();
    let found = written.len();
    if out.is_json() {
        out.json(
            &json!({"space": loaded.file, "seed": args.seed, "count": found, "archs": written}),
        )?;
    } else {
        out.text(&format!("{found} archs in {}", args.out.display()))?;
    }
    Ok(Exit::Ok)
}

/// A space's name as the start of a file's name: a name may hold anything, a file must lie in the folder.
fn file_name(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let name: String = name
        .chars()
        .take(80)
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    if name.is_empty() {
        "net".to_owned()
    } else {
        name
    }
}
