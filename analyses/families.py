"""The embedded models that analyses compare by default. No torch here: settings import it."""

FAMILIES = (
    "pocket-mistral",
    "pocket-llama",
    "pocket-qwen2",
    "pocket-gemma2",
    "pocket-falcon",
    "pocket-phi3",
    "pocket-zephyr",
)
"""One embedded instruct model of each family."""
