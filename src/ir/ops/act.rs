//! Element-wise activations.

/// Activations, named as in PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x` where positive, `a x` elsewhere; one learnable `a` a channel, parameter `weight`.
    Prelu,
    /// `x sigmoid(x)`.
    Silu,
    /// `x relu6(x + 3) / 6`.
    Hswish,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `relu6(x + 3) / 6`.
    Hsigmoid,
}

impl Act {
    /// All of them.
    pub const ALL: [Act; 7] = [
        Act::Relu,
        Act::Relu6,
        Act::Prelu,
        Act::Silu,
        Act::Hswish,
        Act::Sigmoid,
        Act::Hsigmoid,
    ];

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Act::Relu => "relu",
            Act::Relu6 => "relu6",
            Act::Prelu => "prelu",
            Act::Silu => "silu",
            Act::Hswish => "hswish",
            Act::Sigmoid => "sigmoid",
            Act::Hsigmoid => "hsigmoid",
        }
    }

    /// The activation of that name.
    pub fn from_name(name: &str) -> Option<Act> {
        Self::ALL.into_iter().find(|a| a.name() == name)
    }

    pub(super) fn tag(self) -> u64 {
        match self {
            Act::Relu => 0,
            Act::Relu6 => 1,
            Act::Prelu => 2,
            Act::Silu => 3,
            Act::Hswish => 4,
            Act::Sigmoid => 5,
            Act::Hsigmoid => 6,
        }
    }
}
