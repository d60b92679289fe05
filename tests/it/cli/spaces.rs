//! `docs/spaces.md`: each shipped space is there, draws from it are networks, its search finds some, its published members have
//! the published counts.

use super::{json, root, run};
use crate::oracle;
use crate::spaces::load;
use blocksmith::base::rng;
use blocksmith::blocks::{self, Names};
use blocksmith::cost::{Scratch, Totals};
use blocksmith::space::Space;
use serde_json::Value;
use std::path::PathBuf;

fn page() -> String {
    std::fs::read_to_string(root().join("docs/spaces.md")).unwrap()
}

/// Names of the files in `search_spaces/`, without the schema.
fn shipped() -> Vec<String> {
    let files = std::fs::read_dir(root().join("search_spaces")).unwrap();
    let stem = |path: PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
    let mut names: Vec<String> = files
        .map(|f| f.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .filter_map(stem)
        .filter(|n| n != "schema")
        .collect();
    names.sort();
    names
}

fn file(space: &str) -> PathBuf {
    root().join(format!("search_spaces/{space}.json"))
}

/// Cells of the rows of the tables whose first head is `head`, with the section that they stand in.
fn rows(page: &str, head: &str) -> Vec<(String, Vec<String>)> {
    let (mut found, mut section, mut inside) = (Vec::new(), String::new(), false);
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            section = name.to_owned();
        }
        let cells: Vec<String> = line
            .trim_matches('|')
            .split('|')
            .map(|c| c.trim().to_owned())
            .collect();
        if !line.starts_with('|') {
            inside = false;
        } else if cells[0] == head {
            inside = true;
        } else if inside && !cells[0].starts_with("---") {
            found.push((section.clone(), cells));
        }
    }
    found
}

fn number(text: &str) -> f64 {
    text.trim_end_matches(" %")
        .replace(',', "")
        .parse()
        .unwrap()
}

/// The share of draws that the constraints turn down: those of the same space without constraints.
fn turned_down(space: &Space) -> f64 {
    let mut document = space.json().clone();
    document.as_object_mut().unwrap().remove("constraints");
    let free = Space::parse(&document.to_string()).unwrap();
    let mut rng = rng::stream(3, "turned down", 0);
    let turned = (0..1000).filter(|_| {
        let draw = free.sample(&mut rng).unwrap();
        !space.is_valid(&draw)
    });
    turned.count() as f64 / 1000.0
}

#[test]
fn the_page_has_every_space_and_its_size() {
    let table = rows(&page(), "space");
    let mut listed: Vec<String> = table
        .iter()
        .map(|(_, c)| c[0].split(['[', ']']).nth(1).unwrap().to_owned())
        .collect();
    listed.sort();
    assert_eq!(listed, shipped());
    for (_, cells) in table {
        let name = cells[0].split(['[', ']']).nth(1).unwrap();
        let (space, _) = load(&file(name));
        assert!(space.json()["doc"].as_str().unwrap().len() > 40, "{name}");
        assert_eq!(number(&cells[3]), space.decisions().len() as f64, "{name}");
        let size = space.size().count;
        let stated = number(&cells[4]);
        assert!((stated / size - 1.0).abs() < 0.03, "{name}: {size:.2e}");
        let turned = 100.0 * turned_down(&space);
        println!("{name}: {size:.2e} assignments, {turned:.0} % turned down");
        let stated = number(&cells[5]);
        assert!((turned - stated).abs() <= 3.0, "{name}: {turned} %");
        assert!(stated > 0.0 || turned == 0.0, "{name}: {turned} %");
    }
}

#[test]
fn draws_of_every_space_are_networks() {
    for name in shipped() {
        let (space, program) = load(&file(&name));
        let mut scratch = blocks::Scratch::default();
        for k in 0..300 {
            let draw = space.sample(&mut rng::stream(11, "draw", k)).unwrap();
            let graph = program
                .lower_into(&mut scratch, &draw, Names::Off)
                .unwrap_or_else(|e| panic!("{name}: {}", e.render(None)));
            blocksmith::ir::verify::verify(graph).unwrap();
        }
    }
}

/// The settings of the page give the networks of the page, and these are the published ones where the table is at hand.
#[test]
fn published_networks_are_members() {
    let table = rows(&page(), "network");
    assert!(table.len() >= 20, "{}", table.len());
    let published = oracle::published();
    for (section, cells) in table {
        let (space, program) = load(&file(&section));
        let long = |short: &str| {
            let (kind, at) = short.split_at(1);
            let path = match kind {
                "P" => "choice[0].depth",
                "D" => "choice[1].depth",
                "C" => "choice[1].cheap_ratio",
                _ => return short.to_owned(),
            };
            format!("net[{at}].{path}")
        };
        let sets: Vec<(String, &str)> = cells[1]
            .split(' ')
            .map(|set| set.split_once('=').unwrap())
            .map(|(name, value)| (long(name), value))
            .collect();
        let pairs: Vec<(&str, &str)> = sets.iter().map(|(n, v)| (&**n, *v)).collect();
        let fixed = space
            .fix(&pairs)
            .unwrap_or_else(|e| panic!("{}", e.render(None)));
        let mut all = fixed.assignments();
        let assignment = all.next().unwrap_or_else(|| panic!("{}", cells[0]));
        assert!(all.next().is_none(), "{}: decisions are open", cells[0]);
        let graph = program.lower(&assignment, Names::On).unwrap();
        let t = Totals::of(&graph, &mut Scratch::default()).unwrap();
        let wanted = (number(&cells[2]) as u64, number(&cells[3]) as u64);
        assert_eq!((t.params, t.macs), wanted, "{}", cells[0]);
        let rows: Vec<_> = published.iter().filter(|r| r["name"] == cells[0]).collect();
        assert!(rows.len() <= 1 || rows.iter().all(|r| r["params"] == rows[0]["params"]));
        if let Some(row) = rows.first() {
            assert_eq!(row["params"], t.params.to_string(), "{}", cells[0]);
            assert_eq!(row["macs_conv_linear"], t.macs.to_string());
            assert_eq!(
                row["conv_memory_access_elems"],
                t.mem_access_elems.to_string()
            );
        } else if !published.is_empty() {
            assert!(cells[0].contains(' '), "{} is not in the oracle", cells[0]);
        }
    }
}

/// The words of the command lines of a page's shell blocks, without the program's name.
fn commands(page: &str) -> Vec<Vec<String>> {
    let words = |line: &str| -> Option<Vec<String>> {
        let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
        for c in line.strip_prefix("blocksmith ")?.chars() {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(std::mem::take(&mut word)),
                c => word.push(c),
            }
        }
        words.push(word);
        Some(words)
    };
    let blocks = page.split("```sh\n").skip(1);
    let lines = blocks.flat_map(|b| b.split("```").next().unwrap().lines());
    lines.filter_map(words).collect()
}

#[test]
fn the_search_of_each_space_finds_networks_within_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let commands = commands(&page());
    assert_eq!(commands.len(), shipped().len());
    for (k, command) in commands.into_iter().enumerate() {
        let mut args: Vec<&str> = command.iter().map(String::as_str).collect();
        if args[0] != "search" {
            assert_eq!(run(&args).0, 0, "{args:?}");
            continue;
        }
        let out = folder.path().join(k.to_string());
        let place = args.iter().position(|a| *a == "--out").unwrap();
        args[place + 1] = out.to_str().unwrap();
        args.extend(["--algorithm", "random", "--budget", "200", "--seed", "1"]);
        let found: Value = json(0, &args);
        assert!(!found["front"].as_array().unwrap().is_empty(), "{args:?}");
    }
}
