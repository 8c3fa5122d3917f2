"""Validates the parameters of a generator, with a JSON pointer to each field at fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from core.errors import FieldError, InvalidInput, UnknownName
from core.pointers import pointer
from core.synthesis.contract import GeneratorParams, GeneratorSpec

POINTER = "/generator_params"


def generator_params(
    spec: GeneratorSpec, raw: Mapping[str, Any], classes: Mapping[str, int]
) -> GeneratorParams:
    """Return the validated parameters; InvalidInput for wrong fields and unknown classes.

    Pointers begin with ``/generator_params``.
    """
    try:
        params = spec.params.model_validate(dict(raw))
    except ValidationError as error:
        found = [
            FieldError(POINTER + _place(item["loc"], raw), item["msg"])
            for item in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise InvalidInput(
            f"The parameters of generator {spec.name!r} are not valid: {found[0].detail}",
            errors=found,
        ) from None
    for place, label in params.named_classes().items():
        if label not in classes:
            raise UnknownName("class", label, classes, POINTER + place)
    return params


def _place(location: Sequence[int | str], value: Any) -> str:
    """Follow pydantic's location through the value; names of union members are no part of it."""
    tokens: list[int | str] = []
    for depth, part in enumerate(location):
        if isinstance(value, Mapping):
            if part not in value and depth < len(location) - 1:
                continue
            value = value.get(part)
        elif isinstance(value, Sequence) and not isinstance(value, str) and isinstance(part, int):
            value = value[part] if part < len(value) else None
        else:
            continue
        tokens.append(part)
    return pointer(tokens)
