#!/usr/bin/env python3
"""Verifies an exported chain with nothing of this project: python3 and its `cryptography` package.
Usage: verify_export.py DIR. Compare the two keys it prints with the published ones."""
import base64, functools, hashlib, json, pathlib, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
b64u = lambda s: base64.urlsafe_b64decode(s + "=" * (-len(s) % 4))
sha = lambda data: hashlib.sha256(data).digest()
leaf_hash = lambda data: sha(b"\0" + data)

@functools.cache
def root(begin, end):
    """Of the leaves from `begin` to before `end`."""
    if end - begin < 2:
        return leaves[begin] if end > begin else sha(b"")
    split = begin + (1 << (end - begin - 1).bit_length() - 1)
    return sha(b"\1" + root(begin, split) + root(split, end))

def open_jws(token, key, typ):
    header, payload, signature = token.split(".")
    assert (head := json.loads(b64u(header)))["alg"] in ("EdDSA", "Ed25519") and head["typ"] == typ, "kind"
    Ed25519PublicKey.from_public_bytes(key).verify(b64u(signature), f"{header}.{payload}".encode())
    return json.loads(b64u(payload))

def signature_of(note, name, role, key):  # the line of this name and key, or nothing
    key_id = sha(f"{name}\n".encode() + bytes([role]) + key)[:4]
    for dash, who, blob in (line.split(" ") for line in note.split("\n\n", 1)[1].splitlines()):
        if dash == "—" and who == name and (raw := base64.b64decode(blob))[:4] == key_id:
            return raw[4:]

folder = pathlib.Path(sys.argv[1])
chain = json.loads((folder / "chain.json").read_text())
grant = open_jws(chain["grant"], b64u(chain["authority"]["x"]), "terminal-grant+jws")
keys = {0: b64u(grant["jwk"]["x"])}  # by the first event that each signs
key_of = lambda number: [key for since, key in keys.items() if since <= max(number, 0)][-1]
witness_name, _, blob = (chain["witness"] or "+ +").split("+", 2)
witness = base64.b64decode(blob)[1:]
first, leaves = leaf_hash(chain["grant"].encode()), []
shown = noted = receipted = 0
# Of a selection the hashes of all events are there, so that what is shown has its place among them.
everything = folder / "leaves.txt"
everything = [bytes.fromhex(line) for line in everything.read_text().split()] if everything.exists() else None
tokens = (folder / "events.jws").read_text().splitlines()
for shown, token in enumerate(tokens, 1):
    leaf = leaf_hash(token.encode())
    if everything is not None:
        leaves += everything[len(leaves):everything.index(leaf, len(leaves))]
    number = len(leaves)
    event = open_jws(token, key_of(number), "terminal-event+jws")
    assert event["chainid"] == grant["chain"] and int(event["sequence"]) == number, f"event {number}: place"
    assert b64u(event["prevhash"]) == (leaves[-1] if leaves else first), f"event {number}: prevhash"
    leaves.append(leaf)
    if event["type"] == "key.rotated.v1":  # the last event of its key; the next one proves that it is held
        key, place = b64u(event["data"]["jwk"]["x"]), {name: event[name] for name in ("prevhash", "sequence")}
        assert open_jws(event["data"]["proof"], key, "terminal-rotation+jws") == {"chain": grant["chain"]} | place, "proof"
        assert key not in keys.values(), f"event {number}: a key comes back"
        keys[number + 1] = key
leaves = max(everything or [], leaves, key=len)
for path in sorted((folder / "notes").glob("*.note")):
    text = (note := path.read_text()).split("\n\n", 1)[0] + "\n"
    origin, size, top = text.splitlines()
    assert origin.endswith(f'/{grant["terminal"]}/{grant["chain"]}') and int(size) <= len(leaves), f"{path}: size"
    assert base64.b64decode(top) == root(0, int(size)), f"{path}: root"
    device, noted = key_of(int(size) - 1), max(noted, int(size))
    Ed25519PublicKey.from_public_bytes(device).verify(signature_of(note, origin, 1, device), text.encode())
    if signed := signature_of(note, witness_name, 4, witness):
        said = f"cosignature/v1\ntime {int.from_bytes(signed[:8], 'big')}\n{text}".encode()
        Ed25519PublicKey.from_public_bytes(witness).verify(signed[8:], said)
        receipted = max(receipted, int(size))
decoded, sums = folder / "events.jsonl", folder / "SHA256SUMS"
if sums.exists() or everything is not None:  # a bare chain vouches for its events by itself, but not for its end
    assert noted == len(leaves), f"no note covers what follows the first {noted} of {len(leaves)} events"
if decoded.exists():
    assert decoded.read_bytes() == b"".join(b64u(token.split(".")[1]) + b"\n" for token in tokens), "events.jsonl"
if sums.exists():
    listed = dict(reversed(line.split("  ")) for line in sums.read_text().splitlines())
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    assert listed.keys() == found.keys() - {"SHA256SUMS", "receipt.txt"}, "SHA256SUMS: names"
    assert all(sha(found[name].read_bytes()).hex() == listed[name] for name in listed), "SHA256SUMS: digests"
    print("SHA256SUMS", sha(sums.read_bytes()).hex())
print(f'events {len(leaves)} shown {shown} receipted {receipted} authority {chain["authority"]["x"]} witness {chain["witness"]}')
