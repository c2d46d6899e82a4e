#!/bin/bash
# generate.sh: regenerates Generated/ from Proto/.
#
# What: builds the two protoc plugins from the versions pinned in Package.resolved, then runs protoc. Needs protoc 3.21 or newer
#       (apt install protobuf-compiler) and Swift. Output is committed, because the alternative, a build plugin, costs
#       every clean build minutes.
# Use:  Sources/AgentAPI/generate.sh           writes Generated/
#       Sources/AgentAPI/generate.sh --check   fails when Generated/ is not what Proto/ makes; changes nothing
# Environment: PROTOC_PLUGINS  a folder that holds protoc-gen-swift and protoc-gen-grpc-swift-2, instead of building them

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

case "${1:-}" in
  "" | --check) ;;
  *)
    echo "generate.sh: unknown argument $1; it takes --check or nothing" >&2
    exit 2
    ;;
esac

plugins=${PROTOC_PLUGINS:-}
if [ -z "$plugins" ]; then
  swift build --package-path "$root" --product protoc-gen-swift >&2
  swift build --package-path "$root" --product protoc-gen-grpc-swift-2 >&2
  plugins=$(swift build --package-path "$root" --show-bin-path)
fi

out=$here/Generated
if [ "${1:-}" = --check ]; then
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
fi
mkdir -p "$out"
protos=(sluice/v1/sluice.proto grpc/health/v1/health.proto)
protoc -I "$here/Proto" \
  --plugin=protoc-gen-swift="$plugins/protoc-gen-swift" \
  --plugin=protoc-gen-grpc-swift="$plugins/protoc-gen-grpc-swift-2" \
  --swift_out="$out" --swift_opt=Visibility=Public --swift_opt=FileNaming=DropPath \
  --grpc-swift_out="$out" --grpc-swift_opt=Visibility=Public --grpc-swift_opt=FileNaming=DropPath \
  "${protos[@]}"

if [ "${1:-}" = --check ] && ! diff -r "$out" "$here/Generated" >&2; then
  echo "generate.sh: Generated/ is not what Proto/ makes; run Sources/AgentAPI/generate.sh and commit the result" >&2
  exit 1
fi
