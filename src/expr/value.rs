//! Scalars and the words that stand for enumerated values.

use std::collections::HashMap;

/// A word (`relu`, `ese`) or a name, as its number in a [`Words`] table. Comparable only within one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Word(pub u32);

/// What an expression or a literal amounts to. A tag of a whole word makes a copy two moves, which lowering feels.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u64)]
pub enum Scalar {
    /// A whole number.
    Int(i64),
    /// A real number, always finite.
    Real(f64),
    /// True or false.
    Bool(bool),
    /// One of an enumeration.
    Word(Word),
}

impl Scalar {
    /// The kind, as messages say it.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Int(_) => "int",
            Self::Real(_) => "real",
            Self::Bool(_) => "bool",
            Self::Word(_) => "word",
        }
    }

    /// The whole number; `None` for any other kind (a real is never rounded silently).
    pub fn int(self) -> Option<i64> {
        match self {
            Self::Int(x) => Some(x),
            _ => None,
        }
    }

    /// The number as a real; `None` where it is no number.
    pub fn real(self) -> Option<f64> {
        match self {
            Self::Int(x) => Some(x as f64),
            Self::Real(x) => Some(x),
            _ => None,
        }
    }

    /// The value as text: words without quotes.
    pub fn show(self, words: &Words) -> String {
        match self {
            Self::Int(x) => x.to_string(),
            Self::Real(x) => format!("{x:?}"),
            Self::Bool(x) => x.to_string(),
            Self::Word(x) => words.text(x).to_owned(),
        }
    }
}

/// The table behind [`Word`]: each text once, numbered in order of appearance.
#[derive(Clone, Debug, Default)]
pub struct Words {
    texts: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u32>,
}

impl Words {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of `text`, given now if it has none.
    pub fn add(&mut self, text: &str) -> Word {
        if let Some(&number) = self.numbers.get(text) {
            return Word(number);
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.into());
        self.numbers.insert(text.into(), number);
        Word(number)
    }

    /// The number of `text` if it has one.
    pub fn get(&self, text: &str) -> Option<Word> {
        self.numbers.get(text).copied().map(Word)
    }

    /// The text of a word; empty for a word of another table.
    pub fn text(&self, word: Word) -> &str {
        self.texts.get(word.0 as usize).map_or("", |t| t)
    }

    /// How many there are: every [`Word`] of this table is below.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }
}
