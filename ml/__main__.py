"""`python -m ml COMMAND ...`: one process for one piece of work, see docs/run-directory.md and docs/engine.md."""

import os
import sys

USAGE = """usage: python -m ml prepare OUT_DIR     unpacks the bundled base model
       python -m ml inspect FOLDER      says what model lies in a folder
       python -m ml pull RUN_DIR        brings a base model to this machine
       python -m ml preflight RUN_DIR   looks at what would be trained
       python -m ml sft RUN_DIR         fine-tunes
       python -m ml dpo RUN_DIR         learns from pairs of a better and a worse answer
       python -m ml merge RUN_DIR       makes a checkpoint a model
       python -m ml evaluate RUN_DIR    measures one model
       python -m ml push FOLDER REPO    uploads a dataset or a model to a Hub
       python -m ml gguf FOLDER FILE    writes a model as one GGUF file
       python -m ml track RUN_DIR       tells MLflow or W&B about a run
       python -m ml tables ACTION PATH  writes or reads Parquet
       python -m ml count FOLDER        counts tokens
       python -m ml serve --root DIR    answers requests (--help for more)"""


def main(argv: list[str]) -> int:
    """Run one command and return its exit code. The libraries are heavy, so each command imports its own."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # A thread that waits for another spins first. The default, milliseconds, costs a busy machine two thirds of its speed.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    # Without it, sums in float32 depend on where in memory a thread's numbers happen to lie (oneMKL's reproducibility).
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
    command, rest = (argv[0] if argv else ""), argv[1:]
    os.environ.setdefault("HF_HUB_OFFLINE", "0" if command == "pull" else "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if command == "prepare":
        from ml.prepare import main as run
    elif command == "inspect":
        from ml.inspection import main as run
    elif command == "pull":
        from ml.pull import main as run
    elif command == "preflight":
        from ml.preflight import main as run
    elif command == "sft":
        from ml.sft import main as run
    elif command == "dpo":
        from ml.dpo import main as run
    elif command == "merge":
        from ml.merge import main as run
    elif command == "evaluate":
        from ml.evaluate import main as run
    elif command == "push":
        from ml.hub import main as run
    elif command == "gguf":
        from ml.gguf_export import main as run
    elif command == "track":
        from ml.track import main as run
    elif command == "tables":
        from ml.tables import main as run
    elif command == "count":
        from ml.count import main as run
    elif command == "serve":
        from ml.serve import main as run
    else:
        print(USAGE, file=sys.stderr)
        return 64
    return run(rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
