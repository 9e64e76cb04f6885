#!/usr/bin/python3
"""Restores files from a Tidemark repository without Tidemark. Written from docs/format.md alone.

    rescue.py REPOSITORY IDENTITY [list]
    rescue.py REPOSITORY IDENTITY restore POINT [PATH] TARGET

REPOSITORY is a directory, IDENTITY a file for age -i, or - where age is to ask for a passphrase. restore
makes TARGET, which must not exist, of a POINT as list prints it, or of one PATH in it. What is damaged, or
not signed by who may, is named and left out, and the exit code is 1. Not restored are birth times, inode
flags and project ids, and if this is not root owners and devices. What moved/ says is not looked for.

It needs age and Debian's python3-cryptography and python3-zstandard. Sections are those of format.md.
"""
import contextlib, functools, glob, hashlib, hmac, io, os, re, stat, struct, subprocess, sys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
import zstandard

# The form of a point (section 12), for take().
POINT = "s1 s1 u8 u1 i8 b36 s2 s2 s1 s2 u8 u2(s1 u8) b32 b40 u4(s2 s2) u1 u2(s2) s1 s4 s4"

def need(good, word):
    """Refuses what is being read, for a reason of section 17, unless it is good."""
    if not good:
        raise ValueError(word)

def take(stream, form):
    """Takes values (section 2): u4, i8 are integers, b16 bytes, s2 bytes after their length, u4(…) rows."""
    values = []
    for kind, size, row in re.findall(r"([uisb])(\d+)(?:\((.*?)\))?", form):
        value = stream.read(int(size))
        need(len(value) == int(size), "truncated")
        if kind != "b":
            value = int.from_bytes(value, "little", signed=kind == "i")
        if kind == "s":
            value = stream.read(value)
        values.append([take(stream, row) for _ in range(value)] if row else value)
    return values

def end(stream):
    """Takes the extensions that a row or a body ends in; an odd one must be understood (section 2)."""
    need(not any(number % 2 for number, _ in take(stream, "u2(u2 s4)")[0]), "extension")

def divide(stream, count, items=None):
    """Takes the ends of rows, and returns the rows: parts of items, or of what follows (section 9)."""
    ends = [0, *take(stream, "u4" * count)]
    items = stream.read() if items is None else items
    return [items[begin:end] for begin, end in zip(ends, ends[1:])]

def hkdf(key, info, salt=b""):
    """Derives a key of 32 bytes (section 4)."""
    return hmac.digest(hmac.digest(salt, key, "sha256"), info + b"\1", "sha256")

def age(*arguments, stdin=None):
    """Returns what age decrypts, or nothing."""
    return subprocess.run(["age", "-d", *arguments], input=stdin, capture_output=True).stdout

def unlock(root, identity):
    """Returns the best of the secrets that identity opens: of the highest epoch (section 4)."""
    options = [] if identity == "-" else ["-i", identity]
    secrets = [age(*options, path).decode() for path in glob.glob(os.path.join(root, "keys", "*.age"))]
    epochs = [[int(epoch) for epoch in re.findall(r"\ngroups (\d+)", secret)] for secret in secrets]
    need(any(epochs), "none of the files in keys/ opens with " + identity)
    return max(zip(epochs, secrets), key=lambda pair: (pair[0][-1:], pair[1].count("\nidentity ")))[1]

class Repository:
    """The objects below a directory, and the keys to them. reading names the object that was opened last."""

    def __init__(self, root, secret):
        self.root, self.reading, self.links, self.refused = root, "", {}, False
        self.keys = {name: bytes.fromhex(key) for name, key in re.findall(r"(.+) (\w{32,})\n", secret)}
        self.id = self.keys["repository"]
        self.identities = os.memfd_create("identities")  # in memory, for age to read
        os.write(self.identities, "\n".join(re.findall("\nidentity (.*)", secret)).encode())

    def open(self, kind, name):
        """Opens an object and checks its frame, which it returns too (section 6)."""
        self.reading, file = name, open(os.path.join(self.root, name), "rb")
        frame = b"TDMK" + bytes([kind, 1, 0, 0]) + self.id + struct.pack("<H", len(name)) + name.encode()
        need(file.read(len(frame)) == frame, "frame")
        return file, frame

    @functools.lru_cache(maxsize=None)
    def run(self, id, sealed):
        """Opens a run secret: the run's key, and those of the ids in its data and tree packs (section 4)."""
        secret = age("-i", "/proc/%d/fd/%d" % (os.getpid(), self.identities), stdin=sealed)
        need(hashlib.sha256(b"tidemark 1 run" + secret).digest()[:16] == id, "id")
        key, epoch, group = take(io.BytesIO(secret), "b32 u4 s1")
        group = hkdf(self.keys["groups %d" % epoch], b"tidemark 1 group" + struct.pack("<I", epoch) + group)
        return key, hkdf(group, b"tidemark 1 chunk id"), hkdf(group, b"tidemark 1 page id")

    def record(self, name, kind, form, signers):
        """Opens a record that one of the signers signed, and returns its fields (section 6)."""
        file, frame = self.open(kind, name)
        sealing, id, sealed = take(file, "u1 b16 s2")
        key = self.run(id, sealed)[0] if sealing == 1 else self.keys["records"]
        key = AESGCM(hkdf(key, b"tidemark 1 record" + bytes([kind]) + name.encode(), self.id))
        bound = frame + bytes([sealing]) + id + struct.pack("<H", len(sealed)) + sealed
        signed = key.decrypt(file.read(12), file.read(), bound)
        for signer in signers:
            with contextlib.suppress(InvalidSignature):
                signer.verify(signed[-64:], b"tidemark 1 signed" + frame + signed[:-64])
                body = io.BytesIO(signed[:-64])
                fields = take(body, form)
                end(body)
                return fields
        raise ValueError("signature")

    def point(self, name):
        """Opens a point, signed by a key that its host enrolled and never revoked (sections 12, 13)."""
        signer = Ed25519PrivateKey.from_private_bytes(self.keys["signing"]).public_key()
        names = glob.glob("hosts/%s/%s" % (name.split("/")[1], "[0-9a-f]" * 8), root_dir=self.root)
        found = [self.attempt(self.record, each, 10, "s1 u1 b32 s1 b12", [signer]) for each in names]
        enrolments = [enrolment for enrolment in found if enrolment]
        revoked = [key for _, action, key, *_ in enrolments if action == 2]
        keys = [Ed25519PublicKey.from_public_bytes(key) for _, _, key, *_ in enrolments if key not in revoked]
        return self.record(name, 4, POINT, keys)

    @functools.lru_cache(maxsize=16)
    def block(self, kind, run, host, number, ordinal, offset, sealed, plain, codec):
        """Returns the plain bytes of a block, the key of the ids in it, and its pack's name (section 7)."""
        name = "packs/*/%s/%08x" % (run.hex(), number)
        file, _ = self.open(kind, *glob.glob(name, root_dir=self.root) or [name])
        keys = self.run(run, take(file, "b16 u4 s2")[2])
        key = AESGCM(hkdf(keys[0], b"tidemark 1 pack" + struct.pack("<BI", kind, number), self.id))
        bound = self.id + run + struct.pack("<IIBBI", number, ordinal, kind, codec, plain)
        file.seek(offset)
        data = key.decrypt(struct.pack("<IQ", ordinal, 0), file.read(sealed), bound)
        data = zstandard.ZstdDecompressor().decompress(data, plain) if codec else data
        need(len(data) == plain, "length")
        return data, keys[kind], self.reading

    def piece(self, kind, id, block, offset, length):
        """Returns the chunk (kind 1) or the page (kind 2) that an id names (sections 4, 9)."""
        data, key, self.reading = self.block(kind, *block)
        data = data[offset:offset + length]
        named = data if kind == 1 else data[12:12 + int.from_bytes(data[:4], "little")]
        need(hmac.digest(key, named, "sha256") == id, "id")
        return data

    def leaves(self, page, own=None):
        """Yields the rows of the leaf pages at and below a page, with their hints and places (section 9)."""
        page = io.BytesIO(page)
        identity, hints, places = [io.BytesIO(page.read(size)) for size in take(page, "u4 u4 u4")]
        kind, level, _, count = take(identity, "u1 u1 u2 u4")
        runs, blocks, found = take(places, "u2(b16 s1) u4(u2 u4 u4 u8 u4 u4 u1) u4(u4 u4 u4)")
        blocks = dict(enumerate((*runs[index], *rest) for index, *rest in blocks))
        found = [(blocks.get(index, own), *rest) for index, *rest in found]
        hints = divide(hints, count) if kind == 1 and level == 0 else [b""] * count
        for row, hint, at in zip(divide(identity, count), hints, divide(places, count, found)):
            if level == 0:
                yield io.BytesIO(row), io.BytesIO(hint), iter(at)
            else:
                yield from self.below(row[-64:-32] if kind == 1 else row[:32], at[0])

    def below(self, id, place):
        """Yields the leaf rows at and below the page that an id names."""
        return self.leaves(self.piece(2, id, *place), place[0])

    def value(self, row, places, other):
        """Takes a chunk, if the next byte says so, or a value of another form (sections 8, 10)."""
        if take(row, "u1") == [0]:
            return take(row, other)[0]
        return self.piece(1, take(row, "u4 b32")[1], *next(places))

    def content(self, row, places):
        """Yields what a file holds: bytes, or the length of zeros (sections 8, 10)."""
        size, form = take(row, "u8 u1")
        if form == 0:
            yield row.read(size)
        elif form == 1:
            yield from [self.value(row, places, "u8") for _ in range(*take(row, "u1"))]
        else:
            for extent, _, at in self.below(take(row, "u1 b32 u8")[1], next(places)):
                yield self.value(extent, at, "u8")

    def write(self, path, row, hint, places):
        """Makes a file, allocated but for the holes that its hints know of (section 10)."""
        allocation = take(hint, "b24 u1")[1]
        with open(path, "xb") as file, contextlib.ExitStack() as undo:
            undo.callback(os.unlink, path)
            for data in self.content(row, places):
                if isinstance(data, int):
                    file.seek(data, os.SEEK_CUR)
                    continue
                for page in [data[begin:begin + 4096] for begin in range(0, len(data), 4096)]:
                    file.write(page) if any(page) or allocation == 1 else file.seek(len(page), os.SEEK_CUR)
            end(row)
            size = file.tell()
            holes = take(hint, "u4(u8 u8)")[0] if allocation == 2 else [(0, size)] * allocation
            for begin, limit in zip([0, *map(sum, holes)], [*(begin for begin, _ in holes), size]):
                if begin < limit:
                    os.posix_fallocate(file.fileno(), begin, limit - begin)
            file.truncate(size)
            undo.pop_all()

    def restore(self, path, wanted, row, hint, places):
        """Makes path what a row says, or what the row at the path wanted below it says (section 10)."""
        kind, flags, mode, uid, gid, _, _, seconds, nanoseconds = take(row, "u1 u1 u2 u4 u4 s1 s1 i8 u4")
        take(row, "b12" * (flags & 1))
        link = take(row, "b16 u4")[0] if flags & 2 else None
        take(row, "b8" * (flags >> 3))
        xattrs = [(take(row, "s1")[0], self.value(row, places, "s4")) for _ in range(*take(row, "u2"))]
        need(flags & 4 == 0, "it could not be read when it was captured")
        need(kind == 2 or not wanted, "no such path")
        content = take(row, {3: "s2", 6: "u4 u4", 7: "u4 u4"}.get(kind, ""))
        if kind > 2:
            end(row)
        elif kind == 2:
            self.directory(path, wanted, row, places)
        if wanted:
            return
        if link and link in self.links:
            os.link(self.links[link], path, follow_symlinks=False)
        elif kind == 1:
            self.write(path, row, hint, places)
        elif kind == 3:
            os.symlink(*content, path)
        elif kind > 3:
            form = [stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK][kind - 4]
            os.mknod(path, form, os.makedev(*content) if content else 0)
        self.links[link] = path
        if os.geteuid() == 0:
            os.chown(path, uid, gid, follow_symlinks=False)
        for name, value in xattrs:
            self.attempt(os.setxattr, path, name, value, follow_symlinks=False)
        if kind != 3:
            os.chmod(path, mode)
        os.utime(path, ns=(seconds * 10**9 + nanoseconds,) * 2, follow_symlinks=False)

    def directory(self, path, wanted, row, places):
        """Makes a directory and what is in it, or only what is wanted of that."""
        names, _ = take(row, "u8 b24")
        rows = self.below(take(row, "u1 b32")[1], next(places)) if names else []
        end(row)
        if not wanted:
            os.mkdir(path, 0o700)
        for child, hint, at in rows:
            name, = take(child, "s1")
            need(os.path.basename(name) == name and name not in (b"", b".", b".."), "text")
            if wanted[:1] == [name]:
                return self.restore(path, wanted[1:], child, hint, at)
            if not wanted:
                self.attempt(self.restore, os.path.join(path, name), [], child, hint, at)
        need(not wanted, "no such path")

    def attempt(self, function, name, *arguments, **options):
        """Calls a function, and says what it refuses."""
        try:
            return function(name, *arguments, **options)
        except Exception as error:
            self.refused = True
            print("rescue.py: %r: %s: %s" % (name, self.reading, str(error) or "seal"), file=sys.stderr)

def main(root, identity, command="list", *arguments):
    """Lists the points of a repository, or restores one. Returns whether something was refused."""
    repository = Repository(root, unlock(root, identity))
    sys.setrecursionlimit(100_000)  # three calls a directory
    for name in glob.glob("features/*", root_dir=root):
        need(take(repository.open(11, name)[0], "u1")[0] & 1 == 0, "this program is too old for " + name)
    points = sorted(glob.glob("points/*/*/*Z-*-*-*", root_dir=root))
    for name in points if command == "list" else arguments[:1]:
        point = repository.attempt(repository.point, name)
        if point and command == "list":
            when, _, flags, _ = os.path.basename(name).split("-")
            host, source = [part.decode(errors="replace") for part in point[:2]]
            print(name, repr(host), repr(source), when, "complete" if flags[0] == "c" else "incomplete")
        elif point:
            row, hint, places = next(repository.leaves(point[-2]))
            take(row, "s1")
            wanted = [part for part in os.fsencode("".join(arguments[1:-1])).split(b"/") if part]
            repository.attempt(repository.restore, os.fsencode(arguments[-1]), wanted, row, hint, places)
    return repository.refused

if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 2 else __doc__)
    except ValueError as error:
        sys.exit("rescue.py: %s" % error)
