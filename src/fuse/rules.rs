//! Which ops a runtime lets ride along.

use crate::ir::ops::{Act, LEAKY_SLOPE};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A set of activations; in JSON a list of names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acts(u16);

impl Acts {
    /// None of them.
    pub const NONE: Acts = Acts(0);
    /// All of them.
    pub const ALL: Acts = Acts(0x1ff);

    /// These.
    pub fn of(acts: &[Act]) -> Self {
        Acts(acts.iter().fold(0, |bits, a| bits | Self::bit(*a)))
    }

    /// Whether `act` is one of them.
    pub fn has(self, act: Act) -> bool {
        self.0 & Self::bit(act) != 0
    }

    fn bit(act: Act) -> u16 {
        1 << match act {
            Act::Relu => 0,
            Act::Relu6 => 1,
            Act::Prelu => 2,
            Act::Silu => 3,
            Act::Hswish => 4,
            Act::Sigmoid => 5,
            Act::Hsigmoid => 6,
            Act::LeakyRelu(_) => 7,
            Act::Clip01 => 8,
        }
    }
}

impl Serialize for Acts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = Act::ALL.iter().filter(|a| self.has(**a)).map(|a| a.name());
        serializer.collect_seq(names)
    }
}

impl<'de> Deserialize<'de> for Acts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        let mut set = Acts::NONE;
        for name in &names {
            let act = Act::from_name(name)
                .ok_or_else(|| D::Error::custom(format!("no activation \"{name}\"")))?;
            set.0 |= Self::bit(act);
        }
        Ok(set)
    }
}

/// What becomes of `zero`, the edge that is not there, and of what is made from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZeroRule {
    /// All that does not depend on an input is computed once, and adding zero does nothing.
    Folded,
    /// As folded, but convolutions and linear layers of constants run each time.
    Kept,
    /// Zero is its input times 0 and runs; so does everything before and after it.
    Computed,
}

/// What a runtime fuses. Dead nodes go everywhere; flatten, dropout and inputs are free everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FuseRules {
    /// Batch norm is folded into the convolution or linear layer before it.
    pub conv_norm: bool,
    /// A sum joins the convolution that makes one of its operands.
    pub conv_add: bool,
    /// Activations that join the convolution or linear layer before them.
    pub conv_act: Acts,
    /// Activations that join an element-wise sum or product before them.
    pub add_act: Acts,
    /// Activations that join a batch norm of its own before them.
    pub norm_act: Acts,
    /// Ops without parameters that do the same to the same value run once.
    pub merge_equal: bool,
    /// A slice is a view; otherwise it is copied.
    pub slice_free: bool,
    /// What becomes of zeros.
    pub zero: ZeroRule,
}

impl FuseRules {
    /// PyTorch without a compiler: one launch an op.
    pub fn eager() -> Self {
        Self {
            conv_norm: false,
            conv_add: false,
            conv_act: Acts::NONE,
            add_act: Acts::NONE,
            norm_act: Acts::NONE,
            merge_equal: false,
            slice_free: true,
            zero: ZeroRule::Folded,
        }
    }

    /// libtorch running nets with folded batch norms, op by op.
    pub fn torch() -> Self {
        Self {
            conv_norm: true,
            ..Self::eager()
        }
    }

    /// ncnn after its optimiser.
    pub fn ncnn() -> Self {
        Self {
            conv_norm: true,
            conv_add: false,
            conv_act: Acts::of(&[
                Act::Relu,
                Act::Relu6,
                Act::Sigmoid,
                Act::Hswish,
                Act::LeakyRelu(LEAKY_SLOPE),
            ]),
            add_act: Acts::NONE,
            norm_act: Acts::NONE,
            merge_equal: false,
            slice_free: false,
            zero: ZeroRule::Folded,
        }
    }

    /// ONNX Runtime on a CPU.
    pub fn onnx() -> Self {
        Self {
            conv_norm: true,
            conv_add: false,
            conv_act: Acts::of(&[Act::Relu, Act::Relu6, Act::Sigmoid, Act::Hsigmoid]),
            add_act: Acts::NONE,
            norm_act: Acts::NONE,
            merge_equal: true,
            slice_free: false,
            zero: ZeroRule::Computed,
        }
    }

    /// LiteRT (TensorFlow Lite) with XNNPACK.
    pub fn litert() -> Self {
        let clamps = Acts::of(&[Act::Relu, Act::Relu6]);
        Self {
            conv_norm: true,
            conv_add: false,
            conv_act: clamps,
            add_act: clamps,
            norm_act: clamps,
            merge_equal: true,
            slice_free: false,
            zero: ZeroRule::Kept,
        }
    }

    /// TorchScript after `optimize_for_mobile`.
    pub fn torchmobile() -> Self {
        Self {
            conv_norm: true,
            conv_add: false,
            conv_act: Acts::of(&[Act::Relu, Act::Relu6]),
            add_act: Acts::NONE,
            norm_act: Acts::NONE,
            merge_equal: true,
            slice_free: true,
            zero: ZeroRule::Computed,
        }
    }
}
