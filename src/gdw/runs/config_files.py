"""Files of options: those that a user wrote, and the `config.yaml` of runs of earlier versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gdw.files.yaml_files import read_options


def read_config_file(path: str | Path) -> dict[str, dict[str, Any]]:
    """Read a YAML file of options that a user wrote, or the `config.yaml` of a run.

    Returns:
        The sections `data`, `model` and `training`, not yet checked.

    Raises:
        ConfigError: there is no such file, or it does not hold sections of options in YAML.
    """
    content = read_options(Path(path), "the sections data, model and training")
    if "format" in content:
        content = modernised(content, content["format"])
    return {k: v for k, v in content.items() if k not in ("format", "gdw_version")}


def modernised(sections: dict[str, Any], number: int) -> dict[str, Any]:
    """The sections of the `config.yaml` of a run, in today's spelling.

    Early runs have no backbone. In gdw 0.1.0, resnet50 and resnet152 were the networks for small images.

    Args:
        sections: the sections as they were read.
        number: the format of the file.
    """
    model = sections.get("model")
    if not isinstance(model, dict):
        return sections
    model = {"backbone": "none", **model}
    if number == 1 and model.get("name") in ("resnet50", "resnet-50", "resnet152", "resnet-152"):
        model["name"] = f"cifar-{model['name']}"
    return {**sections, "model": model}
