"""The checker behind jaxtyping in tests: beartype, with Python's rule that an int is a float."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
