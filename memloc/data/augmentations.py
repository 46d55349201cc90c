"""Augmentations by name: how views are drawn from images. Standard library only: planning reads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Augmentation:
    """Strengths and probabilities of one augmentation (paper, Appendix B).

    Attributes:
        brightness, contrast, saturation, hue: strengths of colour jitter, applied with probability ``jitter``.
        flip, turn, grey, blur, invert: probabilities of mirroring, of turning upside down, of grey, of a Gaussian blur
            and of a negative.
        sigma: widths of the blur in pixels, smallest and largest.
        crop: whether views are crops; then ``scale`` is their share of the area and ``ratio`` width over height,
            smallest and largest.
        mask: share of the patches, squares of ``patch`` pixels, that is hidden.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    jitter: float = 0.0
    flip: float = 0.0
    grey: float = 0.0
    turn: float = 0.0
    blur: float = 0.0
    sigma: tuple[float, float] = (0.1, 5.0)
    invert: float = 0.0
    crop: bool = True
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    mask: float = 0.0
    patch: int = 4


# weak, normal, strong, independent and masking are the paper's (Appendix B). They mirror with the probability in its
# code: mirroring always, as in Appendix B, would turn every view alike. The blur's kernel has 5 pixels, as 4 is even.
# mild has the jitter of the SSLMem paper's SimCLR and crops of at least a fifth of the image: with few and grey images,
# the paper's crops leave too little to remember an image by.
AUGMENTATIONS: dict[str, Augmentation] = {
    "mild": Augmentation(0.4, 0.4, 0.4, 0.1, jitter=0.8, flip=0.5, grey=0.2, scale=(0.2, 1.0)),
    "weak": Augmentation(0.9, 0.9, 0.9, 0.5, jitter=0.4, flip=0.5, grey=0.1),
    "normal": Augmentation(0.8, 0.8, 0.8, 0.2, jitter=0.8, flip=0.5, grey=0.2),
    "strong": Augmentation(0.8, 0.8, 0.8, 0.2, jitter=0.9, flip=0.5, grey=0.5, turn=1.0),
    "independent": Augmentation(blur=0.8, invert=0.2, turn=1.0),
    "masking": Augmentation(crop=False, mask=0.75),
    "none": Augmentation(crop=False),
}
"""Every augmentation by name. ``none``, whose every view is the image itself, is for measuring only."""

TRAINED_WITH = tuple(name for name in AUGMENTATIONS if name != "none")
"""Augmentations for training."""
