"""Arithmetic of the engine process: fp32 products, without TF32 even where the environment has turned it on."""

from pathlib import Path

import torch

from lab.engine import process
from lab.engine.server import Server
from tests.lab.training.module_forker import ModuleForker


def main(arguments: list[str]) -> int:
    """The engine, up to where it would serve: then it says what it computes with."""

    def flags(self: Server, *rest: object) -> None:
        allowed = torch.backends.cuda.matmul.allow_tf32
        print(torch.get_float32_matmul_precision(), allowed, torch.is_grad_enabled(), torch.get_default_dtype())

    torch.backends.cuda.matmul.allow_tf32 = True  # as TORCH_ALLOW_TF32_CUBLAS_OVERRIDE does
    Server.read, Server.serve_forever = lambda *rest: None, flags  # type: ignore[assignment, method-assign]
    process.main()
    return 0


def test_the_engine_multiplies_in_fp32_with_tf32_off(tmp_path: Path, forker: ModuleForker) -> None:
    log = tmp_path / "log"
    assert forker.code_of(forker.fork(__name__, [], log=log)) == 0
    assert log.read_text().split() == ["highest", "False", "False", "torch.float32"]
