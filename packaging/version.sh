#!/bin/sh
# Prints the version of what is checked out: its tag without the v, or {dist.version of the manifest}.{number of commits}+g{commit}, so that
# of two packages the later one is the newer one for dpkg, too.
set -eu
cd "$(dirname "$0")/.."
if tag=$(git describe --tags --exact-match --match 'v[0-9]*' 2>/dev/null) && git diff --quiet HEAD --; then
  echo "${tag#v}"
  exit
fi
base=$(sed -n 's/^  version: //p' builder-config.yaml)
if ! commit=$(git rev-parse --short=12 HEAD 2>/dev/null); then
  echo "$base" # sources without git
  exit
fi
dirty=$(git diff --quiet HEAD -- || echo .dirty)
echo "$base.$(git rev-list --count HEAD)+g$commit$dirty"
