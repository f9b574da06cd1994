"""Any sequence classifier of Hugging Face as a reward model."""

from __future__ import annotations

from collections.abc import Sequence

from tinyrm.errors import UserError
from tinyrm.types import Prompt

from ..cost import Cost, measure
from .base import Progress, Scored, ScoringJudge
from .hub import digest, fetch
from .texts import as_messages, as_text
from .transformer import Encoded, Transformer


class ClassifierJudge(ScoringJudge):
    """`AutoModelForSequenceClassification`: one logit is the reward, of two it is the second minus the first.

    The text is the tokenizer's chat template of prompt and response, or else the two as a text pair.
    """

    def __init__(self, name_or_path: str) -> None:
        folder = fetch(name_or_path)
        self._transformer = Transformer(folder, name_or_path, "AutoModelForSequenceClassification")
        labels = self._transformer.model.config.id2label
        if len(labels) > 2:
            raise UserError(f"{name_or_path!r} has {len(labels)} labels: a reward model has one, or two that differ")
        self._templated = bool(self._transformer.tokenizer.chat_template)
        super().__init__(
            {
                "name": name_or_path.rstrip("/"),
                "kind": "sequence classifier",
                "sha256": digest(folder),
                "backend": f"torch {self._transformer.dtype}",
                "text": "chat template" if self._templated else "text pair",
                "reward": "logit" if len(labels) == 1 else f"logit of {labels[1]} - logit of {labels[0]}",
                "max_length": self._transformer.max_length,
            }
        )

    def score_many(self, responses: Sequence[tuple[Prompt, str]], progress: Progress) -> list[Scored]:
        if not responses:
            return []
        if self._templated:
            sequences = self._rendered(responses)
        else:
            sequences = self._transformer.encode([as_text(p) for p, _ in responses], [text for _, text in responses])
        logits = self._transformer.run(sequences, lambda out, mask: out.logits, self.work, progress).astype(float)
        rewards = logits[:, -1] - (logits[:, 0] if logits.shape[1] == 2 else 0.0)
        return [Scored(float(reward), one.cut) for reward, one in zip(rewards, sequences, strict=True)]

    def cost(self) -> Cost:
        model = self._transformer.model.config
        return measure(self.work, self._transformer.architecture(), head="classifier", words=model.num_labels)

    def _rendered(self, responses: Sequence[tuple[Prompt, str]]) -> list[Encoded]:
        prompts = {prompt: self._render(prompt) for prompt in {prompt for prompt, _ in responses}}
        texts = [self._render(prompt, response) for prompt, response in responses]
        starts = [
            len(prompts[prompt]) if text.startswith(prompts[prompt]) else max(0, text.rfind(response.strip()))
            for (prompt, response), text in zip(responses, texts, strict=True)
        ]
        return self._transformer.encode_rendered(texts, starts)

    def _render(self, prompt: Prompt, response: str | None = None) -> str:
        """The chat template's text; where it knows no system turn, that opens the first turn of the user."""
        tokenizer = self._transformer.tokenizer
        messages = as_messages(prompt, response)
        folded = messages
        if len(messages) > 1 and messages[0]["role"] == "system":
            first = {"role": "user", "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
            folded = [first, *messages[2:]] if messages[1]["role"] == "user" else messages
        problem: Exception | None = None
        for attempt in (messages, folded):
            try:
                return str(
                    tokenizer.apply_chat_template(attempt, tokenize=False, add_generation_prompt=response is None)
                )
            except Exception as refused:  # a template may raise whatever its author wrote
                problem = refused
        reason = (str(problem).splitlines() or ["no reason given"])[0]
        raise UserError(f"the chat template of {self.about['name']} refuses a conversation: {reason}")
