#!/usr/bin/env bash
# peers.sh [--quick] [--json] [--sets l3,acl,normal] [--flows N,...]: installs the peers and runs peers.py, which says what is compared.
# Exits 1 when a goal was missed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$here/install-peers.sh" >&2
exec python3 "$here/peers.py" "$@"
