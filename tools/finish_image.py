"""Finishes what an image adds to its base, so that it depends on nothing but its content.

`python finish_image.py PACKAGE`, in a folder with `libraries/` and `program/`, which hold files at
their places below the image's root; PACKAGE is the program's, below `program/srv`.
- What only compilers, type checkers and tests of libraries read is removed.
- Bytecode is compiled of the modules that the program imports, the standard library's too: the
  program runs as a user who may not write it, and would compile everything at every start.
  Bytecode of all modules would weigh as much as they do.
- Modes become 755 for folders and programs and 644 for files, whatever the umask of the checkout.
- Times become SOURCE_DATE_EPOCH (0 without it), whenever the build ran.
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
# Imports the modules that the arguments name, and tells the files of all that this imported.
_IMPORTS = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
print(json.dumps(sorted(file for file in files if file and file.endswith(".py"))))
"""


def main() -> None:
    """Finish the image whose program is the package that the argument names."""
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
    """The program's modules and all that they import, in an order that is always the same.

    Bytecode depends on what was compiled before it in the same process.
    """
    root = PROGRAM / "srv"
    names = {f"{package}.{file.stem}" for file in (root / package).glob("*.py")}
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTS, "pipeline.program", *sorted(names)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(_SITE), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        check=True,
    )
    imported = {Path(file) for file in json.loads(done.stdout.splitlines()[-1])}
    return sorted(imported | set(root.glob("*/*.py")))


def _compile(source: Path) -> None:
    """Write a module's bytecode to where the image's Python looks for it."""
    for root in (LIBRARIES, PROGRAM):
        if source.is_relative_to(root):
            name = Path("/", source.relative_to(root))
            target = source
            break
    else:
        name, target = source, LIBRARIES / str(source).lstrip("/")
    cache = target.parent / "__pycache__" / f"{target.stem}.{sys.implementation.cache_tag}.pyc"
    # Never compared with the source's time, which is set afterwards.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(source), str(cache), str(name), doraise=True, invalidation_mode=mode)


def _settle(path: Path, moment: int) -> None:
    if not path.is_symlink():
        runs = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if runs else 0o644)
    os.utime(path, (moment, moment), follow_symlinks=False)


if __name__ == "__main__":
    main()
