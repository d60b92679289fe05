//! ONNX files: their bytes against a decoder of the tests' own, their meaning against ONNX Runtime.

#[path = "onnx/bytes.rs"]
mod bytes;
#[path = "onnx/networks.rs"]
mod networks;
#[path = "onnx/ops.rs"]
pub mod ops;

use crate::python::{call, names_by_order, op, python, repo};
use blocksmith::emit::onnx::{Batch, Options, model};
use blocksmith::ir::params::Role;
use blocksmith::ir::{Graph, GraphBuilder, Op, Shape, ValueId};
use blocksmith::weights::{Values, Weights, fold};
use serde_json::{Value, json};
use std::path::Path;

/// Models to be run, in a folder.
struct Cases {
    folder: tempfile::TempDir,
    cases: Vec<Value>,
    names: Vec<String>,
}

impl Cases {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            cases: Vec::new(),
            names: Vec::new(),
        }
    }

    /// A model, what goes in and what comes out; `null` for the check alone.
    fn add(&mut self, name: &str, graph: &Graph, weights: &Weights, batch: Batch, io: [Value; 2]) {
        let options = Options {
            batch,
            ..Options::default()
        };
        let file = format!("{}.onnx", self.cases.len());
        let model = model(graph, weights, &options).unwrap();
        model.save(&self.folder.path().join(&file)).unwrap();
        let [inputs, outputs] = io;
        let dynamic = batch == Batch::Dynamic;
        self.cases
            .push(json!({"model": file, "inputs": inputs, "outputs": outputs, "dynamic": dynamic}));
        self.names.push(name.to_owned());
    }

    /// What ONNX Runtime says, by case; fails where it refuses one.
    fn run(&self, python: &str) -> Vec<(&str, Value)> {
        let list = serde_json::to_string(&self.cases).unwrap();
        std::fs::write(self.folder.path().join("cases.json"), list).unwrap();
        let folder = self.folder.path().to_str().unwrap();
        let results = call(python, "onnx_run.py", &[folder]);
        let results: Vec<Value> = serde_json::from_str(&results).unwrap();
        assert_eq!(results.len(), self.names.len());
        let named = self.names.iter().map(String::as_str).zip(results);
        let (failed, fine): (Vec<_>, Vec<_>) =
            named.partition(|(_, result)| result.get("failed").is_some());
        let told: Vec<String> = failed
            .iter()
            .map(|(name, result)| format!("{name}: {}", result["failed"]))
            .collect();
        assert!(told.is_empty(), "{}", told.join("\n"));
        fine
    }

    /// The largest relative error, none of which may be above `most`.
    fn worst(&self, python: &str, most: f64) -> f64 {
        let mut worst = 0.0f64;
        let mut above = Vec::new();
        for (name, result) in self.run(python) {
            let errors = result["errors"].as_array().unwrap();
            assert!(!errors.is_empty(), "{name}");
            // a null is no number: NaN
            let error = errors.iter().map(|e| e.as_f64().unwrap_or(f64::INFINITY));
            let error = error.fold(0.0, f64::max);
            worst = worst.max(error);
            if error > most {
                above.push(format!("{name}: relative error {error:e}"));
            }
        }
        assert!(above.is_empty(), "{}", above.join("\n"));
        worst
    }
}
