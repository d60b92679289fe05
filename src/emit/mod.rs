//! Floor 3: artefacts. A graph and its weights as files that other programs run; no framework is needed to write them.

pub mod onnx;
