"""Tiny random chat models whose tokenizers have a token for every number, or one for a digit."""

import tempfile
from functools import lru_cache
from typing import Any

import torch
from tiny import GROUPED, tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PreTrainedTokenizerFast

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] }}>{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant>{% endif %}"
)


@lru_cache
def whole_numbers() -> Any:
    """The bytes of the tiny tokenizer, and merges that make 10 … 99 and then 100 of digits."""
    special = ["<s>", "</s>", "<pad>"]
    merges = [(a, b) for a in "123456789" for b in "0123456789"] + [("10", "0")]
    tokens = special + sorted(pre_tokenizers.ByteLevel.alphabet()) + ["".join(m) for m in merges]
    core = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    return _with_template(fast)


def _with_template(fast: Any) -> Any:
    """Through a folder: the bridge reads its own copy from where the tokenizer came from."""
    fast.chat_template = TEMPLATE
    folder = tempfile.mkdtemp()
    fast.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


@lru_cache
def digits() -> Any:
    """The tiny tokenizer, which spells every number digit by digit, in the same chat format."""
    return _with_template(AutoTokenizer.from_pretrained(tokenizer().name_or_path))


@lru_cache
def numbered(*, whole: bool = True) -> Any:
    """A bridge over random weights and one of the two tokenizers, with room for long questions."""
    from tl_geometry.models import wrap

    chosen = whole_numbers() if whole else digits()
    room: Any = GROUPED | {"vocab_size": len(chosen), "max_position_embeddings": 4096}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain: Any = AutoModelForCausalLM.from_config(LlamaConfig(**room)).eval()
        with torch.no_grad():
            for parameter in plain.parameters():
                parameter += 0.1 * torch.randn(parameter.shape)
    plain.config.architectures = [type(plain).__name__]
    return wrap(plain, chosen, source="tiny/numbered", device="cpu")
