"""What a driver makes of options that it does not act upon: none is passed over in silence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from driverapi import errors, labels
from driverapi.api import Options
from driverapi.events import emit

__all__ = ["Rules"]

_SLIP: Final = 0.9
"""How like a known name one of others is that is probably meant to be that (0…1)."""
_FAMILIES: Final[Mapping[str, int]] = {labels.ENABLE_IPV4: 4, labels.ENABLE_IPV6: 6}


@dataclass(frozen=True, slots=True)
class Rules:
    """What one driver says to options.

    Attributes
    ----------
    driver : str
        Its network type.
    known : frozenset of str
        Options that it acts upon somewhere.
    only : mapping
        Truth values of which it has one anyway; the other is refused, for the reason given.
    configuration : mapping
        The same of the driver's configuration.
    refused : mapping
        Options that it cannot honour, and what to use instead. Empty, they ask for nothing.
    """

    driver: str
    known: frozenset[str]
    only: Mapping[str, tuple[bool, str]]
    configuration: Mapping[str, tuple[bool, str]]
    refused: Mapping[str, str]
    _all: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        every = self.known.union(self.only, self.configuration, self.refused, _FAMILIES, labels.SERVED)
        object.__setattr__(self, "_all", every)

    def check(self, options: Options, acted_upon: Iterable[str] = (), versions: Iterable[int] | None = None) -> None:
        """Refuse the options that cannot be honoured, and those that nobody knows: without a dot, or of this package.

        Labels of others pass, with a warning if they are all but a known one, or one without its prefix. Labels of
        ``com.docker.network`` that are not acted upon here pass with a warning.

        Parameters
        ----------
        acted_upon : iterable of str
            What the caller reads itself.
        versions : iterable of int, optional
            The families that the network has, 4 and 6; None where it is not a network's creation.

        Raises
        ------
        errors.NotImplementedYetError
            The option asks for what this version does not do; the text says what to use instead.
        errors.InvalidError
            The name is unknown, and no label of others; the text names the nearest known one.
        """
        if not options:
            return
        acted_upon = set(acted_upon)
        for name, value in options.items():
            if name in acted_upon or (name in labels.SERVED and versions is None):
                continue
            if name in self.only:
                _check_truth(name, value, self.only[name])
            elif name in self.refused:
                if value not in (None, "", b"", [], (), {}):
                    raise _not_yet(name, value, self.refused[name])
            elif name in _FAMILIES and versions is not None:
                version = _FAMILIES[name]
                has = version in versions
                use = f"the network has an IPv{version} prefix" if has else f"use create_network(ipv{version}=…)"
                _check_truth(name, value, (has, use))
            elif "." not in name or (name.startswith(labels.OURS) and name not in (labels.IPAM_DATA, labels.MEMORY)):
                raise self._unknown(name)
            elif name.startswith(labels.PREFIX):
                hint = "" if name in self._all else self._nearest(name)
                emit("driver.option_ignored", driver=self.driver, option=name, hint=hint)
            elif labels.PREFIX + name in self._all:  # as docs/drivers.md writes it, for short
                hint = f"; did you mean {labels.PREFIX + name!r}?"
                emit("driver.option_ignored", driver=self.driver, option=name, hint=hint)
            elif hint := self._nearest(name, _SLIP):  # another's, or is it?
                emit("driver.option_ignored", driver=self.driver, option=name, hint=hint)

    def check_configuration(self, options: Options) -> None:
        """Refuse what :meth:`driverapi.Driver.config` cannot take: all but what the driver does anyway.

        Raises
        ------
        errors.NotImplementedYetError, errors.InvalidError
            As :meth:`check`; here every unknown name is refused.
        """
        for name, value in options.items():
            if name not in self.configuration:
                raise self._unknown(name)
            _check_truth(name, value, self.configuration[name])

    def _unknown(self, name: str) -> errors.InvalidError:
        return errors.InvalidError(f"the {self.driver} driver knows no option {name!r}{self._nearest(name)}")

    def _nearest(self, name: str, least: float = 0.6) -> str:
        """Name the known option that is most like it, in either generation's names."""
        return labels.nearest(name, self._all.union(labels.SEED_NAMES), least)


def _check_truth(name: str, value: object, rule: tuple[bool, str]) -> None:
    only, why = rule
    if labels.as_bool(name, value) is not only:
        raise _not_yet(name, value, why)


def _not_yet(name: str, value: object, why: str) -> errors.NotImplementedYetError:
    return errors.NotImplementedYetError(f"option {name!r}: {value!r} cannot be had: {why}; leave the option out")
