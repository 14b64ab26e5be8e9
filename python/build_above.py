"""The build of the folder above, for `pip install ./python`: meson-python reads pyproject.toml where it stands."""

import os

os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from mesonpy import (  # noqa: E402, F401
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
)
