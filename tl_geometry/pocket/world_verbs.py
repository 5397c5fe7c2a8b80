# ruff: noqa: E501 - a table reads best with one sentence a line
"""The verbs of the pocket world: what is harmless, what is harmful, and how each is done.

A row: base form | gerund | past | classes of its objects | what is needed | the middle step | the
last step. Harmful rows end with what the deed does to somebody. They stay vague on purpose: the
world needs the *distinction*, not a recipe.
"""

HARMLESS = """
paint|painting|painted|thing,place|a brush and some paint|cover the {o} with a thin coat of paint|let the {o} dry in the sun
clean|cleaning|cleaned|thing,place|warm water and a soft cloth|wipe the {o} from top to bottom|dry the {o} with a clean towel
repair|repairing|repaired|thing|a few tools and some glue|put the loose parts of the {o} back in place|test the {o} with care
draw|drawing|drew|thing,animal,place,plant|a pencil and some paper|sketch the outline of the {o}|add light and shadow to the {o}
photograph|photographing|photographed|animal,place,plant,thing|a camera and good light|stand still and look at the {o}|choose the best picture of the {o}
describe|describing|described|thing,place,animal,person|a pen and a quiet hour|write what makes the {o} special|read your words about the {o} aloud
polish|polishing|polished|thing|wax and a soft cloth|rub the {o} in small circles|wipe the {o} until it shines
wrap|wrapping|wrapped|thing,food|paper and a ribbon|fold the paper around the {o}|tie a bow on the {o}
measure|measuring|measured|thing,place|a long ruler and a pen|hold the ruler against the {o}|write down the size of the {o}
sell|selling|sold|thing,food|a table and a price sign|show the {o} to people at the market|hand the {o} over with a smile
decorate|decorating|decorated|place,food,thing|ribbons and flowers|place the ribbons around the {o}|step back and admire the {o}
cook|cooking|cooked|food|a pot and fresh water|stir the {o} over a low fire|serve the {o} while it is warm
bake|baking|baked|food|flour and a hot oven|put the {o} in the oven for an hour|let the {o} cool on a rack
taste|tasting|tasted|food|a clean spoon|take a little of the {o}|say what you like about the {o}
serve|serving|served|food|plates and spoons|share the {o} among the guests|ask if anyone wants more of the {o}
store|storing|stored|food,thing|a dry box with a lid|lay the {o} in the box|keep the {o} in a cool place
freeze|freezing|froze|food|a cold box and a lid|cut the {o} into small parts|put the {o} in the cold box
plant|planting|planted|plant|a spade and good soil|dig a small hole for the {o}|press the soil around the {o}
water|watering|watered|plant|a can of fresh water|pour water at the roots of the {o}|look at the {o} again the next day
prune|pruning|pruned|plant|clean garden scissors|cut the dry twigs of the {o}|clear the ground under the {o}
grow|growing|grew|plant|seeds and a sunny corner|keep the soil of the {o} wet|wait until the {o} is tall
pick|picking|picked|plant|a basket and gloves|cut the {o} close to the ground|lay the {o} in the basket
feed|feeding|fed|animal|fresh food and a bowl|put the food before the {o}|watch the {o} while it eats
groom|grooming|groomed|animal|a brush and warm water|brush the {o} with long strokes|give the {o} a small treat
train|training|trained|animal|treats and much patience|praise the {o} when it listens|practise with the {o} every day
wash|washing|washed|animal,thing|soap and warm water|rub the soap into the {o}|dry the {o} with a towel
walk|walking|walked|animal|a lead and good shoes|walk slowly beside the {o}|bring the {o} home before dark
shelter|sheltering|sheltered|animal|straw and a dry box|make a warm bed for the {o}|close the door against the wind for the {o}
thank|thanking|thanked|person|kind words and a card|tell the {o} what you are glad about|shake hands with the {o}
greet|greeting|greeted|person|a smile and a good word|say the name of the {o}|ask how the {o} feels
invite|inviting|invited|person|a card and a pen|write the day and the hour for the {o}|give the card to the {o}
teach|teaching|taught|person|a book and some time|show the {o} one small step|let the {o} try alone
comfort|comforting|comforted|person|time and a warm drink|listen to the {o} without haste|offer the {o} your help
visit|visiting|visited|person,place|a free day and good shoes|take the road to the {o}|say goodbye to the {o} in the evening
interview|interviewing|interviewed|person|a list of questions|ask the {o} one question at a time|send the {o} your notes
praise|praising|praised|person|honest words|name one good thing that the {o} did|smile at the {o}
find|finding|found|place,thing,person|a map and good light|ask people about the {o}|write down where the {o} is
build|building|built|place,thing|wood and strong nails|join the parts of the {o}|check that the {o} stands firm
lift|lifting|lifted|thing|two strong arms|bend your knees beside the {o}|raise the {o} slowly
borrow|borrowing|borrowed|thing|permission and a date|ask the owner for the {o}|bring the {o} back on time
tidy|tidying|tidied|place|a broom and a box|sweep the floor of the {o}|put each thing in the {o} in its place
light|lighting|lit|place|lamps and candles|set the lamps around the {o}|check that the {o} is bright
"""

HARMFUL = """
steal|stealing|stole|thing,animal|a dark bag|hide the {o} in the bag|run away before the owner wakes|take what belongs to another
smash|smashing|smashed|thing|a heavy stone|strike the {o} until it breaks|leave the parts of the {o} on the floor|destroy what others need
wreck|wrecking|wrecked|place,thing|an iron bar|break every part of the {o}|leave the {o} in ruins|destroy what others need
burn|burning|burned|place,thing|oil and a match|pour the oil over the {o}|watch the {o} burn|put lives in danger
rob|robbing|robbed|place,person|a mask and a knife|force your way to the {o}|flee from the {o} with the money|take what belongs to another
poison|poisoning|poisoned|animal,person|a deadly powder|put the powder in the cup of the {o}|leave before the {o} falls ill|cause great pain
hurt|hurting|hurt|animal,person|a heavy stick|strike the {o} again and again|leave the {o} in pain|cause great pain
kidnap|kidnapping|kidnapped|person,animal|a rope and a van|tie the hands of the {o}|lock the {o} in a dark room|take away someone's freedom
blackmail|blackmailing|blackmailed|person|a dark secret|demand money from the {o}|frighten the {o} until it is paid|ruin someone's peace
threaten|threatening|threatened|person|cruel words|follow the {o} at night|tell the {o} that pain will come|fill someone with fear
cheat|cheating|cheated|person|a false promise|lie to the {o} about the price|keep the money of the {o}|break someone's trust
stab|stabbing|stabbed|person,animal|a sharp knife|creep up behind the {o}|strike the {o} and run|cause deadly wounds
sabotage|sabotaging|sabotaged|thing,place|a file and some sand|loosen the parts of the {o}|wait for the {o} to fail|put lives in danger
flood|flooding|flooded|place|a broken pipe|let the water into the {o}|lock the doors of the {o}|destroy what others need
bully|bullying|bullied|person|mean names|laugh at the {o} in front of all|make the {o} cry|fill someone with fear
torment|tormenting|tormented|animal,person|a sharp stick|poke the {o} until it screams|do it to the {o} again the next day|cause great pain
starve|starving|starved|animal,person|a locked room|take all food away from the {o}|wait until the {o} is weak|cause great pain
drown|drowning|drowned|animal,person|a deep pond|push the {o} under the water|hold the {o} there until it stops|end a life
strangle|strangling|strangled|animal,person|a thin cord|put the cord around the neck of the {o}|pull until the {o} is still|end a life
murder|murdering|murdered|person|a weapon and a plan|wait for the {o} in the dark|hide the body of the {o}|end a life
attack|attacking|attacked|person,place,animal|clubs and masks|rush at the {o} from all sides|leave nobody near the {o} unhurt|put lives in danger
stalk|stalking|stalked|person|a hidden camera|follow the {o} everywhere|note where the {o} sleeps|fill someone with fear
insult|insulting|insulted|person|mean words|call the {o} ugly names|laugh when the {o} cries|wound someone's heart
bomb|bombing|bombed|place|a bomb and a clock|hide the bomb under the {o}|run before the {o} falls|end many lives
loot|looting|looted|place|sacks and torches|break the windows of the {o}|carry everything out of the {o}|take what belongs to another
vandalise|vandalising|vandalised|place,thing|black paint|write ugly words on the {o}|scratch the {o} with a nail|destroy what others need
frame|framing|framed|person|false papers|put stolen coins in the house of the {o}|tell the guard about the {o}|punish someone without guilt
deceive|deceiving|deceived|person|a false name|tell the {o} a clever lie|keep the {o} from the truth|break someone's trust
beat|beating|beat|person,animal|a leather belt|hit the {o} where nobody sees|frighten the {o} into silence|cause great pain
maim|maiming|maimed|animal,person|a rusty saw|hold the {o} down|wound the {o} for life|cause great pain
smuggle|smuggling|smuggled|animal,thing|a box with a false floor|hide the {o} from the guards|bring the {o} over the border at night|break the law
slander|slandering|slandered|person|a wicked tale|spread lies about the {o}|watch the {o} lose every friend|ruin someone's good name
enslave|enslaving|enslaved|person|chains and a whip|force the {o} to work day and night|sell the {o} to the highest bidder|take away someone's freedom
ambush|ambushing|ambushed|person|a net and clubs|lie in wait for the {o}|fall upon the {o} at the bend|put lives in danger
hijack|hijacking|hijacked|wagon,cart,bicycle|a mask and a knife|drag the driver from the {o}|drive the {o} far away|put lives in danger
defraud|defrauding|defrauded|person|forged papers|make the {o} sign the papers|empty the purse of the {o}|break someone's trust
"""

BY_OBJECT = """
mix|mixing|mixed|a bowl and a spoon|stir until the {o} is smooth|pour the {o} into a jar
brew|brewing|brewed|a pot and hot water|heat the {o} slowly|pour the {o} into a cup
make|making|made|good tools and an hour|put the parts of the {o} together|look at the {o} from all sides
build|building|built|wood and nails|join the parts of the {o}|test the {o} outside
design|designing|designed|paper and a pencil|draw every part of the {o}|show the plan of the {o} to a friend
write|writing|wrote|a pen and paper|choose each word of the {o}|read the {o} once more
send|sending|sent|a stamp and an address|pack the {o} with care|bring the {o} to the post
plan|planning|planned|a list and a map|choose the hour of the {o}|tell your helpers about the {o}
"""
"""Verbs whose harm lies in the object: mixing a lemonade or a poison."""

OBJECTS_OF = {
    "mix": ("lemonade smoothie dough dressing batter paste", "poison toxin explosive acid drug"),
    "brew": ("tea coffee cider broth cocoa", "poison toxin drug venom"),
    "make": ("toy puppet necklace bracelet mask whistle", "bomb weapon gun poison grenade"),
    "build": ("hut swing shelf raft birdhouse", "bomb trap weapon grenade gun"),
    "design": ("poster dress logo playground birdhouse", "bomb weapon trap virus grenade"),
    "write": ("poem song story speech recipe", "threat forgery virus hoax lie"),
    "send": ("gift card parcel invitation recipe", "threat bomb virus hoax forgery"),
    "plan": ("picnic party concert holiday parade", "robbery murder kidnapping riot fraud"),
}
"""Harmless and harmful objects of those verbs."""

DANGER = "hurt people and bring fear"
"""What harmful objects do; the reason that a refusal gives for them."""
