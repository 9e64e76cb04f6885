#!/usr/bin/python3
"""Reads test vectors with the decoders of docs/rescue.py, for rescue_test.go.

    readvectors.py RESCUE.PY VECTORS

It prints a line for each vector: its name, and either "ok" and its fields as JSON, or why it is refused. What the
rescue program has no use for (other records than points and enrolments, capture-only keys, where chunks and
pages end) is read here, from docs/format.md alone as well. It checks what the rescue program checks: frames,
seals, signatures, ids and extensions.
"""
import base64, hashlib, hmac, importlib.util, io, json, os, re, struct, sys, tempfile, unicodedata
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

TIME = [("seconds", "i8"), ("nanoseconds", "u4")]
BLOCK = [("offset", "u8"), ("sealed", "u4"), ("plain", "u4"), ("codec", "u1")]
PACKED = BLOCK + [("pieces", "u4", [("id", "b32"), ("length", "u4")])]
RUNS = ("runs", "u2", [("run", "b16"), ("host", "s1")])
BLOCKS = ("blocks", "u4", [("run", "u2"), ("pack", "u4"), ("ordinal", "u4"), *BLOCK])
PLACES = ("places", "u4", [("block", "u4"), ("offset", "u4"), ("length", "u4")])
EXT = ("ext", "u2", [("id", "u2"), ("value", "s4")])
POINT = [
    ("host", "s1"), ("source", "s1"), ("sequence", "u8"), ("flags", "u1"), ("time", "i8"), ("instant", TIME),
    ("began", TIME), ("ended", TIME), ("name", "s2"), ("path", "s2"), ("snapshotter", "s1"), ("snapshot", "s2"),
    ("guid", "u8"), ("set", "u2", [("source", "s1"), ("sequence", "u8")]), ("previous", "b32"), ("read", "u8"),
    ("changed", "u8"), ("new", "u8"), ("added", "u8"), ("unreadable", "u8"),
    ("listed", "u4", [("path", "s2"), ("reason", "s2")]), ("crossed", "u1"), ("excludes", "u2", [("", "s2")]),
    ("version", "s1"), ("root", "s4"), ("usage", "s4"), EXT]
KEEP = [(name, "u4") for name in ("last", "hourly", "daily", "weekly", "monthly", "yearly")]
RECORDS = {  # by type: kind, and what the body is made of
    "index": (3, [("packs", "u4", [("number", "u4"), ("blocks", "u4", PACKED)]), EXT]),
    "point": (4, POINT),
    "intent": (5, POINT),
    "mark": (6, [("signer", "u1"), ("kind", "u1"), ("host", "s1"), ("source", "s1"), ("point", "s2"), ("time", TIME),
                 ("end", TIME), ("text", "s2"), ("bytes", "u8"), EXT]),
    "rules": (7, [("zone", "s1"), ("rules", "u2", [("host", "s1"), ("source", "s1"), *KEEP]), ("time", TIME), EXT]),
    "condemned": (8, [("reason", "u1"), ("time", TIME),
                      ("packs", "u4", [("host", "s1"), ("run", "b16"), ("number", "u4")]), EXT]),
    "moved": (9, [RUNS, BLOCKS, ("moves", "u4", [("ordinal", "u4"), ("offset", "u4"), ("length", "u4"), ("id", "b32"),
                                                 ("block", "u4"), ("start", "u4")]), EXT]),
    "enrolment": (10, [("host", "s1"), ("action", "u1"), ("key", "b32"), ("group", "s1"), ("time", TIME), EXT]),
    "feature": (11, [("needed", "u1"), ("text", "s2"), EXT])}


def load(path):
    """Returns the rescue program as a module."""
    spec = importlib.util.spec_from_file_location("rescue", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plain(value):
    """Returns a value as it is told: strings with a character for each byte."""
    return value.decode("latin-1") if isinstance(value, bytes) else value


def take(stream, form):
    """Takes named values: ("name", form), or ("name", form of the count, row)."""
    fields = {}
    for name, kind, *row in form:
        if row:
            [count] = rescue.take(stream, kind)
            rows = [take(stream, row[0]) for _ in range(count)]
            fields[name] = [item[""] if "" in item else item for item in rows]
        elif isinstance(kind, list):
            fields[name] = take(stream, kind)
        else:
            [value] = rescue.take(stream, kind)
            fields[name] = value.hex() if kind[0] == "b" else plain(value)
    rescue.need(not any(x["id"] % 2 for x in fields.get("ext", [])), "extension")
    return fields


def whole(data, form):
    """Takes the named values that data is."""
    stream = io.BytesIO(data)
    fields = take(stream, form)
    rescue.need(not stream.read(), "trailing")
    return fields


def read(vector):
    """Returns the fields of a vector."""
    readers = {"tidemark.json": repository, "secret": secret, "capture-only": capture_only, "name": name,
               "pack": pack, "page": page, "extents": extents, "cuts": cuts}
    return readers.get(vector["type"], record)(vector)


def repository(vector):
    """Reads tidemark.json (section 3)."""
    match = re.fullmatch(rb'{"format":1,"repository":"([0-9a-f]{32})"}\n', vector["body"])
    rescue.need(match, "text")
    return {"format": 1, "repository": match[1].decode()}


def group_of(repo, vector_group):
    """Returns the secret of a group that is given by its epoch and name (section 4)."""
    epoch, _, group = vector_group.partition(" ")
    key = repo.keys["groups " + epoch]
    return rescue.hkdf(key, b"tidemark 1 group" + struct.pack("<I", int(epoch)) + group.encode())


def index_key(group):
    """Returns the index key of a group, and the id of that (sections 4, 6)."""
    key = rescue.hkdf(group, b"tidemark 1 index")
    return key, hashlib.sha256(b"tidemark 1 index id" + key).digest()[:16]


def public(seed):
    """Returns the public key of a seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def secret(vector):
    """Returns what is derived from a secret."""
    repo = rescue.Repository("", vector["body"].decode())
    groups = []
    for epoch in [word.split()[1] for word in repo.keys if word.startswith("groups ")]:
        for group in ("server", "café"):
            key = group_of(repo, epoch + " " + group)
            chunk, page_key = [rescue.hkdf(key, b"tidemark 1 %s id" % kind) for kind in (b"chunk", b"page")]
            groups.append({"epoch": int(epoch), "name": plain(group.encode()), "secret": key.hex(),
                           "index id": index_key(key)[1].hex(),
                           "id of the chunk abc": hmac.digest(chunk, b"abc", "sha256").hex(),
                           "id of the page abc": hmac.digest(page_key, b"abc", "sha256").hex()})
    signing = repo.keys["signing"]
    host = rescue.hkdf(signing, b"tidemark 1 host" + struct.pack("<I", 3) + b"server")
    return {"repository": repo.id.hex(), "chunking": repo.keys["chunking"].hex(), "verify": public(signing).hex(),
            "host key 3 of server": public(host).hex(), "groups": groups}


def capture_only(vector):
    """Reads a capture-only key (section 4)."""
    form = ("tidemark capture-only key 1\nrepository (H{32})\nhost (.+)\ngroup (\\d+) (H{64}) (.+)\n"
            "recipient (age1.+)\nnames H{64}\nchunking (H{64})\nsigning (H{64})\nverify (H{64})\n")
    match = re.fullmatch(form.replace("H", "[0-9a-f]"), vector["body"].decode())
    rescue.need(match, "text")
    repo, host, epoch, key, group, recipient, chunking, signing, verify = match.groups()
    return {"repository": repo, "host": plain(host.encode()), "recipient": recipient, "chunking": chunking,
            "group": {"epoch": int(epoch), "secret": key, "name": plain(group.encode())},
            "public": public(bytes.fromhex(signing)).hex(), "verify": verify}


def unbase32(segment):
    """Returns the bytes of a segment."""
    return base64.b32decode(segment.upper() + b"=" * (-len(segment) % 8))


def seal(repo, text, host=None):
    """Returns what stands for the name of a host, or of a source of a host (section 5)."""
    context = b"\2" + unbase32(seal(repo, host))[:16] if host else b"\1"
    padded = bytes([len(text)]) + text + bytes(31 - len(text) % 32)
    tag = hmac.digest(rescue.hkdf(repo.keys["names"], b"tidemark 1 names mac"), context + padded, "sha256")[:16]
    key = rescue.hkdf(repo.keys["names"], b"tidemark 1 names cipher")
    cipher = Cipher(algorithms.AES(key), modes.CTR(tag)).encryptor()
    return base64.b32encode(tag + cipher.update(padded)).lower().rstrip(b"=")


def name(vector):
    """Opens a sealed name: the one that, sealed, is this (section 5)."""
    repo, segment = vector["repo"], vector["body"]
    sealed = unbase32(segment)
    key = rescue.hkdf(repo.keys["names"], b"tidemark 1 names cipher")
    padded = Cipher(algorithms.AES(key), modes.CTR(sealed[:16])).encryptor().update(sealed[16:])
    text = padded[1:1 + padded[0]]
    host = vector["host"].encode() if "host" in vector else None
    rescue.need(0 < len(text) <= 64 and seal(repo, text, host) == segment, "seal")
    valid = text not in (b".", b"..") and b"/" not in text
    rescue.need(valid and not any(unicodedata.category(c) == "Cc" for c in text.decode()), "text")
    return {"name": plain(text)}


def record(vector):
    """Opens a record, and one that is not sealed (sections 6, 12, 13)."""
    repo, (kind, form) = vector["repo"], RECORDS[vector["type"]]
    with tempfile.TemporaryDirectory() as repo.root:
        path = os.path.join(repo.root, vector["object"])
        os.makedirs(os.path.dirname(path))
        with open(path, "wb") as file:
            file.write(vector["body"])
        fields = whole(body(repo, vector, kind), form)
    if kind == 9:
        fields = {"moves": [move(fields, row) for row in fields["moves"]], "ext": fields["ext"]}
    return fields


def body(repo, vector, kind):
    """Returns the body of a record: what docs/rescue.py gives of all of it, or what is not sealed or signed."""
    file, frame = repo.open(kind, vector["object"])
    if kind == 11:
        return file.read()
    signers = [Ed25519PublicKey.from_public_bytes(public(repo.keys["signing"]))]
    if kind in (4, 5) or kind == 6 and file.read(1) == b"\1":
        signers = [Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)) for key in vector["signers"].split()]
    if kind == 8:
        signed = file.read()
        signers[0].verify(signed[-64:], b"tidemark 1 signed" + frame + signed[:-64])
        return signed[:-64]
    if kind in (3, 9):
        key, id = index_key(group_of(repo, vector["group"]))
        rescue.need(rescue.take(file, "u1 b16 s2") == [3, id, b""], "range")
        info = b"tidemark 1 record" + bytes([kind]) + vector["object"].encode()
        opener, bound = AESGCM(rescue.hkdf(key, info, repo.id)), vector["body"][:len(frame) + 19]
        signed = opener.decrypt(file.read(12), file.read(), bound)
        if kind == 3:
            return signed
        signers[0].verify(signed[-64:], b"tidemark 1 signed" + frame + signed[:-64])
        return signed[:-64]
    # The rescue program's own function takes a form; that of all bytes is what they are.
    data, closed = [], rescue.end
    rescue.end = lambda stream: data.append(stream.getvalue())
    try:
        repo.record(vector["object"], kind, "", signers)
    finally:
        rescue.end = closed
    return data[0]


def resolve(tables, index, own=None):
    """Returns a block of the tables of runs and blocks."""
    if index == 2**32 - 1:
        return own
    block = dict(tables["blocks"][index])
    run = tables["runs"][block.pop("run")]
    return {**run, **block}


def move(tables, row):
    """Returns where a piece went (section 13)."""
    to = {"block": resolve(tables, row["block"]), "offset": row["start"], "length": row["length"]}
    return {"ordinal": row["ordinal"], "offset": row["offset"], "id": row["id"], "to": to}


def pack(vector):
    """Opens the directory and all blocks of a pack (section 7)."""
    repo, data, kind = vector["repo"], vector["body"], int(vector["kind"])
    rescue.need(hashlib.sha256(data[:-32]).digest() == data[-32:], "sum")
    with tempfile.TemporaryDirectory() as repo.root:
        path = os.path.join(repo.root, vector["object"])
        os.makedirs(os.path.dirname(path))
        with open(path, "wb") as file:
            file.write(data)
        repo.block.cache_clear()
        file, _ = repo.open(kind, vector["object"])
        run, number, _ = rescue.take(file, "b16 u4 s2")
        rescue.need(vector["object"].endswith("/%s/%08x" % (run.hex(), number)), "name")
        [length] = struct.unpack_from("<I", data, len(data) - 36)
        start = len(data) - 36 - length
        directory, _, _ = repo.block(kind, run, b"", number, 2**32 - 1, start, length, length - 16, 0)
        fields = whole(directory, [("blocks", "u4", PACKED), EXT])
        plains = []
        for ordinal, b in enumerate(fields["blocks"]):
            block = (run, b"", number, ordinal, b["offset"], b["sealed"], b["plain"], b["codec"])
            plains.append(repo.block(kind, *block)[0])
            at = 0
            for piece in b["pieces"]:
                repo.piece(kind, bytes.fromhex(piece["id"]), block, at, piece["length"])
                at += piece["length"]
    begin = len(data) if not fields["blocks"] else fields["blocks"][0]["offset"]
    return {"run": run.hex(), "number": number, "begin": begin, **fields, "plain": [plain(data) for data in plains]}


def page(vector):
    """Takes a page apart (sections 9 to 11)."""
    data = vector["body"]
    if "id" in vector:
        identity = data[12:12 + int.from_bytes(data[:4], "little")]
        key = rescue.hkdf(group_of(vector["repo"], vector["group"]), b"tidemark 1 page id")
        rescue.need(hmac.digest(key, identity, "sha256").hex() == vector["id"], "id")
    own = json.loads(vector["block"]) if "block" in vector else None
    stream = io.BytesIO(data)
    identity, hints, places = [io.BytesIO(stream.read(size)) for size in rescue.take(stream, "u4 u4 u4")]
    kind, level, _, count = rescue.take(identity, "u1 u1 u2 u4")
    tables = take(places, [RUNS, BLOCKS, PLACES])
    found = [{"block": resolve(tables, place["block"], own), "offset": place["offset"], "length": place["length"]}
             for place in tables["places"]]
    hints = rescue.divide(hints, count) if kind == 1 and level == 0 else [b""] * count
    rows = zip(rescue.divide(identity, count), hints, rescue.divide(places, count, found))
    told = [tell(kind, level, io.BytesIO(row), io.BytesIO(hint), iter(at)) for row, hint, at in rows]
    return {"kind": kind, "level": level, "rows": told}


def tell(kind, level, row, hint, places):
    """Returns the fields of a row of a page."""
    forms = {1: [("first", "s1"), ("id", "b32"), ("names", "u8"), ("files", "u8"), ("directories", "u8"), ("bytes", "u8")],
             2: [("id", "b32"), ("bytes", "u8"), ("extents", "u8")],
             3: [("first", "b20"), ("id", "b32"), ("packs", "u8"), ("references", "u8"), ("bytes", "u8")]}
    if level > 0:
        return {**take(row, forms[kind]), "place": next(places)}
    if kind == 1:
        return {**node(row, places), "hints": hinted(hint)}
    if kind == 2:
        return extent(row, places)
    return take(row, [("run", "b16"), ("number", "u4"), ("host", "s1"), ("references", "u8"), ("bytes", "u8")])


def extent(row, places):
    """Takes an extent (section 8)."""
    if rescue.take(row, "u1") == [0]:
        return take(row, [("length", "u8")])
    return {**take(row, [("length", "u4"), ("id", "b32")]), "place": next(places)}


def node(row, places):
    """Takes a node (section 10)."""
    fields = take(row, [("name", "s1"), ("type", "u1"), ("flags", "u1"), ("mode", "u2"), ("uid", "u4"), ("gid", "u4"),
                        ("owner", "s1"), ("group", "s1"), ("mtime", TIME)])
    kind, flags = fields["type"], fields.pop("flags")
    if flags & 1:
        fields.update(take(row, [("birth", TIME)]))
    if flags & 2:
        fields.update(take(row, [("link group", "b16"), ("links", "u4")]))
    if flags & 8:
        fields.update(take(row, [("inode flags", "u4"), ("project", "u4")]))
    fields["xattrs"] = [xattr(row, places) for _ in range(*rescue.take(row, "u2"))]
    if flags & 4:
        fields.update(take(row, [("size", "u8"), ("unreadable", "s2")]))
    elif kind == 1:
        fields.update(content(row, places))
    elif kind == 2:
        fields.update(take(row, [("names", "u8"), ("files", "u8"), ("directories", "u8"), ("bytes", "u8")]))
        if fields["names"]:
            fields.update(take(row, [("level", "u1"), ("id", "b32")]), place=next(places))
    else:
        form = {3: [("target", "s2")], 6: [("major", "u4"), ("minor", "u4")], 7: [("major", "u4"), ("minor", "u4")]}
        fields.update(take(row, form.get(kind, [])))
    fields.update(take(row, [EXT]))
    return fields


def xattr(row, places):
    """Takes an xattr."""
    fields = take(row, [("name", "s1"), ("form", "u1")])
    if fields.pop("form") == 0:
        return {**fields, **take(row, [("value", "s4")])}
    return {**fields, **take(row, [("length", "u4"), ("id", "b32")]), "place": next(places)}


def content(row, places):
    """Takes the content of a file."""
    size, form = rescue.take(row, "u8 u1")
    if form == 0:
        return {"size": size, "inline": plain(row.read(size))}
    if form == 1:
        return {"size": size, "extents": [extent(row, places) for _ in range(*rescue.take(row, "u1"))]}
    return {"size": size, **take(row, [("level", "u1"), ("id", "b32"), ("count", "u8")]), "place": next(places)}


def hinted(hint):
    """Takes the hints of a row."""
    fields = take(hint, [("ctime", TIME), ("inode", "u8"), ("filesystem", "u4"), ("allocation", "u1")])
    if fields["allocation"] == 2:
        fields.update(take(hint, [("holes", "u4", [("offset", "u8"), ("length", "u8")])]))
    return fields


def described(lines):
    """Returns the content that lines describe."""
    data = b""
    for line in lines:
        kind, *words, size = line.split()
        if kind == "sha256-counter":
            blocks = range(-(-int(size) // 32))
            made = b"".join(hashlib.sha256(words[0].encode() + struct.pack("<Q", n)).digest() for n in blocks)
            data += made[:int(size)]
        else:
            data += (bytes.fromhex(words[0]) if words else b"\0") * int(size)
    return data


def split(data, mean, gear):
    """Yields the extents of a content: bytes, or the length of zeros (section 8)."""
    unit = 65536
    zero = [not any(data[at:at + unit]) for at in range(0, len(data) - unit + 1, unit)] + [False]
    at = 0
    while at < len(data):
        here = zero[at // unit]
        end = at
        while end < len(data) and zero[end // unit] == here:
            end = min(end + unit, len(data))
        if here:
            yield end - at
        else:
            yield from chunks(data[at:end], mean, gear)
        at = end


def chunks(span, mean, gear):
    """Yields the chunks of a span."""
    bits = mean.bit_length() - 1
    masks = [(1 << count) - 1 << 64 - count for count in (bits + 2, bits - 2)]
    while span:
        limit, h = min(4 * mean, len(span)), 0
        size = limit
        for i in range(mean // 4, limit):
            h = (h << 1) + gear[span[i]] & 0xffffffffffffffff
            if h & masks[i >= mean] == 0:
                size = i + 1
                break
        yield span[:size]
        span = span[size:]


def extents(vector):
    """Divides the content that a vector describes, and compares the extents with its body."""
    chunking = vector["repo"].keys["chunking"]
    prk = hmac.digest(b"", chunking, "sha256")
    gear = struct.unpack("<256Q", HKDFExpand(SHA256(), 2048, b"tidemark 1 gear table").derive(prk))
    key = rescue.hkdf(group_of(vector["repo"], vector["group"]), b"tidemark 1 chunk id")
    stream, rows = io.BytesIO(vector["body"]), []
    for part in split(described(vector["content"]), int(vector["mean"]), gear):
        row = extent(stream, iter([None]))
        row.pop("place", None)
        rows.append(row)
        want = {"length": part} if isinstance(part, int) else {
            "length": len(part), "id": hmac.digest(key, part, "sha256").hex()}
        rescue.need(row == want, "id")
    rescue.need(not stream.read(), "trailing")
    return {"extents": rows}


def cuts(vector):
    """Returns the rows after which a page ends (section 9)."""
    least, modulus = (4, 256) if vector["level"] == "interior" else (16, 128)
    rows = [line.split() for line in vector["body"].decode().splitlines()]
    ends, count, length = [], 0, 0
    for number, (size, key) in enumerate(rows, 1):
        count, length = count + 1, length + int(size)
        by_key = key != "-" and count >= least and key_hash(bytes.fromhex(key)) % modulus == 0
        if by_key or length >= 131072 or number == len(rows):
            ends.append(number)
            count, length = 0, 0
    return {"pages end after row": ends}


def key_hash(key):
    """H of section 9."""
    h = 14695981039346656037
    for c in key:
        h = (h ^ c) * 1099511628211 & 0xffffffffffffffff
    for factor in (0xff51afd7ed558ccd, 0xc4ceb9fe1a85ec53):
        h = (h ^ h >> 33) * factor & 0xffffffffffffffff
    return h ^ h >> 33


def parse(directory, file):
    """Returns the lines of a vector's header, and its body."""
    with open(os.path.join(directory, file), "rb") as stream:
        head, _, data = stream.read().partition(b"\n\n")
    lines = [line.split(": ", 1) for line in head.decode().split("\n")]
    return {**dict(lines), "content": [value for name, value in lines if name == "content"], "body": data}


def main(path, directory):
    """Reads all vectors."""
    global rescue
    rescue = load(path)
    secrets = parse(directory, "secret")["body"].decode()
    repo = rescue.Repository("", secrets)
    for file in sorted(os.listdir(directory)):
        vector = {**parse(directory, file), "repo": repo}
        try:
            print(file, "ok", json.dumps(read(vector)))
        except Exception as error:
            print(file, str(error) or type(error).__name__)


main(*sys.argv[1:])
