"""Runs networks of a list through `Net` of examples/evaluators/train.py.

    python3 train_net.py TRAIN.py CASES.json

CASES is [{graph, params: [{name, shape, data}], inputs: [{shape, data}], outputs}]; prints the largest error of each case, relative
to the largest number of the output. Fails where the state dict has other names or shapes.
"""
import importlib.util
import json
import sys

import torch


def tensor(t):
    kind = torch.int64 if t.get("whole") else torch.float64
    return torch.tensor(t["data"], dtype=kind).view(t["shape"])


def main():
    spec = importlib.util.spec_from_file_location("train", sys.argv[1])
    train = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train)
    errors = []
    for case in json.load(open(sys.argv[2])):
        net = train.Net(case["graph"]).double().eval()
        own = {k: list(v.shape) for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
        given = {p["name"]: p["shape"] for p in case["params"]}
        assert own == given, f"{own} instead of {given} for\n{case['graph']}"
        net.load_state_dict({p["name"]: tensor(p) for p in case["params"]}, strict=False)
        with torch.no_grad():
            outputs = net(*map(tensor, case["inputs"]))
        outputs = outputs if isinstance(outputs, list) else [outputs]
        worst = 0.0
        for got, expected in zip(outputs, map(tensor, case["outputs"]), strict=True):
            assert got.shape == expected.shape, case["graph"]
            scale = expected.abs().max().clamp(min=1e-30)
            worst = max(worst, ((got - expected).abs().max() / scale).item())
        errors.append(worst)
    json.dump(errors, sys.stdout)


if __name__ == "__main__":
    main()
