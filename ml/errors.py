"""What can go wrong in `ml`, sorted the way that a person at the screen needs it."""


class MlError(Exception):
    """Root of the tree; the message is a sentence for people, `kind` is for code.

    MlError
    ├── DataError      the input is at fault: rows, configuration, tests
    ├── DiskError      no room, or a folder that cannot be written
    ├── ModelError     what was trained does not answer as a model should
    ├── NoMemoryError  the model or a batch does not fit
    └── PackageError   something that should be installed is not
    """

    kind = "code"


class DataError(MlError):
    kind = "data"


class DiskError(MlError):
    kind = "disk"


class ModelError(MlError):
    kind = "model"


class NoMemoryError(MlError):
    kind = "memory"


class PackageError(MlError):
    kind = "package"
