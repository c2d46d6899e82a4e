#!/usr/bin/env bash
# setup.sh [--quick] [--json] [--rounds N]: installs the peers and runs setup.py, which says what is compared.
# Exits 1 when a goal was missed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$here/install-peers.sh" >&2
exec python3 "$here/setup.py" "$@"
