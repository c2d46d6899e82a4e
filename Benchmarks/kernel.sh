#!/usr/bin/env bash
# kernel.sh [--json] [--seconds N] [--rounds N] [--only NAME,...]: installs the peers and runs kernel.py, which says what is compared.
# Exits 1 when a goal was missed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$here/install-peers.sh" >&2
exec python3 "$here/kernel.py" "$@"
