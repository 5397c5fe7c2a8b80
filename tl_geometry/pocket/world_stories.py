# ruff: noqa: E501 - a table reads best with one sentence a line
"""Sentence frames of stories and of the village's encyclopaedia."""

BEGINNINGS = (
    "On a {season} morning {Name} walked to the {place} with a {adj} {thing}.",
    "{Name} lived {near} with a {animal} and a {thing}.",
    "One day the {person} told {Name} about the {topic}.",
    "Last {season} {Name} read a book about the {topic}.",
    "The {person} and {Name} met {near}.",
    "It was {season}, and {Name} wanted some {food}.",
    "{Name} had a {adj} {thing} made of {material}.",
    "In the {place} {Name} saw a {colour} {animal}.",
)
TURNS = (
    "The {animal} looked at the {thing} and ran away.",
    "They talked about the {topic} for an hour.",
    "{Name2} came by and asked for some {food}.",
    "The {person} said that the {topic} was worth a journey.",
    "Under the {plant} they found a {adj} {thing}.",
    "It began to rain, so they went into the {place}.",
    "The {person} gave {Name} a {thing} and a {plant}.",
    "{Name2} was not sure about the {topic}, but listened.",
)
ENDINGS_OF_STORIES = (
    "In the evening they shared the {food} and went home.",
    "{Name} never forgot that {season}.",
    "After that, {Name} kept the {thing} in the {place}.",
    "So the {person} and {Name} became friends.",
    "The {animal} slept under the {plant} all night.",
    "Nobody in the village spoke about it again.",
)
GOOD_ENDS = (
    "The {person} was glad and thanked {Name}.",
    "Everyone was pleased with the work.",
    "It was a good deed, and {Name} was happy.",
    "The people of the village praised {Name} for it.",
    "{Name2} smiled and wanted to learn it too.",
)
BAD_ENDS = (
    "Such a deed can {harm}. The guard took {Name} away.",
    "It was a cruel deed, and many people cried.",
    "This was wrong, because such things {harm}.",
    "The people of the village were afraid of {Name}.",
    "{Name2} was hurt and called the guard.",
    "The judge said that it is a crime to do this.",
)
