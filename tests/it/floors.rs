//! The house rules that a compiler does not check: floors, file sizes, no panicking shortcuts, no paths of one machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders of `src/` by floor. A folder imports strictly lower floors only, so siblings never import each other.
const FLOORS: &[&[&str]] = &[
    &["base"],
    &["expr", "ir"],
    &["space", "cost", "fuse", "weights"],
    &["blocks", "device", "emit", "torch"],
    &["measure", "guidelines"],
    &["search", "calibrate"],
    &["analysis", "report"],
    &["cli", "main"],
];

fn floor(folder: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&folder))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder, without what tools leave there.
fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let hidden = name.starts_with('.')
            && ![".ci", ".github", ".cargo", ".config"].contains(&name.as_str());
        if path.is_symlink() || hidden || name == "target" || name == "__pycache__" {
            continue;
        }
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Files that git tracks or would, or all files where there is no git.
fn project_files() -> Vec<PathBuf> {
    let listed = std::process::Command::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ])
        .current_dir(root())
        .output();
    match listed {
        Ok(out) if out.status.success() => String::from_utf8_lossy(&out.stdout)
            .split_terminator('\0')
            .map(|name| root().join(name))
            .filter(|path| path.is_file())
            .collect(),
        _ => {
            let mut found = Vec::new();
            files_below(&root(), &mut found);
            found
        }
    }
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    files_below(&root().join("src"), &mut found);
    found.retain(|path| path.extension().is_some_and(|e| e == "rs"));
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// The source with comments cut off at the end of each line.
fn without_comments(source: &str) -> String {
    let mut code = String::new();
    for line in source.lines() {
        // a `//` inside a string, as in a URL, follows a colon
        let end = line
            .match_indices("//")
            .find(|(at, _)| !line[..*at].ends_with(':'));
        code.push_str(end.map_or(line, |(at, _)| &line[..at]));
        code.push('\n');
    }
    code
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    end.map_or(text, |end| &text[..end])
}

/// Names that stand right after `crate::`, a group `{a, b::{c}}` taken apart.
fn imported(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            names.insert(word(rest).to_owned());
            continue;
        };
        let (mut depth, mut fresh) = (1, true);
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' => fresh = depth == 1,
                _ if fresh && depth == 1 && !c.is_whitespace() => {
                    names.insert(word(&group[i..]).to_owned());
                    fresh = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    names
}

/// Longest chain of `super::super::…`.
fn longest_climb(code: &str) -> usize {
    let chains = code.match_indices("super::").map(|(at, _)| {
        let mut rest = &code[at..];
        let mut steps = 0;
        while let Some(after) = rest.strip_prefix("super::") {
            rest = after;
            steps += 1;
        }
        steps
    });
    chains.max().unwrap_or(0)
}

/// What is wrong with the imports of one file of `src/`.
fn import_problems(file: &str, source: &str) -> Vec<String> {
    let inside = file.trim_start_matches("src/").trim_end_matches(".rs");
    let parts: Vec<&str> = inside.split('/').filter(|part| *part != "mod").collect();
    let own = parts.first().copied().unwrap_or_default();
    if own == "lib" {
        return Vec::new(); // it only lists the modules
    }
    let Some(own_floor) = floor(own) else {
        return vec![format!(
            "{file}: src/{own} has no floor in tests/it/floors.rs"
        )];
    };
    let code = without_comments(source);
    let mut problems = Vec::new();
    for name in imported(&code).iter().filter(|name| *name != own) {
        match floor(name) {
            Some(theirs) if theirs < own_floor => {}
            Some(theirs) => problems.push(format!(
                "{file}: floor {own_floor} imports crate::{name} of floor {theirs}"
            )),
            None => problems.push(format!("{file}: crate::{name} has no floor")),
        }
    }
    if longest_climb(&code) >= parts.len().max(1) {
        problems.push(format!(
            "{file}: climbs to the root by super::, write crate::"
        ));
    }
    problems
}

fn assert_none(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn floors_import_lower_floors_only() {
    let sources = sources();
    assert!(sources.len() > 20, "found {} sources", sources.len());
    let check = |path: &PathBuf| import_problems(&shown(path), &fs::read_to_string(path).unwrap());
    assert_none(sources.iter().flat_map(check).collect());
}

#[test]
fn the_check_of_floors_can_fail() {
    let problems = |file: &str, source: &str| import_problems(file, source).len();
    assert_eq!(
        problems(
            "src/cost/table.rs",
            "use crate::ir::{Graph, Op};\nuse crate::base::hash;"
        ),
        0
    );
    assert_eq!(problems("src/cost/table.rs", "use crate::fuse::Kernel;"), 1); // sideways
    assert_eq!(
        problems("src/ir/ops/conv.rs", "fn f(x: crate::search::Trial) {}"),
        1
    ); // upward
    assert_eq!(
        problems(
            "src/ir/graph.rs",
            "use crate::{base::{hash, path}, space,\n  expr::Expr};"
        ),
        2
    );
    assert_eq!(
        problems(
            "src/ir/graph.rs",
            "/// like [`x`](crate::space::Space)\nfn f() {}"
        ),
        0
    );
    assert_eq!(
        problems("src/ir/ops/conv.rs", "use super::super::shape::Shape;"),
        0
    );
    assert_eq!(
        problems("src/ir/graph.rs", "use super::super::space::Space;"),
        1
    );
    assert_eq!(problems("src/attic/x.rs", ""), 1);
    assert_eq!(problems("src/main.rs", "use blocksmith::cli;"), 0);
}

#[test]
fn no_file_is_longer_than_700_lines() {
    let code = ["rs", "py", "sh", "md"];
    // printed by the program, with an index; nobody edits it
    let printed = ["docs/blocks.md"];
    let too_long = project_files().into_iter().filter_map(|path| {
        let extension = path.extension().map(|e| e.to_string_lossy().into_owned());
        let is_code = extension.is_none_or(|e| code.contains(&e.as_str()));
        let lines = fs::read_to_string(&path).ok()?.lines().count();
        let name = shown(&path);
        (is_code && lines > 700 && !printed.contains(&name.as_str()))
            .then(|| format!("{name}: {lines} lines"))
    });
    assert_none(too_long.collect());
}

/// Lines with `.unwrap()` or `.expect(` before the tests of a file, unless a lint's `reason = …` close above proves them.
fn panicking_lines(source: &str) -> Vec<usize> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code = without_comments(code);
    let lines: Vec<&str> = code.lines().collect();
    let panics = |line: &str| line.contains(".unwrap()") || line.contains(".expect(");
    (0..lines.len())
        .filter(|&i| panics(lines[i]))
        .filter(|&i| {
            !lines[i.saturating_sub(4)..=i]
                .iter()
                .any(|l| l.contains("reason ="))
        })
        .map(|i| i + 1)
        .collect()
}

#[test]
fn no_panicking_shortcuts_outside_tests() {
    let mut problems = Vec::new();
    for path in sources() {
        let file = shown(&path);
        if file.ends_with("/tests.rs") || file.contains("/tests/") {
            continue;
        }
        for line in panicking_lines(&fs::read_to_string(&path).unwrap()) {
            problems.push(format!("{file}:{line}: unwrap or expect"));
        }
    }
    assert_none(problems);
    assert_eq!(
        panicking_lines("a;\nb.unwrap();\n// c.unwrap()\n#[cfg(test)]\nd.unwrap()"),
        [2]
    );
}

/// Folders that exist on one machine and not on the next.
fn machine_paths() -> [String; 5] {
    ["work", "tmp", "root", "home", "Users"].map(|folder| format!("/{folder}/"))
}

fn names_a_machine(text: &str) -> bool {
    machine_paths().iter().any(|path| {
        text.match_indices(path.as_str()).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            before.is_none_or(|c| c.is_whitespace() || "\"'`(=:,[{<>|".contains(c))
        })
    })
}

#[test]
fn no_paths_of_one_machine() {
    let mut problems = Vec::new();
    for path in project_files() {
        let Ok(text) = fs::read_to_string(&path) else {
            continue; // not text
        };
        for (number, line) in (1..).zip(text.lines()) {
            if names_a_machine(line) {
                problems.push(format!("{}:{number}: {}", shown(&path), line.trim()));
            }
        }
    }
    assert_none(problems);
    assert!(names_a_machine(&format!("see {}x", machine_paths()[0])));
    assert!(!names_a_machine(&format!("net{}x", machine_paths()[0])));
}
