#!/bin/sh
# Every setting of the table appears in conf/sluice.yaml, in its section, and nothing else does.
# usage: options.sh [ROOT]
set -eu
cd "${1:-$(dirname "$0")/../..}"
have=$(mktemp)
want=$(mktemp)
trap 'rm -f "$have" "$want"' EXIT

tr '\n' ' ' <shared/core/config_options.c |
    grep -oE '(OPT_[A-Z]+\( *(OPTION_[A-Z]+, *)?|\{)"[a-z_]+(\.[a-z_]+)+"' |
    sed 's/.*"\(.*\)"/\1/' | sort >"$want"

# A line is "  # name: value" (a setting) or "  name:" (a section); two spaces a level.
awk '
    match($0, /^ *(# )?[a-z_]+:( |$)/) {
        depth = match($0, /[^ ]/) - 1
        depth /= 2
        setting = $1 == "#"
        name = setting ? $2 : $1
        sub(/:$/, "", name)
        path = name
        for (i = depth - 1; i >= 0; i--)
            path = section[i] "." path
        if (setting)
            print path
        else
            section[depth] = name
    }' conf/sluice.yaml | sort >"$have"

[ -s "$want" ]
diff -u "$want" "$have"
