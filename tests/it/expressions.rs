//! Expressions against a table written by hand, and against a naive evaluator over trees that knows nothing of the
//! parser.

use blocksmith::expr::{Expr, Names, Scalar, Scope, Words};
use proptest::prelude::*;
use std::collections::HashMap;

const VARS: [(&str, i64); 3] = [("w", 24), ("big", i64::MAX), ("neg", -7)];

/// The value as text, or the error, of an expression over [`VARS`], `half` = 0.5, `act` = 'relu', `yes` = true,
/// `i` = 2 and an input of 64 x 8 x 4.
fn value(text: &str) -> String {
    let mut words = Words::new();
    let relu = words.add("relu");
    let mut values: Vec<Scalar> = VARS.iter().map(|v| Scalar::Int(v.1)).collect();
    values.extend([Scalar::Real(0.5), Scalar::Word(relu), Scalar::Bool(true)]);
    let names = VARS.iter().map(|v| v.0).chain(["half", "act", "yes"]);
    let slots: HashMap<Box<str>, u32> = names.zip(0..).map(|(n, k)| (n.into(), k)).collect();
    let parsed = Expr::parse(
        text,
        &mut Names {
            slots: &slots,
            i: true,
            input: true,
            words: &mut words,
        },
    );
    let scope = Scope {
        slots: &values,
        input: Some([64, 8, 4]),
        i: Some(2),
    };
    match parsed {
        Err(error) => format!("{error} at {}", error.span().start),
        Ok(expr) => match expr.eval(&scope) {
            Ok(value) => value.show(&words),
            Err(error) => format!(
                "{error} in {:?}",
                &text[error.span().start.into()..error.span().end.into()]
            ),
        },
    }
}

#[test]
fn table() {
    let table = [
        // precedence and grouping
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("10 - 4 - 3", "3"),
        ("2 * w % 5", "3"),
        ("-w + 1", "-23"),
        ("- -2", "2"),
        ("!yes || yes", "true"),
        ("!(yes || yes)", "false"),
        ("1 < 2 && 2 < 1 || yes", "true"),
        ("yes || yes && false", "true"),
        ("1 + 1 == 2 && 3 != 4", "true"),
        ("w == 24 == yes", "comparisons do not chain at 8"),
        ("i == 0 ? 3 : 5", "5"),
        ("false ? 1 : yes ? 2 : 3", "2"),
        ("yes ? 1 : 2 + 10", "1"),
        ("(yes ? 1 : 2) + 10", "11"),
        // whole and real
        ("7 / 2", "3.5"),
        ("6 / 2", "3.0"),
        ("w * half", "12.0"),
        ("1.5e2 + 1", "151.0"),
        ("div(7, 2)", "3"),
        ("div(neg, 2)", "-4"),
        ("neg % 4", "1"),
        ("7 % -4", "-1"),
        ("5.5 % 2", "1.5"),
        ("floor(2.7)", "2"),
        ("floor(-2.5)", "-3"),
        ("ceil(2.1)", "3"),
        ("round(2.5)", "3"),
        ("round(-2.5)", "-3"),
        ("round(7)", "7"),
        ("round_even(2.5)", "2"),
        ("round_even(3.5)", "4"),
        ("round_even(-2.5)", "-2"),
        ("round_even(2.51)", "3"),
        (
            "round_even(1e300)",
            "the number leaves the 64-bit range in \"round_even(1e300)\"",
        ),
        ("pow(2, 10)", "1024.0"),
        ("pow(4, -half)", "0.5"),
        ("pow(0, 0)", "1.0"),
        (
            "pow(neg, half)",
            "the number is not finite in \"pow(neg, half)\"",
        ),
        (
            "pow(10, 400)",
            "the number is not finite in \"pow(10, 400)\"",
        ),
        ("log(1)", "0.0"),
        ("round(log(1024) / log(2))", "10"),
        ("log(0)", "the number is not finite in \"log(0)\""),
        ("log(act)", "expected a number, got word in \"log(act)\""),
        ("pow(2)", "pow takes 2 arguments, not 1 at 0"),
        ("min(3, 1, 2)", "1"),
        ("max(3, half)", "3.0"),
        // _make_divisible of torchvision: 32 * 0.75 = 24; 20 -> 24 (ties up); 10 -> 16 since 8 < 0.9 * 10
        ("make_divisible(32 * 0.75, 8)", "24"),
        ("make_divisible(20, 8)", "24"),
        ("make_divisible(10, 8)", "16"),
        ("make_divisible(3, 8)", "8"),
        ("make_divisible(3, 8, 16)", "16"),
        // comparisons across kinds are exact
        ("w <= 24.0", "true"),
        ("big == 9223372036854775807.0", "false"),
        ("big < 9223372036854775808.0", "true"),
        ("act == 'relu'", "true"),
        ("act != 'relu6'", "true"),
        ("yes == false", "false"),
        // names
        ("in.c * in.h * in.w", "2048"),
        ("i + 1", "3"),
        // errors of evaluation
        (
            "big + 1",
            "the number leaves the 64-bit range in \"big + 1\"",
        ),
        (
            "2 * big",
            "the number leaves the 64-bit range in \"2 * big\"",
        ),
        (
            "-(-big - 1)",
            "the number leaves the 64-bit range in \"-(-big - 1)\"",
        ),
        (
            "div(-big - 1, -1)",
            "the number leaves the 64-bit range in \"div(-big - 1, -1)\"",
        ),
        ("(-big - 1) % -1", "0"),
        ("1 / 0", "division by zero in \"1 / 0\""),
        ("1 % 0", "division by zero in \"1 % 0\""),
        ("1.0 % 0", "division by zero in \"1.0 % 0\""),
        ("div(1, 0)", "division by zero in \"div(1, 0)\""),
        ("1e308 * 10", "the number is not finite in \"1e308 * 10\""),
        (
            "floor(1e19)",
            "the number leaves the 64-bit range in \"floor(1e19)\"",
        ),
        ("div(7, 2.0)", "expected int, got real in \"div(7, 2.0)\""),
        ("act + 1", "expected a number, got word in \"act + 1\""),
        (
            "act < 'z'",
            "word and word cannot be compared in \"act < 'z'\"",
        ),
        (
            "act == 1",
            "word and int cannot be compared in \"act == 1\"",
        ),
        ("w && yes", "expected true or false, got int in \"w\""),
        ("w ? 1 : 2", "expected true or false, got int in \"w\""),
        (
            "make_divisible(8, 0)",
            "the step is below 1 in \"make_divisible(8, 0)\"",
        ),
        (
            "min(act, 1)",
            "expected a number, got word in \"min(act, 1)\"",
        ),
        // what is not taken is not evaluated
        ("yes || 1 / 0 > 0", "true"),
        ("yes ? 1 : div(1, 0)", "1"),
        // errors of parsing
        ("", "expected a value at 0"),
        ("1 +", "expected a value at 3"),
        ("1 2", "expected an operator or the end at 2"),
        ("(1", "expected \")\" at 2"),
        ("1 ? 2", "expected \":\" at 5"),
        ("min(1,)", "expected a value at 6"),
        ("w = 1", "\"=\" compares nothing at 2"),
        ("'relu", "the word has no closing quote at 0"),
        ("1.x", "nothing starts with '.' at 1"),
        ("99999999999999999999", "the number is too large at 0"),
        ("1e999", "the number is too large at 0"),
        ("wat", "no name \"wat\" here at 0"),
        ("sqrt(2)", "no function \"sqrt\" at 0"),
        ("div(1)", "div takes 2 arguments, not 1 at 0"),
        ("ü", "nothing starts with 'ü' at 0"),
    ];
    for (text, expected) in table {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn depth_and_length_are_bounded() {
    let deep = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
    assert_eq!(value(&deep(60)), "1");
    for text in [
        deep(1000),
        "-".repeat(1000),
        "!".repeat(4000),
        "1?1:".repeat(900),
        "1+".repeat(1500) + "1",
    ] {
        assert!(
            value(&text).starts_with("an expression nests at most 64 deep"),
            "{text}"
        );
    }
    assert!(value(&" ".repeat(5000)).starts_with("an expression has at most 4096 bytes"));
}

/// An expression as a tree, apart from any text.
#[derive(Clone, Debug)]
enum Tree {
    Int(i64),
    Real(f64),
    Var(usize),
    Negate(Box<Tree>),
    Binary(&'static str, Box<Tree>, Box<Tree>),
    If(Box<Tree>, Box<Tree>, Box<Tree>),
    Call(&'static str, Vec<Tree>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Naive {
    Int(i128),
    Real(f64),
    Bool(bool),
}

/// Level of each operator, loosest first: written down once more, from the language reference.
fn level(operator: &str) -> usize {
    let levels: [&[&str]; 6] = [
        &["||"],
        &["&&"],
        &["==", "!="],
        &["<", "<=", ">", ">="],
        &["+", "-"],
        &["*", "/", "%"],
    ];
    levels.iter().position(|l| l.contains(&operator)).unwrap() + 1
}

/// The tree as text with no more brackets than needed.
fn print(tree: &Tree, around: usize) -> String {
    let (own, text) = match tree {
        Tree::Int(x) => (8, x.to_string()),
        Tree::Real(x) => (8, format!("{x:?}")),
        Tree::Var(k) => (8, VARS[*k].0.to_owned()),
        Tree::Negate(x) => (7, format!("-{}", print(x, 7))),
        Tree::Binary(op, a, b) => {
            let own = level(op);
            let left = if matches!(own, 3 | 4) { own + 1 } else { own };
            (own, format!("{}{op}{}", print(a, left), print(b, own + 1)))
        }
        Tree::If(c, a, b) => (
            0,
            format!("{} ? {} : {}", print(c, 1), print(a, 0), print(b, 0)),
        ),
        Tree::Call(f, args) => {
            let args: Vec<String> = args.iter().map(|a| print(a, 0)).collect();
            (8, format!("{f}({})", args.join(" , ")))
        }
    };
    if own < around {
        format!("({text})")
    } else {
        text
    }
}

fn fits(x: i128) -> Option<Naive> {
    i64::try_from(x).ok().map(|x| Naive::Int(x.into()))
}

fn finite(x: f64) -> Option<Naive> {
    x.is_finite().then_some(Naive::Real(x))
}

fn real(x: Naive) -> Option<f64> {
    match x {
        Naive::Int(x) => Some(x as f64),
        Naive::Real(x) => Some(x),
        Naive::Bool(_) => None,
    }
}

/// Compares two numbers exactly, in steps of 2^-60; numbers too large or too fine for that as reals.
fn compare(a: Naive, b: Naive) -> std::cmp::Ordering {
    let scaled = |x: Naive| match x {
        Naive::Int(x) => Some(x << 60),
        Naive::Real(x) => {
            let scaled = x * (1u64 << 60) as f64;
            (scaled.abs() < 1e38 && scaled.fract() == 0.0).then_some(scaled as i128)
        }
        Naive::Bool(_) => None,
    };
    match (scaled(a), scaled(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => real(a).partial_cmp(&real(b)).unwrap(),
    }
}

/// Evaluates a tree the plain way; `None` for any error.
fn naive(tree: &Tree) -> Option<Naive> {
    use Naive as N;
    Some(match tree {
        Tree::Int(x) => N::Int((*x).into()),
        Tree::Real(x) => N::Real(*x),
        Tree::Var(k) => N::Int(VARS[*k].1.into()),
        Tree::Negate(x) => match naive(x)? {
            N::Int(x) => fits(-x)?,
            N::Real(x) => N::Real(-x),
            N::Bool(_) => return None,
        },
        Tree::If(c, a, b) => match naive(c)? {
            N::Bool(true) => naive(a)?,
            N::Bool(false) => naive(b)?,
            _ => return None,
        },
        Tree::Binary(op @ ("&&" | "||"), a, b) => match (*op, naive(a)?) {
            ("&&", N::Bool(false)) => N::Bool(false),
            ("||", N::Bool(true)) => N::Bool(true),
            (_, N::Bool(_)) => match naive(b)? {
                N::Bool(x) => N::Bool(x),
                _ => return None,
            },
            _ => return None,
        },
        Tree::Binary(op, a, b) => match (*op, naive(a)?, naive(b)?) {
            ("+", N::Int(a), N::Int(b)) => fits(a + b)?,
            ("-", N::Int(a), N::Int(b)) => fits(a - b)?,
            ("*", N::Int(a), N::Int(b)) => fits(a * b)?,
            ("%", N::Int(a), N::Int(b)) if b != 0 => N::Int(a - b * floor_div(a, b)),
            ("==", N::Bool(a), N::Bool(b)) => N::Bool(a == b),
            ("!=", N::Bool(a), N::Bool(b)) => N::Bool(a != b),
            (op, a, b) => {
                let (x, y) = (real(a)?, real(b)?);
                match op {
                    "+" => finite(x + y)?,
                    "-" => finite(x - y)?,
                    "*" => finite(x * y)?,
                    "/" if y != 0.0 => finite(x / y)?,
                    "%" if y != 0.0 => finite(x - (x / y).floor() * y)?,
                    "==" => N::Bool(compare(a, b).is_eq()),
                    "!=" => N::Bool(compare(a, b).is_ne()),
                    "<" => N::Bool(compare(a, b).is_lt()),
                    "<=" => N::Bool(compare(a, b).is_le()),
                    ">" => N::Bool(compare(a, b).is_gt()),
                    ">=" => N::Bool(compare(a, b).is_ge()),
                    _ => return None,
                }
            }
        },
        Tree::Call(f, args) => {
            let args: Vec<Naive> = args.iter().map(naive).collect::<Option<_>>()?;
            match (*f, args.as_slice()) {
                ("min", [N::Int(a), N::Int(b)]) => N::Int(*a.min(b)),
                ("max", [N::Int(a), N::Int(b)]) => N::Int(*a.max(b)),
                ("min", [a, b]) => N::Real(real(*a)?.min(real(*b)?)),
                ("max", [a, b]) => N::Real(real(*a)?.max(real(*b)?)),
                ("floor" | "ceil" | "round", [N::Int(a)]) => N::Int(*a),
                ("floor", [N::Real(a)]) => fits(a.floor() as i128)?,
                ("ceil", [N::Real(a)]) => fits(a.ceil() as i128)?,
                ("round", [N::Real(a)]) => fits(a.round() as i128)?,
                ("div", [N::Int(a), N::Int(b)]) if *b != 0 => fits(floor_div(*a, *b))?,
                _ => return None,
            }
        }
    })
}

fn floor_div(a: i128, b: i128) -> i128 {
    let q = a / b;
    if q * b > a && b > 0 || q * b < a && b < 0 {
        q - 1
    } else {
        q
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        (0..20i64).prop_map(Tree::Int),
        (0..40u32).prop_map(|x| Tree::Real(f64::from(x) / 4.0)),
        (0..VARS.len()).prop_map(Tree::Var),
    ];
    leaf.prop_recursive(6, 40, 3, |inner| {
        let op = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "<", "<=", ">", ">=", "==", "!=", "&&", "||",
        ]);
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            6 => (op, boxed(), boxed()).prop_map(|(op, a, b)| Tree::Binary(op, a, b)),
            1 => boxed().prop_map(Tree::Negate),
            1 => (boxed(), boxed(), boxed()).prop_map(|(c, a, b)| {
                let c = Tree::Binary("<", c, Box::new(Tree::Int(7)));
                Tree::If(Box::new(c), a, b)
            }),
            1 => (prop::sample::select(vec!["floor", "ceil", "round"]), inner.clone())
                .prop_map(|(f, a)| Tree::Call(f, vec![a])),
            1 => (prop::sample::select(vec!["min", "max", "div"]), inner.clone(), inner.clone())
                .prop_map(|(f, a, b)| Tree::Call(f, vec![a, b])),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn equals_the_naive_evaluator(tree in trees()) {
        let text = print(&tree, 0);
        let mut words = Words::new();
        let slots: HashMap<Box<str>, u32> = VARS.iter().zip(0..).map(|(v, k)| (v.0.into(), k)).collect();
        let values: Vec<Scalar> = VARS.iter().map(|v| Scalar::Int(v.1)).collect();
        let names = &mut Names { slots: &slots, i: false, input: false, words: &mut words };
        let expr = Expr::parse(&text, names).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        let got = expr.eval(&Scope::of(&values)).ok();
        let expected = naive(&tree).map(|x| match x {
            Naive::Int(x) => Scalar::Int(x as i64),
            Naive::Real(x) => Scalar::Real(x),
            Naive::Bool(x) => Scalar::Bool(x),
        });
        prop_assert_eq!(got, expected, "{}", text);
    }

    #[test]
    fn any_text_ends(text in "[-+*/%<>=!&|?:(),.'a-z0-9 ]{0,60}") {
        value(&text);
    }
}
