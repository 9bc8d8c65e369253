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
    head = json.loads(b64u(header))
    assert head["alg"] in ("EdDSA", "Ed25519") and head["typ"] == typ, "kind of token"
    Ed25519PublicKey.from_public_bytes(key).verify(b64u(signature), f"{header}.{payload}".encode())
    return json.loads(b64u(payload))

def signature_of(note, name, role, key):
    """The signature line of this name and key, or nothing."""
    key_id = sha(f"{name}\n".encode() + bytes([role]) + key)[:4]
    for line in note.split("\n\n", 1)[1].splitlines():
        dash, who, blob = line.split(" ")
        blob = base64.b64decode(blob)
        if dash == "—" and who == name and blob[:4] == key_id:
            return blob[4:]

folder = pathlib.Path(sys.argv[1])
chain = json.loads((folder / "chain.json").read_text())
authority = b64u(chain["authority"]["x"])
grant = open_jws(chain["grant"], authority, "terminal-grant+jws")
device = b64u(grant["jwk"]["x"])
witness_name, _, blob = (chain["witness"] or "+ +").split("+", 2)
witness = base64.b64decode(blob)[1:]
first, leaves, shown = leaf_hash(chain["grant"].encode()), [], 0
hidden = noted = receipted = 0
# Of a selection the hashes of all events are there, so that what is shown has its place among them.
everything = folder / "leaves.txt"
everything = [bytes.fromhex(line) for line in everything.read_text().split()] if everything.exists() else None
tokens = (folder / "events.jws").read_text().splitlines()
for shown, token in enumerate(tokens, 1):
    event, leaf = open_jws(token, device, "terminal-event+jws"), leaf_hash(token.encode())
    if everything is not None:
        place = everything.index(leaf, len(leaves))
        hidden = place if place > len(leaves) else hidden
        leaves += everything[len(leaves):place]
    number = len(leaves)
    assert event["chainid"] == grant["chain"] and int(event["sequence"]) == number, f"event {number}: place"
    assert b64u(event["prevhash"]) == (leaves[-1] if leaves else first), f"event {number}: prevhash"
    leaves.append(leaf)
leaves, hidden = (everything, len(everything)) if len(everything or []) > len(leaves) else (leaves, hidden)
for path in sorted((folder / "notes").glob("*.note")):
    note = path.read_text()
    text = note.split("\n\n", 1)[0] + "\n"
    origin, size, top = text.splitlines()
    assert origin.endswith(f'/{grant["terminal"]}/{grant["chain"]}') and int(size) <= len(leaves), f"{path}: size"
    assert base64.b64decode(top) == root(0, int(size)), f"{path}: root"
    Ed25519PublicKey.from_public_bytes(device).verify(signature_of(note, origin, 1, device), text.encode())
    noted = max(noted, int(size))
    if signed := signature_of(note, witness_name, 4, witness):
        said = f"cosignature/v1\ntime {int.from_bytes(signed[:8], 'big')}\n{text}".encode()
        Ed25519PublicKey.from_public_bytes(witness).verify(signed[8:], said)
        receipted = max(receipted, int(size))
assert hidden <= noted, f"leaves.txt: no signature covers what follows event {noted - 1}"
decoded, sums = folder / "events.jsonl", folder / "SHA256SUMS"
if decoded.exists():
    assert decoded.read_bytes() == b"".join(b64u(token.split(".")[1]) + b"\n" for token in tokens), "events.jsonl"
if sums.exists():
    listed = dict(reversed(line.split("  ")) for line in sums.read_text().splitlines())
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    assert listed.keys() == found.keys() - {"SHA256SUMS", "receipt.txt"}, "SHA256SUMS: names"
    assert all(sha(found[name].read_bytes()).hex() == listed[name] for name in listed), "SHA256SUMS: digests"
    print("SHA256SUMS", sha(sums.read_bytes()).hex())
print(f'events {len(leaves)} shown {shown} receipted {receipted} authority {chain["authority"]["x"]} witness {chain["witness"]}')
