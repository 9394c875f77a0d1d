"""The layout rules of the two packages, as functions from source text to a list of violations.

Every rule takes the text of a file and its path relative to the project root, and returns one
line per violation: `line: what is wrong`. `tests.test_architecture` applies them to the project
and shows, on planted violations, that each of them sees what it forbids.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import PurePosixPath

PACKAGES = ("keras_compress", "keras_reweight")
CORE = "keras_reweight.core"
VERSION_MODULE = "keras_reweight._version"
BACKENDS = frozenset({"jax", "jaxlib", "tensorflow", "torch"})
RUNTIME_DEPENDENCIES = frozenset({"keras", "numpy", "safetensors", "scipy"})
# Whoever computes a weight, a loss, a score or a code does not know who calls it.
KNOW_NOTHING_OF_CALLBACKS = (
    "keras_compress.analysis",
    "keras_compress.bits",
    "keras_compress.calibration",
    "keras_compress.continual",
    "keras_compress.dynamic",
    "keras_compress.export",
    "keras_compress.grids",
    "keras_compress.lowrank",
    "keras_compress.migration",
    "keras_compress.optimizers",
    "keras_compress.post_training",
    "keras_compress.pruning",
    "keras_compress.qat",
    "keras_compress.quantization",
    "keras_compress.quantizers",
    "keras_compress.retraining",
    "keras_compress.sharing",
    "keras_compress.sparse_training",
    "keras_compress.structured",
    "keras_reweight.adversarial",
    "keras_reweight.analysis",
    "keras_reweight.attacks",
    "keras_reweight.constraints",
    "keras_reweight.core",
    "keras_reweight.data",
    "keras_reweight.distributed",
    "keras_reweight.editing",
    "keras_reweight.initializers",
    "keras_reweight.layers",
    "keras_reweight.losses",
    "keras_reweight.matching",
    "keras_reweight.meta",
    "keras_reweight.metric_learning",
    "keras_reweight.mixing",
    "keras_reweight.optimizers",
    "keras_reweight.scores",
    "keras_reweight.selection",
    "keras_reweight.sharpness",
    "keras_reweight.tasks",
    "keras_reweight.weightings",
)
UNSAFE_MODULES = frozenset(
    {"_pickle", "cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
)
UNSAFE_CALLS = frozenset({"eval", "exec", "enable_unsafe_deserialization"})
SAFE_KEYWORD_VALUES = {"allow_pickle": False, "safe_mode": True}
# Public names of namedtuple that start with an underscore only to leave room for field names.
PUBLIC_UNDERSCORE_NAMES = frozenset({"_asdict", "_fields", "_make", "_replace"})
# Spelled in two halves, so that this file passes its own rule.
FORBIDDEN_WORDS = tuple("".join(halves) for halves in [("TO", "DO"), ("FIX", "ME"), ("XX", "X")])
MAX_LINES = 400


def module_name(path: str) -> str:
    """`keras_reweight/core/state.py` -> `keras_reweight.core.state`."""
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def is_core(path: str) -> bool:
    return is_inside(module_name(path), CORE)


def imports(source: str, path: str) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything imported, one entry per imported name.

    `from a import b` yields `a.b`, whether `b` is a module or not; calls of `import_module` and
    `__import__` with a literal name count as imports.
    """
    for node in ast.walk(ast.parse(source, path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = _resolve_relative(path, node.level, base)
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"
        elif isinstance(node, ast.Call) and _called_name(node) in ("import_module", "__import__"):
            if node.args and isinstance(node.args[0], ast.Constant):
                yield node.lineno, str(node.args[0].value)


def _resolve_relative(path: str, level: int, base: str) -> str:
    package = list(PurePosixPath(path).parent.parts)
    package = package[: len(package) - (level - 1)]
    return ".".join([*package, base] if base else package)


def _called_name(node: ast.Call) -> str:
    """The last name of what is called: `f()` and `a.f()` give `f`."""
    if isinstance(node.func, ast.Name):
        return node.func.id
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


def backend_imports(source: str, path: str) -> list[str]:
    """Only core names a backend."""
    if is_core(path):
        return []
    return [
        f"{line}: imports {name}; only {CORE} may import a backend"
        for line, name in imports(source, path)
        if name.partition(".")[0] in BACKENDS
    ]


def heavy_imports(source: str, path: str) -> list[str]:
    """What a module imports when it is imported is the standard library and what we depend on.

    Anything else is an optional dependency and belongs inside the function that needs it, under
    the error that says what to install. (Backends have a rule of their own.)
    """
    allowed = sys.stdlib_module_names | RUNTIME_DEPENDENCIES | BACKENDS | set(PACKAGES)
    tree = ast.parse(source, path)
    lazy = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    violations = []
    for node in ast.walk(tree):
        if id(node) in lazy or not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        for line, name in imports(ast.unparse(node), path):
            if name.partition(".")[0] not in allowed:
                violations.append(
                    f"{node.lineno + line - 1}: imports {name} at module level; it is no "
                    "dependency of the core, so import it inside the function that needs it"
                )
    return violations


def import_directions(source: str, path: str) -> list[str]:
    """Compress stands on core alone, reweight knows nothing of compress, core of neither."""
    module = module_name(path)
    violations = []
    for line, name in imports(source, path):
        if is_inside(module, "keras_compress"):
            wrong = is_inside(name, "keras_reweight") and not (
                is_inside(name, CORE) or is_inside(name, VERSION_MODULE)
            )
            rule = f"keras_compress imports from keras_reweight only {CORE}"
        elif is_inside(module, CORE):
            wrong = any(is_inside(name, package) for package in PACKAGES)
            wrong = wrong and not is_inside(name, CORE)
            rule = f"{CORE} stands on nothing of ours but itself"
        else:
            wrong = is_inside(name, "keras_compress")
            rule = "keras_reweight never imports keras_compress"
        if wrong:
            violations.append(f"{line}: imports {name}; {rule}")
    return violations


def callback_imports(source: str, path: str) -> list[str]:
    """Weightings, losses, scores, criteria, solvers and quantizers know nothing of callbacks."""
    module = module_name(path)
    if not any(is_inside(module, package) for package in KNOW_NOTHING_OF_CALLBACKS):
        return []
    ours = tuple(f"{package}.callbacks" for package in PACKAGES)
    return [
        f"{line}: imports {name}; {module} must know nothing of callbacks"
        for line, name in imports(source, path)
        if any(is_inside(name, callbacks) for callbacks in ours)
    ]


def private_access(source: str, path: str) -> list[str]:
    """Outside core nobody uses `keras.src` or a private attribute of somebody else's object.

    An object's own privates are those of `self`, `cls` and `super()`, and, on a plain name,
    those that the same file defines (`other._codes` in `__eq__`).
    """
    if is_core(path):
        return []
    tree = ast.parse(source, path)
    own = _private_names_defined(tree)
    violations = [
        f"{line}: imports {name}; only {CORE} may use keras.src"
        for line, name in imports(source, path)
        if is_inside(name, "keras.src")
    ]
    violations += [
        f"{line}: imports the private name {name}"
        for line, name in imports(source, path)
        if name.partition(".")[0] not in (*PACKAGES, "__future__")
        and any(_is_private(part) for part in name.split("."))
    ]
    for node in ast.walk(tree):
        owner, attribute = _attribute_used(node)
        if owner is None:
            continue
        if attribute == "src" and isinstance(owner, ast.Name) and owner.id == "keras":
            violations.append(f"{node.lineno}: uses keras.src; only {CORE} may")
        elif _is_private(attribute) and not _is_own_object(owner, attribute, own):
            violations.append(
                f"{node.lineno}: uses the private attribute {ast.unparse(owner)}.{attribute}"
            )
    return violations


def _is_private(name: str) -> bool:
    return (
        name.startswith("_") and not name.startswith("__") and name not in PUBLIC_UNDERSCORE_NAMES
    )


def _attribute_used(node: ast.AST) -> tuple[ast.expr | None, str]:
    """Owner and name for `owner.name` and for `getattr(owner, "name")` and its siblings."""
    if isinstance(node, ast.Attribute):
        return node.value, node.attr
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) >= 2:
        name = node.args[1]
        if node.func.id in ("getattr", "setattr", "hasattr", "delattr"):
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                return node.args[0], name.value
    return None, ""


def _is_own_object(owner: ast.expr, attribute: str, own: frozenset[str]) -> bool:
    if isinstance(owner, ast.Call):
        return _called_name(owner) in ("super", "type")
    if isinstance(owner, ast.Name):
        return owner.id in ("self", "cls") or attribute in own
    return False


def _private_names_defined(tree: ast.AST) -> frozenset[str]:
    """Private names that this file's classes define: methods, class and `self` attributes."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for statement in node.body:
                if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    names.add(statement.name)
                elif isinstance(statement, ast.AnnAssign) and isinstance(
                    statement.target, ast.Name
                ):
                    names.add(statement.target.id)
                elif isinstance(statement, ast.Assign):
                    names |= {t.id for t in statement.targets if isinstance(t, ast.Name)}
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
        ):
            names.add(node.attr)
    return frozenset(name for name in names if _is_private(name))


def unsafe_code(source: str, path: str) -> list[str]:
    """No pickle in any form, no evaluation of text, no loading that may run code."""
    violations = [
        f"{line}: imports {name}, which can run code from a file"
        for line, name in imports(source, path)
        if name.partition(".")[0] in UNSAFE_MODULES
    ]
    for node in ast.walk(ast.parse(source, path)):
        if not isinstance(node, ast.Call):
            continue
        if _called_name(node) in UNSAFE_CALLS:
            violations.append(f"{node.lineno}: calls {_called_name(node)}")
        for keyword in node.keywords:
            if keyword.arg in SAFE_KEYWORD_VALUES:
                safe = SAFE_KEYWORD_VALUES[keyword.arg]
                forwarded = isinstance(keyword.value, ast.Name) and keyword.value.id == keyword.arg
                constant = isinstance(keyword.value, ast.Constant) and keyword.value.value is safe
                if not constant and not (keyword.arg == "safe_mode" and forwarded):
                    violations.append(f"{keyword.value.lineno}: `{keyword.arg}` must be {safe}")
    return violations


def swallowed_exceptions(source: str, path: str) -> list[str]:
    """No bare `except:`, and nobody catches everything only to drop it."""
    violations = []
    for node in ast.walk(ast.parse(source, path)):
        if isinstance(node, ast.ExceptHandler):
            if node.type is None:
                violations.append(f"{node.lineno}: bare except")
            elif _names_everything(node.type) and all(_does_nothing(line) for line in node.body):
                violations.append(f"{node.lineno}: every exception is dropped")
        elif isinstance(node, ast.Call) and _called_name(node) == "suppress":
            if any(_names_everything(argument) for argument in node.args):
                violations.append(f"{node.lineno}: every exception is suppressed")
    return violations


def _names_everything(node: ast.expr) -> bool:
    names = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
    return bool(names & {"Exception", "BaseException"})


def _does_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, (ast.Pass, ast.Continue))


def long_file(source: str, path: str) -> list[str]:
    """A file that no one can read at a sitting is two files."""
    count = len(source.splitlines())
    return [f"{count}: {count} lines, at most {MAX_LINES} allowed"] if count > MAX_LINES else []


def exported_names(source: str, path: str) -> list[str]:
    """A public package's `__init__` lists what it offers: sorted, once each, and really there."""
    parts = PurePosixPath(path).parts
    public = not any(part.startswith("_") for part in parts[:-1])
    # Core is imported by module path and promises nothing to users.
    if parts[-1] != "__init__.py" or not public or module_name(path) == CORE:
        return []
    tree = ast.parse(source, path)
    values = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)
    ]
    if len(values) != 1:
        return [f"1: assigns __all__ {len(values)} times instead of once"]
    names = ast.literal_eval(values[0])
    line = values[0].lineno
    violations = []
    if list(names) != sorted(set(names)):
        violations.append(f"{line}: __all__ is not sorted or names something twice")
    missing = sorted(set(names) - _bound_names(tree))
    if missing:
        violations.append(f"{line}: __all__ names {missing}, which the file does not define")
    return violations


def _bound_names(tree: ast.Module) -> set[str]:
    names = set()
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def forbidden_words(source: str, path: str) -> list[str]:
    """What is not done is an issue, not a comment. Applies to every text file."""
    return [
        f"{number}: contains {word!r}"
        for number, line in enumerate(source.splitlines(), start=1)
        for word in FORBIDDEN_WORDS
        if word in line
    ]


PACKAGE_RULES = (
    backend_imports,
    callback_imports,
    exported_names,
    heavy_imports,
    import_directions,
    long_file,
    private_access,
    swallowed_exceptions,
    unsafe_code,
)
