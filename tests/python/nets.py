"""Networks of the papers in plain PyTorch, written from the definitions and not from blocksmith.

`build(source, name)` gives a module; sources and names are those of search_spaces/reference/index.json. torchvision, timm and
pytorchcv nets come from these packages.
"""
import torch
import torch.nn.functional as F
from torch import nn

import tasks


def conv(cin, cout, k=1, stride=1, groups=1, dilation=1):
    return nn.Conv2d(cin, cout, k, stride, dilation * (k - 1) // 2, dilation, groups, bias=False)


def conv_bn(cin, cout, k=1, stride=1, groups=1):
    return nn.Sequential(conv(cin, cout, k, stride, groups), nn.BatchNorm2d(cout))


def cbr(cin, cout, k=1, stride=1, groups=1):
    return nn.Sequential(*conv_bn(cin, cout, k, stride, groups), nn.ReLU())


class Head(nn.Module):
    def __init__(self, cin, bias=True, classes=1000):
        super().__init__()
        self.fc = nn.Linear(cin, classes, bias=bias)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))


# ---- VoVNet (1904.09730), as in VoVNet.pytorch: identity from the second module of a stage on ----

class Osa(nn.Module):
    def __init__(self, cin, mid, cout, layers, identity):
        super().__init__()
        self.identity = identity
        self.layers = nn.ModuleList(cbr(cin if i == 0 else mid, mid, 3) for i in range(layers))
        self.mix = cbr(cin + layers * mid, cout)

    def forward(self, x):
        parts = [x]
        for layer in self.layers:
            parts.append(layer(parts[-1]))
        y = self.mix(torch.cat(parts, 1))
        return y + x if self.identity else y


def vovnet(mids, outs, modules):
    parts = [cbr(3, 64, 3, 2), cbr(64, 64, 3), cbr(64, 128, 3, 2)]
    cin = 128
    for stage, (mid, cout, count) in enumerate(zip(mids, outs, modules)):
        if stage > 0:
            parts.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        for i in range(count):
            parts.append(Osa(cin, mid, cout, 5, identity=i > 0))
            cin = cout
    return nn.Sequential(*parts, Head(cin))


WIDE = ([128, 160, 192, 224], [256, 512, 768, 1024])
VOVNETS = {
    "vovnet27_slim": ([64, 80, 96, 112], [128, 256, 384, 512], [1, 1, 1, 1]),
    "vovnet39": (*WIDE, [1, 1, 2, 2]),
    "vovnet57": (*WIDE, [1, 1, 4, 3]),
}


# ---- G-Ghost RegNetX (2201.03297), the form of the released code ----

class RegNetX(nn.Module):
    def __init__(self, cin, c, group_width, stride=1):
        super().__init__()
        self.a = cbr(cin, c)
        self.b = cbr(c, c, 3, stride, c // min(c, group_width))
        self.c = conv_bn(c, c)
        self.short = conv_bn(cin, c, 1, stride) if stride > 1 or cin != c else None

    def forward(self, x):
        y = self.c(self.b(self.a(x)))
        return F.relu(y + (x if self.short is None else self.short(x)))


class GhostStage(nn.Module):
    def __init__(self, cin, c, group_width, depth):
        super().__init__()
        narrow = int(group_width * 0.75)
        self.raw = int(c * 0.5 / narrow) * narrow
        self.cheap_width = q = c - self.raw
        self.base = RegNetX(cin, c, group_width, 2)
        self.costly = nn.ModuleList(RegNetX(self.raw, self.raw, narrow) for _ in range(depth - 2))
        self.mix = nn.Sequential(cbr(c + self.raw * (depth - 2), q), conv_bn(q, q))
        self.cheap = conv_bn(q, q)
        self.last = RegNetX(c, c, group_width)

    def forward(self, x):
        x0 = self.base(x)
        e, seen = x0[:, : self.raw], [x0]
        for block in self.costly:
            e = block(e)
            seen.append(e)
        m = self.mix(torch.cat(seen, 1).mean((2, 3), keepdim=True))
        cheap = F.relu(self.cheap(x0[:, -self.cheap_width:]) + m)
        return self.last(torch.cat([e, cheap], 1))


def g_ghost_regnetx(depths, widths, group_width):
    parts, cin = [cbr(3, 32, 3, 2)], 32
    for stage, (depth, c) in enumerate(zip(depths, widths), start=1):
        if stage == 3 or stage in (2, 4) and depth > 2:
            parts.append(GhostStage(cin, c, group_width, depth))
        else:
            parts += [RegNetX(cin if i == 0 else c, c, group_width, 2 if i == 0 else 1) for i in range(depth)]
        cin = c
    return nn.Sequential(*parts, Head(cin))


G_GHOSTS = {
    "002": ([1, 1, 4, 7], [24, 56, 152, 368], 8),
    "004": ([1, 2, 7, 12], [32, 64, 160, 384], 16),
    "006": ([1, 3, 5, 7], [48, 96, 240, 528], 24),
    "008": ([1, 3, 7, 5], [64, 128, 288, 672], 16),
    "016": ([2, 4, 10, 2], [72, 168, 408, 912], 24),
    "032": ([2, 6, 15, 2], [96, 192, 432, 1008], 48),
    "040": ([2, 5, 14, 2], [80, 240, 560, 1360], 40),
    "064": ([2, 4, 10, 1], [168, 392, 784, 1624], 56),
    "080": ([2, 5, 15, 1], [80, 240, 720, 1920], 120),
    "120": ([2, 5, 11, 1], [224, 448, 896, 2240], 112),
    "160": ([2, 6, 13, 1], [256, 512, 896, 2048], 128),
    "320": ([2, 7, 13, 1], [336, 672, 1344, 2520], 168),
}


# ---- ESPNetv2 (1811.11431) ----

class Eesp(nn.Module):
    BRANCHES = 4

    def __init__(self, cin, cout, limit, stride=1, inner=False, lean=False):
        super().__init__()
        k, d = self.BRANCHES, cout // self.BRANCHES
        self.inner, self.adds = inner, stride == 1 and cin == cout
        kernels = sorted(kernel if kernel <= limit else 3 for kernel in (3 + 2 * i for i in range(k)))
        self.reduce = nn.Sequential(*conv_bn(cin, d, groups=k), nn.PReLU(d))
        self.pyramid = nn.ModuleList(conv(d, d, 3, stride, d, (kernel - 1) // 2) for kernel in kernels)
        self.norm = nn.Sequential(nn.BatchNorm2d(cout), nn.PReLU(cout))
        self.expand = conv_bn(cout, cout, groups=k)
        self.act = None if lean else nn.PReLU(cout)  # of an inner unit: held, never run

    def forward(self, x):
        t = self.reduce(x)
        sums = []
        for branch in self.pyramid:
            sums.append(branch(t) + sums[-1] if sums else branch(t))
        z = self.expand(self.norm(torch.cat(sums, 1)))
        if self.inner:
            return z
        return self.act(z + x if self.adds else z)


class EespDown(nn.Module):
    def __init__(self, cin, cout, limit, lean=False):
        super().__init__()
        self.unit = Eesp(cin, cout - cin, limit, 2, inner=True, lean=lean)
        self.image = nn.Sequential(conv(3, 3, 3), nn.BatchNorm2d(3), nn.PReLU(3), conv(3, cout), nn.BatchNorm2d(cout))
        self.act = nn.PReLU(cout)

    def forward(self, x, image=None):
        y = torch.cat([F.avg_pool2d(x, 3, 2, 1), self.unit(x)], 1)
        if image is not None:
            image = F.avg_pool2d(image, 3, 2, 1)
            while image.shape[2] != y.shape[2]:
                image = F.avg_pool2d(image, 3, 2, 1)
            y = y + self.image(image)
        return self.act(y)


class EspNetV2(nn.Module):
    """`lean`, as in pytorchcv: holds no weights that never run, and the image goes into the last strided unit too."""

    def __init__(self, scale, lean=False):
        super().__init__()
        self.lean = lean
        base = -(-int(32 * scale) // 4) * 4
        first, c = min(32, base), [base * 2 ** i for i in range(1, 5)]
        last = 1280 if scale > 1.5 else 1024
        self.stem = nn.Sequential(*conv_bn(3, first, 3, 2), nn.PReLU(first))
        self.down2 = EespDown(first, c[0], 13, lean)
        self.down3 = EespDown(c[0], c[1], 11, lean)
        self.units3 = nn.Sequential(*[Eesp(c[1], c[1], 9) for _ in range(3)])
        self.down4 = EespDown(c[1], c[2], 9, lean)
        self.units4 = nn.Sequential(*[Eesp(c[2], c[2], 7) for _ in range(7)])
        self.down5 = EespDown(c[2], c[3], 7, lean)
        self.units5 = nn.Sequential(*[Eesp(c[3], c[3], 5) for _ in range(3)])
        self.tail = nn.Sequential(
            *conv_bn(c[3], c[3], 3, groups=c[3]), nn.PReLU(c[3]), *conv_bn(c[3], last, groups=4), nn.PReLU(last), Head(last)
        )

    def forward(self, image):
        x = self.down2(self.stem(image), image)
        x = self.units3(self.down3(x, image))
        x = self.units4(self.down4(x, image))
        return self.tail(self.units5(self.down5(x, image if self.lean else None)))


# ---- ShuffleNetV2 (1807.11164), the form of ShuffleNet-Series; `late`: pytorchcv's shufflenetv2b, which shuffles at the end ----

class ShuffleUnit(nn.Module):
    def __init__(self, cin, cout, stride, late=False):
        super().__init__()
        self.proj, self.late = None, late
        if stride > 1:
            self.proj = nn.Sequential(*conv_bn(cin, cin, 3, stride, cin), *cbr(cin, cin))
        mid, into, made = cout // 2, cin if stride > 1 else cin // 2, cout - (cin if stride > 1 else cin // 2)
        self.main = nn.Sequential(*cbr(into, mid), *conv_bn(mid, mid, 3, stride, mid), *cbr(mid, made))

    def forward(self, x):
        if self.late:
            kept, made = (x, x) if self.proj is not None else x.chunk(2, 1)
            kept = kept if self.proj is None else self.proj(kept)
            return F.channel_shuffle(torch.cat([kept, self.main(made)], 1), 2)
        if self.proj is not None:
            return torch.cat([self.proj(x), self.main(x)], 1)
        return torch.cat([x[:, 0::2], self.main(x[:, 1::2])], 1)


def shufflenet_v2_official(widths, last, late=False):
    parts, cin = [cbr(3, 24, 3, 2), nn.MaxPool2d(3, 2, 1)], 24
    for c, units in zip(widths, (4, 8, 4)):
        parts += [ShuffleUnit(cin if i == 0 else c, c, 2 if i == 0 else 1, late) for i in range(units)]
        cin = c
    return nn.Sequential(*parts, cbr(cin, last), Head(last, bias=late))


SHUFFLES = {
    "0.5x": ([48, 96, 192], 1024),
    "1.0x": ([116, 232, 464], 1024),
    "1.5x": ([176, 352, 704], 1024),
    "2.0x": ([244, 488, 976], 2048),
}


def build(source, name):
    if source == "variants":
        import variants
        return variants.build(name)
    if name in tasks.SIZES:
        return tasks.build(name)
    if source == "torchvision":
        import torchvision
        # without the auxiliary classifiers, which exist in training only
        extra = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        return torchvision.models.get_model(name, weights=None, **extra)
    if source == "timm":
        import timm
        return timm.create_model(name, pretrained=False)
    if source == "pytorchcv":
        from pytorchcv.model_provider import get_model
        return get_model(name, pretrained=False)
    if name in VOVNETS:
        return vovnet(*VOVNETS[name])
    kind, _, which = name.rpartition("_")
    if kind == "g_ghost_regnetx":
        return g_ghost_regnetx(*G_GHOSTS[which])
    if kind in ("EESPNet", "espnetv2"):
        lean = source == "pytorchcv"
        return EspNetV2({"wd2": 0.5, "w1": 1.0}[which] if lean else float(which.removeprefix("s")), lean)
    if kind == "ShuffleNetV2":
        return shufflenet_v2_official(*SHUFFLES[which])
    if kind == "shufflenetv2b":
        return shufflenet_v2_official(*SHUFFLES[{"wd2": "0.5x", "w1": "1.0x"}[which]], late=True)
    return elsewhere(source, name)


def elsewhere(source, name):
    import dense
    import esp
    import residual
    kind, _, which = name.rpartition("_")
    if source == "pytorchcv" and name.startswith("densenet"):
        depth, growth, *bottleneck = name.removeprefix("densenet").removesuffix("_cifar10").split("_")
        return dense.densenet_cifar(int(depth), int(growth[1:]), bool(bottleneck))
    if name == "peleenet":
        return dense.PeleeNet(caffe=source == "official:PeleeNet")
    if kind == "ESPNet-C":
        return esp.EspNetC(q=int(which.removeprefix("p2q")))
    if kind == "ghostnet":
        return residual.ghostnet(float(which.removesuffix("x")))
    if source == "pytorchcv" and name in ("resnet50", "seresnet50"):
        return residual.resnet50(se=name.startswith("se"))
    if name == "igcv3_w1":
        return residual.igcv3()
    if source == "pytorchcv":
        from pytorchcv.model_provider import get_model
        return get_model(name)
    raise SystemExit(f"no definition of {source} {name}")
