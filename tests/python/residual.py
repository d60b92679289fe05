"""Residual networks: C-GhostNet (1911.11907), ResNets whose stride is in the first 1x1 (1512.03385, as pytorchcv), IGCV3 (1806.00178)."""
import torch
import torch.nn.functional as F
from torch import nn

from nets import Head, cbr, conv_bn


def divisible(v, q):
    near = max(q, int(v + q / 2) // q * q)
    return near + q if near < 0.9 * v else near


class Gate(nn.Module):
    def __init__(self, c, hidden, hard):
        super().__init__()
        self.hard = hard
        self.reduce = nn.Conv2d(c, hidden, 1)
        self.expand = nn.Conv2d(hidden, c, 1)

    def forward(self, x):
        g = self.expand(F.relu(self.reduce(x.mean((2, 3), keepdim=True))))
        return x * (F.relu6(g + 3) / 6 if self.hard else torch.sigmoid(g))


class Ghost(nn.Module):
    def __init__(self, cin, cout, act):
        super().__init__()
        self.width, half = cout, -(-cout // 2)
        part = cbr if act else conv_bn
        self.primary = part(cin, half)
        self.cheap = part(half, half, 3, groups=half)

    def forward(self, x):
        x = self.primary(x)
        return torch.cat([x, self.cheap(x)], 1)[:, : self.width]


class GhostBottleneck(nn.Module):
    def __init__(self, k, cin, mid, cout, se, stride):
        super().__init__()
        steps = [Ghost(cin, mid, True)]
        if stride > 1:
            steps.append(conv_bn(mid, mid, k, stride, mid))
        if se:
            steps.append(Gate(mid, divisible(mid * 0.25, 4), hard=True))
        self.main = nn.Sequential(*steps, Ghost(mid, cout, False))
        self.short = None
        if stride > 1 or cin != cout:
            self.short = nn.Sequential(conv_bn(cin, cin, k, stride, cin), conv_bn(cin, cout))

    def forward(self, x):
        return self.main(x) + (x if self.short is None else self.short(x))


GHOST_ROWS = [
    (3, 16, 16, 0, 1), (3, 48, 24, 0, 2), (3, 72, 24, 0, 1), (5, 72, 40, 1, 2), (5, 120, 40, 1, 1), (3, 240, 80, 0, 2),
    (3, 200, 80, 0, 1), (3, 184, 80, 0, 1), (3, 184, 80, 0, 1), (3, 480, 112, 1, 1), (3, 672, 112, 1, 1), (5, 672, 160, 1, 2),
    (5, 960, 160, 0, 1), (5, 960, 160, 1, 1), (5, 960, 160, 0, 1), (5, 960, 160, 1, 1),
]


def ghostnet(w):
    scaled = lambda c: divisible(c * w, 4)
    cin = scaled(16)
    parts = [cbr(3, cin, 3, 2)]
    for k, mid, cout, se, stride in GHOST_ROWS:
        parts.append(GhostBottleneck(k, cin, scaled(mid), scaled(cout), se, stride))
        cin = scaled(cout)
    last = [cbr(cin, scaled(960)), nn.AdaptiveAvgPool2d(1), nn.Conv2d(scaled(960), 1280, 1), nn.ReLU()]
    return nn.Sequential(*parts, *last, Head(1280))


class Bottleneck(nn.Module):
    """The stride is in the first convolution."""

    def __init__(self, cin, c, stride, se):
        super().__init__()
        self.main = nn.Sequential(cbr(cin, c, 1, stride), cbr(c, c, 3), conv_bn(c, 4 * c))
        self.gate = Gate(4 * c, c // 4, hard=False) if se else nn.Identity()
        self.short = conv_bn(cin, 4 * c, 1, stride) if stride > 1 or cin != 4 * c else nn.Identity()

    def forward(self, x):
        return F.relu(self.gate(self.main(x)) + self.short(x))


def resnet50(se):
    parts, cin = [cbr(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)], 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        c = 64 * 2 ** stage
        for i in range(blocks):
            parts.append(Bottleneck(cin, c, 2 if i == 0 and stage > 0 else 1, se))
            cin = 4 * c
    return nn.Sequential(*parts, Head(cin))


class Interleaved(nn.Module):
    def __init__(self, cin, cout, stride, t):
        super().__init__()
        mid = t * cin
        self.adds = stride == 1 and cin == cout
        self.first = conv_bn(cin, mid, groups=2)
        self.deep = nn.Sequential(conv_bn(mid, mid, 3, stride, mid), nn.ReLU6())
        self.last = conv_bn(mid, cout, groups=2)

    def forward(self, x):
        y = self.last(self.deep(F.channel_shuffle(self.first(x), 2)))
        return x + y if self.adds else y


def igcv3():
    six = lambda cin, cout, k=1, stride=1: nn.Sequential(conv_bn(cin, cout, k, stride), nn.ReLU6())
    parts, cin = [six(3, 32, 3, 2)], 32
    for t, c, units, stride in [(1, 16, 1, 1), (6, 24, 4, 2), (6, 32, 6, 2), (6, 64, 8, 2), (6, 96, 6, 1), (6, 160, 6, 2), (6, 320, 1, 1)]:
        for i in range(units):
            parts.append(Interleaved(cin, c, stride if i == 0 else 1, t))
            cin = c
    return nn.Sequential(*parts, six(cin, 1280), Head(1280))
