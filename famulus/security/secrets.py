"""Secrets: values that a worker knows and nothing else may. A blueprint names them, `secret://name`.

They come from variables `FAMULUS_SECRET_<NAME>`, or from files of a folder as Docker and Kubernetes mount them, read
anew for each call: what is exchanged there counts at once. A value is put in the place of its reference when a node is
called. Whatever comes back from the node, and every line of the log, is freed of it before it goes anywhere.

Only what the blueprint says is looked at, its params and inputs: a value of a run that looks like a reference is data,
or whoever starts a run could have any secret sent anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from famulus.blueprint.secret_names import SCHEME, secret_name
from famulus.errors import SecretError
from famulus.security.redaction import Redactor

VARIABLE_PREFIX: Final = "FAMULUS_SECRET_"
CHARACTERS_MIN: Final = 6
"""A shorter one would be found by chance in texts that have nothing to do with it."""
BYTES_MAX: Final = 64 * 1024


class Secrets:
    def __init__(self, environment: Mapping[str, str] | None = None, folder: Path | None = None) -> None:
        """What is there already is taken out of texts from now on, whether a blueprint asks for it or not."""
        self._environment = environment or {}
        self._folder = folder
        self.redactor = Redactor()
        for name, value in self._environment.items():
            if name.startswith(VARIABLE_PREFIX) and len(value) >= CHARACTERS_MIN:
                self.redactor.register(value)

    @classmethod
    def of_environment(cls, folder: Path | None) -> Secrets:
        return cls(os.environ, folder)

    @classmethod
    def given(cls, values: Mapping[str, str]) -> Secrets:
        """These, by their names: for tests of workflows."""
        return cls({variable_of(name): value for name, value in values.items()})

    def value(self, name: str) -> str:
        """Raises `SecretError`, which names the secret and never its value."""
        value = self._of_file(name)
        if value is None:
            value = self._environment.get(variable_of(name))
        if value is None:
            raise SecretError(name, f"is not known to this worker: set {variable_of(name)}{self._or_file(name)}")
        if len(value) < CHARACTERS_MIN:
            raise SecretError(name, f"has fewer than {CHARACTERS_MIN} characters: it could not be kept out of texts")
        self.redactor.register(value)
        return value

    def filled(self, value: Any) -> Any:
        """A copy of JSON data with the values of all secrets that it refers to; the very same where there is none."""
        match value:
            case str():
                return self._of_reference(value)
            case Mapping():
                filled = {key: self.filled(inner) for key, inner in value.items()}
                return filled if any(filled[key] is not inner for key, inner in value.items()) else value
            case list():
                items = [self.filled(inner) for inner in value]
                return items if any(a is not b for a, b in zip(items, value, strict=True)) else value
            case _:
                return value

    def filled_input(self, inputs: Any, given: Any) -> Any:
        """The input of a node, with secrets where its blueprint names one instead of a node or a context key."""
        if isinstance(inputs, str):
            return self._of_reference(inputs) if inputs.startswith(SCHEME) else given
        if not isinstance(inputs, Mapping) or not isinstance(given, dict):
            return given
        named = {key: name for key, name in inputs.items() if isinstance(name, str) and name.startswith(SCHEME)}
        found = {key: self._of_reference(name) for key, name in named.items() if given.get(key) is None}
        return {**given, **found} if found else given

    def _of_reference(self, text: str) -> str:
        if not text.startswith(SCHEME):
            return text
        name = secret_name(text)
        if name is None:
            raise SecretError(text.removeprefix(SCHEME)[:80], "cannot be the name of a secret")
        return self.value(name)

    def _of_file(self, name: str) -> str | None:
        if self._folder is None:
            return None
        path = self._folder / name  # a name has no slash and begins with a letter or digit
        try:
            with path.open("rb") as file:
                data = file.read(BYTES_MAX + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SecretError(name, f"cannot be read from {self._folder}: {error.strerror}") from None
        if len(data) > BYTES_MAX:
            raise SecretError(name, f"is larger than {BYTES_MAX} bytes")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise SecretError(name, "is no text in UTF-8") from None
        return text.removesuffix("\n").removesuffix("\r")

    def _or_file(self, name: str) -> str:
        return f" or put it into a file {name} in FAMULUS_SECRETS_DIR" + (
            f" ({self._folder})" if self._folder is not None else ""
        )


def variable_of(name: str) -> str:
    return VARIABLE_PREFIX + name.upper().replace("-", "_").replace(".", "_")
