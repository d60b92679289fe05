//! Forms of networks that no other implementation is listed for, against PyTorch nets written from their definitions.

use super::published::{agreement, lower};
use super::*;

const ALL: &[[i64; 2]] = &[[224, 224], [75, 75], [97, 113]];
const ODD: &[[i64; 2]] = &[[75, 75], [97, 113]];
const ONE: &[[i64; 2]] = &[[97, 113]];

const V1: &str = "shufflenet_v1.json";
const V2: &str = "shufflenet_v2_variants.json";
const G: &str = "g_ghost_resnet.json";

/// The name in `tests/python/variants.py`, our file, its decisions, image sizes. One size shows what another form does
/// differently; the network of half a gigabyte gets no more.
#[rustfmt::skip]
const COMPARED: &[(&str, &str, &str, &[[i64; 2]])] = &[
    ("v1_g3_official", V1, r#"{"model": "g3_x1", "form": "official"}"#, ALL),
    ("v1_g8_official", V1, r#"{"model": "g8_x1", "form": "official"}"#, ALL),
    ("v1_g8_half_official", V1, r#"{"model": "g8_xd2", "form": "official"}"#, ONE),
    ("v1_g3_paper", V1, r#"{"model": "g3_x1", "form": "paper"}"#, ODD),
    ("v1_g3_pytorchcv", V1, r#"{"model": "g3_x1", "form": "pytorchcv"}"#, ODD),
    ("v1_g1_pytorchcv", V1, r#"{"model": "g1_x1", "form": "pytorchcv"}"#, ONE),
    ("v1_50", V1, r#"{"model": "g3_50", "form": "official"}"#, ONE),
    ("v1_50_half", V1, r#"{"model": "g3_50_half", "form": "paper"}"#, ONE),
    ("v2_se", V2, r#"{"model": "x1_0", "form": "official", "se_reduction": 1, "residual": false, "extra_dw": false}"#, ONE),
    ("v2_residual", V2, r#"{"model": "x0_5", "form": "torchvision", "se_reduction": 0, "residual": true, "extra_dw": false}"#, ONE),
    ("v2_se_residual", V2, r#"{"model": "x0_5", "form": "official", "se_reduction": 4, "residual": true, "extra_dw": false}"#, ALL),
    ("v2_se_residual_torchvision", V2, r#"{"model": "x0_5", "form": "torchvision", "se_reduction": 1, "residual": true, "extra_dw": false}"#, ODD),
    ("v2_star", V2, r#"{"model": "x1_0", "form": "official", "se_reduction": 0, "residual": false, "extra_dw": true}"#, ALL),
    ("v2_50", V2, r#"{"model": "v2_50", "form": "official", "se_reduction": 0, "residual": false, "extra_dw": false}"#, ODD),
    ("v2_50_torchvision", V2, r#"{"model": "v2_50", "form": "torchvision", "se_reduction": 0, "residual": false, "extra_dw": false}"#, ONE),
    ("large", "shufflenet_v2_large.json", "{}", ONE),
    ("g34_code", G, r#"{"model": "resnet34", "form": "code", "cheap_ratio": 0.5, "cheap_kernel_size": 1, "mix": true, "ghost_first": true, "stride_in_1x1": false}"#, ALL),
    ("g34_code_plain_first", G, r#"{"model": "resnet34", "form": "code", "cheap_ratio": 0.4, "cheap_kernel_size": 3, "mix": true, "ghost_first": false, "stride_in_1x1": false}"#, ONE),
    ("g34_paper", G, r#"{"model": "resnet34", "form": "paper", "cheap_ratio": 0.4, "cheap_kernel_size": 1, "mix": true, "ghost_first": true, "stride_in_1x1": false}"#, ODD),
    ("g34_vega", G, r#"{"model": "resnet34", "form": "vega", "cheap_ratio": 0.5, "cheap_kernel_size": 1, "mix": false, "ghost_first": true, "stride_in_1x1": false}"#, ONE),
    ("g50_code", G, r#"{"model": "resnet50", "form": "code", "cheap_ratio": 0.4, "cheap_kernel_size": 1, "mix": true, "ghost_first": true, "stride_in_1x1": false}"#, ONE),
    ("g50_paper", G, r#"{"model": "resnet50", "form": "paper", "cheap_ratio": 0.5, "cheap_kernel_size": 3, "mix": false, "ghost_first": true, "stride_in_1x1": false}"#, ONE),
    ("g50_vega", G, r#"{"model": "resnet50", "form": "vega", "cheap_ratio": 0.5, "cheap_kernel_size": 1, "mix": true, "ghost_first": true, "stride_in_1x1": false}"#, ODD),
    ("g50_vega_uneven", G, r#"{"model": "resnet50", "form": "vega", "cheap_ratio": 0.4, "cheap_kernel_size": 1, "mix": true, "ghost_first": false, "stride_in_1x1": false}"#, ONE),
];

#[test]
fn variants_agree_with_pytorch() {
    let Some(python) = python("torch, safetensors, numpy") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let mut worst = 0.0f64;
    for (name, file, set, sizes) in COMPARED {
        let out = dir.path().join(name);
        let specs: Vec<String> = sizes
            .iter()
            .map(|[h, w]| format!("variants,{name},{h}x{w}"))
            .collect();
        let mut args: Vec<&str> = specs.iter().map(String::as_str).collect();
        args.extend(["--out", out.to_str().unwrap()]);
        call(&python, "reference.py", &args);
        let set: Value = serde_json::from_str(set).unwrap();
        let entry = serde_json::json!({"file": file, "set": set});
        for (i, size) in sizes.iter().enumerate() {
            let folder = out.join(i.to_string());
            let error = agreement(&lower(&entry, *size), &folder, &format!("{name} {size:?}"));
            worst = worst.max(error);
        }
        // weights of hundreds of megabytes
        std::fs::remove_dir_all(&out).unwrap();
    }
    println!("{} variants, the worst to {worst:.1e}", COMPARED.len());
}
