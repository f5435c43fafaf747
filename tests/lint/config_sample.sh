#!/bin/sh
# conf/sluice.yaml is what the table of settings says.  To write it anew:
#   build-dev/tests/config_sample > conf/sluice.yaml
# usage: config_sample.sh PROGRAM [ROOT]
set -eu
root=${2:-$(dirname "$0")/../..}
"$1" | diff -u "$root/conf/sluice.yaml" -
