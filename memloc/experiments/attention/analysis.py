"""LayerMem of attention and fully-connected layers of transformers (paper, Tables 2 and 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim
from memloc.analysis.inputs import Quotes, candidates, dealt_layermem, rows_of
from memloc.analysis.sheet import Sheet
from memloc.errors import InputError
from memloc.metrics.stats import Estimate

Floats = NDArray[np.float64]
CLAIMS = {
    "rises": Claim(
        "LayerMem of attention rises with depth: rank correlation of block and crossed LayerMem",
        "Table 2",
    ),
    "fully-connected-rises": Claim(
        "LayerMem of fully-connected layers rises with depth: rank correlation of block and crossed LayerMem",
        "Table 2",
    ),
    "fully-connected-adds-more": Claim(
        "Fully-connected layers add more LayerMem than attention: what crossed LayerMem rises at the fully-connected "
        "layers minus what it rises at the attention of the same block, mean over blocks",
        "Tables 2 and 10",
    ),
    "blocks-add": Claim(
        "Blocks add LayerMem: crossed LayerMem after a block minus that after the block before, mean over blocks",
        "Table 10",
    ),
    "every-block-adds": Claim(
        "Every block adds LayerMem: crossed LayerMem after a block minus that after the block before, weakest block",
        "Table 10",
    ),
    "fully-connected-higher": Claim(
        "Fully-connected layers have higher LayerMem than attention: mean over blocks of the difference of crossed "
        "LayerMem",
        "Table 2, compared directly",
    ),
    "fully-connected-higher-at-depth": Claim(
        "Fully-connected layers have higher LayerMem than attention at equal depth: mean over blocks of crossed "
        "LayerMem of fully-connected layers minus the mean of the attentions before and after them",
    ),
    "per-parameter": Claim(
        "Fully-connected layers add more LayerMem than attention for each parameter: mean over blocks of dFC - r dATT, "
        "increments of crossed LayerMem, with r the ratio of their parameters",
    ),
}
PUBLISHED = {
    ("mae", "vit-tiny"): Quotes(
        "ViT-Tiny of 12 blocks, MAE, CIFAR10; published estimator",
        {
            "rises": 1.0,
            "fully-connected-rises": 1.0,
            "fully-connected-adds-more": 0.0095,
            "every-block-adds": 0.018,
            "per-parameter": 0.0018,
        },
    )
}
"""The paper's effects, of Table 10; means of increments are over its blocks 2 to 12."""
PLACES = {
    "att": "attention",
    "res-att": "sum after attention",
    "fc": "fully-connected",
    "res-fc": "sum after fully-connected",
}
"""Places of a block in order, by the ending of their names: what they are called."""
ATT, RES_ATT, FC, RES_FC = range(len(PLACES))
COLOURS = plotting.COLOURS | {"block": plotting.INK}
INCREMENTS = {"dATT": "attention", "dFC": "fully-connected", "dBlock": "block"}


def analyse(sheet: Sheet) -> None:
    """Profiles of all places of all blocks in three estimators, increments of the crossed one, the claims' effects.

    Raises:
        InputError: an encoder has no attention, or not all places of two or more consecutive blocks were measured.
    """
    for encoder in sheet.encoders:
        seeds = sheet.scores("points", encoder)
        layers = seeds[0].drop_duplicates("layer")[["layer", "kind", "parameters"]].reset_index(drop=True)
        blocks = _blocks(encoder, layers)
        names = [f"{block}.{place}" for block in blocks for place in PLACES]
        at = [list(layers["layer"]).index(name) for name in names]
        about = pd.DataFrame(
            {
                "layer": names,
                "block": np.repeat([int(block) for block in blocks], len(PLACES)),
                "place": [*PLACES.values()] * len(blocks),
                "parameters": layers["parameters"].to_numpy()[at],
            }
        )
        series = {name: estimate[at] for name, estimate in sheet.layermem(seeds).items()}
        for name, estimate in series.items():
            sheet.add(rows_of(estimate, names, encoder=encoder, series=name).merge(about, on="layer"))
        crossed = series["crossed"].map(lambda v: v.reshape(*v.shape[:-1], -1, len(PLACES)))
        added = {"dATT": crossed.map(d_att), "dFC": crossed.map(d_fc), "dBlock": crossed.map(d_block)}
        for (name, estimate), place in zip(added.items(), (ATT, FC, RES_FC), strict=True):
            rows = rows_of(estimate, names[place :: len(PLACES)], encoder=encoder, series=name)
            sheet.add(rows.merge(about, on="layer"), place=INCREMENTS[name])
        with sheet.quoting(sheet.inputs.quotes(encoder, PUBLISHED)):
            sizes = about["parameters"].to_numpy(dtype=float).reshape(-1, len(PLACES))
            dealt = dealt_layermem(seeds, names).reshape(-1, len(blocks), len(PLACES))
            named = [f"block {block}" for block in blocks]
            _find(sheet, encoder, named, crossed, added, sizes, candidates(seeds[0]), dealt=dealt)


def _blocks(encoder: str, layers: pd.DataFrame) -> list[str]:
    """Numbers of the blocks measured, in order."""
    names, kinds = list(layers["layer"]), set(layers["kind"])
    if not {"attention", "fully-connected"} <= kinds:
        raise InputError(
            f"encoders.{encoder}.measure.layers: no attention and fully-connected layers; name a transformer"
        )
    blocks = [name.partition(".")[0] for name in layers.loc[layers["kind"] == "attention", "layer"]]
    whole = all(f"{block}.{place}" in names for block in blocks for place in PLACES)
    if len(blocks) < 2 or not whole or int(blocks[-1]) - int(blocks[0]) != len(blocks) - 1:
        raise InputError(
            f"encoders.{encoder}.measure.layers: blocks {', '.join(blocks)}; measure {', '.join(PLACES)} of two "
            f"or more consecutive blocks"
        )
    return blocks


def d_att(blocks: Floats) -> Floats:
    """dATT_N = LayerMem(N.att) - LayerMem((N - 1).res-fc) (paper, Table 10); nan for the first block.

    Args:
        blocks: [..., blocks, PLACES] LayerMem.
    """
    return blocks[..., ATT] - _tokens_before(blocks)


def d_fc(blocks: Floats) -> Floats:
    """dFC_N = LayerMem(N.fc) - LayerMem(N.res-att) (paper, Table 10)."""
    return np.subtract(blocks[..., FC], blocks[..., RES_ATT])


def d_block(blocks: Floats) -> Floats:
    """dBlock_N = LayerMem(N.res-fc) - LayerMem((N - 1).res-fc) (paper, Table 10); nan for the first block."""
    return blocks[..., RES_FC] - _tokens_before(blocks)


def _tokens_before(blocks: Floats) -> Floats:
    """LayerMem of the tokens that the block before put out."""
    out = np.full_like(blocks[..., RES_FC], np.nan)
    out[..., 1:] = blocks[..., :-1, RES_FC]
    return out


def _find(
    sheet: Sheet,
    encoder: str,
    blocks: Sequence[str],
    crossed: Estimate,
    added: Mapping[str, Estimate],
    sizes: Floats,
    n: int,
    *,
    dealt: Floats,
) -> None:
    """Effects of the claims.

    Args:
        crossed: [blocks, PLACES] LayerMem.
        added: INCREMENTS [blocks].
        sizes: [blocks, PLACES] numbers of parameters.
        dealt: [deals, blocks, PLACES] LayerMem where membership is dealt anew.
    """
    att, fc = crossed[:, ATT], crossed[:, FC]
    # Blocks from the second on: the first has no tokens of a block before it.
    d_attention, d_connected, d_whole = (added[name][1:] for name in INCREMENTS)
    ratio = (sizes[:, FC] / sizes[:, ATT])[1:]
    between = (att[:-1] + att[1:]).map(lambda v: v / 2)
    effects = {
        "fully-connected-adds-more": d_connected - d_attention,
        "blocks-add": d_whole,
        "fully-connected-higher": fc - att,
        "fully-connected-higher-at-depth": fc[:-1] - between,
        "per-parameter": d_connected - d_attention.map(lambda v: ratio * v),
    }
    for claim, over_blocks in effects.items():
        sheet.find(claim, encoder, over_blocks.map(lambda v: v.mean(axis=-1)), n)
    for claim, profile, place in (("rises", att, ATT), ("fully-connected-rises", fc, FC)):
        sheet.find_rise(claim, encoder, profile, n=n, null=dealt[..., place])
    sheet.find_in_every("every-block-adds", encoder, d_whole, blocks[1:], n=n)


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """One row an encoder: crossed LayerMem of attention and fully-connected layers, and what they add."""
    encoders = plotting.by_encoder(table)
    figure, axes = plotting.panels(rows=len(encoders), columns=2, height=2.3, sharey="col")
    for (left, right), (encoder, rows) in zip(axes, encoders.items(), strict=True):
        numbers = [str(block) for block in dict.fromkeys(rows["block"])]
        for shift, place in ((-0.06, "attention"), (0.06, "fully-connected")):
            plotting.profile(left, _of(rows, "crossed", place), label=place, shift=shift)
        for shift, (series, name) in zip((-0.24, 0, 0.24), INCREMENTS.items(), strict=True):
            at = np.arange(len(numbers)) + shift
            plotting.points(right, at, _of(rows, series, name), colour=COLOURS[name], label=name, size=3.5)
        left.set(title=f"{plotting.plain(encoder)}\nWhich parts memorize?", ylabel="crossed LayerMem")
        right.set(title="What does each add to what comes before it?", ylabel="increment")
        for axis in (left, right):
            plotting.layers(axis, numbers)
            axis.set_xlabel("block")
            plotting.zero(axis)
        right.grid(visible=False, axis="x")
    plotting.key(
        figure,
        {
            "attention": COLOURS["attention"],
            "fully-connected": COLOURS["fully-connected"],
            "the whole block": COLOURS["block"],
        },
    )
    return figure


def _of(rows: pd.DataFrame, series: str, place: str) -> pd.DataFrame:
    return rows[(rows.index == series) & (rows["place"] == place)]
