//! Resolves nodes against the lists of ops and blocks, and collects everything that is wrong with them.

use super::args::Arg;
use super::program::{Body, Kind, Node, Open, Slot};
use super::registry::{self, BlockDef};
use crate::base::diag::{Diagnostic, Diagnostics, nearest};
use crate::base::path::JsonPath;
use crate::expr::{Scalar, Word, Words};
use crate::space::ast::{self, Ast, DecisionId, Declared, Origin, Source, Val};
use crate::space::signature::{NodeKind, ParamDef, ParamKind};
use crate::space::{Domain, Space};

pub(super) struct Checker<'a> {
    ast: &'a Ast,
    space: &'a Space,
    pub problems: Diagnostics,
}

impl<'a> Checker<'a> {
    pub fn new(space: &'a Space) -> Self {
        Self {
            ast: space.ast(),
            space,
            problems: Diagnostics::new(),
        }
    }

    fn path(&self, origin: Origin) -> JsonPath {
        self.space.path(origin)
    }

    /// The name of a declared block is none of a native one. It may be one of a shipped one: a file that was written
    /// before that came goes on to mean what it meant.
    pub fn declared(&mut self, block: &Declared) {
        if registry::native(NodeKind::Block, &block.name).is_some() {
            let problem = Diagnostic::error(
                self.path(block.origin),
                format!("{:?} is a built-in block", block.name),
            );
            self.problems
                .push(problem.hint("declare it under another name"));
        }
    }

    pub fn body(&mut self, body: &ast::Body) -> Body {
        let mut nodes: Vec<Node> = body.nodes.iter().map(|n| self.node(n)).collect();
        let sources: Vec<Source> = nodes.iter().flat_map(|n| all_sources(n).to_vec()).collect();
        self.keep(&mut nodes, &sources);
        Body { nodes }
    }

    /// Has nodes keep the results that these sources name by their places.
    pub fn keep(&self, nodes: &mut [Node], sources: &[Source]) {
        for source in sources {
            if let Source::Copies(k) | Source::Copy(k, _) = source
                && let Some(node) = nodes.get_mut(*k as usize)
            {
                keep_copies(node);
            }
        }
    }

    fn node(&mut self, node: &ast::Node) -> Node {
        Node {
            origin: node.origin,
            name: node.name.clone(),
            from: node.from.clone().into(),
            over: node.over,
            from_origin: node.from_origin,
            when: node.when.clone(),
            repeat: node.repeat.clone(),
            keep_copies: false,
            kind: self.kind(node),
        }
    }

    fn kind(&mut self, node: &ast::Node) -> Kind {
        match &node.kind {
            ast::Kind::Op { op, args } => self.listed(node.origin, NodeKind::Op, *op, args),
            ast::Kind::Block { block, args } => {
                self.listed(node.origin, NodeKind::Block, *block, args)
            }
            ast::Kind::Declared { block, args } => Kind::Declared {
                block: *block as usize,
                args: args
                    .iter()
                    .map(|arg| arg.as_ref().map(|arg| (arg.val.clone(), arg.origin)))
                    .collect(),
            },
            ast::Kind::Body(body) => Kind::Body(self.body(body)),
            ast::Kind::Choice { hole, options } => Kind::Choice {
                hole: hole.clone(),
                options: options.iter().map(|o| self.node(&o.node)).collect(),
            },
            ast::Kind::Each { level, nodes } => Kind::Each {
                level: *level,
                nodes: nodes.iter().map(|n| self.node(n)).collect(),
            },
        }
    }

    fn listed(&mut self, origin: Origin, kind: NodeKind, name: Word, args: &[ast::Arg]) -> Kind {
        let name = self.ast.words.text(name);
        let Some(def) = registry::find(kind, name) else {
            self.unknown(origin, kind, name);
            // the space is refused: what stands here is never lowered
            return Kind::Body(Body { nodes: Vec::new() });
        };
        let known = |key: Word| {
            let key = self.ast.words.text(key);
            def.params.iter().any(|p| p.name == key)
        };
        for arg in args.iter().filter(|arg| !known(arg.key)) {
            let key = self.ast.words.text(arg.key);
            let problem = unknown_key(self.path(arg.origin), key, def);
            self.problems.push(problem);
        }
        let slots = def.params.iter().map(|param| {
            let arg = args
                .iter()
                .find(|arg| self.ast.words.text(arg.key) == param.name);
            match arg {
                Some(arg) => self.slot(def, param, arg),
                None => {
                    if param.required {
                        let problem = Diagnostic::error(
                            self.path(origin),
                            format!("{} needs {:?}", def.name, param.name),
                        );
                        self.problems.push(problem.hint(param.doc));
                    }
                    Slot::Known(Arg::default_of(param), None)
                }
            }
        });
        let args = slots.collect();
        Kind::Listed { def, args }
    }

    fn unknown(&mut self, origin: Origin, kind: NodeKind, name: &str) {
        let (key, other, other_key) = match kind {
            NodeKind::Op => ("op", NodeKind::Block, "block"),
            NodeKind::Block => ("block", NodeKind::Op, "op"),
        };
        let mut problem = Diagnostic::error(
            self.path(origin).key(key),
            format!("there is no {key} {name:?}"),
        );
        let mut names: Vec<&str> = registry::list(kind).iter().map(|def| def.name).collect();
        if kind == NodeKind::Block {
            names.extend(self.ast.blocks.iter().map(|block| &*block.name));
        }
        if registry::find(other, name).is_some() {
            problem = problem.hint(format!(
                "{name} is a {other_key}: write {{\"{other_key}\": {name:?}}}"
            ));
        } else if let Some(near) = nearest(name, names.iter().copied()) {
            problem = problem.hint(format!("did you mean {near:?}?"));
        } else {
            problem = problem.hint(format!("known are {}", names.join(", ")));
        }
        self.problems.push(problem);
    }

    fn slot(&mut self, def: &BlockDef, param: &ParamDef, arg: &ast::Arg) -> Slot {
        let words = match param.kind {
            ParamKind::Word(of) => of.iter().map(|w| self.ast.words.get(w)).collect(),
            _ => Box::default(),
        };
        let mut found = Vec::new();
        self.values(&arg.val, self.path(arg.origin), param, &words, &mut found);
        for (path, value, misfit) in found {
            let problem = misfit_problem(path, def, param, &value, misfit);
            self.problems.push(problem);
        }
        match literal(&arg.val).map(|value| fit(param.kind, &words, value)) {
            Some(Ok(value)) => Slot::Known(value, Some(arg.origin)),
            _ => Slot::Open(Box::new(Open {
                val: arg.val.clone(),
                origin: arg.origin,
                words,
            })),
        }
    }

    /// All values known now that `val` can take and that do not fit: where they stand, as text, and why.
    fn values(
        &self,
        val: &Val,
        path: JsonPath,
        param: &ParamDef,
        words: &[Option<Word>],
        found: &mut Vec<(JsonPath, String, Misfit)>,
    ) {
        let mut test = |path: JsonPath, kind: ParamKind, value: Scalar| {
            if let Err(misfit) = fit(kind, words, Literal::One(value)) {
                found.push((path, show(value, &self.ast.words), misfit));
            }
        };
        match val {
            Val::Lit(value) => test(path, param.kind, *value),
            Val::Expr(_) => {}
            Val::Hole(decision) => {
                for (place, value) in self.literals(*decision, &path) {
                    test(place, param.kind, value);
                }
            }
            Val::Each { items, .. } => {
                // Items of a hole in a varied repeat stand at one place and have one domain; those of a written
                // `each` stand side by side.
                let holes = items
                    .iter()
                    .all(|v| matches!(v, Val::Hole(_) | Val::Each { .. }));
                if holes {
                    if let Some(first) = items.first() {
                        self.values(first, path, param, words, found);
                    }
                } else {
                    for (k, item) in items.iter().enumerate() {
                        let place = path.key("each").index(k);
                        self.values(item, place, param, words, found);
                    }
                }
            }
            Val::List(items) => {
                let ParamKind::Pair { min, max } = param.kind else {
                    found.push((path, "a list".to_owned(), Misfit::Kind));
                    return;
                };
                if items.len() != 2 {
                    found.push((path, format!("a list of {}", items.len()), Misfit::Kind));
                    return;
                }
                let axis = ParamDef {
                    kind: ParamKind::Int { min, max },
                    ..*param
                };
                for (k, item) in items.iter().enumerate() {
                    self.values(item, path.index(k), &axis, words, found);
                }
            }
        }
    }

    /// The values of a decision that are known now, those of a grid by its ends.
    fn literals(&self, decision: DecisionId, path: &JsonPath) -> Vec<(JsonPath, Scalar)> {
        let Some(decision) = self.space.decisions().get(decision.0 as usize) else {
            return Vec::new();
        };
        let count = decision.count();
        let domain = decision.domain();
        let (indices, listed): (Vec<u32>, bool) = match domain {
            Domain::Items { .. } | Domain::Options { .. } => ((0..count).collect(), true),
            Domain::Ints { .. } | Domain::Reals { .. } => (vec![0, count.saturating_sub(1)], false),
        };
        let literals = indices.into_iter().filter_map(|k| {
            let place = if listed {
                path.key("choice").index(k as usize)
            } else {
                path.clone()
            };
            Some((place, domain.literal(k)?))
        });
        literals.collect()
    }
}

/// The results are wanted by their places; an `each` stands for its items.
fn keep_copies(node: &mut Node) {
    node.keep_copies = true;
    if let Kind::Each { nodes, .. } = &mut node.kind {
        nodes.iter_mut().for_each(keep_copies);
    }
}

/// The sources of a node, those of the items of an `each` included.
fn all_sources(node: &Node) -> Vec<Source> {
    let mut sources = node.from.to_vec();
    if let Kind::Each { nodes, .. } = &node.kind {
        sources.extend(nodes.iter().flat_map(all_sources));
    }
    sources
}

fn unknown_key(path: JsonPath, key: &str, def: &BlockDef) -> Diagnostic {
    let kind = match def.kind {
        NodeKind::Op => "op",
        NodeKind::Block => "block",
    };
    let problem = Diagnostic::error(path, format!("no key {key:?} in {kind} {:?}", def.name));
    let names = || def.params.iter().map(|p| p.name);
    match nearest(key, names()) {
        Some(near) => problem.hint(format!("did you mean {near:?}?")),
        None if def.params.is_empty() => problem.hint(format!("{} takes no parameters", def.name)),
        None => {
            let names: Vec<_> = names().collect();
            problem.hint(format!("it takes {}", names.join(", ")))
        }
    }
}

/// A value that is known now.
#[derive(Clone, Copy, Debug)]
pub(super) enum Literal {
    One(Scalar),
    Two(Scalar, Scalar),
}

fn literal(val: &Val) -> Option<Literal> {
    match val {
        Val::Lit(x) => Some(Literal::One(*x)),
        Val::List(items) => match items.as_slice() {
            [Val::Lit(a), Val::Lit(b)] => Some(Literal::Two(*a, *b)),
            _ => None,
        },
        _ => None,
    }
}

/// Why a value does not fit a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// Another kind of value.
    Kind,
    /// A real number where a whole one must stand.
    Real,
    /// Outside the range.
    Range,
    /// Not one of the words.
    Word,
}

/// The value as the parameter takes it.
pub(super) fn fit(kind: ParamKind, words: &[Option<Word>], value: Literal) -> Result<Arg, Misfit> {
    let whole = |value: Scalar, min: i64, max: i64| match value {
        Scalar::Int(x) if x < min || x > max => Err(Misfit::Range),
        Scalar::Int(x) => u32::try_from(x).map_err(|_| Misfit::Range),
        Scalar::Real(_) => Err(Misfit::Real),
        _ => Err(Misfit::Kind),
    };
    match (kind, value) {
        (ParamKind::Int { min, max }, Literal::One(x)) => whole(x, min, max).map(Arg::Int),
        (ParamKind::Pair { min, max }, Literal::One(x)) => {
            whole(x, min, max).map(|x| Arg::Pair([x; 2]))
        }
        (ParamKind::Pair { min, max }, Literal::Two(a, b)) => {
            Ok(Arg::Pair([whole(a, min, max)?, whole(b, min, max)?]))
        }
        (ParamKind::Real { min, max }, Literal::One(x)) => match x.real() {
            Some(x) if x >= min && x <= max => Ok(Arg::Real(x)),
            Some(_) => Err(Misfit::Range),
            None => Err(Misfit::Kind),
        },
        (ParamKind::Bool, Literal::One(Scalar::Bool(x))) => Ok(Arg::Bool(x)),
        (ParamKind::Word(_), Literal::One(Scalar::Word(x))) => {
            match words.iter().position(|w| *w == Some(x)) {
                Some(k) => Ok(Arg::Word(k as u8)),
                None => Err(Misfit::Word),
            }
        }
        _ => Err(Misfit::Kind),
    }
}

/// A scalar as the document writes it.
pub(super) fn show(value: Scalar, words: &Words) -> String {
    match value {
        Scalar::Word(_) => format!("{:?}", value.show(words)),
        _ => value.show(words),
    }
}

/// What a parameter takes, in words.
pub(super) fn takes(kind: ParamKind) -> String {
    let range = |min: i64, max: i64| {
        if max >= registry::MAX_INT {
            format!("from {min}")
        } else {
            format!("from {min} to {max}")
        }
    };
    match kind {
        ParamKind::Int { min, max } => format!("a whole number {}", range(min, max)),
        ParamKind::Pair { min, max } => {
            format!(
                "a whole number {} or two of them in a list",
                range(min, max)
            )
        }
        ParamKind::Real { min, max } => match (min.is_finite(), max.is_finite()) {
            (true, true) => format!("a number from {min} to {max}"),
            (true, false) => format!("a number from {min}"),
            (false, true) => format!("a number up to {max}"),
            (false, false) => "a number".to_owned(),
        },
        ParamKind::Bool => "true or false".to_owned(),
        ParamKind::Word(of) => {
            let quoted: Vec<_> = of.iter().map(|w| format!("{w:?}")).collect();
            format!("one of {}", quoted.join(", "))
        }
    }
}

/// The diagnostic for a value that does not fit.
pub(super) fn misfit_problem(
    path: JsonPath,
    def: &BlockDef,
    param: &ParamDef,
    value: &str,
    misfit: Misfit,
) -> Diagnostic {
    let message = format!(
        "{} of {} takes {}, got {value}",
        param.name,
        def.name,
        takes(param.kind)
    );
    let problem = Diagnostic::error(path, message);
    match (misfit, param.kind) {
        (Misfit::Real, _) => {
            problem.hint("div, floor, round and make_divisible give whole numbers")
        }
        (Misfit::Word, ParamKind::Word(of)) => {
            match nearest(value.trim_matches('"'), of.iter().copied()) {
                Some(near) => problem.hint(format!("did you mean {near:?}?")),
                None => problem,
            }
        }
        (Misfit::Range, ParamKind::Int { .. } | ParamKind::Pair { .. }) if value.len() > 7 => {
            problem.hint(format!(
                "no whole number may be above {}",
                registry::MAX_INT
            ))
        }
        _ => problem,
    }
}
