//! Random graphs against plain loops.

use super::*;

pub fn to_tensor(value: &naive::Value) -> Tensor {
    let (c, h, w) = value.dims();
    let data: Vec<f64> = value.data.iter().flatten().flatten().copied().collect();
    let (c, h, w) = (c as i64, h as i64, w as i64);
    match value.flat {
        true => Tensor::from_slice(&data).reshape([1, c]),
        false => Tensor::from_slice(&data).reshape([1, c, h, w]),
    }
}

/// Gives the net the weights that the naive executor works with.
pub fn take_naive_weights(net: &mut Net, file: &Path) {
    let tensors: Vec<(String, Tensor)> = net
        .parameters()
        .iter()
        .map(|p| {
            let node = p.node.0 as usize;
            let kind = match p.role {
                Role::Weight => 'w',
                Role::Bias => 'b',
                Role::RunningMean => 'm',
                Role::RunningVar => 'v',
                Role::Index => {
                    let graph = net.graph();
                    let channels = graph.shape(graph.inputs(p.node)[0]).channels() as usize;
                    let index: Vec<i64> = (0..p.elems() as usize)
                        .map(|k| naive::index(node, channels, k) as i64)
                        .collect();
                    return (p.name.clone(), Tensor::from_slice(&index));
                }
            };
            let values: Vec<f64> = (0..p.elems() as usize)
                .map(|i| naive::weight(node, kind, i))
                .collect();
            let sizes: Vec<i64> = p.shape.iter().map(|d| i64::from(*d)).collect();
            (p.name.clone(), Tensor::from_slice(&values).reshape(sizes))
        })
        .collect();
    write_tensors(tensors.iter().map(|(n, t)| (n.as_str(), t)), file).unwrap();
    net.load(file, None).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Any graph gives what plain loops give, whatever is shared, viewed, overwritten, folded or dropped.
    #[test]
    fn nets_compute_what_the_loops_compute(numbers in random::tape()) {
        let case = random::Case::of(random::graph(&numbers, numbers.len() % 2 == 0));
        prop_assume!(case.is_some());
        let random::Case { graph, inputs, values } = case.unwrap();
        let want: Vec<Tensor> = graph
            .outputs()
            .iter()
            .map(|id| to_tensor(values[id.index()].as_ref().unwrap()))
            .collect();
        let largest = |t: &Tensor| f64::try_from(t.abs().max()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut net = Net::build(&graph, Device::Cpu, 0).unwrap();
        take_naive_weights(&mut net, &dir.path().join("w"));
        let inputs: Vec<Tensor> = inputs.iter().map(to_tensor).collect();
        for net in [&net, &net.optimized_with(false).unwrap(), &net.optimized().unwrap()] {
            let got = net.forward(&inputs).unwrap();
            prop_assert_eq!(got.len(), want.len());
            for (got, want) in got.iter().zip(&want) {
                prop_assert_eq!(got.size(), want.size());
                let worst = largest(&(got.to_kind(Kind::Double) - want));
                prop_assert!(worst <= 1e-4 * largest(want).max(1e-3), "{} of {} in {}", worst, largest(want), graph);
            }
        }
    }
}
