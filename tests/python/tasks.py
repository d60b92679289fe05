"""Detection and segmentation networks that give their raw maps, the finest level first, scores before boxes.

torchvision's networks with its own modules, without the choice among boxes; ESPNetv2's decoder in plain PyTorch, written from
the definition and not from blocksmith.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

# height and width that the networks are counted at
SIZES = {
    "retinanet_resnet50_fpn": (480, 640),
    "ssd300_vgg16": (300, 300),
    "ssdlite320_mobilenet_v3_large": (320, 320),
    "lraspp_mobilenet_v3_large": (520, 520),
    "ESPNetv2_segmentation_s0.5_pascal": (256, 256),
    "ESPNetv2_segmentation_s2.0_pascal": (256, 256),
    "ESPNetv2_segmentation_s2.0_city": (256, 256),
}


class Rescale(nn.Module):
    """Pixels of length 1, times a factor a channel."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone())

    def forward(self, x):
        return self.weight.view(1, -1, 1, 1) * F.normalize(x)


class RetinaNet(nn.Module):
    def __init__(self):
        super().__init__()
        from torchvision.models.detection import retinanet_resnet50_fpn
        net = retinanet_resnet50_fpn(weights=None, weights_backbone=None)
        self.backbone, self.head = net.backbone, net.head

    def forward(self, x):
        cls, box = self.head.classification_head, self.head.regression_head
        maps = []
        for level in self.backbone(x).values():
            maps += [cls.cls_logits(cls.conv(level)), box.bbox_reg(box.conv(level))]
        return maps


class Ssd(nn.Module):
    def __init__(self, net):
        super().__init__()
        backbone = net.backbone
        self.features, self.extra = backbone.features, backbone.extra
        self.rescale = Rescale(backbone.scale_weight) if hasattr(backbone, "scale_weight") else None
        self.cls = net.head.classification_head.module_list
        self.box = net.head.regression_head.module_list

    def forward(self, x):
        levels = []
        if self.rescale is None:  # both parts of SSDLite's backbone end in a map
            for part in self.features:
                x = part(x)
                levels.append(x)
        else:
            x = self.features(x)
            levels.append(self.rescale(x))
        for part in self.extra:
            x = part(x)
            levels.append(x)
        maps = []
        for level, cls, box in zip(levels, self.cls, self.box, strict=True):
            maps += [cls(level), box(level)]
        return maps


class LrAspp(nn.Module):
    def __init__(self):
        super().__init__()
        from torchvision.models.segmentation import lraspp_mobilenet_v3_large
        self.net = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None)

    def forward(self, x):
        return self.net(x)["out"]


# ---- EdgeNets: ESPNetv2Segmentation ----

def resize(x, size):
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


def conv_bn_prelu(cin, cout, k=1, groups=1):
    return nn.Sequential(nn.Conv2d(cin, cout, k, 1, k // 2, groups=groups, bias=False), nn.BatchNorm2d(cout), nn.PReLU(cout))


def bn_prelu(c):
    return nn.Sequential(nn.BatchNorm2d(c), nn.PReLU(c))


class PyramidPool(nn.Module):
    SCALES = [2.0, 1.5, 1.0, 0.5, 0.1]

    def __init__(self, cin, inner, cout, last_norm=True):
        super().__init__()
        n = len(self.SCALES)
        self.projection = conv_bn_prelu(cin, inner)
        self.stages = nn.ModuleList(nn.Conv2d(inner, inner, 3, 1, 1, groups=inner, bias=False) for _ in range(n))
        self.before = bn_prelu(inner * n)
        self.merge = conv_bn_prelu(inner * n, inner, 3, groups=inner)
        self.out = nn.Conv2d(inner, cout, 1, bias=not last_norm)
        self.after = bn_prelu(cout) if last_norm else nn.Identity()

    def forward(self, x):
        x = self.projection(x)
        h, w = x.shape[2:]
        parts = []
        for scale, stage in zip(self.SCALES, self.stages):
            size = max(5, math.ceil(h * scale)), max(5, math.ceil(w * scale))
            if scale < 1:
                parts.append(resize(stage(F.adaptive_avg_pool2d(x, size)), (h, w)))
            elif scale > 1:
                parts.append(F.adaptive_avg_pool2d(stage(resize(x, size)), (h, w)))
            else:
                parts.append(stage(x))
        z = self.before(torch.cat(parts, 1))
        batch, c = z.shape[:2]
        z = z.view(batch, len(parts), c // len(parts), h, w).transpose(1, 2).reshape(batch, c, h, w)
        return self.after(self.out(self.merge(z)))


class GatedConv(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.weight = nn.Conv2d(cin, cout, 1, bias=False)
        self.expand = conv_bn_prelu(cin, cout, 3, groups=math.gcd(cin, cout))

    def forward(self, x):
        gate = torch.sigmoid(self.weight(F.adaptive_avg_pool2d(x, 1)))
        return self.expand(x) * gate


class EspNetV2Segmentation(nn.Module):
    def __init__(self, scale, classes, base=16):
        super().__init__()
        import nets
        self.encoder = nets.EspNetV2(scale)
        widths = [self.encoder.stem[0].out_channels, *(d.act.num_parameters for d in
                  (self.encoder.down2, self.encoder.down3, self.encoder.down4))]
        del self.encoder.down5, self.encoder.units5, self.encoder.tail
        outs, inner = [4 * base, 3 * base, 2 * base, classes], min(classes // 2, base)
        ins = [widths[3], *outs[:3]]
        self.pools = nn.ModuleList(PyramidPool(i, inner, o, k < 3) for k, (i, o) in enumerate(zip(ins, outs)))
        self.merges = nn.ModuleList(GatedConv(i, o) for i, o in zip(widths[2::-1], outs))
        self.acts = nn.ModuleList(bn_prelu(o) for o in outs[:3])

    def forward(self, image):
        e = self.encoder
        maps = [e.stem(image)]
        maps.append(e.down2(maps[-1], image))
        maps.append(e.units3(e.down3(maps[-1], image)))
        maps.append(e.units4(e.down4(maps[-1], image)))
        y = self.pools[0](maps.pop())
        for pool, merge, act in zip(self.pools[1:], self.merges, self.acts):
            y = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=True)
            y = pool(act(merge(maps.pop()) + y))
        return resize(y, image.shape[2:])


def build(name):
    if name == "retinanet_resnet50_fpn":
        return RetinaNet()
    if name == "lraspp_mobilenet_v3_large":
        return LrAspp()
    if name in SIZES and name.startswith("ssd"):
        from torchvision.models import detection
        return Ssd(getattr(detection, name)(weights=None, weights_backbone=None))
    kind, _, scale, data = name.split("_")
    return EspNetV2Segmentation(float(scale.removeprefix("s")), {"pascal": 21, "city": 20}[data])
