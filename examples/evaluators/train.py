#!/usr/bin/env python3
"""An evaluator that trains each network with PyTorch and tells its accuracy on images that it was not trained on.

    blocksmith search search_spaces/cifar_mixed.json --out DIR --objective 'max accuracy' --objective 'min latency_s@pi5-onnx' \\
        --evaluator 'python3 examples/evaluators/train.py --data cifar-10-batches-py --epochs 20' --metric train_s --timeout 2h

`--data` is a folder of CIFAR-10 or CIFAR-100, as pickles or binaries, or `synthetic`: made-up images, to try it all out in a
minute. The last tenth of the training images is held out; the test set is not touched, so that it can say later how good the
front is. A network is told apart by nothing but its layers: the same seed gives all the same images in the same order.
`--save FOLDER` writes the weights as safetensors under blocksmith's names: `export ARCH --weights FOLDER/trial-17.safetensors`.

`Net` builds any network from the `graph` of a question; copy it into a script of your own.
"""
import argparse
import json
import math
import os
import pathlib
import pickle
import re
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

ACTS = {
    "relu": F.relu, "relu6": F.relu6, "silu": F.silu, "hswish": F.hardswish, "sigmoid": torch.sigmoid,
    "hsigmoid": F.hardsigmoid, "clip01": lambda x: x.clamp(0, 1),
}
OutOfMemory = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)
FLAGS = {"bias", "ceil", "inner", "bilinear", "corners"}


class Node:
    """A line `%7 conv 8x4x4 (%3) k3 s2 p1 : stem.conv`."""

    def __init__(self, line):
        head, _, name = line.partition(" : ")
        number, self.op, shape, inputs, rest = re.fullmatch(r"%(\d+) (\S+) (\S+)(?: \(([^)]*)\))?(.*)", head).groups()
        self.number = self.owner = int(number)
        self.name = (json.loads(name) if name.startswith('"') else name) or number
        self.shape = [int(n) for n in shape.split("x")]
        self.inputs = [int(n[1:]) for n in (inputs or "").split()]
        self.flags, self.values = set(), {}
        for word in rest.split():
            if word in FLAGS:
                self.flags.add(word)
            elif word.startswith("of%"):
                self.owner = int(word[3:])
            elif ".." in word:
                self.values["range"] = [int(n) for n in word.split("..")]
            else:
                key, value = re.fullmatch(r"([a-z]+)(.*)", word).groups()
                self.values[key] = value

    def pair(self, key, default):
        sides = [int(n) for n in self.values.get(key, str(default)).split("x")]
        return tuple(sides * 2 if len(sides) == 1 else sides)

    def real(self, key, default):
        return float(self.values.get(key, default))


class Scale(nn.Module):
    """One number a channel."""

    def __init__(self, channels, value):
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), value))


class Gather(nn.Module):
    """Channels by an index that belongs to the weights; in their order until it is loaded."""

    def __init__(self, channels, given):
        super().__init__()
        self.register_buffer("index", torch.arange(channels) % given)


class Net(nn.Module):
    """The network of a question's `graph`. Its state_dict has blocksmith's names; several outputs come as a list."""

    def __init__(self, graph):
        super().__init__()
        self.nodes, self.outputs = [], []
        for line in graph.splitlines():
            if line.startswith("%"):
                self.nodes.append(Node(line))
            elif line.startswith("output "):
                self.outputs.append(int(line.split()[1][1:]))
        self.layers = {}  # a plain dict: the modules belong to the tree of names below
        for node in self.nodes:
            layer = self.layer(node) if node.owner == node.number else None
            if layer is not None:
                self.layers[node.number] = layer
                self.put(node.name.split("."), layer)
        self.live = set()
        pending = list(self.outputs)
        while pending:
            number = pending.pop()
            if number not in self.live:
                self.live.add(number)
                pending.extend(self.nodes[number].inputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def put(self, path, layer):
        scope = self
        for part in path[:-1]:
            scope = scope._modules.setdefault(part, nn.Module())
        inner = scope._modules.get(path[-1])
        if inner is not None:  # a node whose name starts others' names
            layer._modules.update(inner._modules)
        scope._modules[path[-1]] = layer

    def layer(self, node):
        """The module of a node that has weights."""
        if not node.inputs:
            return None
        given, out = self.nodes[node.inputs[0]].shape, node.shape[0]
        bias = "bias" in node.flags
        if node.op == "conv":
            return nn.Conv2d(given[0], out, node.pair("k", 0), groups=int(node.values.get("g", 1)), bias=bias)
        if node.op == "batch_norm":
            return nn.BatchNorm2d(out)
        if node.op == "linear":
            return nn.Linear(given[0], out, bias)
        if node.op == "prelu":
            return Scale(out, 0.25)
        if node.op == "l2_norm":
            return Scale(out, 1.0)
        if node.op == "gather":
            return Gather(out, given[0])
        if node.op == "channel_conv":
            return nn.Conv1d(1, 1, int(node.values["k"]), bias=False)
        return None

    def weigh(self, node, x):
        """An op with weights: its own or those of another node, which may have other attributes."""
        own = self.layers[node.owner]
        if node.op == "conv":
            places = node.pair("s", 1), node.pair("p", 0), node.pair("d", 1), int(node.values.get("g", 1))
            return F.conv2d(x, own.weight, own.bias, *places)
        if node.op == "batch_norm":
            mean, var, eps = own.running_mean, own.running_var, node.real("eps", 1e-5)
            return F.batch_norm(x, mean, var, own.weight, own.bias, self.training, 0.1, eps)
        if node.op == "linear":
            return F.linear(x, own.weight, own.bias)
        if node.op == "prelu":
            return F.prelu(x, own.weight)
        if node.op == "l2_norm":
            return F.normalize(x, dim=1, eps=node.real("eps", 1e-12)) * own.weight.view(1, -1, 1, 1)
        if node.op == "gather":
            return x.index_select(1, own.index)
        n, c, h, w = x.shape  # channel_conv: one filter along the channels
        k = own.weight.shape[-1]
        rows = F.pad(x.permute(0, 2, 3, 1).reshape(-1, 1, c), ((k - 1) // 2, k // 2))
        return F.conv1d(rows, own.weight).reshape(n, h, w, c).permute(0, 3, 1, 2)

    def apply_op(self, node, xs):
        if node.owner in self.layers:
            return self.weigh(node, xs[0])
        x, op = xs[0], node.op
        if op in ACTS:
            return ACTS[op](x)
        if op in ("add", "mul"):
            if any(x.dim() == 4 for x in xs):
                xs = [x[:, :, None, None] if x.dim() == 2 else x for x in xs]
            y = xs[0]
            for x in xs[1:]:
                y = y + x if op == "add" else y * x
            return y
        if op == "max_pool":
            return F.max_pool2d(x, node.pair("k", 0), node.pair("s", 1), node.pair("p", 0), ceil_mode="ceil" in node.flags)
        if op == "avg_pool":
            ceil, padded = "ceil" in node.flags, "inner" not in node.flags
            return F.avg_pool2d(x, node.pair("k", 0), node.pair("s", 1), node.pair("p", 0), ceil, padded)
        if op == "adaptive_avg_pool":
            return F.adaptive_avg_pool2d(x, node.shape[1:])
        if op == "global_avg_pool":
            return x.mean((2, 3), keepdim=True)
        if op == "global_max_pool":
            return x.amax((2, 3), keepdim=True)
        if op == "upsample":
            if node.flags & {"bilinear", "corners"}:
                return F.interpolate(x, node.shape[1:], mode="bilinear", align_corners="corners" in node.flags)
            return F.interpolate(x, node.shape[1:])
        if op == "concat":
            return torch.cat(xs, 1)
        if op == "slice":
            begin, end = node.values["range"]
            return x[:, begin:end]
        if op == "shuffle":
            return F.channel_shuffle(x, int(node.values.get("g", 1)))
        if op == "transpose":
            return x.transpose(1, 2)
        if op == "pad":
            sides = [*node.pair("w", 0), *node.pair("h", 0), *node.pair("c", 0)]
            return F.pad(x, sides)
        if op == "leaky_relu":
            return F.leaky_relu(x, node.real("slope", 0.01))
        if op == "local_response_norm":
            alpha, beta, base = (node.real(key, 1.0) for key in ("alpha", "beta", "base"))
            return F.local_response_norm(x, int(node.values["n"]), alpha, beta, base)
        if op == "dropout":
            return F.dropout(x, node.real("rate", 0.0), self.training)
        if op == "flatten":
            return x.flatten(1)
        if op == "zero":
            return torch.zeros_like(x)
        raise ValueError(f"no op is named {op}")

    def forward(self, *inputs):
        values = {}
        for node in self.nodes:
            if node.number not in self.live:
                continue
            if node.op == "input":
                value = inputs[int(node.values.get("i", 0))]
            else:
                value = self.apply_op(node, [values[number] for number in node.inputs])
            if list(value.shape[1:]) != node.shape:
                raise ValueError(f"{node.name} is {list(value.shape[1:])}, not {node.shape}")
            values[node.number] = value
        outputs = [values[number] for number in self.outputs]
        return outputs[0] if len(outputs) == 1 else outputs


def cifar(folder):
    """Training images, bytes as [n, 3, 32, 32], and their classes."""
    folder = pathlib.Path(folder)
    images, labels = [], []
    for path in sorted([*folder.glob("data_batch_*"), *folder.glob("train"), *folder.glob("train.bin")]):
        if path.suffix == ".bin":
            head = 2 if path.name == "train.bin" else 1
            records = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8).view(-1, head + 3072)
            images.append(records[:, head:])
            labels += records[:, head - 1].tolist()
        else:
            with open(path, "rb") as file:
                batch = pickle.load(file, encoding="bytes")
            images.append(torch.as_tensor(batch[b"data"]))
            labels += batch.get(b"fine_labels", batch.get(b"labels"))
    if not images:
        sys.exit(f"{folder} has no data_batch_* or train, as CIFAR-10 and CIFAR-100 do")
    return torch.cat(images).view(-1, 3, 32, 32), torch.tensor(labels)


def synthetic(count, size=32, classes=10):
    """Made-up images: each class has four patterns, an image is one of them, shifted a little and under noise."""
    draw = torch.Generator().manual_seed(1)
    patterns = F.interpolate(torch.randn(classes * 4, 3, 6, 6, generator=draw), (size, size), mode="bilinear")
    labels = torch.randint(classes, (count,), generator=draw)
    which = labels * 4 + torch.randint(4, (count,), generator=draw)
    images = torch.stack([
        patterns[k].roll(torch.randint(-3, 4, (2,), generator=draw).tolist(), (1, 2)) for k in which.tolist()
    ])
    images = images + 0.7 * torch.randn(images.shape, generator=draw)
    return (images * 40 + 128).clamp(0, 255).byte(), labels


class Data:
    def __init__(self, args, device):
        images, labels = synthetic(args.samples or 3000) if args.data == "synthetic" else cifar(args.data)
        if args.samples:
            images, labels = images[:args.samples], labels[:args.samples]
        self.classes = int(labels.max()) + 1
        self.flips = args.data != "synthetic"
        held = max(len(images) // 10, 1)
        images = images.float()
        mean = images[:-held].mean((0, 2, 3), keepdim=True)
        deviation = images[:-held].std((0, 2, 3), keepdim=True)
        images = ((images - mean) / deviation).to(device)
        labels = labels.to(device)
        self.train, self.held = (images[:-held], labels[:-held]), (images[-held:], labels[-held:])

    def batches(self, size, order):
        images, labels = self.train
        for places in torch.randperm(len(labels), generator=order).split(size):
            if len(places) < 2:  # no norm over a batch of one
                continue
            places = places.to(images.device)
            x = images[places]
            if self.flips:
                flip = (torch.rand(len(x), 1, 1, 1, generator=order) < 0.5).to(x.device)
                x = torch.where(flip, x.flip(3), x)
                down, right = torch.randint(9, (2,), generator=order).tolist()
                h, w = x.shape[2:]
                x = F.pad(x, (4, 4, 4, 4))[:, :, down:down + h, right:right + w]
            yield x, labels[places]


def fitting(x, shape):
    """The images at the size that a network takes."""
    return x if list(x.shape[2:]) == shape[1:] else F.interpolate(x, shape[1:], mode="bilinear")


def train(graph, data, args, device):
    """The metrics of a network, and the network."""
    torch.manual_seed(args.seed)
    order = torch.Generator().manual_seed(args.seed)
    net = Net(graph).to(device)
    shape = next(node.shape for node in net.nodes if node.op == "input")
    outputs = net.nodes[net.outputs[0]].shape
    if shape[0] != 3 or len(outputs) != 1 or outputs[0] < data.classes:
        raise ValueError(f"it takes {shape} and gives {outputs}; images are [3, h, w], classes {data.classes}")
    decayed = [p for p in net.parameters() if p.dim() > 1]
    others = [p for p in net.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": args.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=args.lr, momentum=0.9, nesterov=True)
    steps = args.epochs * math.ceil(len(data.train[1]) / args.batch_size)
    warm = max(steps // 20, 1)
    rate = lambda step: min((step + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * step / steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    half = torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda")
    started, loss = time.monotonic(), None
    for epoch in range(args.epochs):
        net.train()
        for x, y in data.batches(args.batch_size, order):
            optimizer.zero_grad(set_to_none=True)
            with half:
                loss = F.cross_entropy(net(fitting(x, shape)).float(), y)
            loss.backward()
            optimizer.step()
            schedule.step()
        if not math.isfinite(loss.item()):
            raise ValueError(f"diverged in epoch {epoch + 1}")
    net.eval()
    right = 0
    with torch.no_grad(), half:
        for x, y in zip(*(part.split(500) for part in data.held)):
            right += (net(fitting(x, shape)).argmax(1) == y).sum().item()
    metrics = {"accuracy": right / len(data.held[1]), "loss": loss.item(), "train_s": time.monotonic() - started}
    return metrics, net


def save(net, path):
    from safetensors.torch import save_file

    names = [k for k in net.state_dict() if not k.endswith("num_batches_tracked")]
    save_file({k: net.state_dict()[k].contiguous().cpu() for k in names}, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a CIFAR folder, or `synthetic`")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--samples", type=int, help="only so many images")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="threads of the CPU")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=pathlib.Path, help="folder for the weights of each network")
    args = parser.parse_args()
    # stdout is for answers alone: whatever else prints, prints to stderr
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.save:
        args.save.mkdir(parents=True, exist_ok=True)
    device = torch.device(args.device)
    data = Data(args, device)
    print(f"{len(data.train[1])} images to train on, {len(data.held[1])} held out, {data.classes} classes", file=sys.stderr)
    for line in sys.stdin:
        question = json.loads(line)
        trial = question["id"]
        try:
            metrics, net = train(question["graph"], data, args, device)
            if args.save:
                save(net, args.save / f"trial-{trial}.safetensors")
            told = {"metrics": metrics}
            print(f"trial {trial}: {metrics}", file=sys.stderr, flush=True)
        except (ValueError, OutOfMemory) as error:
            told = {"error": str(error).splitlines()[0]}
        print(json.dumps({"id": trial, **told}), file=answers, flush=True)


if __name__ == "__main__":
    main()
