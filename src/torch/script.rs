//! TorchScript written here: some of libtorch's kernels are reached through it alone.

use super::error::TorchError;
use tch::{CModule, Tensor};

/// What a kernel does, in the language of TorchScript's archives.
#[derive(Debug)]
pub(super) struct Text {
    /// Type of the weights once they are ready.
    pub(super) ready_type: &'static str,
    /// Makes them ready, from the weights `w` and the bias `b`, which is `None` where there is none.
    pub(super) ready: String,
    /// Makes `y` from the input `x`, the ready weights `a` and the bias `b`.
    pub(super) run: String,
}

/// A kernel with its weights, laid out as it wants them.
#[derive(Debug)]
pub(super) struct Kernel {
    module: CModule,
}

impl Kernel {
    /// From weights and bias, if it has one.
    ///
    /// # Errors
    /// Where libtorch lacks the kernel, or it does not take such weights.
    pub(super) fn new(text: &Text, params: &[Tensor]) -> Result<Kernel, TorchError> {
        let code = class(text, params.len() > 1);
        let module = CModule::load_data(&mut archive(&code).as_slice())?;
        drop(module.method_ts("prepare", params)?);
        Ok(Kernel { module })
    }

    pub(super) fn run(&self, x: &Tensor) -> Result<Tensor, TorchError> {
        Ok(self.module.forward_ts(&[x])?)
    }
}

fn class(text: &Text, bias: bool) -> String {
    let Text {
        ready_type,
        ready,
        run,
    } = text;
    let (takes, given) = match bias {
        true => (",\n    b: Tensor", ""),
        false => ("", "    b = None\n"),
    };
    let bias = match bias {
        true => "unchecked_cast(Tensor, self.b)",
        false => "None",
    };
    format!(
        "class Net(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  a : Optional[{ready_type}]
  b : Optional[Tensor]
  def forward(self: __torch__.Net,
    x: Tensor) -> Tensor:
    a = unchecked_cast({ready_type}, self.a)
    b = {bias}
{run}    return y
  def prepare(self: __torch__.Net,
    w: Tensor{takes}) -> Tensor:
{given}    self.a = {ready}
    self.b = b
    return w
"
    )
}

/// The module as libtorch reads it: a zip file, nothing compressed, of code, an object whose attributes are not there yet,
/// and no constants.
fn archive(code: &str) -> Vec<u8> {
    // pickle, protocol 2: an object of the class with training = False, a = None, b = None
    let object = b"\x80\x02c__torch__\nNet\nq\x00)\x81}(X\x08\x00\x00\x00trainingq\x01\x89\
        X\x01\x00\x00\x00aNX\x01\x00\x00\x00bNub.";
    let files: [(&str, &[u8]); 4] = [
        ("net/data.pkl", object),
        ("net/code/__torch__.py", code.as_bytes()),
        ("net/constants.pkl", b"\x80\x02)."),
        ("net/version", b"3\n"),
    ];
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let offset = bytes.len() as u32;
        let size = (content.len() as u32).to_le_bytes();
        // version 2.0, no flags, stored, first of January 1980
        let mut facts = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        facts.extend(crc32fast::hash(content).to_le_bytes());
        facts.extend([size, size].concat());
        facts.extend([(name.len() as u16).to_le_bytes(), [0, 0]].concat());
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&facts);
        bytes.extend(name.as_bytes());
        bytes.extend(content);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&facts);
        // no comment, first disk, no attributes
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = (bytes.len() as u32).to_le_bytes();
    let length = (directory.len() as u32).to_le_bytes();
    let count = (files.len() as u16).to_le_bytes();
    bytes.extend(directory);
    bytes.extend(b"PK\x05\x06\x00\x00\x00\x00");
    bytes.extend([count, count].concat());
    bytes.extend([length, start].concat());
    bytes.extend([0, 0]);
    bytes
}
