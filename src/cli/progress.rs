//! Progress on stderr: a live bar where somebody watches, nothing where nobody does.

use super::out::Out;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// A bar for `length` steps with rate and remaining time.
pub fn bar(out: &Out, length: u64, what: &'static str) -> ProgressBar {
    let target = if out.is_watched() {
        ProgressDrawTarget::stderr_with_hz(8)
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(length), target).with_message(what);
    let style = ProgressStyle::with_template(
        "{msg:>12} [{bar:30}] {human_pos}/{human_len}  {per_sec}, {eta} left",
    );
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    if out.is_watched() {
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
}
