"""Static files with a content hash in the name, served by WhiteNoise from the one web process."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from django.core.files.base import ContentFile
from whitenoise.storage import CompressedManifestStaticFilesStorage

_IMPORT = re.compile(r'^import (?:\{([^}]*)\} from )?"\./([\w-]+)\.js";\n', re.M)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const) (\w+))", re.M)


def join_modules(entry: str, read: Callable[[str], str]) -> str:
    """Return one script that does what the module `entry` and all that it imports do, each of them once.

    `read` returns the text of a module by its name, "frame" for ./frame.js. Modules import names from their own folder,
    one statement a line, and export functions and constants where they define them; circles are not allowed.
    """
    done: dict[str, str] = {}

    def variable(name: str) -> str:
        return "_" + name.replace("-", "_")

    def bring(match: re.Match[str]) -> str:
        return f"const {{{match[1].replace(' as ', ': ')}}} = {variable(match[2])};\n" if match[1] else ""

    def add(name: str) -> None:
        text = read(name)
        for _names, other in _IMPORT.findall(text):
            if other not in done:
                add(other)
        body = _EXPORT.sub("", _IMPORT.sub(bring, text))
        names = ", ".join(_EXPORT.findall(text))
        done[name] = f"const {variable(name)} = (() => {{\n{body}return {{ {names} }};\n}})();\n"

    add(entry)
    return "".join(done.values())


def is_list_of_modules(text: str) -> bool:
    """Whether a script does nothing but import others: then a page loads it as one file."""
    return bool(_IMPORT.search(text)) and not _IMPORT.sub("", text).strip()


class Storage(CompressedManifestStaticFilesStorage):
    """Joins the scripts that list modules, one request a page instead of ten.

    Falls back to the plain name when `collectstatic` has not run, as in tests and in a working copy.
    """

    manifest_strict = False

    def post_process(self, paths: dict[str, Any], dry_run: bool = False, **options: Any) -> Iterator[Any]:
        if not dry_run:
            paths = {**paths, **self._joined(paths)}
        yield from super().post_process(paths, dry_run, **options)

    def _joined(self, paths: dict[str, Any]) -> dict[str, Any]:
        def read(path: str) -> str:
            storage, name = paths[path]
            with storage.open(name) as file:
                return file.read().decode()

        lists = [path for path in paths if path.startswith("js/") and is_list_of_modules(read(path))]
        for path in lists:
            text = join_modules(path[3:-3], lambda name: read(f"js/{name}.js"))
            self.delete(path)
            self.save(path, ContentFile(text.encode()))
        return {path: (self, path) for path in lists}

    def stored_name(self, name: str) -> str:
        try:
            return super().stored_name(name)
        except ValueError:
            return name
