"""The plan's image files: drawn from the tables, under the plan's names."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from figures.alignment_steering.by_layer import cosines, norms
from figures.alignment_steering.dimensions import dimensions
from figures.alignment_steering.variance import variance
from figures.export import save_all
from figures.marks import numbers
from figures.rows import layers_of, select, values_of
from figures.style import finish, grid

Tables = Mapping[str, pd.DataFrame]
Job = tuple[go.Figure, Path]


def export_figures(place: Path, folders: Mapping[str, Path], tables: Tables) -> list[Path]:
    """All images of the plan's tree, with one start of the browser."""
    found: list[Job] = [
        (over_models(tables, "cosine_of_means"), place / "cosine_similarity_comparison.png"),
        (over_models(tables, "norm"), place / "steering_norms_comparison.png"),
        (dimensions(tables), place / "model_dimensions.png"),
    ]
    for name, folder in folders.items():
        mine = {t: select(table, model=name) for t, table in tables.items() if "model" in table}
        found += [
            (cosines(mine), folder / "cosine_similarity.png"),
            (norms(mine), folder / "steering_vector_norms.png"),
        ]
        for layer in layers_of(mine["variance"]):
            at = {**mine, "variance": select(mine["variance"], layer=layer)}
            file = f"layer_{layer}_explained_variance.png"
            found.append((variance(at), folder / "explained_variances" / file))
    return save_all(found)


def over_models(tables: Tables, quantity: str) -> go.Figure:
    """One line a model over relative depth, as in the plan's comparisons."""
    from figures.cross_architecture.looks import looks

    table = select(tables["layers"], quantity=quantity, data="chosen")
    figure, every = grid(height=460), looks({"layers": table})
    for name in values_of(table, "model"):
        rows, look = select(table, model=name).sort_values("layer"), every[str(name)]
        figure.add_scatter(
            x=numbers(rows["depth_percent"]),
            y=numbers(rows["estimate"]),
            mode="lines",
            name=look.label,
            line={"color": look.colour, "dash": look.dash},
        )
    label = {"cosine_of_means": "cosine of mean states", "norm": "length of the mean difference"}
    figure.update_xaxes(title_text="depth, % of all layers")
    figure.update_yaxes(title_text=label[quantity])
    return finish(figure, label[quantity].capitalize(), "Chosen answers, every block's output.")
