"""`DriveServer`: what Google Drive does with files, on this machine and in memory, and what it does on bad days."""

import base64
import hashlib
import http.server
import json
import re
import threading
import time
import urllib.parse
from dataclasses import dataclass, field

FOLDER = "application/vnd.google-apps.folder"
GRAIN = 256 << 10
"""What pieces of an upload must be a multiple of, except the last."""

REFRESH = "a person's refresh token"


@dataclass
class Fault:
    """What is done to a request that matches `on` (method and path), after `skip` of them, `times` times.

    answer    this `status`, with a `reason` and a `wait`; nothing else happens
    unheard   the connection ends before anything is done
    lost      it is done, and the connection ends without an answer
    half      it is done, and the connection ends in the middle of the answer
    stall     it is done, and nothing is answered for a second
    trickle   it is done, and the answer comes a byte at a time
    drip      the same after the headers
    partial   of the piece of an upload only the first 256 KiB are kept
    drop      the upload is forgotten
    flip      one bit of the body of the answer is another
    """

    kind: str
    on: str = ""
    skip: int = 0
    times: int = 1
    status: int = 503
    reason: str = ""
    message: str = "Something."
    wait: str = ""
    body: bytes | None = None


@dataclass
class Item:
    """A file or a folder."""

    id: str
    name: str
    parents: list
    mime: str
    content: bytes = b""
    trashed: bool = False
    drive: str = ""
    made: float = 0.0
    changed: float = 0.0


@dataclass
class Session:
    """An upload that is under way."""

    id: str
    size: int
    made: dict | None
    content: bytearray = field(default_factory=bytearray)
    done: bool = False


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status, reason, message="Something."):
        self.status, self.reason, self.message = status, reason, message


class DriveServer(http.server.ThreadingHTTPServer):
    """Everything that a test may look at, and the switches. `asked` holds method and path of all requests."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.items = {"0rootrootrootrootroot": Item("0rootrootrootrootroot", "My Drive", [], FOLDER)}
        self.sessions, self.reserved, self.tokens, self.hidden = {}, set(), set(), set()
        self.asked, self.faults, self.headers_seen = [], [], []
        self.count, self.skew, self.page, self.room, self.may_delete = 0, 0.0, 1000, 1 << 40, True
        self.lock, self.released = threading.RLock(), threading.Event()

    def handle_error(self, request, client_address):
        """Quiet: clients leave in the middle of answers."""

    def add(self, kind, **options):
        self.faults.append(Fault(kind, **options))

    def number(self):
        self.count += 1
        return self.count

    def put(self, name, content=None, parent="0rootrootrootrootroot", **options):
        """A file, or without content a folder, as another tool would make it: its id."""
        item = Item(
            f"other-{self.number():016}", name, [parent], FOLDER if content is None else "text/plain", **options
        )
        item.content, item.made, item.changed = content or b"", self.count, self.count
        self.items[item.id] = item
        return item.id

    def remove(self, id_):
        """For good, with all that is in it."""
        self.items.pop(id_)
        for child in [one.id for one in self.items.values() if id_ in one.parents]:
            self.remove(child)

    def find(self, name):
        """All items of this name that are not in the bin."""
        return [one for one in self.items.values() if one.name == name and not self.in_bin(one)]

    def in_bin(self, item):
        return item.trashed or any(self.in_bin(self.items[one]) for one in item.parents if one in self.items)

    def root_of(self, id_):
        return "0rootrootrootrootroot" if id_ == "root" else id_

    def take_fault(self, line):
        for fault in self.faults:
            if fault.times and re.search(fault.on, line):
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        """Quiet."""

    def handle_any(self):
        server = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(parts.query))
        with server.lock:
            line = f"{self.command} {parts.path}"
            server.asked.append(line)
            server.headers_seen.append(dict(self.headers))
            fault = server.take_fault(line)
            kind = fault.kind if fault else ""
            if kind == "unheard":
                return self.end()
            try:
                if kind == "answer":
                    raise Refused(fault.status, fault.reason, fault.message)
                if kind == "drop":
                    server.sessions.pop(self.query.get("upload_id"), None)
                status, headers, answer = self.route(parts.path, body, kind == "partial")
            except Refused as error:
                errors = [{"domain": "global", "reason": error.reason, "message": error.message}]
                shown = {"error": {"code": error.status, "message": error.message, "errors": errors}}
                status, headers, answer = error.status, {}, json.dumps(shown).encode()
                if kind == "answer":
                    headers = {"Retry-After": fault.wait} if fault.wait else {}
                    answer = answer if fault.body is None else fault.body
        return self.reply(kind, status, headers, answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def end(self):
        self.close_connection = True
        self.connection.shutdown(2)

    def reply(self, kind, status, headers, body):
        if kind == "flip" and body:
            body = body[:-1] + bytes([body[-1] ^ 1])
        lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}"]
        head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items())]).encode() + b"\r\n\r\n"
        answer = head + body
        if kind == "lost":
            return self.end()
        if kind == "half":
            self.wfile.write(answer[: len(head) + len(body) // 2 if body else len(head) // 2])
            return self.end()
        if kind == "stall" and self.server.released.wait(1):
            return self.end()
        if kind in ("trickle", "drip"):
            done = 0 if kind == "trickle" else len(head)
            self.wfile.write(answer[:done])
            for byte in answer[done:]:
                self.wfile.write(bytes([byte]))
                if self.server.released.wait(0.05):
                    return self.end()
        return self.wfile.write(answer)

    def route(self, path, body, partial):
        if path == "/token":
            return self.give_token(dict(urllib.parse.parse_qsl(body.decode())))
        if self.headers.get("Authorization", "").removeprefix("Bearer ") not in self.server.tokens:
            raise Refused(401, "authError", "Invalid Credentials")
        if path == "/upload/drive/v3/files" and self.command == "PUT":
            return self.take_piece(body, partial)
        found = re.fullmatch(r"(/upload)?/drive/v3/files(?:/([\w-]+))?", path)
        if not found or (self.query.get("supportsAllDrives") != "true" and found[2] != "generateIds"):
            raise Refused(404, "notFound", "Not Found")
        id_, data = self.server.root_of(found[2]), json.loads(body) if body else {}
        if found[1]:
            return self.begin(id_, data)
        if id_ == "generateIds":
            new = [f"1{self.server.number():032}" for _ in range(int(self.query["count"]))]
            self.server.reserved |= set(new)
            return self.say({"ids": new})
        if id_ is None:
            return self.search() if self.command == "GET" else self.say(self.describe(self.make(data)))
        return self.touch(self.get(id_), data)

    def say(self, data, status=200, **headers):
        return status, {"Content-Type": "application/json", **headers}, json.dumps(data).encode()

    def get(self, id_):
        if self.server.root_of(id_) not in self.server.items:
            raise Refused(404, "notFound", f"File not found: {id_}.")
        return self.server.items[self.server.root_of(id_)]

    def touch(self, item, data):
        """What is done to one file by its id, without its content."""
        if self.command == "DELETE":
            if item.drive and not self.server.may_delete:
                raise Refused(403, "insufficientFilePermissions", "The user does not have sufficient permissions.")
            self.server.remove(item.id)
            return 204, {}, b""
        if self.command == "PATCH":
            item.trashed = data.get("trashed", item.trashed)
        if self.query.get("alt") == "media":
            return self.give_content(item.content)
        return self.say(self.describe(item))

    def describe(self, item):
        shown = {"id": item.id, "name": item.name, "mimeType": item.mime, "parents": item.parents}
        shown |= {
            "trashed": self.server.in_bin(item),
            "createdTime": stamp(item.made),
            "modifiedTime": stamp(item.changed),
        }
        if item.drive:
            shown["driveId"] = item.drive
        if item.mime != FOLDER:
            shown |= {"size": str(len(item.content)), "md5Checksum": hashlib.md5(item.content).hexdigest()}
            shown["sha256Checksum"] = hashlib.sha256(item.content).hexdigest()
        wanted = re.search(r"files\((.*)\)", self.query.get("fields", "")) or [0, self.query.get("fields", "")]
        return {name: value for name, value in shown.items() if name in (wanted[1] or "id,name,mimeType").split(",")}

    def search(self):
        tests = []
        rest = self.query["q"]
        while rest:
            found = re.match(
                r"(?:'(?P<in>[^']+)' in parents|(?P<key>name|mimeType) = '(?P<value>(?:[^'\\]|\\.)*)'"
                r"|trashed = false)(?: and |$)",
                rest,
            )
            if not found:
                raise Refused(400, "invalid", "Invalid Value")
            rest = rest[found.end() :]
            tests.append(found.groupdict())
        items = [one for one in self.server.items.values() if all(self.fits(one, test) for test in tests)]
        start, size = int(self.query.get("pageToken", 0)), min(self.server.page, int(self.query["pageSize"]))
        page = {"files": [self.describe(one) for one in items[start : start + size]]}
        return self.say(page | ({"nextPageToken": str(start + size)} if start + size < len(items) else {}))

    def fits(self, item, test):
        if test["in"]:
            return self.get(test["in"]).id in item.parents and item.id not in self.server.hidden and self.in_reach(item)
        if test["key"]:
            value = re.sub(r"\\(.)", r"\1", test["value"])
            # `=` takes capitals for small letters, as the real one does.
            return item.name.lower() == value.lower() if test["key"] == "name" else item.mime == value
        return not self.server.in_bin(item)

    def in_reach(self, item):
        if self.query.get("includeItemsFromAllDrives") != "true" and item.drive:
            return False
        return self.query.get("driveId", "") == (item.drive if self.query.get("corpora") == "drive" else "")

    def check_new(self, data):
        for parent in data.get("parents", ["root"]):
            self.get(parent)
        if data.get("id") in self.server.items:
            raise Refused(409, "fileIdInUse", "A file already exists with the provided ID.")
        if data.get("id") and data["id"] not in self.server.reserved:
            raise Refused(400, "invalid", "The provided file ID is not usable.")

    def make(self, data, content=b""):
        self.check_new(data)
        parents = [self.get(one).id for one in data.get("parents", ["root"])]
        mime = data.get("mimeType", "application/octet-stream")
        item = Item(data.get("id") or f"x{self.server.number():032}", data["name"], parents, mime, content)
        item.drive, item.made = self.get(parents[0]).drive, self.server.number()
        item.changed = item.made
        self.server.items[item.id] = item
        return item

    def begin(self, id_, data):
        """A resumable upload."""
        size = int(self.headers["X-Upload-Content-Length"])
        if id_ is None:
            self.check_new(data)
        else:
            self.get(id_)
        if sum(len(one.content) for one in self.server.items.values()) + size > self.server.room:
            raise Refused(403, "storageQuotaExceeded", "The user's Drive storage quota has been exceeded.")
        key = f"up{self.server.number()}"
        self.server.sessions[key] = Session(id_ or "", size, data if id_ is None else None)
        kept = urllib.parse.urlencode({**self.query, "upload_id": key})
        return 200, {"Location": f"http://{self.headers['Host']}/upload/drive/v3/files?{kept}"}, b""

    def take_piece(self, body, partial):
        session = self.server.sessions.get(self.query.get("upload_id"))
        if session is None:
            raise Refused(410, "gone", "Upload not found")
        asked = re.fullmatch(
            r"bytes (?:\*|(\d+)-(\d+))/(\d+)", self.headers.get("Content-Range", f"bytes 0-0/{len(body)}")
        )
        if int(asked[3]) != session.size:
            raise Refused(400, "invalid", "another size")
        if not session.done and (asked[1] or "Content-Range" not in self.headers):
            start, last = int(asked[1]), int(asked[1]) + len(body) == session.size
            if start != len(session.content) or (len(body) % GRAIN and not last):
                raise Refused(400, "invalid", "a piece that does not fit")
            session.content += body[:GRAIN] if partial else body
        if len(session.content) < session.size or (not session.size and not session.done and not asked[1]):
            kept = len(session.content)
            return 308, {"Range": f"bytes=0-{kept - 1}"} if kept else {}, b""
        if not session.done:
            content = bytes(session.content)
            item = self.make(session.made, content) if session.made else self.get(session.id)
            item.content, item.changed = content, self.server.number()
            session.id, session.done = item.id, True
        return self.say(self.describe(self.get(session.id)))

    def give_content(self, content):
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not found:
            return 200, {}, content
        start, end = int(found[1]), min(int(found[2]) + 1, len(content))
        if start >= len(content):
            raise Refused(416, "requestedRangeNotSatisfiable")
        return 206, {"Content-Range": f"bytes {start}-{end - 1}/{len(content)}"}, content[start:end]

    def give_token(self, form):
        wrong = ""
        if form.get("grant_type") == "refresh_token":
            wrong = "" if form["refresh_token"] == REFRESH else "Token has been expired or revoked."
        else:
            claims = json.loads(base64.urlsafe_b64decode(form["assertion"].split(".")[1] + "=="))
            if abs(claims["iat"] - time.time() - self.server.skew) > 300 or claims["exp"] - claims["iat"] > 3600:
                wrong = (
                    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
                    "Check your iat and exp values in the JWT claim."
                )
        if wrong:
            return self.say({"error": "invalid_grant", "error_description": wrong}, 400)
        token = f"token-{self.server.number()}"
        self.server.tokens.add(token)
        return self.say({"access_token": token, "expires_in": 3599, "token_type": "Bearer"})


def stamp(number):
    """Times in the order of what happened."""
    return f"2026-01-01T00:{int(number) // 60 % 60:02}:{int(number) % 60:02}.000Z"
