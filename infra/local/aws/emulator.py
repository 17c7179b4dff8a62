"""Where this project reaches into moto: its settings, its registry of backends, and replacing its methods."""

from __future__ import annotations

import importlib
import os
import pickle
from typing import Any, NamedTuple, cast


def configure(port: int) -> None:
    """Settings that moto reads from the environment while it is imported; so this comes first."""
    os.environ.setdefault("MOTO_PORT", str(port))
    # The catalogue of public images: 2,600 objects per region that nothing uses and every write would store.
    os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    _read_botocore_models_fast()
    from moto.core.common_models import BaseModel

    def untracked(cls: type, *args: Any, **kwargs: Any) -> Any:
        return object.__new__(cls)

    # moto remembers every object ever made for its dashboard, which keeps deleted S3 objects alive for ever.
    replace(BaseModel, "__new__", untracked)


def replace(owner: Any, name: str, value: Any) -> None:
    """Put `value` in the place of something that moto (or a library under it) defines."""
    setattr(owner, name, value)


def _read_botocore_models_fast() -> None:
    """Service models are megabytes of JSON, read for every session; parsing them is most of the start."""
    import botocore.loaders
    import orjson

    class Json:
        @staticmethod
        def loads(payload: str, object_pairs_hook: Any = None) -> Any:
            return orjson.loads(payload)

    read = botocore.loaders.JSONFileLoader.load_file
    known: dict[str, Any] = {}

    def read_once(loader: Any, path: str) -> Any:
        if path not in known:
            found = read(loader, path)
            if found is None:  # asked for without its ending; the next name may exist
                return None
            known[path] = found
        return known[path]

    replace(botocore.loaders, "json", Json)
    replace(botocore.loaders.JSONFileLoader, "load_file", read_once)


class BackendKey(NamedTuple):
    """Where a backend lives: the class that moto instantiates, per account and region (or partition)."""

    module: str
    cls: str
    account: str
    region: str

    @property
    def service(self) -> str:
        """moto's package name, such as `elbv2`."""
        return self.module.split(".")[1]


def backends() -> dict[BackendKey, Any]:
    """Every backend that moto has instantiated so far."""
    found: dict[BackendKey, Any] = {}
    for by_account in _registry():
        for account, region, backend in by_account.iter_backends():
            cls = type(backend)
            found[BackendKey(cls.__module__, cls.__name__, account, region)] = backend
    return found


def backend_count() -> int:
    """How many there are; grows when a call touches a service in a region for the first time."""
    return sum(len(regions) for by_account in _registry() for regions in by_account.values())


def live_backend(key: BackendKey) -> Any:
    """The backend at `key`; an empty shell of its class is put there when there is none.

    A shell, because building one for real fills it with default networks that the stored state replaces.
    Raises `pickle.UnpicklingError` when moto does not know the class.
    """
    from moto.core.base_backend import BackendDict

    for value in vars(importlib.import_module(key.module)).values():
        if isinstance(value, BackendDict) and value.backend.__name__ == key.cls:
            by_region: Any = value[key.account]
            if key.region not in by_region.keys():  # noqa: SIM118  `in` also says yes to possible regions
                dict.__setitem__(by_region, key.region, object.__new__(value.backend))
            return dict.__getitem__(by_region, key.region)
    raise pickle.UnpicklingError(f"moto has no backend {key.module}.{key.cls}")


def _registry() -> list[Any]:
    from moto.core.base_backend import BackendDict

    return list(cast(Any, BackendDict)._instances)
