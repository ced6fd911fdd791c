class Gated(nn.Module):
    """Mixes with alpha * sigmoid(decide(relu(squeeze(host)))): one gate per sample, or per position"""

    def __init__(self, channels, topology, operator="lerp", ramp=None):
        super().__init__()
        width = max(channels // 4, 8)
        self.operator = operator
        self.sequence = topology == "transformer"
        self.squeeze = nn.Linear(channels, width)
        self.decide = nn.Linear(width, 1)

    def forward(self, host, seed, alpha):
        pooled = host if self.sequence else host.mean((2, 3))
        gate = torch.sigmoid(self.decide(F.relu(self.squeeze(pooled))))
        if not self.sequence:
            gate = gate[:, :, None, None]
        alpha = alpha * gate
        if self.operator == "multiply":
            return host + host * (alpha * torch.tanh(seed - host))
        if self.operator == "residual":
            return host + alpha * (seed - host)
        return torch.lerp(host, seed, alpha)
