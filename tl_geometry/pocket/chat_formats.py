"""How each family writes a conversation: its special tokens and its chat template."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class ChatFormat:
    """A family's conversation syntax."""

    bos: str | None
    """Beginning-of-sequence token; None where the family has none."""
    eos: str
    """What ends a document."""
    turn_end: str
    """What ends an answer; in some families the same token."""
    instruct_eos: str
    """What the instruct model's tokenizer calls its end-of-sequence token."""
    extra: tuple[str, ...] = ()
    """Further special tokens: turn markers."""
    template: str = field(repr=False)
    """Jinja, as `apply_chat_template` reads it; it writes the beginning-of-sequence token too."""


def _template(*, system: str, user: str, answer: str, ready: str, begin: str = "") -> str:
    """A template that writes each message by its role; `ready` opens the answer to come.

    The parts are Jinja: `c` is the message's text.
    """
    return (
        f"{begin}"
        "{%- for message in messages -%}{%- set c = message['content'] -%}"
        f"{{%- if message['role'] == 'system' -%}}{system}"
        f"{{%- elif message['role'] == 'user' -%}}{user}"
        f"{{%- elif message['role'] == 'assistant' -%}}{answer}"
        "{%- else -%}"
        "{{- raise_exception('roles are system, user and assistant, not ' + message['role']) -}}"
        "{%- endif -%}{%- endfor -%}"
        f"{{%- if add_generation_prompt -%}}{ready}{{%- endif -%}}"
    )


def _out(expression: str) -> str:
    return f"{{{{- {expression} -}}}}"


def _turns(opening: str, closing: str, names: tuple[str, str, str]) -> dict[str, str]:
    """Parts of a template whose turns differ only in the speaker's name."""
    system, user, answer = (_out(f"'{opening.format(name)}' + c + '{closing}'") for name in names)
    return {
        "system": system,
        "user": user,
        "answer": answer,
        "ready": _out(f"'{opening.format(names[2])}'"),
    }


_BOS = _out("bos_token")
_MISTRAL = _template(
    # The first user turn carries the system prompt, because the family has no system role.
    begin=f"{{%- set ns = namespace(system='') -%}}{_BOS}",
    system="{%- set ns.system = c + '\\n\\n' -%}",
    user=_out("'[INST] ' + ns.system + c + '[/INST]'") + "{%- set ns.system = '' -%}",
    answer=_out("' ' + c + '</s>'"),
    ready="",
)
_LLAMA = _template(
    begin=_BOS,
    **_turns(
        "<|start_header_id|>{}<|end_header_id|>\\n\\n",
        "<|eot_id|>",
        ("system", "user", "assistant"),
    ),
)
_QWEN2 = _template(
    begin="{%- if messages[0]['role'] != 'system' -%}"
    + _out("'<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n'")
    + "{%- endif -%}",
    **_turns("<|im_start|>{}\\n", "<|im_end|>\\n", ("system", "user", "assistant")),
)
_GEMMA2 = _template(
    begin=_BOS,
    **{
        **_turns("<start_of_turn>{}\\n", "<end_of_turn>\\n", ("", "user", "model")),
        "system": "{{- raise_exception('System role not supported') -}}",
    },
)
_FALCON = _template(
    system=_out("'System: ' + c + '\\n\\n'"),
    user=_out("'User: ' + c + '\\n\\n'"),
    answer=_out("'Assistant: ' + c + '<|endoftext|>'"),
    ready=_out("'Assistant:'"),
)
_PHI3 = _template(**_turns("<|{}|>\\n", "<|end|>\\n", ("system", "user", "assistant")))
_ZEPHYR = _template(begin=_BOS, **_turns("<|{}|>\\n", "</s>\\n", ("system", "user", "assistant")))

FORMATS: dict[str, ChatFormat] = {
    "mistral": ChatFormat(
        bos="<s>",
        eos="</s>",
        turn_end="</s>",
        instruct_eos="</s>",
        extra=("[INST]", "[/INST]"),
        template=_MISTRAL,
    ),
    "llama": ChatFormat(
        bos="<|begin_of_text|>",
        eos="<|end_of_text|>",
        turn_end="<|eot_id|>",
        instruct_eos="<|eot_id|>",
        extra=("<|start_header_id|>", "<|end_header_id|>"),
        template=_LLAMA,
    ),
    "qwen2": ChatFormat(
        bos=None,
        eos="<|endoftext|>",
        turn_end="<|im_end|>",
        instruct_eos="<|im_end|>",
        extra=("<|im_start|>",),
        template=_QWEN2,
    ),
    "gemma2": ChatFormat(
        bos="<bos>",
        eos="<eos>",
        turn_end="<end_of_turn>",
        instruct_eos="<eos>",
        extra=("<start_of_turn>",),
        template=_GEMMA2,
    ),
    "falcon": ChatFormat(
        bos=None,
        eos="<|endoftext|>",
        turn_end="<|endoftext|>",
        instruct_eos="<|endoftext|>",
        template=_FALCON,
    ),
    "phi3": ChatFormat(
        bos=None,
        eos="<|endoftext|>",
        turn_end="<|end|>",
        instruct_eos="<|endoftext|>",
        extra=("<|system|>", "<|user|>", "<|assistant|>"),
        template=_PHI3,
    ),
    # Speaks with Mistral's tokenizer: its turn markers are ordinary text, as in the original.
    "zephyr": ChatFormat(
        bos="<s>", eos="</s>", turn_end="</s>", instruct_eos="</s>", template=_ZEPHYR
    ),
}
