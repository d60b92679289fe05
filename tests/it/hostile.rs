//! Hostile documents: whatever comes, there is a space or there are diagnostics, soon and in little memory.

use crate::over::SEARCHED;
use crate::space::{LITE, MIXED, SINK, space};
use blocksmith::base::rng::stream;
use blocksmith::blocks::{Names, Program};
use blocksmith::expr::Scalar;
use blocksmith::ir::verify;
use blocksmith::space::{Arch, Assignment, Space};
use proptest::prelude::*;

/// Documents that are large in one way each: read or refused, in little time and memory.
#[test]
fn large_documents_end() {
    let around = |vars: String, net: String| {
        format!(
            r#"{{"format": "blocksmith/1", "input": [3, 8, 8], "vars": {{{vars}}}, "net": [{net}]}}"#
        )
    };
    let many =
        |n: usize, item: &dyn Fn(usize) -> String| (0..n).map(item).collect::<Vec<_>>().join(",");
    let vary = |inner: &str| format!(r#"{{"repeat": 200, "vary": true, "body": [{inner}]}}"#);
    let hole = r#"{"op": "x", "k": {"choice": [1, 2]}}"#;
    let relu = || r#"{"op": "relu"}"#.to_owned();
    let texts = [
        "[".repeat(100_000),
        format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)),
        r#"{"net":"#.repeat(50_000),
        around(
            many(20_000, &|k| format!(r#""v{k}": "=v{}""#, k + 1)),
            relu(),
        ),
        around(many(20_000, &|k| format!(r#""v{k}": "=w{k}""#)), relu()),
        around(
            many(20_000, &|k| format!(r#""v{k}": 1, "v{k}": 2"#)),
            relu(),
        ),
        around(String::new(), vary(&vary(&vary(hole)))),
        around(String::new(), vary(&vary(&many(2000, &|_| hole.into())))),
        around(
            String::new(),
            many(3000, &|k| {
                format!(r#"{{"id": "x", "wrong": {k}, "op": "relu"}}"#)
            }),
        ),
        around(
            String::new(),
            format!(r#"{{"choice": [{}]}}"#, many(20_000, &|_| relu())),
        ),
        around(
            String::new(),
            format!(r#"{{"op": "x", "{}": 1}}"#, "k".repeat(100_000)),
        ),
        around(
            String::new(),
            format!(r#"{{"op": "x", "k": "{}"}}"#, "k".repeat(100_000)),
        ),
        " ".repeat((16 << 20) + 1),
    ];
    for text in texts {
        let start = std::time::Instant::now();
        let _ = Space::parse(&text).map(|space| space.sample(&mut stream(0, "test", 0)).is_ok());
        // A hang, not a time: hundreds of times what it takes.
        assert!(start.elapsed().as_secs() < 60, "{}", &text[..80]);
    }
    // Chains of variables are followed without recursion.
    let chain = around(
        many(5000, &|k| format!(r#""v{k}": "=v{} + 1""#, k + 1)) + r#", "v5000": 0"#,
        relu(),
    );
    let space = space(&chain);
    let mut vars = Vec::new();
    space.vars(&Assignment::empty(), &mut vars).unwrap();
    assert_eq!(vars[0], Scalar::Int(5000));
}

/// Reads, and does with the result all that can be done; whatever comes, it must come without a panic.
fn try_all(text: &str) {
    let Ok(space) = Space::parse(text) else {
        return;
    };
    let size = space.size();
    assert!(size.count >= 0.0);
    let Ok(a) = space.sample(&mut stream(0, "fuzz", 0)) else {
        return;
    };
    assert!(space.is_valid(&a));
    if let Ok(program) = Program::compile(&space)
        && let Ok(graph) = program.lower(&a, Names::On)
    {
        assert_eq!(verify(&graph), Ok(()), "{text}");
    }
    let json = space.assignment_to_json(&a);
    assert_eq!(
        space.assignment_from_json(&json).ok().as_ref(),
        Some(&a),
        "{json} of {text}"
    );
    match space.bind(&a) {
        Ok(arch) => {
            let text = arch.to_text();
            assert_eq!(Arch::parse(&text).map(|a| a.to_text()).ok(), Some(text));
        }
        // An expression among the items may amount to what does not fit its place.
        Err(problems) => assert!(problems.has_errors(), "{text}"),
    }
}

/// A valid document with some of its tokens replaced by others of it or by nasty ones.
fn mutated(base: &str, changes: &[(usize, usize)]) -> String {
    const NASTY: [&str; 28] = [
        "0",
        "-1",
        "1e308",
        "9223372036854775807",
        "18446744073709551615",
        "0.1",
        "null",
        "true",
        "{}",
        "[]",
        "\"\"",
        "\"=\"",
        "\"=in.c\"",
        "\"=i\"",
        "\"=w\"",
        "{\"choice\":[1,2]}",
        "{\"range\":{\"min\":0,\"max\":3}}",
        "{\"each\":[1,2]}",
        "\"vary\"",
        "\"repeat\"",
        "\"when\"",
        "\"in[*]\"",
        "\"over\"",
        "\"fpn[1]\"",
        "\"head[*]\"",
        "\"list\"",
        "[[1]]",
        "\"\\u0000\"",
    ];
    let mut tokens: Vec<&str> = Vec::new();
    let mut rest = base;
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '"' => rest[1..].find('"').map_or(rest.len(), |n| n + 2),
            c if c.is_alphanumeric() => rest
                .find(|c: char| !c.is_alphanumeric() && c != '.')
                .unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        tokens.push(&rest[..len]);
        rest = &rest[len..];
    }
    for (at, with) in changes {
        let at = at % tokens.len();
        let own = tokens.len();
        let with = with % (own + NASTY.len() + 1);
        if with < own {
            tokens[at] = tokens[with];
        } else if let Some(nasty) = NASTY.get(with - own) {
            tokens[at] = nasty;
        } else {
            tokens.remove(at);
        }
    }
    tokens.concat()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_text(text in ".{0,200}") {
        try_all(&text);
    }

    #[test]
    fn any_json_like_text(text in r#"[\[\]{}:,"a-z0-9=.+*\\ ]{0,200}"#) {
        try_all(&text);
    }

    #[test]
    fn any_mutant(which in 0..4usize, changes in prop::collection::vec((any::<usize>(), any::<usize>()), 1..4)) {
        try_all(&mutated([MIXED, LITE, SINK, SEARCHED][which], &changes));
    }

    #[test]
    fn any_truncation(which in 0..3usize, at in any::<prop::sample::Index>()) {
        let text = [MIXED, LITE, SINK][which];
        try_all(&text[..at.index(text.len())]);
    }

    /// Any wishes are completed to an assignment of the space that keeps those it can.
    #[test]
    fn wishes_are_kept(seed in any::<u64>(), wishes in prop::collection::vec(prop::option::of(0..7u32), 18)) {
        let mixed = space(MIXED);
        let mut wishes = wishes;
        wishes[..4].fill(None);
        let a = mixed.complete(&wishes, &mut stream(seed, "test", 0)).unwrap();
        prop_assert!(mixed.is_valid(&a));
        for (id, value) in a.active() {
            let k = id.0 as usize;
            if let Some(wish) = wishes[k] && wish < mixed.decisions()[k].count() {
                prop_assert_eq!(value, wish);
            }
        }
    }
}
