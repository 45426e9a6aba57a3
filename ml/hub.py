"""`python -m ml push FOLDER REPO`: uploads the folder of a dataset (with `--model`: of a model) to a Hub. The token is in HF_TOKEN, another Hub's address in HF_ENDPOINT."""

import sys
from pathlib import Path

import httpx2
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError


def main(argv: list[str]) -> int:
    """Print the address of the upload. 65 with one line on stderr when it fails: `refused`, `invalid` or `unreachable`, and why."""
    folder, repo = Path(argv[0]), argv[1]
    is_private = "--private" in argv[2:]
    kind = "model" if "--model" in argv[2:] else "dataset"
    hub = HfApi()
    try:
        made = hub.create_repo(repo, repo_type=kind, private=is_private, exist_ok=True)
        commit = hub.upload_folder(
            repo_id=made.repo_id, repo_type=kind, folder_path=folder, commit_message=f"Upload a {kind}"
        )
    except (HfHubHTTPError, LocalTokenNotFoundError) as error:
        status = getattr(getattr(error, "response", None), "status_code", 0)
        return _fail("refused" if status in (0, 401, 403, 404) else "unreachable", error)
    except (HFValidationError, ValueError) as error:
        return _fail("invalid", error)
    except (httpx2.HTTPError, OSError) as error:
        return _fail("unreachable", error)
    print(commit.commit_url)
    return 0


def _fail(why: str, error: Exception) -> int:
    print(f"{why} {' '.join(str(error).split())[:300]}", file=sys.stderr)
    return 65
