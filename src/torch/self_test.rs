//! Proof that libtorch runs, and which one it is: a program that links may still not run.

use super::error::{TorchError, TorchErrorKind};
use std::fmt;
use tch::Tensor;

/// What [`self_test`] found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SelfTest {
    /// The libtorch that tch 0.24 belongs to; the library does not say its version over tch's interface.
    pub libtorch: &'static str,
    /// Threads of one operation.
    pub threads: u32,
    /// Whether a CUDA device can be used.
    pub cuda: bool,
    /// CUDA devices seen.
    pub cuda_devices: u32,
    /// Whether the CPU kernels of oneDNN are there.
    pub onednn: bool,
    /// Whether OpenMP is there.
    pub openmp: bool,
}

impl fmt::Display for SelfTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |yes: bool| if yes { "yes" } else { "no" };
        writeln!(f, "convolution  agrees with numbers worked out by hand")?;
        writeln!(f, "libtorch     {}", self.libtorch)?;
        writeln!(f, "threads      {}", self.threads)?;
        writeln!(f, "oneDNN       {}", word(self.onednn))?;
        writeln!(f, "OpenMP       {}", word(self.openmp))?;
        write!(
            f,
            "CUDA         {} ({} devices)",
            word(self.cuda),
            self.cuda_devices
        )
    }
}

/// The libtorch release that the build was made for.
pub fn libtorch_version() -> &'static str {
    "2.11.0"
}

/// Runs a strided, padded, grouped convolution and compares it with numbers worked out by hand.
///
/// # Errors
/// Where libtorch refuses or the numbers are wrong.
pub fn self_test() -> Result<SelfTest, TorchError> {
    let _guard = tch::no_grad_guard();
    // one 3x3 image in two channels: 1..9 and 9..1
    let up: Vec<f32> = (1..=9u8).map(f32::from).collect();
    let down: Vec<f32> = up.iter().rev().copied().collect();
    let x = Tensor::f_from_slice(&[up, down].concat())?.f_reshape([1, 2, 3, 3])?;
    // channel 0 sums a 2x2 window, channel 1 takes its upper left corner twice and adds 1
    let filters: [f32; 8] = [1., 1., 1., 1., 2., 0., 0., 0.];
    let w = Tensor::f_from_slice(&filters)?.f_reshape([2, 1, 2, 2])?;
    let b = Tensor::f_from_slice(&[0.0f32, 1.0])?;
    let y = x.f_conv2d(&w, Some(&b), [2, 2], [1, 1], [1, 1], 2)?;
    // windows start at -1 and 1: corners lie outside but for the last
    let expected = vec![1., 5., 11., 28., 1., 1., 1., 11.];
    let mut got = vec![0f32; expected.len()];
    y.f_copy_data(&mut got, y.numel().min(expected.len()))?;
    if y.size() != [1, 2, 2, 2] || got != expected {
        return Err(TorchErrorKind::SelfTest {
            what: "convolution",
            expected,
            got,
        }
        .into());
    }
    Ok(SelfTest {
        libtorch: libtorch_version(),
        threads: tch::get_num_threads().unsigned_abs(),
        cuda: tch::Cuda::is_available(),
        cuda_devices: u32::try_from(tch::Cuda::device_count()).unwrap_or(0),
        onednn: tch::utils::has_mkldnn(),
        openmp: tch::utils::has_openmp(),
    })
}
