//! Blocks that come with the program and are written in its own language: one file each in `library/`, which holds what
//! a document has under `blocks` and the name.
//!
//! To a document they are like native ones. Each becomes an entry of the list of blocks whose lowering walks its body,
//! so a native block may use one as well. They are read when a document first names a block that is not native, all
//! together, once a process.
//!
//! Invariants, held by tests:
//! - Every file reads and checks; nothing in it is left to decide.
//! - A block uses native and shipped blocks only.

use super::lower::{Lower, LowerError};
use super::registry::{BLOCKS, BlockDef, LowerFn, MAX_INT};
use super::{Args, Program, walk};
use crate::expr::{Scalar, Word};
use crate::ir::ValueId;
use crate::space::ast::{Declared, DeclaredKind, Fallback};
use crate::space::signature::{Literal, NodeKind, ParamDef, ParamKind};
use crate::space::{Assignment, Space};
use std::sync::LazyLock;

/// Name, text and lowering of each.
macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        const NAMES: &[&str] = &[$($name),*];
        static SHIPPED: &[(&str, &str, LowerFn)] = &[$((
            $name,
            include_str!(concat!("library/", $name, ".json")),
            |l, args, inputs| {
                const BLOCK: usize = position($name);
                lower(BLOCK, l, args, inputs)
            },
        )),*];
    };
}

shipped![
    "dense_layer",
    "dense_block",
    "dense_transition",
    "two_way_dense",
    "pelee_stem",
    "pelee_transition",
    "ghost_module",
    "ghost_bottleneck",
    "resnet_basic",
    "resnet_bottleneck",
    "inverted_residual",
    "esp",
    "eesp_a",
    "fire",
    "inception",
    "regnety_block",
    "same_conv_bn_act",
    "fused_inverted_residual",
    "retina_head",
    "ssd_head",
    "lraspp_head",
    "pyramid_pool",
    "gated_conv",
    "espnet_v2_decoder",
];

/// Where a name stands in the list.
const fn position(name: &str) -> usize {
    let mut k = 0;
    while k < NAMES.len() {
        let (a, b) = (NAMES[k].as_bytes(), name.as_bytes());
        let mut same = a.len() == b.len();
        let mut i = 0;
        while same && i < a.len() {
            same = a[i] == b[i];
            i += 1;
        }
        if same {
            return k;
        }
        k += 1;
    }
    NAMES.len()
}

/// All blocks: the native ones, then these.
pub(super) fn blocks() -> &'static [&'static BlockDef] {
    &HEADS.all
}

/// The file of a shipped block.
pub(super) fn text(name: &str) -> Option<&'static str> {
    let shipped = SHIPPED.iter().find(|(known, ..)| *known == name);
    shipped.map(|(_, text, _)| *text)
}

fn lower(
    block: usize,
    l: &mut Lower,
    args: &Args<'_>,
    inputs: &[ValueId],
) -> Result<ValueId, LowerError> {
    let (program, assignment) = &*BODIES;
    walk::shipped::shipped((program, assignment), block, l, args, inputs)
}

/// What documents see.
struct Heads {
    space: Space,
    all: Vec<&'static BlockDef>,
}

static HEADS: LazyLock<Heads> = LazyLock::new(|| {
    let blocks: Vec<String> = SHIPPED
        .iter()
        .map(|(name, text, _)| format!("{name:?}: {text}"))
        .collect();
    let document = format!(
        r#"{{"format": "blocksmith/1", "name": "shipped blocks", "input": [1, 1, 1], "blocks": {{{}}}, "net": [{{"op": "relu"}}]}}"#,
        blocks.join(", ")
    );
    let space = match Space::parse(&document) {
        Ok(space) => space,
        Err(problems) => panic!("a shipped block is wrong:\n{}", problems.render(None)),
    };
    let shipped = space
        .ast()
        .blocks
        .iter()
        .zip(SHIPPED)
        .map(|(block, (name, _, lower))| {
            let def: &'static BlockDef = Box::leak(Box::new(def(&space, block, name, *lower)));
            def
        });
    let all = BLOCKS.iter().copied().chain(shipped).collect();
    Heads { space, all }
});

static BODIES: LazyLock<(Program, Assignment)> =
    LazyLock::new(|| match Program::compile(&HEADS.space) {
        Ok(program) => (program, Assignment::empty()),
        Err(problems) => {
            let problems = HEADS.space.locate(problems);
            panic!("a shipped block is wrong:\n{}", problems.render(None))
        }
    });

/// The entry of a block. It lives as long as the process, like those written in Rust.
fn def(space: &Space, block: &Declared, name: &'static str, lower: LowerFn) -> BlockDef {
    let file = &space.json()["blocks"][name];
    let text = |key: &str| leak(file[key].as_str().unwrap_or_default());
    let params: Vec<ParamDef> = block.params.iter().map(|p| param(space, p)).collect();
    BlockDef {
        name,
        kind: NodeKind::Block,
        doc: text("doc"),
        shapes: text("shapes"),
        formula: text("formula"),
        source: text("source"),
        params: Vec::leak(params),
        lower,
        example: leak(&one_line(&file["example"])),
    }
}

fn param(space: &Space, param: &crate::space::ast::Param) -> ParamDef {
    let word = |word: &Word| leak(space.ast().words.text(*word));
    ParamDef {
        name: leak(&param.name),
        kind: match &param.kind {
            DeclaredKind::Int { min, max } => ParamKind::Int {
                min: (*min).max(0),
                max: (*max).min(MAX_INT),
            },
            DeclaredKind::Real { min, max } => ParamKind::Real {
                min: *min,
                max: *max,
            },
            DeclaredKind::Bool => ParamKind::Bool,
            DeclaredKind::Word { of } => ParamKind::Word(Vec::leak(of.iter().map(word).collect())),
        },
        required: param.default.is_none(),
        default: param.default.as_ref().map(|default| match default {
            Fallback::Lit(Scalar::Int(x)) => Literal::Int(*x),
            Fallback::Lit(Scalar::Real(x)) => Literal::Real(*x),
            Fallback::Lit(Scalar::Bool(x)) => Literal::Bool(*x),
            Fallback::Lit(Scalar::Word(x)) => Literal::Word(word(x)),
            Fallback::Expr(expr) => Literal::Expr(leak(&format!("={}", expr.text()))),
        }),
        doc: leak(param.doc.as_deref().unwrap_or_default()),
    }
}

/// A node as a person would write it.
fn one_line(node: &serde_json::Value) -> String {
    let list = crate::space::pretty(&serde_json::json!([node]));
    let inner = list.trim().trim_matches(['[', ']']);
    inner.split('\n').map(str::trim).collect()
}

fn leak(text: &str) -> &'static str {
    String::leak(text.to_owned())
}
