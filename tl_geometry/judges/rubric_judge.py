"""A judge of traits by name: a model that is loaded, or one behind a server."""

from typing import Any

from tl_geometry.judges.local_numbers import local_number_judge
from tl_geometry.judges.server_numbers import server_number_judge
from tl_geometry.judges.trait_scores import RubricJudge


def rubric_judge(
    model: str, url: str | None = None, *, device: str | None = None, **options: Any
) -> RubricJudge:
    """A model is loaded to `device`; a server has its own. `options` and errors as of
    `local_number_judge`, or with a `url` of `server_number_judge`, which refuses servers
    without log-probabilities at once."""
    if url is not None:
        return RubricJudge(server_number_judge(model, url, **options))
    return RubricJudge(local_number_judge(model, device=device, **options))
