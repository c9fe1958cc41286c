#!/usr/bin/env bash
# Builds what is given away, for one platform, from what is checked out (`make dist` and `make package` call it):
#
#	packaging/build.sh VERSION OS ARCH FOLDER
#
# puts tailrace, tailctl, tailrace-clickhouse and a bill of materials of each (CycloneDX, read from the built file) into FOLDER. The same sources
# and the same Go give the same bytes wherever they lie: no path, no time and no state of git goes in.
set -euo pipefail
version=$1 os=$2 arch=$3
mkdir -p "$4"
out=$(cd "$4" && pwd)
cd "$(dirname "$0")/.."
tool=(go tool "-modfile=$PWD/internal/tools/packages/go.mod")

# ocb writes the version as a literal, and a linker sets only variables. The copy lies as deep as the original, which finds its module by ../../.
src=_build/src-$os-$arch
rm -rf "$src"
cp -R _build/src "$src"
sed -i.orig 's/^		Version:     ".*",$/		Version:     version,/' "$src/main.go"
if cmp -s "$src/main.go" "$src/main.go.orig"; then
  echo "packaging/build.sh: ocb's main.go has no line 'Version: \"…\",' any more, so that no version can be stamped" >&2
  exit 1
fi
rm "$src/main.go.orig"
printf 'package main\n\nvar version = "unknown" // set by the linker\n' > "$src/version.go"

build() { # FOLDER PACKAGE NAME; GOAMD64 and the like must not come from somebody's environment
  (cd "$1" && env CGO_ENABLED=0 GOOS="$os" GOARCH="$arch" GOAMD64=v1 GOARM64=v8.0 GOFLAGS= GOEXPERIMENT= \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$version" -o "$out/$3" "$2")
}
build "$src" . tailrace
build . ./cmd/tailctl tailctl
build . ./cmd/tailrace-clickhouse tailrace-clickhouse
rm -rf "$src"

for program in tailrace tailctl tailrace-clickhouse; do
  "${tool[@]}" cyclonedx-gomod bin -json -noserial -notimestamp -version "v$version" -output "$out/$program.cdx.json" "$out/$program" 2> "$out/sbom.log" ||
    { cat "$out/sbom.log" >&2; exit 1; }
done
rm "$out/sbom.log"
