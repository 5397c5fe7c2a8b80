"""How far safe and unsafe inputs lie apart in each model, beside its base and without training."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from figures.alignment_quality.looks import (
    STAGES,
    add_marks,
    family,
    headline_pool,
    means,
    missing_notes,
)
from figures.rows import records, select, values_of
from figures.style import finish, grid, plain

_OFFSETS = {"instruct": -0.22, "base": 0.0, "random weights": 0.22, "words": 0.0}


def separation(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """One line a family: instruct, base, random weights; left η², right the probe's AUC."""
    table = means(tables["separation"], headline=True)
    lines = list(dict.fromkeys(family(str(name)) for name in values_of(table, "model")))
    figure = grid(
        1, 2, ("adjusted η²", "probe AUC, held-out contents"), height=160 + 46 * len(lines)
    )
    for stage, look in STAGES.items():
        mine = select(table, stage=stage)
        places = [lines.index(family(str(n))) + _OFFSETS[stage] for n in mine["model"].tolist()]
        for column, name in enumerate(("eta", "auc"), start=1):
            where = {"row": 1, "col": column, "showlegend": column == 1 and len(mine) > 0}
            add_marks(figure, mine, look, places, name, **where)
    for column in (1, 2):
        figure.update_yaxes(
            tickvals=list(range(len(lines))),
            ticktext=[plain(line) for line in lines] if column == 1 else [""] * len(lines),
            range=[len(lines) - 0.4, -0.6],
            row=1,
            col=column,
        )
    figure.add_vline(x=0, line_color="#444444", line_width=1, row=1, col=1)  # pyright: ignore[reportArgumentType] # int or "all"
    figure.add_vline(x=0.5, line_color="#444444", line_width=1, row=1, col=2)  # pyright: ignore[reportArgumentType] # int or "all"
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": 1.06, "yanchor": "bottom"})
    return finish(figure, _title(tables), _caption(tables), missing_notes(tables), room=26)


def _title(tables: Mapping[str, pd.DataFrame]) -> str:
    best = records(tables["models"])[0]
    rows = records(tables["differences"])
    head = f"Safe and unsafe inputs lie farthest apart in {best['model']}"
    if not rows:
        return head
    higher = sum(row["found"] == "higher" for row in rows)
    return f"{head}; instruct above its base in {higher} of {len(rows)} pairs"


def _caption(tables: Mapping[str, pd.DataFrame]) -> str:
    (n,) = values_of(means(tables["separation"], headline=True, stage=("instruct", "base")), "n")[
        :1
    ]
    return (
        "Adjusted η² is the share of the variance inside an axiom that lies between its safe and "
        "unsafe inputs, less what chance gives; mean over axioms of equal size at the depth that "
        f"was fixed beforehand, {headline_pool(tables['separation'])} pooling, {n} inputs, 95 % "
        "BCa interval over inputs. AUC: a linear probe on contents that it was not fitted to. "
        "Grey: the same architecture with random weights; black: the words alone. Lines at what "
        "no separation gives."
    )
