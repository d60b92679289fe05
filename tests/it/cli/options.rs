//! Options that say what cannot be, or what was most likely not meant; errors as JSON.

use super::{SLIM, json, run, write};

const SPACE: &str = "search_spaces/lite_osa.json";

#[test]
fn no_networks_and_settings_given_twice_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("archs");
    let out = out.to_str().unwrap();
    let (code, _, stderr) = run(&["sample", SPACE, "-n", "0", "--out", out]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("invalid value '0'"), "{stderr}");
    assert!(!folder.path().join("archs").exists());
    let twice = ["--set", "w=48", "--set", "w = 64"];
    for command in [
        [&["show", SPACE][..], &twice].concat(),
        [&["show", SPACE, "--compare", "w"][..], &twice].concat(),
        [&["sample", SPACE, "--out", out][..], &twice].concat(),
    ] {
        let (code, _, stderr) = run(&command);
        assert_eq!((code, stderr.trim()), (2, "error: --set w is given twice"));
    }
}

#[test]
fn a_limit_of_whole_seconds_is_pointed_out() {
    let folder = tempfile::tempdir().unwrap();
    let warned = |name: &str, limit: &str| {
        let out = folder.path().join(name);
        let out = out.to_str().unwrap();
        let device = ["--device", "pi5-onnx", "--limit", limit, "--budget", "4"];
        let (code, _, stderr) = run(&[&["search", SPACE, "--out", out][..], &device].concat());
        assert_eq!(code, 0, "{stderr}");
        let lines = stderr.lines().filter(|l| l.starts_with("warning: "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let seconds = "warning: latency_s@pi5-onnx<=50 is 50 s; write 50ms if that is what is meant";
    assert_eq!(warned("a", "latency_s<=50"), [seconds]);
    let joules = "warning: energy_j@pi5-onnx<=2 is 2 J; write 2mJ if that is what is meant";
    assert_eq!(warned("b", "energy_j <= 2"), [joules]);
    for (name, limit) in [
        ("c", "latency_s<=5s"),
        ("d", "latency_s<=0.5"),
        ("e", "params<=5e6"),
    ] {
        assert_eq!(warned(name, limit), [""; 0], "{limit}");
    }
}

#[test]
fn errors_in_json_are_messages() {
    let message = |code: i32, args: &[&str]| {
        json(code, args)["error"]["message"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let unknown = message(2, &["show", SLIM, "--device", "pi5-onxn"]);
    assert!(unknown.starts_with("\"pi5-onxn\" is neither"), "{unknown}");
    let missing = message(1, &["show", "no_such.json"]);
    assert!(missing.starts_with("cannot read"), "{missing}");
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = write(folder.path(), name, text);
        path.to_str().unwrap().to_owned()
    };
    let conv = r#"{"op": "conv", "out_channels": 8, "kernel_size": 3}"#;
    let start = r#""format": "blocksmith/1", "input": [3, 8, 8]"#;
    let two = file(
        "two.json",
        &format!(r#"{{{start}, "net": [{conv}], "colour": 1, "shade": 2}}"#),
    );
    let two = message(3, &["show", &two]);
    assert!(
        two.contains("colour") && two.ends_with("(and 1 more)"),
        "{two}"
    );
    // what a constraint turns down is told once, in words and in JSON
    let never = file(
        "never.json",
        &format!(
            r#"{{{start}, "vars": {{"w": {{"choice": [1, 2]}}}}, "constraints": ["w > 5"], "net": [{conv}]}}"#
        ),
    );
    let out = folder.path().join("archs");
    let sample = ["sample", &never, "--out", out.to_str().unwrap()];
    let told = message(4, &sample);
    assert!(told.starts_with("no sample met the constraints"), "{told}");
    let (_, _, stderr) = run(&sample);
    assert!(
        stderr.starts_with("error: no sample met the constraints"),
        "{stderr}"
    );
}

#[test]
fn completions_are_one_document_in_json() {
    let document = json(0, &["completions", "bash"]);
    let (code, script, _) = run(&["completions", "bash"]);
    assert_eq!((code, document["shell"].as_str()), (0, Some("bash")));
    assert_eq!(
        document["script"].as_str().unwrap().trim_end(),
        script.trim_end()
    );
    assert!(script.contains("blocksmith"));
}
