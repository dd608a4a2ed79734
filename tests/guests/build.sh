#!/bin/sh
# Builds the guest programs; the same compiler gives the same bytes.
# usage: tests/guests/build.sh [DIRECTORY]       default: tests/guests/build
# Needs gcc and the static C library (Debian: gcc libc6-dev). Programs newer than their sources are kept.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
output=${1:-"$here/build"}
: "${CC:=gcc}"
mkdir -p "$output"
output=$(cd "$output" && pwd)
cd "$here"
export LC_ALL=C

is_current() { # PROGRAM SOURCE…
  program=$1
  shift
  [ -e "$program" ] || return 1
  for source in "$@" build.sh; do
    [ "$program" -nt "$source" ] || return 1
  done
}

# Nobody sees a half-written program, not even another build at the same time.
compile() { # PROGRAM ARGUMENTS…
  program=$1
  shift
  "$CC" -Wl,--build-id=none,-z,noexecstack -fno-ident -s -o "$program.$$" "$@"
  mv "$program.$$" "$program"
}

for name in args files interrupted memory signals threads times turns; do
  is_current "$output/$name" "$name.c" say.h ||
    compile "$output/$name" -std=gnu11 -O2 -Wall -Wextra -Werror -Wno-infinite-recursion -Wno-array-bounds \
      -static -pthread "$name.c"
done

is_current "$output/fuzz" fuzz.c fuzz-calls.h ||
  compile "$output/fuzz" -std=gnu11 -O2 -Wall -Wextra -Werror -static -pthread fuzz.c

# wild.S is many programs: NO_STACK in its text becomes the program no-stack.
for name in $(sed -n 's/^#.*if defined(\([A-Z_]*\)).*/\1/p' wild.S); do
  program=$output/$(echo "$name" | tr A-Z_ a-z-)
  is_current "$program" wild.S || compile "$program" "-D$name" -nostdlib -static -no-pie wild.S
done
