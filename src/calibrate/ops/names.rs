//! Names of operators: those of ncnn's layers, of ATen, of this program.

use crate::fuse::KernelKind;
use std::collections::HashMap;

/// Names, and what they are taken for.
pub(super) struct Operators {
    known: HashMap<&'static str, As>,
}

impl Operators {
    pub(super) fn new() -> Self {
        Self {
            known: OPERATORS.iter().copied().collect(),
        }
    }

    /// What an operator of that name is taken for. ATen's own spellings say so themselves: `aten::add_.Tensor`,
    /// `aten.add.Tensor`; what of ATen has no kind here is `other`.
    pub(super) fn taken(&self, name: &str) -> Option<As> {
        match (self.known.get(name), of_aten(name)) {
            (Some(taken), _) => Some(*taken),
            (None, Some(short)) => Some(self.known.get(short).copied().unwrap_or(As::STRANGE)),
            (None, None) => None,
        }
    }

    /// Whether it is taken for `other` as nothing here has its name.
    pub(super) fn is_strange(&self, name: &str) -> bool {
        let known = |name| self.known.contains_key(name);
        !known(name) && of_aten(name).is_some_and(|short| !known(short))
    }

    /// The names.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        OPERATORS.iter().map(|o| o.0)
    }
}

impl As {
    const STRANGE: Self = Self::Kind(KernelKind::Other);
}

/// The name within ATen, without its overload; `None` for what does not say that it is of ATen.
fn of_aten(name: &str) -> Option<&str> {
    let name = name.strip_prefix("torch.ops.").unwrap_or(name);
    let short = name
        .strip_prefix("aten::")
        .or_else(|| name.strip_prefix("aten."))?;
    short.split('.').next().filter(|s| !s.is_empty())
}

/// What an operator is taken for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum As {
    /// A convolution; its window tells which.
    Conv,
    /// A depthwise convolution that enlarges.
    Deconv,
    /// ncnn's pooling; `pool_type` and the sizes tell which.
    Pool,
    /// A sum of two, or a product with one value a channel: the sizes tell which.
    Binary,
    /// An average pool to a size.
    Adaptive,
    /// Boxes of a detector.
    Boxes,
    /// A kernel of that kind.
    Kind(KernelKind),
    /// Costs nothing.
    Free,
}

/// Names of operators.
static OPERATORS: &[(&str, As)] = {
    use As::*;
    use KernelKind::*;
    &[
        ("Convolution", Conv),
        ("ConvolutionDepthWise", Conv),
        ("convolution", Conv),
        ("conv", Conv),
        ("conv2d", Conv),
        ("_convolution", Conv),
        ("cudnn_convolution", Conv),
        ("mkldnn_convolution", Conv),
        ("conv1d", Conv),
        ("conv3d", Conv),
        ("DeconvolutionDepthWise", Deconv),
        ("InnerProduct", Kind(Linear)),
        ("Gemm", Kind(Linear)),
        ("addmm", Kind(Linear)),
        ("mm", Kind(Linear)),
        ("bmm", Kind(Linear)),
        ("matmul", Kind(Linear)),
        ("linear", Kind(Linear)),
        ("baddbmm", Kind(Linear)),
        ("Pooling", Pool),
        ("max_pool2d_with_indices", Kind(MaxPool)),
        ("max_pool2d", Kind(MaxPool)),
        ("max_pool", Kind(MaxPool)),
        ("avg_pool2d", Kind(AvgPool)),
        ("avg_pool", Kind(AvgPool)),
        ("adaptive_avg_pool", Adaptive),
        ("adaptive_avg_pool2d", Adaptive),
        ("_adaptive_avg_pool2d", Adaptive),
        ("mean", Kind(GlobalPool)),
        ("sum", Kind(GlobalPool)),
        ("var", Kind(GlobalPool)),
        ("Reduction", Kind(GlobalPool)),
        ("global_avg_pool", Kind(GlobalPool)),
        ("global_max_pool", Kind(GlobalPool)),
        ("amax", Kind(GlobalPool)),
        ("BinaryOp", Binary),
        ("Eltwise", Binary),
        ("add", Kind(Add)),
        ("add_", Kind(Add)),
        ("sub", Kind(Add)),
        ("sub_", Kind(Add)),
        ("mul", Kind(Mul)),
        ("mul_", Kind(Mul)),
        ("div", Kind(Mul)),
        ("div_", Kind(Mul)),
        ("zero", Kind(Mul)),
        ("ReLU", Kind(Act)),
        ("PReLU", Kind(Act)),
        ("Clip", Kind(Act)),
        ("relu", Kind(Act)),
        ("relu_", Kind(Act)),
        ("relu6", Kind(Act)),
        ("prelu", Kind(Act)),
        ("_prelu_kernel", Kind(Act)),
        ("clip01", Kind(Act)),
        ("clamp", Kind(Act)),
        ("clamp_min", Kind(Act)),
        ("clamp_", Kind(Act)),
        ("clamp_min_", Kind(Act)),
        ("relu6_", Kind(Act)),
        ("hardtanh", Kind(Act)),
        ("hardtanh_", Kind(Act)),
        ("leaky_relu", Kind(Act)),
        ("leaky_relu_", Kind(Act)),
        ("HardSwish", Kind(ActHard)),
        ("HardSigmoid", Kind(ActHard)),
        ("hardswish", Kind(ActHard)),
        ("hardswish_", Kind(ActHard)),
        ("hardsigmoid", Kind(ActHard)),
        ("hardsigmoid_", Kind(ActHard)),
        ("hswish", Kind(ActHard)),
        ("hsigmoid", Kind(ActHard)),
        ("Swish", Kind(ActExp)),
        ("Sigmoid", Kind(ActExp)),
        ("GELU", Kind(ActExp)),
        ("Softmax", Kind(ActExp)),
        ("silu", Kind(ActExp)),
        ("silu_", Kind(ActExp)),
        ("sigmoid", Kind(ActExp)),
        ("sigmoid_", Kind(ActExp)),
        ("tanh", Kind(ActExp)),
        ("mish", Kind(ActExp)),
        ("mish_", Kind(ActExp)),
        ("elu", Kind(ActExp)),
        ("elu_", Kind(ActExp)),
        ("BatchNorm", Kind(Norm)),
        ("native_batch_norm", Kind(Norm)),
        ("batch_norm", Kind(Norm)),
        ("cudnn_batch_norm", Kind(Norm)),
        ("_native_batch_norm_legit_no_training", Kind(Norm)),
        ("Concat", Kind(Concat)),
        ("cat", Kind(Concat)),
        ("stack", Kind(Concat)),
        ("concat", Kind(Concat)),
        ("Slice", Kind(Copy)),
        ("Crop", Kind(Copy)),
        ("Permute", Kind(Copy)),
        ("Padding", Kind(Copy)),
        ("clone", Kind(Copy)),
        ("contiguous", Kind(Copy)),
        ("copy_", Kind(Copy)),
        ("constant_pad_nd", Kind(Copy)),
        ("reflection_pad2d", Kind(Copy)),
        ("slice", Kind(Copy)),
        ("pad", Kind(Copy)),
        ("transpose", Kind(Copy)),
        ("ShuffleChannel", Kind(Shuffle)),
        ("shuffle", Kind(Shuffle)),
        ("channel_shuffle", Kind(Shuffle)),
        ("native_channel_shuffle", Kind(Shuffle)),
        ("pixel_shuffle", Kind(Shuffle)),
        ("gather", Kind(Shuffle)),
        ("Interp", Kind(Upsample)),
        ("upsample_nearest2d", Kind(Upsample)),
        ("upsample_bilinear2d", Kind(Upsample)),
        ("upsample", Kind(Upsample)),
        ("PriorBox", Boxes),
        ("other", Kind(Other)),
        ("local_response_norm", Kind(Other)),
        ("l2_norm", Kind(Other)),
        ("channel_conv", Kind(Other)),
        ("LRN", Kind(Other)),
        ("LayerNorm", Kind(KernelKind::LayerNorm)),
        ("MultiHeadAttention", Kind(Other)),
        ("DetectionOutput", Kind(Other)),
        ("YoloDetectionOutput", Kind(Other)),
        ("Yolov3DetectionOutput", Kind(Other)),
        ("gelu", Kind(Other)),
        ("scaled_dot_product_attention", Kind(Other)),
        ("native_layer_norm", Kind(KernelKind::LayerNorm)),
        ("layer_norm", Kind(KernelKind::LayerNorm)),
        ("group_norm", Kind(KernelKind::LayerNorm)),
        ("instance_norm", Kind(KernelKind::LayerNorm)),
        ("native_group_norm", Kind(KernelKind::LayerNorm)),
        ("_softmax", Kind(Other)),
        ("softmax", Kind(Other)),
        ("log_softmax", Kind(Other)),
        ("_log_softmax", Kind(Other)),
        ("_safe_softmax", Kind(Other)),
        ("linalg_vector_norm", Kind(Other)),
        ("sqrt", Kind(Other)),
        ("rsqrt", Kind(Other)),
        ("pow", Kind(Other)),
        ("sin", Kind(Other)),
        ("cos", Kind(Other)),
        ("cumsum", Kind(Other)),
        ("index", Kind(Other)),
        ("bitwise_not", Kind(Other)),
        ("_to_copy", Kind(Other)),
        ("Split", Free),
        ("Input", Free),
        ("Flatten", Free),
        ("Reshape", Free),
        ("Noop", Free),
        ("MemoryData", Free),
        ("Dropout", Free),
        ("as_strided_", Free),
        ("input", Free),
        ("flatten", Free),
        ("dropout", Free),
        ("view", Free),
        ("_unsafe_view", Free),
        ("reshape", Free),
        ("permute", Free),
        ("t", Free),
        ("expand", Free),
        ("squeeze", Free),
        ("unsqueeze", Free),
        ("select", Free),
        ("unbind", Free),
        ("chunk", Free),
        ("split", Free),
        ("split_with_sizes", Free),
        ("detach", Free),
        ("alias", Free),
        ("dropout_", Free),
        ("feature_dropout", Free),
        ("list", Free),
    ]
};
