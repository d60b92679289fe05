//! Evaluation: no look-ups by name, no allocation, no panic.

use super::Span;
use super::parse::{Binary, Expr, Function, Node, Ref};
use super::value::Scalar;

/// What the names of an expression stand for at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Variables, or the parameters of the declared block, by slot.
    pub slots: &'a [Scalar],
    /// `in.c in.h in.w`. A flat value of n features has `[n, 1, 1]`.
    pub input: Option<[i64; 3]>,
    /// `i`.
    pub i: Option<i64>,
}

impl<'a> Scope<'a> {
    /// Variables alone.
    pub fn of(slots: &'a [Scalar]) -> Self {
        Self {
            slots,
            input: None,
            i: None,
        }
    }
}

/// Why an expression has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EvalErrorKind {
    /// A whole number beyond i64.
    Overflow,
    /// `/`, `%`, `div` or `make_divisible` by zero.
    DivisionByZero,
    /// A real number that is infinite or none.
    NotFinite,
    /// Another kind of value is needed.
    Kind {
        /// What is needed.
        expected: &'static str,
        /// What stands there.
        got: &'static str,
    },
    /// Two values that cannot be compared.
    Incomparable(&'static str, &'static str),
    /// The step of `make_divisible` is below 1.
    Step,
    /// A name has no value here.
    Missing,
}

/// Why an expression has no value, and where in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvalError {
    kind: EvalErrorKind,
    span: Span,
}

impl EvalError {
    /// Why.
    pub fn kind(&self) -> EvalErrorKind {
        self.kind
    }

    /// Where in the expression's text.
    pub fn span(&self) -> Span {
        self.span
    }
}

impl std::fmt::Display for EvalError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use EvalErrorKind as K;
        match self.kind {
            K::Overflow => f.write_str("the number leaves the 64-bit range"),
            K::DivisionByZero => f.write_str("division by zero"),
            K::NotFinite => f.write_str("the number is not finite"),
            K::Kind { expected, got } => write!(f, "expected {expected}, got {got}"),
            K::Incomparable(a, b) => write!(f, "{a} and {b} cannot be compared"),
            K::Step => f.write_str("the step is below 1"),
            K::Missing => f.write_str("a name has no value here"),
        }
    }
}

impl std::error::Error for EvalError {}

type Outcome = Result<Scalar, EvalErrorKind>;

impl Expr {
    /// The value in a scope.
    ///
    /// # Errors
    /// Overflow, division by zero, a kind that does not fit.
    pub fn eval(&self, scope: &Scope<'_>) -> Result<Scalar, EvalError> {
        let root = self.nodes.len().wrapping_sub(1);
        match self.quick(root, scope) {
            Some(value) => Ok(value),
            None => self.node(root, scope),
        }
    }

    /// As [`node`](Self::node) where there is a value, and without a reason where there is none: most expressions are a
    /// few names and numbers, and a reason is large.
    fn quick(&self, at: usize, scope: &Scope<'_>) -> Option<Scalar> {
        let value = |child: u16| self.quick(usize::from(child), scope);
        let truth = |child: u16| match value(child)? {
            Scalar::Bool(x) => Some(x),
            _ => None,
        };
        match *self.nodes.get(at)? {
            Node::Const(x) => Some(x),
            Node::Ref(Ref::Slot(slot)) => scope.slots.get(slot as usize).copied(),
            Node::Ref(Ref::I) => scope.i.map(Scalar::Int),
            Node::Ref(Ref::In(axis)) => scope
                .input?
                .get(usize::from(axis))
                .copied()
                .map(Scalar::Int),
            Node::Not(x) => Some(Scalar::Bool(!truth(x)?)),
            Node::Binary(Binary::And, a, b) => Some(Scalar::Bool(truth(a)? && truth(b)?)),
            Node::Binary(Binary::Or, a, b) => Some(Scalar::Bool(truth(a)? || truth(b)?)),
            Node::If(condition, yes, no) => value(if truth(condition)? { yes } else { no }),
            Node::Binary(operator, a, b) => {
                let (a, b) = (value(a)?, value(b)?);
                match (operator, a, b) {
                    (Binary::Add, Scalar::Int(a), Scalar::Int(b)) => {
                        a.checked_add(b).map(Scalar::Int)
                    }
                    (Binary::Sub, Scalar::Int(a), Scalar::Int(b)) => {
                        a.checked_sub(b).map(Scalar::Int)
                    }
                    (Binary::Mul, Scalar::Int(a), Scalar::Int(b)) => {
                        a.checked_mul(b).map(Scalar::Int)
                    }
                    (Binary::Equal, Scalar::Int(a), Scalar::Int(b)) => Some(Scalar::Bool(a == b)),
                    (Binary::Equal, Scalar::Word(a), Scalar::Word(b)) => Some(Scalar::Bool(a == b)),
                    (Binary::Less, Scalar::Int(a), Scalar::Int(b)) => Some(Scalar::Bool(a < b)),
                    (Binary::More, Scalar::Int(a), Scalar::Int(b)) => Some(Scalar::Bool(a > b)),
                    _ => binary(operator, a, b).ok(),
                }
            }
            Node::Negate(_) | Node::Call(..) => self.node(at, scope).ok(),
        }
    }

    /// The value as a truth.
    ///
    /// # Errors
    /// As [`Expr::eval`]; also where the value is no truth.
    pub fn eval_bool(&self, scope: &Scope<'_>) -> Result<bool, EvalError> {
        match self.eval(scope)? {
            Scalar::Bool(x) => Ok(x),
            other => Err(EvalError {
                kind: EvalErrorKind::Kind {
                    expected: "true or false",
                    got: other.kind(),
                },
                span: self.span(self.nodes.len().wrapping_sub(1)),
            }),
        }
    }

    fn span(&self, at: usize) -> Span {
        self.spans
            .get(at)
            .copied()
            .unwrap_or(Span { start: 0, end: 0 })
    }

    fn node(&self, at: usize, scope: &Scope<'_>) -> Result<Scalar, EvalError> {
        let fail = |kind| EvalError {
            kind,
            span: self.span(at),
        };
        let Some(&node) = self.nodes.get(at) else {
            return Err(fail(EvalErrorKind::Missing));
        };
        let value = |child: u16| self.node(usize::from(child), scope);
        let truth = |child: u16| match value(child)? {
            Scalar::Bool(x) => Ok(x),
            other => Err(EvalError {
                kind: EvalErrorKind::Kind {
                    expected: "true or false",
                    got: other.kind(),
                },
                span: self.span(usize::from(child)),
            }),
        };
        match node {
            Node::Const(x) => Ok(x),
            Node::Ref(Ref::Slot(slot)) => scope
                .slots
                .get(slot as usize)
                .copied()
                .ok_or(fail(EvalErrorKind::Missing)),
            Node::Ref(Ref::I) => scope.i.map(Scalar::Int).ok_or(fail(EvalErrorKind::Missing)),
            Node::Ref(Ref::In(axis)) => scope
                .input
                .and_then(|shape| shape.get(usize::from(axis)).copied())
                .map(Scalar::Int)
                .ok_or(fail(EvalErrorKind::Missing)),
            Node::Negate(x) => negate(value(x)?).map_err(fail),
            Node::Not(x) => Ok(Scalar::Bool(!truth(x)?)),
            Node::Binary(Binary::And, a, b) => Ok(Scalar::Bool(truth(a)? && truth(b)?)),
            Node::Binary(Binary::Or, a, b) => Ok(Scalar::Bool(truth(a)? || truth(b)?)),
            Node::Binary(operator, a, b) => binary(operator, value(a)?, value(b)?).map_err(fail),
            Node::If(condition, yes, no) => value(if truth(condition)? { yes } else { no }),
            Node::Call(function, first, count) => {
                let first = usize::from(first);
                let children = self
                    .args
                    .get(first..first + usize::from(count))
                    .unwrap_or(&[]);
                let mut values = children.iter().map(|&child| value(child));
                let mut next = || values.next().unwrap_or(Err(fail(EvalErrorKind::Missing)));
                match function {
                    Function::Min | Function::Max => {
                        let mut best = next()?;
                        number(best).map_err(fail)?;
                        for other in values {
                            best =
                                extreme(function == Function::Min, best, other?).map_err(fail)?;
                        }
                        Ok(best)
                    }
                    Function::Floor => whole(next()?, f64::floor).map_err(fail),
                    Function::Ceil => whole(next()?, f64::ceil).map_err(fail),
                    Function::Round => whole(next()?, f64::round).map_err(fail),
                    Function::RoundEven => whole(next()?, f64::round_ties_even).map_err(fail),
                    Function::Log => real(number(next()?).map_err(fail)?.ln()).map_err(fail),
                    Function::Pow => {
                        let (x, y) = (next()?, next()?);
                        let x = number(x).map_err(fail)?;
                        real(x.powf(number(y).map_err(fail)?)).map_err(fail)
                    }
                    Function::Div => {
                        let (a, b) = (next()?, next()?);
                        floor_div(a, b).map_err(fail)
                    }
                    Function::Gcd => {
                        let (a, b) = (next()?, next()?);
                        gcd(a, b).map_err(fail)
                    }
                    Function::MakeDivisible => {
                        let (x, step) = (next()?, next()?);
                        let least = if count == 3 { next()? } else { step };
                        make_divisible(x, step, least).map_err(fail)
                    }
                }
            }
        }
    }
}

fn number(x: Scalar) -> Result<f64, EvalErrorKind> {
    x.real().ok_or(EvalErrorKind::Kind {
        expected: "a number",
        got: x.kind(),
    })
}

fn int(x: Scalar) -> Result<i64, EvalErrorKind> {
    x.int().ok_or(EvalErrorKind::Kind {
        expected: "int",
        got: x.kind(),
    })
}

fn real(x: f64) -> Outcome {
    if x.is_finite() {
        Ok(Scalar::Real(x))
    } else {
        Err(EvalErrorKind::NotFinite)
    }
}

fn negate(x: Scalar) -> Outcome {
    match x {
        Scalar::Int(x) => x
            .checked_neg()
            .map(Scalar::Int)
            .ok_or(EvalErrorKind::Overflow),
        other => real(-number(other)?),
    }
}

fn binary(operator: Binary, a: Scalar, b: Scalar) -> Outcome {
    use Binary as B;
    let checked = |x: Option<i64>| x.map(Scalar::Int).ok_or(EvalErrorKind::Overflow);
    match (operator, a, b) {
        (B::Add, Scalar::Int(a), Scalar::Int(b)) => checked(a.checked_add(b)),
        (B::Sub, Scalar::Int(a), Scalar::Int(b)) => checked(a.checked_sub(b)),
        (B::Mul, Scalar::Int(a), Scalar::Int(b)) => checked(a.checked_mul(b)),
        (B::Add, ..) => real(number(a)? + number(b)?),
        (B::Sub, ..) => real(number(a)? - number(b)?),
        (B::Mul, ..) => real(number(a)? * number(b)?),
        (B::Div, ..) => {
            let (a, b) = (number(a)?, number(b)?);
            if b == 0.0 {
                Err(EvalErrorKind::DivisionByZero)
            } else {
                real(a / b)
            }
        }
        (B::Rem, Scalar::Int(_), Scalar::Int(0)) => Err(EvalErrorKind::DivisionByZero),
        (B::Rem, Scalar::Int(x), Scalar::Int(y)) => {
            // The one quotient that does not fit leaves no remainder.
            let rest = x.checked_rem(y).unwrap_or(0);
            let other_side = rest != 0 && (rest < 0) != (y < 0);
            Ok(Scalar::Int(if other_side { rest + y } else { rest }))
        }
        (B::Rem, ..) => {
            let (a, b) = (number(a)?, number(b)?);
            if b == 0.0 {
                Err(EvalErrorKind::DivisionByZero)
            } else {
                real(a - (a / b).floor() * b)
            }
        }
        (B::Equal, ..) => equal(a, b).map(Scalar::Bool),
        (B::NotEqual, ..) => equal(a, b).map(|x| Scalar::Bool(!x)),
        (B::Less, ..) => Ok(Scalar::Bool(order(a, b)?.is_lt())),
        (B::LessEqual, ..) => Ok(Scalar::Bool(order(a, b)?.is_le())),
        (B::More, ..) => Ok(Scalar::Bool(order(a, b)?.is_gt())),
        (B::MoreEqual, ..) => Ok(Scalar::Bool(order(a, b)?.is_ge())),
        (B::And | B::Or, ..) => Err(EvalErrorKind::Missing),
    }
}

fn equal(a: Scalar, b: Scalar) -> Result<bool, EvalErrorKind> {
    match (a, b) {
        (Scalar::Bool(a), Scalar::Bool(b)) => Ok(a == b),
        (Scalar::Word(a), Scalar::Word(b)) => Ok(a == b),
        _ => Ok(order(a, b)?.is_eq()),
    }
}

/// The order of two numbers, exact between whole and real.
fn order(a: Scalar, b: Scalar) -> Result<std::cmp::Ordering, EvalErrorKind> {
    match (a, b) {
        (Scalar::Int(a), Scalar::Int(b)) => Ok(a.cmp(&b)),
        (Scalar::Real(a), Scalar::Real(b)) => a.partial_cmp(&b).ok_or(EvalErrorKind::NotFinite),
        (Scalar::Int(a), Scalar::Real(b)) => int_to_real(a, b),
        (Scalar::Real(a), Scalar::Int(b)) => int_to_real(b, a).map(std::cmp::Ordering::reverse),
        _ => Err(EvalErrorKind::Incomparable(a.kind(), b.kind())),
    }
}

fn int_to_real(a: i64, b: f64) -> Result<std::cmp::Ordering, EvalErrorKind> {
    use std::cmp::Ordering;
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if b >= LIMIT {
        return Ok(Ordering::Less);
    }
    if b < -LIMIT {
        return Ok(Ordering::Greater);
    }
    let floor = b.floor();
    let rest = if b > floor {
        Ordering::Less
    } else {
        Ordering::Equal
    };
    if floor.is_nan() {
        Err(EvalErrorKind::NotFinite)
    } else {
        Ok(a.cmp(&(floor as i64)).then(rest))
    }
}

fn extreme(min: bool, a: Scalar, b: Scalar) -> Outcome {
    if let (Scalar::Int(a), Scalar::Int(b)) = (a, b) {
        return Ok(Scalar::Int(if min { a.min(b) } else { a.max(b) }));
    }
    let (a, b) = (number(a)?, number(b)?);
    real(if min { a.min(b) } else { a.max(b) })
}

/// A real as a whole number after `round`.
fn whole(x: Scalar, round: fn(f64) -> f64) -> Outcome {
    if let Scalar::Int(_) = x {
        return Ok(x);
    }
    let x = round(number(x)?);
    // -2^63 is exact as a real, and so is 2^63, the first beyond.
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&x) {
        Ok(Scalar::Int(x as i64))
    } else {
        Err(EvalErrorKind::Overflow)
    }
}

/// Whole division, rounded down.
fn floor_div(a: Scalar, b: Scalar) -> Outcome {
    let (a, b) = (int(a)?, int(b)?);
    if b == 0 {
        return Err(EvalErrorKind::DivisionByZero);
    }
    let quotient = a.checked_div(b).ok_or(EvalErrorKind::Overflow)?;
    let down = a % b != 0 && (a < 0) != (b < 0);
    Ok(Scalar::Int(quotient - i64::from(down)))
}

/// The largest whole number that divides both; of 0 and `a` it is `a`.
fn gcd(a: Scalar, b: Scalar) -> Outcome {
    let (mut a, mut b) = (int(a)?.unsigned_abs(), int(b)?.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    i64::try_from(a)
        .map(Scalar::Int)
        .map_err(|_| EvalErrorKind::Overflow)
}

/// The nearest multiple of `step` that is at least `least` and not below nine tenths of `x`.
///
/// # Source
/// `_make_divisible` of the MobileNet reference code, torchvision form.
fn make_divisible(x: Scalar, step: Scalar, least: Scalar) -> Outcome {
    let (value, by, least) = (number(x)?, int(step)?, int(least)?);
    if by < 1 {
        return Err(EvalErrorKind::Step);
    }
    // int(x + by / 2) truncates; by / 2 is real in the reference.
    let shifted = whole(Scalar::Real(value + by as f64 / 2.0), f64::trunc)?;
    let multiple = int(floor_div(shifted, step)?)?
        .checked_mul(by)
        .ok_or(EvalErrorKind::Overflow)?;
    let mut result = multiple.max(least);
    if (result as f64) < 0.9 * value {
        result = result.checked_add(by).ok_or(EvalErrorKind::Overflow)?;
    }
    Ok(Scalar::Int(result))
}

/// Ends between which a number lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Not below.
    pub low: f64,
    /// Not above.
    pub high: f64,
}

impl Interval {
    /// The smallest interval that holds both.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            low: self.low.min(other.low),
            high: self.high.max(other.high),
        }
    }

    fn of_corners(corners: [f64; 4]) -> Option<Self> {
        let sound = corners.iter().all(|x| x.is_finite());
        let fold = |f: fn(f64, f64) -> f64| corners.into_iter().reduce(f);
        sound.then_some(())?;
        Some(Self {
            low: fold(f64::min)?,
            high: fold(f64::max)?,
        })
    }
}

impl Expr {
    /// Ends between which the value lies, given those of what it names; `None` where that cannot be told.
    pub fn bounds(&self, of: &dyn Fn(Ref) -> Option<Interval>) -> Option<Interval> {
        self.bounds_of(self.nodes.len().wrapping_sub(1), of)
    }

    fn bounds_of(&self, at: usize, of: &dyn Fn(Ref) -> Option<Interval>) -> Option<Interval> {
        let child = |node: u16| self.bounds_of(usize::from(node), of);
        match *self.nodes.get(at)? {
            Node::Const(x) => x.real().map(|x| Interval { low: x, high: x }),
            Node::Ref(target) => of(target),
            Node::Negate(x) => child(x).map(|x| Interval {
                low: -x.high,
                high: -x.low,
            }),
            Node::Not(_) => None,
            Node::If(_, yes, no) => Some(child(yes)?.join(child(no)?)),
            Node::Binary(operator, a, b) => {
                let (a, b) = (child(a)?, child(b)?);
                let corners = |f: fn(f64, f64) -> f64| {
                    Interval::of_corners([
                        f(a.low, b.low),
                        f(a.low, b.high),
                        f(a.high, b.low),
                        f(a.high, b.high),
                    ])
                };
                match operator {
                    Binary::Add => corners(|a, b| a + b),
                    Binary::Sub => corners(|a, b| a - b),
                    Binary::Mul => corners(|a, b| a * b),
                    Binary::Div if b.low > 0.0 || b.high < 0.0 => corners(|a, b| a / b),
                    Binary::Rem if b.low > 0.0 => Some(Interval {
                        low: 0.0,
                        high: b.high,
                    }),
                    _ => None,
                }
            }
            Node::Call(function, first, count) => {
                let first = usize::from(first);
                let children = self.args.get(first..first + usize::from(count))?;
                let one = |at: usize| child(*children.get(at)?);
                match function {
                    Function::Min | Function::Max => {
                        let pick = if function == Function::Min {
                            f64::min
                        } else {
                            f64::max
                        };
                        let mut all = one(0)?;
                        for other in children.iter().skip(1) {
                            let other = child(*other)?;
                            all = Interval {
                                low: pick(all.low, other.low),
                                high: pick(all.high, other.high),
                            };
                        }
                        Some(all)
                    }
                    Function::Floor => one(0).map(|x| Interval {
                        low: x.low.floor(),
                        high: x.high.floor(),
                    }),
                    Function::Ceil => one(0).map(|x| Interval {
                        low: x.low.ceil(),
                        high: x.high.ceil(),
                    }),
                    Function::Round => one(0).map(|x| Interval {
                        low: x.low.round(),
                        high: x.high.round(),
                    }),
                    Function::RoundEven => one(0).map(|x| Interval {
                        low: x.low.round_ties_even(),
                        high: x.high.round_ties_even(),
                    }),
                    Function::Log => one(0).filter(|x| x.low > 0.0).map(|x| Interval {
                        low: x.low.ln(),
                        high: x.high.ln(),
                    }),
                    // monotone in each of the two where the base is positive
                    Function::Pow => {
                        let (x, y) = (one(0)?, one(1)?);
                        (x.low > 0.0).then_some(())?;
                        let f = f64::powf;
                        Interval::of_corners([
                            f(x.low, y.low),
                            f(x.low, y.high),
                            f(x.high, y.low),
                            f(x.high, y.high),
                        ])
                    }
                    Function::Div => {
                        let (a, b) = (one(0)?, one(1)?);
                        (b.low > 0.0).then_some(())?;
                        let corners = Interval::of_corners([
                            a.low / b.low,
                            a.low / b.high,
                            a.high / b.low,
                            a.high / b.high,
                        ])?;
                        Some(Interval {
                            low: corners.low.floor(),
                            high: corners.high.floor(),
                        })
                    }
                    // where both are from 1 on, at most the smaller
                    Function::Gcd => {
                        let (a, b) = (one(0)?, one(1)?);
                        (a.low >= 1.0 && b.low >= 1.0).then_some(Interval {
                            low: 1.0,
                            high: a.high.min(b.high),
                        })
                    }
                    Function::MakeDivisible => {
                        let (x, step) = (one(0)?, one(1)?);
                        let least = if count == 3 { one(2)? } else { step };
                        let high = (x.high + step.high).max(least.high + step.high);
                        Some(Interval {
                            low: least.low.max(x.low - step.high),
                            high,
                        })
                    }
                }
            }
        }
    }
}
