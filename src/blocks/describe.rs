//! The lists of ops and blocks for people: data for the command line, Markdown for the documentation, a JSON Schema for
//! editors.

use super::check::takes;
use super::library;
use super::registry::{self, BlockDef, OPS};
use crate::space::signature::{Literal, NodeKind, ParamDef, Signature};
use serde::Serialize;
use std::fmt::Write;

/// What a block or an op is, as text.
#[derive(Clone, Debug, Serialize)]
pub struct BlockInfo {
    /// The word after `op` or `block`.
    pub name: &'static str,
    /// `op` or `block`.
    pub kind: &'static str,
    /// What it is, in one line.
    pub doc: &'static str,
    /// Input and result.
    pub shapes: &'static str,
    /// What it computes.
    pub formula: &'static str,
    /// Paper, reference code, deviations.
    pub source: &'static str,
    /// Its parameters.
    pub params: Vec<ParamInfo>,
    /// A node of it, as JSON.
    pub example: &'static str,
    /// How a document would declare it, where it is written in the language itself.
    pub declaration: Option<&'static str>,
}

/// What a parameter is, as text.
#[derive(Clone, Debug, Serialize)]
pub struct ParamInfo {
    /// The key in the JSON.
    pub name: &'static str,
    /// Which values it takes, in words.
    pub takes: String,
    /// Whether it must be given.
    pub required: bool,
    /// The value of a node without it, as JSON; `null` where there is none.
    pub default: serde_json::Value,
    /// What it is, in one line.
    pub doc: &'static str,
}

/// All ops, then all blocks.
pub fn describe() -> Vec<BlockInfo> {
    let blocks = registry::list(NodeKind::Block);
    OPS.iter().chain(blocks).map(|def| info(def)).collect()
}

fn info(def: &BlockDef) -> BlockInfo {
    BlockInfo {
        name: def.name,
        kind: match def.kind {
            NodeKind::Op => "op",
            NodeKind::Block => "block",
        },
        doc: def.doc,
        shapes: def.shapes,
        formula: def.formula,
        source: def.source,
        params: def.params.iter().map(param_info).collect(),
        example: def.example,
        declaration: match def.kind {
            NodeKind::Op => None,
            NodeKind::Block => library::text(def.name),
        },
    }
}

fn param_info(param: &ParamDef) -> ParamInfo {
    ParamInfo {
        name: param.name,
        takes: takes(param.kind),
        required: param.required,
        default: match param.default {
            None => serde_json::Value::Null,
            Some(Literal::Int(x)) => x.into(),
            Some(Literal::Real(x)) => x.into(),
            Some(Literal::Bool(x)) => x.into(),
            Some(Literal::Word(x) | Literal::Expr(x)) => x.into(),
        },
        doc: param.doc,
    }
}

/// The reference of all blocks, `docs/blocks.md`, or of all ops, `docs/ops.md`.
pub fn markdown(kind: NodeKind) -> String {
    let mut text = match kind {
        NodeKind::Block => {
            "# Blocks\n\nWritten from the lists in `src/blocks/`; a test holds it current. \
                            [Ops](ops.md) stand apart; \
                            [adding a block](adding_a_block.md) is a page of its own.\n"
        }
        NodeKind::Op => {
            "# Ops\n\nWritten from the list in `src/blocks/`; a test holds it current. \
                         [Blocks](blocks.md) stand apart.\n"
        }
    }
    .to_owned();
    text.push_str("\n| | |\n|---|---|\n");
    for def in registry::list(kind) {
        let doc = def.doc.replace('|', "\\|");
        let _ = writeln!(text, "| [`{0}`](#{0}) | {doc} |", def.name);
    }
    for def in registry::list(kind) {
        section(&mut text, &info(def));
    }
    text
}

fn section(text: &mut String, info: &BlockInfo) {
    let _ = write!(text, "\n## {}\n\n{}\n\n", info.name, info.doc);
    let _ = writeln!(text, "- Shapes: `{}`", info.shapes);
    if !info.formula.is_empty() {
        // a line a form
        let _ = writeln!(text, "- Computes: {}", info.formula.replace('\n', "\n  - "));
    }
    let _ = writeln!(text, "- Source: {}", info.source);
    let _ = writeln!(text, "- Example: `{}`", info.example);
    if info.declaration.is_some() {
        let _ = writeln!(
            text,
            "- Written in JSON: `src/blocks/library/{}.json`",
            info.name
        );
    }
    if info.params.is_empty() {
        return;
    }
    text.push_str("\n| parameter | takes | default | |\n|---|---|---|---|\n");
    for param in &info.params {
        let default = match (&param.default, param.required) {
            (_, true) => "required".to_owned(),
            (serde_json::Value::Null, false) => String::new(),
            (value, false) => format!("`{value}`"),
        };
        let takes = param.takes.replace('|', "\\|");
        let _ = writeln!(
            text,
            "| `{}` | {takes} | {default} | {} |",
            param.name, param.doc
        );
    }
}

/// The JSON Schema of documents: `search_spaces/schema.json`.
pub fn schema() -> serde_json::Value {
    let signatures: Vec<Signature> = OPS
        .iter()
        .chain(registry::list(NodeKind::Block))
        .map(|def| def.signature())
        .collect();
    crate::space::schema::schema(&signatures)
}
