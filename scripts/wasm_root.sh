#!/usr/bin/env bash
# Makes the Debian trixie root that the committed core is built in. Its Rust stays at one version for years, so
# the same source gives the same bytes. Needs Debian or Ubuntu, root, and about 1.7 GB below the cache folder.
# Every step leaves a stamp, so a run that was cut off resumes, and a finished one costs nothing.
# The last line it prints is the path of the root.
#
#   RINGLET_CACHE   cache folder        (default ~/.cache/ringlet)
#   DEBIAN_MIRROR   Debian archive      (default: the one apt uses here, else http://deb.debian.org/debian)
set -euo pipefail

readonly WASM_PACK=0.15.1 WASM_BINDGEN=0.2.108
cache=${RINGLET_CACHE:-${HOME}/.cache/ringlet}
root=$cache/trixie
tools=$cache/tools
stamps=$cache/stamps
say() { printf 'wasm_root: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

[[ $(uname -s) == Linux ]] || die "this needs Linux; use rustup's wasm32-unknown-unknown target and wasm-pack instead"
[[ $(id -u) == 0 ]] || die "debootstrap and chroot need root; use rustup's wasm32-unknown-unknown target and wasm-pack instead"
mkdir -p "$stamps" "$tools"

# One run at a time: two would fill the same root.
exec 9>"$cache/lock"
flock 9

mirror() {
  if [[ -n ${DEBIAN_MIRROR:-} ]]; then echo "$DEBIAN_MIRROR"; return; fi
  local found
  found=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -n 1 || true)
  found=${found%% *}
  echo "${found:-http://deb.debian.org/debian}"
}

if ! command -v debootstrap >/dev/null; then
  say "installing debootstrap"
  apt-get update >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends debootstrap >&2
fi

if [[ ! -e $stamps/root ]]; then
  say "making a trixie root in $root"
  rm -rf --one-file-system "$root"
  debootstrap --variant=minbase trixie "$root" "$(mirror)" >&2
  touch "$stamps/root"
fi

cp -L /etc/resolv.conf /etc/hosts "$root/etc/"

if [[ ! -e $stamps/packages ]]; then
  say "installing Rust and binaryen in the root"
  chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get update >&2
  chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    rustc cargo libstd-rust-dev-wasm32 lld binaryen gcc libc6-dev ca-certificates >&2
  touch "$stamps/packages"
fi

mkdir -p "$root/etc/ssl/certs"
if [[ -e /etc/ssl/certs/ca-certificates.crt ]]; then
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
fi

# The host's cargo where there is one (trixie's libc is newer, so the programs run there), else the root's own.
install_tool() {
  local crate=$1 version=$2 program=$3
  local stamp=$stamps/$crate-$version
  if [[ ! -e $stamp ]]; then
    say "installing $crate $version (takes minutes, once)"
    if command -v cargo >/dev/null && command -v cc >/dev/null; then
      cargo install "$crate" --version "$version" --locked --force --root "$tools" >&2
    else
      mkdir -p "$root/tools"
      chroot "$root" env HOME=/root cargo install "$crate" --version "$version" --locked --force --root /tools >&2
      mkdir -p "$tools/bin"
      cp "$root/tools/bin/$program" "$tools/bin/"
    fi
    touch "$stamp"
  fi
  cp -u "$tools/bin/$program" "$root/usr/local/bin/"
}
install_tool wasm-bindgen-cli "$WASM_BINDGEN" wasm-bindgen
install_tool wasm-pack "$WASM_PACK" wasm-pack

say "ready: $(chroot "$root" rustc --version), $(chroot "$root" wasm-opt --version), $("$tools/bin/wasm-pack" --version)"
echo "$root"
