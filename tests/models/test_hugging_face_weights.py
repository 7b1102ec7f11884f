import pytest
import torch

from models.gpt import GPT
from models.hugging_face_weights import from_hugging_face, to_hugging_face


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_weights_come_back_from_hugging_faces_layout(make_model) -> None:
    state = make_model().state_dict()
    assert equal(from_hugging_face(to_hugging_face(state)), state)


def test_hugging_faces_own_weights_come_back_from_ours(make_model, make_twin) -> None:
    model = make_model()
    state = make_twin(model).state_dict()
    ours = GPT(model.config, seed=None)
    ours.load_state_dict(from_hugging_face(state))
    assert equal(to_hugging_face(ours.state_dict()), state)


def test_masks_and_the_missing_prefix_of_the_released_file_are_understood(make_model) -> None:
    state = make_model().state_dict()
    released = {name.removeprefix("transformer."): weight for name, weight in to_hugging_face(state).items()}
    released["h.0.attn.bias"] = torch.ones(1, 1, 16, 16)
    released["h.0.attn.masked_bias"] = torch.tensor(-1e4)
    del released["lm_head.weight"]
    assert equal(from_hugging_face(released), state)


def test_a_head_of_its_own_is_refused(make_model) -> None:
    state = to_hugging_face(make_model().state_dict())
    state["lm_head.weight"] = state["lm_head.weight"] + 1
    with pytest.raises(ValueError, match="no GPT-2"):
        from_hugging_face(state)
