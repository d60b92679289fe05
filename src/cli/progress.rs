//! Progress on stderr: a live bar where somebody watches, nothing where nobody does.

use super::out::Out;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// A live line without anything on it yet.
pub fn line(out: &Out) -> ProgressBar {
    let target = if out.is_watched() {
        ProgressDrawTarget::stderr_with_hz(8)
    } else {
        ProgressDrawTarget::hidden()
    };
    let line = ProgressBar::with_draw_target(Some(1), target);
    if let Ok(style) = ProgressStyle::with_template("") {
        line.set_style(style);
    }
    if out.is_watched() {
        line.enable_steady_tick(Duration::from_millis(200));
    }
    line
}

/// A bar for `length` steps with rate and remaining time.
pub fn bar(out: &Out, length: u64, what: &'static str) -> ProgressBar {
    let bar = line(out).with_message(what);
    bar.set_length(length);
    let style = ProgressStyle::with_template(
        "{msg:>12} [{bar:30}] {human_pos}/{human_len}  {per_sec}, {eta} left",
    );
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}
