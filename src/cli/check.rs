//! `check`: validates documents.

use super::failure::{self, Exit, Failure, Result};
use super::files::{load_net, read_text};
use super::out::Out;
use super::weights;
use crate::base::diag::Diagnostics;
use crate::base::rng::stream;
use crate::blocks::{Names, Program};
use crate::space::{Assignment, Space};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Validates spaces and archs; prints all problems with JSON path, line, column and a way out.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Spaces or archs.
    #[arg(required_unless_present = "schema")]
    files: Vec<PathBuf>,
    /// Also: whether this safetensors file holds the weights of the one net FILE, by names, order, shapes and kinds of
    /// numbers. The numbers are not read.
    #[arg(long, value_name = "W.safetensors")]
    weights: Option<PathBuf>,
    /// Names in the weights file: JSON `{our name: name in the file}` or with patterns (docs/weights.md); or the name
    /// of a map shipped with FILE, such as `torchvision`, `timm` or `pytorchcv`.
    #[arg(long, value_name = "MAP.json|NAME", requires = "weights")]
    map: Option<String>,
    /// Fixes a decision of a space, for --weights.
    #[arg(long = "set", value_name = "NAME=VALUE", requires = "weights")]
    sets: Vec<String>,
    /// Prints the JSON Schema of the language instead, for editors ("$schema").
    #[arg(long, conflicts_with = "files")]
    schema: bool,
}

pub fn run(args: &Args, out: &mut Out) -> Result {
    if args.schema {
        out.json(&crate::blocks::schema())?;
        return Ok(Exit::Ok);
    }
    if let Some(file) = &args.weights {
        return check_weights(args, file, out);
    }
    let (mut bad, mut unread) = (Vec::new(), Vec::new());
    let mut reports: Vec<Value> = Vec::new();
    let mut lines = Vec::new();
    for path in &args.files {
        let file = path.display().to_string();
        let outcome = match read_text(path) {
            Ok(text) => summary(&text),
            Err(Failure::Invalid(files)) => {
                Err(files.into_iter().map(|f| f.1).next().unwrap_or_default())
            }
            Err(other) => {
                unread.push(other.text());
                reports.push(
                    json!({"file": file, "ok": false, "message": other.message(), "diagnostics": []}),
                );
                continue;
            }
        };
        match outcome {
            Ok((line, mut report)) => {
                lines.push(format!("{file}: ok, {line}"));
                report["file"] = json!(file);
                reports.push(report);
            }
            Err(problems) => {
                reports.push(failure::file_json(&file, &problems));
                bad.push((file, problems));
            }
        }
    }
    if out.is_json() {
        out.json(&json!({"ok": bad.is_empty() && unread.is_empty(), "files": reports}))?;
    } else {
        out.text(&lines.join("\n"))?;
        for (file, problems) in &bad {
            out.error(&problems.render(Some(file)));
            out.error("");
        }
        for text in &unread {
            out.error(text);
        }
        let count: usize = bad.iter().map(|(_, d)| d.len()).sum();
        if count > 0 {
            out.error(&format!(
                "{count} problem{} in {} of {} files",
                if count == 1 { "" } else { "s" },
                bad.len(),
                args.files.len()
            ));
        }
    }
    Ok(match (bad.is_empty(), unread.is_empty()) {
        (true, true) => Exit::Ok,
        (true, false) => Exit::Failure,
        (false, _) => Exit::Invalid,
    })
}

/// One net and its weights.
fn check_weights(args: &Args, file: &Path, out: &mut Out) -> Result {
    let [net] = args.files.as_slice() else {
        let text = format!("--weights belongs to one FILE, not to {}", args.files.len());
        return Err(Failure::Usage(text));
    };
    let (loaded, graph) = load_net(net, &args.sets)?;
    let map = weights::read_map(net, args.map.as_deref())?;
    let (header, fit) = weights::fit(&graph, net, file, map.as_ref())?;
    let (taken, ignored) = (fit.sources.len(), fit.ignored);
    let reshaped = fit.sources.iter().filter(|s| s.reshape).count();
    let shown = file.display().to_string();
    if out.is_json() {
        let map = map.map(|m| m.0);
        out.json(&json!({"ok": true, "files": [{
            "file": loaded.file, "ok": true, "diagnostics": [], "kind": "net", "name": loaded.space.name(),
            "nodes": graph.nodes().len(),
            "weights": {
                "file": shown, "map": map, "tensors": header.len(), "taken": taken, "reshaped": reshaped,
                "ignored": ignored,
            },
        }]}))?;
        return Ok(Exit::Ok);
    }
    let also = match (reshaped, ignored) {
        (0, 0) => String::new(),
        (0, n) => format!(", {n} ignored"),
        (r, n) => format!(", {r} of them reshaped, {n} ignored"),
    };
    out.text(&format!(
        "{}: ok, \"{}\" takes {taken} tensors of {shown}{also}",
        loaded.file,
        loaded.space.name()
    ))?;
    Ok(Exit::Ok)
}

/// Draws of a space that are built.
const TRIED: u64 = 100;

/// What a good document is, or its problems. Networks are built as well, an arch itself and of a space some draws: shapes
/// that do not fit are a problem of the document too.
fn summary(text: &str) -> std::result::Result<(String, Value), Diagnostics> {
    let (space, program) = crate::blocks::load(text)?;
    let decisions = space.decisions().len();
    let name = space.name();
    if decisions == 0 {
        let graph = program
            .lower(&Assignment::empty(), Names::On)
            .map_err(|d| space.locate(d))?;
        let nodes = graph.nodes().len();
        let report =
            json!({"ok": true, "diagnostics": [], "kind": "arch", "name": name, "nodes": nodes});
        return Ok((format!("arch \"{name}\" with {nodes} nodes"), report));
    }
    let (built, first_problem) = try_draws(&space, &program)?;
    let size = space.size();
    let bound = if size.exact { "" } else { "at most " };
    let count = if size.count < 1e6 {
        format!("{}", size.count)
    } else {
        format!("{:.2e}", size.count)
    };
    let plural = if decisions == 1 { "" } else { "s" };
    let mut line =
        format!("space \"{name}\" with {decisions} decision{plural}, {bound}{count} assignments");
    let mut diagnostics = Value::Array(Vec::new());
    if let Some(problems) = first_problem {
        line.push_str(&format!(
            "\n  warning: {} of {TRIED} draws cannot be built, for example\n  {}",
            TRIED - built,
            problems.render(None).replace('\n', "\n  "),
        ));
        diagnostics = failure::file_json("", &problems)["diagnostics"].take();
    }
    let report = json!({
        "ok": true, "diagnostics": diagnostics, "kind": "space", "name": name, "decisions": decisions,
        "size": size.count, "size_is_exact": size.exact, "draws": TRIED, "draws_built": built,
    });
    Ok((line, report))
}

/// How many of some draws can be built, and what is wrong with the first that cannot.
fn try_draws(
    space: &Space,
    program: &Program,
) -> std::result::Result<(u64, Option<Diagnostics>), Diagnostics> {
    let (mut built, mut first_problem) = (0, None);
    for draw in 0..TRIED {
        let sampled = space.sample(&mut stream(0, "check", draw));
        let assignment = sampled.map_err(|e| space.locate(e.diagnostic().clone().into()))?;
        match program.lower(&assignment, Names::Off) {
            Ok(_) => built += 1,
            Err(problems) => first_problem = first_problem.or(Some(space.locate(problems))),
        }
    }
    match first_problem {
        Some(problems) if built == 0 => Err(problems),
        problem => Ok((built, problem)),
    }
}
