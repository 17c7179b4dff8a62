"""Turn moto's backends into bytes and back, although some hold keys, locks, lambdas and each other."""

from __future__ import annotations

import collections
import importlib
import io
import marshal
import pickle
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from moto.core.base_backend import BaseBackend
from moto.s3.models import FakeKey

from infra.local.aws.blobs import Blobs
from infra.local.aws.emulator import BackendKey, live_backend

LOCK_TYPES: dict[type, Callable[[], Any]] = {
    type(threading.Lock()): threading.Lock,
    type(threading.RLock()): threading.RLock,
    threading.Condition: threading.Condition,
}


def dump(keys: Iterable[BackendKey], live: dict[BackendKey, BaseBackend], blobs: Blobs) -> bytes:
    """The state of the backends `keys` as bytes; other backends that they refer to go by name.

    Raises whatever pickling raises when a backend holds something that cannot be stored.
    """
    buffer = io.BytesIO()
    _Pickler(buffer, live, blobs).dump([(tuple(key), live[key].__dict__) for key in keys])
    return buffer.getvalue()


def load(data: bytes, blobs: Blobs) -> None:
    """Put the state in `data` into moto. Raises whatever unpickling raises on damaged bytes."""
    for key, state in _Unpickler(io.BytesIO(data), blobs).load():
        backend = live_backend(BackendKey(*key))
        backend.__dict__.clear()
        backend.__dict__.update(state)


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, live: dict[BackendKey, BaseBackend], blobs: Blobs) -> None:
        super().__init__(file, protocol=5)
        self._keys = {id(backend): key for key, backend in live.items()}
        self._blobs = blobs

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, BaseBackend) and id(obj) in self._keys:
            return live_backend_of, tuple(self._keys[id(obj)])
        if isinstance(obj, FakeKey):
            state = {
                name: value for name, value in vars(obj).items() if name not in ("_value_buffer", "lock")
            }
            return s3_key, (self._blobs.keep(obj),), state, None, None, set_plain_state
        if isinstance(obj, dict) and type(obj).__module__.startswith("moto."):
            return bare, (type(obj),), _dict_state(obj), None, None, set_dict_state
        if type(obj) is weakref.WeakValueDictionary:
            return weakref.WeakValueDictionary, (), dict(obj), None, None, set_weak_state
        for kind, make in LOCK_TYPES.items():
            if type(obj) is kind:
                return make, ()
        if isinstance(obj, types.FunctionType) and "<" in obj.__qualname__:
            if obj.__closure__:
                return NotImplemented
            return local_function, (obj.__module__, marshal.dumps(obj.__code__), obj.__defaults__)
        if type(obj).__module__.startswith("cryptography."):
            return _reduce_cryptography(obj)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    """Resolves the two names that need to know where bodies lie; everything else is as written."""

    def __init__(self, file: io.BytesIO, blobs: Blobs) -> None:
        super().__init__(file)
        self._blobs = blobs

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == (__name__, s3_key.__name__):
            return self._s3_key
        return super().find_class(module, name)

    def _s3_key(self, blob: str | None) -> FakeKey:
        key: FakeKey = object.__new__(FakeKey)
        key.disposed = False
        self._blobs.attach(key, blob)
        return key


def live_backend_of(module: str, cls: str, account: str, region: str) -> Any:
    return live_backend(BackendKey(module, cls, account, region))


def s3_key(blob: str | None) -> FakeKey:
    raise NotImplementedError("resolved by _Unpickler")


def set_plain_state(obj: Any, state: dict[str, Any]) -> None:
    obj.__dict__.update(state)


def bare(cls: Any) -> Any:
    return cls.__new__(cls)


def _dict_state(obj: dict[Any, Any]) -> dict[str, Any]:
    """What a dict of moto's really holds: its `items()` may be a view (S3 versions: the newest only), and its
    constructor may want arguments that pickle does not know (SSM parameters)."""
    factory = obj.default_factory if isinstance(obj, collections.defaultdict) else None
    kind = collections.OrderedDict if isinstance(obj, collections.OrderedDict) else dict
    return {"factory": factory, "items": dict(kind.items(obj)), "vars": vars(obj)}


def set_dict_state(obj: Any, state: dict[str, Any]) -> None:
    if isinstance(obj, collections.defaultdict):
        obj.default_factory = state["factory"]
    # An OrderedDict keeps its order beside the dict; only its own way in maintains it.
    kind = collections.OrderedDict if isinstance(obj, collections.OrderedDict) else dict
    kind.update(obj, state["items"])
    obj.__dict__.update(state["vars"])


def set_weak_state(obj: weakref.WeakValueDictionary[Any, Any], state: dict[Any, Any]) -> None:
    obj.update(state)


def local_function(module: str, code: bytes, defaults: tuple[Any, ...] | None) -> types.FunctionType:
    """A lambda without closure, such as the factory of a defaultdict.

    Byte code belongs to one Python version; the store is stamped with it.
    """
    scope = vars(importlib.import_module(module))
    return types.FunctionType(marshal.loads(code), scope, argdefs=defaults)  # noqa: S302


def _reduce_cryptography(obj: Any) -> Any:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization as ser

    if isinstance(obj, x509.Certificate):
        return certificate_from_pem, (obj.public_bytes(ser.Encoding.PEM),)
    if hasattr(obj, "private_bytes"):
        pem = obj.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
        return private_key_from_pem, (pem,)
    return NotImplemented


def private_key_from_pem(pem: bytes) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(pem, None)


def certificate_from_pem(pem: bytes) -> Any:
    from cryptography.x509 import load_pem_x509_certificate

    return load_pem_x509_certificate(pem)


def python_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
