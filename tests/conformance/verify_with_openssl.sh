#!/usr/bin/env bash
# Verifies an exported chain with bash, openssl and coreutils only: every signature, number and link,
# and for every note its root, the device's signature and the witness's.
# Usage: verify_with_openssl.sh DIR. Never needs anything of this project.
set -eu
dir=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "$*" >&2; exit 1; }

unb64u() { # base64url text on stdin -> bytes
    text=$(tr '_-' '/+')
    while [ $((${#text} % 4)) -ne 0 ]; do text="$text="; done
    printf %s "$text" | openssl base64 -d -A
}
hex() { od -An -v -tx1 | tr -d ' \n'; }
unhex() { # hex digits $1 -> bytes
    printf '%b' "$(printf %s "$1" | sed 's/../\\x&/g')"
}
sha() { openssl dgst -sha256 -binary; }
member() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$2" | head -n 1; }
key() { # 32 key bytes as hex $1 -> public key file $2
    { unhex "302a300506032b6570032100$1"; } | openssl pkey -pubin -inform DER -out "$2"
}
verify() { # key $1, message file $2, signature file $3
    openssl pkeyutl -verify -pubin -inkey "$1" -rawin -in "$2" -sigfile "$3" >/dev/null 2>&1
}
jws() { # token file $1, key $2 -> payload in $work/payload
    printf %s "$(cut -d. -f1,2 "$1")" >"$work/signed"
    cut -d. -f3 "$1" | tr -d '\n' | unb64u >"$work/sig"
    verify "$2" "$work/signed" "$work/sig" || return 1
    cut -d. -f2 "$1" | tr -d '\n' | unb64u >"$work/payload"
}
leaf() { { printf '\000'; printf %s "$1"; } | sha | hex; }
node() { { printf '\001'; unhex "$1"; unhex "$2"; } | sha | hex; }

tr -d '\n ' <"$dir/chain.json" >"$work/chain"
sed 's/.*"authority":{\([^}]*\)}.*/\1/' "$work/chain" >"$work/jwk"
key "$(member x "$work/jwk" | tr -d '\n' | unb64u | hex)" "$work/authority"
member grant "$work/chain" >"$work/grant"
jws "$work/grant" "$work/authority" || fail "grant: signature"
chain=$(member chain "$work/payload")
terminal=$(member terminal "$work/payload")
device=$(member x "$work/payload" | tr -d '\n' | unb64u | hex)
key "$device" "$work/device"
printf %s "$device" >"$work/key.0" # key.N: the key of the note for N events
witness=$(member witness "$work/chain" | cut -d+ -f1)
witness_key=$(member witness "$work/chain" | cut -d+ -f3- | tr -d '\n' | openssl base64 -d -A | hex)
[ -z "$witness" ] || key "${witness_key#04}" "$work/witness"

last=$(leaf "$(cat "$work/grant")")
stack= size=0
while read -r token; do # stack: hashes of perfect subtrees, largest first
    printf %s "$token" >"$work/token"
    jws "$work/token" "$work/device" || fail "event $size: signature"
    [ "$(member sequence "$work/payload")" = "$(printf %020d "$size")" ] || fail "event $size: sequence"
    [ "$(member chainid "$work/payload")" = "$chain" ] || fail "event $size: chain"
    [ "$(member prevhash "$work/payload" | tr -d '\n' | unb64u | hex)" = "$last" ] || fail "event $size: prevhash"
    place=$(sed 's/.*"prevhash":"\([^"]*\)".*"sequence":"\([^"]*\)".*/"prevhash":"\1","sequence":"\2"/' "$work/payload")
    kind=$(member type "$work/payload")
    next=$(member x "$work/payload") proof=$(member proof "$work/payload")
    if [ "$kind" = key.rotated.v1 ]; then # the old key's last event; the new one proves that it is held
        printf %s "$device" >"$work/key.$((size + 1))"
        device=$(printf %s "$next" | unb64u | hex)
        key "$device" "$work/device"
        printf %s "$proof" >"$work/token"
        jws "$work/token" "$work/device" || fail "event $size: proof of the new key"
        [ "$(cat "$work/payload")" = "{\"chain\":\"$chain\",$place}" ] || fail "event $size: proof of another place"
    else
        printf %s "$device" >"$work/key.$((size + 1))"
    fi
    last=$(leaf "$token")
    top=$last n=$size
    while [ $((n % 2)) -eq 1 ]; do
        top=$(node "${stack##* }" "$top")
        stack=${stack% *} n=$((n / 2))
    done
    stack="$stack $top" size=$((size + 1)) top=
    for one in $(printf '%s\n' $stack | tac); do
        if [ -z "$top" ]; then top=$one; else top=$(node "$one" "$top"); fi
    done
    printf %s "$top" >"$work/root.$size"
done <"$dir/events.jws"

line() { # note $1, name $2, role and key $3 -> signature bytes in $work/sig
    id=$({ printf '%s\n' "$2"; unhex "$3"; } | sha | hex | cut -c1-8)
    sed -n "s|^— $2 ||p" "$1" | while read -r blob; do
        bytes=$(printf %s "$blob" | openssl base64 -d -A | hex)
        [ "${bytes%"${bytes#????????}"}" != "$id" ] || printf %s "${bytes#????????}"
    done
}
receipted=0
for note in "$dir"/notes/*.note; do
    [ -e "$note" ] || continue
    head -n 3 "$note" >"$work/text"
    origin=$(sed -n 1p "$note") n=$(sed -n 2p "$note")
    [ "${origin#*/}" = "$terminal/$chain" ] || fail "$note: origin"
    [ -f "$work/root.$n" ] || fail "$note: size"
    [ "$(sed -n 3p "$note" | tr -d '\n' | openssl base64 -d -A | hex)" = "$(cat "$work/root.$n")" ] || fail "$note: root"
    device=$(cat "$work/key.$n")
    key "$device" "$work/device"
    unhex "$(line "$note" "$origin" "01$device")" >"$work/sig"
    verify "$work/device" "$work/text" "$work/sig" || fail "$note: signature of the device"
    cosigned=$([ -z "$witness" ] || line "$note" "$witness" "$witness_key")
    [ -n "$cosigned" ] || continue
    { printf 'cosignature/v1\ntime %d\n' "0x$(printf %s "$cosigned" | cut -c1-16)"; cat "$work/text"; } >"$work/said"
    unhex "$(printf %s "$cosigned" | cut -c17-)" >"$work/sig"
    verify "$work/witness" "$work/said" "$work/sig" || fail "$note: signature of the witness"
    [ "$n" -le "$receipted" ] || receipted=$n
done
echo "events $size receipted $receipted"
