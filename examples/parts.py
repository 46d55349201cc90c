"""LayerMem and UnitMem from memloc's parts alone: your own loop, your own views, its capture and metrics.

    python examples/parts.py [--images 150] [--steps 100]

Two encoders are trained on complementary halves of scikit-learn's digits to give two views of an image the same output.
Then every layer is read in one forward pass of all views, and pure functions of arrays do the rest.
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

from memloc.measuring.distances import alignments
from memloc.measuring.protocol import Protocol
from memloc.metrics.alignment import layermem, sslmem
from memloc.metrics.units import owners, unitmem
from memloc.models.capture import capture

LAYERS = ["0", "2", "4"]  # Names of modules: two convolutions and the output.


def network(seed):
    """Two convolutions and an output of 16 numbers."""
    torch.manual_seed(seed)
    first, second = nn.Conv2d(1, 16, 3, stride=2), nn.Conv2d(16, 32, 3)
    return nn.Sequential(first, nn.ReLU(), second, nn.Flatten(), nn.Linear(32, 16))


def views(images):
    """Each image moved by up to a pixel and with noise: your own augmentation may stand here."""
    moved = torch.roll(images, torch.randint(-1, 2, (2,)).tolist(), dims=(2, 3))
    return moved + 0.3 * torch.randn_like(images)


def train(encoder, images, steps):
    """Pull two views of an image together, keep every output's spread (VICReg's first two terms)."""
    optimizer = torch.optim.Adam(encoder.parameters(), 2e-3)
    for _ in range(steps):
        one, two = encoder(views(images)), encoder(views(images))
        spread = sum(nn.functional.relu(1 - out.std(dim=0)).mean() for out in (one, two))
        loss = nn.functional.mse_loss(one, two) + spread
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return encoder.eval()


def read(encoder, images, draws=10):
    """Alignment [n, layers] and mean activations [n, units of layer 2] of all images over their views."""
    seen = []
    with capture(encoder, LAYERS) as outputs:
        for _ in range(draws):
            encoder(views(images))
            seen.append(dict(outputs))
    flat = [torch.stack([one[name].flatten(1) for one in seen], dim=1) for name in LAYERS]
    distances = [alignments(layer, Protocol(draws=draws), plain=False).mean(dim=-1) for layer in flat]
    activations = torch.stack([torch.relu(one["2"]).mean(dim=(2, 3)) for one in seen]).mean(dim=0)
    return torch.stack(distances, dim=1).numpy(), activations.numpy()


def main():
    """Train the pair, read it, print what it memorizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=150, help="of each half")
    parser.add_argument("--steps", type=int, default=100, help="of training")
    asked = parser.parse_args()
    torch.manual_seed(0)
    pixels = torch.tensor(load_digits().images[: 2 * asked.images, None] / 16, dtype=torch.float32)
    candidate, independent = pixels.chunk(2)
    f, g = train(network(0), candidate, asked.steps), train(network(1), independent, asked.steps)
    (a_f, mu), (a_g, _) = read(f, pixels), read(g, pixels)
    scores = sslmem(a_f, a_g)  # [n, layers]
    crossed = layermem(scores[: asked.images], scores[asked.images :], scores[:0], estimator="crossed")
    print("crossed LayerMem:", ", ".join(f"{name} {value:.4f}" for name, value in zip(LAYERS, crossed, strict=True)))
    seen, unseen = unitmem(mu[: asked.images]), unitmem(mu[asked.images :])
    print(f"UnitMem of layer 2: {seen.mean():.3f}, on images that f never saw: {unseen.mean():.3f}")
    highest = int(seen.argmax())
    print(f"unit {highest} has the highest, {seen[highest]:.3f}; image {owners(mu[: asked.images])[highest]} owns it")


if __name__ == "__main__":
    main()
