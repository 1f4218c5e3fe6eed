"""A chat on a terminal, in French or English: the prompt, the commands, the streamed answer. What is said: chat.py.

With the standard input piped, each line is a turn and only the answers go to stdout; notices go to stderr.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from rich.console import Console

from jarvis_nano import runs
from jarvis_nano.chat import Chat
from jarvis_nano.errors import UserError

Language = Literal["fr", "en"]

COMMANDS = {
    "/aide": "help",
    "/help": "help",
    "/quitter": "quit",
    "/quit": "quit",
    "/recommencer": "restart",
    "/restart": "restart",
    "/temperature": "temperature",
    "/température": "temperature",
}
TEXTS: dict[Language, dict[str, str]] = {
    "fr": {
        "start": "Modèle : {run}, {millions:.1f} M de paramètres. /aide donne les commandes, Ctrl-D termine.",
        "untuned": "{run} n'est pas affiné : il continue un texte, il n'a pas appris à répondre.\n"
        "Pour le lui apprendre : python scripts/finetune.py {run} --data FICHIER.jsonl --run NOM",
        "you": "Vous",
        "help": "/recommencer oublie la conversation, /temperature 0.5 règle la fantaisie (0 : aucune), "
        "/quitter ou Ctrl-D termine, Ctrl-C interrompt une réponse.",
        "restarted": "La conversation est oubliée.",
        "temperature": "Température : {value:g}",
        "not_temperature": "{value} n'est pas une température : donnez 0 ou plus, par exemple /temperature 0.5",
        "unknown": "{value} n'est pas une commande ; /aide les donne.",
        "forgotten": "(le contexte est plein : le début de la conversation est oublié)",
        "length": "(réponse coupée : plus de place ; --max-tokens et /recommencer en donnent)",
        "interrupted": "(réponse interrompue)",
        "to_quit": "Ctrl-D ou /quitter pour terminer.",
        "bye": "À bientôt !",
    },
    "en": {
        "start": "Model: {run}, {millions:.1f} M parameters. /help lists the commands, Ctrl-D ends.",
        "untuned": "{run} is not tuned: it continues a text, it has not learnt to answer.\n"
        "To teach it: python scripts/finetune.py {run} --data FILE.jsonl --run NAME",
        "you": "You",
        "help": "/restart forgets the conversation, /temperature 0.5 sets the randomness (0: none), "
        "/quit or Ctrl-D ends, Ctrl-C stops an answer.",
        "restarted": "The conversation is forgotten.",
        "temperature": "Temperature: {value:g}",
        "not_temperature": "{value} is no temperature: give 0 or more, such as /temperature 0.5",
        "unknown": "{value} is no command; /help lists them.",
        "forgotten": "(the context is full: the beginning of the conversation is forgotten)",
        "length": "(answer cut: no room left; --max-tokens and /restart give some)",
        "interrupted": "(answer stopped)",
        "to_quit": "Ctrl-D or /quit to end.",
        "bye": "See you soon!",
    },
}
# A model that writes bytes can write escape sequences too: the terminal gets none of them.
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


class Terminal:
    """Reads turns and commands, and shows the answers as they come."""

    def __init__(self, chat: Chat, language: Language = "fr") -> None:
        self.chat, self.texts = chat, TEXTS[language]
        self.interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self.console = Console(highlight=False)
        self.notices = self.console if self.interactive else Console(stderr=True, highlight=False)

    def talk(self, run: Path) -> None:
        """Until the input ends or /quitter. UserError on a turn that cannot be, where nobody is there to mend it."""
        self._introduce(run)
        for line in self._lines():
            if line.startswith("/"):
                if not self._command(line):
                    break
                continue
            try:
                self._turn(line)
            except UserError as error:
                if not self.interactive:
                    raise
                self.console.print(f"{error}", style="red", markup=False)
        if self.interactive:
            self.notice("bye")

    def _introduce(self, run: Path) -> None:
        """Say which run is talking, and whether it has learnt to."""
        self.notice("start", run=run, millions=self.chat.model.n_parameters / 1e6)
        if not runs.read_config(run).tuned_from:
            self.notice("untuned", run=run)

    def notice(self, name: str, **values: object) -> None:
        """A message of the program, apart from what the model says."""
        self.notices.print(self.texts[name].format(**values), style="dim", markup=False, soft_wrap=True)

    def _lines(self) -> Iterator[str]:
        if not self.interactive:
            yield from filter(None, map(str.strip, sys.stdin))
            return
        import readline  # noqa: F401  (gives input() its line editing and history)

        while True:
            try:
                line = self.console.input(f"[bold green]{self.texts['you']} ›[/] ").strip()
            except EOFError:
                self.console.print()
                return
            except KeyboardInterrupt:
                self.console.print()
                self.notice("to_quit")
                continue
            if line:
                yield line

    def _command(self, line: str) -> bool:
        """Whether to go on."""
        word, _, value = line.partition(" ")
        match COMMANDS.get(word.lower()):
            case "quit":
                return False
            case "restart":
                self.chat.restart()
                self.notice("restarted")
            case "temperature":
                self._set_temperature(value.strip().replace(",", "."))
            case "help":
                self.notice("help")
            case _:
                self.notice("unknown", value=word)
        return True

    def _set_temperature(self, value: str) -> None:
        try:
            temperature = float(value) if value else self.chat.temperature
        except ValueError:
            temperature = -1.0
        if not 0.0 <= temperature < float("inf"):
            self.notice("not_temperature", value=value)
            return
        self.chat.temperature = temperature
        self.notice("temperature", value=temperature)

    def _turn(self, line: str) -> None:
        before = self.chat.forgotten
        answer = self.chat.reply(line)
        if self.interactive:
            self.console.print("Jarvis › ", style="bold cyan", end="")
        with _ctrl_c_noted(self.interactive) as asked_to_stop:
            for piece in answer:
                self.console.file.write(piece.translate(_CONTROLS))
                self.console.file.flush()
                if asked_to_stop:
                    answer.close()
        self.console.file.write("\n")
        self.console.file.flush()
        if self.chat.forgotten > before:
            self.notice("forgotten")
        if self.chat.finish != "stop":
            self.notice(self.chat.finish)


@contextmanager
def _ctrl_c_noted(interactive: bool) -> Iterator[list[int]]:
    """Ctrl-C fills the list instead of raising: an exception may surface anywhere, even where Python swallows it."""
    signals: list[int] = []
    if not interactive:
        yield signals
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: signals.append(number))
    try:
        yield signals
    finally:
        signal.signal(signal.SIGINT, before)
