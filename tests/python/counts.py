"""Parameters and multiply-adds of published networks, counted by hooks while they run.

    python3 counts.py torchvision,vgg11 timm,regnety_002

prints `source,name,params,macs` for each: learnable scalars, and multiply-adds of convolutions and linear layers for one
image, of 224 x 224 but for the networks of tasks.py. Weights and images are of PyTorch's `meta` device, so nothing is computed. A network whose package is not installed has
no line. tests/data/networks.csv was written by it, from torch 2.11.0, torchvision 0.26.0, timm 1.0.31, pytorchcv 0.0.74.
"""
import argparse
import sys

import torch
from torch import nn

import tasks


def build(source, name):
    if name in tasks.SIZES:
        return tasks.build(name)
    if source == "torchvision":
        from torchvision import models

        # without the auxiliary classifiers, which exist in training only
        extra = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        return getattr(models, name)(weights=None, **extra)
    if source == "timm":
        import timm

        return timm.create_model(name)
    if source == "pytorchcv":
        from pytorchcv.model_provider import get_model

        return get_model(name)
    raise ValueError(f"{source} is not known here")


def count(net, size):
    macs = 0

    def note(module, _, output):
        nonlocal macs
        taps = module.weight[0].numel() if isinstance(module, nn.Conv2d) else module.in_features
        macs += output[0].numel() * taps

    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(note)
    net(torch.empty(1, 3, *size, device="meta"))
    return sum(p.numel() for p in net.parameters()), macs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="+", metavar="SOURCE,NAME")
    args = parser.parse_args()
    # drawing weights takes most of the time and changes no count
    for draw in ("kaiming_normal_", "kaiming_uniform_", "normal_", "uniform_", "trunc_normal_", "xavier_uniform_"):
        setattr(nn.init, draw, lambda tensor, *_, **__: tensor)
    with torch.no_grad():
        for spec in args.nets:
            source, name = spec.split(",")
            try:
                net = build(source, name).eval().to("meta")
            except ImportError as error:
                print(f"{source} {name}: {error}", file=sys.stderr)
                continue
            print(source, name, *count(net, tasks.SIZES.get(name, (224, 224))), sep=",", flush=True)


if __name__ == "__main__":
    main()
