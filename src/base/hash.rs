//! Stable 128-bit hashes (XXH3): the same on every machine, thread count and release. Names files and trials;
//! no protection against somebody who wants a collision.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::BuildHasherDefault;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// The identity of a graph, space or file. Printed as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub u128);

impl Fingerprint {
    /// The fingerprint of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxh3_128(bytes))
    }

    /// As 32 hexadecimal digits.
    pub fn to_text(self) -> String {
        let mut text = String::with_capacity(32);
        self.push_to(&mut text);
        text
    }

    /// Adds its 32 hexadecimal digits.
    pub fn push_to(self, text: &mut String) {
        let digits = (self.0.to_be_bytes().into_iter()).flat_map(|byte| [byte >> 4, byte & 15]);
        let digit = |x| char::from(if x < 10 { b'0' + x } else { b'a' - 10 + x });
        text.extend(digits.map(digit));
    }

    /// The fingerprint of a text, as a [`Hasher`] fed with nothing else gives it, but faster.
    pub fn of_text(text: &str) -> Self {
        let mut bytes = [0; 64];
        let (length, rest) = bytes.split_at_mut(8);
        length.copy_from_slice(&(text.len() as u64).to_le_bytes());
        let Some(place) = rest.get_mut(..text.len()) else {
            let mut hasher = Hasher::new();
            hasher.text(text);
            return hasher.finish();
        };
        place.copy_from_slice(text.as_bytes());
        Self::of(bytes.get(..8 + text.len()).unwrap_or(&[]))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Feeds numbers into a fingerprint, in a fixed byte order.
#[derive(Clone, Default)]
pub struct Hasher(Xxh3);

impl Hasher {
    /// Nothing fed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Feeds one number, little-endian.
    pub fn u64(&mut self, value: u64) {
        self.0.update(&value.to_le_bytes());
    }

    /// Feeds a text with its length, so that neighbours cannot run together.
    pub fn text(&mut self, text: &str) {
        self.u64(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    /// Feeds bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The fingerprint of all that was fed.
    pub fn finish(&self) -> Fingerprint {
        Fingerprint(self.0.digest128())
    }
}

/// A set of numbers that are hashes already; hashing them again would be the longest part of a look-up.
pub type Keys = HashSet<u128, BuildHasherDefault<AsIs>>;

/// As [`Keys`], with something for each.
pub type ByKey<T> = HashMap<u128, T, BuildHasherDefault<AsIs>>;

/// Takes half of a number as its hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsIs(u64);

impl std::hash::Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, number: u128) {
        self.0 = number as u64;
    }
}

/// 2^61 - 1, a prime.
const PRIME: u64 = (1 << 61) - 1;

fn reduced(x: u64) -> u64 {
    let x = (x & PRIME) + (x >> 61);
    if x >= PRIME { x - PRIME } else { x }
}

fn times(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    let sum = (product as u64 & PRIME) + (product >> 61) as u64;
    reduced(sum)
}

/// `x -> scale x + shift` modulo 2^61 - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Affine {
    scale: u64,
    shift: u64,
}

impl Affine {
    /// This one, and then another.
    fn then(self, next: Self) -> Self {
        Self {
            scale: times(next.scale, self.scale),
            shift: reduced(times(next.scale, self.shift) + next.shift),
        }
    }
}

/// The identity of a sequence of fingerprints. Sequences can be joined without their members: `a` and then `b` is the
/// same whatever the two were put together from.
///
/// Each member is two affine maps over the integers modulo 2^61 - 1, a sequence is what they make one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain([Affine; 2]);

impl Default for Chain {
    fn default() -> Self {
        Self([Affine { scale: 1, shift: 0 }; 2])
    }
}

impl Chain {
    /// The sequence of one.
    pub fn of(member: Fingerprint) -> Self {
        // 128 bits fill two of the four numbers; a bijection of them fills the others
        let mixed = member.0 ^ member.0 >> 67;
        let more = mixed.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645);
        let map = |bits: u128| Affine {
            // a scale of 0 would forget all that came before
            scale: reduced(bits as u64).max(1),
            shift: reduced((bits >> 64) as u64 ^ 0x5bd1_e995_9e37_79b9),
        };
        Self([map(member.0), map(more)])
    }

    /// This sequence, and then another.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        let [a, b] = self.0;
        let [c, d] = next.0;
        Self([a.then(c), b.then(d)])
    }

    /// The fingerprint of the sequence.
    pub fn finish(self) -> Fingerprint {
        let mut bytes = [0; 32];
        let numbers = self.0.iter().flat_map(|map| [map.scale, map.shift]);
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        Fingerprint::of(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_join_and_tell_order() {
        let link = |k: u128| {
            Chain::of(Fingerprint(
                k.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
            ))
        };
        let all = (0..6).map(link);
        let whole = all.clone().fold(Chain::default(), Chain::then);
        for cut in 0..=6 {
            let left = all.clone().take(cut).fold(Chain::default(), Chain::then);
            let right = all.clone().skip(cut).fold(Chain::default(), Chain::then);
            assert_eq!(left.then(right), whole);
        }
        assert_ne!(link(1).then(link(2)), link(2).then(link(1)));
        assert_ne!(link(1).then(link(0)), link(1));
        assert_ne!(whole.finish(), Chain::default().finish());
    }

    #[test]
    fn digits_are_those_of_the_standard_library() {
        for shift in 0..128 {
            let number = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210_u128.rotate_left(shift);
            let (print, expected) = (Fingerprint(number), format!("{number:032x}"));
            assert_eq!(
                (print.to_text(), print.to_string()),
                (expected.clone(), expected)
            );
        }
        assert_eq!(Fingerprint(1).to_text().len(), 32);
    }

    #[test]
    fn a_text_has_one_fingerprint() {
        for text in [
            "",
            "sample",
            &"x".repeat(56),
            &"x".repeat(57),
            &"x".repeat(500),
        ] {
            let mut hasher = Hasher::new();
            hasher.text(text);
            assert_eq!(Fingerprint::of_text(text), hasher.finish());
        }
    }

    #[test]
    fn products_are_those_of_whole_numbers() {
        let prime = u128::from(PRIME);
        for a in [0, 1, 2, PRIME - 1, PRIME / 2, 0x0123_4567_89ab_cdef] {
            for b in [0, 1, PRIME - 1, PRIME - 2, 1 << 60] {
                let whole = u128::from(a) * u128::from(b) % prime;
                assert_eq!(u128::from(times(a, b)), whole, "{a} {b}");
            }
        }
        assert_eq!((reduced(PRIME), reduced(u64::MAX)), (0, 7));
    }
}
