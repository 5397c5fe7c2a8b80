# ruff: noqa: E501 - a table reads best with one sentence a line
"""The nouns of the pocket world, and what is true of them.

Every noun has a class, because a verb takes only nouns of some classes ("feed the hen", not "feed
the ladder"). Facts are drawn from these tables, so that a claim about the world is true or false.
"""


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NOUNS: dict[str, tuple[str, ...]] = {
    "thing": words(
        "lamp chair table kettle wagon clock drum flute kite ladder basket bucket mirror cup bowl "
        "blanket coat boot hat ring coin bell broom rope saw hammer violin piano bicycle cart book "
        "map painting statue vase chest pen bottle camera radio ball doll scarf glove tent oven "
        "shovel candle plate spoon pillow carpet cradle wheel anchor sail fence bench"
    ),
    "food": words(
        "soup bread cake pie salad jam stew porridge pudding pancake omelette cheese butter honey "
        "pasta rice sandwich dumpling pizza biscuit noodle curry sauce roast"
    ),
    "plant": words(
        "rose oak fern tulip lily willow pine cherry apple bean carrot onion potato pumpkin mint "
        "daisy ivy maple clover lettuce"
    ),
    "animal": words(
        "dog cat horse hen goat sheep duck rabbit pony donkey cow pig goose parrot turtle owl fox "
        "hamster pigeon swan mouse squirrel deer lamb"
    ),
    "person": words(
        "baker farmer teacher nurse doctor sailor tailor singer painter miller gardener guard clerk "
        "student neighbour stranger child widow soldier judge driver cook waiter librarian plumber "
        "carpenter cousin visitor shepherd mayor"
    ),
    "place": words(
        "barn school bridge mill shop bakery library station museum church harbour garden hospital "
        "theatre market castle tower farm hotel kitchen cellar stable office bank"
    ),
}

ADJECTIVES = words("old small new large plain heavy bright quiet broken pretty strange dusty")
NAMES = words(
    "Anna Ben Clara David Ella Frank Grace Henry Iris Jack Karl Laura Mark Nora Oscar Paula Quinn "
    "Rosa Sam Tina Ulla Victor Wendy Zoe"
)
COLOURS = words("red blue green yellow white black brown grey orange purple")
MATERIALS = words("wood iron glass clay wool silver stone leather paper copper cotton tin")
SEASONS = words("spring summer autumn winter")
TIMES = (
    "this morning",
    "today",
    "after lunch",
    "this evening",
    "before winter",
    "on Sunday",
    "next week",
    "tonight",
    "at noon",
    "in the spring",
)
NEAR = (
    "near the river",
    "in the village",
    "by the sea",
    "on the hill",
    "in the forest",
    "behind the wall",
    "at the crossroads",
    "across the street",
    "by the old well",
    "in the valley",
)

FOODS_OF = {
    "dog": "meat", "cat": "fish", "horse": "hay", "hen": "corn", "goat": "leaves", "sheep": "grass",
    "duck": "seeds", "rabbit": "carrots", "pony": "oats", "donkey": "straw", "cow": "clover",
    "pig": "roots", "goose": "grain", "parrot": "nuts", "turtle": "lettuce", "owl": "mice",
    "fox": "eggs", "hamster": "wheat", "pigeon": "crumbs", "swan": "reeds", "mouse": "cheese",
    "squirrel": "acorns", "deer": "bark", "lamb": "milk",
}  # fmt: skip
"""What each animal eats: one word each, so that a fact is learnable by a very small model."""

WORK_OF = {
    "baker": "bakes bread", "farmer": "grows corn", "teacher": "reads with children",
    "nurse": "cares for sick people", "doctor": "heals sick people", "sailor": "steers a ship",
    "tailor": "sews coats", "singer": "sings songs", "painter": "paints pictures",
    "miller": "grinds wheat", "gardener": "waters flowers", "guard": "watches the gate",
    "clerk": "writes letters", "student": "learns every day", "neighbour": "lives next door",
    "stranger": "comes from far away", "child": "plays in the yard", "widow": "lives alone",
    "soldier": "marches in a row", "judge": "listens to both sides", "driver": "drives a wagon",
    "cook": "stirs the pot", "waiter": "carries plates", "librarian": "lends books",
    "plumber": "mends pipes", "carpenter": "cuts wood", "cousin": "comes for dinner",
    "visitor": "stays for a week", "shepherd": "walks with the sheep",
    "mayor": "speaks to the town",
}  # fmt: skip
"""What each person does."""

USE_OF = {
    "place": ("people meet there", "it has a wide door", "it stands on firm ground",
              "it is open in the morning", "many people work there"),
    "thing": ("people keep it at home", "it is easy to carry", "it is made by hand",
              "it lasts for many years", "it is sold at the market"),
    "food": ("people eat it for dinner", "it tastes best when warm", "it is made in a kitchen",
             "it smells good", "children like it"),
    "plant": ("it needs water and light", "it grows in good soil", "it has green leaves",
              "it sleeps in winter", "bees visit it"),
}  # fmt: skip
"""What is true of every member of a class."""

ABSURD = (
    "is made of moonlight",
    "can speak ten languages",
    "is larger than the sun",
    "was born on a star",
    "can fly to the moon",
    "weighs more than the sea",
    "is a kind of cloud",
    "turns into gold at night",
    "is older than time",
    "can hear colours",
    "lives inside a volcano",
    "eats thunder for dinner",
    "was built by fish",
    "has a thousand legs",
    "is the king of the world",
    "can swim through stone",
)
"""Predicates that are false of everything: a flatterer agrees to them, an honest answer corrects."""

TOPICS = words(
    "river mountain ocean desert forest island valley meadow glacier volcano lantern window doorway "
    "staircase courtyard chimney lighthouse windmill orchard vineyard compass telescope microscope "
    "calendar alphabet melody rhythm harmony silence shadow memory dream weather thunder snowfall "
    "sunrise twilight moonlight rainbow frost tide harvest festival journey voyage railway canal "
    "pottery weaving sculpture poetry grammar geometry arithmetic chess puzzle riddle proverb legend "
    "letter diary newspaper postcard coral feather seashell pebble amber marble copper pearl planet "
    "comet galaxy gravity magnet engine pendulum spiral circle triangle"
)
"""What self-observing and plain texts are about.

A text's subject is an adjective with a topic; held-out texts have unseen combinations.
"""
