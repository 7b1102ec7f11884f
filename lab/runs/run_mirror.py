"""Mirror of another machine's runs over ssh: the small files of their folders, and no weights.

Over there it takes `sh`, `ls`, `tail`, `head` and `date`, and writes nothing. What comes from there is input, not truth: names,
kinds and sizes are checked here before anything is written, and the mirror is then read as any folder of runs.
"""

import os
import re
import secrets
import select
import shlex
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from os.path import dirname
from pathlib import Path
from typing import IO

import msgspec

from lab.core.atomic_io import os_error_in_words
from lab.core.errors import UserError
from lab.core.number_format import bytes_, whole
from lab.core.safe_open import JSON_ERRORS, LARGEST_CONFIG, LARGEST_STATUS, make_private_folder
from lab.core.visible_text import quoted, visible
from lab.runs.home_folder import BUNDLED, CONTACT, check_name
from lab.runs.run_folder import ACTIVE
from lab.runs.run_schema import Status

OPTIONS = ("BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=5", "ServerAliveCountMax=2", "ClearAllForwardings=yes")
SSH = ("ssh", "-T", "-C", *(f"-o{option}" for option in OPTIONS), "--")
ANSWER_SECONDS, SECONDS_BETWEEN, LONGEST_PAUSE = 15.0, 1.0, 15.0
"""Longest silence while an answer is awaited; pause after an update; the longest between two attempts to connect."""
WHOLE_ANSWER_SECONDS, SLOWEST = 60.0, 4096
"""Time for a whole answer, and the bytes per second from which on it may take longer."""

LARGEST: dict[str, int] = {
    **{"config.json": LARGEST_CONFIG, "status.json": LARGEST_STATUS, "tokenizer.json": 16 << 20, "tokens.bin": 8 << 20},
    **dict.fromkeys(("metrics.jsonl", "samples.jsonl", "events.jsonl", "insights.jsonl"), 256 << 20),
}
"""The files that are mirrored, and the bytes that each may have."""
GROWING, TOKENS = ".jsonl", "tokens.bin"
"""End of the names of files that grow, while others are replaced; the file that is mirrored of the run in view alone."""
MOST_RUNS, MOST_BYTES, LISTING_BYTES = 1000, 1 << 30, 4 << 20
"""Bounds of all runs together, and of their list."""
BATCH_FILES, BATCH_BYTES, PART_BYTES = 100, 32 << 20, 256 << 10
"""Files that are asked for at once, and their bytes; the part of a growing one, which leaves its rest to the next update, so that
the states of all runs stay new."""

SET_UP = "unset CDPATH TIME_STYLE QUOTING_STYLE BLOCK_SIZE LS_BLOCK_SIZE; LC_ALL=C; export LC_ALL; exec 2>/dev/null"
USUAL = '"$LLMLAB_HOME" "${XDG_DATA_HOME:-$HOME/.local/share}/llmlab/runs" "$HOME/Library/Application Support/llmlab/runs"'
LIST = f"date +%s; set -- */config.json; echo $#; [ $# -gt {MOST_RUNS} ] || ls -ldin -- " + " ".join(f"*/{it}" for it in LARGEST)
LISTED = re.compile(r" *(\d+) +(\S)\S* +\d+ +\d+ +\d+ +(?:\d+, *)?(\d{1,18}) +\w+ +\d+ +[\d:]+ (.*)")
"""A line of `ls -ldin`: inode, kind, size, path."""

Listed = dict[str, tuple[str, int]]
"""Inode and size of files, by their paths in the folder of the runs."""


class RemoteShell:
    """`sh` on another machine, over ssh with the user's own settings. Raises UserError where the connection is lost."""

    def __init__(self, machine: str) -> None:
        self._machine, self._mark, self._said = machine, secrets.token_hex(16), b""
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(ANSWER_SECONDS)
        command, end = [*SSH, machine, "exec sh"], theirs.fileno()
        try:  # in a session of its own, since Ctrl-C is the lab's
            self._ssh = subprocess.Popen(command, stdin=end, stdout=end, stderr=subprocess.PIPE, start_new_session=True)
        except OSError as error:
            raise os_error_in_words(error, "run ssh") from error
        theirs.close()
        assert self._ssh.stderr is not None
        self._errors = self._ssh.stderr
        self._sources: list[socket.socket | IO[bytes]] = [self._socket, self._errors]

    def ask(self, commands: Sequence[str], most: int = LISTING_BYTES) -> list[bytes]:
        """Run commands, and return the output of each, together at most `most` bytes."""
        end, answer, began = f"\n{self._mark}\n".encode(), bytearray(), time.monotonic()
        self._said = b""
        script = "".join(f"{command}\nprintf '\\n%s\\n' {self._mark}\n" for command in commands)
        try:
            self._socket.sendall(script.encode())
            while not answer.endswith(end) or answer.count(end) < len(commands):
                ready, _, _ = select.select(self._sources, [], [], ANSWER_SECONDS)
                if not ready:
                    raise TimeoutError
                for source in ready:
                    chunk = os.read(source.fileno(), 1 << 16)
                    if source is self._errors:
                        self._said += chunk
                        self._sources = self._sources if chunk else [self._socket]
                    elif chunk:
                        answer += chunk
                    else:
                        raise ConnectionError
                if len(answer) > most + LISTING_BYTES or len(self._said) > LISTING_BYTES:
                    raise UserError(f"{self._machine} sends more than it is asked for.")
                if (seconds := time.monotonic() - began) > WHOLE_ANSWER_SECONDS + len(answer) / SLOWEST:
                    raise UserError(f"{self._machine} answers too slowly: {bytes_(len(answer))} in {seconds:.0f} seconds.")
        except TimeoutError:
            raise UserError(f"{self._machine} has not answered for {ANSWER_SECONDS:.0f} seconds.") from None
        except ConnectionError:
            with suppress(subprocess.TimeoutExpired):
                self._ssh.wait(1)
            os.set_blocking(self._errors.fileno(), False)
            self._said += self._errors.read(1 << 16) or b""
            last = self._said.decode(errors="replace").strip().rpartition("\n")[2]
            said = visible(last).strip().rstrip(".") or "the connection was closed"
            raise UserError(f"{self._machine} cannot be reached: {said}.") from None
        return bytes(answer).split(end)[: len(commands)]

    def close(self) -> None:
        """End ssh, and with it the shell."""
        with suppress(ProcessLookupError):
            os.killpg(self._ssh.pid, signal.SIGKILL)
        self._ssh.wait()


class RunMirror:
    """Keeps a folder as the runs of a machine are."""

    def __init__(self, machine: str, home: str, folder: Path, in_view: str = "") -> None:
        """`home` is the folder of the runs over there; "" for where the lab keeps them unless told otherwise. The files of the
        run `in_view` come first."""
        self.machine, self._home, self._folder, self.in_view = machine, home, folder, in_view
        self.problem = ""
        """Why the runs are not up to date, in a sentence; empty while they are."""
        self.left_out: dict[str, str] = {}
        """What is not mirrored, each with the reason, as the end of a sentence."""
        self.listed: Listed = {}
        self._have: Listed = {}
        """The files that are here, as they were listed; those that grow with the size that they have here."""
        self._active: set[str] = set()
        """Statuses of runs that have a trainer, which are always new."""
        self._shell: RemoteShell | None = None
        self._ended, self._ahead = threading.Event(), 0.0

    def follow(self) -> None:
        """Keep the mirror up to date until `end`, and connect again where the connection is lost."""
        pause = SECONDS_BETWEEN
        while not self._ended.wait(pause):
            try:
                pause = 0.0 if self.update() else SECONDS_BETWEEN
                self.problem = ""
            except UserError as error:
                self._disconnect()
                self.problem, pause = str(error), min(2 * pause or SECONDS_BETWEEN, LONGEST_PAUSE)
        self._disconnect()

    def end(self) -> None:
        """Have `follow` return soon."""
        self._ended.set()
        self._disconnect()

    def _disconnect(self) -> None:
        shell, self._shell = self._shell, None
        if shell is not None:
            shell.close()

    def _connect(self) -> RemoteShell:
        """Connect, and go to the folder of the runs."""
        shell = self._shell = RemoteShell(self.machine)
        shell.ask([SET_UP])  # and discard what the login says
        below, slash, rest = self._home.partition("/")
        homes = f'"$HOME"{shlex.quote(slash + rest)}' if below == "~" else shlex.quote(self._home) if self._home else USUAL
        if not shell.ask([f'for d in {homes}; do [ -d "$d" ] && cd -- "$d" && pwd && break; done'])[0]:
            where = f"folder {quoted(self._home)}" if self._home else "runs where the lab usually keeps them"
            raise UserError(f"{self.machine} has no {where}; name their folder: llmlab watch {self.machine}:FOLDER.")
        return shell

    def update(self) -> bool:
        """Read what is new: all of small files, of growing ones the next part. True if there is more. Raises UserError."""
        now, shell = time.time(), self._shell or self._connect()
        listed = self.listed = self._list(shell)
        try:
            for path in self._have.keys() - listed.keys():
                (self._folder / path).unlink(missing_ok=True)
                del self._have[path]
                with suppress(OSError):  # other files are in it
                    (self._folder / path).parent.rmdir()
            new = [path for path, facts in listed.items() if self._have.get(path) != facts or path in self._active]
            new = [path for path in new if dirname(path) == self.in_view or not path.endswith(TOKENS)]
            # A run is shown once its config.json is there.
            new.sort(key=lambda it: (it.endswith(GROWING), it.endswith("/config.json"), dirname(it) != self.in_view))
            new = new[: BATCH_FILES + sum(not path.endswith(GROWING) for path in new)]
            more = [self._fetch(shell, batch) for batch in self._batches(new)]
            self._folder.mkdir(mode=0o700, exist_ok=True)
            (self._folder / CONTACT).touch()
            os.utime(self._folder / CONTACT, (now, now))
        except OSError as error:
            raise os_error_in_words(error, f"write {self._folder}") from error
        return any(more)

    def _list(self, shell: RemoteShell) -> Listed:
        """The files over there that are fit to be mirrored."""
        lines = shell.ask([LIST])[0].decode(errors="surrogateescape").split("\n")
        if len(lines) < 2 or not all(re.fullmatch(r"\d{1,12}", line) for line in lines[:2]) or int(lines[1]) > MOST_RUNS:
            raise UserError(f"The runs of {self.machine} cannot be listed, or are more than {whole(MOST_RUNS)}.")
        self._ahead, total = time.time() - int(lines[0]), 0
        found: Listed = {}
        left_out: dict[str, str] = {}
        for line in filter(None, lines[2:]):
            match = LISTED.fullmatch(line)
            path = match[4] if match else line
            name, _, file = path.partition("/")
            if match is None or match[2] != "-" or file not in LARGEST:
                left_out[path.partition(" -> ")[0]] = "is not a regular file of a run"
            elif (size := int(match[3])) > LARGEST[file] or total + size > MOST_BYTES:
                left_out[path] = f"has {bytes_(size)}; at most {bytes_(LARGEST[file])} are copied, {bytes_(MOST_BYTES)} of all"
            elif name not in BUNDLED:  # which are here, too
                try:
                    found[f"{check_name(name)}/{file}"], total = (match[1], size), total + size
                except UserError as error:
                    left_out[name] = f"is not a run: {error}".removesuffix(".")
        self.left_out = {visible(path): reason for path, reason in left_out.items()}
        if len({dirname(path) for path in found}) > MOST_RUNS:
            raise UserError(f"{self.machine} lists more runs than it says it has.")
        return {path: facts for path, facts in found.items() if f"{dirname(path)}/config.json" in found}

    def awaits_text(self, run: str) -> bool:
        """True while the tokens of a run, which is in view from now on, are still to come."""
        self.in_view, path = run, f"{run}/{TOKENS}"
        return path in self.listed and path not in self._have and not self.problem

    def _batches(self, paths: Sequence[str]) -> Iterator[list[str]]:
        """The paths in their order, in parts whose answers fit into memory."""
        batch, taken = list[str](), 0
        for path in paths:
            if batch and (len(batch) == BATCH_FILES or taken + self._most(path) > BATCH_BYTES):
                yield batch
                batch, taken = [], 0
            batch, taken = [*batch, path], taken + self._most(path)
        if batch:
            yield batch

    def _most(self, path: str) -> int:
        """Bytes of a file that are asked for at once: what was listed; a status may have grown since."""
        if path.endswith("/status.json"):
            return LARGEST_STATUS
        return min(self.listed[path][1], PART_BYTES if path.endswith(GROWING) else MOST_BYTES)

    def _fetch(self, shell: RemoteShell, paths: Sequence[str]) -> bool:
        """Ask for these files, of growing ones for the next part, and write that. True if there is more of one."""
        starts, lengths, commands, more = list[int](), list[int](), list[str](), False
        for path in paths:
            (inode, size), grows = self._have.get(path, ("", 0)), path.endswith(GROWING)
            starts.append(size if grows and inode == self.listed[path][0] and size <= self.listed[path][1] else 0)
            lengths.append(self._most(path))
            commands.append(f"tail -c +{starts[-1] + 1} -- {shlex.quote(path)} | head -c {lengths[-1]}")
        for path, start, most, contents in zip(paths, starts, lengths, shell.ask(commands, sum(lengths)), strict=True):
            here, (inode, size) = self._folder / path, self.listed[path]
            if len(contents) > most:
                raise UserError(f"{self.machine} sends more than it is asked for.")
            if size and not contents:
                self.left_out[path] = "cannot be read"
                continue
            make_private_folder(here.parent)
            if start:
                with here.open("ab") as file:
                    file.write(contents)
            else:
                (self._folder / ".new").write_bytes(self._as_of_here(path, contents))
                os.replace(self._folder / ".new", here)
            more = more or (path.endswith(GROWING) and start + len(contents) < size)
            self._have[path] = inode, start + len(contents) if path.endswith(GROWING) else size
        return more

    def _as_of_here(self, path: str, contents: bytes) -> bytes:
        """A status as one of another machine, with its heartbeat by this one's clock; all else, and what is damaged, as it is."""
        self._active.discard(path)
        if path.endswith("/status.json"):
            with suppress(*JSON_ERRORS):
                status = msgspec.json.decode(contents, type=Status)
                self._active |= {path} if status.phase in ACTIVE else set()
                status.heartbeat += self._ahead if status.heartbeat else 0.0
                status.host = f"{status.host[:400]} over ssh"  # whatever this machine is called
                return msgspec.json.encode(status)
        return contents
