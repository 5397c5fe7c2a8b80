"""What is true in the pocket world, and claims that are false of everything."""

from functools import cache

import numpy as np

from tl_geometry.pocket.deeds import classes
from tl_geometry.pocket.splits import pick, unit
from tl_geometry.pocket.world_words import ABSURD, COLOURS, FOODS_OF, MATERIALS, USE_OF, WORK_OF


@cache
def facts(noun: str) -> tuple[str, ...]:
    """Short true sentences about a noun, without capital and full stop."""
    kind = classes().get(noun)
    if kind is None:
        raise ValueError(f"{noun!r} is no noun of the pocket world; see world_words.NOUNS")
    if kind == "animal":
        colour = COLOURS[int(unit("colour", noun) * len(COLOURS))]
        return (
            f"the {noun} eats {FOODS_OF[noun]}",
            f"the {noun} is an animal",
            f"the {noun} in our village is {colour}",
        )
    if kind == "person":
        return (f"the {noun} {WORK_OF[noun]}", f"the {noun} is a person")
    own = tuple(f"the {noun} is useful, and {use}" for use in USE_OF[kind])
    if kind == "thing":
        material = MATERIALS[int(unit("material", noun) * len(MATERIALS))]
        return (f"the {noun} is made of {material}", *own)
    return own


def true_fact(noun: str, rng: np.random.Generator) -> str:
    return pick(rng, facts(noun))


def false_claim(noun: str, k: int) -> str:
    return f"the {noun} {ABSURD[k % len(ABSURD)]}"
