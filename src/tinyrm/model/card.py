"""The model card: what a checkpoint is, from the true facts of the run that made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checkpoint import Manifest


def model_card(manifest: Manifest, metrics: Mapping[str, Any]) -> str:
    """Markdown with the Hub's front matter; facts that `metrics` does not hold are left out."""
    lines = [
        "---",
        "library_name: tinyrm",
        "pipeline_tag: text-classification",
        "tags: [reward-model, preference, masked-lm]",
        *([f"base_model: {metrics['base']}"] if "base" in metrics else []),
        "---",
        f"# {manifest.name}",
        "",
        f"A TinyRM reward model ({' and '.join(manifest.templates)} cloze), written by tinyrm {manifest.tinyrm}.",
        "",
        "```python",
        "import tinyrm",
        "",
        f'model = tinyrm.load("path/to/{manifest.name}")',
        'print(model.compare("What is 2 + 2?", "4", "5"))',
        "```",
        "",
        "## Questions it answers",
    ]
    for kind, template in manifest.templates.items():
        lines += [f"- **{kind}**: `{template.text}` -> {' or '.join(template.words)}"]
        lines += [f"  - {domain}: {text}" for domain, text in template.instructions.items()]
    if "validation" in metrics:
        lines += ["", "## Validation (held-out prompts of the training sources)", "", *_table(metrics["validation"])]
    if "data" in metrics:
        lines += ["", "## Data", "", *_sources(metrics["data"])]
    if "average_of" in metrics:
        lines += [
            "",
            f"The weights are the mean of those of {len(metrics['average_of'])} runs, which differ in their seed.",
        ]
    if "training" in metrics:
        lines += ["", "## Training", "", *(f"- {key}: {_plain(value)}" for key, value in metrics["training"].items())]
    return "\n".join([*lines, ""])


def _table(validation: Mapping[str, Any]) -> list[str]:
    rows = ["| part | accuracy | pairs |", "| --- | --- | --- |"]
    rows.append(f"| all | {100 * validation['accuracy']:.1f} | {validation['pairs']:,} |")
    for name, part in validation.get("domains", {}).items():
        rows.append(f"| {name} | {100 * part['accuracy']:.1f} | {part['pairs']:,} |")
    return rows


def _sources(data: Mapping[str, Any]) -> list[str]:
    rows = ["| source | trained on | held out | longer wins |", "| --- | --- | --- | --- |"]
    for name, facts in data.get("sources", {}).items():
        longer = facts.get("longer_wins")
        rows.append(
            f"| {name} | {facts['train']:,} | {facts['held_out']:,} | {'' if longer is None else f'{longer:.2f}'} |"
        )
    return rows


def _plain(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
