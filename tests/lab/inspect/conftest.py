"""The tiny run, the engine in this process and the second GPT-2 of the engine's tests."""

from tests.lab.engine.conftest import _one_thread, engine, make_run, oracle_of, shared_engine, shared_tiny, tiny

__all__ = ["_one_thread", "engine", "make_run", "oracle_of", "shared_engine", "shared_tiny", "tiny"]
