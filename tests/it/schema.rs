//! The JSON Schema against the parser: what is right passes both, what is wrong in its shape fails both.

use blocksmith::space::Space;
use blocksmith::space::schema::schema;
use blocksmith::space::signature::{Literal, NodeKind, ParamDef, ParamKind, Signature};
use serde_json::{Value, json};

const fn param(name: &'static str, kind: ParamKind, required: bool) -> ParamDef {
    ParamDef {
        name,
        kind,
        required,
        default: None,
        doc: "of a test",
    }
}

const WIDTH: ParamDef = param(
    "out_channels",
    ParamKind::Int {
        min: 1,
        max: i64::MAX,
    },
    true,
);
const KERNEL: ParamDef = param("kernel_size", ParamKind::Pair { min: 1, max: 31 }, true);
const RATIO: ParamDef = param("ratio", ParamKind::Real { min: 0.0, max: 1.0 }, false);
const ACT: ParamDef = ParamDef {
    default: Some(Literal::Word("relu")),
    ..param("act", ParamKind::Word(&["relu", "hswish"]), false)
};
const BIAS: ParamDef = param("bias", ParamKind::Bool, false);

const SIGNATURES: [Signature; 2] = [
    Signature {
        name: "conv",
        kind: NodeKind::Block,
        doc: "a test",
        params: &[WIDTH, KERNEL, RATIO, ACT, BIAS],
    },
    Signature {
        name: "relu",
        kind: NodeKind::Op,
        doc: "a test",
        params: &[],
    },
];

fn around(node: &Value) -> Value {
    json!({"format": "blocksmith/1", "input": [3, 8, 8], "vars": {"w": 8, "p": {"range": {"min": 0.0, "max": 1.0, "step": 0.5}}},
           "blocks": {"own": {"params": {"k": {"type": "word", "of": ["a"], "default": "a"}}, "require": ["k == 'a'"], "body": [{"op": "relu"}]}},
           "net": [node]})
}

#[test]
fn right_documents_pass_both() {
    let validator = jsonschema::validator_for(&schema(&SIGNATURES)).unwrap();
    let nodes = [
        json!({"op": "relu", "id": "a", "from": "in", "when": "w > 2", "repeat": "=w", "doc": "x"}),
        json!({"block": "conv", "out_channels": "=2*w", "kernel_size": 3}),
        json!({"block": "conv", "out_channels": {"range": {"min": 8, "max": 16, "step": 8}}, "kernel_size": [1, {"choice": [1, 3], "weights": [1, 2]}],
               "ratio": {"choice": [0.25, "=p"]}, "act": {"choice": ["relu", "hswish"]}, "bias": {"choice": [true, false]}}),
        json!({"block": "conv", "out_channels": {"each": [8, 16]}, "kernel_size": 3, "repeat": 2, "vary": true}),
        json!({"block": "conv", "kernel_size": 3, "out_channels": {"dist": {"kind": "log_uniform", "min": 1, "max": 8}}}),
        json!({"block": "own", "k": {"choice": ["a"]}, "repeat": {"choice": [1, 2]}}),
        json!({"choice": [{"as": "x", "body": [{"op": "relu"}]}, {"op": "relu"}], "weights": [1, 2]}),
        json!({"body": [{"each": [{"op": "relu"}, {"body": [{"op": "relu"}]}]}], "repeat": 2, "vary": true}),
    ];
    for node in nodes {
        let document = around(&node);
        let problems: Vec<String> = validator
            .iter_errors(&document)
            .map(|e| e.to_string())
            .collect();
        assert_eq!(problems, Vec::<String>::new(), "{node}");
        let read = Space::parse(&document.to_string());
        assert!(read.is_ok(), "{node}: {}", read.unwrap_err());
    }
}

#[test]
fn wrong_documents_fail_both() {
    let validator = jsonschema::validator_for(&schema(&SIGNATURES)).unwrap();
    let nodes = [
        json!({}),
        json!(7),
        json!({"op": "relu", "block": "conv"}),
        json!({"op": "relu", "id": "2x"}),
        json!({"op": "relu", "as": "x", "id": 3}),
        json!({"op": "relu", "from": []}),
        json!({"op": "relu", "when": true}),
        json!({"op": "relu", "repeat": -1}),
        json!({"op": "relu", "vary": true}),
        json!({"op": "relu", "repeat": {"range": {"min": 1}}}),
        json!({"op": "relu", "repeat": {"range": {"min": 1, "max": 2}, "choice": [1]}}),
        json!({"op": "relu", "repeat": {"choice": []}}),
        json!({"op": "relu", "repeat": {"choice": [1, 1]}}),
        json!({"op": "relu", "repeat": {"dist": {"kind": "gauss", "min": 1, "max": 2}}}),
        json!({"op": "relu", "repeat": {"dist": {"kind": "normal", "min": 1, "max": 2, "mean": 1}}}),
        json!({"body": []}),
        json!({"body": [{"op": "relu"}], "size": 3}),
        json!({"body": [{"as": "x", "body": [{"op": "relu"}]}]}),
        json!({"choice": [{"op": "relu"}], "weights": [-1]}),
        json!({"choice": []}),
        json!({"op": "relu", "doc": 3}),
    ];
    for node in nodes {
        let document = around(&node);
        assert!(!validator.is_valid(&document), "the schema takes {node}");
        assert!(
            Space::parse(&document.to_string()).is_err(),
            "the parser takes {node}"
        );
    }
    let top = [
        ("format", json!("blocksmith/2")),
        ("input", json!([3, 8])),
        ("input", json!({})),
        ("input", json!([3, 8, 0])),
        ("net", json!([])),
        ("net", json!({})),
        ("wheels", json!(4)),
        ("vars", json!({"a": null})),
        (
            "vars",
            json!({"a": {"range": {"min": 1, "max": 2, "step": 0}}}),
        ),
        ("budgets", json!({"params": 0})),
        ("constraints", json!([true])),
        ("outputs", json!([])),
        (
            "blocks",
            json!({"own": {"params": {"k": {"type": "words"}}, "body": [{"op": "relu"}]}}),
        ),
        (
            "blocks",
            json!({"own": {"params": {"k": {"type": "int", "of": ["a"]}}, "body": [{"op": "relu"}]}}),
        ),
        ("blocks", json!({"own": {}})),
    ];
    for (key, value) in top {
        let mut document = around(&json!({"op": "relu"}));
        document[key] = value;
        assert!(
            !validator.is_valid(&document),
            "the schema takes {document}"
        );
        assert!(
            Space::parse(&document.to_string()).is_err(),
            "the parser takes {document}"
        );
    }
    // Parameters of blocks are known to the schema and to the floor above the parser.
    let params = [
        json!({"block": "conv", "kernel_size": 3}),
        json!({"block": "conv", "out_channels": 0, "kernel_size": 3}),
        json!({"block": "conv", "out_channels": 8, "kernel_size": [3]}),
        json!({"block": "conv", "out_channels": 8, "kernel_size": 3, "act": "gelu"}),
        json!({"block": "conv", "out_channels": 8, "kernel_size": 3, "ratio": 1.5}),
        json!({"block": "conv", "out_channels": 8, "kernel_size": 3, "layer": 3}),
        json!({"block": "conv", "out_channels": {"choice": [8, 2.5]}, "kernel_size": 3}),
        json!({"op": "rely"}),
    ];
    for node in params {
        assert!(
            !validator.is_valid(&around(&node)),
            "the schema takes {node}"
        );
    }
}
