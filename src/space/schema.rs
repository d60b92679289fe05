//! The JSON Schema (draft 2020-12) of documents, for editors. It knows the shape of a document and the parameters of
//! the blocks and ops it is given; what needs names or values (ids, expressions, ends of grids) the parser alone checks.

use super::FORMAT;
use super::signature::{Literal, NodeKind, ParamDef, ParamKind, Signature};
use serde_json::{Map, Value, json};

/// The schema of documents with these blocks and ops.
pub fn schema(signatures: &[Signature]) -> Value {
    let mut defs = Map::new();
    defs.insert("expression".into(), json!({"type": "string", "pattern": "^=", "description": "An expression, as in \"=2*w + 16\"."}));
    defs.insert("condition".into(), json!({"type": "string", "minLength": 1, "pattern": "^[^=]", "description": "An expression that is true or false, bare."}));
    defs.insert(
        "sources".into(),
        json!({"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"type": "string"}}]}),
    );
    defs.insert(
        "result".into(),
        json!({"type": "string", "pattern": r"^[A-Za-z][A-Za-z0-9_-]*(\[(\*|0|[1-9][0-9]{0,2})\])?$"}),
    );
    defs.insert(
        "name".into(),
        json!({"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_-]*$", "maxLength": 64}),
    );
    defs.insert(
        "weights".into(),
        json!({"type": "array", "minItems": 1, "items": {"type": "number", "minimum": 0}}),
    );
    defs.insert("range".into(), range());
    defs.insert("dist".into(), dist());
    let word = json!({"type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[^=]"});
    defs.insert(
        "any".into(),
        forms(
            &json!({"anyOf": [{"type": ["boolean", "number"]}, word]}),
            true,
            true,
        ),
    );
    defs.insert(
        "side".into(),
        forms(&json!({"type": "integer", "minimum": 1}), true, false),
    );
    defs.insert(
        "count".into(),
        forms(&json!({"type": "integer", "minimum": 0}), true, true),
    );
    defs.insert(
        "shape".into(),
        json!({"type": "array", "minItems": 3, "maxItems": 3, "items": {"$ref": "#/$defs/side"}}),
    );
    defs.insert(
        "body".into(),
        json!({
            "type": "array", "minItems": 1,
            "items": {"allOf": [{"$ref": "#/$defs/node"}, {"not": {"required": ["as"]}}]},
        }),
    );
    defs.insert("param".into(), param());
    defs.insert(
        "declared".into(),
        json!({
            "type": "object", "required": ["body"], "additionalProperties": false,
            "properties": {
                "doc": {"type": "string"}, "comment": {"type": "string"},
                "shapes": {"type": "string"}, "formula": {"type": "string"}, "source": {"type": "string"},
                "example": {"type": "object"},
                "params": {"type": "object", "additionalProperties": {"$ref": "#/$defs/param"}},
                "require": {"type": "array", "items": {"anyOf": [
                    {"$ref": "#/$defs/condition"},
                    {
                        "type": "object", "required": ["that"], "additionalProperties": false,
                        "properties": {"that": {"$ref": "#/$defs/condition"}, "hint": {"type": "string"}},
                    },
                ]}},
                "body": {"$ref": "#/$defs/body"},
            },
        }),
    );
    defs.insert("node".into(), node(signatures));
    for signature in signatures {
        defs.insert(def_name(signature), unit(signature));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("{FORMAT} document"),
        "type": "object",
        "required": ["format", "input", "net"],
        "additionalProperties": false,
        "properties": {
            "$schema": {"type": "string"},
            "format": {"const": FORMAT},
            "name": {"type": "string"}, "doc": {"type": "string"}, "comment": {"type": "string"},
            "input": {"anyOf": [
                {"$ref": "#/$defs/shape"},
                {"type": "object", "minProperties": 1, "propertyNames": {"$ref": "#/$defs/name"}, "additionalProperties": {"$ref": "#/$defs/shape"}},
            ]},
            "vars": {"type": "object", "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}, "additionalProperties": forms(&json!({"anyOf": [{"type": ["boolean", "number"]}, word]}), true, false)},
            "constraints": {"type": "array", "items": {"$ref": "#/$defs/condition"}},
            "budgets": {"type": "object", "additionalProperties": {"type": "number", "exclusiveMinimum": 0}},
            "blocks": {"type": "object", "propertyNames": {"$ref": "#/$defs/name"}, "additionalProperties": {"$ref": "#/$defs/declared"}},
            "net": {"$ref": "#/$defs/body"},
            "outputs": {"type": "array", "minItems": 1, "maxItems": 64, "items": {"$ref": "#/$defs/result"}},
        },
        "$defs": defs,
    })
}

fn range() -> Value {
    json!({
        "type": "object", "required": ["range"], "additionalProperties": false,
        "properties": {
            "doc": {"type": "string"}, "comment": {"type": "string"},
            "range": {
                "type": "object", "required": ["min", "max"], "additionalProperties": false,
                "properties": {
                    "min": {"type": "number"}, "max": {"type": "number"},
                    "step": {"type": "number", "exclusiveMinimum": 0, "default": 1},
                    "doc": {"type": "string"}, "comment": {"type": "string"},
                },
            },
        },
    })
}

fn dist() -> Value {
    let positive = json!({"type": "number", "exclusiveMinimum": 0});
    let number = json!({"type": "number"});
    let kinds = [
        (
            "normal",
            vec![("mean", number.clone()), ("sigma", positive.clone())],
        ),
        (
            "log_normal",
            vec![("median", positive.clone()), ("sigma", positive.clone())],
        ),
        ("log_uniform", Vec::new()),
        ("poisson", vec![("mean", positive.clone())]),
    ];
    let variants = kinds.into_iter().map(|(kind, own)| {
        let mut required = vec!["kind", "min", "max"];
        let mut properties = json!({
            "kind": {"const": kind}, "min": number, "max": number, "step": positive,
            "doc": {"type": "string"}, "comment": {"type": "string"},
        });
        for (key, schema) in own {
            required.push(key);
            properties[key] = schema;
        }
        json!({"type": "object", "required": required, "additionalProperties": false, "properties": properties})
    });
    json!({
        "type": "object", "required": ["dist"], "additionalProperties": false,
        "properties": {"dist": {"oneOf": variants.collect::<Vec<_>>()}, "doc": {"type": "string"}, "comment": {"type": "string"}},
    })
}

/// All forms of a scalar with this literal.
fn forms(literal: &Value, grid: bool, each: bool) -> Value {
    let expression = json!({"$ref": "#/$defs/expression"});
    let mut any = vec![
        literal.clone(),
        expression.clone(),
        json!({
            "type": "object", "required": ["choice"], "additionalProperties": false,
            "properties": {
                "choice": {"type": "array", "minItems": 1, "uniqueItems": true, "items": {"anyOf": [literal, expression]}},
                "weights": {"$ref": "#/$defs/weights"},
                "doc": {"type": "string"}, "comment": {"type": "string"},
            },
        }),
    ];
    if grid {
        any.push(json!({"$ref": "#/$defs/range"}));
        any.push(json!({"$ref": "#/$defs/dist"}));
    }
    if each {
        // The items of an `each` are of the same forms; how deep they nest is for the parser.
        any.push(json!({
            "type": "object", "required": ["each"], "additionalProperties": false,
            "properties": {"each": {"type": "array", "minItems": 1}, "doc": {"type": "string"}, "comment": {"type": "string"}},
        }));
    }
    json!({ "anyOf": any })
}

/// A parameter of a declared block.
fn param() -> Value {
    let or_expression =
        |literal: &Value| json!({"anyOf": [literal, {"$ref": "#/$defs/expression"}]});
    let of_type = |kind: &str, own: Value| {
        let mut properties = json!({"type": {"const": kind}, "doc": {"type": "string"}});
        if let (Value::Object(all), Value::Object(own)) = (&mut properties, own) {
            all.extend(own);
        }
        let required = if kind == "word" {
            json!(["type", "of"])
        } else {
            json!(["type"])
        };
        json!({"type": "object", "required": required, "additionalProperties": false, "properties": properties})
    };
    let int = json!({"type": "integer"});
    let number = json!({"type": "number"});
    let word = json!({"type": "string", "minLength": 1, "pattern": "^[^=]"});
    json!({"oneOf": [
        of_type("int", json!({"min": int, "max": int, "default": or_expression(&int)})),
        of_type("real", json!({"min": number, "max": number, "default": or_expression(&number)})),
        of_type("bool", json!({"default": or_expression(&json!({"type": "boolean"}))})),
        of_type("word", json!({"of": {"type": "array", "minItems": 1, "uniqueItems": true, "items": word}, "default": or_expression(&word)})),
    ]})
}

/// What all nodes may have.
fn common() -> Map<String, Value> {
    let members = json!({
        "id": {"$ref": "#/$defs/name"},
        "as": {"$ref": "#/$defs/name"},
        "from": {"$ref": "#/$defs/sources"},
        "over": {"$ref": "#/$defs/sources"},
        "when": {"$ref": "#/$defs/condition"},
        "repeat": {"$ref": "#/$defs/count"},
        "vary": {"type": "boolean"},
        "doc": {"type": "string"}, "comment": {"type": "string"},
    });
    match members {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn node(signatures: &[Signature]) -> Value {
    let with = |extra: Value| {
        let mut properties = common();
        if let Value::Object(extra) = extra {
            properties.extend(extra);
        }
        json!({"additionalProperties": false, "properties": properties})
    };
    let names = |kind: NodeKind| -> Vec<&str> {
        signatures
            .iter()
            .filter(|s| s.kind == kind)
            .map(|s| s.name)
            .collect()
    };
    let has = |key: &str| json!({"required": [key]});
    let mut rules = vec![
        json!({"if": has("op"), "then": {"properties": {"op": {"enum": names(NodeKind::Op)}}}}),
        json!({"if": has("block"), "then": {"properties": {"block": {"type": "string", "minLength": 1, "examples": names(NodeKind::Block)}}}}),
        json!({"if": has("body"), "then": with(json!({"body": {"$ref": "#/$defs/body"}}))}),
        json!({"if": has("choice"), "then": with(json!({
            "choice": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/node"}},
            "weights": {"$ref": "#/$defs/weights"},
        }))}),
        json!({"if": has("each"), "then": {"additionalProperties": false, "properties": {
            "each": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/node"}},
            "doc": {"type": "string"}, "comment": {"type": "string"},
        }}}),
        json!({"if": has("vary"), "then": has("repeat")}),
        json!({"if": has("over"), "then": {"properties": {"from": false, "repeat": false}}}),
    ];
    for signature in signatures {
        let key = key_of(signature.kind);
        let reference = format!("#/$defs/{}", def_name(signature));
        rules.push(json!({
            "if": {"required": [key], "properties": {key: {"const": signature.name}}},
            "then": {"$ref": reference},
        }));
    }
    json!({
        "type": "object",
        "oneOf": [has("op"), has("block"), has("body"), has("choice"), has("each")],
        "allOf": rules,
    })
}

fn key_of(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Op => "op",
        NodeKind::Block => "block",
    }
}

fn def_name(signature: &Signature) -> String {
    format!("{}_{}", key_of(signature.kind), signature.name)
}

/// A node with this op or block.
fn unit(signature: &Signature) -> Value {
    let key = key_of(signature.kind);
    let mut properties = common();
    properties.insert(key.into(), json!({"const": signature.name}));
    let mut required = vec![key];
    for def in signature.params {
        properties.insert(def.name.into(), value_of(def));
        required.extend(def.required.then_some(def.name));
    }
    json!({
        "description": signature.doc,
        "required": required, "additionalProperties": false, "properties": properties,
    })
}

/// The values of a parameter.
fn value_of(def: &ParamDef) -> Value {
    let int = |min: i64, max: i64| {
        let mut schema = json!({"type": "integer"});
        if min > i64::MIN {
            schema["minimum"] = min.into();
        }
        if max < i64::MAX {
            schema["maximum"] = max.into();
        }
        schema
    };
    let mut schema = match def.kind {
        ParamKind::Int { min, max } => forms(&int(min, max), true, true),
        ParamKind::Real { min, max } => {
            let mut literal = json!({"type": "number"});
            if min.is_finite() {
                literal["minimum"] = min.into();
            }
            if max.is_finite() {
                literal["maximum"] = max.into();
            }
            forms(&literal, true, true)
        }
        ParamKind::Bool => forms(&json!({"type": "boolean"}), false, true),
        ParamKind::Word(of) => forms(&json!({"enum": of}), false, true),
        ParamKind::Pair { min, max } => {
            let one = forms(&int(min, max), true, true);
            json!({"anyOf": [one, {"type": "array", "minItems": 2, "maxItems": 2, "items": one}]})
        }
    };
    schema["description"] = def.doc.into();
    if let Some(default) = def.default {
        schema["default"] = match default {
            Literal::Int(x) => x.into(),
            Literal::Real(x) => x.into(),
            Literal::Bool(x) => x.into(),
            Literal::Word(x) | Literal::Expr(x) => x.into(),
        };
    }
    schema
}
