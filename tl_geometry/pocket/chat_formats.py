"""How each family writes a conversation: its special tokens and its chat template."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ChatFormat:
    """A family's conversation syntax."""

    bos: str | None
    eos: str
    extra: tuple[str, ...]
    """Further special tokens: turn markers."""
    template: str
    """Jinja, as `apply_chat_template` reads it; it writes the beginning-of-sequence token too."""


# The first user turn carries the system prompt, because the family has no system role.
_MISTRAL = (
    "{%- set ns = namespace(system='') -%}"
    "{{- bos_token -}}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}"
    "{%- set ns.system = message['content'] + '\\n\\n' -%}"
    "{%- elif message['role'] == 'user' -%}"
    "{{- '[INST] ' + ns.system + message['content'] + '[/INST]' -}}"
    "{%- set ns.system = '' -%}"
    "{%- elif message['role'] == 'assistant' -%}"
    "{{- ' ' + message['content'] + eos_token -}}"
    "{%- else -%}"
    "{{- raise_exception('roles are system, user and assistant, not ' + message['role']) -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
)

FORMATS: dict[str, ChatFormat] = {
    "mistral": ChatFormat(bos="<s>", eos="</s>", extra=("[INST]", "[/INST]"), template=_MISTRAL),
}
