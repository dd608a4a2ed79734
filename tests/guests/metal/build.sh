#!/bin/sh
# Builds the bare-metal guests, bit for bit as they are checked in, given the same compiler.
# usage: tests/guests/metal/build.sh [DIRECTORY]       default: tests/guests/metal/images
# Needs gcc for x86-64 with -m32 and binutils; no library.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
output=${1:-"$here/images"}

# What the checked-in images were built with; tests/conformance/metal-guests.test.ts compares.
: "${CC:=gcc}"
RECORDED_COMPILER='gcc (Debian 12.2.0-14+deb12u1) 12.2.0'
RECORDED_LINKER='GNU ld (GNU Binutils for Debian) 2.40'

compiler=$("$CC" --version | head -n 1)
linker=$("$CC" -Wl,--version 2>/dev/null | head -n 1)
if [ "$compiler" != "$RECORDED_COMPILER" ] || [ "$linker" != "$RECORDED_LINKER" ]; then
  echo "note: built with $compiler, $linker; the checked-in images with $RECORDED_COMPILER, $RECORDED_LINKER" >&2
fi

mkdir -p "$output"
output=$(cd "$output" && pwd)
cd "$here"
export LC_ALL=C
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Ring 0 has no floating point here: where KVM emulates it, it cannot do any.
flags='-std=gnu11 -Os -march=x86-64 -mtune=generic -Wall -Wextra -Werror -Ilib
  -ffreestanding -nostdlib -static -fno-pie -no-pie -mno-red-zone -mgeneral-regs-only
  -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none -fno-ident
  -fno-tree-loop-distribute-patterns -fno-strict-aliasing -Wno-array-bounds
  -Wl,--build-id=none,-z,noexecstack,--hash-style=gnu,-n,--no-warn-rwx-segments -T metal.ld'

for bits in 32 64; do
  mkdir "$scratch/$bits"
  for file in start.S text.c interrupts.c chips.c acpi.c; do
    # shellcheck disable=SC2086
    "$CC" $flags -m$bits -c -o "$scratch/$bits/${file%.*}.o" "lib/$file"
  done
done
cp -r "$scratch/64" "$scratch/addressed"
# shellcheck disable=SC2086
"$CC" $flags -m64 -DHEADER_ADDRESSES -c -o "$scratch/addressed/start.o" lib/start.S

# A 64-bit guest is an ELF32 file nevertheless: it starts in protected mode, and few multiboot loaders take ELF64.
build() { # IMAGE BITS SOURCE
  own=$(ls "${3%.c}.S" 2>/dev/null || true) # what a guest has in assembly
  # shellcheck disable=SC2086
  "$CC" $flags -m"$2" -s -o "$scratch/image" "$3" $own "$scratch/$2"/*.o
  [ "$2" = 32 ] || objcopy -O elf32-i386 "$scratch/image"
  mv "$scratch/image" "$output/$1"
}

# The first line of a guest's source says what it is built as: "/* 64 */", "/* 32 64 */".
for source in *.c; do
  name=${source%.c}
  widths=$(sed -n '1s|^/\* \([0-9 ]*\) \*/$|\1|p' "$source")
  for bits in $widths; do
    case $widths in
      "$bits") build "$name" "$bits" "$source" ;;
      *) build "$name$bits" "$bits" "$source" ;;
    esac
  done
done

# Two more forms, which a multiboot loader takes by the addresses in the header: ELF64, and no format at all.
# shellcheck disable=SC2086
"$CC" $flags -m64 -s -o "$output/boot-elf64" boot.c "$scratch/addressed"/*.o
objcopy -O binary "$output/boot-elf64" "$output/boot-flat"
chmod 755 "$output"/*
