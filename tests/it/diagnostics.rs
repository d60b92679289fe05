//! What a person is told about a document that is wrong: one golden a kind, read line by line.
//!
//! Lines and columns are checked in `locate`'s own tests; here they show that all problems come at once, in the order
//! of the text.

use blocksmith::base::rng::stream;
use blocksmith::space::Space;

fn problems(text: &str) -> String {
    Space::parse(text).map_or_else(|problems| problems.render(None), |_| "no problem".into())
}

/// JSON syntax.
#[test]
fn syntax() {
    let text = r#"{"format": "blocksmith/1",
 "net": [1, 2,]}"#;
    insta::assert_snapshot!(problems(text), @r###"
error: not JSON: trailing comma
  at (line 2, column 15)
  hint: remove the comma before the closing bracket
"###);
}

/// The document is no object.
#[test]
fn not_an_object() {
    let text = r#"[1]"#;
    insta::assert_snapshot!(problems(text), @r###"
error: a document is an object, not a list
  at (line 1, column 1)
"###);
}

/// What must be there.
#[test]
fn empty_object() {
    let text = r#"{}"#;
    insta::assert_snapshot!(problems(text), @r###"
error: the document names no format
  at format   (line 1, column 1)
  hint: add "format": "blocksmith/1"

error: the document names no input
  at input   (line 1, column 1)
  hint: add "input": [3, 224, 224]

error: the document has no net
  at net   (line 1, column 1)
  hint: add "net": [ …nodes… ]
"###);
}

/// Unknown keys, and another format.
#[test]
fn top_keys() {
    let text = r#"{"format": "blocksmith/2", "inputs": [3, 8, 8], "input": [3, 0, "x"], "net": [{"op": "relu"}], "wheels": 4}"#;
    insta::assert_snapshot!(problems(text), @r###"
error: this program reads format "blocksmith/1", not "blocksmith/2"
  at format   (line 1, column 2)

error: no key "inputs" in the document
  at inputs   (line 1, column 28)
  hint: did you mean "input"?

error: a side of the input is a whole number from 1, not 0
  at input[1]   (line 1, column 62)

error: a side of the input is a whole number from 1, not x
  at input[2]   (line 1, column 65)

error: no key "wheels" in the document
  at wheels   (line 1, column 96)
  hint: known keys: $schema, format, name, doc, comment, input, vars, constraints, budgets, blocks, net, outputs
"###);
}

/// A key twice.
#[test]
fn double_keys() {
    let text = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
 "net": [{"op": "conv", "stride": 1,
  "stride": 2}]}"#;
    insta::assert_snapshot!(problems(text), @r###"
error: key "stride" stands twice in one object
  at net[0].stride   (line 3, column 3)
  the first one is at line 2, column 25
  hint: remove one of them
"###);
}

/// Nodes that do not say what they are.
#[test]
fn node_kinds() {
    let text = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
 "net": [{"blok": "osa"}, {"op": "relu", "block": "osa"}, 7, {"op": 3}, {"out_channels": 8}]}"#;
    insta::assert_snapshot!(problems(text), @r###"
error: this node does not say what it is
  at net[0]   (line 2, column 10)
  hint: did you mean "block"?

error: "op" and "block" stand in one node
  at net[1]   (line 2, column 27)

error: a node is an object, not a number
  at net[2]   (line 2, column 59)

error: "op" is the name of one, not a number
  at net[3].op   (line 2, column 63)

error: this node does not say what it is
  at net[4]   (line 2, column 73)
  hint: a node has "op", "block", "body" or "choice"
"###);
}

/// Ids and sources.
#[test]
fn ids_and_from() {
    let text = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
 "net": [{"id": "stem", "op": "conv"}, {"id": "stem", "op": "conv"}, {"op": "add", "from": ["sten", "late", "in[x]", "stem[x]", "in"]},
 {"id": "late", "op": "relu", "from": 3}, {"id": "2x", "op": "relu"}]}"#;
    insta::assert_snapshot!(problems(text), @r###"
error: the id "stem" stands twice in one body
  at net[1].id   (line 2, column 41)
  see net[0]: the first one

error: no node "sten" in this body
  at net[2].from[0]   (line 2, column 93)
  hint: did you mean "stem"?

error: "late" does not come before this node
  at net[2].from[1]   (line 2, column 101)

error: "in[x]" names no input; "in[0]" and "in[*]" do
  at net[2].from[2]   (line 2, column 109)

error: "stem[x]" names no result
  at net[2].from[3]   (line 2, column 118)
  hint: the results of a node that has several are "x[0]", "x[1]", all of them "x[*]"

error: "from" names a node or a list of nodes, not a number
  at net[3].from   (line 3, column 31)

error: "2x" cannot be an id
  at net[4].id   (line 3, column 44)
  hint: an id is letters, digits, _ and -, starts with a letter, and is not "in"
"###);
}

/// Expressions.
#[test]
fn expressions() {
    let text = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
 "vars": {"w2": 16, "w3": "=2*w22", "a": "=w2 < 3 < 4", "b": "=w2 = 3", "c": "=(w2", "d": "=mon(1, 2)", "e": "=min(1)", "f": "=i", "g": "=in.c", "h": "=9223372036854775808", "j": "=w2 == relu", "k": "=$"},
 "net": [{"op": "relu", "n": "=in.c + i", "when": "in.c > 2"}]}"#;
    insta::assert_snapshot!(problems(text), @r###"
error: no name "w22" here
  at vars.w3   (line 2, column 21)
  in "2*w22", at character 3
  hint: did you mean "w2"?

error: comparisons do not chain
  at vars.a   (line 2, column 37)
  in "w2 < 3 < 4", at character 8
  hint: write a < b && b < c

error: "=" compares nothing
  at vars.b   (line 2, column 57)
  in "w2 = 3", at character 4
  hint: "==" compares; the "=" before an expression stands at its start, and not at all in "when", "require" and "constraints"

error: expected ")"
  at vars.c   (line 2, column 73)
  in "(w2", at character 4

error: no function "mon"
  at vars.d   (line 2, column 86)
  in "mon(1, 2)", at character 1
  hint: did you mean "min"?

error: min takes 2 to 16 arguments, not 1
  at vars.e   (line 2, column 105)
  in "min(1)", at character 1

error: "i" is the number of a copy: it stands inside a repeat only
  at vars.f   (line 2, column 121)
  in "i", at character 1

error: "in" has no meaning here
  at vars.g   (line 2, column 132)
  in "in.c", at character 1

error: the number is too large
  at vars.h   (line 2, column 146)
  in "9223372036854775808", at character 1

error: no name "relu" here
  at vars.j   (line 2, column 175)
  in "w2 == relu", at character 7
  hint: known names: a, b, c, d, e, f, g, h, j, k, w2, w3; a word is written 'relu'

error: nothing starts with '$'
  at vars.k   (line 2, column 195)
  in "$", at character 1

error: "i" is the number of a copy: it stands inside a repeat only
  at net[0].n   (line 3, column 25)
  in "in.c + i", at character 8

error: "in" has no meaning here
  at net[0].when   (line 3, column 43)
  in "in.c > 2", at character 1
  hint: "in.c" stands in parameters of nodes and in declared blocks
"###);
}

/// Circles of variables.
#[test]
fn circles() {
    let text = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
 "vars": {"a": "=b", "b": {"choice": ["=c", 1]}, "c": "=a + 1", "self": "=self"},
 "net": [{"op": "relu"}]}"#;
    insta::assert_snapshot!(problems(text), @r###"
error: variables read each other in a circle: a -> b -> c -> a
  at vars.a   (line 2, column 11)

error: variables read each other in a circle: self -> self
  at vars.self   (line 2, column 65)
"###);
}

/// Names of variables.
#[test]
fn names() {
    let text = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
 "vars": {"2w": 1, "i": 2, "a-b": 3},
 "net": [{"op": "relu"}]}"#;
    insta::assert_snapshot!(problems(text), @r###"
error: "2w" cannot name a variable
  at vars["2w"]   (line 2, column 11)
  hint: a name is letters, digits and _, starts with a letter, and is not i, in, true or false

error: "i" cannot name a variable
  at vars.i   (line 2, column 20)
  hint: a name is letters, digits and _, starts with a letter, and is not i, in, true or false

error: "a-b" cannot name a variable
  at vars["a-b"]   (line 2, column 28)
  hint: a name is letters, digits and _, starts with a letter, and is not i, in, true or false
"###);
}

/// Choices and weights.
#[test]
fn choices() {
    let text = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
 "vars": {"a": {"choice": []}, "b": {"choice": [1, 1]}, "c": {"choice": [1, 2], "weights": [1]}, "d": {"choice": [1, 2], "weights": [0, 0]}, "e": {"choice": [1, {"range": {"min": 1, "max": 2}}]}, "f": {"chioce": [1]}, "g": {"choice": [1], "range": {}}, "h": {"choice": [1, 2], "weights": [-1, 2]}, "k": null, "l": [1, 2]},
 "net": [{"op": "relu"}]}"#;
    insta::assert_snapshot!(problems(text), @r###"
error: a choice needs at least one item
  at vars.a.choice   (line 2, column 17)

error: item 1 is the same as item 0
  at vars.b.choice[1]   (line 2, column 52)
  hint: to draw one more often, use "weights"

error: 1 weights for 2 items
  at vars.c.weights   (line 2, column 81)

error: the weights add up to nothing that can be drawn by
  at vars.d.weights   (line 2, column 122)

error: an item of this choice is a literal or an expression, not an object
  at vars.e.choice[1]   (line 2, column 162)

error: expected a value, not an object of this kind
  at vars.f   (line 2, column 197)
  hint: did you mean "choice"?

error: "choice" and "range" stand in one object
  at vars.g   (line 2, column 219)

error: a weight is a number from 0, not -1
  at vars.h.weights[0]   (line 2, column 290)

error: expected a value, not null
  at vars.k   (line 2, column 299)

error: expected a value, not a list
  at vars.l   (line 2, column 310)
"###);
}

/// Ranges.
#[test]
fn grids() {
    let text = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
 "vars": {"a": {"range": {"min": 16, "max": 99, "step": 8}}, "b": {"range": {"min": 4, "max": 2}}, "c": {"range": {"min": 4}}, "d": {"range": {"min": 1, "max": 2, "step": 0}}, "e": {"range": {"min": 0.0, "max": 1.0, "step": 0.000001}}, "f": {"range": {"min": 0.1, "max": 0.55, "step": 0.1}}, "g": {"range": {"min": 1, "max": 5, "stepp": 2}}, "h": {"range": {"min": 1, "max": 18446744073709551615}}},
 "net": [{"op": "relu"}]}"#;
    insta::assert_snapshot!(problems(text), @r###"
error: "max" 99 is not a whole number of steps from "min"
  at vars.a.range.max   (line 2, column 38)
  hint: nearest ends that are: 96 and 104

error: "min" is above "max"
  at vars.b.range   (line 2, column 68)

error: "max" is missing
  at vars.c.range.max   (line 2, column 106)

error: "step" is above 0
  at vars.d.range.step   (line 2, column 164)

error: a grid of real numbers has at most 100000 values
  at vars.e.range   (line 2, column 183)

error: "max" 0.55 is not a whole number of steps from "min"
  at vars.f.range.max   (line 2, column 265)
  hint: nearest ends that are: 0.5 and 0.6

error: no key "stepp" in a range
  at vars.g.range.stepp   (line 2, column 329)
  hint: did you mean "step"?

error: the number 18446744073709551615 is too large
  at vars.h.range.max   (line 2, column 369)
"###);
}

/// Distributions.
#[test]
fn dists() {
    let text = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
 "vars": {"a": {"dist": {"kind": "log_norm", "min": 1, "max": 2}}, "b": {"dist": {"kind": "normal", "mean": 3, "min": 1, "max": 9}}, "c": {"dist": {"kind": "log_uniform", "min": 0, "max": 9}}, "d": {"dist": {"kind": "normal", "mean": 1000, "sigma": 1, "min": 1, "max": 9}}, "e": {"dist": {"kind": "poisson", "mean": -1, "min": 1, "max": 9}}, "f": {"dist": {"min": 1, "max": 9}}},
 "net": [{"op": "relu"}]}"#;
    insta::assert_snapshot!(problems(text), @r###"
error: no distribution "log_norm"
  at vars.a.dist.kind   (line 2, column 26)
  hint: did you mean "log_normal"?

error: "sigma" is missing
  at vars.b.dist.sigma   (line 2, column 74)

error: log_uniform needs "min" above 0
  at vars.c.dist   (line 2, column 140)

error: this normal distribution gives next to nothing between "min" and "max"
  at vars.d.dist   (line 2, column 200)

error: poisson needs "mean" above 0
  at vars.e.dist   (line 2, column 281)

error: the distribution names no "kind"
  at vars.f.dist.kind   (line 2, column 349)
  hint: kinds: normal, log_normal, log_uniform, poisson
"###);
}

/// Repeats.
#[test]
fn repeats() {
    let text = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
 "vars": {"n": {"range": {"min": 1, "max": 4}}},
 "net": [{"op": "relu", "vary": true}, {"op": "relu", "repeat": -1}, {"op": "relu", "repeat": 2.5}, {"op": "relu", "repeat": "=in.c"}, {"op": "relu", "repeat": {"range": {"min": 1, "max": 5000}}, "vary": true},
 {"op": "relu", "k": {"each": [1, 2]}}, {"op": "relu", "k": {"each": [1, 2, 3]}, "repeat": 2, "vary": true}]}"#;
    insta::assert_snapshot!(problems(text), @r###"
error: "vary" needs a "repeat" beside it
  at net[0].vary   (line 3, column 25)
  hint: a node without "repeat" has one copy

error: a repeat is a whole number from 0, not -1
  at net[1].repeat   (line 3, column 55)

error: a repeat is a whole number from 0, not 2.5
  at net[2].repeat   (line 3, column 85)

error: "in" has no meaning here
  at net[3].repeat   (line 3, column 116)
  in "in.c", at character 1
  hint: "in.c" stands in parameters of nodes and in declared blocks

error: a varied repeat has at most 1000 copies, and 50000 with those around it; this one can have 5000
  at net[4].repeat   (line 3, column 151)

error: "each" stands inside a varied repeat only
  at net[5].k   (line 4, column 17)
  hint: give the node around it "repeat" and "vary": true

error: 3 items for at most 2 copies
  at net[6].k.each   (line 4, column 62)
"###);
}

/// Labels of options.
#[test]
fn labels() {
    let text = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
 "net": [{"choice": [{"as": "a", "op": "relu"}, {"as": "a", "op": "relu6"}, {"as": "7", "op": "silu"}, {"op": "relu", "sas": 1, "weights": 2}]}, {"as": "x", "body": [{"op": "relu"}]}]}"#;
    insta::assert_snapshot!(problems(text), @r###"
error: option 0 has the label "a" already
  at net[0].choice[1].as   (line 2, column 50)

error: "7" cannot be a label
  at net[0].choice[2].as   (line 2, column 78)
  hint: a label is letters, digits, _ and -, and starts with a letter

error: "weights" has no meaning in this node
  at net[0].choice[3].weights   (line 2, column 129)

error: no key "as" in a node with "body"
  at net[1].as   (line 2, column 147)
  hint: known keys: id, from, over, when, repeat, vary, doc, comment, body
"###);
}

/// Declared blocks.
#[test]
fn declared() {
    let text = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
 "vars": {"w": 8}, "blocks": {"b": {"params": {"n": {"type": "int", "min": 2, "max": 4}, "g": {"type": "word", "of": ["none", "se"], "default": "sse"}, "t": {"type": "ints"}, "r": {"type": "real", "default": "x"}, "id": {"type": "bool"}},
 "require": ["n > w"], "bodi": [], "body": [{"op": "relu"}]}, "empty": {}},
 "net": [{"block": "b", "n": 1, "g": "see", "rr": 2}, {"block": "b", "n": {"range": {"min": 3, "max": 6}}, "r": 1.5, "t": true, "id": true}, {"block": "b"}]}"#;
    insta::assert_snapshot!(problems(text), @r###"
error: "g" is one of none, se, not sse
  at blocks.b.params.g.default   (line 2, column 134)

error: no type "ints"
  at blocks.b.params.t.type   (line 2, column 159)
  hint: did you mean "int"?

error: "r" is a number, not word x
  at blocks.b.params.r.default   (line 2, column 198)

error: "id" cannot name a parameter
  at blocks.b.params.id   (line 2, column 215)
  hint: a name is letters, digits and _, starts with a letter, and means nothing else in a node

error: no name "w" here
  at blocks.b.require[0]   (line 3, column 14)
  in "n > w", at character 5
  hint: a declared block sees its own parameters only; give it "w" as one

error: no key "bodi" in a declared block
  at blocks.b.bodi   (line 3, column 24)
  hint: did you mean "body"?

error: the block "empty" has no "body"
  at blocks.empty   (line 3, column 63)

error: "n" is at least 2, not 1
  at net[0].n   (line 4, column 25)
  see blocks.b.params.n: the parameter

error: "g" is one of none, se, not see
  at net[0].g   (line 4, column 33)
  see blocks.b.params.g: the parameter

error: no key "rr" in block "b"
  at net[0].rr   (line 4, column 45)
  hint: did you mean "r"?

error: "n" is at most 4, not 6
  at net[1].n   (line 4, column 70)
  see blocks.b.params.n: the parameter

error: "id" is a text, not true or false
  at net[1].id   (line 4, column 129)

error: block "b" needs "n"
  at net[2]   (line 4, column 142)
  see blocks.b.params.n: the parameter

error: block "b" needs "id"
  at net[2]   (line 4, column 142)
  see blocks.b.params.id: the parameter
"###);
}

/// Declared blocks in a circle.
#[test]
fn recursion() {
    let text = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
 "blocks": {"a": {"body": [{"block": "b"}]}, "b": {"body": [{"choice": [{"op": "relu"}, {"block": "a"}]}]}},
 "net": [{"block": "a"}]}"#;
    insta::assert_snapshot!(problems(text), @r###"
error: declared blocks use each other in a circle: a -> b -> a
  at blocks.a   (line 2, column 13)
"###);
}

/// Outputs, budgets and constraints.
#[test]
fn outputs() {
    let text = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
 "budgets": {"params": "many", "macs": -1}, "constraints": "a < b",
 "net": [{"id": "body", "op": "relu"}], "outputs": ["bodi", "body", "body", 3]}"#;
    insta::assert_snapshot!(problems(text), @r###"
error: a budget is a number above 0, not "many"
  at budgets.params   (line 2, column 14)

error: a budget is a number above 0, not -1
  at budgets.macs   (line 2, column 32)

error: expected a list of expressions, not a text
  at constraints   (line 2, column 45)

error: the net has no node with the id "bodi"
  at outputs[0]   (line 3, column 53)
  hint: did you mean "body"?

error: "body" is named twice
  at outputs[2]   (line 3, column 69)

error: an output is the id of a node, not a number
  at outputs[3]   (line 3, column 77)
"###);
}

/// Named inputs.
#[test]
fn inputs() {
    let text = r#"{"format": "blocksmith/1", "input": {"left": [3, 8, 8], "in": [1, 8, 8], "right": [3, 8]},
 "net": [{"id": "left", "op": "relu"}, {"op": "add", "from": ["left", "rigth"]}]}"#;
    insta::assert_snapshot!(problems(text), @r###"
error: "in" cannot name an input
  at input.in   (line 1, column 57)
  hint: a name is letters, digits, _ and -, starts with a letter, and is not "in"

error: an input is [channels, height, width]
  at input.right   (line 1, column 74)

error: "left" is the name of an input already
  at net[0].id   (line 2, column 11)

error: no node "rigth" in this body
  at net[1].from[1]   (line 2, column 71)
  hint: did you mean "right"?
"###);
}

/// A constraint that the only network does not meet.
#[test]
fn false_constraint() {
    let text = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
 "vars": {"w": 24, "v": "=2*w"}, "constraints": ["v <= w"],
 "net": [{"op": "relu"}]}"#;
    insta::assert_snapshot!(problems(text), @r###"
error: a constraint is not met
  at constraints[0]   (line 2, column 50)
  "v <= w" is false with v = 48, w = 24
"###);
}

/// A variable without a value.
#[test]
fn no_value() {
    let text = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
 "vars": {"w": 0, "v": "=div(3, w)"},
 "net": [{"op": "relu"}]}"#;
    insta::assert_snapshot!(problems(text), @r###"
error: variable "v" has no value: division by zero
  at vars.v   (line 2, column 19)
"###);
}

/// A sampler that finds nothing names the constraint to blame.
#[test]
fn nothing_to_sample() {
    let text = r#"{"format": "blocksmith/1", "input": [3, 8, 8],
 "vars": {"w3": {"range": {"min": 1, "max": 100}}, "w4": {"range": {"min": 1, "max": 2}}},
 "constraints": ["w3 <= w4", "w4 < w3"], "net": [{"op": "relu"}]}"#;
    let space = Space::parse(text).unwrap();
    let error = space.sample(&mut stream(1, "test", 0)).unwrap_err();
    insta::assert_snapshot!(error.diagnostic().render(None), @r###"
error: no sample met the constraints in 1000 tries
  at constraints[0]
  "w3 <= w4" turned down 989 of them
  see constraints[1]: "w4 < w3" turned down 11
"###);
}

/// Values given by hand: `--set`.
#[test]
fn settings() {
    let space = Space::parse(include_str!("documents/mixed.json")).unwrap();
    let told = |settings: &[(&str, &str)]| {
        space
            .fix(settings)
            .map_or_else(|e| e.render(None), |_| "fine".into())
    };
    let wrong = [
        ("w22", "48"),
        ("w2", "50"),
        ("act", "relux"),
        ("s2", "shufle"),
        ("w3", "=4*w2"),
    ];
    insta::assert_snapshot!(told(&wrong), @r###"
error: no decision "w22"
  hint: did you mean "w2"?

error: 50 is no value of "w2"
  hint: values: 48 to 96 in steps of 16

error: "relux" is no value of "act"
  hint: did you mean "relu"?

error: "shufle" is no value of "s2"
  hint: did you mean "shuffle"?

error: "=4*w2" is no value of "w3"
  hint: did you mean "=2*w2"?
"###);
    assert_eq!(
        told(&[
            ("w2", "64"),
            ("w3", "=3*w2"),
            ("w4", "320"),
            ("act", "relu"),
            ("s2", "shuffle")
        ]),
        "fine"
    );
    // 192 is what "=3*w2" amounts to with that w2.
    assert_eq!(told(&[("w2", "64"), ("w3", "192")]), "fine");
    assert_eq!(told(&[("w3", "192"), ("w2", "64")]), "fine");
}

/// Assignments from elsewhere.
#[test]
fn assignments_from_json() {
    let space = Space::parse(include_str!("documents/lite.json")).unwrap();
    let told = |text: &str| {
        let json = serde_json::from_str(text).unwrap();
        space.assignment_from_json(&json).map_or_else(
            |e| e.render(None),
            |a| space.assignment_to_json(&a).to_string(),
        )
    };
    let fine = r#"{"w":64,"net[2].mid_channels":24,"net[2].repeat":2,"net[4].gate":"ese"}"#;
    assert_eq!(
        told(fine),
        r#"{"w":64,"net[2].repeat":2,"net[2].mid_channels":24,"net[4].gate":"ese"}"#
    );
    let wrong = r#"{"w": 65, "net[2].mid_channel": 24, "net[4].gate": true}"#;
    insta::assert_snapshot!(told(wrong), @r###"
error: no decision "net[2].mid_channel"
  hint: did you mean "net[2].mid_channels"?

error: 65 is no value of "w"
  hint: values: 48, 64, 80

error: true is no value of "net[4].gate"
  hint: values: "none", "ese"
"###);
    insta::assert_snapshot!(told(r#"{"w": 64, "net[4].gate": "none"}"#), @r###"
error: no value for "net[2].repeat"

error: no value for "net[2].mid_channels"
"###);
    insta::assert_snapshot!(told("[]"), @r###"
error: an assignment is an object: {decision id: value}
"###);
}
