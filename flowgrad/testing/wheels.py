"""Install a package from its wheel, as its users do, in a virtual environment of its own.

from flowgrad.testing import installed

def test_it_runs_from_its_wheel(tmp_path):
    python = installed(tmp_path, Path(__file__).parents[1])
    subprocess.run([python, "-c", "import flowgrad as fg; assert fg.executors()['mine'] is True"], check=True)
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def installed(folder: Path, *projects: Path) -> Path:
    """Build the wheel of each project and install the wheels into a new virtual environment; return its interpreter.

    Only these wheels are installed. Other packages are imported from the site-packages of the present environment,
    which follow those of the new one in `sys.path`, so that dependencies need no download. Packages that are installed
    as editable in the present environment cannot be imported in the new one. pip may download the build requirements.

    Args:
        folder: an empty folder, in which wheels and environment are created.
        projects: one or more folders with a pyproject.toml.

    Returns:
        Path of the new environment's Python interpreter.

    Raises:
        subprocess.CalledProcessError: a wheel cannot be built or installed; pip has printed the reason.
    """
    wheels, home = folder / "wheels", folder / "environment"
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(wheels), *map(str, projects)], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    found = map(str, sorted(wheels.glob("*.whl")))
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", "--no-index", *found], check=True)
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    outer = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (Path(site) / "outer.pth").write_text("\n".join(outer) + "\n", encoding="utf-8")
    return python
