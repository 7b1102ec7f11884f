"""Process of a check, `python -P -m lab.exercises.check_process`: it reads a request and writes what came of it.

The learner's code runs in a fork of it, which gets the arguments of each case. What is right is computed here afterwards: no code
finds it in its own process, and what it changes there changes no comparison.
"""

import copy
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec.structs import replace

from lab.core.visible_text import visible
from lab.exercises.check_result import NOT_REACHED, CaseResult, CheckRequest, CheckResult, problem_of
from lab.exercises.comparison import difference, is_finite, without_infinity
from lab.exercises.exercise import Function, reference_of, wrong_versions
from lab.exercises.learner_code import DECODER, ENCODER, LearnerCode, Told, called, executed, plain
from lab.exercises.own_process import Send, followed
from lab.exercises.your_model import ForwardPass, YourModel, assembled, your_forward_pass, your_model

if TYPE_CHECKING:
    from lab.exercises.cases import Case
    from lab.exercises.material import Material

ERRORS = (ValueError, IndexError, RuntimeError)
"""Errors in which known mistakes end on some arguments, torch's among them."""
NO_NUMBERS, SAME = 1, 2
"""Of a wrong version's result and a call's: one fails, the other fails or is not finite; they are the same."""
CHANCE = "With the same arguments it returns something else: a random number of its own, or something kept between calls. Take u."
IN_PLACE = "It changes its arguments in place; they have to stay as they are, for the model goes on with them."


def main() -> None:
    request = msgspec.json.decode(sys.stdin.buffer.readline(), type=CheckRequest)
    import torch

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    result = check(request) if request.name else use(request)
    sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")


def material_of(request: CheckRequest) -> "Material":
    from lab.exercises.material import Material
    from lab.runs.run_folder import Run

    return Material(Run(Path(request.run)), request.prompt, request.ids, request.checkpoint)


def copied(case: "Case") -> tuple[Any, ...]:
    """The arguments anew: code that changes them in place spoils nothing."""
    return copy.deepcopy(case.arguments)


def check(request: CheckRequest) -> CheckResult:
    """Have the learner's function called for each case, and say what is wrong with what it returns."""
    from lab.exercises.cases import CASES

    cases = CASES[request.name](material_of(request))

    def work(send: Send) -> None:
        code, functions = LearnerCode((request.file, *request.mine.values()), send), dict[str, Function]()

        def load() -> Told:
            functions.update(assembled(request.mine) | {request.name: executed(request.name, Path(request.file))})
            return Told()

        if code.tell(load):
            for case in cases:
                code.tell(partial(called, functions[request.name], copied(case), case.arguments))

    result, end, (loading, *calls) = followed_by(request, work)
    if loading.error:
        return replace(result, problem=loading.error, traceback=loading.traceback)
    right = [plain(reference_of(request.name)(*copied(case))) for case in cases]
    sentences = [*map(wrong_with, right, calls), end, *[NOT_REACHED] * len(cases)]
    results = [CaseResult(case.name, sentence) for case, sentence in zip(cases, sentences, strict=False)]
    problem, before = problem_of(results), problem_of(results[: len(calls)])
    if before and len(calls) < len(cases):
        problem = f"{before} Then, {cases[len(calls)].name}: {end}"
    result = replace(result, problem=problem, cases=results)
    at = next((at for at, sentence in enumerate(sentences[: len(calls)]) if sentence), None)
    if at is None:
        return result
    differ = difference(right[at], calls[at].value).apart if not calls[at].error else None
    return replace(
        result,
        mistake=known_mistake(request.name, cases, calls) if len(calls) == len(cases) and {*sentences} - {"", IN_PLACE} else "",
        traceback=calls[at].traceback,
        apart=differ,
        number=cases[at].number.format(*differ.index) if differ is not None else "",
    )


def use(request: CheckRequest) -> CheckResult:
    """Put the learner's functions into a model; of given tokens, compute only a forward pass by them."""
    material = material_of(request)

    def used() -> Told:
        if not request.ids:
            return Told(your_model(request.mine, material))
        names = set[str]()
        return Told(your_forward_pass(assembled(request.mine, names.add), names, material)[1])

    result, _, (told, *_) = followed_by(request, lambda send: LearnerCode(request.mine.values(), send).tell(used))
    if told.error:
        return replace(result, problem=told.error, traceback=told.traceback)
    if request.ids:
        return replace(result, forward_pass=msgspec.convert(told.value, ForwardPass))
    return replace(result, model=msgspec.convert(told.value, YourModel))


def followed_by(request: CheckRequest, work: Callable[[Send], object]) -> tuple[CheckResult, str, list[Told]]:
    """What comes of the work of the learner's code: a result with what was printed and warned of, how it ended, and what came of
    loading and of each call; of none, how it ended."""
    messages, printed, end = followed(work, request.seconds)
    told = list[Told]()
    with suppress(msgspec.MsgspecError, ValueError, EOFError):  # the code may have written there itself
        told += map(DECODER.decode, messages)
    warned = [visible(each.warning) for each in told if each.warning]
    result = CheckResult(request.name, printed=visible(printed, keep="\n\t"), warnings=warned)
    return result, end, [each for each in told if not each.warning] or [Told(error=end)]


def wrong_with(right: Any, told: Told) -> str:
    """What is wrong with what came of a call; "" where it is right."""
    if told.error:
        return told.error
    differs = difference(right, told.value).words
    return f"{IN_PLACE} {differs}".strip() if told.changes_arguments else differs


def known_mistake(name: str, cases: "Sequence[Case]", calls: Sequence[Told]) -> str:
    """The sentence on the wrong version that returns the same in all cases, NaN or infinity in the same places; else on one that
    does in a case that is wrong, and has no numbers where these calls fail; "" where none does."""
    (*_, first, again), near = calls, ""
    if cases[-1].arguments is cases[-2].arguments and ENCODER.encode(first) != ENCODER.encode(again):
        return CHANCE
    right = [plain(reference_of(name)(*copied(case))) for case in cases]
    for sentence, version in wrong_versions(name):
        found = [_likeness(version, case, told) for case, told in zip(cases, calls, strict=True)]
        if min(found) == SAME:
            return sentence
        if min(found) and any(each == SAME and wrong_with(*pair) for each, *pair in zip(found, right, calls, strict=True)):
            near = near or sentence
    return near


def _likeness(version: Function, case: "Case", told: Told) -> int:
    """How alike a wrong version's result and a call's are; 0 where they differ."""
    failed_by_numbers = told.error_type in {each.__name__ for each in ERRORS}
    try:
        with np.errstate(all="ignore"):
            theirs = plain(version(*copied(case)))
    except ERRORS as raised:
        return SAME if type(raised).__name__ == told.error_type else NO_NUMBERS * failed_by_numbers
    if told.error:
        return NO_NUMBERS * (failed_by_numbers and not is_finite(theirs))
    return SAME * (not difference(without_infinity(theirs), without_infinity(told.value)).words)


if __name__ == "__main__":
    main()
