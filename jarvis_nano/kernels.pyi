# For type checkers: kernels/ is installed as jarvis_nano.kernels by setup.py's package_dir, which they do not follow.
from kernels import *  # noqa: F403
