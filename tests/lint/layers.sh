#!/bin/sh
# Lower folders never include higher ones; origin/ and edge/ do not include each other; the folders of
# plain C use no library.  usage: layers.sh [ROOT]
set -eu
cd "${1:-$(dirname "$0")/../..}"
bad=0

# check FOLDER ALLOWED...: quoted includes of FOLDER are of itself or of the allowed folders, by path.
check() {
    folder=$1
    shift
    [ -d "$folder" ] || return 0
    allowed=$(basename "$folder")
    for layer in "$@"; do
        allowed="$allowed|$layer"
    done
    if grep -rnE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$folder" |
        grep -vE "include[[:space:]]*\"($allowed)/"; then
        echo "^ $folder may include: $allowed" >&2
        bad=1
    fi
}

# plain FOLDER: nothing but the C library.
plain() {
    [ -d "$1" ] || return 0
    if grep -rnE --include='*.[ch]' \
        '#[[:space:]]*include[[:space:]]*<(event2?/|openssl/|hiredis/|jansson|yaml|pthread|sys/epoll|lib[a-z]+/)' \
        "$1"; then
        echo "^ $1 is plain C: no libraries, no threads" >&2
        bad=1
    fi
}

check shared/base
check shared/proto base
check shared/media base proto
check shared/core base
check shared/hub base media core
check shared/net base core proto
check shared/relay base proto media core net
check shared/rtc base proto media core net
check shared/cluster base core net proto
check shared/admin base proto media core hub net cluster
check origin base proto media core hub net relay rtc cluster
check edge base proto media core hub net relay rtc cluster
plain shared/base
plain shared/proto
plain shared/media
exit $bad
