class Attention(nn.Module):
    """Squeeze and excitation: x * 2 * sigmoid(excite(gelu(squeeze(mean(x)))))"""

    def __init__(self, channels, topology, reduction=4):
        super().__init__()
        width = max(channels // reduction, 4)
        self.squeeze = nn.Linear(channels, width)
        self.excite = nn.Linear(width, channels)

    def forward(self, x):
        excited = self.excite(F.gelu(self.squeeze(x.mean((2, 3)))))
        return x * (2 * torch.sigmoid(excited))[:, :, None, None]
