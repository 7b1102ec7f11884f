"""The lab on the runs of another machine: it follows their mirror, says when the connection is lost, and changes nothing."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

from textual import work

from lab.runs.home_folder import read_only_sentence
from screens.app import SECONDS_BETWEEN_READINGS, LabApp
from screens.messages import RunChosen

if TYPE_CHECKING:
    from lab.runs.run_mirror import RunMirror

OF_OWN_RUNS = {
    *("act('clone')", "fine_tune", "import_model", "act('rename')", "act('delete')", "app.mode('data')"),
    *("start", "base", "command('pause')", "resume", "stop", "new"),
}
"""Actions of Home and Train that change runs or lead to a new one."""
OF_WEIGHTS = {"inspect", "one_step", "choose('inspect')", "mode('inspect')"}


class WatchApp(LabApp):
    """Shows what the mirror has; the user's notes, exports and preferences are in their own home as ever."""

    def __init__(self, mirror: RunMirror) -> None:
        super().__init__(run=mirror.in_view)
        self.mirror, self._told = mirror, set[str]()

    def on_mount(self) -> None:
        if self.run_is_chosen:
            self.post_message(RunChosen(self.run_name, "train"))
        for number in (signal.SIGHUP, signal.SIGTERM):  # else the mirror would stay
            asyncio.get_running_loop().add_signal_handler(number, self._leave)
        self._follow()
        self.set_interval(SECONDS_BETWEEN_READINGS, self._tell)

    @work(thread=True, group="mirror", exit_on_error=True)
    def _follow(self) -> None:
        self.mirror.follow()

    async def on_unmount(self) -> None:
        self.mirror.end()

    def _tell(self) -> None:
        """Say that the connection is lost or there again, and what is left out."""
        machine, problem, was_lost, left_out = self.mirror.machine, self.mirror.problem, self.lost_machine, self.mirror.left_out
        if problem and not was_lost:
            self.notify(f"{problem} What is shown gets older; trying again.", severity="warning", markup=False)
        elif was_lost and not problem:
            self.notify(f"{machine} is there again.", markup=False)
        self.lost_machine = machine if problem else ""
        if new := [path for path in left_out if path not in self._told]:
            self._told.update(new)
            more = f" {len(new) - 1} more are left out." * (len(new) > 1)
            self.notify(f"{new[0]} {left_out[new[0]]}.{more}", severity="warning", markup=False)

    async def text_arrives(self, run: str) -> None:
        while self.mirror.awaits_text(run):
            await asyncio.sleep(SECONDS_BETWEEN_READINGS / 4)

    def refusal(self, action: str) -> str:
        run = getattr(self.screen, "selected", None) if action == "choose('inspect')" else self.run_summary(self.run_name)
        is_refused = run is not None and run.is_watched and action in OF_WEIGHTS
        is_refused = is_refused or (action in OF_OWN_RUNS and getattr(self.screen, "MODE", "") in ("home", "train"))
        return read_only_sentence() if is_refused else ""

    async def run_action(self, action: Any, *arguments: Any, **named: Any) -> bool:
        if refused := self.refusal(action) if isinstance(action, str) else "":
            self.notify(refused, markup=False)
            return True
        return await super().run_action(action, *arguments, **named)

    def _leave(self) -> None:
        self.exit(message="\n".join(f"{path} {reason}." for path, reason in self.mirror.left_out.items()) or None)
