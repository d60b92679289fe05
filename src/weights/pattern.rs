//! Patterns of names: `stage{s}.{u}.conv.*` takes a name apart, `layer{s-1}.{u}.0.*` puts one together.
//!
//! Matching never tries twice: a number is as long as its digits go, a word the longest of its table that fits, and
//! the one `*` is what is left between the part before it and the part after it.

use crate::expr::{Expr, Scalar, Scope, Words};
use std::collections::{BTreeMap, HashMap};

/// The words that a placeholder may stand for, longest first, and what each becomes.
pub(super) type Table = Vec<(Box<str>, Scalar)>;

/// All tables of a map and the words in them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub by_name: BTreeMap<Box<str>, Table>,
    pub words: Words,
}

#[derive(Clone, Debug)]
enum Part {
    Text(Box<str>),
    Number,
    Word(Box<str>),
}

/// What takes a name apart.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    before: Vec<Part>,
    /// What follows a `*`, last part first.
    after: Option<Vec<Part>>,
}

/// What the placeholders of a pattern stand for in one name, in the pattern's order, and its `*`.
pub(super) struct Match<'a> {
    slots: Vec<Scalar>,
    rest: &'a str,
}

/// A piece between braces, a star, or text.
enum Piece<'a> {
    Text(&'a str),
    Braces(&'a str),
    Star,
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut found = Vec::new();
    let mut left = text;
    while let Some(at) = left.find(['{', '}', '*']) {
        let (plain, special) = left.split_at(at);
        if !plain.is_empty() {
            found.push(Piece::Text(plain));
        }
        if let Some(after) = special.strip_prefix('*') {
            found.push(Piece::Star);
            left = after;
            continue;
        }
        let inner = special
            .strip_prefix('{')
            .and_then(|s| s.split_once('}'))
            .filter(|(inner, _)| !inner.contains('{'));
        let Some((inner, after)) = inner else {
            return Err(format!("{text:?} has a brace without its other half"));
        };
        found.push(Piece::Braces(inner));
        left = after;
    }
    if !left.is_empty() {
        found.push(Piece::Text(left));
    }
    let stars = found.iter().filter(|p| matches!(p, Piece::Star)).count();
    match stars {
        0 | 1 => Ok(found),
        _ => Err(format!("{text:?} has {stars} stars; one is the most")),
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !["i", "in", "true", "false"].contains(&text)
}

impl Pattern {
    /// Compiles a pattern; the slot of each placeholder comes with it.
    pub fn parse(text: &str, tables: &Tables) -> Result<(Self, HashMap<Box<str>, u32>), String> {
        let mut slots: HashMap<Box<str>, u32> = HashMap::new();
        let mut before = Vec::new();
        let mut after: Option<Vec<Part>> = None;
        let mut open = false; // a placeholder came just before
        for piece in pieces(text)? {
            let special = !matches!(piece, Piece::Text(_));
            if special && open {
                return Err(format!("{text:?} needs text between two placeholders"));
            }
            open = special;
            let part = match piece {
                Piece::Star => {
                    after = Some(Vec::new());
                    continue;
                }
                Piece::Text(text) => Part::Text(text.into()),
                Piece::Braces(name) if !is_name(name) => {
                    return Err(format!(
                        "{{{name}}} is no placeholder; a name stands there, and not i or in"
                    ));
                }
                Piece::Braces(name) => {
                    let slot = u32::try_from(slots.len()).unwrap_or(u32::MAX);
                    if slots.insert(name.into(), slot).is_some() {
                        return Err(format!("{{{name}}} stands twice"));
                    }
                    match tables.by_name.contains_key(name) {
                        true => Part::Word(name.into()),
                        false => Part::Number,
                    }
                }
            };
            after.as_mut().unwrap_or(&mut before).push(part);
        }
        if let Some(after) = &mut after {
            after.reverse();
        }
        Ok((Self { before, after }, slots))
    }

    /// Takes `name` apart.
    pub fn matches<'a>(&self, name: &'a str, tables: &Tables) -> Option<Match<'a>> {
        let mut slots = Vec::new();
        let mut rest = name;
        for part in &self.before {
            let (found, left) = part.at_start(rest, tables)?;
            slots.extend(found);
            rest = left;
        }
        let Some(after) = &self.after else {
            return rest.is_empty().then_some(Match { slots, rest });
        };
        let mut backwards = Vec::new();
        for part in after {
            let (found, left) = part.at_end(rest, tables)?;
            backwards.extend(found);
            rest = left;
        }
        slots.extend(backwards.into_iter().rev());
        (!rest.is_empty()).then_some(Match { slots, rest })
    }
}

/// A whole number as names have it: no sign, no leading zero.
fn number(digits: &str) -> Option<Scalar> {
    let sound = !digits.is_empty() && (digits == "0" || !digits.starts_with('0'));
    sound.then(|| digits.parse().ok().map(Scalar::Int))?
}

impl Part {
    fn at_start<'a>(&self, name: &'a str, tables: &Tables) -> Option<(Option<Scalar>, &'a str)> {
        match self {
            Part::Text(text) => Some((None, name.strip_prefix(&**text)?)),
            Part::Number => {
                let end = name
                    .find(|c: char| !c.is_ascii_digit())
                    .unwrap_or(name.len());
                let (digits, left) = name.split_at(end);
                Some((Some(number(digits)?), left))
            }
            Part::Word(table) => {
                let words = tables.by_name.get(table)?;
                let mut found = words
                    .iter()
                    .filter_map(|(w, v)| Some((*v, name.strip_prefix(&**w)?)));
                found.next().map(|(value, left)| (Some(value), left))
            }
        }
    }

    fn at_end<'a>(&self, name: &'a str, tables: &Tables) -> Option<(Option<Scalar>, &'a str)> {
        match self {
            Part::Text(text) => Some((None, name.strip_suffix(&**text)?)),
            Part::Number => {
                let left = name.trim_end_matches(|c: char| c.is_ascii_digit());
                let digits = name.strip_prefix(left)?;
                Some((Some(number(digits)?), left))
            }
            Part::Word(table) => {
                let words = tables.by_name.get(table)?;
                let mut found = words
                    .iter()
                    .filter_map(|(w, v)| Some((*v, name.strip_suffix(&**w)?)));
                found.next().map(|(value, left)| (Some(value), left))
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Fill {
    Text(Box<str>),
    Expr(Expr),
    Star,
}

/// What puts a name together.
#[derive(Clone, Debug)]
pub(super) struct Template(Vec<Fill>);

impl Template {
    /// Compiles a template over the placeholders of `pattern`.
    pub fn parse(
        text: &str,
        pattern: &Pattern,
        slots: &HashMap<Box<str>, u32>,
        words: &mut Words,
    ) -> Result<Self, String> {
        let mut fills = Vec::new();
        for piece in pieces(text)? {
            fills.push(match piece {
                Piece::Text(text) => Fill::Text(text.into()),
                Piece::Star => Fill::Star,
                Piece::Braces(inner) => {
                    let mut names = crate::expr::Names {
                        slots,
                        i: false,
                        input: false,
                        words,
                    };
                    let expr = Expr::parse(inner, &mut names);
                    Fill::Expr(expr.map_err(|e| format!("{{{inner}}}: {e}"))?)
                }
            });
        }
        let star = fills.iter().any(|f| matches!(f, Fill::Star));
        if star != pattern.after.is_some() {
            return Err("a star stands on one side only".to_owned());
        }
        if fills.is_empty() {
            return Err("an empty name".to_owned());
        }
        Ok(Self(fills))
    }

    /// The name for one match.
    pub fn fill(&self, found: &Match<'_>, words: &Words) -> Result<String, String> {
        let mut name = String::new();
        for fill in &self.0 {
            match fill {
                Fill::Text(text) => name.push_str(text),
                Fill::Star => name.push_str(found.rest),
                Fill::Expr(expr) => {
                    let value = expr.eval(&Scope::of(&found.slots));
                    let value = value.map_err(|e| format!("{{{}}}: {e}", expr.text()))?;
                    match value {
                        Scalar::Int(x) if x >= 0 => name.push_str(&x.to_string()),
                        Scalar::Word(word) => name.push_str(words.text(word)),
                        other => {
                            let got = other.show(words);
                            let text = expr.text();
                            return Err(format!(
                                "{{{text}}} must be a whole number from 0 or a word, got {got}"
                            ));
                        }
                    }
                }
            }
        }
        Ok(name)
    }
}

/// Whether `name` is of the form `glob`, in which each `*` stands for any text.
pub(super) fn glob(glob: &str, name: &str) -> bool {
    let Some((first, tail)) = glob.split_once('*') else {
        return glob == name;
    };
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut tail = tail;
    while let Some((middle, after)) = tail.split_once('*') {
        let Some(at) = rest.find(middle) else {
            return false;
        };
        rest = rest.get(at + middle.len()..).unwrap_or("");
        tail = after;
    }
    rest.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> Tables {
        let mut tables = Tables::default();
        let bn = Scalar::Word(tables.words.add("norm"));
        tables.by_name.insert(
            "cb".into(),
            vec![("conv".into(), Scalar::Int(0)), ("bn".into(), bn)],
        );
        tables
    }

    fn rename(pattern: &str, template: &str, name: &str) -> Result<Option<String>, String> {
        let mut tables = tables();
        let (pattern, slots) = Pattern::parse(pattern, &tables)?;
        let template = Template::parse(template, &pattern, &slots, &mut tables.words)?;
        let found = pattern.matches(name, &tables);
        found.map(|m| template.fill(&m, &tables.words)).transpose()
    }

    #[test]
    fn names_are_taken_apart_and_put_together() {
        let cases = [
            ("a.*", "b.*", "a.weight", Some("b.weight")),
            ("a.*", "b.*", "a.", None),
            (
                "s{s}.{u}.c{k}.*",
                "l{s-1}.{u}.{3*k+s}.*",
                "s4.10.c2.x.y",
                Some("l3.10.10.x.y"),
            ),
            ("s{s}.w", "l{s}.w", "s04.w", None),
            ("s{s}.w", "l{s}.w", "s4.weight", None),
            ("{cb}.w", "{cb}.w", "bn.w", Some("norm.w")),
            ("{cb}.w", "{cb}.w", "norm.w", None),
            ("u.{cb}.w", "{cb+1}.w", "u.conv.w", Some("1.w")),
            ("a*.{cb}.{u}", "{u}.{cb}*", "axy.conv.12", Some("12.0xy")),
            ("a{u}*", "{u}*", "a1", None),
        ];
        for (pattern, template, name, want) in cases {
            let both = pattern.contains("{u}*");
            match rename(pattern, template, name) {
                Ok(got) => assert_eq!(got.as_deref(), want, "{pattern} {name}"),
                Err(e) => assert!(both, "{pattern}: {e}"),
            }
        }
    }

    #[test]
    fn patterns_that_make_no_sense_are_errors() {
        let cases = [
            ("a{u", "b", "other half"),
            ("a}", "b", "other half"),
            ("a{u{v}}", "b", "other half"),
            ("*.*", "*", "2 stars"),
            ("{u}{v}", "b", "between"),
            ("{u}.{u}", "b", "twice"),
            ("{u+1}", "b", "no placeholder"),
            ("{i}", "b", "no placeholder"),
            ("a.*", "b", "one side"),
            ("a", "", "empty"),
            ("a{u}", "b{v}", "v"),
            ("a{u}", "b{u +}", "u +"),
        ];
        for (pattern, template, want) in cases {
            let error = rename(pattern, template, "x").unwrap_err();
            assert!(error.contains(want), "{pattern}: {error}");
        }
        let error = rename("a{u}", "b{u-2}", "a1").unwrap_err();
        assert!(error.contains("got -1"), "{error}");
        assert!(rename("a{u}", "b{u%0}", "a1").unwrap_err().contains("zero"));
        assert!(rename("{cb}", "{cb+1}", "bn").is_err());
    }

    #[test]
    fn globs_match_as_in_a_shell() {
        for (pattern, name, want) in [
            ("*.x", "a.b.x", true),
            ("*.x", ".x", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "ae", false),
            ("a*a", "a", false),
            ("aux.*", "aux.w", true),
            ("aux", "aux.w", false),
        ] {
            assert_eq!(glob(pattern, name), want, "{pattern} {name}");
        }
    }
}
