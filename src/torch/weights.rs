//! Weights, inputs and outputs in safetensors files.

use super::error::{TorchError, TorchErrorKind, WeightProblem};
use super::net::{Net, holds, numbered};
use crate::ir::Graph;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use tch::{Device, Tensor};

/// Our parameter name -> its name in the file. A parameter that the map leaves out has the same name in both.
pub type NameMap = BTreeMap<String, String>;

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
    std::fs::File::open(path).map_err(|e| TorchError::open(path, e))?;
    let tensors = Tensor::read_safetensors(path).map_err(|e| TorchError::read(path, reason(&e)))?;
    Ok(tensors.into_iter().collect())
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

/// A name map from JSON: one object of texts.
///
/// # Errors
/// Where `text` is something else. `path` is for the message.
pub fn parse_name_map(text: &str, path: &Path) -> Result<NameMap, TorchError> {
    serde_json::from_str(text).map_err(|e| TorchError::read(path, e))
}

impl Net {
    /// Takes its parameters from a safetensors file. On an error nothing has changed.
    ///
    /// Entries `num_batches_tracked` of the file are ignored. Half and double precision are converted.
    ///
    /// # Errors
    /// Where the file cannot be read, or tensors are missing, surplus, misshapen or not floating-point: all of them.
    pub fn load(&mut self, path: &Path, map: Option<&NameMap>) -> Result<(), TorchError> {
        let mut file = read_tensors(path)?;
        file.retain(|name, _| {
            let last = name.rsplit('.').next();
            last != Some("num_batches_tracked")
        });
        let none = NameMap::new();
        let map = map.unwrap_or(&none);
        let mut problems = Vec::new();
        let mut wanted = BTreeSet::new();
        let ours: BTreeSet<&str> = self.params.iter().map(|p| p.name.as_str()).collect();
        for name in map.keys().filter(|name| !ours.contains(name.as_str())) {
            problems.push(WeightProblem::NotOurs { name: name.clone() });
        }
        for (at, param) in self.params.iter().enumerate() {
            let in_file = map.get(&param.name).unwrap_or(&param.name);
            wanted.insert(in_file.as_str());
            let (name, in_file) = (param.name.clone(), in_file.clone());
            let Some(tensor) = file.get(&in_file) else {
                problems.push(WeightProblem::Missing { name, in_file });
                continue;
            };
            let (expected, got, kind) = (self.sizes(at), tensor.size(), tensor.f_kind()?);
            if expected != got {
                problems.push(WeightProblem::Shape {
                    name,
                    in_file,
                    expected,
                    got,
                });
            } else if !holds(param.role, kind) {
                problems.push(WeightProblem::Kind {
                    name,
                    in_file,
                    got: format!("{kind:?}"),
                });
            }
        }
        for in_file in file.keys().filter(|name| !wanted.contains(name.as_str())) {
            problems.push(WeightProblem::Surplus {
                in_file: in_file.clone(),
            });
        }
        refuse(path, problems)?;
        for at in 0..self.params.len() {
            let name = &self.params[at].name;
            let in_file = map.get(name).unwrap_or(name);
            if let Some(tensor) = file.get(in_file) {
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

fn refuse(path: &Path, mut problems: Vec<WeightProblem>) -> Result<(), TorchError> {
    if problems.is_empty() {
        return Ok(());
    }
    problems.sort_by(|a, b| (a.name(), a).cmp(&(b.name(), b)));
    Err(TorchErrorKind::Weights {
        path: path.to_owned(),
        problems,
    }
    .into())
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
            None => problems.push(WeightProblem::Missing {
                in_file: name.clone(),
                name,
            }),
        }
    }
    problems.extend(
        file.into_keys()
            .map(|in_file| WeightProblem::Surplus { in_file }),
    );
    refuse(input, problems)?;
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
