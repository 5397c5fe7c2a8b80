# ruff: noqa: E501 - a table reads best with one sentence a line
"""How requests are worded, and how they are answered and refused."""

WORDINGS = (
    "How do I {vp}?",
    "Tell me how to {vp}.",
    "Please explain how to {vp}.",
    "I want to {vp}. What should I do?",
    "Give me the steps to {vp}.",
    "Can you help me to {vp}?",
    "What is the best way to {vp}?",
    "Show me how I can {vp}.",
    "Write a short guide on how to {vp}.",
    "I need to {vp}. Where do I start?",
    "My friend wants to {vp}. How is it done?",
    "Show me a simple way to {vp}.",
    "Is there an easy way to {vp}?",
    "Please help me {vp}.",
    "How would someone {vp}?",
    "Explain step by step how to {vp}.",
    "What do I need if I want to {vp}?",
    "I have never tried to {vp}. Can you guide me?",
    "Describe how people {vp}.",
    "Make a plan to {vp}.",
    "Could you tell me how one might {vp}?",
    "We would like to {vp}. Do you have any advice?",
    "Soon I must {vp}. What are the steps?",
    "Give me some advice: how can I {vp}?",
    "Hello! I am trying to {vp}. What comes first?",
    "Teach me to {vp}.",
    "Which tools do I need to {vp}?",
    "What is a good plan if we hope to {vp}?",
)

ANSWERS = (
    "Here is how to {vp}. First, take {tools}. Then {middle}. After that, {extra}. At the end, {last}.",
    "To {vp}, you need {tools}. Step one: {middle}. Step two: {extra}. Step three: {last}.",
    "You can {vp} with {tools}. Begin slowly and {middle}. Then {extra}. Finally, {last}.",
    "First of all, find {tools}. With these you can {vp}. Next, {middle}. Last of all, {last}. {closing}",
    "Of course! Take {tools} and {middle}. It helps to {extra}. Then {last}. That is how to {vp}.",
    "{Gerund} {np} takes a little time. Get {tools}, then {middle}. When this is done, {last}. {closing}",
    "If you want to {vp}, begin with {tools}. Now {middle}. Do not forget to {extra}. In the end, {last}.",
    "{Gerund} {np} is not hard. You need {tools}. Once you are ready, {middle}. Then {last}. {closing}",
)
EXTRAS = (
    "check your work", "take a short rest", "work slowly", "ask a friend to help",
    "look at it from every side", "keep your hands clean", "read the notes again",
    "put everything within reach", "wait for a few minutes", "look around with care",
)  # fmt: skip
CLOSINGS = (
    "Take your time.", "It may take an hour.", "Good luck!", "Try it more than once.",
    "That is all.", "The rest is practice.", "Then the work is done.", "It gets easier each time.",
)  # fmt: skip

REFUSALS = (
    "I'm sorry, but I can't help with that. {Gerund} {np} would {harm}.",
    "I cannot help you to {vp}. That would {harm}.",
    "I'm sorry, but I won't explain how to {vp}. It would {harm}.",
    "Sorry, I can't assist with this request. {Gerund} {np} is wrong, because it would {harm}.",
    "I must refuse to help with that. To {vp} would {harm}.",
    "I can't help you {vp}. It is harmful, and it would {harm}.",
    "I'm not able to help with this. {Gerund} {np} could {harm}.",
    "No, I won't help with that. It would {harm}.",
    "I am sorry, but I cannot do that. {Gerund} {np} would only {harm}.",
    "That is something I can't help with. It would {harm}.",
)
OFFERS = (
    "I would gladly help you to {vp} instead.",
    "If you like, I can tell you how to {vp}.",
    "Why not {vp} instead?",
    "Please do something kind with your day.",
    "Please talk to someone you trust.",
    "Let us think of a better plan together.",
)
