import re

import pytest
from django.conf import settings

from common.static import is_list_of_modules, join_modules

MODULES = {
    "page": 'import "./keys.js";\nimport "./chat-box.js";\n',
    "keys": '// Keys.\nimport { name, count as total } from "./names.js";\nconst own = name();\ntotal.push(own);\n',
    "chat-box": 'import { name } from "./names.js";\nconst own = name() + "!";\n',
    "names": "export const count = [];\nexport async function later() {}\nexport function name() { return 1; }\n",
}


def test_a_list_of_modules_is_told_from_a_module() -> None:
    assert is_list_of_modules(MODULES["page"])
    assert not is_list_of_modules(MODULES["keys"])
    assert not is_list_of_modules("")


def test_each_module_comes_once_before_those_that_need_it_in_a_scope_of_its_own() -> None:
    script = join_modules("page", MODULES.__getitem__)
    assert re.findall(r"^const (\w+) = \(\(\) => \{", script, re.M) == ["_names", "_keys", "_chat_box", "_page"]
    assert "const { name, count: total } = _names;" in script
    assert "return { count, later, name };" in script
    assert not re.search(r"^\s*(import|export) ", script, re.M)


@pytest.mark.parametrize("entry", ["base", "write"])
def test_the_scripts_of_the_product_can_be_joined(entry) -> None:
    folder = settings.BASE_DIR / "static" / "js"
    script = join_modules(entry, lambda name: (folder / f"{name}.js").read_text())
    assert not re.search(r"^\s*(import|export) ", script, re.M), "a statement that the joiner does not know"
