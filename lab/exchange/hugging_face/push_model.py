"""Upload of an exported folder to the Hugging Face Hub."""

from pathlib import Path

from lab.core.errors import UserError
from lab.core.visible_text import shortened, visible
from lab.exchange.hugging_face.hub_models import can_download, download_errors, reason_of


def check_push(repository: str) -> None:
    """Check, before anything is written, that huggingface_hub is here and takes the name. Raises UserError."""
    if not can_download():
        raise UserError("--push needs huggingface_hub: pip install 'llmlab[hub]'.")
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repository)
    except ValueError as error:
        raise UserError(f"--push: {shortened(visible(str(error)), 200)}") from error


def push_model(folder: Path, repository: str) -> str:
    """Upload the folder as one commit, into a new private repository where there is none of the name. Returns its address.

    Raises:
        UserError: if the Hub cannot be reached or refuses; the folder stays.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        address = api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(repo_id=address.repo_id, folder_path=folder, commit_message="Export from llmlab")
    except download_errors() as error:
        raise UserError(
            f"{visible(str(folder))} is written, but was not uploaded to {repository}: {reason_of(error)}. "
            "`hf auth login` takes a token that may write, and `hf upload` uploads a folder."
        ) from error
    return str(address)
