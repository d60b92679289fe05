//! Weights, inputs and outputs in files.

use super::*;

#[test]
fn run_reads_and_writes_what_the_contract_says() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let graph = small_net();
    let mut net = Net::build(&graph, Device::Cpu, 8).unwrap();
    scramble(&mut net, dir.path());
    let x = noise(&[2, 3, 9, 11]);
    write_tensors([("input", &x)], &at("x")).unwrap();
    net.save(&at("w")).unwrap();
    let done = run(&graph, &at("w"), None, &at("x"), &at("y"), Device::Cpu).unwrap();
    assert_eq!((done.params, done.batch), (net.param_count(), 2));
    let file = read_tensors(&at("y")).unwrap();
    assert_eq!(file.keys().collect::<Vec<_>>(), ["output", "output1"]);
    let want = net.forward(&[x]).unwrap();
    assert_eq!(relative_error(&file["output"], &want[0]), 0.0);
    assert_eq!(relative_error(&file["output1"], &want[1]), 0.0);
    // the same under other names in the file, with PyTorch's counters beside them
    let other: Vec<(String, Tensor)> = net
        .state()
        .map(|(name, t)| (format!("module.{name}"), t.shallow_clone()))
        .chain([(
            "module.stem.bn.num_batches_tracked".to_owned(),
            Tensor::from(3i64),
        )])
        .collect();
    write_tensors(other.iter().map(|(n, t)| (n.as_str(), t)), &at("w2")).unwrap();
    let map: NameMap = net
        .state()
        .map(|(n, _)| (n.to_owned(), format!("module.{n}")))
        .collect();
    run(
        &graph,
        &at("w2"),
        Some(&map),
        &at("x"),
        &at("y2"),
        Device::Cpu,
    )
    .unwrap();
    assert_eq!(
        std::fs::read(at("y")).unwrap(),
        std::fs::read(at("y2")).unwrap()
    );
    // inputs that are missing or surplus
    write_tensors([("image", &noise(&[1, 3, 9, 11]))], &at("bad")).unwrap();
    let error = run(&graph, &at("w"), None, &at("bad"), &at("y"), Device::Cpu).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("2 problems:\n  missing \"input\"\n  surplus \"image\""),
        "{error}"
    );
}

#[test]
fn every_tensor_that_does_not_fit_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("w");
    let mut net = Net::build(&small_net(), Device::Cpu, 8).unwrap();
    let mut tensors: Vec<(String, Tensor)> = net
        .state()
        .map(|(n, t)| (n.to_owned(), t.shallow_clone()))
        .collect();
    tensors.retain(|(name, _)| name != "prelu.weight");
    for (name, tensor) in &mut tensors {
        match name.as_str() {
            "fc.weight" => *tensor = tensor.reshape([8, 5]),
            "dw.conv.bias" => *tensor = tensor.to_kind(Kind::Int64),
            "stem.bn.bias" => *tensor = tensor.to_kind(Kind::Double) + 0.5,
            _ => {}
        }
    }
    tensors.push(("extra".to_owned(), Tensor::from(1.0f32)));
    write_tensors(tensors.iter().map(|(n, t)| (n.as_str(), t)), &file).unwrap();
    let map: NameMap = [("no.such".to_owned(), "x".to_owned())]
        .into_iter()
        .collect();
    let error = net.load(&file, Some(&map)).unwrap_err();
    assert!(
        matches!(error.kind(), TorchErrorKind::Map(_)) && error.to_string().contains("no.such"),
        "{error}"
    );
    let error = net.load(&file, None).unwrap_err();
    let TorchErrorKind::Weights { problems, .. } = error.kind() else {
        panic!("{error}")
    };
    let names: Vec<&str> = problems.iter().map(Problem::name).collect();
    assert_eq!(
        names,
        ["dw.conv.bias", "prelu.weight", "fc.weight", "extra"]
    );
    let text = error.to_string();
    for part in [
        "misshapen \"fc.weight\": expected [5, 8], got [8, 5]",
        "missing \"prelu.weight\"",
        "surplus \"extra\"",
    ] {
        assert!(text.contains(part), "{text}");
    }
    // nothing was taken
    let bias = net.parameter("stem.bn.bias").unwrap();
    assert_eq!(f64::try_from(bias.sum(Kind::Double)).unwrap(), 0.0);
}

#[test]
fn damaged_files_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("w");
    let mut net = Net::build(&small_net(), Device::Cpu, 8).unwrap();
    net.save(&file).unwrap();
    let good = std::fs::read(&file).unwrap();
    for bytes in [
        &good[..good.len() - 1],
        &good[..20],
        &good[..3],
        b"",
        b"\xff\xff\xff\xff\xff\xff\xff\x7f{}",
    ] {
        std::fs::write(&file, bytes).unwrap();
        let error = net.load(&file, None).unwrap_err();
        assert!(
            matches!(error.kind(), TorchErrorKind::Read { .. }),
            "{error}"
        );
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
    // that is the file system's failure, not the file's
    assert!(
        !net.load(&dir.path().join("absent"), None)
            .unwrap_err()
            .is_input()
    );
    let error = net.save(&dir.path().join("no/such/folder")).unwrap_err();
    assert!(matches!(error.kind(), TorchErrorKind::Write { .. }) && !error.is_input());
}

#[test]
fn libtorch_runs_and_devices_are_told_apart() {
    let found = self_test().unwrap();
    assert!(found.threads >= 1);
    assert_eq!(parse_device("cpu").unwrap(), Device::Cpu);
    for bad in ["gpu", "cuda:x", "cuda:-1", "cuda:60000", ""] {
        assert!(parse_device(bad).is_err(), "{bad}");
    }
}
