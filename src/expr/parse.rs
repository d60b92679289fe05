//! Tokens to a compiled expression: precedence climbing into one flat array.

use super::lex::{self, Token};
use super::value::{Scalar, Word, Words};
use super::{MAX_DEPTH, MAX_LENGTH, Span};
use std::collections::HashMap;

/// What a name in an expression stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ref {
    /// A variable or a parameter, by its slot.
    Slot(u32),
    /// `i`: the copy number of the innermost repeat.
    I,
    /// `in.c`, `in.h`, `in.w`: 0, 1, 2.
    In(u8),
}

/// What may be named in an expression.
#[derive(Debug)]
pub struct Names<'a> {
    /// Variables or parameters and their slots.
    pub slots: &'a HashMap<Box<str>, u32>,
    /// Whether `i` may be named: inside a repeat.
    pub i: bool,
    /// Whether `in.c in.h in.w` may be named.
    pub input: bool,
    /// Where the words of the expression get their numbers.
    pub words: &'a mut Words,
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// A character that nothing starts with.
    Character(char),
    /// A number beyond i64 or f64.
    Number,
    /// A word without its closing quote.
    OpenWord,
    /// Longer than [`MAX_LENGTH`].
    Long,
    /// Nested deeper than [`MAX_DEPTH`].
    Deep,
    /// Something else stands where this was expected.
    Expected(&'static str),
    /// `a < b < c`.
    Chained,
    /// `=` for `==`.
    SingleEqual,
    /// No such name.
    UnknownName(Box<str>),
    /// `i` outside of a repeat.
    NoRepeat,
    /// `in.c` where there is no input to speak of.
    NoInput,
    /// No such function.
    UnknownFunction(Box<str>),
    /// A function with too many or too few arguments.
    Arity {
        /// The function.
        function: &'static str,
        /// What it takes, in words.
        takes: &'static str,
        /// What stands there.
        got: usize,
    },
}

/// Why a text is no expression, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    pub(super) kind: ParseErrorKind,
    pub(super) span: Span,
}

impl ParseError {
    /// Why.
    pub fn kind(&self) -> &ParseErrorKind {
        &self.kind
    }

    /// Where in the expression's text.
    pub fn span(&self) -> Span {
        self.span
    }
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use ParseErrorKind as K;
        match &self.kind {
            K::Character(c) => write!(f, "nothing starts with {c:?}"),
            K::Number => f.write_str("the number is too large"),
            K::OpenWord => f.write_str("the word has no closing quote"),
            K::Long => write!(f, "an expression has at most {MAX_LENGTH} bytes"),
            K::Deep => write!(f, "an expression nests at most {MAX_DEPTH} deep"),
            K::Expected(what) => write!(f, "expected {what}"),
            K::Chained => f.write_str("comparisons do not chain"),
            K::SingleEqual => f.write_str("\"=\" compares nothing"),
            K::UnknownName(name) => write!(f, "no name {name:?} here"),
            K::NoRepeat => {
                f.write_str("\"i\" is the number of a copy: it stands inside a repeat only")
            }
            K::NoInput => f.write_str("\"in\" has no meaning here"),
            K::UnknownFunction(name) => write!(f, "no function {name:?}"),
            K::Arity {
                function,
                takes,
                got,
            } => write!(f, "{function} takes {takes}, not {got}"),
        }
    }
}

impl std::error::Error for ParseError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    Less,
    LessEqual,
    More,
    MoreEqual,
    Equal,
    NotEqual,
    And,
    Or,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Min,
    Max,
    Floor,
    Ceil,
    Round,
    RoundEven,
    Log,
    Pow,
    Div,
    Gcd,
    MakeDivisible,
}

/// Name, function, fewest and most arguments, and those in words.
const FUNCTIONS: [(&str, Function, usize, usize, &str); 11] = [
    ("min", Function::Min, 2, 16, "2 to 16 arguments"),
    ("max", Function::Max, 2, 16, "2 to 16 arguments"),
    ("floor", Function::Floor, 1, 1, "1 argument"),
    ("ceil", Function::Ceil, 1, 1, "1 argument"),
    ("round", Function::Round, 1, 1, "1 argument"),
    ("round_even", Function::RoundEven, 1, 1, "1 argument"),
    ("log", Function::Log, 1, 1, "1 argument"),
    ("pow", Function::Pow, 2, 2, "2 arguments"),
    ("div", Function::Div, 2, 2, "2 arguments"),
    ("gcd", Function::Gcd, 2, 2, "2 arguments"),
    (
        "make_divisible",
        Function::MakeDivisible,
        2,
        3,
        "2 or 3 arguments",
    ),
];

/// The names of all functions.
pub fn function_names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|f| f.0)
}

/// One node; children are earlier positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Node {
    Const(Scalar),
    Ref(Ref),
    Negate(u16),
    Not(u16),
    Binary(Binary, u16, u16),
    If(u16, u16, u16),
    /// First argument's position in the argument table, and how many.
    Call(Function, u16, u16),
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Expr {
    text: Box<str>,
    pub(super) nodes: Box<[Node]>,
    pub(super) spans: Box<[Span]>,
    pub(super) args: Box<[u16]>,
}

impl Expr {
    /// Compiles `text` (without the leading `=`).
    ///
    /// # Errors
    /// The first thing in it that cannot be.
    pub fn parse(text: &str, names: &mut Names<'_>) -> Result<Self, ParseError> {
        if text.len() > MAX_LENGTH {
            return Err(ParseError {
                kind: ParseErrorKind::Long,
                span: Span {
                    start: 0,
                    end: MAX_LENGTH as u16,
                },
            });
        }
        let (token, span) = lex::next(text, 0)?;
        let mut parser = Parser {
            text,
            token,
            span,
            names,
            nodes: Vec::new(),
            spans: Vec::new(),
            args: Vec::new(),
            depth: 0,
        };
        parser.ternary()?;
        if parser.token != Token::End {
            return Err(parser.expected("an operator or the end"));
        }
        Ok(Self {
            text: text.into(),
            nodes: parser.nodes.into(),
            spans: parser.spans.into(),
            args: parser.args.into(),
        })
    }

    /// The text as written, without the leading `=`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it names, in order, repetitions included.
    pub fn refs(&self) -> impl Iterator<Item = Ref> + '_ {
        self.nodes.iter().filter_map(|n| match n {
            Node::Ref(r) => Some(*r),
            _ => None,
        })
    }
}

struct Parser<'a, 'n, 'w> {
    text: &'a str,
    token: Token<'a>,
    span: Span,
    names: &'n mut Names<'w>,
    nodes: Vec<Node>,
    spans: Vec<Span>,
    args: Vec<u16>,
    depth: usize,
}

impl<'a> Parser<'a, '_, '_> {
    fn expected(&self, what: &'static str) -> ParseError {
        let kind = match self.token {
            Token::Sign("=") => ParseErrorKind::SingleEqual,
            _ => ParseErrorKind::Expected(what),
        };
        ParseError {
            kind,
            span: self.span,
        }
    }

    fn advance(&mut self) -> Result<(), ParseError> {
        (self.token, self.span) = lex::next(self.text, usize::from(self.span.end))?;
        Ok(())
    }

    /// True, and one token further, where the sign stands here.
    fn take(&mut self, sign: &'static str) -> Result<bool, ParseError> {
        let here = self.token == Token::Sign(sign);
        if here {
            self.advance()?;
        }
        Ok(here)
    }

    fn demand(&mut self, sign: &'static str, what: &'static str) -> Result<(), ParseError> {
        if self.take(sign)? {
            Ok(())
        } else {
            Err(self.expected(what))
        }
    }

    /// Nodes are fewer than bytes, and those fit u16.
    fn push(&mut self, node: Node, span: Span) -> u16 {
        self.nodes.push(node);
        self.spans.push(span);
        (self.nodes.len() - 1) as u16
    }

    fn span_of(&self, node: u16) -> Span {
        self.spans
            .get(usize::from(node))
            .copied()
            .unwrap_or(Span { start: 0, end: 0 })
    }

    fn join(&mut self, a: u16, b: u16, node: Node) -> u16 {
        let span = Span {
            start: self.span_of(a).start,
            end: self.span_of(b).end,
        };
        self.push(node, span)
    }

    /// Runs `parse` one level deeper.
    fn deeper(
        &mut self,
        parse: fn(&mut Self) -> Result<u16, ParseError>,
    ) -> Result<u16, ParseError> {
        if self.depth >= MAX_DEPTH {
            return Err(ParseError {
                kind: ParseErrorKind::Deep,
                span: self.span,
            });
        }
        self.depth += 1;
        let node = parse(self);
        self.depth -= 1;
        node
    }

    fn ternary(&mut self) -> Result<u16, ParseError> {
        let condition = self.binary(0)?;
        if !self.take("?")? {
            return Ok(condition);
        }
        let yes = self.deeper(Self::ternary)?;
        self.demand(":", "\":\"")?;
        let no = self.deeper(Self::ternary)?;
        Ok(self.join(condition, no, Node::If(condition, yes, no)))
    }

    /// The operator here and its level, loosest first.
    fn operator(&self) -> Option<(Binary, u8)> {
        let Token::Sign(sign) = self.token else {
            return None;
        };
        Some(match sign {
            "||" => (Binary::Or, 1),
            "&&" => (Binary::And, 2),
            "==" => (Binary::Equal, 3),
            "!=" => (Binary::NotEqual, 3),
            "<" => (Binary::Less, 4),
            "<=" => (Binary::LessEqual, 4),
            ">" => (Binary::More, 4),
            ">=" => (Binary::MoreEqual, 4),
            "+" => (Binary::Add, 5),
            "-" => (Binary::Sub, 5),
            "*" => (Binary::Mul, 6),
            "/" => (Binary::Div, 6),
            "%" => (Binary::Rem, 6),
            _ => return None,
        })
    }

    /// A chain of operators of a level above `floor`, grouped from the left.
    fn binary(&mut self, floor: u8) -> Result<u16, ParseError> {
        let mut left = self.unary()?;
        let mut height = 0;
        let mut before = 0;
        while let Some((operator, level)) = self.operator() {
            if level <= floor {
                break;
            }
            if (level == 3 || level == 4) && level == before {
                return Err(ParseError {
                    kind: ParseErrorKind::Chained,
                    span: self.span,
                });
            }
            before = level;
            self.advance()?;
            // A chain of n operators is a tree n deep on its left, so each link counts as a level.
            height += 1;
            if self.depth + height > MAX_DEPTH {
                return Err(ParseError {
                    kind: ParseErrorKind::Deep,
                    span: self.span,
                });
            }
            self.depth += 1;
            let right = self.binary(level);
            self.depth -= 1;
            let right = right?;
            left = self.join(left, right, Node::Binary(operator, left, right));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<u16, ParseError> {
        let start = self.span.start;
        for (sign, make) in [("-", Node::Negate as fn(u16) -> Node), ("!", Node::Not)] {
            if self.take(sign)? {
                let inner = self.deeper(Self::unary)?;
                let span = Span {
                    start,
                    end: self.span_of(inner).end,
                };
                return Ok(self.push(make(inner), span));
            }
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<u16, ParseError> {
        let (token, span) = (self.token, self.span);
        let node = match token {
            Token::Int(x) => Node::Const(Scalar::Int(x)),
            Token::Real(x) => Node::Const(Scalar::Real(x)),
            Token::Word(text) => Node::Const(Scalar::Word(self.names.words.add(text))),
            Token::Name("true") => Node::Const(Scalar::Bool(true)),
            Token::Name("false") => Node::Const(Scalar::Bool(false)),
            Token::Name(name) => {
                self.advance()?;
                if self.take("(")? {
                    return self.call(name, span);
                }
                let target = self.name(name).map_err(|kind| ParseError { kind, span })?;
                return Ok(self.push(Node::Ref(target), span));
            }
            Token::Sign("(") => {
                self.advance()?;
                let inner = self.deeper(Self::ternary)?;
                let end = self.span.end;
                self.demand(")", "\")\"")?;
                if let Some(place) = self.spans.get_mut(usize::from(inner)) {
                    *place = Span {
                        start: span.start,
                        end,
                    };
                }
                return Ok(inner);
            }
            Token::Sign(_) | Token::End => return Err(self.expected("a value")),
        };
        self.advance()?;
        Ok(self.push(node, span))
    }

    fn name(&self, name: &str) -> Result<Ref, ParseErrorKind> {
        if let Some(&slot) = self.names.slots.get(name) {
            return Ok(Ref::Slot(slot));
        }
        let input = match name {
            "i" if self.names.i => return Ok(Ref::I),
            "i" => return Err(ParseErrorKind::NoRepeat),
            "in.c" => 0,
            "in.h" => 1,
            "in.w" => 2,
            _ => return Err(ParseErrorKind::UnknownName(name.into())),
        };
        if self.names.input {
            Ok(Ref::In(input))
        } else {
            Err(ParseErrorKind::NoInput)
        }
    }

    /// The arguments of a call, after its bracket.
    fn call(&mut self, name: &'a str, start: Span) -> Result<u16, ParseError> {
        let Some((name, function, fewest, most, takes)) =
            FUNCTIONS.into_iter().find(|f| f.0 == name)
        else {
            return Err(ParseError {
                kind: ParseErrorKind::UnknownFunction(name.into()),
                span: start,
            });
        };
        let mut arguments = Vec::new();
        if self.token != Token::Sign(")") {
            loop {
                arguments.push(self.deeper(Self::ternary)?);
                if !self.take(",")? {
                    break;
                }
            }
        }
        let span = Span {
            start: start.start,
            end: self.span.end,
        };
        self.demand(")", "\",\" or \")\"")?;
        if !(fewest..=most).contains(&arguments.len()) {
            let kind = ParseErrorKind::Arity {
                function: name,
                takes,
                got: arguments.len(),
            };
            return Err(ParseError { kind, span });
        }
        let first = self.args.len() as u16;
        self.args.extend_from_slice(&arguments);
        Ok(self.push(Node::Call(function, first, arguments.len() as u16), span))
    }
}

/// A word of the table, so that tests and callers can name one.
impl From<Word> for Scalar {
    fn from(word: Word) -> Self {
        Self::Word(word)
    }
}
