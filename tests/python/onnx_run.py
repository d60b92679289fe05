"""Runs ONNX models and compares what they give with what they should.

    python3 onnx_run.py DIR

DIR/cases.json is a list of `{"model": file, "inputs": tensors, "outputs": tensors, "dynamic": bool}`; tensors are a safetensors
file, or an object of `{"shape": [...], "data": [...]}` by name. Every model passes the checker with shape inference, which has
to agree with the shapes that the model states. Without outputs nothing is run; without inputs zeros go in. Stdout is a list with
the relative error of each output, or the error, for each case. A dynamic model also runs on its input three times over.
"""
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime


def tensors(given, folder):
    if isinstance(given, str):
        from safetensors.numpy import load_file
        return load_file(folder / given)
    return {k: np.array(v["data"], dtype=np.float64).reshape(v["shape"]) for k, v in given.items()}


def error(got, want):
    if got.shape != want.shape:
        raise ValueError(f"shape {got.shape}, expected {want.shape}")
    # of numbers that no single precision tells apart from zero, none is asked for
    scale = np.abs(want).max()
    return float(np.abs(got.astype(np.float64) - want).max() / max(scale, 1e-3))


def check(case, folder):
    path = str(folder / case["model"])
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path, load_external_data=False)
    found = {
        "ir_version": model.ir_version,
        "opset": model.opset_import[0].version,
        "ops": [node.op_type for node in model.graph.node],
        "errors": [],
    }
    if case.get("outputs") is None:
        return found
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = {k: v.astype(np.float32) for k, v in tensors(case["inputs"], folder).items()}
    wanted = tensors(case["outputs"], folder)
    names = [o.name for o in session.get_outputs()]
    if sorted(names) != sorted(wanted):
        raise ValueError(f"outputs {names}, expected {sorted(wanted)}")
    results = session.run(names, inputs)
    found["errors"] = [error(y, wanted[name]) for name, y in zip(names, results)]
    if case.get("dynamic"):
        thrice = session.run(names, {k: np.concatenate([v] * 3) for k, v in inputs.items()})
        found["errors"] += [error(y, np.concatenate([wanted[name]] * 3)) for name, y in zip(names, thrice)]
    return found


def main():
    folder = pathlib.Path(sys.argv[1])
    results = []
    for case in json.loads((folder / "cases.json").read_text()):
        try:
            results.append(check(case, folder))
        except Exception as problem:  # the Rust side tells which case it was
            results.append({"failed": str(problem)[:2000]})
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
