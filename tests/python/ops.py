"""A table of single operations with inputs, parameters and the output that PyTorch's functional calls give.

    python3 ops.py --seed 1 --out ../data/ops.json

writes the table that tests/it/torch.rs reads; `--seed` draws other numbers for the same operations, `--large` takes
larger maps. Operations are spelt with PyTorch's attribute names, as in the JSON language.
"""
import argparse
import json

import torch
import torch.nn.functional as F


def pair(value):
    return [value, value] if isinstance(value, int) else list(value)


class Table:
    def __init__(self, seed, large):
        self.generator = torch.Generator().manual_seed(seed)
        self.large = large
        self.cases = []

    def draw(self, *shape, low=-2.0, high=2.0):
        x = torch.rand(shape, generator=self.generator) * (high - low) + low
        return (x * 64).round() / 64  # few digits, exact in fp32

    def map(self, c, h, w, batch=1):
        if self.large:
            h, w, batch = h * 3 + 1, w * 3 + 2, batch + 2
        return self.draw(batch, c, h, w)

    def add(self, name, op, inputs, output, params=()):
        tensor = lambda t: {"shape": list(t.shape), "data": t.double().flatten().tolist()}
        self.cases.append({
            "name": name, "op": op, "inputs": [tensor(t) for t in inputs],
            "params": [tensor(t) for t in params], "output": tensor(output),
        })

    def conv(self, c, h, w, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=False):
        x = self.map(c, h, w)
        weight = self.draw(out_channels, c // groups, *pair(kernel_size))
        params = [weight] + ([self.draw(out_channels)] if bias else [])
        y = F.conv2d(x.double(), weight.double(), params[1].double() if bias else None, stride, padding, dilation, groups)
        op = dict(op="conv", out_channels=out_channels, kernel_size=pair(kernel_size), stride=pair(stride),
                  padding=pair(padding), dilation=pair(dilation), groups=groups, bias=bias)
        self.add(f"conv {out_channels} k{kernel_size} s{stride} p{padding} d{dilation} g{groups}", op, [x], y, params)

    def pool(self, kind, h, w, kernel_size, stride, padding, ceil_mode, count_include_pad=None):
        x = self.map(2, h, w)
        args = (kernel_size, stride, padding)
        op = dict(op=kind, kernel_size=pair(kernel_size), stride=pair(stride), padding=pair(padding), ceil_mode=ceil_mode)
        if kind == "max_pool":
            y = F.max_pool2d(x.double(), *args, ceil_mode=ceil_mode)
        else:
            op["count_include_pad"] = count_include_pad
            y = F.avg_pool2d(x.double(), *args, ceil_mode=ceil_mode, count_include_pad=count_include_pad)
        self.add(f"{kind} k{kernel_size} s{stride} p{padding} ceil {ceil_mode} pad {count_include_pad} on {h}x{w}", op, [x], y)


def fill(t):
    t.conv(3, 5, 6, 4, 3)
    t.conv(3, 5, 7, 4, 3, stride=2, padding=1)
    t.conv(4, 5, 5, 6, 1, bias=True)
    t.conv(4, 6, 5, 6, 1, stride=2, groups=2)
    t.conv(4, 7, 5, 4, 3, padding=1, groups=4)
    t.conv(4, 7, 6, 8, 3, padding=1, groups=4, bias=True)
    t.conv(4, 9, 9, 4, 3, stride=2, padding=3, dilation=3, groups=4)
    t.conv(2, 9, 8, 3, 3, padding=2, dilation=2)
    t.conv(2, 6, 7, 2, (1, 3), stride=(1, 2), padding=(0, 1))
    t.conv(2, 7, 6, 2, (3, 5), stride=(2, 1), padding=(1, 4), dilation=(1, 2), bias=True)
    t.conv(6, 5, 5, 4, 5, padding=2, groups=2)
    for act, function in [
        ("relu", F.relu), ("relu6", F.relu6), ("silu", F.silu), ("hswish", F.hardswish),
        ("sigmoid", torch.sigmoid), ("hsigmoid", F.hardsigmoid), ("clip01", lambda x: x.clamp(0, 1)),
    ]:
        x = t.draw(1, 2, 3, 4, low=-8.0, high=8.0)
        t.add(act, {"op": act}, [x], function(x.double()))
    x, slope = t.map(5, 3, 4), t.draw(5)
    t.add("prelu", {"op": "prelu"}, [x], F.prelu(x.double(), slope.double()), [slope])
    for eps, x in [(1e-5, t.map(3, 3, 4)), (1e-3, t.map(3, 2, 2)), (1e-5, t.draw(2, 6))]:
        c = x.shape[1]
        scale, shift, mean, var = t.draw(c), t.draw(c), t.draw(c), t.draw(c, low=0.1, high=3.0)
        y = F.batch_norm(x.double(), mean.double(), var.double(), scale.double(), shift.double(), False, 0.0, eps)
        t.add(f"batch_norm eps {eps} on {list(x.shape)}", {"op": "batch_norm", "eps": eps}, [x], y, [scale, shift, mean, var])
    for ceil_mode in (False, True):
        for h, w, k, s, p in [(7, 8, 3, 2, 0), (6, 7, 3, 2, 1), (5, 9, 2, 2, 0), (6, 6, (3, 2), (1, 3), (1, 0)), (5, 5, 2, 3, 1)]:
            t.pool("max_pool", h, w, k, s, p, ceil_mode)
            for count_include_pad in (False, True):
                t.pool("avg_pool", h, w, k, s, p, ceil_mode, count_include_pad)
    x = t.map(3, 4, 5, batch=2)
    t.add("global_avg_pool", {"op": "global_avg_pool"}, [x], x.double().mean((2, 3), keepdim=True))
    t.add("global_max_pool", {"op": "global_max_pool"}, [x], x.double().amax((2, 3), keepdim=True))
    for size in [(1, 1), (2, 3), (7, 2), (4, 5), (9, 11)]:
        x = t.draw(1, 2, 4, 5) if size != (7, 2) else t.map(2, 9, 11)
        y = F.adaptive_avg_pool2d(x.double(), size)
        t.add(f"adaptive_avg_pool to {size}", {"op": "adaptive_avg_pool", "size": list(size)}, [x], y)
    for mode, extra in [("nearest", {}), ("bilinear", {"align_corners": False}), ("bilinear", {"align_corners": True})]:
        for size in [(8, 10), (7, 9), (3, 2), (4, 5), (1, 1)]:
            x = t.draw(1, 2, 4, 5)
            y = F.interpolate(x.double(), size=size, mode=mode, **extra)
            op = {"op": "upsample", "size": list(size), "mode": mode, **extra}
            t.add(f"upsample {mode} {extra} to {size}", op, [x], y)
    for size, alpha, beta, k, c in [(5, 1e-4, 0.75, 2.0, 8), (4, 0.7, 0.5, 1.0, 7), (1, 0.3, 0.75, 1.5, 3), (9, 1.5, 0.75, 1.0, 4)]:
        x = t.map(c, 3, 4)
        op = dict(op="local_response_norm", size=size, alpha=alpha, beta=beta, k=k)
        t.add(f"local_response_norm {size} of {c}", op, [x], F.local_response_norm(x.double(), size, alpha, beta, k))
    for eps in (1e-12, 1.0):
        x, scale = t.map(5, 3, 4), t.draw(5)
        y = F.normalize(x.double(), dim=1, eps=eps) * scale.double().view(1, -1, 1, 1)
        t.add(f"l2_norm eps {eps}", {"op": "l2_norm", "eps": eps}, [x], y, [scale])
    for slope in (0.1, 0.01):
        x = t.map(2, 3, 4)
        t.add(f"leaky_relu {slope}", {"op": "leaky_relu", "negative_slope": slope}, [x], F.leaky_relu(x.double(), slope))
    for c, h, w in [(3, 4, 5), (6, 1, 1), (1, 5, 2)]:
        x = t.map(c, h, w, batch=2)
        t.add(f"transpose of {c}x{h}x{w}", {"op": "transpose"}, [x], x.transpose(1, 2))
    for sides in [(0, 1, 0, 1, 0, 0), (2, 0, 1, 3, 0, 0), (0, 0, 0, 0, 1, 2), (0, 0, 0, 0, 0, 0)]:
        x = t.map(3, 4, 5)
        names = ("left", "right", "top", "bottom", "front", "back")
        t.add(f"pad {sides}", dict(op="pad", **dict(zip(names, sides))), [x], F.pad(x, sides))
    for index, x in [([2, 0, 0, 3, 1], t.map(4, 3, 2)), ([1, 1], t.map(3, 2, 2)), ([4, 0, 5], t.draw(2, 6))]:
        index = torch.tensor(index)
        t.add(f"gather {index.tolist()}", {"op": "gather", "channels": len(index)}, [x], x.index_select(1, index), [index])
    for c, k, h, w in [(7, 3, 1, 1), (5, 5, 2, 3), (3, 7, 1, 1), (4, 1, 2, 2)]:
        x, weight = t.map(c, h, w), t.draw(1, 1, k)
        rows = x.double().permute(0, 2, 3, 1).reshape(-1, 1, c)
        y = F.conv1d(rows, weight.double(), padding=(k - 1) // 2).reshape(len(x), *x.shape[2:], c).permute(0, 3, 1, 2)
        t.add(f"channel_conv {k} of {c}", {"op": "channel_conv", "kernel_size": k}, [x], y, [weight])
    for bias in (False, True):
        x, weight = t.draw(2, 6), t.draw(4, 6)
        params = [weight] + ([t.draw(4)] if bias else [])
        y = F.linear(x.double(), *[p.double() for p in params])
        t.add(f"linear bias {bias}", {"op": "linear", "out_features": 4, "bias": bias}, [x], y, params)
    a, b, gate, row = t.map(3, 4, 5), t.map(3, 4, 5), t.draw(1, 3, 1, 1), t.draw(1, 1, 4, 1)
    if t.large:
        gate, row = t.draw(3, 3, 1, 1), t.draw(3, 1, a.shape[2], 1)
    add, mul = {"op": "add"}, {"op": "mul"}
    t.add("add", add, [a, b], a.double() + b.double())
    t.add("add of three", add, [a, b, a], a.double() + b.double() + a.double())
    t.add("add, narrow first", add, [gate, a], gate.double() + a.double())
    t.add("mul by a gate", mul, [a, gate], a.double() * gate.double())
    t.add("mul by a column and a gate", mul, [row, gate, b], row.double() * gate.double() * b.double())
    flat = [t.draw(2, 5), t.draw(2, 5), t.draw(2, 1)]
    t.add("mul of vectors", mul, flat, flat[0].double() * flat[1].double() * flat[2].double())
    parts = [t.draw(2, c, 2, 3) for c in (1, 3, 2)]
    t.add("concat", {"op": "concat"}, parts, torch.cat(parts, 1))
    t.add("concat of one", {"op": "concat"}, parts[1:2], parts[1])
    t.add("concat of vectors", {"op": "concat"}, flat, torch.cat(flat, 1))
    x = t.draw(2, 6, 2, 3)
    t.add("slice", {"op": "slice", "begin": 1, "end": 4}, [x], x[:, 1:4])
    t.add("slice of a vector", {"op": "slice", "begin": 2, "end": 5}, [flat[0]], flat[0][:, 2:5])
    for groups in (1, 2, 3, 6):
        t.add(f"shuffle {groups}", {"op": "shuffle", "groups": groups}, [x], F.channel_shuffle(x, groups))
    t.add("flatten", {"op": "flatten"}, [x], x.flatten(1))
    t.add("dropout", {"op": "dropout", "p": 0.5}, [x], x)
    t.add("zero", {"op": "zero"}, [x], torch.zeros_like(x))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    table = Table(args.seed, args.large)
    fill(table)
    with open(args.out, "w") as file:
        rows = ",\n".join(json.dumps(c, separators=(",", ":")) for c in table.cases)
        file.write(f"[\n{rows}\n]\n")


if __name__ == "__main__":
    main()
