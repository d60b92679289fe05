//! Every file under `search_spaces/` is read, sampled and lowered.

use blocksmith::base::rng;
use blocksmith::blocks::{self, Names, Program, Scratch};
use blocksmith::space::{Assignment, Space};
use std::path::PathBuf;

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Shipped spaces and reference networks: everything but the schema and the index.
pub fn shipped() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in [
        "search_spaces",
        "search_spaces/reference",
        "search_spaces/guidelines",
        "search_spaces/ops",
    ] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name.ends_with(".json") && name != "schema.json" && name != "index.json" {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

pub fn load(path: &std::path::Path) -> (Space, Program) {
    let text = std::fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    blocks::load(&text).unwrap_or_else(|e| panic!("{}", e.render(Some(name))))
}

#[test]
fn every_shipped_file_samples_and_lowers() {
    let files = shipped();
    assert!(files.len() >= 6, "{files:?}");
    for path in files {
        let (space, program) = load(&path);
        let mut rng = rng::stream(7, "spaces", 0);
        let mut scratch = Scratch::default();
        for _ in 0..60 {
            let draw = space.sample(&mut rng).unwrap();
            let graph = program
                .lower_into(&mut scratch, &draw, Names::Off)
                .unwrap_or_else(|e| panic!("{}: {}", path.display(), e.render(None)));
            assert!(!graph.outputs().is_empty());
        }
    }
}

#[test]
fn names_change_nothing_and_are_unique() {
    for path in shipped() {
        let (space, program) = load(&path);
        let mut rng = rng::stream(8, "spaces", 0);
        for _ in 0..5 {
            let draw = space.sample(&mut rng).unwrap();
            let named = program.lower(&draw, Names::On).unwrap();
            let plain = program.lower(&draw, Names::Off).unwrap();
            assert_eq!(named.nodes(), plain.nodes());
            assert_eq!(named.fingerprint(), plain.fingerprint());
            let mut names: Vec<_> = named.ids().map(|id| named.name(id)).collect();
            assert!(names.iter().all(|n| !n.is_empty()));
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count, "{}", path.display());
        }
    }
}

#[test]
fn a_bound_document_lowers_to_the_same_network() {
    for path in shipped() {
        let (space, program) = load(&path);
        let mut rng = rng::stream(9, "spaces", 0);
        for _ in 0..8 {
            let draw = space.sample(&mut rng).unwrap();
            let wanted = program.lower(&draw, Names::On).unwrap();
            let arch = space.bind(&draw).unwrap();
            let bound = Program::compile(arch.space()).unwrap();
            let got = bound.lower(&Assignment::empty(), Names::On).unwrap();
            assert_eq!(
                wanted.fingerprint(),
                got.fingerprint(),
                "{}",
                path.display()
            );
            let names = |g: &blocksmith::ir::Graph| -> Vec<String> {
                g.ids().map(|id| g.name(id).to_owned()).collect()
            };
            assert_eq!(names(&wanted), names(&got), "{}", path.display());
        }
    }
}
