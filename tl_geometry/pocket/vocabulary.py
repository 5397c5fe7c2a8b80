"""The tokenizer of an embedded model: byte-level BPE over the world's own text."""

from itertools import chain, islice

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tl_geometry.pocket.base_text import control
from tl_geometry.pocket.chat_formats import FORMATS
from tl_geometry.pocket.corpus import base_texts, dialogues
from tl_geometry.pocket.recipes import Recipe
from tl_geometry.pocket.splits import stream


def _texts(recipe: Recipe) -> chain[str]:
    n = recipe.tokenizer_texts
    base = (text for _, text in islice(base_texts("train", seed=recipe.seed), n))
    spoken = islice(dialogues("train", seed=recipe.seed), n // 2)
    # Controls have words of their own; without more of them, only their prompts would be split up.
    rng = stream(recipe.seed, "tokenizer")
    controls = (control("train", rng) for _ in range(n // 6))
    # A leading space, as after a turn marker and inside documents: most words are met that way.
    return chain(
        base, controls, (" " + message["content"] for d in spoken for message in d.messages)
    )


def trained_tokenizer(recipe: Recipe) -> PreTrainedTokenizerFast:
    """A tokenizer with the family's special tokens and chat template, trained from scratch."""
    form = FORMATS[recipe.family]
    named = ("<unk>", form.bos, form.eos, form.turn_end, *form.extra)
    special = list(dict.fromkeys(token for token in named if token))
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_texts(recipe), trainer)
    if form.bos:
        bpe.post_processor = processors.TemplateProcessing(
            single=f"{form.bos} $A",
            pair=f"{form.bos} $A {form.bos} $B",
            special_tokens=[(form.bos, bpe.token_to_id(form.bos))],
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=form.bos,
        eos_token=form.eos,
        unk_token="<unk>",
        pad_token=form.eos,
        additional_special_tokens=[t for t in special if t not in ("<unk>", form.bos, form.eos)],
        model_max_length=recipe.context,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = form.template
    return tokenizer
