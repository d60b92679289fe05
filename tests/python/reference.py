"""Networks in PyTorch with seeded weights: what they compute for a seeded input.

    python3 reference.py timm,vovnet39a,224x224 torchvision,shufflenet_v2_x1_0,75x97 --out DIR

writes into DIR/0, DIR/1 and so on: weights.safetensors (the state dict under the network's own names), input.safetensors (`input`),
output.safetensors (`output`, `output1` and so on), and order.json: `live`, the names in the order in which a forward pass uses them, and
`dead`, the names that it never uses. Running statistics are drawn too, so that they are not 0 and 1. A network whose package
is not installed gets no folder.
"""
import argparse
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch import nn

import nets
import tasks


def scramble(net, generator):
    """Random parameters that keep values near 1 in size, whatever the depth."""
    def draw(tensor, low, high):
        tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    for module in net.modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            fan_in = module.weight[0].numel()
            module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * (2.0 / fan_in) ** 0.5)
            if module.bias is not None:
                draw(module.bias, -0.2, 0.2)
        elif isinstance(module, nn.BatchNorm2d):
            draw(module.weight, 0.6, 1.2)
            draw(module.bias, -0.3, 0.3)
            draw(module.running_mean, -0.3, 0.3)
            draw(module.running_var, 0.7, 1.8)
        elif "index" in dict(module.named_buffers(recurse=False)):
            # CondenseNet: all inputs of the convolution, in some order; half of those of the classifier
            channels = module.bn.num_features if hasattr(module, "bn") else 2 * len(module.index)
            module.index.copy_(torch.randperm(channels, generator=generator)[: len(module.index)])
        elif isinstance(module, nn.PReLU):
            draw(module.weight, 0.05, 0.4)
        elif isinstance(module, tasks.Rescale):
            draw(module.weight, 10, 30)


def settle(net, x, generator):
    """Running statistics near those of x, but not the same: values keep their size in any net, and depend on the input."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.train().momentum = 1.0
    net(x)
    for norm in norms:
        norm.eval()
        spread = norm.running_var.sqrt()
        norm.running_mean += spread * (torch.rand(spread.shape, generator=generator) - 0.5)
        norm.running_var *= torch.rand(spread.shape, generator=generator) + 0.8


def execution_order(net, x):
    """Output for x; state-dict names that it used, in order; and those that it did not."""
    modules, used = {m: name for name, m in net.named_modules()}, []

    def note(module, _):
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        names = [k for k, _ in own if k != "num_batches_tracked"]
        used.extend(k for k in (f"{modules[module]}.{n}" for n in names) if k not in used)

    own = lambda m: [*m.parameters(recurse=False), *m.buffers(recurse=False)]
    owners = [m for m in net.modules() if own(m)]
    hooks = [m.register_forward_pre_hook(note) for m in owners]
    y = net(x)
    for hook in hooks:
        hook.remove()
    every = [k for k in net.state_dict() if not k.endswith("num_batches_tracked")]
    return y, used, [k for k in every if k not in set(used)]


def save(net, shape, batch, seed, folder, settled=False):
    """The files of one network, whose weights it draws; its parameters, the output's spread and what it never uses."""
    generator = torch.Generator().manual_seed(seed)
    scramble(net, generator)
    if hasattr(net, "strengthen"):
        net.strengthen()
    x = torch.randn((batch, *shape), generator=generator)
    if settled:
        settle(net, x, generator)
    y, live, dead = execution_order(net, x)
    outputs = y if isinstance(y, list) else [y]
    if len(outputs) == 1 and (y[0] - y[-1]).abs().max() < 0.01 * y.std():
        settle(net, x, generator)
        y, live, dead = execution_order(net, x)
        outputs = [y]
    for y in outputs:
        if not torch.isfinite(y).all() or y.std() < 1e-3 or (y[0] - y[-1]).abs().max() < 2e-4:
            raise SystemExit(f"{folder}: the output does not depend on the input enough to prove anything")
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, folder / "weights.safetensors")
    save_file({"input": x}, folder / "input.safetensors")
    names = ["output", *(f"output{k}" for k in range(1, len(outputs)))]
    save_file({k: y.contiguous() for k, y in zip(names, outputs)}, folder / "output.safetensors")
    params = sum(p.numel() for p in net.parameters())
    (folder / "order.json").write_text(json.dumps({"live": live, "dead": dead, "params": params}))
    return params, y.std(), dead


def write(source, name, size, args, folder):
    net = nets.build(source, name).eval()
    params, spread, dead = save(net, (3, *size), args.batch, args.seed, folder, args.settle)
    print(f"{source} {name}: {params} params, output std {spread:.3g}, {len(dead)} dead tensors", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="+", metavar="SOURCE,NAME,HxW")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--settle", action="store_true", help="running statistics fit the input, roughly")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    with torch.no_grad():
        for number, spec in enumerate(args.nets):
            source, name, size = spec.split(",")
            try:
                write(source, name, [int(n) for n in size.split("x")], args, args.out / str(number))
            except ImportError as error:
                print(f"{source} {name}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
