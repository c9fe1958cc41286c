#!/usr/bin/env bash
# Makes the Debian packages (`make package` calls it): packaging/package.sh VERSION ARCH FOLDER. SOURCE_DATE_EPOCH is the time of all that is in them; by
# default that of the commit. ONLY=tailrace leaves the other package out.
set -euo pipefail
version=$1 arch=$2
mkdir -p "$3"
out=$(cd "$3" && pwd)
cd "$(dirname "$0")/.."
files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
library=$(readlink -f _build/libchdb.so)
nfpm() {
  VERSION=$1 ARCH=$arch FILES=$files LIBRARY=$library \
    go tool "-modfile=$PWD/internal/tools/packages/go.mod" nfpm package --config "packaging/$2.nfpm.yaml" --packager deb --target "$out/" > "$files/nfpm.log" ||
    { cat "$files/nfpm.log" >&2; exit 1; }
  sed -n 's/^created package: //p' "$files/nfpm.log"
}

echo "build: $version for linux-$arch"
packaging/build.sh "$version" linux "$arch" "$files"
nfpm "$version" tailrace
case $arch-${ONLY:-all} in
*-tailrace) ;;
amd64-*)
  # Its version is that of the engine, and of the program beside it: it is built and given away again only when one of them changed.
  engine=$(sed -n 's/.*lib-linux-x64-gnu": "\([0-9.]*\).*/\1/p' embedded/clickhouse/package.json)
  [ -n "$engine" ] || { echo "packaging/package.sh: no version of the library in embedded/clickhouse/package.json" >&2; exit 1; }
  nfpm "$engine" tailrace-clickhouse
  ;;
*) echo "no tailrace-clickhouse for $arch: its library is not in embedded/clickhouse; Tailrace takes a clickhouse that is installed" ;;
esac
