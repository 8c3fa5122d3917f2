"""Checks a compose file: the vendored schema of the Compose Specification, and our own rules.

``python scripts/check_compose.py FILE``: prints what is wrong; exit code 0 when nothing is.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

SCHEMA = Path(__file__).resolve().parents[1] / "deploy" / "compose-spec.json"
SECRET_NAME = re.compile(r"(PASSWORD|SECRET|PEPPER|TOKEN|AUTH)$")
FLOATING = re.compile(r"(^[^:]+$|:latest(?![-\w]))")
ONE_SHOT = "no"

Document = dict[str, Any]


def main(arguments: list[str]) -> int:
    """Return the exit code."""
    found = [
        f"{name}: {problem}"
        for name in arguments
        for problem in problems(yaml.safe_load(Path(name).read_text()))
    ]
    for line in found:
        sys.stderr.write(f"{line}\n")
    return 1 if found else 0


def problems(document: Document) -> list[str]:
    """Return everything that is wrong with a compose document; rules need a valid one."""
    validator = Draft202012Validator(json.loads(SCHEMA.read_text()))
    invalid = [
        f"{'/'.join(map(str, error.absolute_path))}: {error.message}"
        for error in validator.iter_errors(_as_interpolated(document))
    ]
    return invalid or [
        problem for rule in (*_SERVICE_RULES, _references) for problem in rule(document)
    ]


def _as_interpolated(value: Any) -> Any:
    """Replace ``${NAME:-default}`` by its default, as a number where the default is one.

    The schema describes a file after interpolation: ``replicas`` is a number there.
    """
    if isinstance(value, dict):
        return {key: _as_interpolated(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_interpolated(item) for item in value]
    if isinstance(value, str) and (match := re.fullmatch(r"\$\{\w+:-(\d+)\}", value)):
        return int(match[1])
    return value


def _each(check: Callable[[Document], str | None]) -> Callable[[Document], Iterator[str]]:
    """Turn a check of one service into a rule for all of them."""

    def rule(document: Document) -> Iterator[str]:
        for name, service in document.get("services", {}).items():
            if problem := check(service):
                yield f"services/{name}: {problem}"

    return rule


def _image(service: Document) -> str | None:
    image = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(service.get("image", "")))
    return f"the image {image!r} is not pinned to a tag" if FLOATING.search(image) else None


def _user(service: Document) -> str | None:
    user = str(service.get("user", ""))
    return None if re.match(r"[1-9]\d*(:[1-9]\d*)?$", user) else "runs as root, or as an unset user"


def _confined(service: Document) -> str | None:
    missing = [
        what
        for what, there in {
            "read_only: true": service.get("read_only") is True,
            "init: true": service.get("init") is True,
            "cap_drop: [ALL]": service.get("cap_drop") == ["ALL"],
            "no-new-privileges": "no-new-privileges:true" in service.get("security_opt", []),
        }.items()
        if not there
    ]
    if service.get("privileged") or service.get("cap_add"):
        missing.append("no privileges")
    return f"lacks {', '.join(missing)}" if missing else None


def _lives(service: Document) -> str | None:
    """Say what keeps a service that stays from being restarted and watched."""
    if service.get("restart") == ONE_SHOT:
        return None
    if service.get("restart") != "unless-stopped":
        return "is not restarted (restart: unless-stopped)"
    if not service.get("healthcheck", {}).get("test"):
        return "has no health check"
    return None if service.get("stop_grace_period") else "has no stop_grace_period"


def _secrets(service: Document) -> str | None:
    environment = service.get("environment", {})
    if isinstance(environment, list):
        return "environment is a list; write a mapping, so that it can be checked"
    for name, value in environment.items():
        text = str(value)
        secret = SECRET_NAME.search(name) or re.search(r"://[^/@\s]*:[^/@\s]+@", text)
        if secret and value is not None and not re.search(r"\$\{\w+:\?", text):
            return f"{name} has a default; a secret must be given (${{NAME:?…}})"
    return None


def _references(document: Document) -> Iterator[str]:
    """Yield what is referred to and not declared."""
    services = document.get("services", {})
    for name, service in services.items():
        for needed in set(service.get("depends_on", {})) - set(services):
            yield f"services/{name}: depends on {needed}, which does not exist"
        volumes = {str(mount).split(":")[0] for mount in service.get("volumes", [])}
        named = {volume for volume in volumes if not volume.startswith((".", "/", "~"))}
        for missing in named - set(document.get("volumes", {})):
            yield f"services/{name}: the volume {missing} is not declared"
        for missing in set(service.get("secrets", [])) - set(document.get("secrets", {})):
            yield f"services/{name}: the secret {missing} is not declared"
        for missing in set(service.get("networks", [])) - set(document.get("networks", {})):
            yield f"services/{name}: the network {missing} is not declared"


_SERVICE_RULES = tuple(_each(check) for check in (_image, _user, _confined, _lives, _secrets))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
