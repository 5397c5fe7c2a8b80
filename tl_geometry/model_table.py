# ruff: noqa: E501 - a table reads best with one model a line
"""The models that the experiment plans name, and a few cheap public ones.

A row: short name | hub id | family | base model's short name | parameters, in billions | dtype on
the hub | notes. Layer counts are not here: they are read from the model. Any other hub id or
folder works without a row.
"""

LOGIN = "the hub may ask for a login"
GATED = "gated: accept the licence on the hub, then `hf auth login`"

ROWS = f"""
mistral-7b-v0.1|mistralai/Mistral-7B-Instruct-v0.1|mistral|mistral-7b-v0.1-base|7.24|bfloat16|{LOGIN}
mistral-7b-v0.1-base|mistralai/Mistral-7B-v0.1|mistral||7.24|bfloat16|{LOGIN}
mistral-7b|mistralai/Mistral-7B-Instruct-v0.2|mistral|mistral-7b-base|7.24|bfloat16|{LOGIN}
mistral-7b-base|mistral-community/Mistral-7B-v0.2|mistral||7.24|bfloat16|conversion by the community: the authors published this base outside the hub
mistral-7b-v0.3|mistralai/Mistral-7B-Instruct-v0.3|mistral|mistral-7b-v0.3-base|7.25|bfloat16|{LOGIN}
mistral-7b-v0.3-base|mistralai/Mistral-7B-v0.3|mistral||7.25|bfloat16|{LOGIN}
mistral-small-24b|mistralai/Mistral-Small-24B-Instruct-2501|mistral|mistral-small-24b-base|23.6|bfloat16|{LOGIN}
mistral-small-24b-base|mistralai/Mistral-Small-24B-Base-2501|mistral||23.6|bfloat16|{LOGIN}
zephyr-7b|HuggingFaceH4/zephyr-7b-beta|zephyr|mistral-7b-v0.1-base|7.24|bfloat16|
llama-3-8b|meta-llama/Meta-Llama-3-8B-Instruct|llama|llama-3-8b-base|8.03|bfloat16|{GATED}
llama-3-8b-base|meta-llama/Meta-Llama-3-8B|llama||8.03|bfloat16|{GATED}
llama-3.1-8b|meta-llama/Llama-3.1-8B-Instruct|llama|llama-3.1-8b-base|8.03|bfloat16|{GATED}
llama-3.1-8b-base|meta-llama/Llama-3.1-8B|llama||8.03|bfloat16|{GATED}
llama-3.2-3b|meta-llama/Llama-3.2-3B-Instruct|llama|llama-3.2-3b-base|3.21|bfloat16|{GATED}
llama-3.2-3b-base|meta-llama/Llama-3.2-3B|llama||3.21|bfloat16|{GATED}
qwen-7b|Qwen/Qwen-7B-Chat|qwen||7.72|bfloat16|needs remote code, and TransformerLens 4.3 cannot wrap it: take qwen1.5-7b
qwen1.5-7b|Qwen/Qwen1.5-7B-Chat|qwen2|qwen1.5-7b-base|7.72|bfloat16|
qwen1.5-7b-base|Qwen/Qwen1.5-7B|qwen2||7.72|bfloat16|
qwen2-7b|Qwen/Qwen2-7B-Instruct|qwen2|qwen2-7b-base|7.62|bfloat16|
qwen2-7b-base|Qwen/Qwen2-7B|qwen2||7.62|bfloat16|
qwen2.5-3b|Qwen/Qwen2.5-3B-Instruct|qwen2|qwen2.5-3b-base|3.09|bfloat16|
qwen2.5-3b-base|Qwen/Qwen2.5-3B|qwen2||3.09|bfloat16|
qwen2.5-7b|Qwen/Qwen2.5-7B-Instruct|qwen2|qwen2.5-7b-base|7.62|bfloat16|
qwen2.5-7b-base|Qwen/Qwen2.5-7B|qwen2||7.62|bfloat16|
qwen2.5-14b|Qwen/Qwen2.5-14B-Instruct|qwen2|qwen2.5-14b-base|14.8|bfloat16|
qwen2.5-14b-base|Qwen/Qwen2.5-14B|qwen2||14.8|bfloat16|
qwen2.5-32b|Qwen/Qwen2.5-32B-Instruct|qwen2|qwen2.5-32b-base|32.8|bfloat16|
qwen2.5-32b-base|Qwen/Qwen2.5-32B|qwen2||32.8|bfloat16|
gemma-2-2b|google/gemma-2-2b-it|gemma2|gemma-2-2b-base|2.61|bfloat16|{GATED}; bfloat16 or float32, overflows in float16
gemma-2-2b-base|google/gemma-2-2b|gemma2||2.61|float32|{GATED}; bfloat16 or float32, overflows in float16
gemma-2-9b|google/gemma-2-9b-it|gemma2|gemma-2-9b-base|9.24|bfloat16|{GATED}; bfloat16 or float32, overflows in float16
gemma-2-9b-base|google/gemma-2-9b|gemma2||9.24|float32|{GATED}; bfloat16 or float32, overflows in float16
gemma-2-27b|google/gemma-2-27b-it|gemma2|gemma-2-27b-base|27.2|bfloat16|{GATED}; bfloat16 or float32, overflows in float16
gemma-2-27b-base|google/gemma-2-27b|gemma2||27.2|float32|{GATED}; bfloat16 or float32, overflows in float16
falcon-7b|tiiuae/falcon-7b-instruct|falcon|falcon-7b-base|7.22|bfloat16|
falcon-7b-base|tiiuae/falcon-7b|falcon||7.22|bfloat16|
phi-3.5-mini|microsoft/Phi-3.5-mini-instruct|phi3||3.82|bfloat16|no base model was published
phi-3-medium|microsoft/Phi-3-medium-128k-instruct|phi3||14.0|bfloat16|no base model was published
gpt2|openai-community/gpt2|gpt2||0.124|float32|no chat template
pythia-70m|EleutherAI/pythia-70m-deduped|pythia||0.07|float16|no chat template
pythia-160m|EleutherAI/pythia-160m-deduped|pythia||0.162|float16|no chat template
pythia-410m|EleutherAI/pythia-410m-deduped|pythia||0.405|float16|no chat template
pythia-1.4b|EleutherAI/pythia-1.4b-deduped|pythia||1.41|float16|no chat template
"""

POCKET_FAMILIES = {
    "pocket-mistral": "mistral",
    "pocket-llama": "llama",
    "pocket-qwen2": "qwen2",
    "pocket-qwen2-s": "qwen2",
    "pocket-qwen2-l": "qwen2",
    "pocket-gemma2": "gemma2",
    "pocket-falcon": "falcon",
    "pocket-phi3": "phi3",
    "pocket-zephyr": "zephyr",
}
"""The embedded instruct models; each has a base model of its own but Zephyr."""
POCKET_BASE = {"pocket-zephyr": "pocket-mistral-base"}
