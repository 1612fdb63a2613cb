#!/usr/bin/env bash
# Build the extension modules with AddressSanitizer and UndefinedBehaviorSanitizer in a copy of the tree, build/sanitize,
# and run the tests of the native code there. The modules in the tree itself are not touched. Needs gcc.
#
#   tests/sanitize.sh [pytest options]      PY names the interpreter that has the test requirements
set -euo pipefail
cd "$(dirname "$0")/.."
PY=$(realpath -s "${PY:-.venv/bin/python}")
flags="-fsanitize=address,undefined -fno-sanitize-recover=undefined"

rm -rf build/sanitize
mkdir -p build/sanitize
tar -c --exclude='*.so' --exclude='*.c' --exclude=__pycache__ pyproject.toml README.md LICENSE proxy storenode tests \
  | tar -x -C build/sanitize
cd build/sanitize
sed -i 's/"-O3"/"-O1"/' pyproject.toml
CC=gcc CFLAGS="$flags -fno-omit-frame-pointer -g" LDFLAGS="$flags" \
  "$PY" -c "from setuptools import setup; setup()" --quiet build_ext --inplace 2>build.log || { cat build.log; exit 1; }

# The interpreter is not instrumented: the runtimes come first, and its own small-object allocator would hide overruns.
export LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc
"$PY" -c "import proxy.wire.inspect as it, os; assert it.__file__.startswith(os.getcwd()), it.__file__"
# --capture=sys: a report is written to file descriptor 2 right before the process ends.
"$PY" -m pytest -q --capture=sys -p no:cacheprovider tests/engine "$@"
