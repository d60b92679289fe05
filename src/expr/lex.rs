//! Text of an expression to tokens.

use super::Span;
use super::parse::{ParseError, ParseErrorKind};

/// One token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'a> {
    Int(i64),
    Real(f64),
    /// A name, with dots: `w2`, `in.c`.
    Name(&'a str),
    /// `'ese'`, without its quotes.
    Word(&'a str),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

/// Signs, longer ones first.
const SIGNS: [&str; 20] = [
    "<=", ">=", "==", "!=", "&&", "||", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", "(", ")",
    ",", "=",
];

/// The token at `at` (after white space) with its span.
pub(super) fn next(text: &str, at: usize) -> Result<(Token<'_>, Span), ParseError> {
    let rest = text.get(at..).unwrap_or("");
    let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
    let start = at + (rest.len() - trimmed.len());
    let span = |len: usize| Span {
        start: start as u16,
        end: (start + len) as u16,
    };
    let Some(first) = trimmed.chars().next() else {
        return Ok((Token::End, span(0)));
    };
    if first.is_ascii_digit() {
        let len = number_len(trimmed);
        let number = trimmed.get(..len).unwrap_or("");
        let token = number_token(number).ok_or(ParseError {
            kind: ParseErrorKind::Number,
            span: span(len),
        })?;
        return Ok((token, span(len)));
    }
    if first.is_ascii_alphabetic() || first == '_' {
        let len = trimmed
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'))
            .unwrap_or(trimmed.len());
        return Ok((Token::Name(trimmed.get(..len).unwrap_or("")), span(len)));
    }
    if first == '\'' {
        let inner = trimmed.get(1..).unwrap_or("");
        let Some(len) = inner.find('\'') else {
            return Err(ParseError {
                kind: ParseErrorKind::OpenWord,
                span: span(trimmed.len()),
            });
        };
        return Ok((Token::Word(inner.get(..len).unwrap_or("")), span(len + 2)));
    }
    match SIGNS.iter().find(|s| trimmed.starts_with(**s)) {
        Some(sign) => Ok((Token::Sign(sign), span(sign.len()))),
        None => Err(ParseError {
            kind: ParseErrorKind::Character(first),
            span: span(first.len_utf8()),
        }),
    }
}

/// How many bytes of `text` are a number: digits, a fraction, an exponent.
fn number_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        from + bytes
            .iter()
            .skip(from)
            .take_while(|b| b.is_ascii_digit())
            .count()
    };
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut len = digits(0);
    if bytes.get(len) == Some(&b'.') && is_digit(len + 1) {
        len = digits(len + 1);
    }
    if matches!(bytes.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
        if is_digit(len + 1 + sign) {
            len = digits(len + 1 + sign);
        }
    }
    len
}

fn number_token(number: &str) -> Option<Token<'static>> {
    if number.bytes().all(|b| b.is_ascii_digit()) {
        return number.parse().ok().map(Token::Int);
    }
    number
        .parse()
        .ok()
        .filter(|x: &f64| x.is_finite())
        .map(Token::Real)
}
