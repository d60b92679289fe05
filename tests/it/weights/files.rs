//! Files that hold what a net needs, files that do not, and files that lie.

use super::*;
use blocksmith::ir::ValueId;
use blocksmith::ir::params::{Param, Role};
use blocksmith::weights::{FitError, Header, HeaderErrorKind, Problem, check};
use proptest::prelude::*;

/// Name, kind and shape of a net's own tensors.
fn tensors(graph: &Graph) -> Vec<(String, &'static str, Vec<u64>)> {
    let params = graph.parameters().into_iter();
    let shape = |s: Vec<u32>| s.into_iter().map(u64::from).collect();
    params.map(|p| (p.name, "F32", shape(p.shape))).collect()
}

fn slim() -> Graph {
    let (space, program) = load(&root().join("search_spaces/reference/vovnet27_slim.json"));
    let assignment = space.assignment_from_json(&serde_json::json!({})).unwrap();
    program.lower(&assignment, Names::On).unwrap()
}

/// The problems of a file with these tensors.
fn problems(
    graph: &Graph,
    tensors: &[(String, &'static str, Vec<u64>)],
    map: Option<&str>,
) -> Vec<Problem> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.safetensors");
    hollow(
        &file,
        tensors.iter().map(|(n, d, s)| (n.as_str(), *d, s.clone())),
    );
    let map = map.map(|m| NameMap::parse(m).unwrap());
    match check(
        &graph.parameters(),
        &Header::read(&file).unwrap(),
        map.as_ref(),
    ) {
        Ok(_) => Vec::new(),
        Err(FitError::File(problems)) => problems,
        Err(FitError::Map(problems)) => panic!("{problems}"),
    }
}

#[test]
fn every_way_not_to_fit_is_named_the_first_one_first() {
    let graph = slim();
    let good = tensors(&graph);
    let count = good.len();
    assert_eq!(problems(&graph, &good, None), []);
    let mut half = good.clone();
    half.iter_mut().for_each(|t| t.1 = "BF16");
    half.push(("bn.num_batches_tracked".to_owned(), "I64", vec![]));
    assert_eq!(problems(&graph, &half, None), []);
    // the order of a file says nothing: names decide
    let mut reversed = good.clone();
    reversed.reverse();
    assert_eq!(problems(&graph, &reversed, None), []);

    let mut bad = good.clone();
    let missing = bad.remove(count - 1).0;
    let renamed = std::mem::replace(&mut bad[7].0, "stranger".to_owned());
    bad[3].1 = "I64";
    let kind = bad[3].0.clone();
    bad[0].2.reverse();
    let shape = bad[0].0.clone();
    let found = problems(&graph, &bad, None);
    let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
    let of = |name: &str| format!("{name:?}");
    assert_eq!(texts.len(), 5, "{texts:?}");
    assert!(
        texts[0].starts_with(&format!(
            "misshapen {}: expected [64, 3, 3, 3], got [3, 3, 3, 64]",
            of(&shape)
        )),
        "{texts:?}"
    );
    assert_eq!(
        texts[1],
        format!("{} holds I64, expected floating-point numbers", of(&kind))
    );
    assert_eq!(texts[2], format!("missing {}", of(&renamed)));
    assert_eq!(texts[3], format!("missing {}", of(&missing)));
    assert_eq!(texts[4], "surplus \"stranger\"");
    // a near name is pointed out
    let mut near = good.clone();
    near[0].0.push('s');
    let found = problems(&graph, &near, None);
    assert!(
        found[0]
            .to_string()
            .ends_with(&format!("; the file has {}", of(&near[0].0))),
        "{found:?}"
    );
    // two tensors that changed places fit only where their shapes agree
    let mut swapped = good.clone();
    let (a, b) = (swapped[0].2.clone(), swapped[5].2.clone());
    assert_ne!(a, b);
    (swapped[0].2, swapped[5].2) = (b, a);
    assert_eq!(problems(&graph, &swapped, None).len(), 2);
}

/// An index holds whole numbers, and nothing else does.
#[test]
fn each_role_has_its_kind_of_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w");
    let fits = |role: Role, dtype: &'static str| {
        hollow(&file, [("a", dtype, vec![4])]);
        let param = Param {
            name: "a".to_owned(),
            shape: vec![4],
            role,
            node: ValueId(0),
        };
        check(&[param], &Header::read(&file).unwrap(), None).is_ok()
    };
    for (dtype, whole) in [
        ("F64", false),
        ("F32", false),
        ("F16", false),
        ("BF16", false),
        ("I64", true),
    ] {
        assert_eq!(fits(Role::Index, dtype), whole);
        assert_eq!(fits(Role::Weight, dtype), !whole);
        assert_eq!(fits(Role::RunningVar, dtype), !whole);
    }
    assert!(!fits(Role::Weight, "U16") && !fits(Role::Index, "U16"));
}

#[test]
fn axes_of_size_one_may_move_where_the_map_says_so() {
    let graph = slim();
    let mut tensors = tensors(&graph);
    let last = tensors.iter_mut().find(|t| t.0 == "10.fc.weight").unwrap();
    last.2 = vec![1000, 512, 1, 1]; // stored as a 1x1 convolution
    let map = |more: &str| {
        let node = r#""{b}.*": "{b}.*""#;
        format!("{{\"names\": {{{node}}}{more}}}")
    };
    let strict = problems(&graph, &tensors, Some(&map("")));
    assert_eq!(strict.len(), 1);
    assert!(matches!(&strict[0], Problem::Shape { name, .. } if name == "10.fc.weight"));
    let declared = map(r#", "reshape": ["*.fc.weight"]"#);
    assert_eq!(problems(&graph, &tensors, Some(&declared)), []);
    // as many numbers in another shape are another matter
    let last = tensors.iter_mut().find(|t| t.0 == "10.fc.weight").unwrap();
    last.2 = vec![512, 1000];
    assert_eq!(problems(&graph, &tensors, Some(&declared)).len(), 1);
}

#[test]
fn what_a_map_ignores_is_not_surplus() {
    let graph = slim();
    let mut tensors = tensors(&graph);
    tensors.push(("aux.conv.weight".to_owned(), "F32", vec![3]));
    assert_eq!(problems(&graph, &tensors, None).len(), 1);
    let map = r#"{"names": {"{b}.*": "{b}.*"}, "ignore": ["aux.*"]}"#;
    assert_eq!(problems(&graph, &tensors, Some(map)), []);
}

/// A file of this header and as many bytes after it.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(vec![0; data]);
    bytes
}

#[test]
fn files_that_lie_are_one_line_and_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let one = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let with = |from: &str, to: &str| one.replace(from, to);
    let two = |a: &str, b: &str| {
        format!(
            "{{\"a\":{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":{a}}},\"b\":{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":{b}}}}}"
        )
    };
    std::fs::write(&path, file(one, 8)).unwrap();
    assert_eq!(Header::read(&path).unwrap().get("a").unwrap().shape, [2]);
    std::fs::write(&path, file(&two("[8,16]", "[0,8]"), 16)).unwrap();
    assert_eq!(Header::read(&path).unwrap().len(), 2);
    let meta = with("{\"a\"", "{\"__metadata__\":{\"format\":\"pt\"},\"a\"");
    std::fs::write(&path, file(&meta, 8)).unwrap();
    assert_eq!(Header::read(&path).unwrap().len(), 1);

    let huge = [0xff; 8].into_iter().chain(*b"{}").collect::<Vec<u8>>();
    let deep = format!("{{\"a\":{}", "[".repeat(1 << 20));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "0 bytes are no safetensors file"),
        (vec![1, 2, 3], "3 bytes are no safetensors file"),
        (huge, "18446744073709551615 bytes"),
        (file(one, 8)[..40].to_vec(), "cut short"),
        (file(one, 7), "cut short"),
        (file(one, 9), "something follows"),
        (file("", 0), "damaged"),
        (file("[]", 0), "expected an object of tensors"),
        (file("{\"a\":7}", 0), "damaged"),
        (file("\u{fffd}{", 0), "damaged"),
        (file(&deep, 0), "damaged"),
        (file(&with("[2]", "[-2]"), 8), "damaged"),
        (file(&with("[2]", "[2.5]"), 8), "damaged"),
        (
            file(&with("[2]", "[3]"), 8),
            "\"a\" has 8 bytes, its shape needs 12",
        ),
        (
            file(&with("[2]", "[4294967296,4294967296]"), 8),
            "beyond counting",
        ),
        (
            file(&with("[2]", "[4611686018427387904]"), 8),
            "beyond counting",
        ),
        (
            file(&with("[2]", "[2,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"), 8),
            "has 17 axes",
        ),
        (file(&with("[0,8]", "[8,0]"), 8), "stands at bytes 8 to 0"),
        (
            file(&with("[0,8]", "[0,18446744073709551615]"), 8),
            "its shape needs 8",
        ),
        (file(&with("[0,8]", "[1,9]"), 9), "expected from 0"),
        (
            file(&two("[0,8]", "[4,12]"), 12),
            "\"b\" stands at bytes 4 to 12, expected from 8",
        ),
        (
            file(&two("[0,8]", "[8,16]").replace("\"b\"", "\"a\""), 16),
            "\"a\" stands twice",
        ),
    ];
    for (bytes, expected) in cases {
        std::fs::write(&path, &bytes).unwrap();
        let error = Header::read(&path).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(expected) && !error.is_system(),
            "{expected}: {text}"
        );
        assert!(text.lines().count() == 1 && text.len() < 400, "{text}");
    }
    // a header as long as it says, in a file that is a hole
    std::fs::write(&path, (1u64 << 40).to_le_bytes()).unwrap();
    let hole = std::fs::File::options().write(true).open(&path).unwrap();
    hole.set_len(1 << 41).unwrap();
    let error = Header::read(&path).unwrap_err();
    assert!(
        matches!(error.kind(), HeaderErrorKind::Length { .. }),
        "{error}"
    );
    let absent = Header::read(&folder.path().join("absent")).unwrap_err();
    assert!(
        absent.is_system() && absent.to_string().starts_with("cannot open"),
        "{absent}"
    );
    assert!(Header::read(folder.path()).unwrap_err().is_system());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// A file with some bytes changed, or cut, is read as something sound or is one line.
    #[test]
    fn damaged_bytes_never_panic(
        changes in prop::collection::vec((0usize..160, any::<u8>()), 0..4), keep in 0usize..160,
    ) {
        let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F16","shape":[],"data_offsets":[8,10]}}"#;
        let mut bytes = file(header, 10);
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(keep.max(bytes.len() * usize::from(keep > 80)));
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), &bytes).unwrap();
        match Header::read(path.path()) {
            Ok(header) => prop_assert!(header.len() <= 2),
            Err(e) => prop_assert_eq!(e.to_string().lines().count(), 1),
        }
    }
}
