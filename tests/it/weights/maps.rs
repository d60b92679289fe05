//! Shipped name maps against our networks, and against the packages themselves.

use super::*;
use crate::python::{call, python};
use blocksmith::ir::params::Param;
use blocksmith::weights::{Header, check};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Every parameter of every network that has a map is matched by one rule, no two take one tensor, every rule is of
/// use to some network, and no map is there for nothing.
#[test]
fn shipped_maps_cover_their_networks() {
    let mut used: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    let networks = listed();
    assert!(networks.len() >= 130, "{}", networks.len());
    let mut wrong = Vec::new();
    for net in &networks {
        if !net.map.is_file() {
            wrong.push(format!(
                "{} {}: no {}",
                net.source,
                net.name,
                net.map.display()
            ));
            continue;
        }
        let map = read_map(&net.map);
        let params = net.graph.parameters();
        let names = match map.names(&params, None) {
            Ok(names) => names,
            Err(e) => {
                let first = e.iter().next().map(|d| d.render(None));
                wrong.push(format!(
                    "{} {}: {}",
                    net.source,
                    net.name,
                    first.unwrap_or_default()
                ));
                continue;
            }
        };
        let distinct: BTreeSet<&String> = names.in_file.iter().collect();
        assert_eq!(distinct.len(), params.len());
        let of_use = map.rules().zip(&names.used).filter(|(_, used)| **used);
        let of_use = of_use.map(|(rule, _)| rule.to_owned());
        used.entry(net.map.clone()).or_default().extend(of_use);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut there = BTreeSet::new();
    for source in SOURCES {
        let folder = root().join("search_spaces/reference/maps").join(source);
        for entry in std::fs::read_dir(folder).unwrap() {
            there.insert(entry.unwrap().path());
        }
    }
    assert_eq!(there, used.keys().cloned().collect());
    for (path, used) in used {
        let map = read_map(&path);
        let idle: Vec<&str> = map.rules().filter(|r| !used.contains(*r)).collect();
        assert!(idle.is_empty(), "{}: {idle:?}", path.display());
    }
}

/// The state dicts of the packages themselves, tensor by tensor: names and shapes.
#[test]
fn shipped_maps_take_the_state_dicts_of_the_packages() {
    let Some(python) = python("torch") else {
        return;
    };
    let index = root().join("search_spaces/reference/index.json");
    let args = [&[index.to_str().unwrap()][..], &SOURCES].concat();
    let out = call(&python, "names.py", &args);
    let dicts: BTreeMap<String, BTreeMap<String, (String, Vec<u64>)>> =
        serde_json::from_str(&out).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.safetensors");
    let (mut fitting, mut wrong) = (0, Vec::new());
    for net in listed() {
        let key = format!("{} {}", net.source, net.name);
        let Some(dict) = dicts.get(&key) else {
            continue;
        };
        let tensors = dict.iter();
        hollow(
            &file,
            tensors.map(|(name, (kind, shape))| (name.as_str(), kind.as_str(), shape.clone())),
        );
        let header = Header::read(&file).unwrap();
        let map = read_map(&net.map);
        match check(&net.graph.parameters(), &header, Some(&map)) {
            Ok(fit) => {
                assert_eq!(fit.sources.len() + fit.ignored, dict.len(), "{key}");
                fitting += 1;
            }
            Err(e) => wrong.push(format!("{key}: {e}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for source in SOURCES {
        if !dicts.keys().any(|k| k.starts_with(source)) {
            println!("SKIPPED: this Python has no {source}");
        }
    }
    println!("{fitting} state dicts fit");
}

fn params(names: &[&str]) -> Vec<Param> {
    use blocksmith::ir::ops::Conv;
    use blocksmith::ir::{GraphBuilder, Op, Shape};
    let mut b = GraphBuilder::new(true);
    let shape = Shape::Map { c: 4, h: 5, w: 5 };
    let mut x = b.push(Op::Input { index: 0, shape }, &[]).unwrap();
    for name in names {
        let conv = Conv::same(4, 1, 1);
        x = b.push_named(conv, &[x], || (*name).to_owned()).unwrap();
    }
    b.finish(&[x]).parameters()
}

/// What a map says about convolutions of these names, and the text of its problems.
fn names(map: &str, nodes: &[&str]) -> Result<Vec<String>, String> {
    let map = NameMap::parse(map).map_err(|e| e.to_string())?;
    let names = map.names(&params(nodes), None);
    names.map(|n| n.in_file).map_err(|e| e.to_string())
}

#[test]
fn a_plain_map_renames_what_it_names() {
    let got = names(r#"{"a.weight": "x.weight"}"#, &["a", "b"]).unwrap();
    assert_eq!(got, ["x.weight", "b.weight"]);
    // names are names here, whatever is in them
    let got = names(r#"{"a.weight": "x{u}.*"}"#, &["a"]).unwrap();
    assert_eq!(got, ["x{u}.*"]);
    let error = names(r#"{"aa.weight": "x"}"#, &["a", "b"]).unwrap_err();
    assert!(
        error.contains("no parameter of the net") && error.contains("did you mean \"a.weight\"?"),
        "{error}"
    );
}

#[test]
fn rules_that_do_not_fit_the_net_are_told() {
    let nets = ["s1.0", "s1.1", "s2.0"];
    let good = r#"{"names": {"s{s}.{u}.*": "layer{s-1}.{u}.conv.*"}}"#;
    let want = [
        "layer0.0.conv.weight",
        "layer0.1.conv.weight",
        "layer1.0.conv.weight",
    ];
    assert_eq!(names(good, &nets).unwrap(), want);
    for (map, expected) in [
        // no rule, and what was meant
        (
            r#"{"names": {"s1.{u}.*": "a.{u}.*"}}"#,
            "no rule of the map matches \"s2.0.weight\"",
        ),
        // two rules
        (
            r#"{"names": {"s{s}.{u}.*": "a.{s}.{u}.*", "s2.*": "b.*"}}"#,
            "two rules match \"s2.0.weight\"",
        ),
        // a rule for nothing
        (
            r#"{"names": {"s{s}.{u}.*": "a.{s}.{u}.*", "t.*": "b.*"}}"#,
            "no parameter of the net matches this rule",
        ),
        // two parameters of one name
        (
            r#"{"names": {"s{s}.{u}.*": "a.{s}.*"}}"#,
            "\"s1.0.weight\" and \"s1.1.weight\" both become \"a.1.weight\"",
        ),
        // copies in the wrong order
        (
            r#"{"names": {"s{s}.{u}.*": "a.{s}.{5-u}.*"}}"#,
            "order: \"s1.0.weight\" takes \"a.1.5.weight\" and \"s1.1.weight\" takes \"a.1.4.weight\"",
        ),
        // a number that cannot be in a name
        (r#"{"names": {"s{s}.{u}.*": "a.{s-2}.{u}.*"}}"#, "got -1"),
    ] {
        let error = names(map, &nets).unwrap_err();
        assert!(error.contains(expected), "{map}: {error}");
        assert!(
            error.contains("line 1") || error.contains("s2.0"),
            "{error}"
        );
    }
    let any = r#"{"names": {"s{s}.{u}.*": "a.{s}.{5-u}.*"}, "order": "any"}"#;
    assert!(names(any, &nets).is_ok());
    let optional = r#"{"names": {"s{s}.{u}.*": "a.{s}.{u}.*"}, "optional": {"t.*": "b.*"}}"#;
    assert!(names(optional, &nets).is_ok());
}

/// The tables that suit the file are taken, whole.
#[test]
fn the_variant_with_the_fewest_missing_names_is_taken() {
    let map = r#"{"variants": [{"s": {"1": 0, "2": 3}}, {"s": {"1": 0, "2": 2}}], "names": {"s{s}.{u}.*": "f.{s+u}.*"}}"#;
    let map = NameMap::parse(map).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w");
    let of = |names: [&str; 3]| {
        hollow(&file, names.map(|n| (n, "F32", vec![4, 4, 1, 1])));
        let header = Header::read(&file).unwrap();
        check(&params(&["s1.0", "s1.1", "s2.0"]), &header, Some(&map))
    };
    assert!(of(["f.0.weight", "f.1.weight", "f.3.weight"]).is_ok());
    assert!(of(["f.0.weight", "f.1.weight", "f.2.weight"]).is_ok());
    let error = of(["f.0.weight", "f.2.weight", "f.4.weight"]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("missing \"s1.1.weight\" (in the file \"f.1.weight\")"),
        "{error}"
    );
}

#[test]
fn maps_that_make_no_sense_are_told_with_their_place() {
    for (map, line, expected) in [
        ("[]", 1, "a name map is an object, got a list"),
        ("{\"a\": 1}", 1, "expected a name in the file, got a number"),
        ("{\"names\": {\n\"a{u}\": \"b{v}\"}}", 2, "v"),
        (
            "{\"names\": {\n\"a\": \"b\",\n\"a\": \"c\"}}",
            3,
            "stands twice",
        ),
        (
            "{\"names\": {},\n\"ignores\": []}",
            2,
            "did you mean \"ignore\"?",
        ),
        ("{\"names\": {},\n\"ignore\": [\n1]}", 3, "expected a text"),
        (
            "{\"names\": {},\n\"tables\": {\"t\": {}}}",
            2,
            "a table needs words",
        ),
        (
            "{\"names\": {},\n\"tables\": {\"t\": {\"a\":\n -1}}}",
            2,
            "from 0",
        ),
        ("{\"names\": {},\n\"variants\": []}", 2, "a list of 1 to 64"),
        (
            "{\"names\": {},\n\"variants\": [\n7]}",
            3,
            "an object of tables, got a number",
        ),
        (
            "{\"variants\": [{\"s\": [\"a\"]}, {}], \"names\": {\n\"{s}\": \"{t}\"}}",
            2,
            "t",
        ),
        ("{\"names\": {},\n\"order\": \"none\"}", 2, "\"any\""),
        ("{\"names\": {\n\"a\": []}}", 2, "got a list"),
        ("{\"names\": {}", 1, "not JSON"),
    ] {
        let error = NameMap::parse(map).unwrap_err();
        let found = error.iter().find(|d| d.render(None).contains(expected));
        let found = found.unwrap_or_else(|| panic!("{map}: {error}"));
        assert_eq!(found.location.unwrap().line, line, "{map}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Any texts for patterns make a map or a diagnostic; what the map then says is a name or a diagnostic.
    #[test]
    fn any_patterns_are_names_or_diagnostics(
        rules in prop::collection::btree_map("[as01.{}*u-]{0,9}", "[a1.{}*u/%-]{0,9}", 0..4),
        words in prop::collection::btree_map("[as01.]{0,3}", 0i64..3, 0..3),
    ) {
        let map = serde_json::json!({"optional": rules, "tables": {"u": words}}).to_string();
        if let Ok(map) = NameMap::parse(&map)
            && let Ok(names) = map.names(&params(&["a", "s1.0", "s1.10"]), None)
        {
            prop_assert!(names.in_file.iter().all(|n| !n.is_empty()));
        }
    }
}
