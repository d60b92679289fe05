"""Single blocks in plain PyTorch, written from the papers: what they compute with random weights.

    python3 blocks.py --out DIR

writes a folder for each block and map size into DIR as reference.py does, and node.json: the node, and the input's shape.
To add one: an entry in BLOCKS. The module uses its parameters in the order in which blocksmith's block does.
"""
import argparse
import json
import pathlib

import torch
from torch import nn

import reference
from nets import cbr, conv, conv_bn


class MixConv(nn.Module):
    """1907.09595, section 3: depthwise kernels of several sizes over groups of channels."""

    def __init__(self, widths, stride, act):
        super().__init__()
        self.widths = widths
        self.convs = nn.ModuleList(conv(c, c, 3 + 2 * i, stride, groups=c) for i, c in enumerate(widths))
        self.bn, self.act = nn.BatchNorm2d(sum(widths)), act

    def forward(self, x):
        parts = [f(part) for f, part in zip(self.convs, x.split(self.widths, 1))]
        return self.act(self.bn(torch.cat(parts, 1)))


class OsaBottleneck(nn.Module):
    """1904.09730, table 3: a 1x1 convolution with half its input's channels before each 3x3."""

    def __init__(self, cin, mid, cout, layers):
        super().__init__()
        ins = [cin] + [mid] * (layers - 1)
        self.layers = nn.ModuleList(nn.Sequential(cbr(c, c // 2), cbr(c // 2, mid, 3)) for c in ins)
        self.fuse = cbr(cin + layers * mid, cout)

    def forward(self, x):
        parts = [x]
        for layer in self.layers:
            parts.append(layer(parts[-1]))
        return self.fuse(torch.cat(parts, 1))


# name: node, channels of the input, module
BLOCKS = {
    "mix_conv, equal": (
        {"block": "mix_conv", "kernels": 3, "stride": 2, "act": "hswish"},
        20, lambda: MixConv([8, 6, 6], 2, nn.Hardswish()),
    ),
    "mix_conv, exponential": (
        {"block": "mix_conv", "kernels": 4, "split": "exponential"},
        32, lambda: MixConv([16, 8, 4, 4], 1, nn.ReLU()),
    ),
    "osa, bottleneck": (
        {"block": "osa", "out_channels": 40, "mid_channels": 12, "layers": 3, "bottleneck": True},
        16, lambda: OsaBottleneck(16, 12, 40, 3),
    ),
    "separable_conv, dilated": (
        {"block": "separable_conv", "out_channels": 24, "kernel_size": 5, "dilation": 2, "stride": 2, "act": "silu"},
        8, lambda: nn.Sequential(
            nn.Conv2d(8, 8, 5, 2, 4, 2, 8, bias=False), nn.BatchNorm2d(8), nn.SiLU(), *conv_bn(8, 24), nn.SiLU()),
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    with torch.no_grad():
        for name, (node, channels, module) in BLOCKS.items():
            for h, w in [(16, 16), (7, 7), (15, 22)]:
                folder = args.out / f"{name} on {h}x{w}"
                shape = [channels, h, w]
                reference.save(module().eval(), shape, 2, args.seed, folder)
                (folder / "node.json").write_text(json.dumps({"node": node, "input": shape}))


if __name__ == "__main__":
    main()
