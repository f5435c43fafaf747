#!/bin/sh
# Functions that are not used here, printing outside core, and the shape of log formats.
# usage: banned.sh [ROOT]
set -eu
cd "${1:-$(dirname "$0")/../..}"
bad=0
sources=$(find shared origin edge main.c -name '*.[ch]' 2>/dev/null | sort)

refuse() { # PATTERN WHY FILE...
    pattern=$1
    why=$2
    shift 2
    if grep -nHE "$pattern" "$@" | grep -vE '^[^:]*:[0-9]+:[[:space:]]*(/\*|\*)'; then
        echo "^ $why" >&2
        bad=1
    fi
}

word='(^|[^A-Za-z0-9_])'
refuse "$word(strcpy|strcat|v?sprintf|strtok|gets|atoi|v?f?scanf|v?sscanf|alloca)[[:space:]]*\\(" \
    'no strcpy strcat sprintf strtok gets atoi scanf alloca' $sources
refuse "$word(exec[lv]p?e?|execvpe|fexecve|v?fork|popen|system|posix_spawnp?)[[:space:]]*\\(" \
    'no programs are run' $sources
outside=$(printf '%s\n' $sources | grep -vE '^(shared/core/|shared/admin/status|main\.c$)')
refuse "$word(printf|fprintf|puts|time)[[:space:]]*\\(" \
    'no printing and no time() outside shared/core, the status client and main.c' $outside

# A format begins with its event, a lower-case dotted word, then key=value pairs.
calls=$(printf '%s\n' $sources | grep -v '^shared/core/logline\.[ch]$')
for file in $calls; do
    wrong=$(tr '\n' ' ' <"$file" |
        grep -oE '(^|[^A-Za-z0-9_])(log_(debug|info|warn|error)|LOG_AT)[[:space:]]*\([^";]*"[^"]*' |
        grep -vE '"[a-z0-9_]+(\.[a-z0-9_]+)+( [a-z0-9_]+=.*)?$' || true)
    if [ -n "$wrong" ]; then
        printf '%s: %s\n^ a log format begins with a lower-case dotted event, then key=value\n' \
            "$file" "$wrong" >&2
        bad=1
    fi
done
exit $bad
