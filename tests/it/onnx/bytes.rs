//! What stands in a file, read by a decoder that shares nothing with the writer.

use super::*;
use blocksmith::ir::ops::{Act, BatchNorm, Conv, Flatten, GlobalPool, L2Norm, Linear, PoolKind};

/// A field: its number, and either a whole number (of four bytes: its bits) or bytes.
#[derive(Clone, Debug)]
enum Field {
    Int(u64),
    Bytes(Vec<u8>),
}

/// A message as a list of fields.
#[derive(Clone, Debug)]
struct Fields(Vec<(u64, Field)>);

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0u64;
    for shift in (0..).step_by(7) {
        let (&byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    unreachable!()
}

impl Fields {
    fn read(mut bytes: &[u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let value = match key & 7 {
                0 => Field::Int(varint(&mut bytes)),
                5 => {
                    let (four, rest) = bytes.split_at(4);
                    bytes = rest;
                    Field::Int(u64::from(u32::from_le_bytes(four.try_into().unwrap())))
                }
                2 => {
                    let length = varint(&mut bytes) as usize;
                    let (value, rest) = bytes.split_at(length);
                    bytes = rest;
                    Field::Bytes(value.to_vec())
                }
                wire => panic!("wire type {wire}"),
            };
            fields.push((key >> 3, value));
        }
        Self(fields)
    }

    fn all(&self, number: u64) -> impl Iterator<Item = &Field> {
        self.0
            .iter()
            .filter(move |(n, _)| *n == number)
            .map(|(_, f)| f)
    }

    fn int(&self, number: u64) -> u64 {
        match self.all(number).next() {
            Some(Field::Int(value)) => *value,
            other => panic!("field {number} is {other:?}"),
        }
    }

    fn ints(&self, number: u64) -> Vec<u64> {
        let int = |f: &Field| match f {
            Field::Int(value) => *value,
            Field::Bytes(_) => panic!("field {number} holds bytes"),
        };
        self.all(number).map(int).collect()
    }

    fn bytes(&self, number: u64) -> Vec<Vec<u8>> {
        let bytes = |f: &Field| match f {
            Field::Bytes(value) => value.clone(),
            Field::Int(_) => panic!("field {number} holds a number"),
        };
        self.all(number).map(bytes).collect()
    }

    fn texts(&self, number: u64) -> Vec<String> {
        let text = |b| String::from_utf8(b).unwrap();
        self.bytes(number).into_iter().map(text).collect()
    }

    fn text(&self, number: u64) -> String {
        self.texts(number).remove(0)
    }

    fn messages(&self, number: u64) -> Vec<Fields> {
        self.bytes(number).iter().map(|b| Fields::read(b)).collect()
    }

    fn message(&self, number: u64) -> Fields {
        self.messages(number).remove(0)
    }
}

/// A stem, a head, and a dead branch.
fn net() -> Graph {
    let mut b = GraphBuilder::new(true);
    let mut push = |op: Op, xs: &[ValueId], name: &str| {
        let name = name.to_owned();
        b.push_named(op, xs, || name).unwrap()
    };
    let shape = Shape::Map { c: 2, h: 5, w: 6 };
    let x = push(Op::Input { index: 0, shape }, &[], "image");
    let conv = push(Conv::same(4, 3, 2).grouped(2).into(), &[x], "stem.conv");
    let norm = push(BatchNorm::default().into(), &[conv], "stem.bn");
    push(Conv::same(3, 1, 1).into(), &[norm], "dead");
    let act = push(
        Act::LeakyRelu(blocksmith::ir::ops::Real(0.25)).into(),
        &[norm],
        "stem.act",
    );
    let unit = push(L2Norm::default().into(), &[act], "unit");
    let kind = PoolKind::Avg;
    let pool = push(GlobalPool { kind }.into(), &[unit], "pool");
    let flat = push(Flatten.into(), &[pool], "flat");
    let linear = Linear {
        out_features: 3,
        bias: true,
    };
    let out = push(linear.into(), &[flat], "output");
    b.finish(&[out, x, out])
}

fn weights(graph: &Graph) -> Weights {
    let values = graph.parameters().into_iter().map(|p| {
        let first = p.node.index() as f32;
        Values::Real((0..p.elems()).map(|i| first + 0.5 * i as f32).collect())
    });
    Weights(values.collect())
}

#[test]
fn a_model_says_what_the_graph_says() {
    let graph = net();
    let weights = weights(&graph);
    let options = Options {
        batch: Batch::Dynamic,
        name: "small".to_owned(),
        metadata: vec![("origin".to_owned(), "by hand".to_owned())],
    };
    let model = model(&graph, &weights, &options).unwrap();
    let file = Fields::read(&model.to_bytes().unwrap());
    assert_eq!((file.int(1), file.message(8).int(2)), (8, 17));
    assert_eq!(
        (file.message(14).text(1), file.message(14).text(2)),
        ("origin".into(), "by hand".into())
    );
    let net = file.message(7);
    assert_eq!(net.text(2), "small");
    let nodes = net.messages(1);
    let told: Vec<String> = nodes
        .iter()
        .map(|n| {
            format!(
                "{} {} {:?} -> {:?}",
                n.text(3),
                n.text(4),
                n.texts(1),
                n.texts(2)
            )
        })
        .collect();
    // the first output is the last node; an input that is an output, and an output twice, need a node each
    let want = [
        r#"stem.conv Conv ["input", "stem.conv.weight"] -> ["stem.conv"]"#,
        r#"stem.bn BatchNormalization ["stem.conv", "stem.bn.weight", "stem.bn.bias", "stem.bn.running_mean", "stem.bn.running_var"] -> ["stem.bn"]"#,
        r#"stem.act LeakyRelu ["stem.bn"] -> ["stem.act"]"#,
        r#"unit/length ReduceL2 ["stem.act"] -> ["unit/length"]"#,
        r#"unit/divisor Max ["unit/length", "/real_0.000000000001"] -> ["unit/divisor"]"#,
        r#"unit/unit Div ["stem.act", "unit/divisor"] -> ["unit/unit"]"#,
        r#"unit Mul ["unit/unit", "unit.weight"] -> ["unit"]"#,
        r#"pool GlobalAveragePool ["unit"] -> ["pool"]"#,
        r#"flat Flatten ["pool"] -> ["flat"]"#,
        r#"output Gemm ["flat", "output.weight", "output.bias"] -> ["output"]"#,
        r#"output1 Identity ["input"] -> ["output1"]"#,
        r#"output2 Identity ["output"] -> ["output2"]"#,
    ];
    assert_eq!(told, want);
    let attrs: Vec<(String, Vec<u64>, u64)> = nodes[0]
        .messages(5)
        .iter()
        .map(|a| (a.text(1), [a.ints(3), a.ints(8)].concat(), a.int(20)))
        .collect();
    let attr = |name: &str, values: &[u64], kind| (name.to_owned(), values.to_vec(), kind);
    let want = [
        attr("kernel_shape", &[3, 3], 7),
        attr("strides", &[2, 2], 7),
        attr("pads", &[1, 1, 1, 1], 7),
        attr("dilations", &[1, 1], 7),
        attr("group", &[2], 2),
    ];
    assert_eq!(attrs, want);
    let slope = nodes[2].message(5);
    assert_eq!(
        (slope.text(1), slope.int(2), slope.int(20)),
        ("alpha".into(), u64::from(0.25f32.to_bits()), 1)
    );
}

#[test]
fn weights_stand_there_as_they_are() {
    let graph = net();
    let weights = weights(&graph);
    let model = model(&graph, &weights, &Options::default()).unwrap();
    let net = Fields::read(&model.to_bytes().unwrap()).message(7);
    let tensors: Vec<(String, Vec<u64>, u64, Vec<u8>)> = net
        .messages(5)
        .iter()
        .map(|t| (t.text(8), t.ints(1), t.int(2), t.bytes(9).remove(0)))
        .collect();
    let names: Vec<&str> = tensors.iter().map(|t| t.0.as_str()).collect();
    assert!(!names.iter().any(|n| n.starts_with("dead")), "{names:?}");
    let shape_of = |name: &str| tensors.iter().find(|t| t.0 == name).unwrap();
    assert_eq!(shape_of("stem.conv.weight").1, [4, 1, 3, 3]);
    assert_eq!(shape_of("unit.weight").1, [4, 1, 1]);
    assert_eq!(shape_of("output.weight").1, [3, 4]);
    for (param, values) in graph.parameters().iter().zip(&weights.0) {
        let Some(tensor) = tensors.iter().find(|t| t.0 == param.name) else {
            assert_eq!(param.name, "dead.weight");
            continue;
        };
        let bytes: Vec<u8> = values
            .reals()
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        assert_eq!((tensor.2, &tensor.3), (1, &bytes), "{}", param.name);
    }
    // 36 + 8 + 4 + 15; the dead branch's 12 are not there
    assert_eq!(model.parameters(), 63);
    let input = net.message(11);
    let axes = input.message(2).message(1).message(2).messages(1);
    let sizes: Vec<u64> = axes.iter().map(|a| a.int(1)).collect();
    assert_eq!(
        (input.text(1), sizes),
        ("input".to_owned(), vec![1, 2, 5, 6])
    );
    let outputs: Vec<String> = net.messages(12).iter().map(|o| o.text(1)).collect();
    assert_eq!(outputs, ["output", "output1", "output2"]);
}

#[test]
fn large_tensors_go_beside_the_file_where_told() {
    let mut b = GraphBuilder::new(true);
    let shape = Shape::Flat { n: 30 };
    let x = b.push(Op::Input { index: 0, shape }, &[]).unwrap();
    let linear = Linear {
        out_features: 20,
        bias: true,
    };
    let y = b.push_named(linear, &[x], || "first".to_owned()).unwrap();
    let y = b
        .push_named(
            Linear {
                out_features: 13,
                ..linear
            },
            &[y],
            || "second".to_owned(),
        )
        .unwrap();
    let graph = b.finish(&[y]);
    let weights = weights(&graph);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    let model = model(&graph, &weights, &Options::default()).unwrap();
    // 2,400 bytes, then 1,040 from the next multiple of 64 on
    let sizes = model.save_beside(&path).unwrap();
    assert_eq!(sizes[1], 2432 + 1040);
    let data = std::fs::read(folder.path().join("net.onnx.data")).unwrap();
    assert_eq!(data.len() as u64, sizes[1]);
    let net = Fields::read(&std::fs::read(&path).unwrap()).message(7);
    let tensors = net.messages(5);
    let place = |t: &Fields| -> Vec<String> {
        let entries = t.messages(13);
        entries
            .iter()
            .map(|e| format!("{}={}", e.text(1), e.text(2)))
            .collect()
    };
    let second = tensors
        .iter()
        .find(|t| t.text(8) == "second.weight")
        .unwrap();
    assert_eq!(
        place(second),
        ["location=net.onnx.data", "offset=2432", "length=1040"]
    );
    assert_eq!((second.int(14), second.bytes(9).len()), (1, 0));
    assert_eq!(data[2432..2436], 2.0f32.to_le_bytes());
    let bias = tensors.iter().find(|t| t.text(8) == "second.bias").unwrap();
    assert_eq!(bias.bytes(9)[0].len(), 52);
    let Some(python) = python("onnx, onnxruntime, numpy") else {
        return;
    };
    let case = json!([{"model": "net.onnx", "outputs": null}]);
    std::fs::write(folder.path().join("cases.json"), case.to_string()).unwrap();
    let told = call(&python, "onnx_run.py", &[folder.path().to_str().unwrap()]);
    assert!(told.contains("Gemm") && !told.contains("failed"), "{told}");
}

#[test]
fn weights_of_another_net_are_refused() {
    let graph = net();
    let mut other = weights(&graph);
    other.0[0] = Values::Real(vec![0.0; 35]);
    let error = model(&graph, &other, &Options::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "at stem.conv: parameter \"stem.conv.weight\" needs 36 numbers, got 35"
    );
    other.0.pop();
    assert!(model(&graph, &other, &Options::default()).is_err());
}
