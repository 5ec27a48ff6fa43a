"""The model card, `models/<name>/README.md`: generated, so that every number in it is one that was measured."""

from __future__ import annotations

from importlib.resources import files

import jinja2

from mar_training.config import SITES, ModelConfig


def model_card(name: str, config: ModelConfig, metrics: dict, story: dict) -> str:
    """Markdown. `metrics`: what `metrics.json` holds. `story`: summary, can, cannot and commands, which are text;
    sources [{name, licence, weight}]; chats, lists of messages."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["thousands"] = "{:,}".format
    template = environment.from_string(files("mar_training.export").joinpath("card.md.j2").read_text(encoding="utf-8"))
    return template.render(name=name, config=config, metrics=metrics, story=story, sites=SITES)
