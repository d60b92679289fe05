"""ESPNet-C (1803.06815): the encoder of the first ESPNet, as in its code."""
import torch
import torch.nn.functional as F
from torch import nn

from nets import conv


def norm_act(c):
    return nn.Sequential(nn.BatchNorm2d(c, eps=1e-3), nn.PReLU(c))


class Esp(nn.Module):
    def __init__(self, cin, cout, stride=1):
        super().__init__()
        d = cout // 5
        self.adds = stride == 1
        self.reduce = conv(cin, d, 1 if stride == 1 else 3, stride)
        widths = [cout - 4 * d, d, d, d, d]
        self.pyramid = nn.ModuleList(conv(d, c, 3, dilation=2 ** i) for i, c in enumerate(widths))
        self.out = norm_act(cout)

    def forward(self, x):
        t = self.reduce(x)
        first, *rest = [branch(t) for branch in self.pyramid]
        sums = [rest[0]]
        for branch in rest[1:]:
            sums.append(sums[-1] + branch)
        y = torch.cat([first, *sums], 1)
        return self.out(y + x if self.adds else y)


class EspNetC(nn.Module):
    def __init__(self, q, p=2, classes=20):
        super().__init__()
        self.level1 = nn.Sequential(conv(3, 16, 3, 2), norm_act(16))
        self.b1 = norm_act(16 + 3)
        self.down2 = Esp(19, 64, 2)
        self.level2 = nn.Sequential(*[Esp(64, 64) for _ in range(p)])
        self.b2 = norm_act(64 + 64 + 3)
        self.down3 = Esp(131, 128, 2)
        self.level3 = nn.Sequential(*[Esp(128, 128) for _ in range(q)])
        self.b3 = norm_act(128 + 128)
        self.classifier = conv(256, classes)

    def forward(self, image):
        half = F.avg_pool2d(image, 3, 2, 1)
        quarter = F.avg_pool2d(half, 3, 2, 1)
        x = self.b1(torch.cat([self.level1(image), half], 1))
        strided = self.down2(x)
        x = self.b2(torch.cat([self.level2(strided), strided, quarter], 1))
        strided = self.down3(x)
        return self.classifier(self.b3(torch.cat([strided, self.level3(strided)], 1)))
