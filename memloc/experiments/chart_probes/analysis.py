"""At which stage what a tower has seen is lost."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from memloc.analysis import plotting
from memloc.analysis.charted import FUGU, OWN, counted, effect, equal, groups, last_of, size, tables, under
from memloc.analysis.claims import Claim
from memloc.analysis.sheet import Sheet
from memloc.errors import InputError

CLAIMS = {
    "gap": Claim(
        "A probe of single tokens of the tower's last layer tells places of four and of eight marks more often than "
        "the model: accuracy of the probe minus that of the answers, minus .2",
        OWN,
    ),
    "wrong": Claim(
        "Where the model answers wrongly a probe of single tokens of the tower's last layer still tells the place: "
        "accuracy minus .5",
        FUGU,
    ),
    "handoff": Claim(
        "Places are lost on the way from the tower through the connector into the decoder: accuracy of the probe of "
        "single tokens of the tower's last layer minus that of the decoder's input",
        FUGU,
    ),
    "decoder": Claim(
        "Places are lost inside the decoder: accuracy of the probe of single tokens of its input minus that of its "
        "last layer"
    ),
    "control": Claim(
        "A probe of shuffled labels tells no place from all tokens of the tower's last layer: .05 minus its accuracy",
        OWN,
    ),
    "last-token": Claim(
        "The last token of the decoder's last layer holds the place no better than the answer tells it: accuracy of "
        "the answers minus that of its probe, plus .05, own margin"
    ),
}
SINGLE, FLATTENED, POOLED, LAST = "single tokens", "flattened", "pooled", "last token"
NUMBERS = (4, 8)
"""Numbers of marks that the gap is about."""


def analyse(sheet: Sheet) -> None:
    """Accuracy of probes of places by stage, of all marks and of those that were told wrongly, and of the answers."""
    for model in sheet.encoders:
        seeds = [table[table["target"] == "position"] for table in tables(sheet, "predictions", model)]
        if any(table.empty for table in seeds):
            few = f"{model}: too few training charts have marks of one kind for a probe to learn from"
            raise InputError(f"{few}; raise charts.locate.charts, or charts of its suite")
        stages = list(dict.fromkeys(seeds[0]["stage"]))
        tower, decoder = last_of(stages, "tower"), last_of(stages, "decoder")
        for series, kept in (("all", seeds), ("told wrongly", [t[t["answered"] == 0] for t in seeds])):
            for column, name in (("right", series), ("control", f"{series}, shuffled labels")):
                if all(len(table) for table in kept):
                    found = counted(kept, ["stage", "representation"], column=column)
                    sheet.add(found, model=model, series=name)
        asked = [_of(table[table["answered"] >= 0], tower, SINGLE) for table in seeds]
        told = [table.assign(answered=table["answered"].astype(float)) for table in asked]
        if all(len(table) for table in told):
            own = counted(told, ["representation"], column="answered").assign(stage="answer", representation="answer")
            sheet.add(own, model=model, series="all")
            sheet.add(counted(told, ["n"], column="answered"), model=model, series="answers by n")
            sheet.add(counted(told, ["n"]), model=model, series="probe by n")
        _claims(sheet, model, seeds, told, tower, decoder)


def _of(table: pd.DataFrame, stage: str, representation: str) -> pd.DataFrame:
    return table[table["stage"].eq(stage) & table["representation"].eq(representation)]


def _claims(
    sheet: Sheet, model: str, seeds: list[pd.DataFrame], told: list[pd.DataFrame], tower: str, decoder: str
) -> None:
    ahead = [table.assign(ahead=table["right"] - table["answered"]) for table in told]
    for n in NUMBERS:
        rows = groups(ahead, {"ahead": equal(n=n)}, column="ahead")
        if rows:
            sheet.find("gap", f"{model}, {n} marks", effect(sheet, rows, lambda m: m["ahead"], minus=0.2), size(rows))
    missed = groups(told, {"missed": equal(answered=0)})
    if missed:
        sheet.find("wrong", model, effect(sheet, missed, lambda m: m["missed"], minus=0.5, shared=False), size(missed))
    for name, first, then in (("handoff", tower, "decoder input"), ("decoder", "decoder input", decoder)):
        drops = [_drop(table, first, then) for table in seeds]
        rows = groups(drops, {"drop": lambda table: table["drop"].notna()}, column="drop")
        if rows:
            sheet.find(name, model, effect(sheet, rows, lambda m: m["drop"]), size(rows))
    chance = groups([_of(table, tower, FLATTENED) for table in seeds], {"all": lambda t: t["n"] > 0}, column="control")
    if chance:
        sheet.find("control", model, under(sheet, chance, "all", 0.05), size(chance))
    ends = [_of(table[table["answered"] >= 0], decoder, LAST) for table in seeds]
    ends = [table.assign(behind=table["answered"] - table["right"]) for table in ends]
    rows = groups(ends, {"behind": lambda t: t["n"] > 0}, column="behind")
    if rows:
        sheet.find("last-token", model, effect(sheet, rows, lambda m: m["behind"], minus=-0.05), size(rows))


def _drop(table: pd.DataFrame, first: str, then: str) -> pd.DataFrame:
    """What the probe of single tokens loses from a stage to another, by mark."""
    one, other = (_of(table, stage, SINGLE)[["chart", "kind", "right"]] for stage in (first, then))
    both = one.merge(other, on=["chart", "kind"], suffixes=("", "_then"))
    return both.assign(drop=both["right"] - both["right_then"])


def draw(table: pd.DataFrame) -> Figure:
    """A row a model: probes by stage, of all marks and of those told wrongly; probe and answers by number of marks."""
    models = list(dict.fromkeys(table["model"]))
    figure, axes = plotting.panels(rows=len(models), columns=3, height=3.0)
    hues = {SINGLE: "blue", FLATTENED: "purple", POOLED: "green", LAST: "orange"}
    for row, model in zip(axes, models, strict=True):
        mine = table[table["model"] == model]
        stages = [stage for stage in dict.fromkeys(mine["stage"].dropna()) if stage != "answer"]
        for axis, series in zip(row, ("all", "told wrongly"), strict=False):
            for representation, hue in hues.items():
                colour = plotting.PALETTE[hue]
                for name, style in ((series, "-"), (f"{series}, shuffled labels", "--")):
                    own = mine[mine["series"].eq(name) & mine["representation"].eq(representation)]
                    at = [stages.index(stage) for stage in own["stage"]]
                    axis.plot(at, own["value"], style, color=colour, linewidth=1.4 if style == "-" else 0.9)
                    if style == "-":
                        plotting.band(axis, at, own, colour=colour)
            plotting.layers(axis, stages)
            axis.set(title=f"{plotting.plain(model)}: marks {series}" if series != "all" else plotting.plain(model))
            axis.set(xlabel="stage", ylabel="accuracy of a probe", ylim=(-0.03, 1.03))
        answer = mine[mine["stage"].eq("answer")]
        if len(answer):
            row[0].axhline(answer["value"].iloc[0], color=plotting.INK, linewidth=1)
        order = sorted(mine.loc[mine["series"].eq("probe by n"), "n"].unique())
        for series, colour in (("probe by n", plotting.PALETTE["blue"]), ("answers by n", plotting.INK)):
            own = mine[mine["series"] == series].sort_values("n")
            at = [order.index(n) for n in own["n"]]
            row[2].plot(at, own["value"], marker="o", markersize=3.5, color=colour)
            plotting.band(row[2], at, own, colour=colour)
        row[2].set_xticks(range(len(order)), [f"{n:g}" for n in order])
        row[2].set(title="tower and answers", xlabel="marks in the chart", ylabel="accuracy", ylim=(-0.03, 1.03))
    meaning = {"single image tokens": "blue", "all together": "purple", "their mean": "green", "last token": "orange"}
    colours = {name: plotting.PALETTE[hue] for name, hue in meaning.items()}
    plotting.key(
        figure,
        {**colours, "the model's answers": plotting.INK, "shuffled labels": plotting.PALETTE["grey"]},
        dashed=["shuffled labels"],
    )
    return figure
