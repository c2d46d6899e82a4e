#!/usr/bin/env bash
# venv.sh: makes .venv with what the Python scripts and the integration tests need from PyPI, when it is not there yet.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

wanted=Tests/Integration/requirements.txt
# The copy of the requirements inside says which ones .venv was made for.
if cmp -s $wanted .venv/requirements.txt && .venv/bin/python -c '' 2>/dev/null; then exit 0; fi
python3 -m venv --clear .venv
.venv/bin/pip install --quiet -r $wanted
cp $wanted .venv/requirements.txt
