# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# How the demos show a step: what it is, the command as one can type it, and what that says. To be read
# by a script (.) that does nothing else to the terminal.

bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
    bold=$'\033[1m' plain=$'\033[0m'
fi

number=0
say() {
    number=$((number + 1))
    printf '\n%s%d. %s%s\n' "$bold" "$number" "$1" "$plain"
}

# Runs its lines as they are shown, together.
run() {
    # A line that ends in a backslash goes on in the next.
    printf '%s\n' "$@" | sed "/\\\\\$/{ :more; N; /\\\\\$/b more }; s/^/$bold\$ /; s/\$/$plain/"
    # A step that fails leaves nothing running.
    bash -c 'set -e; trap "kill \$(jobs -p) 2>/dev/null || true" EXIT; '"$(printf '%s\n' "$@")" 2>&1 </dev/null | sed 's/^/  /'
}
