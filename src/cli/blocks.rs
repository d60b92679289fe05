//! `blocks`: what a document can be written with.

use super::failure::{Exit, Failure, Result};
use super::out::{Out, grouped, table};
use crate::base::diag::nearest;
use crate::blocks::BlockInfo;
use crate::cost::{Scratch, Totals};
use crate::space::Assignment;
use serde_json::json;
use std::fmt::Write;

/// Lists the ops and blocks, or everything about one: parameters, shapes, source, an example.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One op or block.
    name: Option<String>,
}

pub fn run(args: &Args, out: &mut Out) -> Result {
    let all = crate::blocks::describe();
    match &args.name {
        None if out.is_json() => out.json(&json!({"nodes": all}))?,
        None => {
            // designs are what people come for
            let (blocks, ops): (Vec<_>, Vec<_>) = all.iter().partition(|n| n.kind == "block");
            let rows = blocks.into_iter().chain(ops);
            let rows = rows.map(|n| vec![n.name.to_owned(), n.kind.to_owned(), n.doc.to_owned()]);
            out.text(&table(&["name", "kind", "what it is"], &[0, 1, 2], rows))?;
            out.note("\n`blocksmith blocks NAME` shows parameters, source and an example.");
        }
        Some(name) => {
            let Some(node) = all.iter().find(|n| n.name == name.as_str()) else {
                let hint = nearest(name, all.iter().map(|n| n.name));
                let hint = match hint {
                    Some(name) => format!("did you mean \"{name}\"?"),
                    None => "`blocksmith blocks` lists them".to_owned(),
                };
                return Err(Failure::Usage(format!(
                    "no op or block is called \"{name}\"; {hint}"
                )));
            };
            if out.is_json() {
                out.json(&json!(node))?;
            } else {
                out.text(&page(node))?;
            }
        }
    }
    Ok(Exit::Ok)
}

/// Width of the text of a page.
const WIDTH: usize = 100;

/// The text in lines, all but the first indented.
fn folded(text: &str, indent: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let width = indent + line.chars().count() + 1 + word.chars().count();
            if !line.is_empty() && width > WIDTH {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines.join(&format!("\n{:indent$}", ""))
}

/// What the example costs on the input that examples are written for.
fn example_counts(node: &BlockInfo) -> Option<String> {
    let text = format!(
        r#"{{"format": "blocksmith/1", "input": [32, 16, 16], "net": [{}]}}"#,
        node.example
    );
    let (_, program) = crate::blocks::load(&text).ok()?;
    let graph = program
        .lower(&Assignment::empty(), crate::blocks::Names::Off)
        .ok()?;
    let totals = Totals::of(&graph, &mut Scratch::default()).ok()?;
    Some(format!(
        "on 32x16x16: {} parameters, {} multiply-adds, {} elements moved by convolutions",
        grouped(totals.params),
        grouped(totals.macs),
        grouped(totals.mem_access_elems)
    ))
}

/// Everything about one node.
fn page(node: &BlockInfo) -> String {
    let mut text = format!("{} ({})\n  {}\n", node.name, node.kind, folded(node.doc, 2));
    for (label, value) in [
        ("shapes", node.shapes),
        ("formula", node.formula),
        ("source", node.source),
        ("example", node.example),
    ] {
        if !value.is_empty() {
            let _ = writeln!(text, "  {label:<8} {}", folded(value, 11));
        }
    }
    if let Some(counts) = example_counts(node) {
        let _ = writeln!(text, "           {counts}");
    }
    if !node.params.is_empty() {
        let rows = node.params.iter().map(|p| {
            let default = if p.required {
                "required".to_owned()
            } else {
                p.default.to_string()
            };
            vec![
                format!("  {}", p.name),
                p.takes.clone(),
                default.replace("null", "-"),
                p.doc.to_owned(),
            ]
        });
        text.push('\n');
        text.push_str(&table(
            &["  parameter", "takes", "default", "what it is"],
            &[0, 1, 2, 3],
            rows,
        ));
    }
    if let Some(body) = node.declaration.and_then(body) {
        text.push_str("\n  declared as\n  ");
        text.push_str(&body.trim_end().replace('\n', "\n  "));
        text.push('\n');
    }
    text
}

/// What a declared block requires and is made of: the rest of its declaration has been told.
fn body(declaration: &str) -> Option<String> {
    let mut all: serde_json::Value = serde_json::from_str(declaration).ok()?;
    let all = all.as_object_mut()?;
    all.retain(|key, _| key == "require" || key == "body");
    Some(crate::space::pretty(&json!(all)))
}
