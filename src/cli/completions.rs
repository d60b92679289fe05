//! `completions`: scripts for shells.

use super::failure::{Exit, Result};
use super::out::Out;
use clap::CommandFactory;
use serde_json::json;

/// Prints a completion script for a shell.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

pub fn run(args: &Args, out: &mut Out) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut super::Cli::command(),
        "blocksmith",
        &mut script,
    );
    let script = String::from_utf8_lossy(&script);
    if out.is_json() {
        out.json(&json!({"shell": args.shell.to_string(), "script": script}))?;
    } else {
        out.text(&script)?;
    }
    Ok(Exit::Ok)
}
