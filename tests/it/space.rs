//! Documents: read, drawn, bound, printed. Expectations come from counting by hand, from closed forms, and from reading
//! values off the bound JSON.

use blocksmith::base::rng::stream;
use blocksmith::expr::{Scalar, Scope, Words};
use blocksmith::space::ast::{Kind, Val};
use blocksmith::space::{Arch, Assignment, Context, Domain, Space, pretty};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub const MIXED: &str = include_str!("documents/mixed.json");
pub const LITE: &str = include_str!("documents/lite.json");

/// A bit of everything: nested varied repeats, choices of nodes in them, conditions, empty repeats, holes in declared
/// blocks, expressions as items, reals, named inputs, several outputs.
pub const SINK: &str = r#"{
  "$schema": "x", "format": "blocksmith/1", "name": "sink", "doc": "a bit of everything",
  "input": {"left": ["=2*c", 8, {"choice": [8, 16]}], "right": [3, 8, 8]},
  "vars": {"late": "=c + n", "c": {"range": {"min": 1, "max": 3}}, "n": {"choice": [0, 1, 2], "weights": [1, 1, 2]},
           "word": {"choice": ["relu", "=c == 1 ? 'silu' : 'relu6'"]},
           "p": {"range": {"min": 0.1, "max": 0.5, "step": 0.2}}},
  "constraints": ["late < 5"],
  "blocks": {
    "inner": {"params": {"k": {"type": "int", "min": 1, "max": 3}},
      "body": [{"op": "conv", "kernel_size": "=k", "groups": {"choice": [1, "=in.c"]}, "repeat": "=k", "vary": true}]},
    "unused": {"body": [{"op": "conv", "stride": {"choice": [1, 2]}}]}},
  "net": [
    {"id": "a", "op": "conv", "from": "left", "out_channels": "=8*c"},
    {"id": "b", "op": "conv", "from": "right", "stride": {"choice": [1, 2]}, "when": "n > 0"},
    {"id": "v", "from": ["a", "b"], "vary": true, "repeat": "=n", "body": [
      {"id": "pick", "choice": [
        {"op": "add", "from": "in[*]"},
        {"as": "deep", "body": [{"op": "act", "kind": {"choice": ["=word", "hswish"]},
          "repeat": {"range": {"min": 0, "max": 2}}, "vary": true}]}]},
      {"op": "dropout", "p": {"choice": ["=p", 0.0]}, "when": "i > 0"}]},
    {"id": "d", "block": "inner", "k": 2, "when": "c == 2"},
    {"op": "concat", "from": ["v[*]", "d"]}],
  "outputs": ["d", "v"] }"#;

pub fn space(text: &str) -> Space {
    Space::parse(text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn all() -> [Space; 3] {
    [space(MIXED), space(LITE), space(SINK)]
}

/// A document around some variables.
fn with_vars(vars: &str) -> Space {
    space(&format!(
        r#"{{"format": "blocksmith/1", "input": [3, 8, 8], "vars": {vars}, "net": [{{"op": "relu"}}]}}"#
    ))
}

#[test]
fn sizes_are_those_counted_by_hand() {
    // w (3) x [mid_channels (2) x repeat (3)] x gate (2)
    let lite = space(LITE);
    assert_eq!((lite.size().count, lite.size().exact), (36.0, true));
    assert_eq!(lite.assignments().collect::<BTreeSet<_>>().len(), 36);
    // Variables: 136 of 4 x 2 x 11 x 2 settings meet the constraints, see the loop; s2: 3 + 4; s3: 3 x 2 + 3; kernel
    // sizes of 2 to 6 copies: 4 + 8 + 16 + 32 + 64.
    let mut settings = 0;
    for w2 in [48, 64, 80, 96] {
        for w3 in [2 * w2, 3 * w2] {
            settings += (192..=512)
                .step_by(32)
                .filter(|w4| w3 <= *w4 && *w4 <= 3 * w3)
                .count()
                * 2;
        }
    }
    let mixed = space(MIXED);
    assert_eq!(mixed.size().count, (settings * 7 * 9 * 124) as f64);
}

#[test]
fn all_assignments_come_once_in_order_and_are_valid() {
    let sink = space(SINK);
    let list: Vec<Assignment> = sink.assignments().collect();
    assert!(
        list.windows(2)
            .all(|w| json_key(&sink, &w[0]) != json_key(&sink, &w[1]))
    );
    assert!(list.iter().all(|a| sink.is_valid(a)));
    let distinct: BTreeSet<String> = list.iter().map(|a| json_key(&sink, a)).collect();
    assert_eq!(distinct.len(), list.len());
    let by_position: Vec<Vec<Option<u32>>> = list.iter().map(Assignment::wishes).collect();
    // Lexicographic among those that have the same decisions: an inactive one comes with an earlier difference.
    assert!(by_position.windows(2).all(|w| {
        w[0].iter()
            .zip(&w[1])
            .find(|(a, b)| a != b)
            .is_some_and(|(a, b)| a < b)
    }));
    // By hand: the input's width (2) x, for c + n < 5 and each c in 1..=3, words (2) x p (3) x what depends on n and c.
    let copies = |n: u64| {
        // pick: add, or deep with 0 to 2 varied kinds: 1 + (1 + 2 + 4); dropout from the second copy on: 2
        (0..n)
            .map(|i| 8 * if i > 0 { 2 } else { 1 })
            .product::<u64>()
    };
    let mut total = 0;
    for c in 1..=3u64 {
        for n in 0..=2u64 {
            if c + n < 5 {
                // b's stride needs n > 0; inner's groups need c == 2, 2 copies of at most 3: the block does not know k,
                // so that all 3 are free.
                total += 2 * 6 * copies(n) * if n > 0 { 2 } else { 1 } * if c == 2 { 8 } else { 1 };
            }
        }
    }
    assert_eq!(list.len() as u64, total);
    assert!(sink.size().count >= total as f64);
}

fn json_key(space: &Space, a: &Assignment) -> String {
    space.assignment_to_json(a).to_string()
}

#[test]
fn samples_bind_print_and_come_back() {
    for space in all() {
        for number in 0..60 {
            let a = space.sample(&mut stream(7, "test", number)).unwrap();
            assert_eq!(a, space.sample(&mut stream(7, "test", number)).unwrap());
            assert!(space.is_valid(&a));
            let json = space.assignment_to_json(&a);
            assert_eq!(space.assignment_from_json(&json).unwrap(), a, "{json}");
            let kept = space
                .complete(&a.wishes(), &mut stream(8, "test", number))
                .unwrap();
            assert_eq!(kept, a);
            let arch = space.bind(&a).unwrap();
            let text = arch.to_text();
            assert!(arch.space().decisions().is_empty());
            assert_eq!(Arch::parse(&text).unwrap().to_text(), text);
            let again = arch.space().bind(&Assignment::empty()).unwrap();
            assert_eq!(again.to_text(), text);
            assert_eq!(again.fingerprint(), arch.fingerprint());
            assert_eq!(arch.space().size().count, 1.0);
            check_bound(&space, &a, &serde_json::from_str(&text).unwrap());
        }
    }
}

/// Reads the values of scalar decisions off the bound document, by their paths.
fn check_bound(space: &Space, a: &Assignment, bound: &Value) {
    for (id, index) in a.active() {
        let decision = &space.decisions()[id.0 as usize];
        let path = space.path(decision.origin()).to_string();
        let (Some(expected), false) = (decision.domain().literal(index), path.contains(".choice["))
        else {
            continue;
        };
        let mut pointer = format!("/{}", path.replace(['.', '['], "/").replace(']', ""));
        // A decision of a copy has one number more in its id than in its path, after the repeated node.
        let copies = decision
            .id()
            .matches('[')
            .count()
            .saturating_sub(path.matches('[').count());
        if copies > 1 {
            continue;
        }
        let mut found = bound.pointer(&pointer);
        if copies == 1 {
            let copy = decision
                .id()
                .split(['[', ']'])
                .filter_map(|s| s.parse::<usize>().ok());
            let own: Vec<usize> = path
                .split(['[', ']'])
                .filter_map(|s| s.parse().ok())
                .collect();
            let copy = copy
                .enumerate()
                .find(|(k, x)| own.get(*k) != Some(x))
                .map_or(0, |(_, x)| x);
            pointer.push_str(&format!("/each/{copy}"));
            found = bound.pointer(&pointer);
        }
        let expected = match expected {
            Scalar::Int(x) => json!(x),
            Scalar::Real(x) => json!(x),
            Scalar::Bool(x) => json!(x),
            Scalar::Word(x) => json!(space.ast().words.text(x)),
        };
        assert_eq!(
            found,
            Some(&expected),
            "{} at {pointer} in {bound}",
            decision.id()
        );
    }
}

#[test]
fn binding_keeps_all_that_is_no_hole() {
    let sink = space(SINK);
    let values = r#"{"c": 2, "n": 2, "word": "silu", "p": 0.3}"#;
    let wrong: Value = serde_json::from_str(values).unwrap();
    // With c = 2 the item amounts to relu6, not silu.
    assert!(sink.assignment_from_json(&wrong).is_err());
    let values = json!({
        "c": 2, "n": 2, "word": "relu6", "p": 0.3, "input.left[2]": 16, "net[1].stride": 2,
        "pick[0]": "deep", "pick[1]": "add",
        "net[2][0].body[0].choice[1].body[0].repeat": 2,
        "net[2][0].body[0].choice[1].body[0][0].kind": "hswish",
        "net[2][0].body[0].choice[1].body[0][1].kind": "=word",
        "net[2][1].body[1].p": 0.0,
        "blocks.inner.body[0][0].groups": 1, "blocks.inner.body[0][1].groups": "=in.c", "blocks.inner.body[0][2].groups": 1,
    });
    // What is written as text is read; what comes back is the value.
    let a = sink
        .assignment_from_json(&values)
        .unwrap_or_else(|e| panic!("{e}"));
    let arch = sink.bind(&a).unwrap();
    insta::assert_snapshot!(arch, @r###"
{
  "$schema": "x",
  "format": "blocksmith/1",
  "name": "sink",
  "doc": "a bit of everything",
  "input": {"left": ["=2*c", 8, 16], "right": [3, 8, 8]},
  "vars": {"late": "=c + n", "c": 2, "n": 2, "word": "relu6", "p": 0.3},
  "constraints": ["late < 5"],
  "blocks": {
    "inner": {
      "params": {"k": {"type": "int", "min": 1, "max": 3}},
      "body": [
        {
          "op": "conv",
          "kernel_size": "=k",
          "groups": {"each": [1, "=in.c", 1]},
          "repeat": "=k",
          "vary": true
        }
      ]
    },
    "unused": {"body": [{"op": "conv", "stride": 1}]}
  },
  "net": [
    {"id": "a", "op": "conv", "from": "left", "out_channels": "=8*c"},
    {"id": "b", "op": "conv", "from": "right", "stride": 2, "when": "n > 0"},
    {
      "id": "v",
      "from": ["a", "b"],
      "vary": true,
      "repeat": "=n",
      "body": [
        {
          "id": "pick",
          "body": [
            {
              "each": [
                {"body": [{"op": "act", "kind": {"each": ["hswish", "relu6"]}, "repeat": 2, "vary": true}]},
                {"op": "add", "from": "in[*]"}
              ]
            }
          ]
        },
        {"op": "dropout", "p": {"each": [0.3, 0.0]}, "when": "i > 0"}
      ]
    },
    {"id": "d", "block": "inner", "k": 2, "when": "c == 2"},
    {"op": "concat", "from": ["v[*]", "d"]}
  ],
  "outputs": ["d", "v"]
}
"###);
}

#[test]
fn fixed_decisions_stay_fixed() {
    let mixed = space(MIXED);
    let fixed = mixed
        .fix(&[("s2", "osa"), ("net[5].repeat", "3"), ("w2", "64")])
        .unwrap();
    assert_ne!(fixed.fingerprint(), mixed.fingerprint());
    assert!(fixed.size().count < mixed.size().count);
    for number in 0..50 {
        let a = fixed.sample(&mut stream(1, "test", number)).unwrap();
        let json = fixed.assignment_to_json(&a);
        assert_eq!(
            (&json["s2"], &json["net[5].repeat"], &json["w2"]),
            (&json!("osa"), &json!(3), &json!(64))
        );
        assert!(mixed.is_valid(&a));
        assert_eq!(
            mixed.bind(&a).unwrap().to_text(),
            fixed.bind(&a).unwrap().to_text()
        );
    }
    let s2 = &fixed.decisions()[fixed.decision("s2").unwrap().0 as usize];
    assert_eq!(s2.neighbours(0).count(), 0);
    let w4 = &mixed.decisions()[mixed.decision("w4").unwrap().0 as usize];
    assert_eq!(
        (0..3)
            .map(|k| w4.neighbours(k).collect())
            .collect::<Vec<Vec<u32>>>(),
        [vec![1], vec![0, 2], vec![1, 3]]
    );
    // A space with all fixed has one point.
    let one = space(LITE).fix(&[
        ("w", "48"),
        ("net[2].mid_channels", "24"),
        ("net[2].repeat", "1"),
        ("net[4].gate", "none"),
    ]);
    assert_eq!(one.unwrap().assignments().count(), 1);
}

#[test]
fn constraints_turn_down_a_fifth_of_the_mixed_space() {
    // The same variables without constraints: the share that the constraints would turn down.
    let mut json: Value = serde_json::from_str(MIXED).unwrap();
    json.as_object_mut().unwrap().remove("constraints");
    let free = space(&json.to_string());
    let mut rng = stream(3, "test", 0);
    let number = |json: &Value, key: &str| json[key].as_i64().unwrap();
    let meets = |json: &Value| {
        let (w3, w4) = (number(json, "w3"), number(json, "w4"));
        w3 <= w4 && w4 <= 3 * w3
    };
    let draws = 4000;
    let lost = (0..draws)
        .filter(|_| !meets(&free.assignment_to_json(&free.sample(&mut rng).unwrap())))
        .count();
    let share = f64::from(lost as u32) / f64::from(draws);
    assert!((share - 0.19).abs() < 0.02, "{share}");
    let mixed = space(MIXED);
    assert!((0..500).all(|_| meets(&mixed.assignment_to_json(&mixed.sample(&mut rng).unwrap()))));
}

/// The normal distribution function, by Simpson's rule from far below.
fn normal_below(x: f64) -> f64 {
    let (from, steps) = (-10.0, 4000);
    if x <= from {
        return 0.0;
    }
    let h = (x - from) / f64::from(steps);
    let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let inner: f64 = (1..steps)
        .map(|k| density(from + h * f64::from(k)) * if k % 2 == 1 { 4.0 } else { 2.0 })
        .sum();
    h / 3.0 * (density(from) + inner + density(x))
}

/// Holds how often each value of the only variable is drawn against these probabilities (up to a factor).
fn check_frequencies(var: &str, mass: impl Fn(f64) -> f64) {
    let space = with_vars(&format!(r#"{{"x": {var}}}"#));
    let domain = space.decisions()[0].domain().clone();
    let masses: Vec<f64> = (0..domain.count())
        .map(|k| mass(domain.literal(k).and_then(|x| x.real()).unwrap()))
        .collect();
    let sum: f64 = masses.iter().sum();
    let draws = 20_000;
    let mut counts = vec![0.0; masses.len()];
    let mut rng = stream(11, "frequencies", 0);
    for _ in 0..draws {
        let a = space.sample(&mut rng).unwrap();
        counts[a.active().next().unwrap().1 as usize] += 1.0;
    }
    let expected = |k: usize| masses[k] / sum * f64::from(draws);
    let chi2: f64 = (0..counts.len())
        .filter(|k| expected(*k) > 0.0)
        .map(|k| (counts[k] - expected(k)).powi(2) / expected(k))
        .sum();
    let free = counts.len() as f64 - 1.0;
    // Five standard deviations of chi square.
    assert!(
        chi2 < free + 5.0 * (2.0 * free).sqrt() + 5.0,
        "{var}: chi2 {chi2} with {free}: {counts:?}"
    );
    assert!((0..counts.len()).all(|k| expected(k) > 0.0 || counts[k] == 0.0));
}

#[test]
fn frequencies_are_those_of_the_closed_forms() {
    check_frequencies(r#"{"range": {"min": 16, "max": 96, "step": 8}}"#, |_| 1.0);
    check_frequencies(
        r#"{"choice": [1, 2, 3, 4], "weights": [3, 0, 1, 0]}"#,
        |x| [3.0, 0.0, 1.0, 0.0][x as usize - 1],
    );
    // A value on the grid stands for all within half a step.
    let cell = |below: &dyn Fn(f64) -> f64, x: f64, step: f64| {
        below(x + step / 2.0) - below(x - step / 2.0)
    };
    check_frequencies(
        r#"{"dist": {"kind": "normal", "mean": 50, "sigma": 20, "min": 16, "max": 96, "step": 8}}"#,
        |x| cell(&|x| normal_below((x - 50.0) / 20.0), x, 8.0),
    );
    check_frequencies(
        r#"{"dist": {"kind": "log_normal", "median": 320, "sigma": 0.35, "min": 192, "max": 512, "step": 32}}"#,
        |x| cell(&|x| normal_below((x / 320.0).ln() / 0.35), x, 32.0),
    );
    check_frequencies(
        r#"{"dist": {"kind": "log_uniform", "min": 8, "max": 64, "step": 8}}"#,
        |x| cell(&|x| x.clamp(8.0, 64.0).ln(), x, 8.0),
    );
    check_frequencies(
        r#"{"dist": {"kind": "log_uniform", "min": 0.1, "max": 0.9, "step": 0.1}}"#,
        |x| cell(&|x| x.clamp(0.1, 0.9).ln(), x, 0.1),
    );
    check_frequencies(
        r#"{"dist": {"kind": "poisson", "mean": 3.5, "min": 1, "max": 9}}"#,
        |x| (1..=x as u32).map(|k| 3.5 / f64::from(k)).product(),
    );
    // On even numbers an odd one lies half-way and goes up: 2 stands for 1 and 2.
    check_frequencies(
        r#"{"dist": {"kind": "poisson", "mean": 3.5, "min": 2, "max": 8, "step": 2}}"#,
        |x| {
            let mass = |k: u32| (1..=k).map(|k| 3.5 / f64::from(k)).product::<f64>();
            mass(x as u32) + mass(x as u32 - 1)
        },
    );
}

#[test]
fn real_grids_are_as_written() {
    let space = with_vars(r#"{"x": {"range": {"min": 0.1, "max": 1.3, "step": 0.1}}}"#);
    let domain = space.decisions()[0].domain();
    let texts: Vec<String> = (0..domain.count())
        .map(|k| domain.literal(k).unwrap().show(&Words::new()))
        .collect();
    assert_eq!(
        texts.join(" "),
        "0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1.0 1.1 1.2 1.3"
    );
}

#[test]
fn values_are_read_in_their_scope() {
    let sink = space(SINK);
    let a = sink
        .fix(&[("c", "2"), ("n", "2")])
        .unwrap()
        .sample(&mut stream(1, "test", 0))
        .unwrap();
    let mut vars = Vec::new();
    sink.vars(&a, &mut vars).unwrap();
    assert_eq!(vars[0], Scalar::Int(4));
    let Kind::Op { args, .. } = &sink.ast().net.nodes[0].kind else {
        panic!("a conv")
    };
    let at = Context {
        space: &sink,
        assignment: &a,
        scope: Scope::of(&vars),
        copies: &[],
    };
    assert_eq!(at.scalar(&args[0].val).unwrap(), Scalar::Int(16));
    let names = sink.var_names();
    let told = sink
        .ancestry("out_channels", &args[0].val, &at, &names)
        .unwrap();
    assert_eq!(told, "out_channels is \"=8*c\" with c = 2");
    let Kind::Body(body) = &sink.ast().net.nodes[2].kind else {
        panic!("a body")
    };
    let Kind::Choice { hole, .. } = &body.nodes[0].kind else {
        panic!("a choice")
    };
    let picks: Vec<u32> = (0..2)
        .map(|k| Context { copies: &[k], ..at }.option(hole).unwrap())
        .collect();
    let json = sink.assignment_to_json(&a);
    let labels: Vec<&str> = ["pick[0]", "pick[1]"]
        .iter()
        .map(|id| json[*id].as_str().unwrap())
        .collect();
    assert_eq!(
        picks,
        labels
            .iter()
            .map(|l| u32::from(*l == "deep"))
            .collect::<Vec<_>>()
    );
    assert!(Context { copies: &[2], ..at }.option(hole).is_err());
}

#[test]
fn fingerprints_see_what_matters() {
    let base = space(LITE).fingerprint();
    let mut json: Value = serde_json::from_str(LITE).unwrap();
    assert_eq!(space(&pretty(&json)).fingerprint(), base);
    json["doc"] = "something else".into();
    json["net"][0]["comment"] = "on a node".into();
    json["$schema"] = "schema.json".into();
    assert_eq!(space(&pretty(&json)).fingerprint(), base);
    json["net"][0]["stride"] = 1.into();
    assert_ne!(space(&pretty(&json)).fingerprint(), base);
}

#[test]
fn items_of_equal_value_and_different_kind_are_told_apart() {
    let space = with_vars(r#"{"x": {"choice": [0, 0.0, "=0", "=0.0"]}}"#);
    for a in space.assignments() {
        assert_eq!(
            space.assignment_from_json(&space.assignment_to_json(&a)),
            Ok(a)
        );
    }
    assert_eq!(space.assignments().count(), 4);
}

/// The document is not read twice in different ways: values of declared variables by expression and by hand.
#[test]
fn words_and_scopes_of_expressions() {
    let space = with_vars(
        r#"{"a": "=b == 'x' ? 1 : 2", "b": {"choice": ["x", "y"]}, "c": {"choice": ["=a", "=a + 1", 2]}}"#,
    );
    let seen: BTreeMap<String, String> = space
        .assignments()
        .map(|a| {
            let mut vars = Vec::new();
            space.vars(&a, &mut vars).unwrap();
            let text: Vec<String> = vars.iter().map(|v| v.show(&space.ast().words)).collect();
            (json_key(&space, &a), text.join(" "))
        })
        .collect();
    let expected = [
        (r#"{"b":"x","c":1}"#, "1 x 1"),
        // 2 is an item as well, so that "=a + 1" keeps its text.
        (r#"{"b":"x","c":"=a + 1"}"#, "1 x 2"),
        (r#"{"b":"x","c":2}"#, "1 x 2"),
        (r#"{"b":"y","c":"=a"}"#, "2 y 2"),
        (r#"{"b":"y","c":3}"#, "2 y 3"),
        (r#"{"b":"y","c":2}"#, "2 y 2"),
    ];
    let expected: BTreeMap<String, String> = expected
        .iter()
        .map(|(a, b)| ((*a).into(), (*b).into()))
        .collect();
    assert_eq!(seen, expected);
    assert!(
        matches!(space.decisions()[1].domain(), Domain::Items { items, .. } if matches!(items[2].val, Val::Lit(_)))
    );
}

/// Every document in the language reference is one, and the arch is an arch.
#[test]
fn documents_of_the_reference_are_documents() {
    let reference = include_str!("../../docs/language.md");
    let texts: Vec<&str> = reference
        .split("```json\n")
        .skip(1)
        .filter_map(|t| t.split("```").next())
        .collect();
    let spaces: Vec<Space> = texts.iter().map(|t| space(t)).collect();
    // w (4, of which wide <= 96 for 3, or relu): 3 x 2 + 1; stage: 3 layers, or kernels of 1 to 3 copies: 2 + 4 + 8.
    let sizes: Vec<f64> = spaces.iter().map(|s| s.size().count).collect();
    assert_eq!(sizes, [7.0 * 17.0, 2.0, 1.0]);
    assert!(Arch::parse(texts[2]).is_ok());
    let readme = include_str!("../../README.md");
    let text = readme
        .split("```json\n")
        .nth(1)
        .and_then(|t| t.split("```").next());
    assert!(blocksmith::blocks::load(text.unwrap()).is_ok());
}
