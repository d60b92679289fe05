//! `blocks`: what a document can be written with.

use super::failure::{Exit, Failure, Result};
use super::out::{Out, table};
use crate::base::diag::nearest;
use crate::blocks::BlockInfo;
use serde_json::json;

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
            let rows = all
                .iter()
                .map(|n| vec![n.name.to_owned(), n.kind.to_owned(), n.doc.to_owned()]);
            out.text(&table(&["name", "kind", "what it is"], &[0, 1, 2], rows))?;
            out.note("\n`blocksmith blocks NAME` shows parameters, source and an example.");
        }
        Some(name) => {
            let Some(node) = all.iter().find(|n| n.name == name.as_str()) else {
                let hint = nearest(name, all.iter().map(|n| n.name));
                let hint = hint.map_or_else(String::new, |h| format!("; did you mean \"{h}\"?"));
                return Err(Failure::Usage(format!(
                    "no op or block is called \"{name}\"{hint}"
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

/// Everything about one node.
fn page(node: &BlockInfo) -> String {
    let mut text = format!("{} ({})\n  {}\n", node.name, node.kind, node.doc);
    for (label, value) in [
        ("shapes", node.shapes),
        ("formula", node.formula),
        ("source", node.source),
        ("example", node.example),
    ] {
        if !value.is_empty() {
            text.push_str(&format!(
                "  {label:<8} {}\n",
                value.replace('\n', "\n           ")
            ));
        }
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
