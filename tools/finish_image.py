"""Makes the files of an image reproducible: they depend on nothing but their content.

`python finish_image.py PACKAGE` runs in a folder with `libraries/` and `program/`. Each contains
files as they will be below the image's root. PACKAGE is the program's package in `program/srv`.

- Files for compilers, type checkers and the libraries' own tests are removed.
- Modules that the program imports are compiled, including those of the standard library. The
  program runs as a user who may not write bytecode, so it would compile them at every start.
  Bytecode of all modules would double the size.
- Modes become 755 for folders and programs and 644 for other files, whatever the umask was.
- Times become SOURCE_DATE_EPOCH, or 0 without it.
"""

import json
import os
import py_compile
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

LIBRARIES, PROGRAM = Path("libraries").resolve(), Path("program").resolve()
_NEVER_READ = {".a", ".c", ".cpp", ".h", ".hpp", ".proto", ".pxd", ".pyi", ".pyx"}
_NEVER_IMPORTED = {"distutils", "f2py", "testing", "tests"}
_SITE = LIBRARIES / sysconfig.get_path("purelib").lstrip("/")
# Imports the modules named by the arguments, and prints the files of all imported modules.
_IMPORTS = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
print(json.dumps(sorted(file for file in files if file and file.endswith(".py"))))
"""


def main() -> None:
    """Finish the files of the image whose package the argument names."""
    _prune(LIBRARIES)
    for source in _imported(sys.argv[1]):
        _compile(source)
    moment = int(os.environ.get("SOURCE_DATE_EPOCH") or 0)
    for root in (LIBRARIES, PROGRAM):
        for folder, folders, files in os.walk(root, topdown=False):
            for name in [*files, *folders, ""]:
                _settle(Path(folder, name), moment)


def _prune(root: Path) -> None:
    for folder, folders, files in os.walk(root):
        for name in [name for name in folders if name in _NEVER_IMPORTED]:
            folders.remove(name)
            shutil.rmtree(Path(folder, name))
        for name in files:
            if Path(name).suffix in _NEVER_READ:
                Path(folder, name).unlink()


def _imported(package: str) -> list[Path]:
    """The program's modules and everything that they import, always in the same order.

    The order matters: bytecode depends on what was compiled before in the same process.
    """
    root = PROGRAM / "srv"
    names = {f"{package}.{file.stem}" for file in (root / package).glob("*.py")}
    process = subprocess.run(
        [sys.executable, "-c", _IMPORTS, "pipeline.program", *sorted(names)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(_SITE), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        check=True,
    )
    imported = {Path(file) for file in json.loads(process.stdout.splitlines()[-1])}
    return sorted(imported | set(root.glob("*/*.py")))


def _compile(source: Path) -> None:
    """Write a module's bytecode to the place where the image's Python looks for it."""
    for root in (LIBRARIES, PROGRAM):
        if source.is_relative_to(root):
            name = Path("/", source.relative_to(root))
            target = source
            break
    else:
        name, target = source, LIBRARIES / str(source).lstrip("/")
    cache = target.parent / "__pycache__" / f"{target.stem}.{sys.implementation.cache_tag}.pyc"
    # Python must not compare it with the source's time, which `_settle` changes.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(source), str(cache), str(name), doraise=True, invalidation_mode=mode)


def _settle(path: Path, moment: int) -> None:
    if not path.is_symlink():
        runs = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if runs else 0o644)
    os.utime(path, (moment, moment), follow_symlinks=False)


if __name__ == "__main__":
    main()
