"""LayerMem of attention and fully-connected layers of transformers (paper, Tables 2 and 10)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memloc.analysis import plotting
from memloc.analysis.claims import Claim, Finding
from memloc.analysis.inputs import EXTERNAL, profiles, quoted, rises, rows_of
from memloc.analysis.sheet import Sheet
from memloc.errors import InputError
from memloc.metrics.stats import Estimate

Floats = NDArray[np.float64]
CLAIMS = {
    "rises": Claim(
        "Memorization of attention rises with depth: rank correlation of block and crossed LayerMem",
        "Table 2",
    ),
    "fully-connected-rises": Claim(
        "Memorization of fully-connected layers rises with depth: rank correlation of block and crossed LayerMem",
        "Table 2",
    ),
    "fully-connected-adds-more": Claim(
        "Fully-connected layers add more than attention: mean over blocks of dFC - dATT, increments of crossed "
        "LayerMem",
        "Tables 2 and 10",
    ),
    "blocks-add": Claim(
        "Blocks add memorization: mean over blocks of the increment of crossed LayerMem, dBlock", "Table 10"
    ),
    "every-block-adds": Claim(
        "Every block adds memorization: the weakest increment of crossed LayerMem, dBlock", "Table 10"
    ),
    "fully-connected-higher": Claim(
        "What fully-connected layers put out memorizes more than what attention puts out: mean over blocks of the "
        "difference of crossed LayerMem",
        "Table 2, compared directly",
    ),
    "fully-connected-higher-at-depth": Claim(
        "The same at equal depth: fully-connected layers against the mean of the attentions before and behind them",
    ),
    "per-parameter": Claim(
        "Fully-connected layers add more than attention for each parameter: mean over blocks of dFC - r dATT, r the "
        "ratio of their parameters",
    ),
}
PUBLISHED = {
    ("mae", "vit-tiny"): (
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
INCREMENTS = {"dATT": "attention", "dFC": "fully-connected", "dBlock": "block"}


def analyse(sheet: Sheet) -> None:
    """Profiles of all places of all blocks in three estimators, increments of the crossed one, the claims' effects.

    Raises:
        InputError: an encoder has no attention, or not all places of two or more blocks in a row were measured.
    """
    inputs, options = sheet.inputs, sheet.options
    tables, findings = [], []
    for encoder in inputs.encoders():
        seeds = inputs.tables("points", encoder)
        layers = seeds[0].drop_duplicates("layer")[["layer", "kind", "parameters"]].reset_index(drop=True)
        blocks = _blocks(encoder, layers)
        names = [f"{block}.{place}" for block in blocks for place in PLACES]
        at = [list(layers["layer"]).index(name) for name in names]
        series = profiles(seeds, replicates=options["replicates"], normalisation=options["normalisation"])
        about = pd.DataFrame(
            {
                "layer": names,
                "block": np.repeat([int(block) for block in blocks], len(PLACES)),
                "place": [*PLACES.values()] * len(blocks),
                "parameters": layers["parameters"].to_numpy()[at],
            }
        )
        tables += [
            rows_of(estimate[at], names, encoder=encoder, series=name).merge(about, on="layer")
            for name, estimate in series.items()
        ]
        crossed = series["crossed"][at].map(lambda v: v.reshape(*v.shape[:-1], -1, len(PLACES)))
        added = {"dATT": crossed.map(d_att), "dFC": crossed.map(d_fc), "dBlock": crossed.map(d_block)}
        for (name, estimate), place in zip(added.items(), (ATT, FC, RES_FC), strict=True):
            mine = names[place :: len(PLACES)]
            rows = rows_of(estimate, mine, encoder=encoder, series=name).merge(about, on="layer")
            tables.append(rows.assign(place=INCREMENTS[name]))
        n = seeds[0].loc[seeds[0]["group"] == "candidate", "point"].nunique()
        sizes = about["parameters"].to_numpy(dtype=float).reshape(-1, len(PLACES))
        found = _findings(encoder, blocks, crossed, added, sizes, n=n)
        findings += quoted(inputs, encoder, found, PUBLISHED)
    sheet.add(pd.concat(tables, ignore_index=True))
    sheet.findings += findings


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
            f"or more blocks in a row"
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


def _findings(
    encoder: str,
    blocks: list[str],
    crossed: Estimate,
    added: dict[str, Estimate],
    sizes: Floats,
    *,
    n: int,
) -> list[Finding]:
    att, fc = crossed[:, ATT], crossed[:, FC]
    # Blocks from the second on: the first has no tokens of a block before it.
    d_attention, d_connected, d_whole = (added[name][1:] for name in INCREMENTS)
    ratio = (sizes[:, FC] / sizes[:, ATT])[1:]
    before, behind = att[:-1], att[1:]
    between = (before + behind).map(lambda v: v / 2)
    effects = {
        "fully-connected-adds-more": _mean(d_connected - d_attention),
        "blocks-add": _mean(d_whole),
        "fully-connected-higher": _mean(fc - att),
        "fully-connected-higher-at-depth": _mean(fc[:-1] - between),
        "per-parameter": _mean(d_connected - d_attention.map(lambda v: ratio * v)),
    }
    findings = [Finding(claim, encoder, effect, n) for claim, effect in effects.items()]
    findings.append(rises("rises", encoder, att, n=n))
    findings.append(rises("fully-connected-rises", encoder, fc, n=n))
    places = [f"block {block}" for block in blocks[1:]]
    findings.append(Finding.of_every("every-block-adds", encoder, d_whole, places, n=n))
    return findings


def _mean(over_blocks: Estimate) -> Estimate:
    return over_blocks.map(lambda v: v.mean(axis=-1))


def draw(table: pd.DataFrame, images: NDArray[np.uint8]) -> Figure:
    """One row an encoder: as published with its null, crossed, increments."""
    encoders = list(dict.fromkeys(table["encoder"]))
    figure, axes = plotting.panels(rows=len(encoders), columns=3, width=14, height=3.4)
    for (a, b, c), encoder in zip(axes, encoders, strict=True):
        mine = table[table["encoder"] == encoder].set_index("series")
        numbers = [str(block) for block in dict.fromkeys(mine["block"])]
        for axis, series in ((a, "published"), (b, "crossed")):
            for place in PLACES.values():
                plotting.profile(axis, _of(mine, series, place), label=place, dashed=place.startswith("sum"))
            axis.set_ylabel("LayerMem")
            plotting.legend(axis)
        for place in PLACES.values():
            null = _of(mine, EXTERNAL, place)
            a.plot(range(len(null)), null["value"], color=plotting.COLOURS[place], linestyle=":", linewidth=1)
        _increments(c, mine, len(numbers))
        for axis in (a, b, c):
            plotting.layers(axis, numbers)
            axis.set_xlabel("block")
            plotting.zero(axis)
        a.set_title(f"{encoder}: as published")
        b.set_title(f"{encoder}: crossed")
        c.set_title(f"{encoder}: increments of crossed LayerMem")
    return figure


def _of(mine: pd.DataFrame, series: str, place: str) -> pd.DataFrame:
    return mine[(mine.index == series) & (mine["place"] == place)]


def _increments(axis: Axes, mine: pd.DataFrame, blocks: int) -> None:
    """Bars of all three increments side by side in each block."""
    for shift, (series, name) in zip((-0.27, 0, 0.27), INCREMENTS.items(), strict=True):
        at = np.arange(blocks) + shift
        rows = _of(mine, series, name)
        axis.bar(at, rows["value"], width=0.25, color=plotting.COLOURS[name], label=name)
        plotting.whiskers(axis, at, rows)
    axis.set_ylabel("increment")
    # Room for the legend above the highest bar.
    axis.margins(y=0.3)
    plotting.legend(axis)
