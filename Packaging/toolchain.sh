# toolchain.sh                                     sourced by the scripts of this tree, never run by itself
#
# Finds a Swift toolchain that can build Sluice and puts it on PATH, or says which one is needed and where it comes from.
# Why it searches: `sudo` resets PATH, so a toolchain that its user can run is often invisible to `sudo make demo`.
# After it: PATH holds `swift`; `as_owner CMD...` runs a command as the user who owns the tree, so that a build that was
# started with sudo does not leave files which that user cannot delete; `build_release` builds the programs.

SLUICE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SLUICE_SWIFT_NEEDED=6.3

# The version of a `swift` program, such as 6.3.1; empty when it does not run.
swift_version() {
  "$1" --version 2>/dev/null | sed -n 's/.*Swift version \([0-9][0-9.]*\).*/\1/p' | head -n 1
}

find_swift() {
  local home candidate version found=""
  home=${HOME:-/root}
  if [ -n "${SUDO_USER:-}" ]; then home=$(getent passwd "$SUDO_USER" | cut -d: -f6); fi
  for candidate in "$(command -v swift || true)" /opt/swift/usr/bin/swift /usr/local/swift/usr/bin/swift \
    /usr/share/swift/usr/bin/swift "$home/.local/share/swiftly/bin/swift" /usr/libexec/swift/*/usr/bin/swift; do
    [ -x "$candidate" ] || continue
    [[ $found != *"($candidate)"* ]] || continue
    version=$(swift_version "$candidate")
    found="${found:+$found, }${version:-unknown} ($candidate)"
    # sort -V puts the smaller version first: when that is the needed one, the candidate is new enough.
    if [ "$(printf '%s\n%s\n' "$SLUICE_SWIFT_NEEDED" "${version:-0}" | sort -V | head -n 1)" = "$SLUICE_SWIFT_NEEDED" ]; then
      PATH=$(dirname "$candidate"):$PATH
      export PATH
      return 0
    fi
  done
  echo "Sluice needs Swift $SLUICE_SWIFT_NEEDED or later; found: ${found:-none}." >&2
  echo "It comes from https://www.swift.org/install/linux/ (unpack it to /opt/swift, or put its usr/bin on PATH)." >&2
  return 1
}

as_owner() {
  local owner
  owner=$(stat -c %U "$SLUICE_ROOT")
  if [ "$(id -u)" = 0 ] && [ "$owner" != root ] && [ "$owner" != UNKNOWN ]; then
    runuser -u "$owner" -- env PATH="$PATH" HOME="$(getent passwd "$owner" | cut -d: -f6)" "$@"
  else
    "$@"
  fi
}

# Builds the release programs into .build/release: they need no Swift on the machine that runs them, and carry no debug
# information (-S). Symbols stay, for backtraces; `make install` takes them off, too.
build_release() { as_owner swift build -c release --static-swift-stdlib -Xlinker -S "$@"; }

# Git refuses to work in a checkout of another user, and the package manager runs git in .build/checkouts: with sudo that
# would end a build. The permission is for the processes started from here only.
export GIT_CONFIG_COUNT=$((${GIT_CONFIG_COUNT:-0} + 1))
export "GIT_CONFIG_KEY_$((GIT_CONFIG_COUNT - 1))=safe.directory" "GIT_CONFIG_VALUE_$((GIT_CONFIG_COUNT - 1))=*"

find_swift || exit 1
