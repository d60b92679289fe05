"""Names, kinds and shapes of the state dicts of published networks, without their numbers.

    python3 names.py INDEX.json torchvision timm

prints {"SOURCE NAME": {"tensor": [dtype, [shape]]}} for each network of the index that comes from one of the sources and whose
package is installed.
"""
import json
import sys

import torch

import nets

KINDS = {torch.float32: "F32", torch.int64: "I64"}


def draw_nothing():
    """Initial weights take longer than all the rest, and nobody looks at them."""
    for name in dir(torch.nn.init):
        if name.endswith("_") and not name.startswith("_"):
            setattr(torch.nn.init, name, lambda tensor, *args, **kwargs: tensor)


def build(source, name):
    """The net as its package gives it."""
    if source == "torchvision":
        import torchvision
        of_tasks = (torchvision.models.detection, torchvision.models.segmentation)
        more = {"weights_backbone": None} if any(hasattr(m, name) for m in of_tasks) else {}
        return torchvision.models.get_model(name, weights=None, **more)
    return nets.build(source, name)


def main():
    draw_nothing()
    listed = [e for e in json.load(open(sys.argv[1])) if e["source"] in sys.argv[2:]]
    found = {}
    for source, name in [(e["source"], e["name"]) for e in listed]:
        try:
            try:
                with torch.device("meta"):
                    net = build(source, name)
            except NotImplementedError:  # its widths are worked out with tensors
                net = build(source, name)
        except ImportError as error:
            print(f"{source} {name}: {error}", file=sys.stderr)
            continue
        found[f"{source} {name}"] = {k: [KINDS[v.dtype], list(v.shape)] for k, v in net.state_dict().items()}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
