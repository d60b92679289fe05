//! The numbers of a net's parameters, drawn or read, without libtorch.

use super::fit::Fit;
use super::header::{Dtype, Header};
use super::init;
use crate::base::file::FileError;
use crate::ir::Graph;
use crate::ir::params::{Param, Role};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// A net may not have more parameters than this where their numbers are held (8 GiB of them).
pub const MAX_PARAMS: u64 = 1 << 31;

/// The numbers of one parameter, outermost axis first.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// What is learnt, and running statistics.
    Real(Vec<f32>),
    /// What is picked.
    Index(Vec<i64>),
}

impl Values {
    /// The numbers of a parameter that holds reals; none where it holds an index.
    pub fn reals(&self) -> &[f32] {
        match self {
            Values::Real(values) => values,
            Values::Index(_) => &[],
        }
    }
}

/// The numbers of all parameters of a graph, in the order of [`Graph::parameters`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights(pub Vec<Values>);

/// More parameters than [`MAX_PARAMS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{params} parameters are more than the {MAX_PARAMS} that can be held")]
pub struct TooMany {
    /// How many there are.
    pub params: u64,
}

fn affordable(params: &[Param]) -> Result<(), TooMany> {
    let params = params.iter().fold(0u64, |n, p| n.saturating_add(p.elems()));
    match params <= MAX_PARAMS {
        true => Ok(()),
        false => Err(TooMany { params }),
    }
}

impl Weights {
    /// Weights before anything was learnt; see [`initial`](super::initial).
    ///
    /// # Errors
    /// Where there are too many.
    pub fn initial(graph: &Graph, seed: u64) -> Result<Self, TooMany> {
        use rayon::prelude::*;
        let params = graph.parameters();
        affordable(&params)?;
        let draw = |param: &Param| init::initial(graph, param, seed);
        Ok(Self(params.par_iter().map(draw).collect()))
    }

    /// Weights of a safetensors file that [`check`](super::check) found to fit `params`. Half and double precision are
    /// converted.
    ///
    /// # Errors
    /// Where the file cannot be read, or is no longer what `header` says.
    pub fn read(
        path: &Path,
        header: &Header,
        params: &[Param],
        fit: &Fit,
    ) -> Result<Self, FileError> {
        let failed = |e: std::io::Error| FileError::new("cannot read", path, e);
        affordable(params).map_err(|e| failed(std::io::Error::other(e)))?;
        let mut file = File::open(path).map_err(failed)?;
        let mut all = Vec::with_capacity(params.len());
        for (param, source) in params.iter().zip(&fit.sources) {
            let other = || failed(std::io::Error::other("it is another file than was checked"));
            let info = header.get(&source.in_file).ok_or_else(other)?;
            let bytes = info
                .dtype
                .bytes()
                .and_then(|b| param.elems().checked_mul(b));
            let mut data = Vec::new();
            file.seek(SeekFrom::Start(info.begin)).map_err(failed)?;
            let whole = (&mut file).take(bytes.unwrap_or(0));
            let got = { whole }.read_to_end(&mut data).map_err(failed)?;
            if Some(got as u64) != bytes || !info.dtype.holds(param.role) {
                return Err(other());
            }
            all.push(match param.role {
                Role::Index => Values::Index(whole_numbers(info.dtype, &data)),
                _ => Values::Real(reals(info.dtype, &data)),
            });
        }
        Ok(Self(all))
    }
}

fn numbers<const N: usize, T>(data: &[u8], of: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks::<N>()
        .0
        .iter()
        .map(|bytes| of(*bytes))
        .collect()
}

fn whole_numbers(dtype: Dtype, data: &[u8]) -> Vec<i64> {
    match dtype {
        Dtype::I32 => numbers(data, |b| i64::from(i32::from_le_bytes(b))),
        _ => numbers(data, i64::from_le_bytes),
    }
}

fn reals(dtype: Dtype, data: &[u8]) -> Vec<f32> {
    match dtype {
        Dtype::F64 => numbers(data, |b| f64::from_le_bytes(b) as f32),
        Dtype::F16 => numbers(data, |b| half(u16::from_le_bytes(b))),
        Dtype::Bf16 => numbers(data, |b| {
            f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)
        }),
        _ => numbers(data, f32::from_le_bytes),
    }
}

/// IEEE half precision: a sign, five bits of exponent, ten of fraction.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let (exponent, fraction) = (u32::from(bits >> 10 & 0x1f), u32::from(bits & 0x3ff));
    match exponent {
        // steps of 2^-24, which single precision has exactly
        0 => f32::from_bits(sign | (fraction as f32 * f32::powi(2.0, -24)).to_bits()),
        0x1f => f32::from_bits(sign | 0xff << 23 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

#[cfg(test)]
mod tests {
    use super::half;

    #[test]
    fn halves_by_hand() {
        let cases = [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x3555, 0.333_251_95),
            (0x0001, 5.960_464_5e-8),
            (0x83ff, -6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x7c00, f32::INFINITY),
            (0x0000, 0.0),
        ];
        for (bits, value) in cases {
            assert_eq!(half(bits), value, "{bits:x}");
        }
        assert!(half(0x7e00).is_nan());
        assert!(half(0x8000).is_sign_negative());
    }
}
