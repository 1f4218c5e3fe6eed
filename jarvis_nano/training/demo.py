"""The whole way in minutes: corpus, tokenizer, pretraining, tuning, examination, chat. `make demo` runs it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jarvis_nano import runs
from jarvis_nano.chat import Chat
from jarvis_nano.corpus import assistant, checker
from jarvis_nano.corpus.builtin import Builtin
from jarvis_nano.corpus.sources import read_documents
from jarvis_nano.errors import UserError
from jarvis_nano.evaluation.answers import Answered, answer, percent_by_kind
from jarvis_nano.evaluation.stories import StoryScore, score, write_stories
from jarvis_nano.observe.metrics import read_metrics
from jarvis_nano.observe.report import write_report
from jarvis_nano.training.checkpoint import write_text
from jarvis_nano.training.finetune import Finetune, finetune
from jarvis_nano.training.prepare import builtin_folder
from jarvis_nano.training.pretrain import pretrain, starting_point

TUNING_RATE = 3e-3  # a short tuning: at the default, a third of it, copying is not learnt in time
LOOK_EVERY = 110  # steps: enough looks inside to see what is learnt first
QUESTIONS = (
    "Bonjour !",
    "Quelle est la capitale de l'Italie ?",
    "Combien font 5 + 3 ?",
    "Mets au pluriel : Le petit chat dort.",
    "Léa mange une pomme dans le jardin. Où est Léa ?",
    "Ouvre Spotify.",
    "Merci, au revoir !",
)


@dataclass(frozen=True)
class Demo:
    """From nothing to a chat in French: corpus, tokenizer, pretraining, tuning, examination, chat.

    Example: python scripts/demo.py --run demo
    """

    run: str = "demo"
    """Name of the tuned run; the pretrained one is <run>-base. Stages that are finished already are not run again."""
    steps: int = 660
    """Steps of pretraining."""
    tune_steps: int = 160
    """Steps of tuning."""
    stories: int = 200
    """Stories written for the grammar's examination."""
    tensorboard: bool = True
    """Serve TensorBoard on localhost while training."""
    threads: int = 0
    """Threads; 0: all cores."""


@dataclass
class _Stages:
    """Prints a heading for each stage and keeps its seconds."""

    console: Console
    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def stage(self, name: str, what: str) -> Iterator[None]:
        self.console.rule(f"[bold]{len(self.seconds) + 1}. {what}", align="left")
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 1)


def demo(settings: Demo) -> None:
    """Run the stages; leaves the runs <run>-base and <run>, and <run>/demo.json with what they reached."""
    console = Console(highlight=False)
    stages = _Stages(console)
    base = f"{settings.run}-base"
    start = starting_point("nano", base, resume=True)
    with stages.stage("corpus", "Un corpus et son tokenizer"):
        corpus = builtin_folder(Builtin(), start.model.vocab_size)
        console.print(f"{corpus}: {Builtin().megabytes:g} MB of stories, {Builtin().instructions} instructions")
    _require_same_corpus(base, settings.run, corpus)
    with stages.stage("pretraining", "Le préentraînement"):
        shared: dict[str, Any] = {"tensorboard": settings.tensorboard, "threads": settings.threads}
        train = dataclasses.replace(start.train, steps=settings.steps, eval_every=LOOK_EVERY)
        pretrain(dataclasses.replace(start, run=base, resume=True, train=train, **shared), "nano")
    with stages.stage("tuning", "L'affinage sur des instructions"):
        instructions = str(corpus / "instructions-train.jsonl")
        tuning = Finetune(base, instructions, settings.run, steps=settings.tune_steps, learning_rate=TUNING_RATE)
        finetune(dataclasses.replace(tuning, resume=True, **shared))
    with stages.stage("examination", "L'examen"):
        story_score = _examine_stories(base, corpus, settings)
        answered = _examine_answers(settings.run, corpus)
        _show(console, story_score, answered)
    with stages.stage("chat", "Une conversation"):
        transcript = _chat(console, settings.run)
    run = runs.resolve(settings.run)
    result = {"seconds": stages.seconds, **_figures(base, story_score, answered), "transcript": transcript}
    write_text(run / "demo.json", json.dumps(result, ensure_ascii=False, indent=1) + "\n")
    report = write_report([runs.resolve(base)])
    console.print(f"\n{sum(stages.seconds.values()):.0f} s in all; figures in {run / 'demo.json'}. "
                  f"What happened inside: {report}, token by token: {report.with_name('microscope.html')}. "
                  f"Your turn: [bold]python scripts/chat.py {settings.run}[/]")  # fmt: skip


def _require_same_corpus(base: str, tuned: str, corpus: Path) -> None:
    """UserError where finished runs were made from an older corpus: going on with them would mix the two."""
    run = runs.location(base)
    if (run / "config.json").is_file() and Path(runs.read_config(run).data).parent != corpus.resolve():
        raise UserError(
            f"{run} was trained on another version of the built-in corpus; remove {run} and {runs.location(tuned)}, "
            f"or choose another name: python scripts/demo.py --run NAME"
        )


def _examine_stories(run: str, corpus: Path, settings: Demo) -> StoryScore:
    model, tokenizer = runs.load(run)
    training: set[str] = set()
    for document in read_documents([corpus / "corpus"]):
        training.update(checker.sentences(document.text))
    return score(write_stories(model, tokenizer, settings.stories, temperature=0.8, seed=0), training)


def _examine_answers(run: str, corpus: Path) -> list[Answered]:
    model, tokenizer = runs.load(run)
    lines = (corpus / "instructions-held_out.jsonl").read_text(encoding="utf-8").splitlines()
    return answer(model, tokenizer, [assistant.Example(**json.loads(line)) for line in lines])


def _show(console: Console, stories: StoryScore, answered: list[Answered]) -> None:
    console.print(
        f"{stories.stories} stories, {stories.sentences} sentences: {stories.grammar_percent:.1f} % correct, "
        f"{stories.distinct_percent:.1f} % distinct, {stories.new_percent:.1f} % not in the training text"
    )
    table = Table("kind", "right", "an instruction never seen", "the answer", box=None)
    for kind, percent in percent_by_kind(answered).items():
        shown = next(one for one in answered if one.example.kind == kind)
        mark = "✓" if shown.right else "✗"
        table.add_row(kind, f"{percent:.0f} %", Text(shown.example.instruction), Text(f"{mark} {shown.answer}"))
    console.print(table)
    console.print(f"held-out instructions: {_percent_right(answered):.1f} % of {len(answered)} right")


def _chat(console: Console, run: str) -> list[dict[str, str]]:
    chat = Chat(*runs.load(run), temperature=0.3, top_p=0.95, seed=0)
    transcript = []
    for question in QUESTIONS:
        console.print(f"[bold]Vous    [/] {question}")
        reply = "".join(chat.reply(question)).strip()
        console.print("[bold]Jarvis  [/]", end=" ")
        console.print(reply, markup=False)
        transcript.append({"user": question, "assistant": reply})
        chat.restart()
    return transcript


def _percent_right(answered: list[Answered]) -> float:
    return 100 * sum(one.right for one in answered) / len(answered)


def _figures(base: str, stories: StoryScore, answered: list[Answered]) -> dict[str, object]:
    rows = read_metrics(runs.resolve(base))
    return {
        "grammar_percent": round(stories.grammar_percent, 2),
        "distinct_percent": round(stories.distinct_percent, 2),
        "new_percent": round(stories.new_percent, 2),
        "faults": stories.faults,
        "held_out_answers_percent": round(_percent_right(answered), 2),
        "held_out_answers_by_kind": percent_by_kind(answered),
        "bits_per_byte": [row["eval/bits_per_byte"] for row in rows if "eval/bits_per_byte" in row][-1],
        "tokens_per_second": statistics.median(row["train/tokens_per_second"] for row in rows if "train/loss" in row),
    }
