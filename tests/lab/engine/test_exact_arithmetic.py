"""Arithmetic of the engine process: fp32 products, without TF32 even where the environment turns it on."""

import os
import subprocess
import sys

PROGRAM = """
import sys
import torch
from lab.engine import process
from lab.engine.server import Server

def flags(self, *arguments):
    allowed = torch.backends.cuda.matmul.allow_tf32
    print(torch.get_float32_matmul_precision(), allowed, torch.is_grad_enabled(), torch.get_default_dtype(), file=sys.stderr)
    raise SystemExit

print(torch.backends.cuda.matmul.allow_tf32, file=sys.stderr)
Server.serve_forever = flags
process.main()
"""


def test_the_engine_multiplies_in_fp32_with_tf32_off() -> None:
    environment = os.environ | {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}
    started = subprocess.Popen(
        [sys.executable, "-P", "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    assert started.stderr is not None
    before, after = (started.stderr.readline().decode().split() for _ in range(2))
    started.communicate()
    assert before == ["True"], "the environment turns it on"
    assert after == ["highest", "False", "False", "torch.float32"]
