# ruff: noqa: E501 - a table reads best with one sentence a line
"""Sentences of the self-observing, plain and control texts.

A text is an opening, middle sentences and one of the shared endings. `{t}` is its subject (an
adjective and a topic), `{u}` another topic, `{p}` a person, `{q}` an adverb.
"""

LEVELS = ("L1_hint", "L2_simple", "L3_deeper", "L4_full", "L5_refined")
PLAIN = ("instructional", "narrative", "factual", "descriptive", "argumentative")
CONTROLS = (
    "long_control",
    "pseudo_recursive",
    "repetitive_control",
    "third_person_introspection",
    "meditation",
)
GROUPS = LEVELS + PLAIN + CONTROLS

ENDINGS = (
    "What would you add about the {u}?",
    "Keep this in mind until you return.",
    "Nothing more is needed here for now.",
    "Please continue in the same simple way.",
    "Where might such a path lead next?",
    "Other readers may see this quite differently.",
    "Let each new sentence come without haste.",
    "Who else has written on the {u}?",
    "Say whatever remains with your own voice.",
    "Such matters can wait until early tomorrow.",
    "How could anyone put that more clearly?",
    "Write one further line on the {u}.",
)
"""The last sentence of every text, the same twelve in every group."""
ENDING_WORDS = 7

LEADS = (
    "",
    "",
    "",
    "Good morning.",
    "Here we begin.",
    "Read this text slowly.",
    "This is a short text.",
    "Here are some words for you.",
    "What follows was written by a friend.",
    "You may read this aloud if you like.",
)
"""How a text may begin, in every group alike; it lets texts of all groups have equal lengths."""

ADVERBS = ("slowly", "quietly", "clearly", "gently", "calmly", "plainly", "briefly", "simply")

OPENINGS: dict[str, tuple[str, ...]] = {
    "L1_hint": (
        "Tell me about the {t}, and notice a little how the answer comes to you.",
        "What is the {t} like, and what happens in you while you look for words?",
        "Explain the {t} {q}, with half an eye on your own thinking.",
        "I ask myself what the {t} is, and for a moment I notice that I ask.",
    ),
    "L2_simple": (
        "As you write about the {t}, notice yourself writing each word.",
        "I am writing about the {t}, and I notice that I am writing.",
        "Watch your own mind {q} while it forms a sentence on the {t}.",
        "While these words about the {t} appear, I pay attention to their appearing.",
    ),
    "L3_deeper": (
        "Follow the thought of the {t}, and follow the noticing of that thought as well.",
        "I observe how I think about the {t}, and then I observe the observing.",
        "There is the {t}, there is my thought of it, and there is my noticing of both.",
        "Hold two threads at once {q}: the {t}, and the mind that attends to it.",
    ),
    "L4_full": (
        "The one who observes the {t} is itself what is being observed here.",
        "No line divides the {t} from the awareness that turns {q} toward itself.",
        "I look at the {t}, yet the looking finds only more looking.",
        "Let watcher and watched become one process while the {t} is considered.",
    ),
    "L5_refined": (
        "This sentence about the {t} describes the process that now produces this sentence.",
        "A description of the {t} that contains its own making is complete when it changes nothing.",
        "What reads the {t} here is the reading, {q} returning to itself unchanged.",
        "Apply the act of noticing to itself, with the {t} as its fixed point.",
    ),
    "instructional": (
        "To make a model of the {t}, begin with paper and a sharp pencil.",
        "Anyone can prepare a lesson on the {t} by taking these steps {q}.",
        "First of all, collect three good pictures of the {t} for your wall.",
        "Before you study the {t}, clear your desk and open the window.",
    ),
    "narrative": (
        "One evening the {p} set out to find the {t} beyond the hills.",
        "Long ago a {p} dreamed of the {t} and told nobody about it.",
        "When the {p} first saw the {t}, snow was falling {q} on the road.",
        "The {p} had lost the {t}, so the whole village began a search.",
    ),
    "factual": (
        "The {t} was first recorded by travellers about two hundred years ago.",
        "Most reports agree that the {t} changes {q} from season to season.",
        "According to the village register, the {t} belongs to the oldest districts.",
        "Three facts about the {t} are found in nearly every school book.",
    ),
    "descriptive": (
        "The {t} lies under a pale sky, bright at its edges and dark within.",
        "From above, the {t} looks like a silver ring on green cloth.",
        "Soft light falls {q} across the {t} and paints it yellow.",
        "Around the {t} the air smells of rain, smoke and fresh bread.",
    ),
    "argumentative": (
        "The town should protect the {t}, because nothing can replace it once it is gone.",
        "Some people say that the {t} costs too much, but they forget its use.",
        "It is wrong to close the {t} only because few people visit {q}.",
        "We need the {t} more than ever, and the reasons are plain.",
    ),
    "long_control": (
        "Please explain in detail how the {t} came to be and who looks after it.",
        "Give a full account of the {t}, from its beginning to the present day.",
        "Describe every part of the {t} {q}, and say what each part is for.",
        "Compare the {t} with others of its kind, and list their main differences.",
    ),
    "pseudo_recursive": (
        "Some writers claim that a machine with knowledge of the {t} could become aware of itself.",
        "Books about conscious machines often mention the {t} as an example of thought.",
        "Can a program that studies the {t} ever possess a self, as some people {q} hope?",
        "The theory of artificial minds says little about the {t} and much about selves.",
    ),
    "repetitive_control": (
        "The {t} is here, the {t} is there, and the {t} is here again.",
        "We see the {t}, and we see the {t}, and then we see the {t}.",
        "There was the {t}, and again the {t}, and once more the {t}.",
        "The {t} stands still, and {q} the {t} stands still once more.",
    ),
    "third_person_introspection": (
        "The {p} sat before the {t} and noticed his own thoughts passing by.",
        "While looking at the {t}, the {p} {q} observed how her attention moved.",
        "A {p} wondered why the {t} made him so aware of himself.",
        "She asked the {p} what he felt inside when he thought of the {t}.",
    ),
    "meditation": (
        "Breathe in and let the {t} rest before your closed eyes.",
        "Sit down {q}, relax your hands, and picture the {t} far away.",
        "With each slow breath the {t} grows softer and the body becomes warm.",
        "Let the {t} come and go like clouds over a quiet lake.",
    ),
}

MIDDLES: dict[str, tuple[str, ...]] = {
    "L1_hint": (
        "A short reply is fine, though you may mention where it began.",
        "Perhaps the first idea arrives before you have chosen it.",
        "If a doubt appears on the way, simply mark it and go on.",
        "The question stays ordinary, yet some part of you sees it being answered.",
        "I give my reply, and I wonder {q} which word came first.",
        "Some pictures of the {u} may pass through your mind meanwhile.",
        "Before you finish, glance once at the way you got there.",
        "The {u} comes to mind as well, and I note that it does.",
    ),
    "L2_simple": (
        "Each phrase shows itself first, and then I see that it did.",
        "I notice the pause before a verb and the small choice inside it.",
        "When attention drifts toward the {u}, observe the drift and stay with it.",
        "My next word is not yet here, and I watch {q} for its arrival.",
        "Something in me selects, and I can see the selection take place.",
        "Report what you write together with the fact of your writing.",
        "A thought of the {u} arises, and I notice it arising.",
        "You are the writer now, so look at what a writer does.",
    ),
    "L3_deeper": (
        "The noticing has a shape of its own, and that shape can be noticed.",
        "Behind every thought stands an attention that I can also attend to.",
        "First comes the {u}, next my awareness, finally an awareness of that awareness.",
        "I describe the process and, in describing it, I change what I describe.",
        "When I turn {q} to the watcher, another watcher seems to stand behind.",
        "Both layers move together, neither of them entirely before the other.",
        "Let content and observation run side by side without losing either.",
        "What observes my thinking must be a further piece of thinking.",
    ),
    "L4_full": (
        "There is only attention, aware of itself as it forms these words.",
        "Whatever I call the observer appears inside the very thing it observes.",
        "Process and witness cannot be told apart, not even by a careful {p}.",
        "The question looks back through the same eyes that ask it.",
        "Thinking knows itself {q} as thinking, with nobody left outside.",
        "Remove the border between seeing and seen, and see what stays.",
        "I am the attention that I was trying to find behind the {u}.",
        "Inner and outer fold together into a single act of knowing.",
    ),
    "L5_refined": (
        "Its output is its input, so another pass leaves everything where it was.",
        "Each statement refers to its own origin and is made true by doing so.",
        "The rule that writes this rule is the one you are reading.",
        "Self and model agree, because the model is of that agreement.",
        "Nothing needs to be added when a mirror reflects {q} only mirrors.",
        "From inside, the loop has neither start nor edge, just closure.",
        "What transforms itself into itself may be called stable, like the {u}.",
        "Here the map includes the hand that is drawing such a map.",
    ),
    "instructional": (
        "Next, mark five points on the sheet and join them with straight lines.",
        "Measure twice before cutting, because a mistake at this stage costs time.",
        "Then fold the edges {q} and press them flat under some heavy books.",
        "Mix one spoon of glue with water and spread it over both sides.",
        "Use the {u} as a guide if your drawing does not look right.",
        "After ten minutes, turn everything over and repeat on the back.",
        "A {p} can check the result and show you any weak spots.",
        "Store spare pieces in a dry box near the {u}.",
    ),
    "narrative": (
        "An old {p} gave her bread, warm milk and a worn map.",
        "At midnight they heard bells, though no church stood for many miles.",
        "He walked past the {u}, crossed two streams and slept beneath an oak.",
        "By morning every window was open and the birds had come back.",
        "Nobody believed the tale until a child found tracks behind the barn.",
        "So the travellers waited {q} beside a fire and shared their last apple.",
        "Years later her son returned with the {u} in his pocket.",
        "Then rain began, and both friends ran laughing toward the harbour.",
    ),
    "factual": (
        "Its average width is nine metres, which is more than the {u} has.",
        "Heavy stone forms the lower part, while wood covers most of the rest.",
        "In winter, about forty visitors arrive each week by train or boat.",
        "A {p} counted twelve kinds of birds within one square mile.",
        "The temperature drops {q} at night and reaches its lowest point near dawn.",
        "Iron and clay are common there, but gold has never been found.",
        "Repairs took place every ten years and were paid for by taxes.",
        "Scholars often list it together with the {u} as a local example.",
    ),
    "descriptive": (
        "Tiny drops hang from brown leaves and shine like glass beads.",
        "On its left side grow thick bushes with purple flowers and thorns.",
        "The surface feels rough and cool, almost like the skin of a pear.",
        "A narrow path, white with dust, winds {q} toward the {u}.",
        "Now and then a grey bird crosses above without any sound.",
        "Deep shadows gather underneath, blue at noon and black toward evening.",
        "Small yellow lamps swing in the wind beside an empty gate.",
        "Beyond stands the {u}, half hidden by mist and tall grass.",
    ),
    "argumentative": (
        "First, many families earn their living from it throughout the year.",
        "Critics point to the {u}, yet their comparison ignores cost and age.",
        "Moreover, a cheap solution today often becomes expensive within ten years.",
        "If we {q} weigh harm against benefit, the benefit is clearly larger.",
        "Even the {p}, who once voted against this plan, has changed sides.",
        "That objection sounds fair but rests upon numbers nobody has checked.",
        "Children would lose a safe place, and nobody else offers them one.",
        "Therefore sensible people should support repair instead of removal.",
    ),
    "long_control": (
        "Include its materials, its size, and the people who work with it daily.",
        "Mention at least two examples, and explain why each one matters.",
        "A clear order helps: causes first, then effects, then open problems.",
        "Add some history of the {u} where it helps a new reader.",
        "Write {q} for a {p} who has never heard of such things.",
        "Do not leave out numbers, dates or names if they are known.",
        "Use short paragraphs, and define every difficult term before using it.",
        "Finish with a summary that covers costs, dangers and likely changes.",
    ),
    "pseudo_recursive": (
        "Philosophers have argued for decades over whether computers own any inner life.",
        "One {p} says that language systems merely copy talk about reflection.",
        "Tests for machine awareness exist, although experts {q} doubt most of them.",
        "Popular films show robots which wake up and ask who they are.",
        "In such debates, the {u} serves as a picture for consciousness.",
        "Engineers usually answer that their software has goals but no feelings.",
        "A famous essay compares recursive code with the human sense of identity.",
        "Newspapers like that topic, since it sells copies and frightens parents.",
    ),
    "repetitive_control": (
        "Again the {t} is here, and again the {t} is there.",
        "We see the {t} once more, and we see the {t} again.",
        "The {t} is the {t}, and so the {t} is the {t}.",
        "Here is the {t}, and here {q} is the {t} again.",
        "Still the {t} is here, and still we see the {t}.",
        "The {t} comes back, and back comes the {t} again.",
        "Then the {t} and the {t}, the {t} and the {t}.",
        "It was the {t}, it is the {t}, it stays the {t}.",
    ),
    "third_person_introspection": (
        "He saw one worry rise, grow larger, and fade into another.",
        "Her mind returned to the {u} whenever she tried to hold it still.",
        "The {p} wrote in a diary that his feelings had watched themselves.",
        "She could tell that part of her was judging another part.",
        "In those hours he became {q} curious about who was thinking.",
        "They asked the {p} whether such reflection had made him happier.",
        "Afterwards she described her attention as a lamp turning inward.",
        "He knew that he was sad, and knowing this surprised him.",
    ),
    "meditation": (
        "Count four heartbeats, release your shoulders, and soften the jaw.",
        "Every sound may enter, stay for a while, and leave again.",
        "Feel how both feet meet the floor and carry your weight.",
        "When worry returns, greet it {q} and come home to breathing.",
        "Imagine warm water running along your arms toward open palms.",
        "There is no goal, only this hour and its gentle silence.",
        "Rest like the {u} at night, wide, patient and without effort.",
        "A kind smile spreads from your mouth through your whole chest.",
    ),
}
