//! `--fork`: what the evaluator told in another run.

use super::Args;
use crate::cli::failure::{Failure, Result};
use crate::cli::out::{Out, grouped};
use crate::search::folder::Folder;
use crate::search::known::Known;
use crate::search::metric::Metric;
use crate::space::Space;

/// What the run in `folder` starts from, or started from when it began. `asked` are the evaluator's metrics.
pub fn known(
    args: &Args,
    folder: &Folder,
    space: &Space,
    asked: &[Metric],
    out: &Out,
) -> Result<Option<Known>> {
    let (path, begun) = (folder.known(), folder.journal().exists());
    if begun && path.exists() {
        // the run has its own copy; whether it may go on is for its journal to say
        return Ok(match args.resume {
            true => Some(Known::read(&path, space, asked)?),
            false => None,
        });
    }
    let Some(old) = &args.fork else {
        return Ok(None);
    };
    if begun {
        return Err(Failure::Usage(format!(
            "the run in {} has begun without --fork: give the new one another folder",
            args.out.display()
        )));
    }
    if asked.is_empty() {
        out.note("nothing is carried over: without an evaluator all is predicted anew");
        return Ok(None);
    }
    let known = Known::gather(old, space, asked)?;
    let count = grouped(known.len() as u64);
    out.note(&format!(
        "{count} answers carried over from {}",
        old.display()
    ));
    known.write(&path, space)?;
    Ok(Some(known))
}
