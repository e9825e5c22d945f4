"""A participant of a choreography, as the chassis sees it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import msgspec
from sqlalchemy import Column, Connection, MetaData, Table

from chassis.processing.timers import Timer
from chassis.storage import tables
from chassis.storage.migrations import SchemaHistory, Upgrade
from saga.reactions import Reactions
from saga.unit_of_work import UnitOfWork

U = TypeVar("U", bound=UnitOfWork)
U_contra = TypeVar("U_contra", bound=UnitOfWork, contravariant=True)
U_co = TypeVar("U_co", bound=UnitOfWork, covariant=True)


class Load(Protocol[U_co]):
    """Read, and lock, the rows that these events and commands need."""

    def __call__(
        self, connection: Connection, messages: Sequence[object], now: datetime, /
    ) -> U_co: ...


class Save(Protocol[U_contra]):
    """Write what the reactions changed."""

    def __call__(self, connection: Connection, uow: U_contra, /) -> None: ...


class Participant(msgspec.Struct, Generic[U], frozen=True):
    """A service: its reactions, and where their rows are.

    `saga_rows` is the table with a row for each saga: its primary key is the saga's, beside it
    `state` and `updated_at`. `unsettled` are the states in which such a row still waits for an
    event or owes one. `seed` are commands that put the first data of a new stack there; executed
    again they change nothing. `bookings` are the operators' commands that recovery mode executes:
    they book what is in no event. `timers` find what has become due. `upgrades` bring databases of
    earlier versions up to this one.
    """

    reactions: Reactions
    load: Load[U]
    save: Save[U]
    schema: MetaData
    saga_rows: Table
    unsettled: frozenset[str]
    seed: tuple[object, ...] = ()
    bookings: tuple[type, ...] = ()
    timers: tuple[Timer, ...] = ()
    upgrades: tuple[Upgrade, ...] = ()

    @property
    def name(self) -> str:
        return self.reactions.service

    @property
    def history(self) -> SchemaHistory:
        """The history of the service's schema: its own upgrades, and those of the chassis."""
        steps = sorted((*tables.UPGRADES, *self.upgrades), key=lambda step: step.version)
        return SchemaHistory(self.name, self.saga_rows, tuple(steps))

    @property
    def saga_key(self) -> Column[str]:
        """The column with the saga's key."""
        [key] = self.saga_rows.primary_key.columns
        return key
