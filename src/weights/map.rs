//! Name maps: by which name each parameter of a net goes in somebody else's file.

use super::header::Header;
use super::parse;
use super::pattern::{Match, Pattern, Tables, Template, glob};
use crate::base::diag::{Diagnostic, Diagnostics, nearest};
use crate::base::locate;
use crate::base::path::JsonPath;
use crate::expr::Words;
use crate::ir::params::Param;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// The most bytes of a map's text.
const MAX_TEXT: usize = 16 << 20;

/// The most problems of one kind that are told one by one.
const MOST_TOLD: usize = 20;

/// By which name each parameter goes in a file. `docs/weights.md` has the JSON form.
#[derive(Clone, Debug)]
pub struct NameMap {
    text: String,
    form: Form,
}

#[derive(Clone, Debug)]
pub(super) enum Form {
    /// Name by name; what is left out has the same name in both.
    Plain(BTreeMap<String, String>),
    Rules(Rules),
}

#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// One at least. The one with the fewest names that the file lacks is taken.
    pub variants: Vec<Variant>,
    pub ignore: Vec<String>,
    pub reshape: Vec<String>,
    pub any_order: bool,
}

/// The rules with one set of tables.
#[derive(Clone, Debug)]
pub(super) struct Variant {
    pub rules: Vec<Rule>,
    pub tables: Tables,
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub path: JsonPath,
    /// As written.
    pub key: Box<str>,
    pub pattern: Pattern,
    /// The first of them whose name is in the file.
    pub templates: Vec<Template>,
    pub optional: bool,
}

/// What a map says about one net.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Each parameter's name in the file.
    pub in_file: Vec<String>,
    /// Whether axes of size 1 may differ between the net and the file.
    pub reshape: Vec<bool>,
    /// Whether each rule of [`NameMap::rules`] was used.
    pub used: Vec<bool>,
}

impl From<BTreeMap<String, String>> for NameMap {
    fn from(names: BTreeMap<String, String>) -> Self {
        Self {
            text: String::new(),
            form: Form::Plain(names),
        }
    }
}

impl FromIterator<(String, String)> for NameMap {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(names: T) -> Self {
        Self::from(names.into_iter().collect::<BTreeMap<_, _>>())
    }
}

impl NameMap {
    /// Reads a map.
    ///
    /// ```
    /// use blocksmith::weights::NameMap;
    /// assert!(NameMap::parse(r#"{"stem.conv.weight": "conv1.weight"}"#).is_ok());
    /// assert!(NameMap::parse(r#"{"names": {"stage{s}.{u}.conv.*": "layer{s-1}.{u}.conv1.*"}}"#).is_ok());
    /// assert!(NameMap::parse(r#"{"names": {"stage{s}.*": "layer{t}.*"}}"#).is_err());
    /// ```
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Diagnostics> {
        if text.len() > MAX_TEXT {
            let message = format!(
                "the map has {} bytes; at most {MAX_TEXT} are read",
                text.len()
            );
            return Err(Diagnostic::error(JsonPath::root(), message).into());
        }
        let json: Value = serde_json::from_str(text).map_err(|e| locate::syntax_error(text, &e))?;
        let doubles = locate::duplicate_keys(text);
        let (form, mut problems) = parse::read(&json);
        problems.extend(doubles);
        let form = locate::in_order(text, problems).into_result(form)?;
        Ok(Self {
            text: text.to_owned(),
            form,
        })
    }

    /// The rules as written, in the order of [`Names::used`]. A plain map has none.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        let rules = match &self.form {
            Form::Plain(_) => None,
            Form::Rules(all) => all.variants.first(),
        };
        let rules = rules.map_or(&[][..], |v| &v.rules);
        rules.iter().map(|r| &*r.key)
    }

    /// Whether a tensor of the file is of no concern.
    pub fn ignores(&self, in_file: &str) -> bool {
        match &self.form {
            Form::Plain(_) => false,
            Form::Rules(all) => all.ignore.iter().any(|g| glob(g, in_file)),
        }
    }

    /// The names of a net's parameters in the file. Where a rule has several, the first one that `header` has.
    ///
    /// # Errors
    /// Parameters that no rule or several rules match, rules that match nothing, two parameters of one name in the
    /// file, and rules by which numbers run backwards.
    pub fn names(&self, params: &[Param], header: Option<&Header>) -> Result<Names, Diagnostics> {
        let (names, problems) = match &self.form {
            Form::Plain(names) => plain(names, params),
            Form::Rules(all) => all.names(params, header),
        };
        locate::in_order(&self.text, problems).into_result(names)
    }
}

/// The first few of many, and how many there are more.
fn told(list: Vec<Diagnostic>) -> Diagnostics {
    let more = list.len().saturating_sub(MOST_TOLD);
    let mut problems = Diagnostics::new();
    let mut list = list.into_iter().take(MOST_TOLD).peekable();
    while let Some(problem) = list.next() {
        problems.push(match more > 0 && list.peek().is_none() {
            true => problem.note(format!("and {more} more of the kind")),
            false => problem,
        });
    }
    problems
}

fn plain(names: &BTreeMap<String, String>, params: &[Param]) -> (Names, Diagnostics) {
    let ours: HashMap<&str, ()> = params.iter().map(|p| (p.name.as_str(), ())).collect();
    let unused = names
        .keys()
        .filter(|name| !ours.contains_key(name.as_str()));
    let unused = unused.enumerate().map(|(i, name)| {
        let message = format!("the map names {name:?}, which is no parameter of the net");
        let at = JsonPath::root().key(name);
        let hint = (i < MOST_TOLD)
            .then(|| nearest(name, ours.keys().copied()))
            .flatten();
        with_hint(Diagnostic::error(at, message), hint)
    });
    let of = |p: &Param| names.get(&p.name).unwrap_or(&p.name).clone();
    let found = Names {
        in_file: params.iter().map(of).collect(),
        reshape: vec![false; params.len()],
        used: Vec::new(),
    };
    (found, told(unused.collect()))
}

/// The problem with what was meant, where that is plain.
pub(super) fn with_hint(problem: Diagnostic, near: Option<&str>) -> Diagnostic {
    match near {
        Some(near) => problem.hint(format!("did you mean {near:?}?")),
        None => problem,
    }
}

impl Rule {
    fn fill(
        &self,
        found: &Match<'_>,
        words: &Words,
        header: Option<&Header>,
    ) -> Result<String, String> {
        let mut first = None;
        for template in &self.templates {
            let name = template.fill(found, words)?;
            if self.templates.len() == 1 || header.is_some_and(|h| h.get(&name).is_some()) {
                return Ok(name);
            }
            first.get_or_insert(name);
        }
        Ok(first.unwrap_or_default())
    }
}

impl Rules {
    /// What the variant says that suits the file best; the first of equals.
    fn names(&self, params: &[Param], header: Option<&Header>) -> (Names, Diagnostics) {
        let all = self.variants.iter().map(|variant| {
            let (names, problems) = variant.names(self, params, header);
            let lacks = |name: &&String| header.is_some_and(|h| h.get(name).is_none());
            let missing = names.in_file.iter().filter(lacks).count();
            ((problems.len(), missing), (names, problems))
        });
        let best = all.reduce(|best, next| if next.0 < best.0 { next } else { best });
        best.map(|(_, said)| said).unwrap_or_default()
    }
}

impl Variant {
    fn names(
        &self,
        map: &Rules,
        params: &[Param],
        header: Option<&Header>,
    ) -> (Names, Diagnostics) {
        let mut found = Names {
            used: vec![false; self.rules.len()],
            ..Names::default()
        };
        let mut by: Vec<Option<&Rule>> = Vec::new();
        let mut unmatched = Vec::new();
        let mut wrong = Vec::new();
        for param in params {
            let mut matching = self.rules.iter().enumerate().filter_map(|(i, rule)| {
                Some((i, rule, rule.pattern.matches(&param.name, &self.tables)?))
            });
            let name = &param.name;
            let mut in_file = String::new();
            let mut by_rule = None;
            match matching.next() {
                None => {
                    let message = format!("no rule of the map matches {name:?}");
                    let hint = (unmatched.len() < MOST_TOLD)
                        .then(|| nearest(name, self.rules.iter().map(|r| &*r.key)));
                    unmatched.push(with_hint(
                        Diagnostic::error(JsonPath::root(), message),
                        hint.flatten(),
                    ));
                }
                Some((i, rule, found_here)) => {
                    use_rule(&mut found.used, i);
                    match rule.fill(&found_here, &self.tables.words, header) {
                        Ok(text) => {
                            in_file = text;
                            by_rule = Some(rule);
                        }
                        Err(why) => {
                            let message = format!("for {name:?}: {why}");
                            wrong.push(Diagnostic::error(rule.path.clone(), message));
                        }
                    }
                    for (j, other, _) in matching {
                        use_rule(&mut found.used, j);
                        let message = format!("two rules match {name:?}");
                        let other = (other.path.clone(), other.key.to_string());
                        wrong.push(
                            Diagnostic::error(rule.path.clone(), message).related(other.0, other.1),
                        );
                    }
                }
            }
            by.push(by_rule);
            found.in_file.push(in_file);
            found
                .reshape
                .push(map.reshape.iter().any(|g| glob(g, name)));
        }
        let mut problems = told(unmatched);
        let unused = self
            .rules
            .iter()
            .zip(&found.used)
            .filter(|(r, used)| !*used && !r.optional);
        let unused = unused.map(|(rule, _)| {
            let names = params.iter().map(|p| p.name.as_str());
            let problem = Diagnostic::error(
                rule.path.clone(),
                "no parameter of the net matches this rule",
            );
            let problem = with_hint(problem, nearest(&rule.key, names));
            problem.hint("a rule for some networks of a family stands under \"optional\"")
        });
        problems.extend(told(unused.collect()));
        wrong.extend(collisions(params, &found.in_file, &by));
        if !map.any_order && problems.is_empty() && wrong.is_empty() {
            wrong.extend(backwards(params, &found.in_file, &by));
        }
        problems.extend(told(wrong));
        (found, problems)
    }
}

fn use_rule(used: &mut [bool], rule: usize) {
    if let Some(used) = used.get_mut(rule) {
        *used = true;
    }
}

/// Parameters that would take one and the same tensor.
fn collisions(params: &[Param], in_file: &[String], by: &[Option<&Rule>]) -> Vec<Diagnostic> {
    let mut first: HashMap<&str, &Param> = HashMap::new();
    let mut problems = Vec::new();
    for ((param, in_file), rule) in params.iter().zip(in_file).zip(by) {
        let Some(rule) = rule else { continue };
        if let Some(other) = first.insert(in_file, param) {
            let message = format!(
                "{:?} and {:?} both become {in_file:?}",
                other.name, param.name
            );
            problems.push(Diagnostic::error(rule.path.clone(), message));
        }
    }
    problems
}

/// A name with its numbers taken out, and the numbers.
fn skeleton(name: &str) -> (String, Vec<u64>) {
    let (mut bones, mut numbers) = (String::new(), Vec::new());
    let mut digits = String::new();
    for c in name.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        if !digits.is_empty() {
            numbers.push(digits.parse().unwrap_or(u64::MAX));
            digits.clear();
            bones.push('#');
        }
        bones.push(c);
    }
    (bones, numbers)
}

/// Among parameters that differ in numbers only, those of the file must grow as ours do.
fn backwards(params: &[Param], in_file: &[String], by: &[Option<&Rule>]) -> Vec<Diagnostic> {
    type Named<'a> = (Vec<u64>, Vec<u64>, &'a Param, &'a str, &'a Rule);
    let mut alike: BTreeMap<(String, String), Vec<Named>> = BTreeMap::new();
    for ((param, in_file), rule) in params.iter().zip(in_file).zip(by) {
        let Some(rule) = rule else { continue };
        let (ours, our_numbers) = skeleton(&param.name);
        let (theirs, numbers) = skeleton(in_file);
        let named = (our_numbers, numbers, param, in_file.as_str(), *rule);
        alike.entry((ours, theirs)).or_default().push(named);
    }
    let mut problems = Vec::new();
    for mut group in alike.into_values() {
        group.sort_by(|a, b| a.0.cmp(&b.0));
        for ((_, before, other, other_in_file, _), (_, numbers, param, in_file, rule)) in
            group.iter().zip(group.iter().skip(1))
        {
            if before >= numbers {
                let message = format!(
                    "order: {:?} takes {other_in_file:?} and {:?} takes {in_file:?}",
                    other.name, param.name
                );
                problems.push(
                    Diagnostic::error(rule.path.clone(), message)
                        .hint("\"order\": \"any\" in the map allows it"),
                );
            }
        }
    }
    problems
}
