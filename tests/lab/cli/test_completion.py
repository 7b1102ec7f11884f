"""What a shell completes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.pseudo_terminal import PseudoTerminal
from tests.fixture_types import EmptyRun

LLMLAB = Path(sys.executable).with_name("llmlab")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_options_runs_presets_and_files(home: Path, tmp_path: Path, empty_run: EmptyRun) -> None:
    empty_run("my run")
    (tmp_path / "notes.txt").touch()
    shell = ["bash", "--norc", "--noprofile", "-i"]
    with PseudoTerminal(
        shell, {"LLMLAB_HOME": str(home), "PS1": "$ ", "BASH_SILENCE_DEPRECATION_WARNING": "1"}, tmp_path
    ) as bash:
        bash.press(f"PATH={LLMLAB.parent}:$PATH; eval \"$(_LLMLAB_COMPLETE=bash_source llmlab)\"; echo re''ady\n", "ready")
        for typed, completed in (
            ("llmlab tok\t", "llmlab tokenize "),
            ("llmlab generate --sam\t", "llmlab generate --samples "),
            ("llmlab generate my\t", "'my run'"),
            ("llmlab generate ind\t", "llmlab generate induction "),
            ("llmlab params --preset sma\t", "llmlab params --preset small "),
            ("llmlab train not\t", "llmlab train notes.txt "),
            ("llmlab train sto\t", "llmlab train stories "),
        ):
            bash.press(typed, completed)
            bash.press("\x15")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_have_their_script(shell: str) -> None:
    done = subprocess.run([LLMLAB], env=os.environ | {"_LLMLAB_COMPLETE": f"{shell}_source"}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_LLMLAB_COMPLETE={shell}_complete" in done.stdout


def test_completing_does_without_torch() -> None:
    program = "import sys, lab.cli\nsys.argv = ['llmlab']\ntry:\n lab.cli.main()\nfinally:\n assert 'torch' not in sys.modules"
    asked = {"_LLMLAB_COMPLETE": "bash_complete", "COMP_WORDS": "llmlab generate de", "COMP_CWORD": "2"}
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | asked, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("plain,demo\n", "")
