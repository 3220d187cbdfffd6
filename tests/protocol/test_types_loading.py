"""How the models come to be: names that are imported when asked for, validators that are made once, by one thread."""

import ast
import importlib
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, List, Optional

import pytest
from pydantic import BaseModel

from mcp_sync.protocol import types
from mcp_sync.protocol.types.base import WireModel

PACKAGE = Path(types.__file__).parent
BOUND = 30.0  # seconds; nothing here comes near it


def imports_for_type_checkers() -> List[str]:
    """The modules that the package imports names from in its ``if TYPE_CHECKING``, with a star."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    stars = [node for node in block.body if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"]
    assert len(stars) == len(block.body)
    return [str(node.module) for node in stars]


def test_type_checkers_and_programs_see_the_same_names() -> None:
    assert imports_for_type_checkers() == list(types._MODULES)
    for name, names in types._MODULES.items():
        module = importlib.import_module(f"{types.__name__}.{name}")
        assert sorted(names) == sorted(module.__all__)
    assert len(types.__all__) == len(set(types.__all__)) > 50


def test_every_public_name_can_be_imported() -> None:
    for home, names in types._MODULES.items():
        module = importlib.import_module(f"{types.__name__}.{home}")
        assert [getattr(types, name) for name in names] == [getattr(module, name) for name in names]
    assert set(types.__all__) <= set(dir(types))


def test_every_model_is_public() -> None:
    for home in {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}:
        importlib.import_module(f"{types.__name__}.{home}")
    waiting: List[Any] = [WireModel]
    found = set()
    while waiting:
        model = waiting.pop()
        waiting.extend(model.__subclasses__())
        if model.__module__.startswith(types.__name__):
            found.add(model.__name__)
    assert len(found) > 50
    assert sorted(found - set(types.__all__)) == []


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Toll'"):
        types.Toll  # type: ignore[attr-defined]  # noqa: B018  # asking for it is the test


def test_every_model_has_a_docstring_with_its_source() -> None:
    models = [getattr(types, name) for name in types.__all__]
    models = [model for model in models if isinstance(model, type) and issubclass(model, WireModel)]
    assert len(models) > 50
    assert [model.__name__ for model in models if "Source:" not in vars(model)["__doc__"]] == []


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=BOUND,
        cwd=PACKAGE.parents[2],
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_asking_for_a_prompt_imports_no_more_than_prompts_need() -> None:
    loaded = run(
        "import sys\n"
        "from mcp_sync.protocol.types import Prompt\n"
        "print(sorted(name.rpartition('.')[2] for name in sys.modules if 'protocol.types.' in name))\n"
        "print(Prompt.__pydantic_complete__)"
    )
    assert loaded.splitlines() == ["['base', 'binary', 'content', 'prompts', 'resources']", "False"]


def test_two_threads_that_first_use_a_model_at_once_make_its_validator_once(monkeypatch: pytest.MonkeyPatch) -> None:
    make = BaseModel.model_rebuild.__func__  # type: ignore[attr-defined]  # the function below the classmethod
    busy = threading.Lock()
    overlaps: List[str] = []

    def watched(cls: Any, /, **options: Any) -> Any:
        if not busy.acquire(blocking=False):
            overlaps.append(cls.__name__)
            return make(cls, **options)
        try:
            return make(cls, **options)
        finally:
            busy.release()

    monkeypatch.setattr(BaseModel, "model_rebuild", classmethod(watched))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(10):
            both_found_it_unmade = threading.Barrier(2, timeout=BOUND)

            class Fresh(WireModel):
                name: str
                blocks: Optional[List[types.TextContent]] = None

                @classmethod
                def model_rebuild(cls, **options: Any) -> Optional[bool]:
                    both_found_it_unmade.wait()  # noqa: B023  # each class has its own barrier, and is gone with it
                    return super().model_rebuild(**options)

            read: List[Any] = []

            def use(model: Any = Fresh, into: List[Any] = read) -> None:
                into.append(model.model_validate({"name": "n", "blocks": [{"type": "text", "text": "t"}]}))

            threads = [threading.Thread(target=use) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(BOUND)
            assert [type(model) for model in read] == [Fresh, Fresh]
            assert not both_found_it_unmade.broken
    finally:
        sys.setswitchinterval(interval)
    assert overlaps == []


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system cannot fork")
def test_a_forked_child_can_make_validators_whatever_other_threads_were_doing() -> None:
    answer = run(
        "import os, threading, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "from mcp_sync.protocol.types import Tool, base\n"
        "held, done = threading.Event(), threading.Event()\n"
        "def hold():\n"
        "    with base._building:\n"
        "        held.set()\n"
        "        done.wait(30)\n"
        "threading.Thread(target=hold, daemon=True).start()\n"
        "held.wait(30)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    Tool.model_validate({'name': 't', 'inputSchema': {}})\n"
        "    os._exit(7)\n"
        "print(os.waitpid(child, 0)[1] >> 8)\n"
        "done.set()\n"
    )
    assert answer == "7"


def test_a_subclass_in_a_function_may_name_what_is_defined_there() -> None:
    class Inner(WireModel):
        value: int

    class Outer(WireModel):
        inner: "Optional[Inner]" = None

    class Earlier(WireModel):
        later: "Optional[Later]" = None

    class Later(WireModel):
        value: int

    Earlier.model_rebuild()
    assert Outer.model_validate({"inner": {"value": 1}}).inner == Inner(value=1)
    assert Earlier.model_validate({"later": {"value": 2}}).later == Later(value=2)
