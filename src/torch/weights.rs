//! Weights, inputs and outputs in safetensors files.

use super::error::{TorchError, TorchErrorKind};
use super::net::{Net, numbered};
use crate::ir::Graph;
use crate::weights::{FitError, Header, NameMap, Problem, check};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use tch::{Device, Tensor};

/// What [`run`] did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RunSummary {
    /// Learnable scalars that the net has.
    pub params: u64,
    /// Samples in the batch.
    pub batch: u64,
    /// Shape of each output, batch first.
    pub outputs: Vec<Vec<i64>>,
}

impl fmt::Display for RunSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} params, batch {}", self.params, self.batch)?;
        for (i, shape) in self.outputs.iter().enumerate() {
            write!(f, "\n{} {shape:?}", numbered("output", i))?;
        }
        Ok(())
    }
}

/// The tensors of a safetensors file.
///
/// # Errors
/// Where the file cannot be read, is damaged, or holds numbers that libtorch does not know.
pub fn read_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>, TorchError> {
    header(path)?;
    let tensors = Tensor::read_safetensors(path).map_err(|e| TorchError::read(path, reason(&e)))?;
    Ok(tensors.into_iter().collect())
}

/// What the file says it holds, checked before libtorch sees it.
fn header(path: &Path) -> Result<Header, TorchError> {
    Header::read(path).map_err(|e| match e.is_system() {
        true => TorchError::open(path, e.kind()),
        false => TorchError::read(path, e.kind()),
    })
}

/// Writes tensors as safetensors, through a file beside it, so that a reader never sees half of one.
///
/// # Errors
/// Where the file cannot be written.
pub fn write_tensors<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    path: &Path,
) -> Result<(), TorchError> {
    let mut ready = Vec::new();
    for (name, tensor) in tensors {
        let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?;
        ready.push((name, tensor.f_contiguous()?));
    }
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let written = Tensor::write_safetensors(&ready, part)
        .map_err(|e| TorchError::write(path, reason(&e)))
        .and_then(|()| std::fs::rename(part, path).map_err(|e| TorchError::write(path, e)));
    if written.is_err() {
        // what failed to be written may be there in part; if it is not, nothing is lost
        let _ = std::fs::remove_file(part);
    }
    written
}

/// tch repeats the path; we say it once.
fn reason(error: &tch::TchError) -> String {
    match error {
        tch::TchError::SafeTensorError { err, .. } => match err.to_string() {
            text if text.is_empty() => format!("{err:?}"),
            text => text,
        },
        other => other.to_string(),
    }
}

impl Net {
    /// Takes its parameters from a safetensors file. On an error nothing has changed.
    ///
    /// Entries `num_batches_tracked` of the file are ignored. Half and double precision are converted.
    ///
    /// # Errors
    /// Where the file cannot be read, or tensors are missing, surplus, misshapen or not floating-point: all of them.
    pub fn load(&mut self, path: &Path, map: Option<&NameMap>) -> Result<(), TorchError> {
        let fit = check(&self.params, &header(path)?, map).map_err(|e| match e {
            FitError::Map(problems) => TorchError::from(TorchErrorKind::Map(problems)),
            FitError::File(problems) => misfit(path, problems),
        })?;
        let file = read_tensors(path)?;
        for (at, source) in fit.sources.iter().enumerate() {
            let absent = || TorchError::read(path, "it changed while it was read");
            let tensor = file.get(&source.in_file).ok_or_else(absent)?;
            if source.reshape {
                self.set(at, &tensor.f_reshape(self.sizes(at))?)?;
            } else {
                self.set(at, tensor)?;
            }
        }
        Ok(())
    }

    /// Writes all parameters under their names.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TorchError> {
        write_tensors(self.state(), path)
    }
}

fn misfit(path: &Path, problems: Vec<Problem>) -> TorchError {
    let path = path.to_owned();
    TorchErrorKind::Weights { path, problems }.into()
}

/// One forward pass from files to file: weights and inputs in, outputs out. Inputs are the tensors `input`, `input1`…
/// of the input file, outputs become `output`, `output1`….
///
/// # Errors
/// Where a file cannot be read or written, or a tensor is missing, surplus or misshapen.
pub fn run(
    graph: &Graph,
    weights: &Path,
    map: Option<&NameMap>,
    input: &Path,
    output: &Path,
    device: Device,
) -> Result<RunSummary, TorchError> {
    let mut net = Net::build(graph, device, 0)?;
    net.load(weights, map)?;
    let mut file = read_tensors(input)?;
    let mut problems = Vec::new();
    let mut inputs = Vec::new();
    for i in 0..net.input_shapes().len() {
        let name = numbered("input", i);
        match file.remove(&name) {
            Some(tensor) => inputs.push(tensor),
            None => problems.push(Problem::Missing {
                in_file: name.clone(),
                name,
                near: None,
            }),
        }
    }
    problems.extend(file.into_keys().map(|in_file| Problem::Surplus { in_file }));
    if !problems.is_empty() {
        return Err(misfit(input, problems));
    }
    let outputs = net.forward(&inputs)?;
    let names: Vec<String> = (0..outputs.len()).map(|i| numbered("output", i)).collect();
    write_tensors(names.iter().map(String::as_str).zip(&outputs), output)?;
    Ok(RunSummary {
        params: net.param_count(),
        batch: inputs
            .first()
            .and_then(|x| x.size().first().copied())
            .unwrap_or(0)
            .unsigned_abs(),
        outputs: outputs.iter().map(Tensor::size).collect(),
    })
}
