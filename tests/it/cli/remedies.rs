//! Findings of `show` tell the remedied network node by node: built from what they say, it has the cost that they state.

use super::{json, write};
use serde_json::{Value, json};
use std::path::Path;

fn conv(id: &str, width: u32, kernel: u32) -> Value {
    json!({"id": id, "op": "conv", "out_channels": width, "kernel_size": kernel})
}

fn from(mut node: Value, inputs: &[&str]) -> Value {
    node["from"] = json!(inputs);
    node
}

/// A document of a classifier behind the nodes.
fn document(nodes: Vec<Value>) -> Value {
    let mut net = nodes;
    net.push(json!({"id": "gap", "op": "global_avg_pool"}));
    net.push(json!({"id": "flat", "op": "flatten"}));
    net.push(json!({"id": "fc", "op": "linear", "out_features": 10}));
    // every node says what it reads
    let mut before = "in".to_owned();
    for node in &mut net {
        if node.get("from").is_none() {
            node["from"] = json!([before]);
        }
        before = node["id"].as_str().unwrap().to_owned();
    }
    json!({"format": "blocksmith/1", "name": "n", "input": [3, 56, 56], "net": net})
}

/// Unequal widths, groups, sums, norms, activations and shuffles, and blocks with many branches.
fn networks() -> Vec<Value> {
    let act = |id: &str| json!({"id": id, "op": "relu"});
    let mut unequal = Vec::new();
    let mut grouped = vec![conv("stem", 128, 3)];
    let mut plain = vec![conv("stem", 64, 3), act("first")];
    let mut branches = vec![conv("stem", 64, 3)];
    let mut block = "first".to_owned();
    let mut fork = "stem".to_owned();
    for i in 0..4 {
        let name = |part: &str| format!("{part}{i}");
        unequal.extend([conv(&name("narrow"), 32, 1), act(&name("r"))]);
        unequal.extend([conv(&name("wide"), 192, 1), act(&name("s"))]);
        let mut groups = conv(&name("g"), 128, 1);
        groups["groups"] = json!(4);
        grouped.extend([groups, act(&name("r"))]);
        plain.extend([
            from(conv(&name("c"), 64, 3), &[&block]),
            json!({"id": name("norm"), "op": "batch_norm"}),
            from(
                json!({"id": name("sum"), "op": "add"}),
                &[&name("norm"), &block],
            ),
            json!({"id": name("hard"), "op": "hswish"}),
            json!({"id": name("mix"), "op": "shuffle", "groups": 2}),
        ]);
        block = name("mix");
        branches.extend([
            from(conv(&name("a"), 32, 1), &[&fork]),
            conv(&name("b"), 32, 3),
            from(conv(&name("c"), 32, 1), &[&fork]),
            conv(&name("d"), 32, 3),
            conv(&name("e"), 32, 3),
            json!({"id": name("n"), "op": "batch_norm"}),
            from(
                json!({"id": name("cat"), "op": "concat"}),
                &[&name("b"), &name("n")],
            ),
        ]);
        fork = name("cat");
    }
    let all = [unequal, grouped, plain, branches];
    all.into_iter().map(document).collect()
}

/// The document with the changes of a finding: nothing but what the finding says is used.
fn changed(document: &Value, finding: &Value) -> Value {
    let mut nodes: Vec<Value> = document["net"].as_array().unwrap().clone();
    for change in finding["changes"].as_array().unwrap() {
        let name = &change["node"];
        let at = nodes.iter().position(|n| n["id"] == *name);
        let mut node = change.as_object().unwrap().clone();
        let what = node.remove("change").unwrap();
        node.remove("was");
        node.remove("node");
        match (what.as_str().unwrap(), at) {
            ("removed", Some(at)) => drop(nodes.remove(at)),
            ("added", None) => {
                // dots are for paths: an id has none
                node.insert("id".to_owned(), json!(name.as_str().unwrap()));
                nodes.push(Value::Object(node));
            }
            ("changed", Some(at)) => {
                // what has another op keeps no parameter; else those that the change does not name stay
                let old = nodes[at].as_object().unwrap().clone();
                let mut new = node.clone();
                if old["op"] == node["op"] {
                    new = old;
                    new.extend(node);
                }
                new.insert("id".to_owned(), name.clone());
                nodes[at] = Value::Object(new);
            }
            other => panic!("{other:?}: {change}"),
        }
    }
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let id = |n: &Value| text(&n["id"]).replace('.', "_");
    // each behind what it reads
    let mut net: Vec<Value> = Vec::new();
    let mut made = vec!["in".to_owned()];
    while !nodes.is_empty() {
        let reads = |n: &Value| -> Vec<String> {
            let inputs = n["from"].as_array().unwrap();
            inputs.iter().map(|x| text(x).replace('.', "_")).collect()
        };
        let ready = |n: &Value| reads(n).iter().all(|x| made.contains(x));
        let at = nodes
            .iter()
            .position(ready)
            .expect("a node whose inputs are there");
        let mut node = nodes.remove(at);
        node["from"] = json!(reads(&node));
        node["id"] = json!(id(&node));
        made.push(text(&node["id"]));
        net.push(node);
    }
    // the output is the last
    let last = net.iter().position(|n| n["id"] == "fc").unwrap();
    let last = net.remove(last);
    net.push(last);
    let mut new = document.clone();
    new["net"] = json!(net);
    new
}

#[test]
fn remedied_networks_built_by_hand_cost_what_findings_say() {
    let folder = tempfile::tempdir().unwrap();
    let shown = |document: &Value, name: &str, device: &str| {
        let file = write(folder.path(), name, &document.to_string());
        json(0, &["show", path(&file), "--device", device])
    };
    let mut seen = std::collections::BTreeSet::new();
    for network in networks() {
        for device in ["rtx3090-torch", "pi5-torchmobile"] {
            let told = shown(&network, "net.json", device);
            for finding in told["devices"][device]["findings"].as_array().unwrap() {
                let built = changed(&network, finding);
                let then = shown(&built, "remedied.json", device);
                let what = format!("{device}: {finding}\n{built}");
                assert_eq!(then["macs"], finding["macs_remedied"], "{what}");
                let is = then["devices"][device]["latency_s"].as_f64().unwrap();
                let said = finding["latency_remedied_s"].as_f64().unwrap();
                assert!((is / said - 1.0).abs() < 1e-12, "{is} {said} {what}");
                seen.insert(finding["guideline"].as_str().unwrap().to_owned());
            }
        }
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

fn path(file: &Path) -> &str {
    file.to_str().unwrap()
}
