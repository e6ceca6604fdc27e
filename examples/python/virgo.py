"""A client of the VIRGO edge agent: one file, standard library only, Python 3.9 or later.

    from virgo import Client

    with Client("127.0.0.1:6390") as agent:
        agent.set_variables(battery_v=11.2)
        agent.clone("lamp.beam", "low", lease_ms=500)

Every failure is a VirgoError with one of the agent's error words as its code: what the agent answered, or IO when the
connection could not be made or broke, TIMEOUT when no answer came in time. Nothing is ever sent twice by itself: after IO
or TIMEOUT a command may have been done, and whoever sent it decides. One client is for one thread.
"""

from __future__ import annotations

import socket
import ssl
from collections import deque
from typing import Any, BinaryIO, Callable, Deque, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

Argument = Union[str, bytes, int, float, bool]
Variable = Union[str, int, float, bool, Sequence[float]]

GATEWAY_PORT = 6390
MAX_REPLY_BYTES = 64 * 1024 * 1024


class VirgoError(Exception):
    """`code` is one of the agent's words: UNKNOWN, ARGUMENT, LIMIT, DENIED, IN_USE, FAULTED, STALE, TIMEOUT, FULL, IO …"""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message


def tls_context(ca: str, certificate: Optional[str] = None, key: Optional[str] = None) -> ssl.SSLContext:
    """TLS 1.3 with the fleet's own authority; `certificate` and `key` for agents that want to see one. Paths of PEM files."""
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


class Client:
    """One connection to an agent's gateway. `address` is host:port, or a path. Use it in a `with`, or call close()."""

    def __init__(
        self,
        address: str = f"127.0.0.1:{GATEWAY_PORT}",
        *,
        user: str = "default",
        token: Optional[str] = None,
        tls: Optional[ssl.SSLContext] = None,
        server_name: Optional[str] = None,
        timeout: float = 5.0,
    ) -> None:
        self.address = address
        self._pushes: Deque[List[Any]] = deque()
        self._socket = _connect(address, timeout, tls, server_name)
        self._input: BinaryIO = self._socket.makefile("rb")
        try:
            greeting = self.call("HELLO", "3", *(("AUTH", user, token) if token is not None else ()))
        except BaseException:
            self.close()
            raise
        #: What the node calls itself.
        self.node: str = greeting.get("node", "") if isinstance(greeting, dict) else ""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._input.close()
        self._socket.close()

    # Any verb

    def call(self, verb: str, *args: Argument) -> Any:
        """The answer: text as str, what is no text as bytes, numbers, bool, None, list, dict. Raises what the agent answers."""
        (answer,) = self.pipeline([(verb, *args)])
        if isinstance(answer, VirgoError):
            raise answer
        return answer

    def pipeline(self, requests: Iterable[Sequence[Argument]]) -> List[Any]:
        """Sends all requests at once; their answers in the same order. Errors are among them, not raised."""
        encoded = [_encode(request) for request in requests]
        try:
            self._socket.sendall(b"".join(encoded))
            return [self._answer() for _ in encoded]
        except (OSError, ValueError) as error:
            # Later answers would be taken for those to other requests.
            self.close()
            raise _failure(self.address, error) from error

    def _answer(self) -> Any:
        while True:
            kind, value = _read(self._input)
            if kind != b">":
                return value
            self._pushes.append(value)

    # Devices

    def clone(
        self,
        function: str,
        *args: Argument,
        lease_ms: Optional[int] = None,
        deadline_ms: Optional[int] = None,
        priority: Optional[int] = None,
        seq: Optional[int] = None,
        node: Optional[str] = None,
    ) -> Any:
        """Calls a function of a device. The command stands for its lease; call it again and again to keep it."""
        options = {"NODE": node, "LEASE": lease_ms, "DEADLINE": deadline_ms, "PRIORITY": priority, "SEQ": seq}
        return self.call("CLONE", *_words(options), function, *args)

    def devices(self) -> List[Dict[str, Any]]:
        return self.call("DEVICES")

    def emergency_stop(self) -> None:
        """Everything goes safe, and stays so until `call("ESTOP", "RESET")`."""
        self.call("ESTOP")

    # Analytics variables

    def set_variables(self, values: Optional[Mapping[str, Variable]] = None, **more: Variable) -> None:
        """Sets variables as a stream would: all or none. Names that are no Python names go into `values`."""
        merged = {**(values or {}), **more}
        self.call("VAR.SET", *(word for name, value in merged.items() for word in (name, variable_text(value))))

    def get_variable(self, name: str) -> Any:
        """The latest value, however old; `variables` tells its age."""
        return self.call("VAR.GET", name)

    def variables(self, pattern: str = "*") -> List[Dict[str, Any]]:
        return self.call("VAR.LIST", pattern)

    def watch(self, pattern: str = "*") -> Iterator[Tuple[str, Any, Optional[str]]]:
        """Name, value and unit at every change of what matches, for ever. Use a client of its own for it."""
        self.call("VAR.WATCH", pattern)
        self._socket.settimeout(None)
        while True:
            while self._pushes:
                kind, *change = self._pushes.popleft()
                if kind == "var":
                    yield (change[0], change[1], change[2])
            try:
                self._pushes.append(_read(self._input)[1])
            except (OSError, ValueError) as error:
                self.close()
                raise _failure(self.address, error) from error

    # Memory

    def set(self, key: str, value: Argument, *, ttl_ms: Optional[int] = None) -> None:
        self.call("SET", key, value, *_words({"PX": ttl_ms}))

    def get(self, key: str) -> Any:
        """None when there is none."""
        return self.call("GET", key)

    def delete(self, *keys: str) -> int:
        return self.call("DEL", *keys)

    def increment(self, key: str) -> int:
        return self.call("INCR", key)

    def malloc(self, size: int, *, ttl_ms: Optional[int] = None) -> str:
        """A block of memory; its name is `node:address`."""
        return self.call("MALLOC", size, *_words({"TTL": ttl_ms}))

    def store(self, vuid: str, data: Argument, *, if_revision: Optional[int] = None) -> int:
        """The block's new revision; STALE when it had not the revision that was named."""
        return self.call("SETM", vuid, data, *_words({"IF": if_revision}))

    def load(self, vuid: str) -> Any:
        return self.call("GETM", vuid)

    def free(self, vuid: str) -> None:
        self.call("FREEM", vuid)


class PairStream:
    """Variables as plain `name=value` lines, the way analytics sources send them: without answers, so nothing is refused loudly."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    def connect(cls, address: str = "127.0.0.1:64000", timeout: float = 5.0) -> PairStream:
        """To an agent that listens for its source (`listen: true`)."""
        return cls(_connect(address, timeout, None, None))

    @classmethod
    def serve(
        cls, address: str = "127.0.0.1:64000", timeout: Optional[float] = None, bound: Callable[[str], object] = lambda _: None
    ) -> PairStream:
        """Waits for the agent, which connects to its sources unless it is configured otherwise. Port 0 takes a free one; `bound` is told where."""
        with socket.create_server(_host_port(address)) as server:
            server.settimeout(timeout)
            bound("%s:%d" % server.getsockname()[:2])
            try:
                return cls(server.accept()[0])
            except OSError as error:
                raise _failure(address, error) from error

    def send(self, values: Optional[Mapping[str, Variable]] = None, **more: Variable) -> None:
        pairs = (f"{name}={variable_text(value)}" for name, value in {**(values or {}), **more}.items())
        try:
            self._socket.sendall((",".join(pairs) + "\n").encode())
        except OSError as error:
            raise _failure("the agent", error) from error

    def __enter__(self) -> PairStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()


def variable_text(value: Variable) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        return repr(value)
    return "[" + ",".join(repr(float(number)) for number in value) + "]"


def _words(options: Mapping[str, Optional[int | str]]) -> List[Argument]:
    return [word for name, value in options.items() if value is not None for word in (name, value)]


def _host_port(address: str) -> Tuple[str, int]:
    host, colon, port = address.rpartition(":")
    return (host.strip("[]"), int(port)) if colon else (address, GATEWAY_PORT)


def _connect(address: str, timeout: float, tls: Optional[ssl.SSLContext], server_name: Optional[str]) -> socket.socket:
    try:
        if address.startswith("/"):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(timeout)
            connection.connect(address)
            return connection
        host, port = _host_port(address)
        connection = socket.create_connection((host, port), timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection if tls is None else tls.wrap_socket(connection, server_hostname=server_name or host)
    except OSError as error:
        raise _failure(address, error) from error


def _failure(address: str, error: Exception) -> VirgoError:
    if isinstance(error, VirgoError):
        return error
    if isinstance(error, socket.timeout):
        return VirgoError("TIMEOUT", f"{address} has not answered in time")
    if isinstance(error, ConnectionRefusedError):
        return VirgoError("IO", f"nothing listens on {address}; is the agent running?")
    return VirgoError("IO", f"{address}: {error}")


def _encode(request: Sequence[Argument]) -> bytes:
    parts = [b"*%d\r\n" % len(request)]
    for word in request:
        data = word if isinstance(word, bytes) else (word if isinstance(word, str) else variable_text(word)).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


def _read(source: BinaryIO) -> Tuple[bytes, Any]:
    """One message of RESP2 or RESP3: its type and value. Raises ConnectionError at the end, ValueError for what is none."""
    line = source.readline(65536)
    if not line.endswith(b"\r\n"):
        raise ConnectionError("the agent closed the connection") if len(line) < 65536 else ValueError("a reply line is too long")
    kind, text = line[:1], line[1:-2].decode()
    if kind == b"|":
        _aggregate(source, 2 * int(text))
        return _read(source)
    return kind, _value(source, kind, text)


def _value(source: BinaryIO, kind: bytes, text: str) -> Any:
    if kind == b"_" or (kind in b"$*" and text == "-1"):
        return None
    if kind in b"$=!":
        return _bulk(source, kind, int(text))
    if kind in b"*~>":
        return _aggregate(source, int(text))
    if kind == b"%":
        parts = _aggregate(source, 2 * int(text))
        return dict(zip(parts[::2], parts[1::2]))
    if kind == b"-":
        return VirgoError(*_code_and_text(text))
    if kind == b"+":
        return text
    if kind in b":(":
        return int(text)
    if kind == b",":
        return float(text)
    if kind == b"#" and text in ("t", "f"):
        return text == "t"
    raise ValueError(f"not a reply: {kind!r}{text[:40]!r}")


def _aggregate(source: BinaryIO, count: int) -> List[Any]:
    return [_read(source)[1] for _ in range(count)]


def _bulk(source: BinaryIO, kind: bytes, length: int) -> Any:
    if not 0 <= length <= MAX_REPLY_BYTES:
        raise ValueError(f"a reply of {length} bytes is refused")
    data = source.read(length + 2)
    if len(data) < length + 2:
        raise ConnectionError("the agent closed the connection")
    data = data[:-2]
    if kind == b"!":
        return VirgoError(*_code_and_text(data.decode()))
    try:
        return data.decode() if kind == b"$" else data[4:].decode()
    except UnicodeDecodeError:
        return data


def _code_and_text(text: str) -> Tuple[str, str]:
    code, _, message = text.partition(" ")
    return code, message
