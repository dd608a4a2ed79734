#!/bin/sh
# Builds the demo program bit for bit as it is checked in, given the same compiler.
# usage: share/demo/build.sh [OUTPUT]       default: share/demo/mixed
set -eu
here=$(cd "$(dirname "$0")" && pwd)
output=${1:-"$here/mixed"}

# What the checked-in program was built with; tests/conformance/demo.test.ts compares.
: "${CC:=gcc}"
RECORDED_COMPILER='gcc (Debian 12.2.0-14+deb12u1) 12.2.0'
RECORDED_LINKER='GNU ld (GNU Binutils for Debian) 2.40'

compiler=$("$CC" --version | head -n 1)
linker=$("$CC" -Wl,--version 2>/dev/null | head -n 1)
if [ "$compiler" != "$RECORDED_COMPILER" ] || [ "$linker" != "$RECORDED_LINKER" ]; then
  echo "note: built with $compiler, $linker; the checked-in program with $RECORDED_COMPILER, $RECORDED_LINKER" >&2
fi

# The plainest x86-64 there is, nothing that depends on time, place or the distribution's defaults.
cd "$here"
LC_ALL=C "$CC" -std=c11 -O2 -march=x86-64 -mtune=generic -Wall -Wextra -Werror \
  -ffreestanding -nostdlib -static -fno-pie -no-pie \
  -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none -fno-ident \
  -fno-math-errno -ffp-contract=off -fno-tree-loop-distribute-patterns \
  -Wl,--build-id=none,-z,noexecstack,--hash-style=gnu -s \
  -o "$output" mixed.c runtime.c
