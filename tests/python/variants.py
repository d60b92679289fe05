"""Forms of the ShuffleNets (1707.01083, 1807.11164) and of G-GhostNet (2201.03297) beside those of nets.py.

`build(name)` takes the words after the file's name in tests/it/torch/variants.rs.
"""
import torch
import torch.nn.functional as F
from torch import nn

from nets import Head, cbr, conv, conv_bn


# ---- ShuffleNet, 1707.01083 ----

def deal(x, groups):
    """ShuffleNet-Series/V1: the channels are seen as (c / groups, groups) and swapped."""
    b, c, h, w = x.shape
    return x.reshape(b, c // groups, groups, h, w).transpose(1, 2).reshape(b, c, h, w)


class V1Unit(nn.Module):
    def __init__(self, form, cin, cout, groups, stride, first=False, ratio=4):
        super().__init__()
        self.form, self.groups, self.stride = form, groups, stride
        mid = cout // ratio
        self.squeeze = cbr(cin, mid, groups=1 if first else groups)
        self.deep = conv_bn(mid, mid, 3, stride, mid)
        self.expand = conv_bn(mid, cout if stride == 1 else cout - cin, groups=groups)
        self.short = conv_bn(cin, cout) if stride == 1 and cin != cout else nn.Identity()

    def forward(self, x):
        y = self.squeeze(x)
        if self.form == "official":
            y = deal(self.deep(y), self.groups)
        else:
            y = self.deep(F.channel_shuffle(y, self.groups))
        y = self.expand(y)
        if self.stride == 1:
            return F.relu(y + self.short(x))
        pool = F.avg_pool2d(x, 3, 2, 1)
        if self.form == "official":
            return torch.cat((pool, F.relu(y)), 1)
        return F.relu(torch.cat((y, pool) if self.form == "pytorchcv" else (pool, y), 1))


def v1(form, groups, width, stem=24):
    parts, cin = [cbr(3, stem, 3, 2), nn.MaxPool2d(3, 2, 1)], stem
    for stage, units in enumerate((4, 8, 4)):
        c = width << stage
        for i in range(units):
            parts.append(V1Unit(form, cin, c, groups, 2 if i == 0 else 1, first=stage == 0 and i == 0))
            cin = c
    return nn.Sequential(*parts, Head(cin, bias=form != "official"))


def v1_50(form, groups, width, ratio):
    parts, cin = [cbr(3, 64, 3, 2), nn.MaxPool2d(3, 2, 1)], 64
    for stage, units in enumerate((3, 4, 6, 3)):
        c = width << stage
        for i in range(units):
            stride = 2 if stage > 0 and i == 0 else 1
            parts.append(V1Unit(form, cin, c, groups, stride, stage == 0 and i == 0, ratio))
            cin = c
    return nn.Sequential(*parts, Head(cin, bias=form != "official"))


# ---- ShuffleNetV2, 1807.11164 ----

class Gate(nn.Module):
    """Squeeze and excitation; `like` makes its layers."""

    def __init__(self, c, hidden, like=lambda a, b: nn.Conv2d(a, b, 1)):
        super().__init__()
        self.down, self.up = like(c, hidden), like(hidden, c)

    def forward(self, x):
        m = F.adaptive_avg_pool2d(x, 1)
        if isinstance(self.down, nn.Linear):
            m = m[:, :, 0, 0]
        s = torch.sigmoid(self.up(F.relu(self.down(m))))
        return x * s.reshape(*x.shape[:2], 1, 1)


class V2Unit(nn.Module):
    def __init__(self, official, cin, cout, stride, reduction=0, residual=False, extra=False):
        super().__init__()
        self.official = official
        self.left = None
        c = cin // 2
        made = c
        if stride > 1 or cin != cout:
            c = cin
            left = cin if official else cout // 2
            made = cout - left
            self.left = nn.Sequential(conv_bn(c, c, 3, stride, c), cbr(c, left))
        self.adds = residual and self.left is None
        mid = cout // 2
        steps = [conv_bn(c, c, 3, 1, c)] if extra else []
        steps += [cbr(c, mid), conv_bn(mid, mid, 3, stride, mid), (conv_bn if self.adds else cbr)(mid, made)]
        if reduction:
            steps.append(Gate(made, made // reduction))
        self.right = nn.Sequential(*steps)

    def forward(self, x):
        if self.left is not None:
            y = torch.cat((self.left(x), self.right(x)), 1)
        else:
            keep, work = (x[:, 0::2], x[:, 1::2]) if self.official else x.chunk(2, 1)
            made = self.right(work)
            y = torch.cat((keep, F.relu(made + work) if self.adds else made), 1)
        return y if self.official else F.channel_shuffle(y, 2)


def v2(form, widths, units, stem, last, first_stride=2, **kind):
    official, parts, cin = form == "official", [], 3
    for c, stride in stem:
        parts.append(cbr(cin, c, 3, stride))
        cin = c
    parts.append(nn.MaxPool2d(3, 2, 1))
    for stage, (c, n) in enumerate(zip(widths, units)):
        for i in range(n):
            stride = 1 if i > 0 else first_stride if stage == 0 else 2
            parts.append(V2Unit(official, cin, c, stride, **kind))
            cin = c
    return nn.Sequential(*parts, cbr(cin, last), Head(last, bias=not official))


def v2_small(form, c, **kind):
    return v2(form, (c, 2 * c, 4 * c), (4, 8, 4), [(24, 2)], 1024, **kind)


def v2_50(form):
    return v2(form, (244, 488, 976, 1952), (3, 4, 6, 3), [(64, 2)], 2048, first_stride=1)


# ---- ShuffleNetV2.Large of ShuffleNet-Series ----

class LargeUnit(nn.Module):
    def __init__(self, cin, half, stride, first):
        super().__init__()
        c = cin // 2
        self.right = nn.Sequential(
            cbr(c, half), conv_bn(half, half, 3, stride, 8), conv_bn(half, half), Gate(half, half, nn.Linear)
        )
        self.left = conv_bn(c, half, 3, stride) if first else nn.Identity()
        self.after = cbr(2 * half, 2 * half) if stride > 1 else nn.Identity()

    def forward(self, x):
        right = self.right(x[:, 1::2])
        return self.after(F.relu(torch.cat((self.left(x[:, 0::2]), right), 1)))


class Large(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(cbr(3, 64, 3, 2), cbr(64, 64, 3), cbr(64, 128, 3), nn.MaxPool2d(3, 2, 1))
        self.stages, self.aux, cin = nn.ModuleList(), nn.ModuleList(), 128
        for stage, units in enumerate((10, 10, 23, 10)):
            half, chain = 128 << stage, []
            for i in range(units):
                chain.append(LargeUnit(cin, half, 2 if stage > 0 and i == 0 else 1, i == 0))
                cin = 2 * half
            self.stages.append(nn.Sequential(*chain))
            if stage < 3:
                unpadded = nn.Sequential(nn.Conv2d(cin, cin, 3, 2, bias=False), nn.BatchNorm2d(cin), nn.ReLU())
                self.aux.append(nn.Sequential(cbr(cin, cin), unpadded, Head(cin)))
        self.tail = nn.Sequential(cbr(cin, 1280, 3), Head(1280))
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 1e-9

    def strengthen(self):
        """Opens the gates: halved by each of 53, nothing of the input would be left; but large values meet rounding at each."""
        for stage in self.stages:
            for unit in stage:
                unit.right[2][1].weight.mul_(1.4)
                unit.right[3].up.bias.add_(4.0)

    def forward(self, x):
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.tail(x)


# ---- G-GhostNet on ResNet, 2201.03297 ----

class Basic(nn.Module):
    expansion = 1

    def __init__(self, cin, planes, stride=1):
        super().__init__()
        self.main = nn.Sequential(cbr(cin, planes, 3, stride), conv_bn(planes, planes, 3))
        self.short = conv_bn(cin, planes, 1, stride) if stride > 1 or cin != planes else nn.Identity()

    def forward(self, x):
        return F.relu(self.main(x) + self.short(x))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, cin, planes, stride=1):
        super().__init__()
        c = 4 * planes
        self.main = nn.Sequential(cbr(cin, planes), cbr(planes, planes, 3, stride), conv_bn(planes, c))
        self.short = conv_bn(cin, c, 1, stride) if stride > 1 or cin != c else nn.Identity()

    def forward(self, x):
        return F.relu(self.main(x) + self.short(x))


class GGhost(nn.Module):
    """`share` of the planes is cheap."""

    def __init__(self, form, block, cin, planes, depth, stride, share, k, mix):
        super().__init__()
        self.form = form
        small = int(planes * share) if form == "vega" else planes - int(planes * (1 - share))
        big = planes - small
        e = block.expansion
        c, r, q = e * planes, e * big, e * small
        self.r = r
        self.base = block(cin, planes, stride)
        n = depth - 1 if form == "paper" else depth - 2
        first = c if form == "paper" else r
        self.project = conv(c, r) if form == "vega" else None
        self.costly = nn.ModuleList(block(first if i == 0 else r, big) for i in range(n))
        seen = n * r + (0 if form == "paper" else c)
        self.mix = None
        if mix:
            kinds = {
                "code": lambda: nn.Sequential(cbr(seen, q), conv_bn(q, q)),
                "vega": lambda: conv_bn(seen, q),
                "paper": lambda: nn.Conv2d(seen, q, 1),
            }
            self.mix = kinds[form]()
        self.cheap = conv_bn(q if form == "code" else c, q, k)
        self.last = None if form == "paper" else block(c, planes)

    def forward(self, x):
        x0 = self.base(x)
        e, seen = x0, [] if self.form == "paper" else [x0]
        if self.form == "code":
            e = x0[:, : self.r]
        elif self.form == "vega":
            e = self.project(x0)
        for block in self.costly:
            e = block(e)
            seen.append(e)
        m = 0 if self.mix is None else self.mix(torch.cat(seen, 1).mean((2, 3), keepdim=True))
        g = self.cheap(x0[:, self.r:] if self.form == "code" else x0) + m
        if self.form == "paper":
            return torch.cat((e, g), 1)
        return self.last(torch.cat((e, F.relu(g)), 1))


def g_ghost(form, block, share, k=1, mix=True, ghost_first=True):
    parts, cin = [cbr(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)], 64
    for stage, depth in enumerate((3, 4, 6, 3)):
        planes, stride = 64 << stage, 2 if stage > 0 else 1
        if stage > 0 or ghost_first:
            parts.append(GGhost(form, block, cin, planes, depth, stride, share, k, mix))
        else:
            parts += [block(cin if i == 0 else block.expansion * planes, planes) for i in range(depth)]
        cin = block.expansion * planes
    return nn.Sequential(*parts, Head(cin))


NETS = {
    "v1_g3_official": lambda: v1("official", 3, 240),
    "v1_g8_official": lambda: v1("official", 8, 384),
    "v1_g8_half_official": lambda: v1("official", 8, 192, stem=16),
    "v1_g3_paper": lambda: v1("paper", 3, 240),
    "v1_g3_pytorchcv": lambda: v1("pytorchcv", 3, 240),
    "v1_g1_pytorchcv": lambda: v1("pytorchcv", 1, 144),
    "v1_50": lambda: v1_50("official", 3, 360, 4),
    "v1_50_half": lambda: v1_50("paper", 3, 360, 2),
    "v2_se": lambda: v2_small("official", 116, reduction=1),
    "v2_residual": lambda: v2_small("torchvision", 48, residual=True),
    "v2_se_residual": lambda: v2_small("official", 48, reduction=4, residual=True),
    "v2_se_residual_torchvision": lambda: v2_small("torchvision", 48, reduction=1, residual=True),
    "v2_star": lambda: v2_small("official", 116, extra=True),
    "v2_50": lambda: v2_50("official"),
    "v2_50_torchvision": lambda: v2_50("torchvision"),
    "large": Large,
    "g34_code": lambda: g_ghost("code", Basic, 0.5),
    "g34_code_plain_first": lambda: g_ghost("code", Basic, 0.4, k=3, ghost_first=False),
    "g34_paper": lambda: g_ghost("paper", Basic, 0.4),
    "g34_vega": lambda: g_ghost("vega", Basic, 0.5, mix=False),
    "g50_code": lambda: g_ghost("code", Bottleneck, 0.4),
    "g50_paper": lambda: g_ghost("paper", Bottleneck, 0.5, k=3, mix=False),
    "g50_vega": lambda: g_ghost("vega", Bottleneck, 0.5),
    "g50_vega_uneven": lambda: g_ghost("vega", Bottleneck, 0.4, ghost_first=False),
}


def build(name):
    return NETS[name]()
