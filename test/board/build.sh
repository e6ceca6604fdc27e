#!/bin/bash
# Builds the board's kernel: build.sh SOURCE_TARBALL DEFCONFIG TARGET_DIRECTORY
# build.ts calls it under a lock. The target appears complete, by one rename, or not at all; the 1.9 GB of unpacked source are gone afterwards either way.
set -euo pipefail

source=$1
config=$2
target=$3

if [ -e "$target/linux" ]; then exit 0; fi

cache=$(dirname "$target")
mkdir -p "$cache"
# Nobody else builds here while the lock is held: what is there was left behind by a build that was killed.
rm -rf "$cache"/build.*
work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

echo "board: unpacking $source"
mkdir "$work/tree" "$work/result"
tar --extract --xz --file "$source" --directory "$work/tree" --strip-components=1

echo "board: building the kernel with $(nproc) jobs, 4 to 10 minutes"
cp "$config" "$work/tree/.config"
cd "$work/tree"
make ARCH=um olddefconfig >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
make ARCH=um -j"$(nproc)" linux modules 2>&1 | tee "$work/log" | awk '++n % 200 == 0 { print "board: " n " build steps of about 1600"; fflush() }' || {
  tail -n 60 "$work/log"
  exit 1
}

strip -o "$work/result/linux" linux
cp drivers/i2c/i2c-stub.ko "$work/result/"
mv --no-target-directory "$work/result" "$target"
echo "board: kept in $target"
