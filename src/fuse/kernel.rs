//! One launch.

use crate::ir::ops::{Act, Conv};
use crate::ir::shape::Shape;
use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $class:ident;)*) => {
        /// What a kernel is to a device: kernels of one kind share their cost rates.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum KernelKind { $($(#[$doc])* #[serde(rename = $text)] $name,)* }

        impl KernelKind {
            /// All of them, in order.
            pub const ALL: &'static [KernelKind] = &[$(KernelKind::$name,)*];

            /// The name in profiles and tables.
            pub fn name(self) -> &'static str {
                match self { $(KernelKind::$name => $text,)* }
            }

            /// The class of work that its time counts as.
            pub fn class(self) -> WorkClass {
                match self { $(KernelKind::$name => WorkClass::$class,)* }
            }
        }
    };
}

/// Classes of work that time and energy are split into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkClass {
    /// Dense and grouped convolutions and linear layers.
    Conv,
    /// Depthwise convolutions.
    Depthwise,
    /// Concatenation, copies, shuffles, resizing.
    DataMovement,
    /// Activations, sums, products, norms and pools.
    ElementWise,
}

kinds! {
    /// Dense convolution of an image: at most four input channels.
    ConvFirst = "conv_first", Conv;
    /// Dense 1x1 convolution.
    Conv1x1 = "conv_1x1", Conv;
    /// Dense 3x3 convolution, stride 1.
    Conv3x3 = "conv_3x3", Conv;
    /// Dense 3x3 convolution, stride 2 or more.
    Conv3x3Strided = "conv_3x3_strided", Conv;
    /// Any other dense convolution: other sizes, dilated.
    ConvOther = "conv_other", Conv;
    /// Grouped 1x1 convolution.
    Grouped1x1 = "grouped_1x1", Conv;
    /// Any other grouped convolution that is not depthwise.
    Grouped = "grouped", Conv;
    /// Depthwise 3x3, stride 1.
    Depthwise3x3 = "depthwise_3x3", Depthwise;
    /// Depthwise 3x3, stride 2 or more.
    Depthwise3x3Strided = "depthwise_3x3_strided", Depthwise;
    /// Any other depthwise convolution: other sizes, dilated.
    DepthwiseOther = "depthwise_other", Depthwise;
    /// Fully connected layer.
    Linear = "linear", Conv;
    /// Max pooling.
    MaxPool = "max_pool", ElementWise;
    /// Average pooling.
    AvgPool = "avg_pool", ElementWise;
    /// Pooling of whole channels.
    GlobalPool = "global_pool", ElementWise;
    /// Sum of two values.
    Add = "add", ElementWise;
    /// Product of two values, with or without broadcast.
    Mul = "mul", ElementWise;
    /// Activation by comparison: relu, relu6, prelu, leaky_relu, clip01.
    Act = "act", ElementWise;
    /// Activation by arithmetic: hswish, hsigmoid.
    ActHard = "act_hard", ElementWise;
    /// Activation with an exponential: silu, sigmoid.
    ActExp = "act_exp", ElementWise;
    /// Batch norm that no convolution took in.
    Norm = "norm", ElementWise;
    /// Concatenation.
    Concat = "concat", DataMovement;
    /// Slice that is copied, padding, transposition.
    Copy = "copy", DataMovement;
    /// Channel shuffle, choice of channels.
    Shuffle = "shuffle", DataMovement;
    /// Resizing.
    Upsample = "upsample", DataMovement;
    /// Work that none of the above describes: normalisations and filters across channels, operators of tables.
    Other = "other", ElementWise;
    // at the end, so that signatures of networks in profiles that are out there still hold
    /// Norm whose mean and variance are those of the values at hand: layer norm, group norm.
    LayerNorm = "layer_norm", ElementWise;
    /// PReLU where a profile tells it from other activations ([`Act`](Self::Act)): some runtimes branch at each element.
    ActLearned = "act_learned", ElementWise;
}

impl KernelKind {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// As an index into tables of [`COUNT`](Self::COUNT) entries.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|k| k.name() == name)
    }

    /// The kind of an activation that runs by itself.
    pub fn of_act(act: Act) -> Self {
        match act {
            Act::Relu | Act::Relu6 | Act::Prelu | Act::LeakyRelu(_) | Act::Clip01 => {
                KernelKind::Act
            }
            Act::Hswish | Act::Hsigmoid => KernelKind::ActHard,
            Act::Silu | Act::Sigmoid => KernelKind::ActExp,
        }
    }

    /// The kind of a convolution.
    pub fn of_conv(window: &Window, cin: u32, cout: u32) -> Self {
        let square = |k| window.kernel_size == [k; 2] && window.dilation == [1; 2];
        let strided = window.stride != [1; 2];
        if window.groups <= 1 {
            return match () {
                () if window.kernel_size == [1; 2] => KernelKind::Conv1x1,
                () if cin <= 4 => KernelKind::ConvFirst,
                () if square(3) && strided => KernelKind::Conv3x3Strided,
                () if square(3) => KernelKind::Conv3x3,
                () => KernelKind::ConvOther,
            };
        }
        if window.groups == cin && cout.is_multiple_of(cin.max(1)) {
            return match () {
                () if square(3) && strided => KernelKind::Depthwise3x3Strided,
                () if square(3) => KernelKind::Depthwise3x3,
                () => KernelKind::DepthwiseOther,
            };
        }
        if window.kernel_size == [1; 2] {
            KernelKind::Grouped1x1
        } else {
            KernelKind::Grouped
        }
    }
}

/// The window of a convolution or pool; all ones for everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Height and width.
    pub kernel_size: [u32; 2],
    /// Step.
    pub stride: [u32; 2],
    /// Distance between taps.
    pub dilation: [u32; 2],
    /// Groups of channels.
    pub groups: u32,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            kernel_size: [1; 2],
            stride: [1; 2],
            dilation: [1; 2],
            groups: 1,
        }
    }
}

impl From<&Conv> for Window {
    fn from(conv: &Conv) -> Self {
        Self {
            kernel_size: conv.kernel_size,
            stride: conv.stride,
            dilation: conv.dilation,
            groups: conv.groups,
        }
    }
}

/// One launch, for one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// What it is to a device.
    pub kind: KernelKind,
    /// Shape of its first input.
    pub input: Shape,
    /// Shape of its output.
    pub output: Shape,
    /// Window of a convolution or pool.
    pub window: Window,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Elements read from values.
    pub elems_in: u64,
    /// Elements written.
    pub elems_out: u64,
    /// Learnable scalars that the nodes in it read.
    pub weights: u64,
    /// Activation that rides along.
    pub act: Option<Act>,
    /// Whether a batch norm rides along.
    pub fused_norm: bool,
    /// Whether a sum rides along.
    pub fused_add: bool,
}
