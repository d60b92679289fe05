//! A finished model, in one file or with its large tensors beside it.

use super::error::{OnnxError, OnnxErrorKind};
use super::proto::Message;
use super::{IR_VERSION, OPSET};
use crate::base::file::{FileError, write_atomically};
use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

/// The most bytes of a message.
const MOST: u64 = (1 << 31) - 1;

/// Tensors smaller than this stay in the model.
const SMALL: usize = 1024;

/// Where tensors begin in a file of their own.
const ALIGN: u64 = 64;

/// Numbers of a tensor.
#[derive(Clone, Debug)]
pub(super) enum Data<'a> {
    Reals(Cow<'a, [f32]>),
    Ints(Cow<'a, [i64]>),
}

/// An initializer.
#[derive(Clone, Debug)]
pub(super) struct Tensor<'a> {
    pub name: String,
    pub dims: Vec<i64>,
    pub data: Data<'a>,
}

impl Tensor<'_> {
    fn bytes(&self) -> Vec<u8> {
        match &self.data {
            Data::Reals(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Data::Ints(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }

    fn size(&self) -> usize {
        match &self.data {
            Data::Reals(values) => 4 * values.len(),
            Data::Ints(values) => 8 * values.len(),
        }
    }

    /// TensorProto: dims 1, data_type 2, name 8.
    fn head(&self) -> Message {
        let mut m = Message::default();
        self.dims.iter().for_each(|d| m.int(1, *d));
        m.int(2, if let Data::Reals(_) = self.data { 1 } else { 7 });
        m.text(8, &self.name);
        m
    }
}

/// An ONNX model, not yet written.
#[derive(Clone, Debug)]
pub struct Model<'a> {
    pub(super) graph: Message,
    pub(super) tensors: Vec<Tensor<'a>>,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) nodes: usize,
    pub(super) learnable: u64,
}

/// What is known of a tensor that lies in another file.
struct Place {
    offset: u64,
    length: usize,
}

impl Model<'_> {
    /// Nodes of the ONNX graph.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Learnable scalars in it.
    pub fn parameters(&self) -> u64 {
        self.learnable
    }

    /// Bytes of all its tensors.
    pub fn tensor_bytes(&self) -> u64 {
        self.tensors.iter().map(|t| t.size() as u64).sum()
    }

    /// True where it needs [`save_beside`](Self::save_beside).
    pub fn is_too_large(&self) -> bool {
        self.upper_bound() > MOST
    }

    fn upper_bound(&self) -> u64 {
        // heads of tensors and what stands around the graph take less than these
        let heads: usize = self.tensors.iter().map(|t| t.name.len() + 128).sum();
        let notes: usize = self
            .metadata
            .iter()
            .map(|(k, v)| k.len() + v.len() + 32)
            .sum();
        self.tensor_bytes() + (self.graph.len() + heads + notes + 1024) as u64
    }

    /// The whole model.
    ///
    /// # Errors
    /// Where it would have 2 GiB or more.
    pub fn to_bytes(&self) -> Result<Vec<u8>, OnnxError> {
        if self.is_too_large() {
            let bytes = self.upper_bound();
            return Err(OnnxErrorKind::TooLarge { bytes }.into());
        }
        Ok(self.encode(None))
    }

    /// Writes the model into one file.
    ///
    /// # Errors
    /// Where it would have 2 GiB or more, or the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
        let bytes = self.to_bytes()?;
        write_atomically(path, |file| file.write_all(&bytes))?;
        Ok(bytes.len() as u64)
    }

    /// Writes the model, and its large tensors into a file `PATH.data` beside it, which must stay there. Gives the bytes
    /// of both.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn save_beside(&self, path: &Path) -> Result<[u64; 2], FileError> {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".data");
        let mut places = Vec::new();
        let mut end = 0u64;
        for tensor in &self.tensors {
            let length = tensor.size();
            let place = (length >= SMALL).then(|| {
                let offset = end.next_multiple_of(ALIGN);
                end = offset + length as u64;
                Place { offset, length }
            });
            places.push(place);
        }
        write_atomically(&path.with_file_name(&name), |file| {
            let mut at = 0;
            for (tensor, place) in self.tensors.iter().zip(&places) {
                let Some(place) = place else { continue };
                let gap = vec![0; place.offset.saturating_sub(at) as usize];
                file.write_all(&gap)?;
                file.write_all(&tensor.bytes())?;
                at = place.offset + place.length as u64;
            }
            Ok(())
        })?;
        let location = name.to_string_lossy();
        let bytes = self.encode(Some((&location, &places)));
        write_atomically(path, |file| file.write_all(&bytes))?;
        Ok([bytes.len() as u64, end])
    }

    fn encode(&self, beside: Option<(&str, &[Option<Place>])>) -> Vec<u8> {
        let mut graph = self.graph.clone();
        for (at, tensor) in self.tensors.iter().enumerate() {
            let mut m = tensor.head();
            let place = beside.and_then(|(name, places)| Some((name, places.get(at)?.as_ref()?)));
            // raw_data 9, external_data 13, data_location 14
            match place {
                None => m.bytes(9, &tensor.bytes()),
                Some((location, place)) => {
                    let (offset, length) = (place.offset.to_string(), place.length.to_string());
                    for (key, value) in [
                        ("location", location),
                        ("offset", &offset),
                        ("length", &length),
                    ] {
                        m.message(13, &entry(key, value));
                    }
                    m.int(14, 1);
                }
            }
            // initializer 5
            graph.message(5, &m);
        }
        // ModelProto: ir_version 1, producer_name 2, producer_version 3, graph 7, opset_import 8, metadata_props 14
        let mut m = Message::default();
        m.int(1, IR_VERSION);
        m.text(2, "blocksmith");
        m.text(3, env!("CARGO_PKG_VERSION"));
        // OperatorSetIdProto: version 2; no domain is that of ONNX itself
        let mut opset = Message::default();
        opset.int(2, OPSET);
        m.message(8, &opset);
        for (key, value) in &self.metadata {
            m.message(14, &entry(key, value));
        }
        m.message(7, &graph);
        m.into_bytes()
    }
}

/// StringStringEntryProto: key 1, value 2.
fn entry(key: &str, value: &str) -> Message {
    let mut m = Message::default();
    m.text(1, key);
    m.text(2, value);
    m
}
