//! Where a value stands: what it may name, which copies of varied repeats it is in, and when each is active.

use crate::base::path::JsonPath;
use std::collections::HashMap;
use std::rc::Rc;

/// Which part of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `vars` and `constraints`.
    Vars,
    /// `net` and `input`.
    Net,
    /// The declared block of this number.
    Block(u32),
}

/// One copy of all varied repeats around a place.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    /// The copy of each, from the outside.
    pub copies: Vec<u32>,
    /// What must be met for the copy to exist.
    pub guard: u32,
    /// `i`, where it is known.
    pub i: Option<i64>,
}

/// A varied repeat around a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    /// How many segments the path of the repeated node has.
    pub at: usize,
    /// True inside an item of an `each` of this repeat.
    pub fixed: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Env {
    /// Variables or parameters.
    pub names: Rc<HashMap<Box<str>, u32>>,
    pub place: Place,
    /// Whether `in.c` may be named.
    pub input: bool,
    /// Whether `i` may be named.
    pub repeat: bool,
    /// The largest `i`, where it can be told.
    pub i_max: Option<f64>,
    pub instances: Rc<Vec<Instance>>,
    pub levels: Rc<Vec<Level>>,
}

impl Env {
    /// Outside of any repeat and choice.
    pub fn root(names: Rc<HashMap<Box<str>, u32>>, place: Place) -> Self {
        Self::guarded(names, place, 0)
    }

    /// As [`Env::root`], there only where a guard is met.
    pub fn guarded(names: Rc<HashMap<Box<str>, u32>>, place: Place, guard: u32) -> Self {
        let only = Instance {
            copies: Vec::new(),
            guard,
            i: None,
        };
        Self {
            names,
            place,
            input: matches!(place, Place::Block(_)),
            repeat: false,
            i_max: None,
            instances: Rc::new(vec![only]),
            levels: Rc::default(),
        }
    }

    /// The same with `in.c` allowed.
    pub fn with_input(&self) -> Self {
        Self {
            input: self.place != Place::Vars,
            ..self.clone()
        }
    }

    /// The first varied repeat that no `each` around has used.
    pub fn open_level(&self) -> Option<usize> {
        self.levels.iter().position(|l| !l.fixed)
    }

    /// The copies `k` of a level, inside item `k` of its `each`.
    pub fn in_copy(&self, level: usize, k: u32) -> Self {
        let here = |i: &&Instance| i.copies.get(level) == Some(&k);
        let mut levels = (*self.levels).clone();
        if let Some(level) = levels.get_mut(level) {
            level.fixed = true;
        }
        let instances: Vec<Instance> = self.instances.iter().filter(here).cloned().collect();
        Self {
            instances: Rc::new(instances),
            levels: Rc::new(levels),
            ..self.clone()
        }
    }

    /// The copies of open levels of an instance, for ids.
    pub fn open_copies(&self, instance: &Instance) -> Vec<(usize, u32)> {
        let pairs = self.levels.iter().zip(&instance.copies);
        pairs
            .filter(|(level, _)| !level.fixed)
            .map(|(level, copy)| (level.at, *copy))
            .collect()
    }
}

/// A path with the copy after each repeated node: `net[5][2].kernel_size`.
pub(super) fn path_of_copy(path: &JsonPath, copies: &[(usize, u32)]) -> JsonPath {
    use crate::base::path::Segment;
    let mut out = JsonPath::root();
    for (k, segment) in path.segments().iter().enumerate() {
        for (_, copy) in copies.iter().filter(|(at, _)| *at == k) {
            out = out.index(*copy as usize);
        }
        out = match segment {
            Segment::Key(key) => out.key(key),
            Segment::Index(index) => out.index(*index),
        };
    }
    for (_, copy) in copies.iter().filter(|(at, _)| *at == path.segments().len()) {
        out = out.index(*copy as usize);
    }
    out
}

/// True for a name of a node, an input, a declared block: letters, digits, `_` and `-` after a letter or `_`.
pub(super) fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    text.len() <= 64
        && chars
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// True for a name that expressions can use: without `-`, and not one that means something already.
pub(super) fn is_variable(text: &str) -> bool {
    is_name(text) && !text.contains('-') && !matches!(text, "i" | "in" | "true" | "false")
}

/// Roughly the bytes that a path takes.
pub(super) fn size_of(path: &JsonPath) -> usize {
    use crate::base::path::Segment;
    let size = |segment: &Segment| match segment {
        Segment::Key(key) => 40 + key.len(),
        Segment::Index(_) => 24,
    };
    path.segments().iter().map(size).sum()
}
