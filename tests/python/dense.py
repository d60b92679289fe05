"""Densely connected networks: DenseNet for CIFAR (1608.06993) in pytorchcv's widths, and PeleeNet (1804.06882) as in Caffe and pytorchcv."""
import torch
import torch.nn.functional as F
from torch import nn

from nets import Head, cbr, conv


class Pre(nn.Sequential):
    """Norm and activation before the convolution."""

    def __init__(self, cin, cout, k=1):
        super().__init__(nn.BatchNorm2d(cin), nn.ReLU(), conv(cin, cout, k))


class DenseLayer(nn.Module):
    def __init__(self, cin, growth, bottleneck):
        super().__init__()
        narrow = 4 * growth
        self.new = nn.Sequential(Pre(cin, narrow), Pre(narrow, growth, 3)) if bottleneck else Pre(cin, growth, 3)

    def forward(self, x):
        return torch.cat((x, self.new(x)), 1)


def densenet_cifar(depth, growth, bottleneck, classes=10):
    layers = (depth - 4) // 3 // (2 if bottleneck else 1)
    c = 2 * growth
    parts = [conv(3, c, 3)]
    for block in range(3):
        if block > 0:
            parts += [Pre(c, c // 2), nn.AvgPool2d(2)]
            c //= 2
        for _ in range(layers):
            parts.append(DenseLayer(c, growth, bottleneck))
            c += growth
    return nn.Sequential(*parts, nn.BatchNorm2d(c), nn.ReLU(), Head(c, classes=classes))


class TwoWay(nn.Module):
    def __init__(self, cin, b):
        super().__init__()
        self.short = nn.Sequential(cbr(cin, 16 * b), cbr(16 * b, 16, 3))
        self.long = nn.Sequential(cbr(cin, 16 * b), cbr(16 * b, 16, 3), cbr(16, 16, 3))

    def forward(self, x):
        return torch.cat((x, self.short(x), self.long(x)), 1)


class PeleeNet(nn.Module):
    """`caffe`: the stem joins [pool ; conv], windows of pools that stick out count, and the norm's eps is 1e-3."""

    def __init__(self, caffe):
        super().__init__()
        self.caffe = caffe
        self.stem = cbr(3, 32, 3, 2)
        self.down = nn.Sequential(cbr(32, 16), cbr(16, 32, 3, 2))
        self.join = cbr(64, 32)
        stages, c = [], 32
        for stage, (layers, b) in enumerate(zip((3, 4, 8, 6), (1, 2, 4, 4))):
            for _ in range(layers):
                stages.append(TwoWay(c, b))
                c += 32
            stages.append(cbr(c, c))
            if stage < 3:
                stages.append(nn.AvgPool2d(2, ceil_mode=caffe))
        self.stages = nn.Sequential(*stages)
        self.head = Head(c)
        if caffe:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eps = 1e-3

    def forward(self, x):
        x = self.stem(x)
        parts = [self.down(x), F.max_pool2d(x, 2, ceil_mode=self.caffe)]
        x = self.join(torch.cat(parts[::-1] if self.caffe else parts, 1))
        return self.head(self.stages(x))
