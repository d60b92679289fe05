//! The parameters that a graph owns: what `show --params` lists and what a weights file must hold.

use super::graph::{Graph, ValueId};
use super::ops::{Act, Op};

/// What a parameter is to its op.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// `weight`: filters, matrices, scales, slopes.
    Weight,
    /// `bias`: shifts.
    Bias,
    /// `running_mean` of a batch norm; kept, not learnt.
    RunningMean,
    /// `running_var` of a batch norm; kept, not learnt.
    RunningVar,
    /// `index` of a gather: whole numbers; kept, not learnt.
    Index,
}

impl Role {
    /// The last part of the `state_dict` key.
    pub fn name(self) -> &'static str {
        match self {
            Role::Weight => "weight",
            Role::Bias => "bias",
            Role::RunningMean => "running_mean",
            Role::RunningVar => "running_var",
            Role::Index => "index",
        }
    }

    /// True for what training changes by gradient; running statistics and indices do not count as parameters.
    pub fn is_learnable(self) -> bool {
        matches!(self, Role::Weight | Role::Bias)
    }
}

/// One parameter tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// `state_dict` key: the node's name, a dot, the role. A node without a name goes by its number.
    pub name: String,
    /// Shape, outermost axis first, as PyTorch keeps it.
    pub shape: Vec<u32>,
    /// What it is to its op.
    pub role: Role,
    /// The node that owns it.
    pub node: ValueId,
}

impl Param {
    /// Scalars in it.
    pub fn elems(&self) -> u64 {
        self.shape
            .iter()
            .fold(1u64, |n, d| n.saturating_mul(u64::from(*d)))
    }
}

impl Graph {
    /// All parameters in execution order, those of nodes that never run included, shared ones once.
    pub fn parameters(&self) -> Vec<Param> {
        let mut all = Vec::new();
        for id in self.ids().filter(|id| !self.is_sharer(*id)) {
            let Some(&input) = self.inputs(id).first() else {
                continue;
            };
            let input = self.shape(input);
            let c = input.channels();
            let mut put = |role: Role, shape: Vec<u32>| {
                let name = match self.name(id) {
                    "" => format!("{}.{}", id.0, role.name()),
                    node => format!("{node}.{}", role.name()),
                };
                all.push(Param {
                    name,
                    shape,
                    role,
                    node: id,
                });
            };
            match self.node(id).op {
                Op::Conv(k) => {
                    let [kh, kw] = k.kernel_size;
                    put(
                        Role::Weight,
                        vec![k.out_channels, c / k.groups.max(1), kh, kw],
                    );
                    if k.bias {
                        put(Role::Bias, vec![k.out_channels]);
                    }
                }
                Op::Linear(l) => {
                    put(Role::Weight, vec![l.out_features, c]);
                    if l.bias {
                        put(Role::Bias, vec![l.out_features]);
                    }
                }
                Op::BatchNorm(_) => {
                    for role in [
                        Role::Weight,
                        Role::Bias,
                        Role::RunningMean,
                        Role::RunningVar,
                    ] {
                        put(role, vec![c]);
                    }
                }
                Op::Act(Act::Prelu) | Op::L2Norm(_) => put(Role::Weight, vec![c]),
                Op::ChannelConv(k) => put(Role::Weight, vec![1, 1, k.kernel_size]),
                Op::Gather(g) => put(Role::Index, vec![g.channels]),
                Op::Input { .. }
                | Op::Act(_)
                | Op::LocalResponseNorm(_)
                | Op::MaxPool(_)
                | Op::AvgPool(_)
                | Op::AdaptiveAvgPool(_)
                | Op::GlobalPool(_)
                | Op::Upsample(_)
                | Op::Add(_)
                | Op::Mul(_)
                | Op::Concat(_)
                | Op::Slice(_)
                | Op::Shuffle(_)
                | Op::Transpose(_)
                | Op::Pad(_)
                | Op::Flatten(_)
                | Op::Dropout(_)
                | Op::Zero => {}
            }
        }
        all
    }
}
