"""What a figure's dots show; tables with many layers, where the column of that name holds other names, too."""

import pandas as pd

from tests.builders import figures


def many_but(*names):
    """What ``figures.many`` does, for rows of a layer; those of other names stay."""

    def many(table, *, encoders=8, layers=True):
        apart = table["layer"].isin(names) | table["layer"].isna()
        parts = [figures.many(table[~apart], encoders=encoders, layers=layers)]
        return pd.concat([*parts, figures.many(table[apart], encoders=encoders, layers=False)], ignore_index=True)

    return many


def dots(axis):
    """By label, the values whose dots and intervals an axis shows upwards."""
    return {shown.get_label(): shown.lines[0].get_ydata(orig=False) for shown in axis.containers}
